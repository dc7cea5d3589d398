//! `cc-distributed`: the workloads as programs, in this model. See `cc-distributed --help`.

fn main() -> std::process::ExitCode {
    cc_workloads::cli::main_with(cc_distributed::MODELS, cc_distributed::cluster::command::args)
}

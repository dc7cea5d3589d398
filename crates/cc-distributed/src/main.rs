//! `cc-distributed`: the workloads as programs, in this model. See `cc-distributed --help`.

fn main() -> std::process::ExitCode {
    cc_workloads::cli::main(cc_distributed::MODELS)
}

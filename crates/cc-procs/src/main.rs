//! `cc-procs`: the workloads as programs, in this model. See `cc-procs --help`.

fn main() -> std::process::ExitCode {
    cc_workloads::cli::main(cc_procs::MODELS)
}

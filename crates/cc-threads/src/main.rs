//! `cc-threads`: the workloads as programs, in this model. See `cc-threads --help`.

fn main() -> std::process::ExitCode {
    cc_workloads::cli::main(cc_threads::MODELS)
}

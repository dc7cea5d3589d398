//! `cc-async`: the workloads as programs, in this model. See `cc-async --help`.

fn main() -> std::process::ExitCode {
    cc_workloads::cli::main(cc_async::MODELS)
}

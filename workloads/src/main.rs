//! `cc-workloads`: the workloads as programs that run a plain loop. See `cc-workloads --help`.

fn main() -> std::process::ExitCode {
    cc_workloads::cli::main(cc_workloads::MODELS)
}

//! `cc-actors`: the workloads as programs, in this model. See `cc-actors --help`.

fn main() -> std::process::ExitCode {
    cc_workloads::cli::main(cc_actors::MODELS)
}

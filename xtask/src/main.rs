//! Passes the command line to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::main()
}

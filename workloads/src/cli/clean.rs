//! `clean`: removes temporary files of killed programs.

use std::{env, path::PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::{
    error::{Error, Result},
    printable::printable_path,
    stdio, temporary,
};

/// The name of the subcommand.
pub(super) const NAME: &str = "clean";

pub(super) fn command() -> Command {
    let about = "Remove temporary files of killed programs, and list them";
    let dirs = Arg::new("dirs").value_name("DIR").num_args(0..).value_parser(value_parser!(PathBuf));
    Command::new(NAME).about(about).arg(dirs.help("Directories to clean [default: $TMPDIR or /tmp]"))
}

/// Keeps the files that a running process uses, and those of other users.
pub(super) fn main(args: &ArgMatches) -> Result<u8> {
    let given = args.get_many::<PathBuf>("dirs").map(|dirs| dirs.cloned().collect());
    for dir in given.unwrap_or_else(|| vec![env::temp_dir()]) {
        for removed in temporary::clean(&dir) {
            let line = format!("removed {}\n", printable_path(&removed));
            stdio::write_out(line.as_bytes()).map_err(Error::io("write error"))?;
        }
    }
    Ok(0)
}

//! `clean`: removes what killed programs have left.

use std::{env, path::PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::{
    error::{Error, Result},
    printable::printable_path,
    stdio, temporary,
};

/// Its name on the command line.
pub(super) const NAME: &str = "clean";

pub(super) fn command() -> Command {
    let about = "Remove temporary files that killed programs have left, and list them";
    let dirs = Arg::new("dirs").value_name("DIR").num_args(0..).value_parser(value_parser!(PathBuf));
    Command::new(NAME).about(about).arg(dirs.help("Where they may be [default: $TMPDIR or /tmp]"))
}

/// What a living process uses stays, and so does what another user owns.
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

//! `wordcount`'s flags and exit status.

use clap::{ArgMatches, Args, Command};

use crate::{
    contract::{Ctx, Model},
    error::{Error, Result},
};

/// TODO: what it does, for `--help`.
#[derive(Debug, Args)]
struct Flags {}

pub(super) fn command() -> Command {
    Flags::augment_args(Command::new("wordcount"))
}

pub(super) fn main(model: &Model, _: &Ctx, _: &ArgMatches) -> Result<u8> {
    let _run = model.wordcount.or_usage(model, "wordcount")?;
    Err(Error::Usage("not written yet".to_owned()))
}

//! `mandelbrot`'s flags and exit status.

use clap::{ArgMatches, Command};

use crate::{
    contract::{Ctx, Model},
    error::{Error, Result},
};

pub(super) fn command() -> Command {
    Command::new("mandelbrot")
}

pub(super) fn main(_: &Model, _: &Ctx, _: &ArgMatches) -> Result<u8> {
    Err(Error::Usage("not written yet".to_owned()))
}

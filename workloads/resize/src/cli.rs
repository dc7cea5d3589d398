//! `resize`'s flags and exit status.

use std::{
    io::{self, IsTerminal},
    ops::ControlFlow,
    path::PathBuf,
};

use cc_core::{
    contract::{Block, Ctx, Sink},
    error::{Error, Result},
    output::{Outcome, Output, with_output},
    printable::{printable, printable_lines},
    quantity::size,
    signals::interrupted,
};
use clap::{ArgMatches, Args, Command, FromArgMatches, value_parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{Fit, Format, Gallery, Job, Run, Settings};

/// Make thumbnails of photographs.
///
/// Reads JPEG, PNG and WebP, whatever the names say. The exit status is 0 if every image has its thumbnail, 1 if some
/// could not be made, 2 if the run could not be done.
#[derive(Debug, Args)]
struct Flags {
    /// How wide, in pixels
    #[arg(long, value_name = "PIXELS", value_parser = value_parser!(u32).range(1..))]
    width: u32,
    /// How high, in pixels [default: as the width makes it]
    #[arg(long, value_name = "PIXELS", value_parser = value_parser!(u32).range(1..))]
    height: Option<u32>,
    /// What becomes of an image of another shape than width × height
    #[arg(long, value_enum, default_value_t, requires_ifs = [("cover", "height"), ("exact", "height")])]
    fit: Fit,
    /// What thumbnails are written as [default: what the image is]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Of JPEG, 1 to 100 [default: 85]
    #[arg(long, value_parser = value_parser!(u8).range(1..=100))]
    quality: Option<u8>,
    /// Make larger what is smaller than asked for
    #[arg(long)]
    enlarge: bool,
    /// Refuse an image that takes more memory to decode: a number of bytes, with K, M or G
    /// [default: 1G]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_image_memory: Option<u64>,
    /// Take what is below the directories' own files, too
    #[arg(short = 'r', long)]
    recursive: bool,
    /// Leave thumbnails alone that are there already
    #[arg(long, requires = "out")]
    skip_existing: bool,
    /// Where to put them, in folders as they are below SRC; without it, they are made and only listed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Images, and directories of images
    #[arg(required = true, value_name = "SRC")]
    sources: Vec<PathBuf>,
}

/// The workload's flags.
#[must_use]
pub fn command() -> Command {
    Flags::augment_args(Command::new("resize").args_override_self(true))
}

/// Does what the command line asks for.
///
/// # Errors
///
/// If it asks for something that cannot be, or if the run could not begin.
pub fn main(run: Run, ctx: &Ctx, args: &ArgMatches) -> Result<Outcome> {
    let job = flags(args).job()?;
    with_output("resize", &ctx.stop, |output| {
        let progress = progress(&job);
        let mut messages = Above { progress: &progress, output };
        let mut gallery = Counted { progress: &progress, gallery: job.gallery(&mut messages)? };
        let ran = run(&job, ctx, &mut gallery);
        progress.finish_and_clear();
        let Counted { mut gallery, .. } = gallery;
        let (status, totals, trouble) = (gallery.status(), gallery.totals(), gallery.error());
        if let Some(status) = interrupted(&ctx.stop) {
            return Ok(status.into());
        }
        ran?;
        trouble.map_or(Ok(()), Err)?;
        Ok(Outcome::of(status, totals))
    })
}

/// What a run makes of a command line before anything is done.
///
/// # Errors
///
/// If it asks for something that cannot be.
#[doc(hidden)]
pub fn parse(args: &ArgMatches) -> Result<()> {
    flags(args).job().map(drop)
}

fn flags(args: &ArgMatches) -> Flags {
    Flags::from_arg_matches(args).expect("clap has parsed them by the same definitions")
}

impl Flags {
    fn job(self) -> Result<Job> {
        if self.quality.is_some() && self.format == Some(Format::Webp) {
            return Err(Error::Usage("WebP is written lossless: there is no --quality to it".to_owned()));
        }
        let settings = Settings {
            width: self.width,
            height: self.height,
            fit: self.fit,
            format: self.format,
            quality: self.quality.unwrap_or(Settings::default().quality),
            enlarge: self.enlarge,
            memory: self.max_image_memory.unwrap_or(Settings::default().memory),
            ..Settings::default()
        };
        let Self { sources, recursive, out, skip_existing, .. } = self;
        Ok(Job { settings, sources, recursive, out, skip_existing })
    }
}

/// A line that says how far it is, if there is a terminal to say it on. The list of thumbnails says it itself.
fn progress(job: &Job) -> ProgressBar {
    let shown = job.out.is_some() && io::stderr().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = "{pos} images, {per_sec}, {elapsed}  {wide_msg}";
    let style = ProgressStyle::with_template(style).expect("it is one of indicatif's templates");
    ProgressBar::with_draw_target(None, target).with_style(style)
}

/// The gallery, and the line that counts what comes into it.
struct Counted<'a> {
    progress: &'a ProgressBar,
    gallery: Gallery<'a>,
}

impl Sink<crate::Output> for Counted<'_> {
    fn push(&mut self, output: crate::Output) -> ControlFlow<()> {
        if !self.progress.is_hidden() {
            self.progress.set_message(printable(&output.source).to_string());
        }
        let flow = self.gallery.push(output);
        self.progress.inc(1);
        flow
    }
}

/// The output, with messages above the line if there is one: written across it, they would garble
/// both.
struct Above<'a> {
    progress: &'a ProgressBar,
    output: &'a mut Output,
}

impl Sink<Block> for Above<'_> {
    fn push(&mut self, block: Block) -> ControlFlow<()> {
        match block {
            Block::Err(text) if !self.progress.is_hidden() => {
                self.progress.println(String::from_utf8_lossy(&printable_lines(&text)).trim_end());
                ControlFlow::Continue(())
            }
            block => self.output.push(block),
        }
    }
}

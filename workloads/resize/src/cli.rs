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

use crate::{Fit, Format, Gravity, Job, Profile, Run, Settings, ThumbnailWriter};

/// Make thumbnails of photographs.
///
/// Reads JPEG, PNG, WebP and the first frame of GIF; the content of a file decides, not its name.
/// The exit status is 0 if every image has its thumbnail, 1 if some could not be made, 2 if the run
/// could not be done.
#[derive(Debug, Args)]
struct Flags {
    /// Width of the thumbnails, in pixels
    #[arg(long, value_name = "PIXELS", value_parser = value_parser!(u32).range(1..))]
    width: u32,
    /// Height of the thumbnails, in pixels [default: follows from the width]
    #[arg(long, value_name = "PIXELS", value_parser = value_parser!(u32).range(1..))]
    height: Option<u32>,
    /// How to fit an image whose shape is not that of width × height [default: contain, or cover
    /// with --crop]
    #[arg(long, value_enum, requires_ifs = [("cover", "height"), ("exact", "height")])]
    fit: Option<Fit>,
    /// The part of the image that is left if it is cropped to fill width × height [default: centre]
    #[arg(long, value_enum, value_name = "GRAVITY", requires = "height")]
    crop: Option<Gravity>,
    /// Format of the thumbnails [default: the format of the image]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Quality of JPEG thumbnails, 1 to 100 [default: 85]
    #[arg(long, value_parser = value_parser!(u8).range(1..=100))]
    quality: Option<u8>,
    /// What to do with the colour profile of an image
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Enlarge images that are smaller than the thumbnail
    #[arg(long)]
    enlarge: bool,
    /// Refuse an image whose decoding takes more memory than this: a number of bytes, with K, M or
    /// G [default: 1G]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_image_memory: Option<u64>,
    /// Include the subdirectories of the directories
    #[arg(short = 'r', long)]
    recursive: bool,
    /// Keep thumbnails that already exist
    #[arg(long, requires = "out")]
    skip_existing: bool,
    /// Write the thumbnails below DIR, in the same folders as below SRC; without --out they are
    /// made and listed, but not written
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

/// Runs the command line.
///
/// # Errors
///
/// The arguments are invalid, or the run could not begin.
pub fn main(run: Run, ctx: &Ctx, args: &ArgMatches) -> Result<Outcome> {
    let job = flags(args).job()?;
    with_output("resize", &ctx.stop, |output| {
        let progress = progress(&job);
        let mut messages = AboveProgress { progress: &progress, output };
        let mut thumbnails =
            CountingWriter { progress: &progress, writer: job.thumbnail_writer(&mut messages)? };
        let result = run(&job, ctx, &mut thumbnails);
        progress.finish_and_clear();
        let mut writer = thumbnails.writer;
        let status = writer.status();
        let totals = writer.totals();
        let write_error = writer.error();
        // After a signal, its exit status takes precedence over an error of the run.
        if let Some(status) = interrupted(&ctx.stop) {
            return Ok(status.into());
        }
        result?;
        write_error.map_or(Ok(()), Err)?;
        Ok(Outcome::of(status, totals))
    })
}

/// Checks a command line as `main` does before it runs the job.
///
/// # Errors
///
/// The arguments are invalid.
#[doc(hidden)]
pub fn parse(args: &ArgMatches) -> Result<()> {
    flags(args).job().map(drop)
}

fn flags(args: &ArgMatches) -> Flags {
    Flags::from_arg_matches(args).expect("clap parsed the arguments with the same definitions")
}

impl Flags {
    fn job(self) -> Result<Job> {
        if self.quality.is_some() && self.format == Some(Format::Webp) {
            return Err(Error::Usage("WebP is written without loss and has no --quality".to_owned()));
        }
        let fit = self.fit.unwrap_or(if self.crop.is_some() { Fit::Cover } else { Fit::Contain });
        if self.crop.is_some() && fit != Fit::Cover {
            return Err(Error::Usage(
                "--crop is for --fit cover: the other images are not cropped".to_owned(),
            ));
        }
        let settings = Settings {
            width: self.width,
            height: self.height,
            fit,
            gravity: self.crop.unwrap_or_default(),
            profile: self.profile,
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

/// The progress line. It is shown on a terminal only, and only with `--out`: without it the list of
/// thumbnails shows the progress.
fn progress(job: &Job) -> ProgressBar {
    let shown = job.out.is_some() && io::stderr().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = "{pos} images, {per_sec}, {elapsed}  {wide_msg}";
    let style = ProgressStyle::with_template(style).expect("it is one of indicatif's templates");
    ProgressBar::with_draw_target(None, target).with_style(style)
}

/// The thumbnail writer, and the progress line that counts its images.
struct CountingWriter<'a> {
    progress: &'a ProgressBar,
    writer: ThumbnailWriter<'a>,
}

impl Sink<crate::Output> for CountingWriter<'_> {
    fn push(&mut self, output: crate::Output) -> ControlFlow<()> {
        if !self.progress.is_hidden() {
            self.progress.set_message(printable(&output.source).to_string());
        }
        let flow = self.writer.push(output);
        self.progress.inc(1);
        flow
    }
}

/// The output, with messages printed above the progress line: written across it, they would garble
/// both.
struct AboveProgress<'a> {
    progress: &'a ProgressBar,
    output: &'a mut Output,
}

impl Sink<Block> for AboveProgress<'_> {
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

//! `resize`'s flags and exit status.

use std::{
    io::{self, IsTerminal},
    ops::ControlFlow,
    path::PathBuf,
};

use clap::{ArgMatches, Args, Command, value_parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    flags,
    kv::size,
    output::{Output, with_output},
    report,
    signals::interrupted,
};
use crate::{
    contract::{Block, Ctx, Model, Sink},
    error::{Error, Result},
    printable::{printable, printable_lines},
    resize::{self, Fit, Format, Gallery, Job, Settings},
};

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

pub(super) fn command() -> Command {
    Flags::augment_args(Command::new("resize").args_override_self(true))
}

pub(super) fn main(model: &Model, ctx: &Ctx, args: &ArgMatches) -> Result<u8> {
    let job = flags::<Flags>(args).job()?;
    let run = model.resize.or_usage(model, "resize")?;
    with_output("resize", &ctx.stop, |output| {
        let progress = progress(&job);
        let mut messages = Above { progress: &progress, output };
        let mut gallery = Counted { progress: &progress, gallery: job.gallery(&mut messages)? };
        let ran = run(&job, ctx, &mut gallery);
        progress.finish_and_clear();
        let Counted { mut gallery, .. } = gallery;
        let (status, totals, trouble) = (gallery.status(), gallery.totals(), gallery.error());
        if let Some(status) = interrupted(&ctx.stop) {
            return Ok(status);
        }
        ran?;
        trouble.map_or(Ok(()), Err)?;
        report("resize", model, ctx, totals)?;
        Ok(status)
    })
}

/// What is made of a command line before anything is done.
#[cfg(test)]
pub(super) fn parse(args: &ArgMatches) -> Result<()> {
    flags::<Flags>(args).job().map(drop)
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

impl Sink<resize::Output> for Counted<'_> {
    fn push(&mut self, output: resize::Output) -> ControlFlow<()> {
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

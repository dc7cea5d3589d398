//! `mandelbrot`'s flags and exit status.

use std::{
    io,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use cc_core::{
    contract::{Block, Ctx, Sink},
    error::{Error, Result},
    output::{Outcome, with_output},
    printable::printable_path,
    replace::Replacement,
    signals::interrupted,
    stop::Stop,
};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::{Job, Picture, Region, Run, Shape, View};

/// Compute the iteration counts of every pixel of a part of the Mandelbrot set.
///
/// Prints a digest of the counts. The exit status is 0, or 1 if a tile could not be computed, or 2
/// after any other error.
#[derive(Debug, Args)]
struct Flags {
    /// Size of the picture, in pixels
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size, default_value = "2048x2048")]
    size: (NonZeroU32, NonZeroU32),
    /// A point belongs to the set if it has not escaped after N iterations
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_iter: u32,
    /// The part of the plane: its lower left and its upper right corner
    #[arg(long, value_name = "X0,Y0,X1,Y1", value_parser = region, allow_hyphen_values = true)]
    region: Option<Region>,
    /// Size of a tile [default: four whole rows]
    #[arg(long, value_name = "ROWSxCOLS", value_parser = size)]
    tile: Option<(NonZeroU32, NonZeroU32)>,
    /// Number of tiles in a task [default: the model decides]
    #[arg(long, value_name = "N")]
    grain: Option<NonZeroU32>,
    /// Write the picture to a PNG file
    #[arg(long, value_name = "FILE.png")]
    out: Option<PathBuf>,
}

/// Maximum number of pixels of a picture: their counts take 4 GiB, four bytes each.
const MAX_PIXELS: u64 = 1 << 30;

/// The workload's flags.
#[must_use]
pub fn command() -> Command {
    Flags::augment_args(Command::new("mandelbrot"))
}

/// Runs the command line.
///
/// # Errors
///
/// The arguments are invalid, or the run could not begin.
pub fn main(run: Run, ctx: &Ctx, args: &ArgMatches) -> Result<Outcome> {
    let flags = flags(args);
    let job = Job { view: flags.view()?, grain: flags.grain };
    with_output("mandelbrot", &ctx.stop, |output| {
        let mut picture = job.picture(output);
        let result = run(&job, ctx, &mut picture);
        // After a signal, its exit status takes precedence over an error of the run.
        if let Some(status) = interrupted(&ctx.stop) {
            return Ok(status.into());
        }
        result?;
        let (failed, totals) = (picture.failed(), picture.totals());
        if let Some(path) = &flags.out {
            write(&picture, path, &ctx.stop).map_err(Error::io(printable_path(path).to_string()))?;
        }
        if !failed {
            let (width, height) = flags.size;
            let line = format!("{:032x} {width}x{height} max-iter {}\n", picture.digest(), flags.max_iter);
            let _ = output.push(Block::Out(line.into_bytes())); // the output reports whether it was written
        }
        Ok(Outcome::of(u8::from(failed), totals))
    })
}

/// Writes the picture as PNG. An existing file is replaced when the picture is complete.
fn write(picture: &Picture, path: &Path, stop: &Stop) -> io::Result<()> {
    let mut file = Replacement::at(path, stop)?;
    picture.write_png(&mut file, stop)?;
    file.commit()
}

/// Checks a command line as `main` does before it runs the job.
///
/// # Errors
///
/// The arguments are invalid.
#[doc(hidden)]
pub fn parse(args: &ArgMatches) -> Result<()> {
    flags(args).view().map(drop)
}

fn flags(args: &ArgMatches) -> Flags {
    Flags::from_arg_matches(args).expect("clap parsed the arguments with the same definitions")
}

impl Flags {
    fn view(&self) -> Result<View> {
        let (width, height) = self.size;
        if u64::from(width.get()) * u64::from(height.get()) > MAX_PIXELS {
            return Err(Error::Usage(format!("--size {width}x{height}: more than {MAX_PIXELS} pixels")));
        }
        let default_view = View::new(width, height);
        let tile = self.tile.map_or(default_view.tile, |(rows, columns)| Shape { rows, columns });
        let region = self.region.unwrap_or_default();
        Ok(View { region, max_iter: self.max_iter, tile, ..default_view })
    }
}

/// Two numbers, neither of them zero, separated by an `x`.
fn size(text: &str) -> Result<(NonZeroU32, NonZeroU32), String> {
    let numbers = text.split_once('x').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers.ok_or_else(|| "expected two numbers greater than zero, such as 640x480".to_owned())
}

fn region(text: &str) -> Result<Region, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[x0, y0, x1, y1]) if [x0, y0, x1, y1].iter().all(|n| n.is_finite()) && x0 < x1 && y0 < y1 => {
            Ok(Region { x0, y0, x1, y1 })
        }
        _ => Err("expected four numbers, the lower left and the upper right corner, such as -2,-1.5,1,1.5"
            .to_owned()),
    }
}

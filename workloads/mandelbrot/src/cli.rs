//! `mandelbrot`'s flags and exit status.

use std::{
    io,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use cc_core::{
    contract::{Block, Ctx, Sink},
    error::{Error, Result, reason},
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
    let cannot_write = |error: io::Error| {
        let path = flags.out.as_deref().unwrap_or(Path::new(""));
        Error::Failed(format!("{}: {}", printable_path(path), reason(&error)))
    };
    with_output("mandelbrot", &ctx.stop, |output| {
        // Before the picture is computed: a file that cannot be written is reported at once.
        let file = flags.out.as_ref().map(|path| Replacement::at(path, &ctx.stop)).transpose();
        if let Some(status) = interrupted(&ctx.stop) {
            return Ok(status.into()); // while it waited for the reader of a pipe
        }
        let file = file.map_err(cannot_write)?;
        let mut picture = job.picture(output);
        let result = run(&job, ctx, &mut picture);
        // After a signal, its exit status takes precedence over an error of the run.
        if let Some(status) = interrupted(&ctx.stop) {
            return Ok(status.into());
        }
        result?;
        let (failed, totals) = (picture.failed(), picture.totals());
        if let Some(file) = file {
            write(&picture, file, &ctx.stop).map_err(cannot_write)?;
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
fn write(picture: &Picture, mut file: Replacement, stop: &Stop) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use std::{fs, num::NonZeroUsize};

    use super::*;
    use crate::{Output, sequential};

    fn status(run: Run, out: &Path) -> u8 {
        let words = ["mandelbrot", "--size", "8x8", "--out", out.to_str().unwrap()];
        let args = command().try_get_matches_from(words).unwrap();
        main(run, &Ctx::new(NonZeroUsize::MIN), &args).unwrap().status
    }

    #[test]
    fn a_file_that_cannot_be_written_is_reported_before_the_picture_is_computed() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("file"), "old").unwrap();
        for name in ["", "none/picture", "file/picture"] {
            let computed: Run = |_, _, _| panic!("the picture is computed");
            assert_eq!(status(computed, &scratch.path().join(name)), 2, "{name}");
        }
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_replaced_only_by_a_picture_that_was_computed() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        fs::write(&path, "old").unwrap();
        let fails: Run = |_, _, _: &mut dyn Sink<Output>| Err(Error::Failed("planned".to_owned()));
        assert_eq!((status(fails, &path), fs::read(&path).unwrap()), (2, b"old".to_vec()));
        assert_eq!(status(sequential::run, &path), 0);
        assert!(fs::read(&path).unwrap().starts_with(b"\x89PNG"));
    }
}

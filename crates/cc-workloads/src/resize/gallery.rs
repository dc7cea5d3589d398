//! The gallery: where the thumbnails go.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    io::{self, Write},
    ops::ControlFlow,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Component, Path},
};

use tempfile::Builder;
use xxhash_rust::xxh3::xxh3_128;

use super::{Made, Output};
use crate::{
    contract::{Block, Sink},
    error::{Error, Result, reason},
    report,
};

/// How much was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Thumbnails made.
    pub images: u64,
    /// Images that could not be made one of.
    pub failed: u64,
    /// Pixels of the images.
    pub pixels: u64,
    /// Bytes of the thumbnails.
    pub bytes: u64,
}

impl From<Totals> for report::Totals {
    fn from(Totals { images, failed, pixels, bytes }: Totals) -> Self {
        let counts = [("images", images), ("failed", failed), ("pixels", pixels), ("bytes", bytes)];
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }
}

/// The sink that every model's outputs go to. See [`Job::gallery`](super::Job::gallery).
pub struct Gallery<'a> {
    /// The folder; none is only a list.
    folder: Option<&'a Path>,
    out: &'a mut dyn Sink<Block>,
    totals: Totals,
    error: Option<Error>,
}

impl<'a> Gallery<'a> {
    pub(super) fn new(folder: Option<&'a Path>, out: &'a mut dyn Sink<Block>) -> Result<Self> {
        if let Some(folder) = folder {
            fs::create_dir_all(folder).map_err(Error::io(folder.display().to_string()))?;
        }
        Ok(Self { folder, out, totals: Totals::default(), error: None })
    }

    /// The totals of everything that was pushed.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// `resize`'s exit status: 0 if every image has its thumbnail, 1 if not.
    #[must_use]
    pub fn status(&self) -> u8 {
        u8::from(self.totals.failed > 0)
    }

    /// What ended the run, if it was the folder: it is full, or cannot be written.
    #[must_use]
    pub fn error(&mut self) -> Option<Error> {
        self.error.take()
    }

    fn failed(&mut self, source: &[u8], why: &str) -> ControlFlow<()> {
        self.totals.failed += 1;
        self.out.push(Block::Err([b"resize: ", source, b": ", why.as_bytes(), b"\n"].concat()))
    }

    /// Puts a thumbnail in its place, or in the list.
    fn hang(&mut self, source: &[u8], target: &[u8], bytes: &[u8], size: (u32, u32)) -> ControlFlow<()> {
        if let Some(folder) = self.folder {
            let target = Path::new(OsStr::from_bytes(target));
            if let Err(error) = write(folder, target, bytes) {
                if is_of_this_one(&error) {
                    let why = format!("{}: {}", folder.join(target).display(), reason(&error));
                    return self.failed(source, &why);
                }
                let what = folder.join(target).display().to_string();
                self.error = Some(Error::io(what)(io::Error::other(reason(&error))));
                return ControlFlow::Break(());
            }
        } else {
            let mut line = format!("{:032x} {}x{} ", xxh3_128(bytes), size.0, size.1).into_bytes();
            line.extend([source, b"\n"].concat());
            self.out.push(Block::Out(line))?;
        }
        self.totals.images += 1;
        self.totals.bytes += bytes.len() as u64;
        ControlFlow::Continue(())
    }
}

impl Sink<Output> for Gallery<'_> {
    fn push(&mut self, Output { source, target, made }: Output) -> ControlFlow<()> {
        match made {
            Made::Failed(why) => self.failed(&source, &why),
            Made::Thumbnail { bytes, width, height, pixels } => {
                self.totals.pixels += pixels;
                self.hang(&source, &target, &bytes, (width, height))
            }
        }
    }
}

/// Writes a file under a temporary name beside its own, which it gets when it is whole.
fn write(folder: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    if !target.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, "not a name below the folder"));
    }
    let target = folder.join(target);
    let parent = target.parent().expect("it is below the folder");
    fs::create_dir_all(parent)?;
    // As any new file: readable by whom the umask lets.
    let mut file = Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(parent)?;
    file.write_all(bytes)?;
    file.persist(&target)?;
    Ok(())
}

/// Whether another thumbnail may well be written where this one cannot.
fn is_of_this_one(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, InvalidFilename, IsADirectory, NotADirectory};
    matches!(error.kind(), AlreadyExists | InvalidFilename | IsADirectory | NotADirectory)
}

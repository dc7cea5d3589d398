//! `resize`: photographs into thumbnails.
//!
//! ```text
//! Job ── tasks() ──> Task ── Resizer::task() ──> Output ── Gallery ──> files, exit status
//! ```
//!
//! A [`Task`] is one image: there are enough of them, and a piece of one cannot be decoded alone. Workers read,
//! decode, scale and encode; the thumbnail comes back as bytes, so that one place writes files (the [`Gallery`], a
//! sink), under a temporary name until they are whole, and no worker's death leaves half of one. Thumbnails are small,
//! so they cost little to bring back.
//!
//! Outputs may come in any order: each says whose thumbnail it is.

// What prints goes through `stdio`, which does not panic and tells what could not be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
mod decode;
mod encode;
mod gallery;
mod image;
pub mod inputs;
mod jpeg;
#[cfg(test)]
mod quality;
mod read;
mod resizer;
mod scale;
mod scope;
pub mod sequential;
mod tasks;
#[cfg(feature = "libjpeg-turbo")]
mod turbo;
mod webp;

use std::path::PathBuf;

use cc_core::{
    contract::{Block, Ctx, Sink},
    error::Result,
    stop::Stop,
};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use gallery::{Gallery, Totals};
pub use read::Loader;
pub use resizer::Resizer;
pub use scope::Scope;
pub use tasks::Tasks;

/// What a model provides: runs the job and pushes every output once, as they are completed. Returns early, and
/// cleans up, once a stop is requested.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// A larger file is refused: it is read as a whole.
pub const MAX_BYTES: u64 = 256 << 20;

/// An image of more pixels is refused before any memory is taken for it: a few bytes can claim to be billions of
/// them.
pub const MAX_PIXELS: u64 = 200_000_000;

/// How much a worker may take for one image, unless [`Settings::memory`] says otherwise. A
/// photograph of a hundred megapixels takes 300 MB, and 600 MB if it is a progressive JPEG.
pub const MAX_MEMORY: u64 = 1 << 30;

/// An image with a longer side is refused, and no thumbnail has one.
pub const MAX_SIDE: u32 = 60_000;

/// What a thumbnail is to be like: all that a worker must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How wide, in pixels.
    pub width: u32,
    /// How high, in pixels; none is as high as the width makes it.
    pub height: Option<u32>,
    /// What becomes of an image of another shape than width × height.
    pub fit: Fit,
    /// What it is written as; none is what the source is.
    pub format: Option<Format>,
    /// Of JPEG: 1 to 100.
    pub quality: u8,
    /// Whether an image smaller than asked for is made larger.
    pub enlarge: bool,
    /// How many bytes of memory an image may take: its pixels, and what its decoder keeps beside
    /// them. One that takes more is refused before any is taken.
    pub memory: u64,
    /// The directory that relative names are relative to; the process's own if empty.
    pub base: ByteBuf,
}

impl Default for Settings {
    /// 512 pixels wide, in the source's format.
    fn default() -> Self {
        Self {
            width: 512,
            height: None,
            fit: Fit::Contain,
            format: None,
            quality: 85,
            enlarge: false,
            memory: MAX_MEMORY,
            base: ByteBuf::new(),
        }
    }
}

/// How an image is fitted into width × height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Fit {
    /// Its shape is kept, and it fits into the box.
    #[default]
    Contain,
    /// Its shape is kept, it fills the box, and what sticks out is cut off, half on each side.
    Cover,
    /// It is stretched to the box.
    Exact,
}

/// A format that images are read from and written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Format {
    /// Lossy.
    Jpeg,
    /// Lossless.
    Png,
    /// Read in both ways, written lossless.
    Webp,
}

/// Which images, and where to put the thumbnails.
#[derive(Debug)]
pub struct Job {
    /// What they are to be like.
    pub settings: Settings,
    /// Files, and directories.
    pub sources: Vec<PathBuf>,
    /// `-r`: what is below the directories' own files, too.
    pub recursive: bool,
    /// The folder the thumbnails go to. Without one, they are made and only listed.
    pub out: Option<PathBuf>,
    /// Whether a thumbnail that is there already is left as it is.
    pub skip_existing: bool,
}

impl Job {
    /// The job's tasks, in the order of the sources and of the names in a directory; the iterator walks directories
    /// as it is asked for more, and ends once a stop is requested.
    #[must_use]
    pub fn tasks(&self, stop: &Stop) -> Tasks<'_> {
        Tasks::new(self, stop)
    }

    /// The sink that puts this job's thumbnails into the folder, which is made if it is not there. Messages, and the
    /// list if there is no folder, go to `out`.
    pub fn gallery<'a>(&'a self, out: &'a mut dyn Sink<Block>) -> Result<Gallery<'a>> {
        Gallery::new(self.out.as_deref(), out)
    }
}

/// One image. Plain data: it may be done anywhere, and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The image's name, as it is opened and reported.
    pub source: ByteBuf,
    /// Where its bytes are.
    pub content: Content,
    /// The thumbnail's name, below the folder.
    pub target: ByteBuf,
}

/// Where an image's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// In the file of that name.
    File,
    /// Here.
    Bytes(ByteBuf),
    /// Nowhere, for this reason.
    Missing(String),
}

impl Task {
    /// The output of a task that could not be done: it panicked, or killed its worker again and again.
    #[must_use]
    pub fn failed(&self, why: &str) -> Output {
        Output {
            source: self.source.clone(),
            target: self.target.clone(),
            made: Made::Failed(why.to_owned()),
        }
    }
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The image's name.
    pub source: ByteBuf,
    /// The thumbnail's name, below the folder.
    pub target: ByteBuf,
    /// What was made of it.
    pub made: Made,
}

/// What was made of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Made {
    /// A thumbnail.
    Thumbnail {
        /// Encoded.
        bytes: ByteBuf,
        /// How wide, in pixels.
        width: u32,
        /// How high, in pixels.
        height: u32,
        /// How many pixels the source has.
        pixels: u64,
    },
    /// Nothing, for this reason.
    Failed(String),
}

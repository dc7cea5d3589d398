//! `resize`: makes thumbnails of photographs.
//!
//! ```text
//! Job ── tasks() ──> Task ── Resizer::task() ──> Output ── ThumbnailWriter ──> files, exit status
//! ```
//!
//! A [`Task`] is one image: a job has many of them, and a part of an image cannot be decoded alone.
//! Workers read, decode, scale and encode. They return the thumbnail as bytes, and a single sink,
//! the [`ThumbnailWriter`], writes all files. Each file has a temporary name until it is complete,
//! so the death of a worker never leaves half a thumbnail. Thumbnails are small, so returning them
//! is cheap.
//!
//! Outputs may arrive in any order: each names its image and its thumbnail.

// All printing goes through `stdio`, which does not panic and reports write errors.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
mod decode;
mod encode;
mod gif;
mod image;
pub mod inputs;
mod jpeg;
#[cfg(test)]
mod jpeg_writer;
mod profile;
#[cfg(test)]
mod quality;
mod read;
mod resizer;
mod scale;
mod scope;
mod separate;
pub mod sequential;
mod tasks;
mod thumbnail_writer;
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

pub use read::Loader;
pub use resizer::Resizer;
pub use scope::Scope;
pub use tasks::Tasks;
pub use thumbnail_writer::{ThumbnailWriter, Totals};

/// The function that each model provides. It runs the job and pushes each output once, as soon as
/// it is complete. Once a stop is requested, it cleans up and returns early.
pub type Run = fn(&Job, &Ctx, &mut dyn Sink<Output>) -> Result<()>;

/// Maximum bytes of a file. A worker reads the whole file into memory, so a larger one is refused.
pub const MAX_BYTES: u64 = 256 << 20;

/// Maximum pixels of an image. An image with more is refused before memory is allocated for it: a
/// header of a few bytes can claim billions of pixels.
pub const MAX_PIXELS: u64 = 200_000_000;

/// Maximum bytes of memory for one image, unless [`Settings::memory`] says otherwise. A photograph
/// of a hundred megapixels takes 300 MB; a progressive JPEG of that size takes up to 900 MB.
pub const MAX_MEMORY: u64 = 1 << 30;

/// Maximum pixels per side, of an image and of a thumbnail.
pub const MAX_SIDE: u32 = 60_000;

/// How thumbnails are made: all that a worker needs besides its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The thumbnail's width in pixels.
    pub width: u32,
    /// The thumbnail's height in pixels; if `None`, it follows from the width and the image's
    /// aspect ratio.
    pub height: Option<u32>,
    /// How an image with another aspect ratio than width:height is fitted.
    pub fit: Fit,
    /// The part of an image that is left of one that is cropped.
    pub gravity: Gravity,
    /// The thumbnail's format; `None` is that of the image.
    pub format: Option<Format>,
    /// The quality of JPEG thumbnails: 1 to 100.
    pub quality: u8,
    /// What becomes of the image's colour profile.
    pub profile: Profile,
    /// Whether an image that is smaller than the thumbnail is enlarged.
    pub enlarge: bool,
    /// Maximum bytes of memory per image: its pixels, and the other buffers of its decoder. An
    /// image that needs more is refused before the memory is allocated.
    pub memory: u64,
    /// The directory that relative names refer to; if empty, the current one of the process.
    pub base: ByteBuf,
}

impl Default for Settings {
    /// A thumbnail of 512 pixels in width, in the image's format.
    fn default() -> Self {
        Self {
            width: 512,
            height: None,
            fit: Fit::Contain,
            gravity: Gravity::Centre,
            format: None,
            quality: 85,
            profile: Profile::Keep,
            enlarge: false,
            memory: MAX_MEMORY,
            base: ByteBuf::new(),
        }
    }
}

/// How an image is fitted into width × height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Fit {
    /// The whole image fits into the box and keeps its aspect ratio.
    #[default]
    Contain,
    /// The image fills the box and keeps its aspect ratio. It is cropped on two opposite sides, or
    /// on one of them.
    Cover,
    /// The image is stretched to the box.
    Exact,
}

/// The part of an image that a thumbnail shows if the image is cropped: the middle, or what lies at
/// a side or in a corner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Gravity {
    /// The middle.
    #[default]
    #[value(alias = "center")]
    Centre,
    /// The top.
    North,
    /// The corner at the top on the right.
    #[value(alias = "northeast")]
    NorthEast,
    /// The right side.
    East,
    /// The corner at the bottom on the right.
    #[value(alias = "southeast")]
    SouthEast,
    /// The bottom.
    South,
    /// The corner at the bottom on the left.
    #[value(alias = "southwest")]
    SouthWest,
    /// The left side.
    West,
    /// The corner at the top on the left.
    #[value(alias = "northwest")]
    NorthWest,
}

/// What becomes of an image's colour profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Profile {
    /// It is copied to the thumbnail.
    #[default]
    Keep,
    /// It is left out, and the samples remain as they are.
    Strip,
    /// The samples are converted to sRGB, and the thumbnail has no profile, which means sRGB.
    Srgb,
}

/// A format of images and thumbnails. GIF is only read, and its thumbnails are PNG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Format {
    /// Lossy.
    Jpeg,
    /// Lossless.
    Png,
    /// Lossy or lossless when read, lossless when written.
    Webp,
}

/// Which images to resize, and where to write the thumbnails.
#[derive(Debug)]
pub struct Job {
    /// How thumbnails are made.
    pub settings: Settings,
    /// Files and directories.
    pub sources: Vec<PathBuf>,
    /// `-r`: whether subdirectories are searched for images.
    pub recursive: bool,
    /// The directory that thumbnails are written to. If `None`, they are made, but only listed.
    pub out: Option<PathBuf>,
    /// Whether an image whose thumbnail exists is skipped.
    pub skip_existing: bool,
}

impl Job {
    /// The job's tasks, in the order of the sources and of the names in each directory. The
    /// iterator reads directories on demand, and ends once a stop is requested.
    #[must_use]
    pub fn tasks(&self, stop: &Stop) -> Tasks<'_> {
        Tasks::new(self, stop)
    }

    /// The sink that writes this job's thumbnails to the output directory, which it creates if
    /// necessary. Messages go to `out`, and so does the list if there is no output directory.
    pub fn thumbnail_writer<'a>(&'a self, out: &'a mut dyn Sink<Block>) -> Result<ThumbnailWriter<'a>> {
        ThumbnailWriter::new(self.out.as_deref(), out)
    }
}

/// One image. A task is plain data: any worker can do it, and it can be repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The image's name, for opening it and for messages.
    pub source: ByteBuf,
    /// Where the image's bytes are.
    pub content: Content,
    /// The thumbnail's name, relative to the output directory.
    pub target: ByteBuf,
}

/// Where an image's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// In the file of the task's name.
    File,
    /// In the task.
    Bytes(ByteBuf),
    /// The image cannot be read, or its thumbnail cannot be made, for this reason.
    Missing(String),
}

impl Task {
    /// The output of a task that could not be completed: it panicked, or it killed its worker
    /// repeatedly.
    #[must_use]
    pub fn failed(&self, why: &str) -> Output {
        Output {
            source: self.source.clone(),
            target: self.target.clone(),
            made: Made::Failed(why.to_owned()),
        }
    }
}

/// The result of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The image's name.
    pub source: ByteBuf,
    /// The thumbnail's name, relative to the output directory.
    pub target: ByteBuf,
    /// The thumbnail, or the reason why there is none.
    pub made: Made,
}

/// A thumbnail, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Made {
    /// A thumbnail.
    Thumbnail {
        /// The encoded thumbnail.
        bytes: ByteBuf,
        /// The thumbnail's width in pixels.
        width: u32,
        /// The thumbnail's height in pixels.
        height: u32,
        /// The number of pixels of the image.
        pixels: u64,
    },
    /// No thumbnail could be made, for this reason.
    Failed(String),
}

//! A picture that is divided into tiles, and a run that computes it.

use cc_core::report::Totals;

/// The size of a picture in pixels, and its number of tiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Picture {
    pub width: u64,
    pub height: u64,
    pub tiles: u64,
}

/// The number of tiles per message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batching {
    /// One.
    Single,
    /// As many as the model decides.
    Joined,
}

impl Batching {
    pub(crate) fn args(self) -> &'static [&'static str] {
        match self {
            Self::Single => &["--grain", "1"],
            Self::Joined => &[],
        }
    }
}

/// A run that computes a picture.
pub(crate) struct PictureRun {
    /// The time in seconds, without that of an empty job.
    pub wall: f64,
    /// `None` if the run was stopped, because it took too long.
    pub totals: Option<Totals>,
}

//! A picture that is cut, and one run that computes it.

use cc_core::report::Totals;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Picture {
    pub width: u64,
    pub height: u64,
    pub tiles: u64,
}

/// How many tiles are handed over at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// One.
    Single,
    /// As many as the model likes.
    Joined,
}

impl Handover {
    pub(crate) fn args(self) -> &'static [&'static str] {
        match self {
            Self::Single => &["--grain", "1"],
            Self::Joined => &[],
        }
    }
}

/// One run.
pub(crate) struct Ran {
    pub wall: f64,
    /// None: it was stopped.
    pub totals: Option<Totals>,
}

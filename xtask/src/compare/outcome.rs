//! The outcome of a comparison, and its exit status.

/// The outcome of a comparison. The worst outcome of all workloads decides the exit status, so the
/// variants are ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Agree,
    Slower,
    Failed,
    Differ,
    Interrupted,
}

impl Outcome {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Agree => 0,
            Self::Slower => 6,
            Self::Failed => 5,
            Self::Differ => 3,
            Self::Interrupted => 130,
        }
    }
}

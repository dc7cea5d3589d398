//! What the command ends with.

/// What the command ends with; the worst of all workloads counts, and the worst comes last.
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

//! What a server is started for.

/// What a run of a service is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Only that it begins to serve.
    Start,
    Load,
    Talk,
    Extra,
}

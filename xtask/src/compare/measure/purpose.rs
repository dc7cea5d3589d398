//! The purpose of a server's run.

/// The purpose of a server's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Only starting: until the server is ready.
    Start,
    /// The timed load.
    Load,
    /// The conversation whose replies are compared.
    Talk,
    /// The untimed measurements: idle connections, single requests, latency at a fixed rate.
    Extra,
}

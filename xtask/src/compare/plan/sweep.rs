//! What a manifest says of how finely its workload may be cut.

use serde::Deserialize;

/// What a manifest says of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sweep {
    /// What is computed. Every pixel must cost the same.
    pub args: Vec<String>,
    /// How wide the picture is.
    pub width: u64,
    /// How it is cut, as `--tile` has it, from coarse to fine.
    pub tiles: Vec<String>,
}

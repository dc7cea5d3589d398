//! The `[granularity]` section of a manifest.

use serde::Deserialize;

/// The `[granularity]` section of a manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sweep {
    /// The arguments of the computation. Every pixel must cost the same.
    pub args: Vec<String>,
    /// The width of the picture.
    pub width: u64,
    /// The sizes of tiles, as `--tile` takes them, from large to small.
    pub tiles: Vec<String>,
}

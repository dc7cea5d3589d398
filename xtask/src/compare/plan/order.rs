//! In which respect the outputs of two programs must be the same.

use serde::{Deserialize, Serialize};

/// What counts as the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// The same bytes.
    #[default]
    Same,
    /// The same lines, in any order.
    Any,
    /// Its output is its own, and so is its exit status.
    Unchecked,
}

//! Which outputs count as the same.

use serde::{Deserialize, Serialize};

/// Which outputs count as the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// The same bytes.
    #[default]
    Same,
    /// The same lines, in any order.
    Any,
    /// Neither the output nor the exit status is compared.
    Unchecked,
}

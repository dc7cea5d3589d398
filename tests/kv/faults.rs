//! A worker is killed: what its shards held is gone, all at once and visibly, and nothing else is.

use cc_conformance::case::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![]
}

//! What the reference did, which all others are held to.

use std::process::ExitStatus;

use cc_core::report::Totals;

/// What the reference did for a query.
pub(crate) struct Expected {
    pub status: ExitStatus,
    pub totals: Totals,
    pub bytes: u64,
}

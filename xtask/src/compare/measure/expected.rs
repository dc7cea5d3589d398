//! The results of the reference, with which those of all other programs must agree.

use std::process::ExitStatus;

use cc_core::report::Totals;

/// The reference's result for a query.
pub(crate) struct Expected {
    pub status: ExitStatus,
    pub totals: Totals,
    pub bytes: u64,
}

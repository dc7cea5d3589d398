//! The processes that this one has started, as a whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::process::tree;

/// Why there is no result of a run that a Ctrl-C ended.
pub(crate) const CANCELLED: &str = "interrupted";

/// Keeps runs, and whatever else starts processes, from happening at the same time: all descendants
/// of this process are taken for the run's.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the descendants of this process when it is dropped, however the run ended: with an error,
/// or a panic.
pub(crate) struct Family;

impl Drop for Family {
    fn drop(&mut self) {
        let _ = tree::kill(drop); // /proc was to be read before
    }
}

//! Guards for code that starts processes: only one such piece of code runs at a time, and it leaves
//! no process behind.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::process::tree;

/// The message of the error that a cancelled run returns.
pub(crate) const CANCELLED: &str = "interrupted";

/// The lock for code that starts processes. A run counts all descendants of this process as its
/// own, so no other process may be started meanwhile.
pub(crate) fn exclusive() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills all descendants of this process when it is dropped, also after an error or a panic.
pub(crate) struct KillDescendants;

impl Drop for KillDescendants {
    fn drop(&mut self) {
        // It fails only if /proc cannot be read, in which case the run has failed as well.
        let _ = tree::kill(drop);
    }
}

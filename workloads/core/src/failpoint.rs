//! Failpoints: named places in the kernels at which a test makes something fail.
//!
//! A kernel calls `hit` once for each piece, tile or image, and what makes the tasks once for each
//! task. That does nothing unless this process has installed a hook, and only the conformance suite
//! installs one (`cargo xtask tidy`). What its hook does is code of the suite's own, and is told to
//! it by a file of the test: nothing of it is in a shipped program, a job or a message.

use std::sync::OnceLock;

/// What is called at each failpoint, with its name and how far the work on what has that name has
/// come.
pub type Hook = fn(name: &[u8], at: u64);

static HOOK: OnceLock<Hook> = OnceLock::new();

/// Has `hook` called at each failpoint that this process reaches from now on.
///
/// # Panics
///
/// If the process has a hook.
pub fn install(hook: Hook) {
    HOOK.set(hook).expect("a hook is installed once");
}

/// Whether a hook is installed: for a failpoint whose name has to be made first.
#[must_use]
pub fn is_enabled() -> bool {
    HOOK.get().is_some()
}

/// Calls the hook, if there is one: it may panic, block, or end the process. Costs one load and a
/// branch otherwise.
pub fn hit(name: &[u8], at: u64) {
    if let Some(hook) = HOOK.get() {
        hook(name, at);
    }
}

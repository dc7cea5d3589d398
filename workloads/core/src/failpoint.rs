//! Failpoints: named places in the kernels at which a test can inject a failure.
//!
//! A kernel calls [`hit`] once for each piece, tile or image, and the code that creates tasks once
//! for each task. The call does nothing unless this process has [installed](install) a hook. Only
//! the conformance suite installs one (`cargo xtask tidy` checks that). What the hook does is part
//! of the suite, which a file of the test configures: no shipped program, job or message contains
//! any of it.

use std::sync::OnceLock;

/// A hook: it is called with the name of the failpoint, and with the position in the named file or
/// image that the work has reached.
pub type Hook = fn(name: &[u8], at: u64);

static HOOK: OnceLock<Hook> = OnceLock::new();

/// Installs the hook that each failpoint of this process calls from now on.
///
/// # Panics
///
/// If a hook is installed already.
pub fn install(hook: Hook) {
    HOOK.set(hook).expect("a hook is installed once");
}

/// Whether a hook is installed: for callers that must first build the failpoint's name.
#[must_use]
pub fn is_enabled() -> bool {
    HOOK.get().is_some()
}

/// Calls the hook, if one is installed. It may panic, block, or end the process. Without a hook
/// this costs one load and one branch.
pub fn hit(name: &[u8], at: u64) {
    if let Some(hook) = HOOK.get() {
        hook(name, at);
    }
}

//! The thread that feeds the pool: started, and joined before the end of its outputs is believed.
//!
//! A channel does not say why it was closed: a thread that panics drops its sender, too. So a
//! closed channel is the end of the input only if [`join`] says that the thread which fed it came
//! to its end.

use std::thread::{self, Scope, ScopedJoinHandle};

use cc_workloads::{Error, Result};

/// Starts the thread.
///
/// # Errors
///
/// If the system refuses it.
pub(crate) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    feed: impl FnOnce() + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, ()>> {
    let thread = thread::Builder::new().name("feed".to_owned());
    thread.spawn_scoped(scope, feed).map_err(|e| Error::worker("thread", e))
}

/// Waits for it. What it may be waiting for must be dropped before.
///
/// # Errors
///
/// If it has panicked.
pub(crate) fn join(feed: ScopedJoinHandle<()>) -> Result<()> {
    feed.join().map_err(|panic| Error::panicked("feed", &*panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_the_runs_error() {
        let joined = thread::scope(|scope| join(start(scope, || panic!("planned"))?));
        assert_eq!(joined.expect_err("it has panicked").to_string(), "feed: panicked: planned");
    }
}

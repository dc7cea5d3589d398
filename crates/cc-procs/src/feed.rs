//! The thread that submits the tasks to the pool.
//!
//! A closed channel does not tell why it was closed: a thread that panics drops its sender just as
//! one that returns. So a closed channel is the end of the input only if [`join`] reports that the
//! thread returned.

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

/// Joins the thread. The other ends of the channels that it may be waiting for must be dropped
/// before; otherwise the join could wait for ever.
///
/// # Errors
///
/// If the thread has panicked.
pub(crate) fn join(thread: ScopedJoinHandle<()>) -> Result<()> {
    thread.join().map_err(|panic| Error::panicked("feed", &*panic))
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

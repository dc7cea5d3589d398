//! The thread that writes bodies into their files.
//!
//! A write may block for long. The thread of the runtime must not wait for it, because it sends the
//! pings that show whether a worker is alive. tokio's blocking pool is no alternative: it panics if
//! the system refuses a thread.

use std::thread::{Builder, JoinHandle};

use cc_workloads::{Error, Result, fetch::Failure};
use tokio::sync::{
    mpsc::{self, Sender},
    oneshot,
};

/// An operation on a file.
type Write = Box<dyn FnOnce() + Send>;

/// Sends operations to the thread.
pub(super) struct Writer(Sender<Write>);

impl Writer {
    /// Starts the thread, which ends when the writer is dropped. At most `capacity` operations
    /// wait.
    ///
    /// # Errors
    ///
    /// If the system refuses a thread.
    pub(super) fn start(capacity: usize) -> Result<(Self, JoinHandle<()>)> {
        let (writes_tx, mut writes_rx) = mpsc::channel::<Write>(capacity);
        let work = move || {
            while let Some(write) = writes_rx.blocking_recv() {
                write();
            }
        };
        let thread = Builder::new().name("writer".to_owned()).spawn(work);
        Ok((Self(writes_tx), thread.map_err(|error| Error::worker("writer", error))?))
    }

    /// Runs an operation on the thread, and waits for its result.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (result_tx, result_rx) = oneshot::channel();
        // A send fails if its receiver is gone: the thread's, if it has panicked, which the next
        // line reports; the caller's, if the run was stopped and the result is not needed.
        let _ = self.0.send(Box::new(move || _ = result_tx.send(work()))).await;
        result_rx.await.unwrap_or_else(|_| Err(Failure::Keep("the writer thread has panicked".to_owned())))
    }
}

//! The thread that writes bodies into their files.
//!
//! A file system may take its time. The threads of the runtime must not wait for it, since they
//! send the pings by which a worker is known to be alive, and its blocking pool panics where the
//! system refuses a thread.

use std::thread::{Builder, JoinHandle};

use cc_workloads::{Error, Result, fetch::Failure};
use tokio::sync::{
    mpsc::{self, Sender},
    oneshot,
};

/// What is to be done with a file.
type Write = Box<dyn FnOnce() + Send>;

/// Takes writes for the thread.
pub(super) struct Writer(Sender<Write>);

impl Writer {
    /// Starts the thread, which ends when the writer is dropped. At most so many writes wait.
    ///
    /// # Errors
    ///
    /// If the system refuses it.
    pub(super) fn start(most: usize) -> Result<(Self, JoinHandle<()>)> {
        let (writes_tx, mut writes_rx) = mpsc::channel::<Write>(most);
        let work = move || {
            while let Some(write) = writes_rx.blocking_recv() {
                write();
            }
        };
        let thread = Builder::new().name("writer".to_owned()).spawn(work);
        Ok((Self(writes_tx), thread.map_err(|error| Error::worker("writer", error))?))
    }

    /// Does this on the thread.
    pub(super) async fn does<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (done_tx, done_rx) = oneshot::channel();
        // The receivers are gone if the run was stopped, or if the thread has panicked, which the
        // next line says.
        let _ = self.0.send(Box::new(move || _ = done_tx.send(work()))).await;
        done_rx.await.unwrap_or_else(|_| Err(Failure::Keep("its writer has ended".to_owned())))
    }
}

//! Threads whose start may fail.
//!
//! tokio starts the threads of its multi-thread runtime and of its blocking pool itself. When the
//! system has no thread to give, it panics, or it goes on with fewer threads than it needs and
//! hangs. Threads of this crate are therefore started with `std`, which returns the error: one
//! drives a current-thread runtime, and blocking work gets its own.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::mpsc::sync_channel,
    thread::{self, JoinHandle},
};

use cc_workloads::{Error, Result, refusal};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};

/// A runtime that is driven by a thread of its own. Dropping it drops its tasks and joins the
/// thread.
pub(super) struct RuntimeThread {
    handle: Handle,
    /// Dropped to end the thread.
    end: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl RuntimeThread {
    /// Starts the thread under this name.
    pub(super) fn start(name: &str) -> Result<Self> {
        let runtime = current_thread()?;
        let (handle, (end, ended)) = (runtime.handle().clone(), oneshot::channel());
        let drive = move || drop(runtime.block_on(ended));
        let thread =
            thread::Builder::new().name(name.to_owned()).spawn(drive).map_err(Error::io("thread"))?;
        Ok(Self { handle, end: Some(end), thread: Some(thread) })
    }

    /// Spawns tasks there, and waits for what needs its timers and sockets.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for RuntimeThread {
    fn drop(&mut self) {
        drop(self.end.take());
        // A panic of the thread has been reported by its hook; there is nothing to add.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Starts a thread that does this with a runtime of its own.
///
/// The runtime is made on that thread: tokio panics where one is dropped within a future, as it
/// would be if it waited here for a thread that cannot be started.
///
/// # Errors
///
/// If there is no thread, or there are no descriptors left for the runtime.
pub(crate) fn with_runtime(
    name: &str,
    work: impl FnOnce(Runtime) + Send + 'static,
) -> Result<JoinHandle<()>> {
    let (made_tx, made_rx) = sync_channel(1);
    let run = move || match current_thread() {
        Ok(runtime) => {
            // The receiver waits for it.
            let _ = made_tx.send(Ok(()));
            work(runtime);
        }
        Err(error) => _ = made_tx.send(Err(error)),
    };
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Error::io("thread"))?;
    let made = made_rx.recv().unwrap_or_else(|_| Err(Error::worker("thread", "panicked")));
    made.map(|()| thread)
}

/// A runtime for the calling thread.
///
/// # Errors
///
/// If there are no descriptors left for it.
pub(crate) fn current_thread() -> Result<Runtime> {
    // tokio panics if it lacks descriptors for its signals.
    let build = || Builder::new_current_thread().enable_all().build();
    refusal::returned("runtime", build)?.map_err(Error::io("runtime"))
}

/// Runs blocking work on a thread of its own, under this name, and waits for its result.
///
/// # Errors
///
/// If the thread cannot be started, or the work panics.
pub(super) async fn blocking<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    // The receiver is gone if the caller was dropped; the result is then not needed.
    let run = move || drop(done.send(work()));
    thread::Builder::new().name(name.to_owned()).spawn(run)?;
    result.await.map_err(|_| io::Error::other("panicked"))
}

/// The addresses of `HOST:PORT`, in the order in which they are to be tried.
///
/// # Errors
///
/// If the host is unknown, or no thread can be started for the lookup.
pub(super) async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let name = address.to_owned();
    blocking("resolve", move || name.to_socket_addrs().map(Iterator::collect)).await?
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};

    use super::*;

    #[test]
    fn dropping_it_drops_its_tasks_and_ends_its_thread() {
        struct Held(SyncSender<&'static str>);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.send("dropped").unwrap();
            }
        }
        let runtime_thread = RuntimeThread::start("test").unwrap();
        let (sender, events) = sync_channel(2);
        runtime_thread.handle().spawn(async move {
            let held = Held(sender);
            held.0.send("runs").unwrap();
            std::future::pending::<()>().await;
        });
        assert_eq!(events.recv(), Ok("runs"));
        drop(runtime_thread);
        assert_eq!(events.iter().collect::<Vec<_>>(), ["dropped"]);
    }

    #[test]
    fn names_are_resolved_and_panics_are_errors() {
        let runtime = current_thread().unwrap();
        assert_eq!(runtime.block_on(resolve("127.0.0.1:7")).unwrap(), ["127.0.0.1:7".parse().unwrap()]);
        let found = runtime.block_on(resolve("localhost:7")).unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7), "{found:?}");
        assert!(runtime.block_on(resolve("localhost")).is_err(), "there is no port");
        let panicked = runtime.block_on(blocking("work", || panic!("expected")));
        assert_eq!(panicked.map(|()| "fine").unwrap_err().to_string(), "panicked");
    }
}

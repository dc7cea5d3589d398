//! Threads whose start may fail.
//!
//! tokio itself starts the threads of its multi-thread runtime and of its blocking pool. If the
//! system refuses a thread, it panics, or goes on with fewer threads than it needs and hangs. So
//! this crate starts its threads with `std`, which returns the error: one thread drives a
//! current-thread runtime, and blocking work gets a thread of its own.

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

/// A runtime that a separate thread drives. Dropping it drops its tasks, and joins the thread.
pub(super) struct RuntimeThread {
    handle: Handle,
    /// Dropped to end the thread.
    end_tx: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl RuntimeThread {
    /// Starts the thread, with this name.
    pub(super) fn start(name: &str) -> Result<Self> {
        let runtime = current_thread()?;
        let handle = runtime.handle().clone();
        let (end_tx, end_rx) = oneshot::channel();
        let drive = move || drop(runtime.block_on(end_rx));
        let thread =
            thread::Builder::new().name(name.to_owned()).spawn(drive).map_err(Error::io("thread"))?;
        Ok(Self { handle, end_tx: Some(end_tx), thread: Some(thread) })
    }

    /// A handle to spawn tasks on the runtime, or to wait for its timers and sockets.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for RuntimeThread {
    fn drop(&mut self) {
        drop(self.end_tx.take());
        // The panic hook has reported a panic of the thread.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Starts a thread that does this work with a runtime of its own.
///
/// The runtime is made on that thread. Made here, it would be dropped here if the thread cannot be
/// started; the caller may be a future, and tokio panics when a runtime is dropped within one.
///
/// # Errors
///
/// If the system refuses the thread, or the descriptors for the runtime.
pub(crate) fn with_runtime(
    name: &str,
    work: impl FnOnce(Runtime) + Send + 'static,
) -> Result<JoinHandle<()>> {
    let (made_tx, made_rx) = sync_channel(1);
    let run = move || match current_thread() {
        Ok(runtime) => {
            // It cannot fail: the receiver is waiting.
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
/// If the system refuses the descriptors for it.
pub(crate) fn current_thread() -> Result<Runtime> {
    // tokio panics if it gets no descriptors for its signal handler; this returns that as an error.
    let build = || Builder::new_current_thread().enable_all().build();
    refusal::returned("runtime", build)?.map_err(Error::io("runtime"))
}

/// Runs blocking work on a thread of its own, with this name, and waits for its result.
///
/// # Errors
///
/// If the thread cannot be started, or the work panics.
pub(super) async fn blocking<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (result_tx, result_rx) = oneshot::channel();
    // The receiver is gone if the caller was dropped; the result is then not needed.
    let run = move || drop(result_tx.send(work()));
    thread::Builder::new().name(name.to_owned()).spawn(run)?;
    result_rx.await.map_err(|_| io::Error::other("panicked"))
}

/// The IP addresses of `HOST:PORT`, in the order in which to try them.
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
        struct SendOnDrop(SyncSender<&'static str>);
        impl Drop for SendOnDrop {
            fn drop(&mut self) {
                self.0.send("dropped").unwrap();
            }
        }
        let runtime_thread = RuntimeThread::start("test").unwrap();
        let (events_tx, events_rx) = sync_channel(2);
        runtime_thread.handle().spawn(async move {
            let on_drop = SendOnDrop(events_tx);
            on_drop.0.send("runs").unwrap();
            std::future::pending::<()>().await;
        });
        assert_eq!(events_rx.recv(), Ok("runs"));
        drop(runtime_thread);
        assert_eq!(events_rx.iter().collect::<Vec<_>>(), ["dropped"]);
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

//! The handle of something that was spawned, whose only possible error is a panic.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use cc_workloads::error::panic_reason;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

/// A function in the blocking pool, or a future that is a task of the runtime. It runs whether or
/// not this handle is polled. Awaiting the handle gives its output, or the message of its panic.
///
/// Dropping the handle aborts it: a function only if it has not begun, a future at the `await`
/// where it waits. A plain `JoinHandle` would detach it instead, and it would outlive its run.
pub struct Spawned<O>(AbortOnDropHandle<O>);

impl<O> Spawned<O> {
    /// Takes over the handle.
    pub fn new(handle: JoinHandle<O>) -> Self {
        Self(AbortOnDropHandle::new(handle))
    }
}

impl<O> Future for Spawned<O> {
    type Output = Result<O, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // `into_panic` is safe to call: a `JoinError` is either a panic or a cancellation. Only two
        // things cancel: dropping this handle, after which it is not polled, and the shutdown of
        // the runtime. `Run::join` ends all tasks that await a handle before the runtime shuts
        // down.
        Pin::new(&mut self.0).poll(cx).map_err(|failure| panic_reason(&*failure.into_panic()))
    }
}

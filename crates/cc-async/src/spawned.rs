//! What was spawned and is awaited: its error is a panic.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use cc_workloads::error::panic_reason;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

/// Something that was spawned: a function in the blocking pool, or a future on the runtime. It has
/// started already; as a future, this is its output, or why it has panicked. Dropping this aborts
/// it: a function if it has not begun, a future where it waits.
pub struct Spawned<O>(AbortOnDropHandle<O>);

impl<O> Spawned<O> {
    /// Takes the handle of what was spawned.
    pub fn new(handle: JoinHandle<O>) -> Self {
        Self(AbortOnDropHandle::new(handle))
    }
}

impl<O> Future for Spawned<O> {
    type Output = Result<O, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Only dropping the handle aborts the task, and this one is held: the task has panicked.
        Pin::new(&mut self.0).poll(cx).map_err(|failure| panic_reason(&*failure.into_panic()))
    }
}

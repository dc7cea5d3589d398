//! A bounded queue of pending results gives order and backpressure in one. `feed` puts the pending
//! result of each task into it, in the order of the tasks, and waits while it is full. The workers
//! complete the pending results in any order. `gather` takes them in the order of the queue and
//! waits for each.

use std::ops::ControlFlow;

use crossbeam_channel::Sender;

/// The output of a task that a worker completes later.
///
/// The channel comes from the crate `oneshot`, because its receiver parks immediately. A receiver
/// of crossbeam first spins and yields, and so takes processor time from the workers.
pub struct Pending<O>(oneshot::Receiver<O>);

impl<O> Pending<O> {
    /// Waits for the output. Breaks if the request was dropped: the run is about to end.
    pub fn wait(self) -> ControlFlow<(), O> {
        self.0.recv().map_or(ControlFlow::Break(()), ControlFlow::Continue)
    }
}

/// A task and the channel for its output. Dropping the request abandons the pending result, so a
/// thread that waits for it does not wait forever.
pub struct Request<T, O> {
    /// The task to do.
    pub task: T,
    reply: oneshot::Sender<O>,
}

impl<T, O> Request<T, O> {
    /// Returns the request, for the workers, and its pending result, for `gather`.
    pub fn new(task: T) -> (Self, Pending<O>) {
        let (reply, pending) = oneshot::channel();
        (Self { task, reply }, Pending(pending))
    }

    /// Queues the pending result of a task, then the request. Waits for room in the queue of
    /// pending results first, since that queue is the bound on tasks in flight. Breaks if one of
    /// the queues has no receiver left.
    pub fn submit(task: T, pending_tx: &Sender<Pending<O>>, requests_tx: &Sender<Self>) -> ControlFlow<()> {
        let (request, pending) = Self::new(task);
        let is_queued = pending_tx.send(pending).is_ok() && requests_tx.send(request).is_ok();
        if is_queued { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Completes the pending result. Its receiver is gone if the run was stopped; the output is
    /// then not needed.
    pub fn complete(self, output: O) {
        let _ = self.reply.send(output);
    }
}

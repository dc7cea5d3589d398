//! Promises give order and bound in one: `feed` lines them up in the order of the tasks, in a
//! bounded queue, and `gather` waits for each in turn, whichever is kept first.

use std::ops::ControlFlow;

use crossbeam_channel::Sender;

/// Where the output of a task is waited for. The thread sleeps at once: one that yields now and
/// then to look again, as crossbeam's do, seems busy to the kernel, which then leaves two workers
/// on one core.
pub struct Promise<O>(oneshot::Receiver<O>);

impl<O> Promise<O> {
    /// The output, waited for. A broken promise is a break: the run is about to end.
    pub fn kept(self) -> ControlFlow<(), O> {
        self.0.recv().map_or(ControlFlow::Break(()), ControlFlow::Continue)
    }
}

/// A task, and the other end of its promise. The promise is broken if this is dropped.
pub struct Order<T, O> {
    /// What is to be done.
    pub task: T,
    done: oneshot::Sender<O>,
}

impl<T, O> Order<T, O> {
    /// The order goes to the workers, its promise into the line.
    pub fn new(task: T) -> (Self, Promise<O>) {
        let (done, promise) = oneshot::channel();
        (Self { task, done }, Promise(promise))
    }

    /// Queues a task for the workers, and before it the promise of its output in the line. Breaks
    /// if one of them has no receiver any more.
    pub fn place(task: T, promises: &Sender<Promise<O>>, fed: &Sender<Self>) -> ControlFlow<()> {
        let (order, promise) = Self::new(task);
        let placed = promises.send(promise).is_ok() && fed.send(order).is_ok();
        if placed { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Keeps the promise. Its receiver is gone if the run was stopped; the output is then not
    /// needed.
    pub fn keep(self, output: O) {
        let _ = self.done.send(output);
    }
}

//! The thread that lists the tasks of a run. Its system calls block (walking through directories,
//! reading standard input), so it cannot be a future. In the blocking pool, it would occupy one of
//! the pool's threads for most of the run.

use std::thread::{self, Scope, ScopedJoinHandle};

use cc_workloads::{Error, Result};
use tokio::sync::mpsc::{self, Receiver};

/// The thread. It ends when there are no more tasks, or when their receiver is dropped.
pub struct Source<'scope>(ScopedJoinHandle<'scope, ()>);

impl<'scope> Source<'scope> {
    /// Starts the thread, and returns it with the receiver of its tasks.
    ///
    /// The channel connects a thread and a future: the thread waits in `blocking_send`, the future
    /// in `recv().await`. It has room for one task, so the thread looks for the next task while
    /// the future waits for something else.
    ///
    /// # Errors
    ///
    /// If the system cannot create a thread.
    pub fn start<T: Send + 'scope>(
        scope: &'scope Scope<'scope, '_>,
        tasks: impl Iterator<Item = T> + Send + 'scope,
    ) -> Result<(Self, Receiver<T>)> {
        let (tasks_tx, tasks_rx) = mpsc::channel(1);
        let feed = move || {
            for task in tasks {
                if tasks_tx.blocking_send(task).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("source".to_owned()).spawn_scoped(scope, feed);
        Ok((Self(thread.map_err(|error| Error::worker("thread", error))?), tasks_rx))
    }

    /// Waits until the thread has ended.
    ///
    /// # Errors
    ///
    /// If the thread has panicked: the tasks that were received are then incomplete.
    pub fn join(self) -> Result<()> {
        self.0.join().map_err(|panic| Error::panicked("source", &*panic))
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    #[test]
    fn all_tasks_are_received_in_order() {
        let received = thread::scope(|scope| {
            let (source, mut tasks_rx) = Source::start(scope, 0..3)?;
            let received: Vec<_> = iter::from_fn(|| tasks_rx.blocking_recv()).collect();
            source.join().map(|()| received)
        });
        assert_eq!(received.unwrap(), [0, 1, 2]);
    }

    #[test]
    fn a_thread_whose_tasks_are_not_received_ends() {
        let joined = thread::scope(|scope| {
            let (source, tasks_rx) = Source::start(scope, iter::repeat(()))?;
            drop(tasks_rx);
            source.join()
        });
        assert!(joined.is_ok());
    }

    #[test]
    fn a_panic_of_a_thread_is_the_runs_error() {
        let joined = thread::scope(|scope| {
            let tasks = iter::from_fn(|| -> Option<()> { panic!("planned") });
            let (source, _tasks_rx) = Source::start(scope, tasks)?;
            source.join()
        });
        assert_eq!(joined.unwrap_err().to_string(), "source: panicked: planned");
    }
}

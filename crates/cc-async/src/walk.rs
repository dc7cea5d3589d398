//! The thread that looks for tasks: what waits in system calls, such as a walk through directories
//! or a read of standard input, is no future. Nor is it for the blocking pool, which is for what
//! ends soon.

use std::thread::{self, Scope, ScopedJoinHandle};

use cc_workloads::{Error, Result};
use tokio::sync::mpsc::{self, Receiver};

/// The thread. It ends when there are no more tasks, or when their receiver is gone.
pub struct Walk<'scope>(ScopedJoinHandle<'scope, ()>);

/// Starts the thread, and returns with it the end at which its tasks are received.
///
/// # Errors
///
/// If the system refuses it.
pub fn walk<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    mut tasks: impl Iterator<Item = T> + Send + 'scope,
) -> Result<(Walk<'scope>, Receiver<T>)> {
    let (walked, received) = mpsc::channel(1);
    let send = move || _ = tasks.try_for_each(|task| walked.blocking_send(task));
    let thread = thread::Builder::new().name("walk".to_owned()).spawn_scoped(scope, send);
    Ok((Walk(thread.map_err(|error| Error::worker("thread", error))?), received))
}

impl Walk<'_> {
    /// Waits for the thread.
    ///
    /// # Errors
    ///
    /// If it has panicked: then the tasks that were received are not all.
    pub fn join(self) -> Result<()> {
        self.0.join().map_err(|panic| Error::panicked("walk", &*panic))
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    #[test]
    fn all_tasks_are_received_in_order() {
        let received = thread::scope(|scope| {
            let (walk, mut tasks) = walk(scope, 0..3)?;
            let received: Vec<_> = iter::from_fn(|| tasks.blocking_recv()).collect();
            walk.join().map(|()| received)
        });
        assert_eq!(received.unwrap(), [0, 1, 2]);
    }

    #[test]
    fn a_thread_whose_tasks_are_not_received_ends() {
        let joined = thread::scope(|scope| {
            let (walk, tasks) = walk(scope, iter::repeat(()))?;
            drop(tasks);
            walk.join()
        });
        assert!(joined.is_ok());
    }

    #[test]
    fn a_panic_of_a_thread_is_the_runs_error() {
        let joined = thread::scope(|scope| {
            let (walk, _tasks) = walk(scope, iter::from_fn(|| -> Option<()> { panic!("planned") }))?;
            walk.join()
        });
        assert_eq!(joined.unwrap_err().to_string(), "walk: panicked: planned");
    }
}

//! The output of a task that was given to the blocking pool.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::spawned::Spawned;

/// The output of a task that has been started. Dropping it calls the task off if it has not begun.
pub struct Promise<T, O> {
    task: Arc<T>,
    output: Spawned<O>,
    failed: fn(&T, &str) -> O,
}

impl<T: Send + Sync + 'static, O: Send + 'static> Promise<T, O> {
    /// Has `work` done with the task in the blocking pool. If that panics, the output is what `failed` makes of it.
    pub fn of(task: T, failed: fn(&T, &str) -> O, work: impl FnOnce(&T) -> O + Send + 'static) -> Self {
        let task = Arc::new(task);
        let output = spawn_blocking({
            let task = task.clone();
            move || work(&task)
        });
        Self { task, output: Spawned::new(output), failed }
    }

    /// The output, waited for.
    pub async fn kept(self) -> O {
        self.output.await.unwrap_or_else(|why| (self.failed)(&self.task, &why))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    };

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn one_blocking_thread() -> Runtime {
        Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).build().unwrap()
    }

    fn promise(work: impl FnOnce() -> String + Send + 'static) -> Promise<&'static str, String> {
        Promise::of("poem", |task, why| format!("{task}: {why}"), move |_| work())
    }

    #[test]
    fn a_panic_is_the_output_of_its_task() {
        let output = one_blocking_thread().block_on(async { promise(|| panic!("planned")).kept().await });
        assert_eq!(output, "poem: panicked: planned");
    }

    #[test]
    fn a_task_whose_promise_is_dropped_before_it_begins_is_called_off() {
        let runtime = one_blocking_thread();
        let (gate, shut) = sync_channel::<()>(0);
        let has_begun = Arc::new(AtomicBool::new(false));
        runtime.block_on(async {
            // The only thread is held by the first, so the second cannot begin before it is dropped.
            let held = spawn_blocking(move || shut.recv());
            let has_begun = has_begun.clone();
            drop(promise(move || {
                has_begun.store(true, Ordering::SeqCst);
                String::new()
            }));
            drop(gate);
            let _ = held.await;
        });
        drop(runtime);
        assert!(!has_begun.load(Ordering::SeqCst));
    }
}

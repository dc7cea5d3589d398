//! The pending result of a task that runs in the blocking pool.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::spawned::Spawned;

/// The output of a task that was spawned and may still run. Dropping it cancels the task if that
/// has not begun.
pub struct Pending<T, O> {
    task: Arc<T>,
    output: Spawned<O>,
    failed: fn(&T, &str) -> O,
}

impl<T: Send + Sync + 'static, O: Send + 'static> Pending<T, O> {
    /// Spawns `work` with the task in the blocking pool. If it panics, the output is what `failed`
    /// makes of the panic's message.
    pub fn spawn(task: T, failed: fn(&T, &str) -> O, work: impl FnOnce(&T) -> O + Send + 'static) -> Self {
        let task = Arc::new(task);
        let output = spawn_blocking({
            let task = task.clone();
            move || work(&task)
        });
        Self { task, output: Spawned::new(output), failed }
    }

    /// Waits for the output.
    pub async fn output(self) -> O {
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

    fn pending(work: impl FnOnce() -> String + Send + 'static) -> Pending<&'static str, String> {
        Pending::spawn("poem", |task, why| format!("{task}: {why}"), move |_| work())
    }

    #[test]
    fn a_panic_is_the_output_of_its_task() {
        let output = one_blocking_thread().block_on(async { pending(|| panic!("planned")).output().await });
        assert_eq!(output, "poem: panicked: planned");
    }

    #[test]
    fn a_task_whose_pending_result_is_dropped_before_it_begins_is_cancelled() {
        let runtime = one_blocking_thread();
        let (gate_tx, gate_rx) = sync_channel::<()>(0);
        let has_begun = Arc::new(AtomicBool::new(false));
        runtime.block_on(async {
            // The first task occupies the only thread, so the second cannot begin before its
            // pending result is dropped.
            let first = spawn_blocking(move || gate_rx.recv());
            let has_begun = has_begun.clone();
            drop(pending(move || {
                has_begun.store(true, Ordering::SeqCst);
                String::new()
            }));
            drop(gate_tx);
            let _ = first.await;
        });
        drop(runtime);
        assert!(!has_begun.load(Ordering::SeqCst));
    }
}

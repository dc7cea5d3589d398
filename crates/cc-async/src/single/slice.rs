//! A slice: what a future does before the others on its thread have their turn.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cc_workloads::error::panic_reason;
use tokio::{
    sync::mpsc::{Sender, error::SendError},
    task::yield_now,
};

/// The output of a slice. A panic is that slice's failure, not the run's: a kernel begins each task
/// afresh, so a panic leaves nothing behind that the next one would see.
pub(crate) fn slice<O>(kernel: impl FnOnce() -> O, failed: impl FnOnce(&str) -> O) -> O {
    catch_unwind(AssertUnwindSafe(kernel)).unwrap_or_else(|panic| failed(&panic_reason(&*panic)))
}

/// Sends the output of a slice, and lets the other futures have their turn: a send into a queue
/// with room does not wait, and a future that never waits keeps the thread.
pub(crate) async fn send_and_yield<O>(done: &Sender<O>, output: O) -> Result<(), SendError<O>> {
    done.send(output).await?;
    yield_now().await;
    Ok(())
}

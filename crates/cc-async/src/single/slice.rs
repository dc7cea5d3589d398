//! A slice: the work that a future does before it yields to the other futures on its thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cc_workloads::error::panic_reason;
use tokio::{
    sync::mpsc::{Sender, error::SendError},
    task::yield_now,
};

/// Returns the output of a slice. A panic becomes the output that `failed` makes of its message,
/// and the run continues.
///
/// `AssertUnwindSafe` is sound here. A kernel resets its buffers at the start of each task, so a
/// task never sees state that a panic has left half-changed.
pub(crate) fn slice<O>(kernel: impl FnOnce() -> O, failed: impl FnOnce(&str) -> O) -> O {
    catch_unwind(AssertUnwindSafe(kernel)).unwrap_or_else(|panic| failed(&panic_reason(&*panic)))
}

/// Sends the output of a slice, then yields to the other futures. Without the yield, a send into a
/// channel with room completes at once, and a future that never waits keeps the thread.
pub(crate) async fn send_and_yield<O>(outputs_tx: &Sender<O>, output: O) -> Result<(), SendError<O>> {
    outputs_tx.send(output).await?;
    yield_now().await;
    Ok(())
}

//! Catches the panic of a task on the thread that runs it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cc_workloads::error::panic_reason;

/// Returns the output of a task. A panic becomes the output that `failed` makes of its message, and
/// the worker continues.
///
/// `AssertUnwindSafe` is sound here. A kernel resets its buffers at the start of each task, so a
/// task never sees state that a panic has left half-changed.
pub(crate) fn caught<O>(kernel: impl FnOnce() -> O, failed: impl FnOnce(&str) -> O) -> O {
    catch_unwind(AssertUnwindSafe(kernel)).unwrap_or_else(|panic| failed(&panic_reason(&*panic)))
}

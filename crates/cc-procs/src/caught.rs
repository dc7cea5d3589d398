//! Catches the panic of a task in a worker process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cc_workloads::error::panic_reason;

/// Returns a function that does one task after the other. A panic becomes the output that `failed`
/// makes of its message, and the worker continues.
///
/// `AssertUnwindSafe` is sound here: a kernel resets its buffers at the start of each task, so the
/// next task never sees state that a panic has left half-changed.
pub(crate) fn caught<T, O>(
    mut kernel: impl FnMut(&T) -> O,
    failed: impl Fn(&T, &str) -> O,
) -> impl FnMut(T) -> O {
    move |task| {
        catch_unwind(AssertUnwindSafe(|| kernel(&task)))
            .unwrap_or_else(|panic| failed(&task, &panic_reason(&*panic)))
    }
}

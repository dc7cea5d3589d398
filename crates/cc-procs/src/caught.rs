//! Where a worker process catches the panic of a task.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cc_workloads::error::panic_reason;

/// Does one task after the other. A panic is that task's failure, and the worker goes on: a kernel
/// begins each task afresh, so a panic leaves nothing behind that the next one would see.
pub(crate) fn caught<T, O>(
    mut kernel: impl FnMut(&T) -> O,
    failed: impl Fn(&T, &str) -> O,
) -> impl FnMut(T) -> O {
    move |task| {
        catch_unwind(AssertUnwindSafe(|| kernel(&task)))
            .unwrap_or_else(|panic| failed(&task, &panic_reason(&*panic)))
    }
}

//! Where the panic of a task is caught: on the thread that does it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cc_workloads::error::panic_reason;

/// The output of a task. A panic is that task's failure, and the worker goes on: a kernel begins
/// each task afresh, so a panic leaves nothing behind that the next one would see.
pub(crate) fn caught<O>(kernel: impl FnOnce() -> O, failed: impl FnOnce(&str) -> O) -> O {
    catch_unwind(AssertUnwindSafe(kernel)).unwrap_or_else(|panic| failed(&panic_reason(&*panic)))
}

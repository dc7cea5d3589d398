//! What the workspace's tests under random schedules are made of.
//!
//! Such a test compiles a source file of the product, unchanged, against stand-ins for what the
//! file is written against, and runs it under thousands of schedules. The stand-ins are made of
//! shuttle's primitives, so that shuttle decides at each of their operations which thread goes on.
//! It prints a schedule under which a test fails, and `shuttle::replay` runs that again.
//!
//! This crate stands in for three others, which have no name in common: a test says
//! `extern crate cc_schedules as std`, `as crossbeam_channel` or `as cc_workloads`, and the file's
//! `use` lines find here what they name.

mod channel;
#[allow(dead_code, missing_docs)]
#[path = "../../../workloads/core/src/error.rs"]
pub mod error;
pub mod grep;
pub mod oneshot;
mod run;
mod spec;
#[allow(dead_code)]
#[path = "../../../workloads/core/src/stop.rs"]
pub mod stop;
pub mod sync;
pub mod thread;
pub mod tokio_sync;

// What has no part in concurrency is std's own.
pub use std::{collections, convert, fmt, io, iter, mem, num, ops, panic, process, str, time};

pub use channel::{
    Iter, Ready, Receiver, RecvError, RecvTimeoutError, SendError, Sender, TryRecvError, TrySendError, at,
    bounded, wait_for_any,
};
pub use error::{Error, Result};
pub use run::{Case, run};
pub use spec::{Ctx, Sink};
pub use stop::{Cause, Stop};

use std::time::Duration;

/// Lets shuttle decide which thread goes on.
///
/// Not while this thread unwinds: all threads of a test are one to the system, so the others would
/// seem to panic, too.
pub fn scheduling_point() {
    if !std::thread::panicking() {
        shuttle::thread::sleep(Duration::ZERO);
    }
}

/// Panics as a test plans it: the panic is not printed, and shuttle does not take it for a failure
/// of the test.
pub fn planned_panic() -> ! {
    panic::resume_unwind(Box::new("planned"))
}

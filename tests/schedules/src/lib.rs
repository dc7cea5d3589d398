//! The parts of the workspace's tests under random schedules.
//!
//! Such a test compiles a source file of the product, unchanged, against stand-ins for the crates
//! that the file uses, and runs it under thousands of schedules. The stand-ins are made of
//! shuttle's primitives, so shuttle decides at each of their operations which thread goes on. It
//! prints a schedule under which a test fails, and `shuttle::replay` repeats it.
//!
//! This crate stands in for three others, whose names do not overlap. A test says `extern crate
//! cc_schedules as std`, `as crossbeam_channel` or `as cc_workloads`, and the file's `use` lines
//! find the names here.

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

// Parts of std without concurrency are std's own.
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
/// Does nothing while this thread unwinds: to std, all threads of a test are one, so the other
/// threads would appear to panic too.
pub fn scheduling_point() {
    if !std::thread::panicking() {
        shuttle::thread::sleep(Duration::ZERO);
    }
}

/// Panics as a test has planned: the panic is not printed, and shuttle does not take it for a
/// failure of the test.
pub fn planned_panic() -> ! {
    panic::resume_unwind(Box::new("planned"))
}

//! Stands in for the part of `std::sync` that the files under test use.

pub use shuttle::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError, atomic, mpsc};
// As the spec's `sync` has them, of which `Stop` is made.
pub(crate) use shuttle::sync::atomic::{AtomicBool, Ordering};

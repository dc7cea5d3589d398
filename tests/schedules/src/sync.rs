//! Stands in for the part of `std::sync` that the files under test use.

pub use shuttle::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError, atomic, mpsc};
// The names that `Stop` takes from the spec's `sync`.
pub(crate) use shuttle::sync::atomic::{AtomicBool, Ordering};

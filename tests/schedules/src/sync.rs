//! Stands in for the part of `std::sync` that the files under test use.

pub use shuttle::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};

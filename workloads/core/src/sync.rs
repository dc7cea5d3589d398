//! The primitives that [`stop`](crate::stop) uses. `tests/schedules` compiles `stop.rs` with
//! shuttle's primitives instead.

pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

//! What [`stop`](crate::stop) is made of. `tests/schedules` compiles that file against shuttle's
//! primitives instead.

pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

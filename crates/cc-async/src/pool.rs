//! An object pool: kernels that are expensive to make, lent to one blocking task after the other.
//!
//! A task in tokio's blocking pool must own what it uses, and runs on any thread that is free. A
//! worker thread, as in `cc-threads`, keeps its kernel from task to task (a compiled search, a warm
//! buffer). Here, a task borrows a kernel from this pool and gives it back.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A pool of values. It has no threads; tokio's blocking pool has those.
///
/// It never waits: if no value is idle, it makes another. So it holds as many values as were ever
/// lent at the same time: at most one for each thread of the blocking pool.
#[derive(Debug)]
pub struct Pool<T> {
    model: T,
    /// A lock of `std`, not of tokio: it is held for one push or pop, and never across an `await`.
    idle: Mutex<Vec<T>>,
}

impl<T: Clone> Pool<T> {
    /// An empty pool, which will make its values by cloning `model`.
    pub fn new(model: T) -> Self {
        Self { model, idle: Mutex::default() }
    }

    /// Lends the value that was returned last, since its memory is the most likely to be in a
    /// cache.
    pub fn lend(&self) -> Lent<'_, T> {
        let value = self.idle().pop().unwrap_or_else(|| self.model.clone());
        Lent { value: Some(value), pool: self }
    }
}

impl<T> Pool<T> {
    fn idle(&self) -> MutexGuard<'_, Vec<T>> {
        // Poison is ignored: a push or pop is never left half-done by a panic elsewhere.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value that returns to its pool when it is dropped, also while its borrower unwinds.
#[derive(Debug)]
pub struct Lent<'a, T> {
    /// None only after `drop` has taken it.
    value: Option<T>,
    pool: &'a Pool<T>,
}

impl<T> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("only `drop` takes the value")
    }
}

impl<T> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("only `drop` takes the value")
    }
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        self.pool.idle().extend(self.value.take());
    }
}

#[cfg(test)]
mod tests {
    use std::{panic::catch_unwind, sync::Barrier, thread};

    use super::*;

    #[test]
    fn the_next_borrower_gets_what_the_last_has_changed() {
        let pool = Pool::new(Vec::new());
        pool.lend().push(1);
        pool.lend().push(2);
        assert_eq!(*pool.lend(), [1, 2]);
    }

    #[test]
    fn the_value_that_was_returned_last_is_lent_first() {
        let pool = Pool::new(0);
        let (mut first, mut second) = (pool.lend(), pool.lend());
        (*first, *second) = (1, 2);
        drop((first, second));
        assert_eq!(*pool.lend(), 2);
    }

    #[test]
    fn there_are_as_many_values_as_were_lent_at_the_same_time() {
        let (pool, both_have_one) = (Pool::new(()), Barrier::new(2));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _lent = pool.lend();
                    both_have_one.wait();
                });
            }
        });
        drop(pool.lend());
        assert_eq!(pool.idle().len(), 2);
    }

    #[test]
    fn a_borrower_that_panics_returns_its_value() {
        let pool = Pool::new(0);
        let panicked = catch_unwind(|| {
            *pool.lend() = 1;
            let _lent = pool.lend();
            panic!("planned");
        });
        assert!(panicked.is_err());
        assert_eq!(*pool.lend(), 1);
    }
}

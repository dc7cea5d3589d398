//! Values that are dear to make, lent to one blocking task after the other.
//!
//! A task in tokio's blocking pool owns what it uses, and runs on whatever thread is free. So what a thread
//! of one's own would keep from task to task (a compiled search, a warm buffer) is borrowed here and given
//! back.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// As many values as were ever borrowed at the same time. Nobody waits for one, so what bounds them is what
/// bounds the borrowers: the threads of the blocking pool.
#[derive(Debug)]
pub struct Pool<T> {
    model: T,
    /// A standard mutex, not tokio's: it is held for a push or a pop, and never across an `await`.
    idle: Mutex<Vec<T>>,
}

impl<T: Clone> Pool<T> {
    /// A pool of clones of `model`.
    pub fn new(model: T) -> Self {
        Self { model, idle: Mutex::default() }
    }

    /// Lends the value that came back last, whose memory is likeliest to be in a cache still.
    pub fn lend(&self) -> Lent<'_, T> {
        let value = self.idle().pop().unwrap_or_else(|| self.model.clone());
        Lent { value: Some(value), pool: self }
    }
}

impl<T> Pool<T> {
    fn idle(&self) -> MutexGuard<'_, Vec<T>> {
        // Whole values go in and out, so a panic elsewhere leaves nothing half-done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value that goes back to its pool when it is dropped, also by a borrower that panics.
#[derive(Debug)]
pub struct Lent<'a, T> {
    /// None only once it has gone back.
    value: Option<T>,
    pool: &'a Pool<T>,
}

impl<T> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("goes back last")
    }
}

impl<T> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("goes back last")
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
    fn what_a_borrower_changed_is_there_for_the_next() {
        let pool = Pool::new(Vec::new());
        pool.lend().push(1);
        pool.lend().push(2);
        assert_eq!(*pool.lend(), [1, 2]);
    }

    #[test]
    fn what_came_back_last_is_lent_first() {
        let pool = Pool::new(0);
        let (mut first, mut second) = (pool.lend(), pool.lend());
        (*first, *second) = (1, 2);
        drop((first, second));
        assert_eq!(*pool.lend(), 2);
    }

    #[test]
    fn there_are_as_many_as_were_borrowed_at_the_same_time() {
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
    fn a_borrower_that_panics_gives_back() {
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

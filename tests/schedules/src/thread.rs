//! Stands in for the part of `std::thread` that the files under test use. Its threads have names
//! and may panic.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

pub use shuttle::thread::{Result, Scope, panicking, scope};

/// Makes a thread.
#[derive(Debug, Default)]
pub struct Builder {
    name: Option<String>,
}

impl Builder {
    /// Without a name.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this name.
    #[must_use]
    pub fn name(self, name: String) -> Self {
        Self { name: Some(name) }
    }

    /// Ignored: shuttle's threads have stacks of one size.
    #[must_use]
    pub fn stack_size(self, _bytes: usize) -> Self {
        self
    }

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// None.
    pub fn spawn<T: Send + 'static>(
        self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        Ok(JoinHandle(shuttle::thread::spawn(|| caught(body))))
    }

    /// Starts a thread that may borrow from outside the scope.
    ///
    /// # Errors
    ///
    /// None.
    pub fn spawn_scoped<'scope, T: Send + 'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        body: impl FnOnce() -> T + Send + 'scope,
    ) -> io::Result<ScopedJoinHandle<'scope, T>> {
        let handle = scope.spawn(|| caught(body));
        Ok(ScopedJoinHandle { handle, thread: Thread { name: self.name } })
    }
}

/// Catches a panic, because shuttle takes a thread that panics for a failure of the test.
fn caught<T>(body: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body))
}

/// A thread that can be joined.
pub struct JoinHandle<T>(shuttle::thread::JoinHandle<Result<T>>);

impl<T> JoinHandle<T> {
    /// Waits until the thread has ended.
    ///
    /// # Errors
    ///
    /// The thread's panic.
    pub fn join(self) -> Result<T> {
        self.0.join()?
    }
}

/// A thread of a scope.
pub struct ScopedJoinHandle<'scope, T> {
    handle: shuttle::thread::ScopedJoinHandle<'scope, Result<T>>,
    thread: Thread,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits until the thread has ended.
    ///
    /// # Errors
    ///
    /// The thread's panic.
    pub fn join(self) -> Result<T> {
        self.handle.join()?
    }

    /// The thread.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }
}

/// A thread's name.
#[derive(Debug)]
pub struct Thread {
    name: Option<String>,
}

impl Thread {
    /// The name that was given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

//! The one way in which a run is asked to end early.

use std::{fmt, ops::ControlFlow};

use rustix::event::{EventfdFlags, eventfd};

use crate::{
    error::{Error, Result},
    sync::{Arc, AtomicBool, Mutex, MutexGuard, Ordering, PoisonError},
};

/// Why a run was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This signal arrived.
    Signal(i32),
    /// Its time was up.
    Deadline,
    /// The sink wants nothing more: the answer is known, or the reader has gone.
    Break,
    /// A test asked.
    Test,
}

/// A request to stop, shared by everybody who may make it or must heed it. It is made once and stays made.
///
/// Loops ask [`Stop::requested`]; who waits registers what wakes it with [`Stop::on_request`].
#[derive(Clone, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    requested: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cause: Option<Cause>,
    next_hook: u64,
    hooks: Vec<(u64, Hook)>,
}

type Hook = Box<dyn FnOnce() + Send>;

impl Stop {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the stop and wakes those who wait. Only the first request counts.
    pub fn request(&self, why: Cause) {
        let hooks = {
            let mut state = self.state();
            if state.cause.is_some() {
                return;
            }
            state.cause = Some(why);
            self.0.requested.store(true, Ordering::Release);
            std::mem::take(&mut state.hooks)
        };
        // Outside the lock: a hook may ask, register or drop a registration.
        for (_, hook) in hooks {
            hook();
        }
    }

    /// Whether anybody has asked.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
    }

    /// `Break` once it is requested, for loops and what they return.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Why, if anybody has asked.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.state().cause
    }

    /// Calls `hook` once, on the thread that asks for the stop, or here and now if that has happened.
    /// Dropping the registration forgets the hook.
    #[must_use = "dropping the registration forgets the hook"]
    pub fn on_request(&self, hook: impl FnOnce() + Send + 'static) -> OnRequest {
        let mut state = self.state();
        if state.cause.is_some() {
            drop(state);
            hook();
            return OnRequest { stop: self.clone(), hook: None };
        }
        let id = state.next_hook;
        state.next_hook += 1;
        state.hooks.push((id, Box::new(hook)));
        OnRequest { stop: self.clone(), hook: Some(id) }
    }

    /// A [`Bell`] that rings when the stop is requested, for those who wait in `poll`.
    pub fn bell(&self) -> Result<(Bell, OnRequest)> {
        let bell = Bell::new()?;
        let rope = bell.clone();
        let registration = self.on_request(move || rope.ring());
        Ok((bell, registration))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of ours runs under the lock, so it cannot be left half-changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&self.cause()).finish()
    }
}

/// Keeps a hook registered with [`Stop::on_request`].
pub struct OnRequest {
    stop: Stop,
    hook: Option<u64>,
}

impl Drop for OnRequest {
    fn drop(&mut self) {
        if let Some(id) = self.hook {
            // The hook is dropped after the lock is released: it may own anything.
            let _hook = {
                let mut state = self.stop.state();
                let at = state.hooks.iter().position(|(hook, _)| *hook == id);
                at.map(|at| state.hooks.swap_remove(at))
            };
        }
    }
}

/// A file descriptor that is readable from the first [`Bell::ring`] on, for waits in `poll`.
#[derive(Clone, Debug)]
pub struct Bell(Arc<std::os::fd::OwnedFd>);

impl Bell {
    /// A silent one.
    pub fn new() -> Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| Error::io("eventfd")(e.into()))?;
        Ok(Self(Arc::new(fd)))
    }

    /// Makes it readable, for good: nobody reads it.
    pub fn ring(&self) {
        // The counter can only refuse when it is full, and then the bell is ringing already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

impl std::os::fd::AsFd for Bell {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn counter() -> (Arc<AtomicUsize>, impl FnOnce() + Send + Clone + 'static) {
        let count = Arc::new(AtomicUsize::new(0));
        let hook = {
            let count = count.clone();
            move || {
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        (count, hook)
    }

    #[test]
    fn the_first_cause_is_kept() {
        let stop = Stop::new();
        stop.request(Cause::Break);
        stop.request(Cause::Test);
        assert_eq!(stop.cause(), Some(Cause::Break));
    }

    #[test]
    fn a_hook_is_called_once() {
        let (stop, (count, hook)) = (Stop::new(), counter());
        let _kept = stop.on_request(hook);
        stop.request(Cause::Test);
        stop.request(Cause::Test);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_late_hook_is_called_at_once() {
        let (stop, (count, hook)) = (Stop::new(), counter());
        stop.request(Cause::Test);
        let _kept = stop.on_request(hook);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_dropped_registration_is_forgotten() {
        let (stop, (count, hook)) = (Stop::new(), counter());
        let (kept, other) = (stop.on_request(hook.clone()), stop.on_request(hook));
        drop(other);
        stop.request(Cause::Test);
        drop(kept);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}

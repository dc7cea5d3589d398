//! [`Stop`]: the only way to end a run early.

use std::{fmt, ops::ControlFlow};

use rustix::event::{EventfdFlags, eventfd};

use crate::{
    error::{Error, Result},
    sync::{Arc, AtomicBool, Mutex, MutexGuard, Ordering, PoisonError},
};

/// Why a stop was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A signal arrived: its number.
    Signal(i32),
    /// The deadline passed.
    Deadline,
    /// The sink wants no more results: the answer is known, or the reader has closed the pipe.
    Break,
    /// A test requested it.
    Test,
}

/// A request to stop, shared by all parts of a run. It can be requested once and is never
/// withdrawn.
///
/// Loops check [`Stop::requested`]; code that blocks registers a hook with [`Stop::on_request`]
/// that wakes it.
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
    /// A stop that has not been requested.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests the stop and calls all hooks. Only the first request has an effect.
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
        // Without the lock: a hook may query the stop, register a hook or drop a registration.
        for (_, hook) in hooks {
            hook();
        }
    }

    /// Whether a stop was requested. Acquire pairs with the Release of `request`: a thread that
    /// sees the request also sees what happened before it.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
    }

    /// `Break` once a stop was requested: for loops, and for functions that return a `ControlFlow`.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// The cause, if a stop was requested.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.state().cause
    }

    /// Calls `hook` once: on the thread that requests the stop, or immediately if it was already
    /// requested. Dropping the registration removes the hook.
    #[must_use = "dropping the registration removes the hook"]
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

    /// A [`Bell`] that rings when the stop is requested: for code that blocks in `poll`.
    pub fn bell(&self) -> Result<(Bell, OnRequest)> {
        let bell = Bell::new()?;
        let rope = bell.clone();
        let registration = self.on_request(move || rope.ring());
        Ok((bell, registration))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is usable: no hook runs under it, so `State` is never half changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&self.cause()).finish()
    }
}

/// The registration of a hook, from [`Stop::on_request`].
pub struct OnRequest {
    stop: Stop,
    hook: Option<u64>,
}

impl Drop for OnRequest {
    fn drop(&mut self) {
        if let Some(id) = self.hook {
            // Drop the hook after the lock is released: its captures may use this `Stop` when
            // dropped.
            let _hook = {
                let mut state = self.stop.state();
                let at = state.hooks.iter().position(|(hook, _)| *hook == id);
                at.map(|at| state.hooks.swap_remove(at))
            };
        }
    }
}

/// A file descriptor that becomes readable with the first [`Bell::ring`] and stays so: a wake-up
/// for `poll`.
#[derive(Clone, Debug)]
pub struct Bell(Arc<std::os::fd::OwnedFd>);

impl Bell {
    /// A bell that has not rung.
    pub fn new() -> Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| Error::io("eventfd")(e.into()))?;
        Ok(Self(Arc::new(fd)))
    }

    /// Makes the descriptor readable for good, since no code reads from it.
    pub fn ring(&self) {
        // The write fails only if the counter is full, and then the descriptor is readable already.
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

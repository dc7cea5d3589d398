//! Ctrl-C: the run that goes on is ended with all its processes, no other begins, and what has been
//! measured is shown.

use std::{
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::consts::SIGINT;

/// A wish that can be seen, and waited for with `poll`.
#[derive(Clone, Debug)]
pub(crate) struct Cancel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requested: Arc<AtomicBool>,
    /// Is never read, so that everybody who polls it sees that there is something to read.
    waiting: PipeReader,
    wake: PipeWriter,
}

impl Cancel {
    pub(crate) fn new() -> io::Result<Self> {
        let (waiting, wake) = io::pipe()?;
        Ok(Self(Arc::new(Inner { requested: Arc::default(), waiting, wake })))
    }

    /// One that a SIGINT requests. The second SIGINT ends this process as it is used to be ended.
    pub(crate) fn on_interrupt() -> io::Result<Self> {
        let cancel = Self::new()?;
        let requested = &cancel.0.requested;
        signal_hook::flag::register_conditional_default(SIGINT, requested.clone())?;
        signal_hook::flag::register(SIGINT, requested.clone())?;
        signal_hook::low_level::pipe::register(SIGINT, cancel.0.wake.try_clone()?)?;
        Ok(cancel)
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Relaxed)
    }

    /// Requests it from within.
    #[cfg(test)]
    pub(crate) fn request(&self) {
        self.0.requested.store(true, Ordering::Relaxed);
        io::Write::write_all(&mut &self.0.wake, b"x").expect("the other end is open");
    }
}

impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.waiting.as_fd()
    }
}

//! Ctrl-C: the current run is killed with all its processes, no other run begins, and the results
//! so far are shown.

use std::{
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::consts::SIGINT;

/// A cancellation request: it can be checked, and waited for with `poll`.
#[derive(Clone, Debug)]
pub(crate) struct Cancel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requested: Arc<AtomicBool>,
    /// Readable after a request. It is never read, so that every `poll` returns, and not only the
    /// first one.
    waiting: PipeReader,
    wake: PipeWriter,
}

impl Cancel {
    pub(crate) fn new() -> io::Result<Self> {
        let (waiting, wake) = io::pipe()?;
        Ok(Self(Arc::new(Inner { requested: Arc::default(), waiting, wake })))
    }

    /// A cancellation that the first SIGINT requests. The second SIGINT has its default action: it
    /// terminates this process.
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

    /// Requests the cancellation in a test.
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

//! From signals to a requested stop, or to an error.

use std::{sync::Arc, thread};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    flag,
    iterator::{Handle, Signals},
};

use crate::{
    error::{Error, Result},
    stop::{Cause, Stop},
};

/// Requests a stop at the first of SIGINT, SIGTERM and SIGHUP, for as long as it lives.
pub(super) struct OnSignal(Handle);

impl OnSignal {
    pub(super) fn request(stop: &Stop) -> Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(Error::io("signal handler"))?;
        let (handle, stop) = (signals.handle(), stop.clone());
        let wait = move || {
            for signal in signals.forever() {
                stop.request(Cause::Signal(signal));
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(Error::io("thread"))?;
        Ok(Self(handle))
    }
}

impl Drop for OnSignal {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The exit status of a run that a signal has ended. Whoever gets it need not finish the output: the writer may be waiting for a
/// reader that has stalled, and ends with the process.
pub(super) fn interrupted(stop: &Stop) -> Option<u8> {
    match stop.cause() {
        Some(Cause::Signal(signal)) => Some(128 + u8::try_from(signal).unwrap_or(0)),
        _ => None,
    }
}

/// Has a write beyond the limit on the size of files fail. Otherwise it would end the process, with nobody left to say so
/// and to clean up.
pub(super) fn take_file_size_limit() {
    // If it cannot be taken, the limit does what it would have done.
    let _ = flag::register(SIGXFSZ, Arc::default());
}

//! From signals to a requested stop.

use std::thread;

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
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

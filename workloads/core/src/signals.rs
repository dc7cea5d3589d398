//! Signals: they request a stop, end the process, or become an error of a write.

use std::{
    fs, process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    flag,
    iterator::Signals,
    low_level::emulate_default_handler,
};

use crate::{
    error::{Error, Result},
    stop::{Cause, Stop},
    temporary,
};

/// Signals within this time are one request: `timeout` sends its signal to the process and then to
/// its process group, and a terminal's Ctrl-C may also be forwarded by the parent.
const SAME_REQUEST: Duration = Duration::from_millis(100);

/// What SIGINT, SIGTERM and SIGHUP have requested since [`Interrupts::catch`].
///
/// The first of them requests the run's stop. The second ends the process by the signal's default
/// action, even if a wait of the run never ends; the third does so even if the thread that handles
/// the second is stuck.
#[derive(Clone)]
pub struct Interrupts {
    /// Requested by the first signal only; the run's own stop may have another cause.
    arrived: Stop,
}

impl Interrupts {
    /// Catches the signals from here on, and requests `stop` when the first arrives.
    pub fn catch(stop: &Stop) -> Result<Self> {
        let caught = caught();
        let (arrived, ending) = (Stop::new(), Arc::new(AtomicBool::new(false)));
        for signal in &caught {
            flag::register_conditional_default(*signal, ending.clone())
                .map_err(Error::io("signal handler"))?;
        }
        let mut signals = Signals::new(&caught).map_err(Error::io("signal handler"))?;
        let (requests, asked) = bounded(1);
        let (first, stop) = (arrived.clone(), stop.clone());
        // On a separate thread, since a stop calls the hooks of all parts of the run, and one may
        // block.
        let request = move || asked.into_iter().for_each(|signal| stop.request(Cause::Signal(signal)));
        let wait = move || {
            let mut begun: Option<Instant> = None;
            for signal in signals.forever() {
                match begun {
                    None => {
                        begun = Some(Instant::now());
                        first.request(Cause::Signal(signal));
                        let _ = requests.send(signal);
                    }
                    Some(begun) if begun.elapsed() < SAME_REQUEST => {}
                    Some(_) => end_at_once(signal, &ending),
                }
            }
        };
        thread::Builder::new().name("stop".to_owned()).spawn(request).map_err(Error::io("thread"))?;
        thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(Error::io("thread"))?;
        Ok(Self { arrived })
    }

    /// A stop that only a signal requests: for waits that continue after the run.
    pub fn arrived(&self) -> &Stop {
        &self.arrived
    }

    /// The exit status for the signal, if one has arrived.
    pub fn status(&self) -> Option<u8> {
        interrupted(&self.arrived)
    }
}

/// SIGINT, SIGTERM, and SIGHUP unless it is ignored, as `nohup` requests.
fn caught() -> Vec<i32> {
    let is_caught = |signal: &i32| *signal != SIGHUP || !is_ignored(SIGHUP);
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(is_caught).collect()
}

/// Whether the process ignores a signal.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored & (1 << (signal - 1)) != 0
}

/// Ends the process by the signal's default action, so that its parent sees which signal it was.
/// Worker processes end when their parent does. The temporary directories are removed here, since
/// no destructor will run; a third signal does not wait for that.
fn end_at_once(signal: i32, ending: &AtomicBool) {
    ending.store(true, Ordering::SeqCst);
    temporary::remove_all();
    let _ = emulate_default_handler(signal);
    process::abort(); // not reached: the default action of each of these signals is to end the process
}

/// The exit status of a run that a signal has ended. The output of such a run need not be complete:
/// the writer may wait for a reader that has stalled, and it ends with the process.
pub fn interrupted(stop: &Stop) -> Option<u8> {
    match stop.cause() {
        Some(Cause::Signal(signal)) => Some(128 + u8::try_from(signal).unwrap_or(0)),
        _ => None,
    }
}

/// Makes a write beyond the file-size limit fail with an error. By default SIGXFSZ would end the
/// process without a message and without cleaning up.
pub fn take_file_size_limit() {
    // If the handler cannot be installed, the signal keeps its default action.
    let _ = flag::register(SIGXFSZ, Arc::default());
}

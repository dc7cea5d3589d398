//! From signals to a requested stop, to the end of the process, or to an error.

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

/// A signal that repeats one this soon is the same request: `timeout` sends its signal to the
/// process and then to the process's group, and a terminal's Ctrl-C may be passed on by the parent
/// as well.
const SAME_REQUEST: Duration = Duration::from_millis(100);

/// What SIGINT, SIGTERM and SIGHUP have asked for, from the moment that [`Interrupts::catch`] is
/// called to the end of the process.
///
/// The first of them requests the run's stop. The second ends the process by the signal's default
/// action, even if a wait of the run never ends; the third does so even if the thread that handles
/// the second is stuck.
#[derive(Clone)]
pub struct Interrupts {
    /// Requested by the first signal alone: the run's own stop may have another cause before.
    arrived: Stop,
}

impl Interrupts {
    /// Catches the signals from here on, and requests `stop` at the first.
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
        // A thread of its own, since a stop calls the hooks of all that wait, and one of them could
        // be stuck.
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

    /// A stop that only a signal requests: for waits that outlast the run.
    pub fn arrived(&self) -> &Stop {
        &self.arrived
    }

    /// The exit status that tells of the signal, if one has arrived.
    pub fn status(&self) -> Option<u8> {
        interrupted(&self.arrived)
    }
}

/// SIGINT and SIGTERM; SIGHUP unless it is ignored, which is what `nohup` asks for.
fn caught() -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let is_ignored = ignored & (1 << (SIGHUP - 1)) != 0;
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| *signal != SIGHUP || !is_ignored).collect()
}

/// Ends the process as if it had never caught the signal, so that its parent sees which one it was.
/// Worker processes end when their parent does. Temporary directories are removed here, since the
/// process drops nothing any more; a third signal does not wait for that.
fn end_at_once(signal: i32, ending: &AtomicBool) {
    ending.store(true, Ordering::SeqCst);
    temporary::remove_all();
    let _ = emulate_default_handler(signal);
    process::abort(); // not reached: the default action of each of these signals is to end the process
}

/// The exit status of a run that a signal has ended. The output of such a run need not be finished:
/// the writer may be waiting for a reader that has stalled, and ends with the process.
pub fn interrupted(stop: &Stop) -> Option<u8> {
    match stop.cause() {
        Some(Cause::Signal(signal)) => Some(128 + u8::try_from(signal).unwrap_or(0)),
        _ => None,
    }
}

/// Has a write beyond the limit on the size of files fail. Otherwise it would end the process, with nobody left to say so
/// and to clean up.
pub fn take_file_size_limit() {
    // If it cannot be taken, the limit does what it would have done.
    let _ = flag::register(SIGXFSZ, Arc::default());
}

//! Job control: a background process that reads from its terminal is stopped until the user brings
//! it to the foreground.
//!
//! The kernel does that at the read itself, and repeats the read when the process is continued.
//! `timeout` ends a stopped process with SIGTERM, then SIGCONT: its thread that reads would stop it
//! again before another thread has handled the SIGTERM. So the programs do what the kernel does,
//! but give the SIGTERM time before they stop a second time. The same is true for writes, if the
//! terminal stops them (`stty tostop`).

use std::{
    os::fd::AsFd,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Signal, getpgrp, getpid, kill_process},
    termios::{LocalModes, tcgetattr, tcgetpgrp},
};
use signal_hook::{consts::SIGCONT, flag};

use crate::{signals, stop::Bell};

/// Time for a signal to take effect: to stop this process, or, once it is continued, to request the
/// stop of the run. Both take microseconds on an idle machine.
const GRACE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// How [`stop_process`] has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The bell has rung.
    Rung,
    /// The process was stopped, and has been continued.
    Continued,
    /// The process was not stopped: the signal is ignored, or no shell of the session could
    /// continue the process.
    NotStopped,
}

/// Whether the descriptor is the process's terminal and another process group has its foreground.
pub(crate) fn is_in_background(terminal: impl AsFd) -> bool {
    tcgetpgrp(terminal).is_ok_and(|foreground| foreground != getpgrp())
}

/// Whether the terminal stops background processes that write to it.
pub(crate) fn stops_writers(terminal: impl AsFd) -> bool {
    tcgetattr(terminal).is_ok_and(|modes| modes.local_modes.contains(LocalModes::TOSTOP))
}

/// Stops this process as the kernel does when it uses the terminal from the background. Returns
/// when the process is continued, and the bell has had the time to ring.
///
/// The kernel stops the whole process group. Here a worker process may just be started: it would be
/// stopped as a member of this group and then move to its own, where no shell continues it.
pub(crate) fn stop_process(signal: Signal, bell: Option<&Bell>) -> Outcome {
    static CONTINUED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let continued = CONTINUED.get_or_init(|| {
        let continued = Arc::default();
        // If the handler cannot be installed, the process looks as if it was not stopped.
        let _ = flag::register(SIGCONT, Arc::clone(&continued));
        continued
    });
    if signals::is_ignored(signal.as_raw()) {
        return Outcome::NotStopped;
    }
    continued.store(false, Ordering::SeqCst);
    let _ = kill_process(getpid(), signal);
    // The process stops during the first wait, whose time has then passed when it is continued.
    if has_rung(bell) || has_rung(bell) {
        return Outcome::Rung;
    }
    if continued.load(Ordering::SeqCst) { Outcome::Continued } else { Outcome::NotStopped }
}

/// Whether the bell rings within [`GRACE`]. A signal that interrupts the wait begins it again: it
/// may be the one that requests the stop.
fn has_rung(bell: Option<&Bell>) -> bool {
    let mut fds: Vec<_> = bell.iter().map(|bell| PollFd::new(*bell, PollFlags::IN)).collect();
    loop {
        match poll(&mut fds, Some(&GRACE)) {
            Err(Errno::INTR) => {}
            polled => return matches!(polled, Ok(1..)),
        }
    }
}

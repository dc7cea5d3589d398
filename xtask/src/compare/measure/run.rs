//! One measured run: a program is started as a process, and watched until it and all its
//! descendants have ended.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cc_core::{
    report::{REPORT_FD, Report},
    trace::{self, TRACE_DIR},
};
use rustix::{
    event::{PollFd, PollFlags},
    io::{FdFlags, fcntl_setfd},
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
    process::{Pid, PidfdFlags, getpid, pidfd_open, set_child_subreaper},
};

use crate::{
    compare::{
        measure::memory::{self, Usage},
        result::{Served, seconds},
    },
    process::{
        cancel::Cancel,
        guard::{CANCELLED, KillDescendants, exclusive},
        tree::{self, Ended, Switches, poll_for},
    },
};

/// How a run is watched.
#[derive(Default)]
pub(crate) struct RunOptions {
    /// The program's standard input; empty if `None`.
    pub stdin: Option<File>,
    /// The files for standard output and standard error; if `None`, both are discarded.
    pub keep: Option<(File, File)>,
    /// Whether memory is sampled.
    pub sample: bool,
    /// The folder for the spans of the kernels; if `None`, the run is not traced.
    pub trace: Option<PathBuf>,
    /// When the program gets a SIGINT, as from a terminal.
    pub interrupt: Option<Duration>,
    /// When the program is killed.
    pub timeout: Option<Duration>,
    /// Ends this run, and prevents all further ones, when it is requested.
    pub cancel: Option<Cancel>,
}

/// The measurements of a run.
#[derive(Debug)]
pub(crate) struct Measurement {
    /// When the program started, by the clock of the spans.
    pub started_ns: u64,
    /// From the start to the end of the program.
    pub wall: Duration,
    /// Processor time of the process tree.
    pub cpu: Duration,
    /// From the start to the first byte of output.
    pub first: Option<Duration>,
    /// From the interruption until the last descendant has ended.
    pub stop: Option<Duration>,
    /// Peak usage of the process tree; `None` if the run ended before the first sample.
    pub usage: Option<Usage>,
    /// Context switches of the process tree.
    pub switches: Switches,
    /// The largest resident set of one process.
    pub max_rss: u64,
    pub status: ExitStatus,
    /// Bytes of output, unless the output went to a file.
    pub bytes: u64,
    pub report: Option<Report>,
    /// The clients' measurements, if the program is a service.
    pub served: Option<Served>,
    pub timed_out: bool,
    /// Processes that outlived the program and were killed.
    pub leftovers: Vec<String>,
}

/// Time that descendants have to end after the program itself has ended.
pub(crate) const EXIT_GRACE: Duration = Duration::from_secs(1);
/// Capacity of the output pipe: large enough that a program rarely has to wait until this process
/// is scheduled and reads.
const PIPE: usize = 1 << 20;

/// Runs the command and waits until it and all its descendants have ended. Fails if the program
/// cannot be started, or if the run is cancelled.
pub(crate) fn run(mut command: Command, options: RunOptions) -> Result<Measurement> {
    let _exclusive = exclusive();
    let is_cancelled = || options.cancel.as_ref().is_some_and(Cancel::is_requested);
    ensure!(!is_cancelled(), CANCELLED);
    set_child_subreaper(Some(getpid()))?;
    let (report, report_end) = inherited_pipe()?;
    command.env(REPORT_FD, report_end.as_raw_fd().to_string());
    // The variable may be set in this process's own environment.
    command.env_remove(TRACE_DIR).envs(options.trace.iter().map(|folder| (TRACE_DIR, folder)));
    let output = OutputReader::open(&mut command, options.keep)?;
    let program = command.get_program().display().to_string();

    let (started, started_ns) = (Instant::now(), trace::now());
    let stdin = options.stdin.map_or_else(Stdio::null, Stdio::from);
    let _kill_descendants = KillDescendants;
    let child = command.stdin(stdin).spawn().with_context(|| program)?;
    // The command holds the writing ends of the pipes. They must be closed here, or reading would
    // never reach the end of file.
    drop((command, report_end));
    let pid = Pid::from_child(&child);
    let (timeout, interrupt) = (options.timeout, options.interrupt);
    let cancel = options.cancel.as_ref();
    let mut watch =
        Watch { pid, started, output, sample: options.sample, interrupted: None, usage: None, cancel };
    let in_time = watch.until_ended(timeout, interrupt)?;
    let mut wall = started.elapsed();

    let mut all: Vec<Ended> = Vec::new();
    let mut left = Vec::new();
    if in_time {
        left = tree::wait_for_all(EXIT_GRACE, |ended| all.push(ended))?;
    }
    let stop = watch.interrupted.map(|at| at.elapsed());
    tree::kill(|ended| all.push(ended))?;
    if !in_time {
        wall = started.elapsed();
    }
    ensure!(!is_cancelled(), CANCELLED);
    watch.output.drain(started)?;
    let own = all.iter().find(|ended| ended.pid == child.id()).context("the program was not waited for")?;
    Ok(Measurement {
        started_ns,
        wall,
        cpu: all.iter().map(|ended| ended.cpu).sum(),
        // Output that is read after the end was written before it.
        first: watch.output.first.map(|first| first.min(wall)),
        stop,
        usage: watch.usage.filter(|usage| usage.bytes > 0),
        switches: all.iter().map(|ended| ended.switches).fold(Switches::default(), Switches::plus),
        max_rss: all.iter().map(|ended| ended.max_rss).max().unwrap_or(0),
        status: own.status,
        bytes: watch.output.bytes,
        report: read_report(report)?,
        served: None,
        timed_out: !in_time,
        leftovers: left.into_iter().map(|process| format!("{} ({})", process.name, process.pid)).collect(),
    })
}

/// A running program.
struct Watch<'a> {
    pid: Pid,
    started: Instant,
    output: OutputReader,
    sample: bool,
    interrupted: Option<Instant>,
    usage: Option<Usage>,
    cancel: Option<&'a Cancel>,
}

impl Watch<'_> {
    /// Reads the output, samples memory, and interrupts the program as the options say, until it
    /// ends. Returns false if the time-out has expired or the run was cancelled.
    fn until_ended(&mut self, timeout: Option<Duration>, mut interrupt: Option<Duration>) -> Result<bool> {
        let pidfd = pidfd_open(self.pid, PidfdFlags::empty())?;
        let mut next_sample = self.sample.then_some(Duration::ZERO);
        loop {
            let now = self.started.elapsed();
            if timeout.is_some_and(|at| now >= at) || self.cancel.is_some_and(Cancel::is_requested) {
                return Ok(false);
            }
            if interrupt.is_some_and(|at| now >= at) {
                interrupt = None;
                self.interrupted = Some(Instant::now());
                tree::interrupt(self.pid)?;
            }
            if next_sample.is_some_and(|at| now >= at) {
                self.usage = Some(self.usage.unwrap_or_default().max(memory::sample(None)));
                next_sample = Some(self.started.elapsed() + memory::INTERVAL);
            }
            let due = [timeout, interrupt, next_sample].into_iter().flatten().min();
            let poll_timeout =
                due.map_or(Duration::from_secs(60), |due| due.saturating_sub(self.started.elapsed()));
            let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
            fds.extend(self.output.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            fds.extend(self.cancel.map(|cancel| PollFd::new(cancel, PollFlags::IN)));
            poll_for(&mut fds, poll_timeout)?;
            let has_ended = !fds[0].revents().is_empty();
            drop(fds);
            if has_ended {
                return Ok(true);
            }
            self.output.drain(self.started)?;
        }
    }
}

/// The reading end of a program's output. `splice` moves the output to `/dev/null` without copying
/// it, so that reading takes as little time as possible from the cores that are measured.
struct OutputReader {
    pipe: Option<OwnedFd>,
    null: File,
    first: Option<Duration>,
    bytes: u64,
}

impl OutputReader {
    fn open(command: &mut Command, keep: Option<(File, File)>) -> Result<Self> {
        let null = File::options().write(true).open("/dev/null")?;
        let mut reader = Self { pipe: None, null, first: None, bytes: 0 };
        if let Some((out, err)) = keep {
            command.stdout(out).stderr(err);
        } else {
            let (pipe, end) = io::pipe()?;
            // Best effort: it fails if the limit for all pipes of the user is reached.
            let _ = fcntl_setpipe_size(&pipe, PIPE);
            // A separate handle of the null device: gawk sets O_APPEND on its stderr, and splice
            // fails on such a handle.
            command.stdout(end).stderr(Stdio::null());
            reader.pipe = Some(pipe.into());
        }
        Ok(reader)
    }

    /// Discards all available output, without waiting.
    fn drain(&mut self, started: Instant) -> Result<()> {
        while let Some(pipe) = &self.pipe {
            match splice(pipe, None, &self.null, None, PIPE, SpliceFlags::NONBLOCK) {
                Ok(0) => self.pipe = None,
                Ok(some) => {
                    self.first.get_or_insert_with(|| started.elapsed());
                    self.bytes += some as u64;
                }
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// A pipe whose writing end (the second one) is inherited by child processes.
pub(crate) fn inherited_pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    fcntl_setfd(&write, FdFlags::empty())?;
    Ok((read, write))
}

/// Reads the report, which is one line and always fits into the pipe. Tools do not send one.
pub(crate) fn read_report(pipe: OwnedFd) -> Result<Option<Report>> {
    let mut text = Vec::new();
    match File::from(pipe).read_to_end(&mut text) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error.into()),
        _ if text.is_empty() => Ok(None),
        _ => serde_json::from_slice(&text).map(Some).context("the program's report"),
    }
}

/// The failure of a run: it timed out, or left processes behind.
pub(crate) fn crashed(measurement: &Measurement) -> Option<String> {
    if measurement.timed_out {
        return Some(format!("timed out after {:.0} s", seconds(measurement.wall)));
    }
    (!measurement.leftovers.is_empty()).then(|| format!("left behind: {}", measurement.leftovers.join(", ")))
}

#[cfg(test)]
mod tests;

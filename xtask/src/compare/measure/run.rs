//! One measured run: a program in a process of its own, watched from outside.

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
        measure::memory::{self, Held},
        result::{Served, seconds},
    },
    process::{
        cancel::Cancel,
        family::{CANCELLED, Family, alone},
        tree::{self, Ended, Switches, poll_for},
    },
};

/// How a run is watched.
#[derive(Default)]
pub(crate) struct RunOptions {
    /// What it reads; otherwise nothing.
    pub stdin: Option<File>,
    /// Where its output goes; otherwise it is only read.
    pub keep: Option<(File, File)>,
    /// Whether its memory is sampled.
    pub sample: bool,
    /// The folder that its kernels' spans go to; otherwise it is not traced.
    pub trace: Option<PathBuf>,
    /// When it gets a SIGINT, as from a terminal.
    pub interrupt: Option<Duration>,
    /// When it is killed.
    pub timeout: Option<Duration>,
    /// What ends it, and all further ones, before its time.
    pub cancel: Option<Cancel>,
}

/// What was seen of a run.
#[derive(Debug)]
pub(crate) struct Measurement {
    /// When it started, by the clock of the spans.
    pub started_ns: u64,
    /// From the start to the end of the program.
    pub wall: Duration,
    /// Of the whole tree.
    pub cpu: Duration,
    /// From the start to the first byte of output.
    pub first: Option<Duration>,
    /// From the interruption until the last descendant was gone.
    pub stop: Option<Duration>,
    /// The most that the tree had at once; nothing if the run was over before the first sample.
    pub held: Option<Held>,
    /// Of the whole tree.
    pub switches: Switches,
    /// The largest resident set of one process.
    pub max_rss: u64,
    pub status: ExitStatus,
    /// Bytes of output, unless it was kept.
    pub bytes: u64,
    pub report: Option<Report>,
    /// What it did for its clients, if it is a service.
    pub served: Option<Served>,
    pub timed_out: bool,
    /// Processes that outlived the program, and were killed.
    pub leftovers: Vec<String>,
}

/// How long processes may outlive the program that started them.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// A pipe so large that a program seldom waits for this one to be scheduled.
const PIPE: usize = 1 << 20;

/// Runs the command and waits until nothing is left of it. An error if it could not be started, or
/// was cancelled.
pub(crate) fn run(mut command: Command, plan: RunOptions) -> Result<Measurement> {
    let _alone = alone();
    let is_cancelled = || plan.cancel.as_ref().is_some_and(Cancel::is_requested);
    ensure!(!is_cancelled(), CANCELLED);
    set_child_subreaper(Some(getpid()))?;
    let (report, report_end) = inherited_pipe()?;
    command.env(REPORT_FD, report_end.as_raw_fd().to_string());
    // Whatever this program's own environment says, nothing else is traced.
    command.env_remove(TRACE_DIR).envs(plan.trace.iter().map(|folder| (TRACE_DIR, folder)));
    let output = Reading::open(&mut command, plan.keep)?;
    let program = command.get_program().display().to_string();

    let (started, started_ns) = (Instant::now(), trace::now());
    let stdin = plan.stdin.map_or_else(Stdio::null, Stdio::from);
    let _family = Family;
    let child = command.stdin(stdin).spawn().with_context(|| program)?;
    // Its copies of the pipes' ends, and ours, must not keep them open.
    drop((command, report_end));
    let pid = Pid::from_child(&child);
    let (timeout, interrupt) = (plan.timeout, plan.interrupt);
    let cancel = plan.cancel.as_ref();
    let mut watch =
        Watch { pid, started, output, sample: plan.sample, interrupted: None, held: None, cancel };
    let in_time = watch.until_ended(timeout, interrupt)?;
    let mut wall = started.elapsed();

    let mut all: Vec<Ended> = Vec::new();
    let mut left = Vec::new();
    if in_time {
        left = tree::gone(PATIENCE, |ended| all.push(ended))?;
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
        // What is read after the end was there before.
        first: watch.output.first.map(|first| first.min(wall)),
        stop,
        held: watch.held.filter(|held| held.bytes > 0),
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

/// A program that runs.
struct Watch<'a> {
    pid: Pid,
    started: Instant,
    output: Reading,
    sample: bool,
    interrupted: Option<Instant>,
    held: Option<Held>,
    cancel: Option<&'a Cancel>,
}

impl Watch<'_> {
    /// Reads the output and does what the plan says until the program ends. False if its time was
    /// out before, or it was cancelled.
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
                self.held = Some(self.held.unwrap_or_default().max(memory::sample(None)));
                next_sample = Some(self.started.elapsed() + memory::EVERY);
            }
            let due = [timeout, interrupt, next_sample].into_iter().flatten().min();
            let patience =
                due.map_or(Duration::from_secs(60), |due| due.saturating_sub(self.started.elapsed()));
            let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
            fds.extend(self.output.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            fds.extend(self.cancel.map(|cancel| PollFd::new(cancel, PollFlags::IN)));
            poll_for(&mut fds, patience)?;
            let has_ended = !fds[0].revents().is_empty();
            drop(fds);
            if has_ended {
                return Ok(true);
            }
            self.output.drain(self.started)?;
        }
    }
}

/// The reading end of a program's output. What comes is thrown away without being copied, so that
/// reading takes as little as possible from the cores that are measured.
struct Reading {
    pipe: Option<OwnedFd>,
    null: File,
    first: Option<Duration>,
    bytes: u64,
}

impl Reading {
    fn open(command: &mut Command, keep: Option<(File, File)>) -> Result<Self> {
        let null = File::options().write(true).open("/dev/null")?;
        let mut reading = Self { pipe: None, null, first: None, bytes: 0 };
        if let Some((out, err)) = keep {
            command.stdout(out).stderr(err);
        } else {
            let (pipe, end) = io::pipe()?;
            let _ = fcntl_setpipe_size(&pipe, PIPE); // the limit for all of a user's pipes may be reached
            // Not the null device opened above: gawk sets its stderr to append, and nothing can be
            // spliced to that.
            command.stdout(end).stderr(Stdio::null());
            reading.pipe = Some(pipe.into());
        }
        Ok(reading)
    }

    /// Takes what is there, without waiting.
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

/// A pipe whose second end is inherited by programs started from here.
pub(crate) fn inherited_pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    fcntl_setfd(&write, FdFlags::empty())?;
    Ok((read, write))
}

/// The report, which is a line that the pipe can hold; a program that is no model's sends none.
pub(crate) fn read_report(pipe: OwnedFd) -> Result<Option<Report>> {
    let mut text = Vec::new();
    match File::from(pipe).read_to_end(&mut text) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error.into()),
        _ if text.is_empty() => Ok(None),
        _ => serde_json::from_slice(&text).map(Some).context("the program's report"),
    }
}

/// Why a run did not go through.
pub(crate) fn crashed(seen: &Measurement) -> Option<String> {
    if seen.timed_out {
        return Some(format!("timed out after {:.0} s", seconds(seen.wall)));
    }
    (!seen.leftovers.is_empty()).then(|| format!("left behind: {}", seen.leftovers.join(", ")))
}

#[cfg(test)]
mod tests;

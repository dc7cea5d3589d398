//! One run of a service: a program that serves until it is told to stop, and meanwhile the programs
//! that are its clients, one after the other. What was seen is of the server's processes alone.

use std::{
    fs::{self, File},
    io::{self, Read},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use cc_core::{
    report::REPORT_FD,
    trace::{self, TRACE_DIR},
};
use rustix::{
    event::{PollFd, PollFlags},
    process::{Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open, set_child_subreaper},
};

use crate::{
    compare::measure::{
        memory::{self, Held},
        run::{Measurement, PATIENCE, RunOptions, inherited_pipe, read_report},
    },
    process::{
        cancel::Cancel,
        family::{CANCELLED, Family, alone},
        tree::{self, Ended, Switches, poll_for},
    },
};

/// How one learns that it serves, and where; and how it is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It prints `listening at ADDRESS`, and ends on SIGINT, as the models do.
    Says,
    /// It was given this port, accepts connections there, and ends on SIGTERM.
    Accepts(u16),
}

/// What a server prints before its address.
const LISTENING: &str = "listening at ";
/// How long it is waited for, from its start, and from the signal that it should stop.
const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(10);
/// How long a server may take to end after its connections have.
const ENDING: Duration = Duration::from_millis(200);
/// How often one tries to connect to a server that does not say when it listens.
const TRY: Duration = Duration::from_millis(2);

/// A new file that can also be read.
pub(crate) fn readable(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(true).open(path)
}

/// A free port of this machine.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A server that can be asked.
pub(crate) struct Serving<'a> {
    pub address: SocketAddr,
    child: Child,
    pidfd: OwnedFd,
    scratch: &'a Path,
    until: Option<Instant>,
    cancel: Option<Cancel>,
    sample: bool,
    held: Option<Held>,
}

/// What was seen while a client ran.
pub(crate) struct Asked {
    /// What it printed, unless that went elsewhere.
    pub printed: String,
    /// What the server's processes took of the cores meanwhile.
    pub cpu: Duration,
}

/// Starts a server, lets `clients` have it, tells it to stop and waits until nothing is left of it.
///
/// The run's time is from the start until it serves; `clients` may measure something else.
///
/// # Errors
///
/// It does not begin or cease to serve, or what `clients` says.
pub(crate) fn serve<T>(
    mut command: Command,
    manner: Manner,
    plan: RunOptions,
    scratch: &Path,
    clients: impl FnOnce(&mut Serving) -> Result<T>,
) -> Result<(Measurement, T)> {
    let _alone = alone();
    ensure!(!plan.cancel.as_ref().is_some_and(Cancel::is_requested), CANCELLED);
    set_child_subreaper(Some(getpid()))?;
    fs::create_dir_all(scratch)?;
    let (report, report_end) = inherited_pipe()?;
    command.env(REPORT_FD, report_end.as_raw_fd().to_string()).env_remove(TRACE_DIR);
    let (mut out, stdout) = match manner {
        Manner::Says => io::pipe().map(|(read, write)| (Some(read), Stdio::from(write)))?,
        Manner::Accepts(_) => (None, Stdio::null()),
    };
    let errors = match plan.keep {
        Some((_, err)) => err,
        None => readable(&scratch.join("server.err"))?,
    };
    let program = command.get_program().display().to_string();
    command.stdin(Stdio::null()).stdout(stdout).stderr(errors.try_clone()?);

    let (started, started_ns) = (Instant::now(), trace::now());
    let _family = Family;
    let child = command.spawn().context(program)?;
    drop((command, report_end));
    let pid = Pid::from_child(&child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let mut serving = Serving {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        child,
        pidfd,
        scratch,
        until: plan.timeout.map(|timeout| started + timeout),
        cancel: plan.cancel.clone(),
        sample: plan.sample,
        held: None,
    };
    let ready = match (manner, &mut out) {
        (Manner::Says, Some(out)) => serving.says(out, started + START),
        (Manner::Accepts(port), _) => serving.accepts(port, started + START),
        (Manner::Says, None) => Err(anyhow!("its output is read")),
    };
    ready.map_err(|error| serving.why(error, &errors))?;
    let wall = started.elapsed();
    let found = clients(&mut serving).map_err(|error| serving.why(error, &errors))?;

    let signalled = Instant::now();
    match manner {
        Manner::Says => tree::interrupt(pid)?,
        Manner::Accepts(_) => kill_process(pid, Signal::TERM)?,
    }
    if !serving.ends_by(signalled + STOP)? {
        bail!("it is still there {:.0} s after it was told to stop", signalled.elapsed().as_secs_f64());
    }
    let mut all: Vec<Ended> = Vec::new();
    let left = tree::gone(PATIENCE, |ended| all.push(ended))?;
    let stop = signalled.elapsed();
    tree::kill(|ended| all.push(ended))?;
    ensure!(!serving.is_cancelled(), CANCELLED);
    let own =
        all.iter().find(|ended| ended.pid == serving.child.id()).context("the server was waited for")?;
    let seen = Measurement {
        started_ns,
        wall,
        cpu: all.iter().map(|ended| ended.cpu).sum(),
        first: None,
        stop: Some(stop),
        held: serving.held.filter(|held| held.bytes > 0),
        switches: all.iter().map(|ended| ended.switches).fold(Switches::default(), Switches::plus),
        max_rss: all.iter().map(|ended| ended.max_rss).max().unwrap_or(0),
        status: own.status,
        bytes: 0,
        report: read_report(report)?,
        served: None,
        timed_out: false,
        leftovers: left.into_iter().map(|process| format!("{} ({})", process.name, process.pid)).collect(),
    };
    Ok((seen, found))
}

impl Serving<'_> {
    /// Waits for the line that says where it listens.
    fn says(&mut self, out: &mut io::PipeReader, until: Instant) -> Result<()> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let mut fds = vec![PollFd::new(&*out, PollFlags::IN)];
            fds.extend(self.cancel.iter().map(|cancel| PollFd::new(cancel, PollFlags::IN)));
            poll_for(&mut fds, until.saturating_duration_since(Instant::now()))?;
            let is_readable = !fds[0].revents().is_empty();
            drop(fds);
            ensure!(!self.is_cancelled(), CANCELLED);
            ensure!(is_readable, "it does not say that it listens, {} s after its start", START.as_secs());
            let mut byte = [0];
            ensure!(out.read(&mut byte)? > 0 && line.len() < 200, "it does not say that it listens");
            line.push(byte[0]);
        }
        let line = String::from_utf8_lossy(&line);
        let address = line.trim_end().strip_prefix(LISTENING).and_then(|address| address.parse().ok());
        self.address = address.with_context(|| format!("it says {line:?}, not where it listens"))?;
        Ok(())
    }

    /// Waits until the server accepts a connection.
    fn accepts(&mut self, port: u16, until: Instant) -> Result<()> {
        self.address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while TcpStream::connect(self.address).is_err() {
            ensure!(!self.is_cancelled(), CANCELLED);
            ensure!(!self.has_ended()?, "it does not listen");
            ensure!(Instant::now() < until, "it does not listen, {} s after its start", START.as_secs());
            poll_for(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], TRY)?;
        }
        Ok(())
    }

    /// Runs a client to its end, and samples meanwhile what the server holds, if that is wanted.
    /// What it prints goes to `out`, if that is given.
    ///
    /// # Errors
    ///
    /// It says that something went wrong, or takes too long.
    pub(crate) fn ask(&mut self, mut command: Command, out: Option<File>) -> Result<Asked> {
        let program = command.get_program().display().to_string();
        let (printed, errors) = (self.scratch.join("client.out"), self.scratch.join("client.err"));
        let stdout = out.map_or_else(|| File::create(&printed), Ok)?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(File::create(&errors)?);
        let before = self.cpu(None);
        let mut client = command.spawn().with_context(|| program.clone())?;
        let waited = self.watch(&client);
        let cpu = self.cpu(Some(client.id())).saturating_sub(before);
        if waited.is_err() {
            client.kill()?;
        }
        let status = client.wait()?;
        waited?;
        succeeded(&program, status, &errors)?;
        Ok(Asked { printed: fs::read_to_string(&printed).unwrap_or_default(), cpu })
    }

    /// Starts a client, waits for the first line that it prints, measures what the server holds
    /// more than before, and lets it end. The line and the bytes.
    pub(crate) fn hold(&mut self, mut command: Command) -> Result<(String, f64)> {
        let program = command.get_program().display().to_string();
        let errors = self.scratch.join("client.err");
        let before = memory::sample(None).bytes;
        let (mut out, stdout) = io::pipe()?;
        command.stdin(Stdio::piped()).stdout(stdout).stderr(File::create(&errors)?);
        let mut client = command.spawn().with_context(|| program.clone())?;
        drop(command);
        let stdin: Option<ChildStdin> = client.stdin.take();
        let line = self.first_line(&mut out);
        let held = memory::sample(Some(client.id())).bytes;
        if line.is_err() {
            client.kill()?;
        }
        drop(stdin);
        let status = client.wait()?;
        let line = line?;
        succeeded(&program, status, &errors)?;
        Ok((line, held.saturating_sub(before) as f64))
    }

    fn first_line(&self, out: &mut io::PipeReader) -> Result<String> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            self.until_ready(&*out, None)?;
            let mut byte = [0];
            if out.read(&mut byte)? == 0 {
                break;
            }
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Waits until the client has ended.
    fn watch(&mut self, client: &Child) -> Result<()> {
        let pidfd = pidfd_open(Pid::from_child(client), PidfdFlags::empty())?;
        while !self.until_ready(&pidfd, self.sample.then_some(memory::EVERY))? {
            self.held = Some(self.held.unwrap_or_default().max(memory::sample(Some(client.id()))));
        }
        Ok(())
    }

    /// Waits until it is readable: true; or so long: false.
    fn until_ready(&self, fd: &impl std::os::fd::AsFd, patience: Option<Duration>) -> Result<bool> {
        loop {
            let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
            ensure!(left != Some(Duration::ZERO), "timed out");
            let mut fds = vec![PollFd::new(fd, PollFlags::IN)];
            fds.extend(self.cancel.iter().map(|cancel| PollFd::new(cancel, PollFlags::IN)));
            let longest = Duration::from_secs(60);
            poll_for(&mut fds, [left, patience].into_iter().flatten().min().unwrap_or(longest))?;
            let is_ready = !fds[0].revents().is_empty();
            ensure!(!self.is_cancelled(), CANCELLED);
            if is_ready || patience.is_some() {
                return Ok(is_ready);
            }
        }
    }

    /// What the server's processes have taken of the cores so far.
    fn cpu(&self, client: Option<u32>) -> Duration {
        let all = tree::descendants().unwrap_or_default().into_iter();
        all.filter(|process| Some(process.pid) != client).filter_map(|process| tree::cpu(process.pid)).sum()
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(Cancel::is_requested)
    }

    fn has_ended(&self) -> Result<bool> {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll_for(&mut fds, Duration::ZERO)?;
        Ok(!fds[0].revents().is_empty())
    }

    fn ends_by(&self, until: Instant) -> Result<bool> {
        let until = self.until.map_or(until, |end| end.max(Instant::now() + PATIENCE).min(until));
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        fds.extend(self.cancel.iter().map(|cancel| PollFd::new(cancel, PollFlags::IN)));
        poll_for(&mut fds, until.saturating_duration_since(Instant::now()))?;
        ensure!(!self.is_cancelled(), CANCELLED);
        self.has_ended()
    }

    /// Why it went wrong: that the server is no more, and what it said, comes before what a client
    /// has to say of it.
    fn why(&mut self, error: anyhow::Error, errors: &File) -> anyhow::Error {
        // Its connections and its output end a little before it does.
        let _ = poll_for(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], ENDING);
        if !self.has_ended().unwrap_or(false) {
            return error;
        }
        let mut said = [0; 1000];
        // From the beginning: the server's writing and this reading have one position.
        let length = errors.read_at(&mut said, 0).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[..length]);
        let said = said.lines().next().map(|line| format!(", {line:?}")).unwrap_or_default();
        match self.child.wait() {
            Ok(status) => anyhow!("it ended with {status}{said}: {error:#}"),
            Err(_) => error,
        }
    }
}

/// What a client says when it fails is its last line.
fn succeeded(program: &str, status: ExitStatus, errors: &PathBuf) -> Result<()> {
    let said = fs::read_to_string(errors).unwrap_or_default();
    let name = Path::new(program).file_name().unwrap_or_default().display().to_string();
    let trouble = said.trim().trim_start_matches("Error: ").replace('\n', " ");
    ensure!(status.success(), "{name}: {}", if trouble.is_empty() { status.to_string() } else { trouble });
    Ok(())
}

//! One run of a service: a server that runs until it is stopped, and its clients, one after the
//! other. The measurements cover the server's processes only.

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
        memory::{self, Usage},
        run::{EXIT_GRACE, Measurement, RunOptions, inherited_pipe, read_report},
    },
    process::{
        cancel::Cancel,
        guard::{CANCELLED, KillDescendants, exclusive},
        tree::{self, Ended, Switches, poll_for},
    },
};

/// How to find out that a server is ready and at which address, and how to stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// It prints `listening at ADDRESS` and ends on SIGINT, as the models do.
    Announces,
    /// It was given this port, is ready when it accepts a connection, and ends on SIGTERM.
    AcceptsAt(u16),
}

/// What a server prints before its address.
const LISTENING: &str = "listening at ";
/// Time limit from the start of a server until it is ready.
const START: Duration = Duration::from_secs(10);
/// Time limit from the signal until a server has ended.
const STOP: Duration = Duration::from_secs(10);
/// Time that a crashed server may take to end after its connections were closed.
const ENDING: Duration = Duration::from_millis(200);
/// Time between two attempts to connect to a server that does not announce its address.
const RETRY: Duration = Duration::from_millis(2);

/// Creates a file for writing and reading.
pub(crate) fn readable(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(true).open(path)
}

/// A free port of this machine.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A running server.
pub(crate) struct RunningServer<'a> {
    pub address: SocketAddr,
    child: Child,
    pidfd: OwnedFd,
    scratch: &'a Path,
    until: Option<Instant>,
    cancel: Option<Cancel>,
    sample: bool,
    usage: Option<Usage>,
}

/// The result of a client's run.
pub(crate) struct ClientRun {
    /// The client's output, unless it went to a file.
    pub printed: String,
    /// The server's processor time while the client ran.
    pub cpu: Duration,
}

/// Starts a server, calls `clients` when it is ready, stops it, and waits until all its processes
/// have ended.
///
/// The measured time is that from the start until the server is ready; `clients` may measure other
/// times.
///
/// # Errors
///
/// The server does not become ready or does not stop, or `clients` fails.
pub(crate) fn serve<T>(
    mut command: Command,
    protocol: Protocol,
    options: RunOptions,
    scratch: &Path,
    clients: impl FnOnce(&mut RunningServer) -> Result<T>,
) -> Result<(Measurement, T)> {
    let _exclusive = exclusive();
    ensure!(!options.cancel.as_ref().is_some_and(Cancel::is_requested), CANCELLED);
    set_child_subreaper(Some(getpid()))?;
    fs::create_dir_all(scratch)?;
    let (report, report_end) = inherited_pipe()?;
    command.env(REPORT_FD, report_end.as_raw_fd().to_string()).env_remove(TRACE_DIR);
    let (mut out, stdout) = match protocol {
        Protocol::Announces => io::pipe().map(|(read, write)| (Some(read), Stdio::from(write)))?,
        Protocol::AcceptsAt(_) => (None, Stdio::null()),
    };
    let errors = match options.keep {
        Some((_, err)) => err,
        None => readable(&scratch.join("server.err"))?,
    };
    let program = command.get_program().display().to_string();
    command.stdin(Stdio::null()).stdout(stdout).stderr(errors.try_clone()?);

    let (started, started_ns) = (Instant::now(), trace::now());
    let _kill_descendants = KillDescendants;
    let child = command.spawn().context(program)?;
    drop((command, report_end));
    let pid = Pid::from_child(&child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let mut server = RunningServer {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        child,
        pidfd,
        scratch,
        until: options.timeout.map(|timeout| started + timeout),
        cancel: options.cancel.clone(),
        sample: options.sample,
        usage: None,
    };
    let ready = match (protocol, &mut out) {
        (Protocol::Announces, Some(out)) => server.wait_for_announcement(out, started + START),
        (Protocol::AcceptsAt(port), _) => server.wait_for_port(port, started + START),
        (Protocol::Announces, None) => Err(anyhow!("the output pipe is missing")),
    };
    ready.map_err(|error| server.why(error, &errors))?;
    let wall = started.elapsed();
    let found = clients(&mut server).map_err(|error| server.why(error, &errors))?;

    let signalled = Instant::now();
    match protocol {
        Protocol::Announces => tree::interrupt(pid)?,
        Protocol::AcceptsAt(_) => kill_process(pid, Signal::TERM)?,
    }
    if !server.ends_by(signalled + STOP)? {
        bail!("it is still running {:.0} s after the stop signal", signalled.elapsed().as_secs_f64());
    }
    let mut all: Vec<Ended> = Vec::new();
    let left = tree::wait_for_all(EXIT_GRACE, |ended| all.push(ended))?;
    let stop = signalled.elapsed();
    tree::kill(|ended| all.push(ended))?;
    ensure!(!server.is_cancelled(), CANCELLED);
    let own = all.iter().find(|ended| ended.pid == server.child.id()).context("the server was waited for")?;
    let measurement = Measurement {
        started_ns,
        wall,
        cpu: all.iter().map(|ended| ended.cpu).sum(),
        first: None,
        stop: Some(stop),
        usage: server.usage.filter(|usage| usage.bytes > 0),
        switches: all.iter().map(|ended| ended.switches).fold(Switches::default(), Switches::plus),
        max_rss: all.iter().map(|ended| ended.max_rss).max().unwrap_or(0),
        status: own.status,
        bytes: 0,
        report: read_report(report)?,
        served: None,
        timed_out: false,
        leftovers: left.into_iter().map(|process| format!("{} ({})", process.name, process.pid)).collect(),
    };
    Ok((measurement, found))
}

impl RunningServer<'_> {
    /// Waits for the line with the server's address.
    fn wait_for_announcement(&mut self, out: &mut io::PipeReader, until: Instant) -> Result<()> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let mut fds = vec![PollFd::new(&*out, PollFlags::IN)];
            fds.extend(self.cancel.iter().map(|cancel| PollFd::new(cancel, PollFlags::IN)));
            poll_for(&mut fds, until.saturating_duration_since(Instant::now()))?;
            let is_readable = !fds[0].revents().is_empty();
            drop(fds);
            ensure!(!self.is_cancelled(), CANCELLED);
            ensure!(is_readable, "it did not print its address within {} s", START.as_secs());
            let mut byte = [0];
            ensure!(out.read(&mut byte)? > 0 && line.len() < 200, "it did not print its address");
            line.push(byte[0]);
        }
        let line = String::from_utf8_lossy(&line);
        let address = line.trim_end().strip_prefix(LISTENING).and_then(|address| address.parse().ok());
        self.address = address.with_context(|| format!("it printed {line:?} instead of its address"))?;
        Ok(())
    }

    /// Waits until the server accepts a connection.
    fn wait_for_port(&mut self, port: u16, until: Instant) -> Result<()> {
        self.address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while TcpStream::connect(self.address).is_err() {
            ensure!(!self.is_cancelled(), CANCELLED);
            ensure!(!self.has_ended()?, "it accepts no connection");
            ensure!(Instant::now() < until, "it accepted no connection within {} s", START.as_secs());
            poll_for(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], RETRY)?;
        }
        Ok(())
    }

    /// Runs a client to its end and, if requested, samples the server's memory meanwhile. The
    /// client's output goes to `out`, if that is given.
    ///
    /// # Errors
    ///
    /// The client fails, or the run times out.
    pub(crate) fn run_client(&mut self, mut command: Command, out: Option<File>) -> Result<ClientRun> {
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
        Ok(ClientRun { printed: fs::read_to_string(&printed).unwrap_or_default(), cpu })
    }

    /// Starts a client, waits for its first line of output, measures by how much the server's
    /// memory has grown, and lets the client end. Returns the line and the bytes.
    pub(crate) fn memory_growth(&mut self, mut command: Command) -> Result<(String, f64)> {
        let program = command.get_program().display().to_string();
        let errors = self.scratch.join("client.err");
        let before = memory::sample(None).bytes;
        let (mut out, stdout) = io::pipe()?;
        command.stdin(Stdio::piped()).stdout(stdout).stderr(File::create(&errors)?);
        let mut client = command.spawn().with_context(|| program.clone())?;
        drop(command);
        let stdin: Option<ChildStdin> = client.stdin.take();
        let line = self.first_line(&mut out);
        let after = memory::sample(Some(client.id())).bytes;
        if line.is_err() {
            client.kill()?;
        }
        drop(stdin);
        let status = client.wait()?;
        let line = line?;
        succeeded(&program, status, &errors)?;
        Ok((line, after.saturating_sub(before) as f64))
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
        while !self.until_ready(&pidfd, self.sample.then_some(memory::INTERVAL))? {
            self.usage = Some(self.usage.unwrap_or_default().max(memory::sample(Some(client.id()))));
        }
        Ok(())
    }

    /// Waits until `fd` is readable and returns true, or until `timeout` has passed and returns
    /// false.
    fn until_ready(&self, fd: &impl std::os::fd::AsFd, timeout: Option<Duration>) -> Result<bool> {
        loop {
            let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
            ensure!(left != Some(Duration::ZERO), "timed out");
            let mut fds = vec![PollFd::new(fd, PollFlags::IN)];
            fds.extend(self.cancel.iter().map(|cancel| PollFd::new(cancel, PollFlags::IN)));
            let longest = Duration::from_secs(60);
            poll_for(&mut fds, [left, timeout].into_iter().flatten().min().unwrap_or(longest))?;
            let is_ready = !fds[0].revents().is_empty();
            ensure!(!self.is_cancelled(), CANCELLED);
            if is_ready || timeout.is_some() {
                return Ok(is_ready);
            }
        }
    }

    /// The processor time of the server's processes so far.
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
        let until = self.until.map_or(until, |end| end.max(Instant::now() + EXIT_GRACE).min(until));
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        fds.extend(self.cancel.iter().map(|cancel| PollFd::new(cancel, PollFlags::IN)));
        poll_for(&mut fds, until.saturating_duration_since(Instant::now()))?;
        ensure!(!self.is_cancelled(), CANCELLED);
        self.has_ended()
    }

    /// The cause of an error: if the server has ended, its exit status and its first message come
    /// before the client's error, which is a consequence.
    fn why(&mut self, error: anyhow::Error, errors: &File) -> anyhow::Error {
        // A process that ends closes its connections and its output a little earlier.
        let _ = poll_for(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], ENDING);
        if !self.has_ended().unwrap_or(false) {
            return error;
        }
        let mut stderr = [0; 1000];
        // `read_at`, because the server and this process share the file's position.
        let length = errors.read_at(&mut stderr, 0).unwrap_or_default();
        let stderr = String::from_utf8_lossy(&stderr[..length]);
        let message = stderr.lines().next().map(|line| format!(", {line:?}")).unwrap_or_default();
        match self.child.wait() {
            Ok(status) => anyhow!("it ended with {status}{message}: {error:#}"),
            Err(_) => error,
        }
    }
}

/// Fails with the client's messages, or else with its exit status, if it was not successful.
fn succeeded(program: &str, status: ExitStatus, errors: &PathBuf) -> Result<()> {
    let stderr = fs::read_to_string(errors).unwrap_or_default();
    let name = Path::new(program).file_name().unwrap_or_default().display().to_string();
    let message = stderr.trim().trim_start_matches("Error: ").replace('\n', " ");
    ensure!(status.success(), "{name}: {}", if message.is_empty() { status.to_string() } else { message });
    Ok(())
}

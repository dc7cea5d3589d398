//! The local cluster: worker processes that the run starts, on loopback.
//!
//! A worker is this same program, started with an environment variable. Secrets, and what is not
//! known at the start, go through pipes: the token through the worker's standard input, its address
//! through its standard output. The coordinator keeps the input open. When the coordinator ends,
//! for any reason, the operating system closes the pipe, and the worker ends too.

use std::{
    env, io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{self, Stdio},
    thread,
    time::Duration,
};

use cc_workloads::{Error, Result, root::Files, stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::{
    host::{self, Worker},
    log::Log,
    token::Token,
    worker::Service,
};

/// Set in a worker process. Its value says whether tasks name files, or carry their contents.
const WORKER: &str = "CC_DISTRIBUTED_WORKER";
const NAMES: &str = "names";
const CONTENTS: &str = "contents";

/// Maximum time from the start of a process until it has sent its address.
const START: Duration = Duration::from_secs(5);

/// How worker processes are started.
pub(super) struct WorkerSpec {
    /// The program. None: this one.
    pub(super) program: Option<PathBuf>,
    /// Whether tasks name files, instead of carrying their contents.
    pub(super) shared_fs: bool,
    /// The directory for temporary files. None: the one of the environment.
    pub(super) temporary: Option<PathBuf>,
}

/// A worker process.
pub(super) struct Process(Child);

impl Process {
    /// Starts a process. It can be used when it was [greeted](Process::greet).
    pub(super) fn start(spec: &WorkerSpec) -> io::Result<Self> {
        let program = spec.program.clone().map_or_else(env::current_exe, Ok)?;
        let child = Command::new(program)
            .env(WORKER, if spec.shared_fs { NAMES } else { CONTENTS })
            .envs(spec.temporary.iter().map(|dir| ("TMPDIR", dir)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // In a process group of its own, a worker gets no Ctrl-C of the terminal: only the
            // coordinator does, and it ends its workers itself.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self(child))
    }

    /// Sends it the token, and returns its address.
    pub(super) async fn greet(&mut self, token: &Token) -> io::Result<String> {
        let ended = || io::Error::other("the process ended before it sent its address");
        let (input, output) = (self.0.stdin.as_mut(), self.0.stdout.take());
        // The write fails if the process has ended before it could read.
        input.ok_or_else(ended)?.write_all(&[token.text(), b"\n"].concat()).await.map_err(|_| ended())?;
        let mut address = String::new();
        let mut output = BufReader::new(output.ok_or_else(ended)?);
        timeout(START, output.read_line(&mut address)).await??;
        if address.is_empty() { Err(ended()) } else { Ok(address.trim_end().to_owned()) }
    }

    /// Kills it, which works for a suspended process too, and waits for its end. It has no data
    /// that must be saved.
    pub(super) async fn end(mut self) {
        let _ = self.0.kill().await;
    }
}

/// In a process that was started as a worker, serves and does not return.
pub(super) fn enter(services: &'static [Service]) {
    let files = match env::var(WORKER).as_deref() {
        Ok(NAMES) => Files::All,
        Ok(CONTENTS) => Files::None,
        _ => return,
    };
    if let Err(error) = work(Worker { services, files, requests: true, slots: 1, silence: host::SILENCE }) {
        // If standard error is closed, the exit status alone shows the error.
        let _ = stdio::say(&format!("worker: {error}\n"));
    }
    process::exit(1);
}

fn work(worker: Worker) -> Result<()> {
    let mut token = String::new();
    io::stdin().read_line(&mut token).map_err(Error::io("standard input"))?;
    let token = Token::new(&token)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("listener"))?;
    let address = listener.local_addr().map_err(Error::io("listener"))?;
    let exit_with_coordinator = || {
        // It returns when the coordinator's end of the pipe is closed.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    };
    thread::Builder::new()
        .name("lifeline".to_owned())
        .spawn(exit_with_coordinator)
        .map_err(Error::io("thread"))?;
    stdio::write_out(format!("{address}\n").as_bytes()).map_err(Error::io("standard output"))?;
    host::serve(listener, token, worker, Log::silent())
}

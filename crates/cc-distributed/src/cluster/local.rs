//! The local cluster: worker processes of the run's own, on loopback.
//!
//! A worker is this program once more, told by an environment variable. All that is secret, and all that is
//! not known beforehand, goes through pipes: the token in by its standard input, its address out by its standard
//! output. That input stays open as long as the coordinator lives. However the coordinator ends, the kernel
//! closes it, and the worker ends, too.

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

/// Set in a worker process: to whether it opens files by name, or has their contents sent.
const WORKER: &str = "CC_DISTRIBUTED_WORKER";
const NAMES: &str = "names";
const CONTENTS: &str = "contents";

/// A process that has not said its address after this time never will.
const START: Duration = Duration::from_secs(5);

/// How worker processes are started.
pub(super) struct WorkerSpec {
    /// The program, if it is not this one.
    pub(super) program: Option<PathBuf>,
    /// Whether tasks name files, or bring their contents along.
    pub(super) names: bool,
    /// Where temporary files go, if not where the environment says.
    pub(super) temporary: Option<PathBuf>,
}

/// A worker process.
pub(super) struct Process(Child);

impl Process {
    /// Starts one. It is of no use before it is [greeted](Process::greet).
    pub(super) fn start(spec: &WorkerSpec) -> io::Result<Self> {
        let program = spec.program.clone().map_or_else(env::current_exe, Ok)?;
        let child = Command::new(program)
            .env(WORKER, if spec.names { NAMES } else { CONTENTS })
            .envs(spec.temporary.iter().map(|dir| ("TMPDIR", dir)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A Ctrl-C in the terminal is the coordinator's affair: it must not lose its workers first.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self(child))
    }

    /// Tells it the token and returns its address.
    pub(super) async fn greet(&mut self, token: &Token) -> io::Result<String> {
        let gone = || io::Error::other("it ended at once");
        let (input, output) = (self.0.stdin.as_mut(), self.0.stdout.take());
        // The pipe is broken if it has ended before it could read this.
        input.ok_or_else(gone)?.write_all(&[token.text(), b"\n"].concat()).await.map_err(|_| gone())?;
        let mut address = String::new();
        let mut output = BufReader::new(output.ok_or_else(gone)?);
        timeout(START, output.read_line(&mut address)).await??;
        if address.is_empty() { Err(gone()) } else { Ok(address.trim_end().to_owned()) }
    }

    /// Kills it, which works on a suspended one, too, and waits for it. It has nothing to lose.
    pub(super) async fn end(mut self) {
        let _ = self.0.kill().await;
    }
}

/// In a process that was started as a worker, works and does not return.
pub(super) fn enter(services: &'static [Service]) {
    let files = match env::var(WORKER).as_deref() {
        Ok(NAMES) => Files::All,
        Ok(CONTENTS) => Files::None,
        _ => return,
    };
    if let Err(error) = work(Worker { services, files, requests: true, slots: 1, silence: host::SILENCE }) {
        let _ = stdio::say(&format!("worker: {error}\n")); // the status says the same
    }
    process::exit(1);
}

fn work(worker: Worker) -> Result<()> {
    let mut token = String::new();
    io::stdin().read_line(&mut token).map_err(Error::io("standard input"))?;
    let token = Token::new(&token)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("listener"))?;
    let address = listener.local_addr().map_err(Error::io("listener"))?;
    let until_orphaned = || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    };
    thread::Builder::new().name("lifeline".to_owned()).spawn(until_orphaned).map_err(Error::io("thread"))?;
    stdio::write_out(format!("{address}\n").as_bytes()).map_err(Error::io("standard output"))?;
    host::serve(listener, token, worker, Log::silent())
}

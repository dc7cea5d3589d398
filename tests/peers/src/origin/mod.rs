//! `origin`: a server with resources of every kind, and with every fault that a client must be able to deal with.
//!
//! What a request gets is a script: which bytes are sent when, and how it ends. It follows from the path, the seed, and
//! how often the path has been asked for, so that a run can be repeated. A library for servers would not let most of the faults
//! through, so the bytes are written by hand; requests are read with `httparse`.
//!
//! `/~stats` says how many requests there were at once, in all and for each host, and `/~urls/N` lists N resources.

mod connection;
mod script;
mod stats;

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpSocket},
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    task::JoinSet,
};

pub use script::{FAULTS, body};
pub use stats::Stats;

use stats::Counters;

/// Serve resources, and faults, until standard input ends or SIGINT or SIGTERM comes.
///
/// A line `latency MS` on standard input lets requests wait for so long from then on, and is printed when they do.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where clients connect; with port 0 the system chooses one, which is printed
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Listen at so many addresses: 127.0.0.1 and those that follow it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..255))]
    hosts: u8,
    /// What bodies are made from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Let every request wait for so many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// Bodies have so many bytes at most
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 10)]
    size: usize,
    /// Answer so many requests of a hundred with 503, once for each resource
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    errors: u8,
    /// Print the URLs of so many resources, and serve nothing
    #[arg(long, value_name = "N")]
    urls: Option<usize>,
}

/// How an origin is to behave.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What bodies are made from.
    pub seed: u64,
    /// Every request waits for so long.
    pub latency: Duration,
    /// No request is answered before so many have been under way at once.
    pub together: usize,
    /// The most bytes of a body.
    pub size: usize,
    /// So many of a hundred plain resources answer with 503 at first.
    pub errors: u8,
    /// At so many addresses, from 127.0.0.1 on.
    pub hosts: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: 1, latency: Duration::ZERO, together: 1, size: 64 << 10, errors: 0, hosts: 1 }
    }
}

impl From<&Args> for Settings {
    fn from(args: &Args) -> Self {
        let Args { seed, size, errors, hosts, .. } = *args;
        Self { seed, latency: Duration::from_millis(args.latency), size, errors, hosts, ..Self::default() }
    }
}

/// The program.
pub fn main(args: &Args) -> anyhow::Result<()> {
    if let Some(count) = args.urls {
        let list = script::urls(args.listen, args.hosts, count);
        return Ok(io::stdout().lock().write_all(list.as_bytes())?);
    }
    raise_limit();
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let listeners = listen(args.listen, args.hosts)?;
        writeln!(io::stdout(), "listening at {}", listeners[0].local_addr()?)?;
        let counters = Arc::<Counters>::default();
        tokio::select! {
            ended = end(&counters) => ended,
            never = serve(listeners, args.into(), counters.clone()) => never,
        }
    });
    // Somebody may still be reading standard input, which nobody can be kept from.
    runtime.shutdown_background();
    served.with_context(|| format!("origin at {}", args.listen))
}

/// An origin on a thread of its own, which ends when this is dropped.
pub struct Origin {
    address: SocketAddr,
    counters: Arc<Counters>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// One that listens at a port of the system's choice.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let runtime = runtime()?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listeners = runtime.block_on(async { listen(any, settings.hosts) })?;
        let address = listeners[0].local_addr()?;
        let counters = Arc::<Counters>::default();
        let (end, ended) = oneshot::channel::<()>();
        let serve = serve(listeners, settings, counters.clone());
        let run = move || {
            runtime.block_on(async {
                tokio::select! { _ = ended => {}, _ = serve => {} }
            });
        };
        let thread = thread::Builder::new().name("origin".to_owned()).spawn(run)?;
        Ok(Self { address, counters, end: Some(end), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }

    /// Waits until so many requests are under way at once. Returns at once if they are, or were.
    pub fn wait_for_peak(&self, requests: usize) {
        self.counters.wait_for_peak(requests);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Each connection takes a descriptor: as many as this process may have.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, it is what it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// More than there will be connections that come at once.
const BACKLOG: u32 = 4096;

fn listen(first: SocketAddr, hosts: u8) -> io::Result<Vec<TcpListener>> {
    let mut listeners = vec![bind(first)?];
    let port = listeners[0].local_addr()?.port();
    for host in 2..=hosts {
        listeners.push(bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), port)))?);
    }
    Ok(listeners)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves whoever connects, for ever.
async fn serve(listeners: Vec<TcpListener>, settings: Settings, counters: Arc<Counters>) -> io::Result<()> {
    counters.set_latency(settings.latency);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, settings, counters.clone()));
    }
    // They end together with this.
    while accepting.join_next().await.is_some() {}
    Ok(())
}

async fn accept(listener: TcpListener, settings: Settings, counters: Arc<Counters>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => _ = connections.spawn(connection::serve(stream, settings, counters.clone())),
                // No descriptors: there will be when somebody has gone.
                Err(_) => _ = connections.join_next().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Waits for the end of standard input, or a signal, and does meanwhile what standard input says.
async fn end(counters: &Counters) -> io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        told = obey(counters) => told,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn obey(counters: &Counters) -> io::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let latency = line.strip_prefix("latency ").and_then(|ms| ms.parse().ok());
        let latency = latency.ok_or_else(|| io::Error::other(format!("{line:?} is not latency MS")))?;
        counters.set_latency(Duration::from_millis(latency));
        writeln!(io::stdout(), "{line}")?;
    }
    Ok(())
}

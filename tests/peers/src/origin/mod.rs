//! `origin`: a server with resources of every kind, and with every fault that a client must handle.
//!
//! The answer to a request is a script: which bytes are sent when, and how the connection goes on.
//! It depends on the path, the seed, and how often the path was requested before, so a run can be
//! repeated. Answers are written as bytes, because a server library would not allow most of the
//! faults; requests are parsed with `httparse`.
//!
//! `/~stats` returns the number of requests in all and for each host, with the peak of concurrent
//! ones. `/~urls/N` lists N resources.

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

/// Serve resources and faults, until standard input ends, or SIGINT or SIGTERM arrives.
///
/// A line `latency MS` on standard input sets the latency of later requests, and is printed once it
/// is set.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address to listen at; with port 0 the system chooses the port, which is printed
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Number of addresses to listen at: 127.0.0.1 and those that follow it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..255))]
    hosts: u8,
    /// Seed of the bodies
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Delay of every answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// Maximum size of a body in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 10)]
    size: usize,
    /// Percentage of resources whose first request is answered with 503
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    errors: u8,
    /// Print the URLs of N resources, and serve nothing
    #[arg(long, value_name = "N")]
    urls: Option<usize>,
}

/// The behaviour of an origin.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What bodies are made from.
    pub seed: u64,
    /// Delay of every answer.
    pub latency: Duration,
    /// No request is answered before this number of requests have been in flight together.
    pub together: usize,
    /// Maximum size of a body in bytes.
    pub size: usize,
    /// Percentage of plain resources whose first request is answered with 503.
    pub errors: u8,
    /// Number of addresses, from 127.0.0.1 on.
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

/// Runs the program.
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
    // A blocking read of standard input may still be running, and cannot be cancelled. A normal
    // shutdown would wait for it.
    runtime.shutdown_background();
    served.with_context(|| format!("origin at {}", args.listen))
}

/// An origin on a thread of its own, which stops when this is dropped.
pub struct Origin {
    address: SocketAddr,
    counters: Arc<Counters>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// Starts an origin at a port that the system chooses.
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

    /// The address at which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The counts so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }

    /// Waits until this number of requests are in flight together, or returns at once if they have
    /// been.
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

/// Raises the limit of descriptors to the hard limit, because each connection takes one.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If this fails, the present limit stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Maximum number of connections that wait to be accepted. It is higher than any test needs.
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

/// Serves all clients, for ever.
async fn serve(listeners: Vec<TcpListener>, settings: Settings, counters: Arc<Counters>) -> io::Result<()> {
    counters.set_latency(settings.latency);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, settings, counters.clone()));
    }
    // The tasks never end; they are aborted when the set is dropped with this future.
    while accepting.join_next().await.is_some() {}
    Ok(())
}

async fn accept(listener: TcpListener, settings: Settings, counters: Arc<Counters>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => _ = connections.spawn(connection::serve(stream, settings, counters.clone())),
                // Most likely there are no descriptors: waits until a connection ends.
                Err(_) => _ = connections.join_next().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Waits for the end of standard input or for a signal, and obeys the lines of standard input until
/// then.
async fn end(counters: &Counters) -> io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        ended = obey(counters) => ended,
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

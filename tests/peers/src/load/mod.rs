//! `load`: sends requests on many connections, and measures how long each waits for its reply.
//!
//! In the [`closed`] loop, the server's replies decide when the next requests are sent. In the
//! [`open`] loop, a schedule does. Both use the [`peers`] and return an [`outcome`]. A single
//! thread does everything, so that on two cores the server has one to itself and most of the other.

mod closed;
mod open;
mod outcome;
mod peers;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    num::NonZeroUsize,
    time::Duration,
};

use anyhow::{Result, ensure};

use crate::{
    connect::{self, Server},
    requests::{Mix, Requests},
};
use outcome::Outcome;
use peers::Peers;

/// Load a server with requests, and report how long they took
///
/// Without --rate, a connection sends its next request when the last has been answered: a closed
/// loop, which shows the server's throughput. With --rate, requests are sent when they are due,
/// independent of earlier replies, and are timed from then on: an open loop, which shows how long
/// clients wait. The exit status is 1 if anything failed, error replies included.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(50).expect("more than none"))]
    connections: NonZeroUsize,
    /// Number of requests that a connection sends together before it waits for their replies; not
    /// with --rate
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN, conflicts_with = "rate")]
    pipeline: NonZeroUsize,
    /// Total number of requests
    #[arg(long, value_name = "N", required_unless_present = "seconds")]
    requests: Option<u64>,
    /// Duration of the load in seconds, instead of --requests
    #[arg(long, value_name = "S", conflicts_with = "requests")]
    seconds: Option<f64>,
    /// Requests per second, at random times (a Poisson process)
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Send the requests of --rate at even intervals
    #[arg(long, requires = "rate")]
    even: bool,
    #[command(flatten)]
    mix: Mix,
    /// Seed of all random choices
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

/// When the load ends.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Requests(u64),
    Time(Duration),
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let outcome = run(args)?;
    if args.json {
        writeln!(io::stdout(), "{}", serde_json::to_string(&outcome)?)?;
    } else {
        write!(io::stdout(), "{outcome}")?;
    }
    outcome.check()
}

fn run(args: &Args) -> Result<Outcome> {
    let Args { server, connections, pipeline, mix, seed, .. } = args;
    // Bounds the memory: there are at least 16 batches of this many requests.
    ensure!(pipeline.get() <= 10_000, "--pipeline {pipeline}: ten thousand at most");
    let limit = args.limit()?;
    connect::raise_descriptors()?;
    let mut requests = Requests::new(mix, pipeline.get(), *seed)?;
    let mut peers = Peers::new(server.open_all(connections.get())?, server.connect)?;
    match args.rate {
        None => closed::run(&mut peers, &mut requests, pipeline.get(), limit),
        Some(rate) => {
            let count = match limit {
                Limit::Requests(count) => count,
                Limit::Time(time) => (time.as_secs_f64() * rate).ceil() as u64,
            };
            let due = open::Due::new(rate, args.even, *seed)?;
            open::run(&mut peers, &mut requests, due.take(usize::try_from(count)?))
        }
    }
}

impl Args {
    fn limit(&self) -> Result<Limit> {
        if let Some(seconds) = self.seconds {
            ensure!((0.0..=86_400.0).contains(&seconds), "--seconds {seconds}: from 0 to a day");
            return Ok(Limit::Time(Duration::from_secs_f64(seconds)));
        }
        Ok(Limit::Requests(self.requests.unwrap_or_default()))
    }
}

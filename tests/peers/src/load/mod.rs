//! `load`: requests on many connections, and how long each waits for its reply.
//!
//! [`closed`]: as many as the server can answer. [`open`]: as many as are due, whatever the server does. Both share the
//! [`peers`], and what comes of it is the [`outcome`]. All is done by one thread, so that a server on two cores has one to
//! itself and most of the other.

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

/// Load a server with requests, and say how long they took
///
/// Without --rate a connection asks again when it has been answered: a closed loop, which shows what the server can do. With it,
/// requests come when they are due, and count from then on, whether or not those before them have been answered: an
/// open loop, which shows how long clients wait. The exit status is 1 if anything went wrong, errors as replies included.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(50).expect("more than none"))]
    connections: NonZeroUsize,
    /// So many requests are sent at once on a connection, and answered, before the next; has no meaning with --rate
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN, conflicts_with = "rate")]
    pipeline: NonZeroUsize,
    /// So many requests in all
    #[arg(long, value_name = "N", required_unless_present = "seconds")]
    requests: Option<u64>,
    /// So long instead
    #[arg(long, value_name = "S", conflicts_with = "requests")]
    seconds: Option<f64>,
    /// So many requests are due in a second, at times that are drawn (a Poisson process)
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// They are due at even intervals instead
    #[arg(long, requires = "rate")]
    even: bool,
    #[command(flatten)]
    mix: Mix,
    /// What is drawn depends on it alone
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
}

/// When it is enough.
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
    // The first request of a batch and its reply, and some to spare.
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

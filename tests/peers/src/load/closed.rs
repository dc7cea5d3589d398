//! The closed loop: a connection sends its next requests once all earlier ones have been answered.

use std::time::Instant;

use anyhow::{Result, ensure};
use mio::Events;

use super::{
    Limit,
    outcome::{Outcome, Times},
    peers::{Peers, Readiness, nanoseconds, readiness},
};
use crate::requests::Requests;

struct Loop<'a> {
    peers: &'a mut Peers,
    requests: &'a mut Requests,
    pipeline: usize,
    limit: Limit,
    began: Instant,
    /// Of each connection: its requests in flight.
    in_flight: Vec<InFlight>,
    /// The number of connections that wait for replies.
    waiting: usize,
    times: Times,
}

#[derive(Clone, Copy)]
struct InFlight {
    /// Requests without a reply.
    left: usize,
    /// All requests that were sent together.
    count: usize,
    since: Instant,
}

pub(super) fn run(
    peers: &mut Peers,
    requests: &mut Requests,
    pipeline: usize,
    limit: Limit,
) -> Result<Outcome> {
    let began = Instant::now();
    let in_flight = vec![InFlight { left: 0, count: 0, since: began }; peers.len()];
    let mut all =
        Loop { peers, requests, pipeline, limit, began, in_flight, waiting: 0, times: Times::new()? };
    (0..all.peers.len()).try_for_each(|at| all.send(at))?;
    let mut events = Events::with_capacity(1024);
    while all.waiting > 0 {
        all.peers.wait(&mut events)?;
        events.iter().map(readiness).try_for_each(|readiness| all.on(readiness))?;
    }
    let wall = began.elapsed();
    Outcome::new(all.peers, wall, all.times, None)
}

impl Loop<'_> {
    fn send(&mut self, at: usize) -> Result<()> {
        let now = Instant::now();
        let count = match self.limit {
            Limit::Requests(all) => (all - self.peers.sent).min(self.pipeline as u64) as usize,
            Limit::Time(time) if now - self.began < time => self.pipeline,
            Limit::Time(_) => 0,
        };
        self.waiting += usize::from(count > 0);
        self.in_flight[at] = InFlight { left: count, count, since: now };
        if count > 0 {
            self.peers.send(at, count as u64, self.requests.draw(count))?;
        }
        Ok(())
    }

    fn on(&mut self, readiness: Readiness) -> Result<()> {
        let Readiness { at, readable, writable, .. } = readiness;
        if writable {
            self.peers.is_sent(at)?;
        }
        if !readable {
            return Ok(());
        }
        let answered = self.peers.receive(readiness)?;
        let batch = &mut self.in_flight[at];
        ensure!(answered <= batch.left, "there are more replies than requests");
        batch.left -= answered;
        if batch.left == 0 {
            self.times.record(nanoseconds(batch.since.elapsed()), batch.count as u64);
            self.waiting -= 1;
            self.send(at)?;
        }
        Ok(())
    }
}

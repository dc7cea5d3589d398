//! The closed loop: a connection asks again when all that it asked has been answered.

use std::time::Instant;

use anyhow::{Result, ensure};
use mio::Events;

use super::{
    Limit,
    outcome::{Outcome, Times},
    peers::{Happened, Peers, happened, nanoseconds},
};
use crate::requests::Requests;

struct Loop<'a> {
    peers: &'a mut Peers,
    requests: &'a mut Requests,
    pipeline: usize,
    limit: Limit,
    began: Instant,
    /// Of each connection: what it is yet to be answered, of how many, since when.
    asked: Vec<Asked>,
    /// Connections that wait for replies.
    waiting: usize,
    times: Times,
}

#[derive(Clone, Copy)]
struct Asked {
    left: usize,
    count: usize,
    at: Instant,
}

pub(super) fn run(
    peers: &mut Peers,
    requests: &mut Requests,
    pipeline: usize,
    limit: Limit,
) -> Result<Outcome> {
    let began = Instant::now();
    let asked = vec![Asked { left: 0, count: 0, at: began }; peers.len()];
    let mut all = Loop { peers, requests, pipeline, limit, began, asked, waiting: 0, times: Times::new()? };
    (0..all.peers.len()).try_for_each(|at| all.ask(at))?;
    let mut events = Events::with_capacity(1024);
    while all.waiting > 0 {
        all.peers.wait(&mut events)?;
        events.iter().map(happened).try_for_each(|happened| all.on(happened))?;
    }
    let wall = began.elapsed();
    Outcome::new(all.peers, wall, all.times, None)
}

impl Loop<'_> {
    fn ask(&mut self, at: usize) -> Result<()> {
        let now = Instant::now();
        let count = match self.limit {
            Limit::Requests(all) => (all - self.peers.sent).min(self.pipeline as u64) as usize,
            Limit::Time(time) if now - self.began < time => self.pipeline,
            Limit::Time(_) => 0,
        };
        self.waiting += usize::from(count > 0);
        self.asked[at] = Asked { left: count, count, at: now };
        if count > 0 {
            self.peers.send(at, count as u64, self.requests.draw(count))?;
        }
        Ok(())
    }

    fn on(&mut self, happened: Happened) -> Result<()> {
        let Happened { at, readable, writable, .. } = happened;
        if writable {
            self.peers.is_sent(at)?;
        }
        if !readable {
            return Ok(());
        }
        let answered = self.peers.receive(happened)?;
        let asked = &mut self.asked[at];
        ensure!(answered <= asked.left, "there are more replies than requests");
        asked.left -= answered;
        if asked.left == 0 {
            self.times.record(nanoseconds(asked.at.elapsed()), asked.count as u64);
            self.waiting -= 1;
            self.ask(at)?;
        }
        Ok(())
    }
}

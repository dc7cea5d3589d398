//! The open loop: requests are sent when they are due, as by independent clients.
//!
//! A request's time is measured from when it was due. If it were measured from when the request was
//! sent, a server that stalls would delay the sending of most requests, and only the few that were
//! sent would show the stall (coordinated omission).

use std::{
    collections::VecDeque,
    iter::Peekable,
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use fastrand::Rng;
use mio::{Events, unix::SourceFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::{
    outcome::{Outcome, Times},
    peers::{Peers, Readiness, nanoseconds, readiness},
};
use crate::requests::Requests;

/// Maximum number of requests sent before replies are read again, even if more are due: otherwise
/// sending could starve reading.
const BURST: usize = 64;

/// The times at which requests are due, in nanoseconds from the beginning: an endless series.
pub(super) struct Due {
    /// Mean time between two requests, in nanoseconds.
    gap: f64,
    /// `None` for even intervals.
    rng: Option<Rng>,
    next: f64,
}

impl Due {
    pub(super) fn new(rate: f64, is_even: bool, seed: u64) -> Result<Self> {
        ensure!((1.0..=1e7).contains(&rate), "--rate {rate}: from 1 to ten million");
        // Not the seed of the keys, so that the two series are independent.
        Ok(Self { gap: 1e9 / rate, rng: (!is_even).then(|| Rng::with_seed(!seed)), next: 0.0 })
    }
}

impl Iterator for Due {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let drawn = self.rng.as_mut().map_or(1.0, |rng| -(1.0 - rng.f64()).ln());
        self.next += drawn * self.gap;
        Some(self.next as u64)
    }
}

/// A connection's unanswered requests: when each was due.
#[derive(Default)]
struct Queue {
    due: VecDeque<u64>,
    /// How many of them, at the end, have not been sent.
    unsent: usize,
}

struct Loop<'a, D: Iterator<Item = u64>> {
    peers: &'a mut Peers,
    requests: &'a mut Requests,
    due: Peekable<D>,
    began: Instant,
    timer: OwnedFd,
    queues: Vec<Queue>,
    /// The connection that sends the next request.
    turn: usize,
    unanswered: usize,
    times: Times,
    late: Times,
}

pub(super) fn run(
    peers: &mut Peers,
    requests: &mut Requests,
    due: impl Iterator<Item = u64>,
) -> Result<Outcome> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    peers.register(&mut SourceFd(&timer.as_raw_fd()))?;
    let queues = (0..peers.len()).map(|_| Queue::default()).collect();
    let (times, late) = (Times::new()?, Times::new()?);
    let (due, began) = (due.peekable(), Instant::now());
    let mut all = Loop { peers, requests, due, began, timer, queues, turn: 0, unanswered: 0, times, late };
    let mut events = Events::with_capacity(1024);
    while all.issue()? || all.unanswered > 0 {
        all.peers.wait(&mut events)?;
        events.iter().map(readiness).try_for_each(|readiness| all.on(readiness))?;
    }
    let wall = began.elapsed();
    Outcome::new(all.peers, wall, all.times, Some(all.late))
}

impl<D: Iterator<Item = u64>> Loop<'_, D> {
    /// Sends the requests that are due, and sets the timer for the next one. Returns whether there
    /// is a next one.
    fn issue(&mut self) -> Result<bool> {
        let mut now = self.now();
        for _ in 0..BURST {
            let Some(due) = self.due.next_if(|due| *due <= now) else { break };
            self.late.record(now - due, 1);
            let at = self.turn;
            self.turn = (self.turn + 1) % self.queues.len();
            self.queues[at].due.push_back(due);
            self.queues[at].unsent += 1;
            self.unanswered += 1;
            self.send(at)?;
            now = self.now();
        }
        let Some(due) = self.due.peek() else { return Ok(false) };
        let it_value = Timespec::try_from(Duration::from_nanos(due.saturating_sub(now).max(1)))?;
        let timer = Itimerspec { it_interval: Timespec::default(), it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer)?;
        Ok(true)
    }

    fn now(&self) -> u64 {
        nanoseconds(self.began.elapsed())
    }

    /// Sends unsent requests until the socket takes no more.
    fn send(&mut self, at: usize) -> Result<()> {
        while self.queues[at].unsent > 0 && self.peers.is_sent(at)? {
            self.peers.send(at, 1, self.requests.draw(1))?;
            self.queues[at].unsent -= 1;
        }
        Ok(())
    }

    fn on(&mut self, readiness: Readiness) -> Result<()> {
        let Readiness { at, readable, writable, .. } = readiness;
        if at == self.queues.len() {
            return Ok(()); // the timer: the loop calls `issue` next
        }
        if writable && self.peers.is_sent(at)? {
            self.send(at)?;
        }
        if readable {
            let (answered, now) = (self.peers.receive(readiness)?, self.now());
            let queue = &mut self.queues[at];
            ensure!(answered <= queue.due.len() - queue.unsent, "there are more replies than requests");
            queue.due.drain(..answered).for_each(|due| self.times.record(now - due, 1));
            self.unanswered -= answered;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_due_in_a_second() {
        let even: Vec<u64> = Due::new(1000.0, true, 1).unwrap().take(3).collect();
        assert_eq!(even, [1_000_000, 2_000_000, 3_000_000]);
        let drawn: Vec<u64> = Due::new(1000.0, false, 1).unwrap().take(10_000).collect();
        assert!(drawn.is_sorted());
        let last = *drawn.last().unwrap() as f64 / 1e9;
        assert!((9.7..10.3).contains(&last), "{last}");
        let gaps = drawn.windows(2).map(|two| two[1] - two[0]);
        let long = gaps.filter(|gap| *gap > 3_000_000).count() as f64 / 1e4;
        assert!((long - (-3.0_f64).exp()).abs() < 0.01, "{long}");
        assert!(Due::new(0.0, true, 1).is_err() && Due::new(f64::NAN, true, 1).is_err());
    }
}

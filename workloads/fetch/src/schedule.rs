//! Which download may begin now: the limits, and who has been told to come back when. It waits for nothing; who does, asks it
//! for how long.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{
    Job, Output, Settings,
    attempt::{Attempted, Next},
    download::Download,
    failure::Failure,
    names::Names,
};

/// Maximum bodies that broke off and are kept until their next attempt. Each may have a file that
/// is open, which [`descriptors`](super::descriptors) reckons with, and a decoder of 40 KB. A
/// download beyond them starts over.
pub const PARKED: usize = 16;

/// Every download of a run that is not under way.
pub struct Schedule {
    settings: Arc<Settings>,
    deadline: Option<Instant>,
    /// So many may be under way at once.
    most: usize,
    /// So many are under way.
    running: usize,
    /// So many wait.
    waiting: usize,
    /// So many of those have a part of their body, and with it a file that is open.
    parked: usize,
    hosts: HashMap<Arc<str>, Host>,
    /// The hosts that have something to begin with, and may; each once.
    ready: VecDeque<Arc<str>>,
    /// Who may go on when.
    due: BinaryHeap<Reverse<Due>>,
    /// What has failed before it could begin.
    settled: VecDeque<Output>,
}

#[derive(Default)]
struct Host {
    running: usize,
    queue: VecDeque<Box<Download>>,
    /// Whether it is among those that are ready.
    is_ready: bool,
    held_until: Option<Instant>,
}

/// What is to be done next.
pub enum Turn {
    /// Begin this attempt, and tell [`Schedule::ended`] what came of it.
    Start(Box<Download>),
    /// This has failed: pass it on.
    Settled(Output),
    /// Nothing, until an attempt ends or this time has come.
    Wait(Option<Instant>),
    /// Nothing any more.
    Over,
}

impl Schedule {
    /// All of the job, as of now.
    #[must_use]
    pub fn new(job: &Job, now: Instant) -> Self {
        let settings = Arc::new(job.settings.clone());
        let deadline = settings.deadline.and_then(|deadline| now.checked_add(deadline));
        let mut schedule = Self {
            most: settings.concurrency,
            settings,
            deadline,
            running: 0,
            waiting: 0,
            parked: 0,
            hosts: HashMap::new(),
            ready: VecDeque::new(),
            due: BinaryHeap::new(),
            settled: VecDeque::new(),
        };
        for download in job.downloads(now) {
            match download {
                Ok(download) => schedule.push(download),
                Err(failed) => schedule.settled.push_back(failed),
            }
        }
        schedule
    }

    /// Takes one more, of which nothing has come.
    pub fn push(&mut self, download: Box<Download>) {
        self.queue(download, VecDeque::push_back);
    }

    /// So many may be under way at once from now on. Those that are more end by themselves.
    pub fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// What is to be done next. Asked again until it says to wait.
    pub fn turn(&mut self, now: Instant) -> Turn {
        if let Some(output) = self.settled.pop_front() {
            return Turn::Settled(output);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.give_up(now);
            return self.settled.pop_front().map_or_else(|| self.rest(None), Turn::Settled);
        }
        self.wake(now);
        match self.start(now) {
            Some(download) => Turn::Start(download),
            None => self.rest(self.next_time()),
        }
    }

    /// Takes back an attempt. What it was the last of is returned, and is to be passed on.
    pub fn ended(&mut self, attempted: Attempted) -> Option<Output> {
        self.ended_or_left(attempted, |_| true).unwrap_or_default()
    }

    /// The same, where not all hosts are this schedule's: a download that has been redirected to another is returned as well.
    ///
    /// # Errors
    ///
    /// That download, which is none of this schedule's any more.
    pub fn ended_or_left(
        &mut self,
        attempted: Attempted,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<Option<Output>, Box<Download>> {
        let Attempted { host, held, next, .. } = attempted;
        self.running -= 1;
        let at = self.hosts.get_mut(&host).expect("who has begun has a host");
        at.running -= 1;
        if held > at.held_until {
            at.held_until = held;
            self.due.extend(held.map(|time| Reverse(Due { time, what: Held::Host(host.clone()) })));
        }
        let output = match next {
            Next::Done(output) => Ok(Some(output)),
            Next::Again(download, _) if !is_ours(download.host()) => Err(download),
            Next::Again(mut download, time) => {
                if download.is_begun() && self.parked == PARKED {
                    download.start_over();
                }
                self.parked += usize::from(download.is_begun());
                self.waiting += 1;
                self.due.push(Reverse(Due { time, what: Held::Download(download) }));
                Ok(None)
            }
        };
        self.forget_or_ready(&host);
        output
    }

    /// Those whose time has come are ready. They go first: theirs have been begun.
    fn wake(&mut self, now: Instant) {
        while let Some(Reverse(first)) = self.due.peek()
            && first.time <= now
        {
            let Some(Reverse(Due { what, .. })) = self.due.pop() else { break };
            match what {
                Held::Download(download) => {
                    self.waiting -= 1;
                    self.queue(download, VecDeque::push_front);
                }
                Held::Host(host) => self.release(&host, now),
            }
        }
    }

    fn release(&mut self, host: &Arc<str>, now: Instant) {
        if let Some(at) = self.hosts.get_mut(host)
            && at.held_until.is_some_and(|until| until <= now)
        {
            at.held_until = None;
        }
        self.forget_or_ready(host);
    }

    fn queue(&mut self, download: Box<Download>, put: fn(&mut VecDeque<Box<Download>>, Box<Download>)) {
        let host = download.host().clone();
        put(&mut self.hosts.entry(host.clone()).or_default().queue, download);
        self.waiting += 1;
        self.forget_or_ready(&host);
    }

    /// Notes that a host may have a request more, or that nobody wants anything of it.
    fn forget_or_ready(&mut self, host: &Arc<str>) {
        let Some(at) = self.hosts.get_mut(host) else { return };
        if at.running == 0 && at.queue.is_empty() && at.held_until.is_none() && !at.is_ready {
            self.hosts.remove(host);
        } else if at.may_start(self.settings.per_host) && !at.is_ready {
            at.is_ready = true;
            self.ready.push_back(host.clone());
        }
    }

    /// The next download of the next host: they take turns.
    fn start(&mut self, now: Instant) -> Option<Box<Download>> {
        if self.running >= self.most {
            return None;
        }
        loop {
            let host = self.ready.pop_front()?;
            let at = self.hosts.get_mut(&host).expect("a host that is ready is known");
            at.is_ready = false;
            let started = if at.may_start(self.settings.per_host) { at.queue.pop_front() } else { None };
            if let Some(mut download) = started {
                at.running += 1;
                self.running += 1;
                self.waiting -= 1;
                self.parked -= usize::from(download.is_begun());
                self.forget_or_ready(&host);
                download.begin(now);
                return Some(download);
            }
            self.forget_or_ready(&host);
        }
    }

    /// When the answer of [`Schedule::turn`] changes if nothing happens.
    fn next_time(&self) -> Option<Instant> {
        let due = self.due.peek().map(|Reverse(due)| due.time);
        // One that is due finds no room: what ends makes some.
        let due = due.filter(|_| self.running < self.most);
        [due, self.deadline].into_iter().flatten().min()
    }

    fn rest(&self, until: Option<Instant>) -> Turn {
        if self.running == 0 && self.waiting == 0 { Turn::Over } else { Turn::Wait(until) }
    }

    /// What has not begun by the deadline has failed. What is under way ends by itself: its time is up as well.
    fn give_up(&mut self, now: Instant) {
        let due = std::mem::take(&mut self.due).into_iter().filter_map(|Reverse(due)| match due.what {
            Held::Download(download) => Some(download),
            Held::Host(_) => None,
        });
        let queued = self.hosts.values_mut().flat_map(|host| host.queue.drain(..));
        self.settled.extend(due.chain(queued).map(|download| download.give_up(Failure::Deadline, now)));
        (self.waiting, self.parked) = (0, 0);
    }
}

impl Host {
    fn may_start(&self, per_host: usize) -> bool {
        self.held_until.is_none() && self.running < per_host && !self.queue.is_empty()
    }
}

impl Job {
    /// All that is wanted, as of now, or why it cannot be had.
    #[must_use]
    pub fn downloads(&self, now: Instant) -> Vec<Result<Box<Download>, Output>> {
        let settings = Arc::new(self.settings.clone());
        let deadline = settings.deadline.and_then(|deadline| now.checked_add(deadline));
        let mut names = Names::default();
        let new = |(index, wanted)| {
            let mut download = Download::new(index, wanted, &settings, deadline)?;
            if let Some(folder) = &settings.out {
                download.keep_at(folder.join(names.name(download.url())));
            }
            Ok(Box::new(download))
        };
        self.wanted.iter().enumerate().map(new).collect()
    }
}

/// Something that may go on at a time; ordered by that alone.
struct Due {
    time: Instant,
    what: Held,
}

enum Held {
    Download(Box<Download>),
    Host(Arc<str>),
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.time.cmp(&other.time)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

#[cfg(test)]
mod tests;

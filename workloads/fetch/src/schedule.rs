//! Decides which download may start: it applies the limits, and keeps the downloads that wait for a
//! retry. It does not wait itself; it tells its caller how long to wait.

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

/// Maximum interrupted bodies that are kept until their next attempt. Each may have an open file,
/// which [`descriptors`](super::descriptors) accounts for, and a decoder of 40 KB. Further
/// downloads start over.
pub const PARKED: usize = 16;

/// The downloads of a run that are not in flight.
pub struct Schedule {
    settings: Arc<Settings>,
    deadline: Option<Instant>,
    /// Maximum downloads in flight.
    max_running: usize,
    /// Downloads in flight.
    running: usize,
    /// Downloads that wait: for their host, or for a retry.
    waiting: usize,
    /// Of those, the ones that have a part of their body, and so an open file.
    parked: usize,
    hosts: HashMap<Arc<str>, Host>,
    /// The hosts to which another request may start; each is listed once.
    ready: VecDeque<Arc<str>>,
    /// Downloads and hosts that wait for a point in time, the earliest on top.
    due: BinaryHeap<Reverse<Due>>,
    /// Downloads that failed before they started.
    failed: VecDeque<Output>,
}

#[derive(Default)]
struct Host {
    running: usize,
    queue: VecDeque<Box<Download>>,
    /// Whether it is listed in `ready`.
    is_ready: bool,
    held_until: Option<Instant>,
}

/// What the caller must do next.
pub enum Action {
    /// Make this attempt, and pass its result to [`Schedule::complete`].
    Start(Box<Download>),
    /// Push this output: the download has failed.
    Emit(Output),
    /// Wait until an attempt ends, or until this time.
    Wait(Option<Instant>),
    /// Nothing: all downloads are complete.
    Done,
}

impl Schedule {
    /// Schedules all downloads of a job.
    #[must_use]
    pub fn new(job: &Job, now: Instant) -> Self {
        let settings = Arc::new(job.settings.clone());
        let deadline = settings.deadline.and_then(|deadline| now.checked_add(deadline));
        let mut schedule = Self {
            max_running: settings.concurrency,
            settings,
            deadline,
            running: 0,
            waiting: 0,
            parked: 0,
            hosts: HashMap::new(),
            ready: VecDeque::new(),
            due: BinaryHeap::new(),
            failed: VecDeque::new(),
        };
        for download in job.downloads(now) {
            match download {
                Ok(download) => schedule.push(download),
                Err(output) => schedule.failed.push_back(output),
            }
        }
        schedule
    }

    /// Adds a download that has not started.
    pub fn push(&mut self, download: Box<Download>) {
        self.queue(download, VecDeque::push_back);
    }

    /// Changes the maximum of downloads in flight. If more are in flight, they continue.
    pub fn limit(&mut self, max_running: usize) {
        self.max_running = max_running;
    }

    /// What to do next. Call it until it returns `Wait` or `Done`.
    pub fn poll(&mut self, now: Instant) -> Action {
        if let Some(output) = self.failed.pop_front() {
            return Action::Emit(output);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.fail_waiting(now);
            return self.failed.pop_front().map_or_else(|| self.wait_or_done(None), Action::Emit);
        }
        self.release_due(now);
        match self.start(now) {
            Some(download) => Action::Start(download),
            None => self.wait_or_done(self.next_time()),
        }
    }

    /// Takes the result of an attempt. Returns the output if it was the download's last one.
    pub fn complete(&mut self, attempted: Attempted) -> Option<Output> {
        self.complete_or_abandon(attempted, |_| true).unwrap_or_default()
    }

    /// The same for a schedule that has only some of the hosts: it returns a download that was
    /// redirected to a host of another schedule.
    ///
    /// # Errors
    ///
    /// Returns that download, which this schedule has forgotten.
    pub fn complete_or_abandon(
        &mut self,
        attempted: Attempted,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<Option<Output>, Box<Download>> {
        let Attempted { host, held, next, .. } = attempted;
        self.running -= 1;
        let at = self.hosts.get_mut(&host).expect("the host of a running attempt is known");
        at.running -= 1;
        if held > at.held_until {
            at.held_until = held;
            self.due.extend(held.map(|time| Reverse(Due { time, what: Waiting::Host(host.clone()) })));
        }
        let output = match next {
            Next::Done(output) => Ok(Some(output)),
            Next::Retry(download, _) if !is_ours(download.host()) => Err(download),
            Next::Retry(mut download, time) => {
                if download.is_begun() && self.parked == PARKED {
                    download.start_over();
                }
                self.parked += usize::from(download.is_begun());
                self.waiting += 1;
                self.due.push(Reverse(Due { time, what: Waiting::Download(download) }));
                Ok(None)
            }
        };
        self.update_host(&host);
        output
    }

    /// Moves downloads and hosts whose time has come to the queues. Downloads go to the front,
    /// because they have started.
    fn release_due(&mut self, now: Instant) {
        while let Some(Reverse(first)) = self.due.peek()
            && first.time <= now
        {
            let Some(Reverse(Due { what, .. })) = self.due.pop() else { break };
            match what {
                Waiting::Download(download) => {
                    self.waiting -= 1;
                    self.queue(download, VecDeque::push_front);
                }
                Waiting::Host(host) => self.release_host(&host, now),
            }
        }
    }

    fn release_host(&mut self, host: &Arc<str>, now: Instant) {
        if let Some(at) = self.hosts.get_mut(host)
            && at.held_until.is_some_and(|until| until <= now)
        {
            at.held_until = None;
        }
        self.update_host(host);
    }

    fn queue(&mut self, download: Box<Download>, put: fn(&mut VecDeque<Box<Download>>, Box<Download>)) {
        let host = download.host().clone();
        put(&mut self.hosts.entry(host.clone()).or_default().queue, download);
        self.waiting += 1;
        self.update_host(&host);
    }

    /// Lists a host as ready if another request to it may start, or removes it if it is no longer
    /// needed.
    fn update_host(&mut self, host: &Arc<str>) {
        let Some(at) = self.hosts.get_mut(host) else { return };
        if at.running == 0 && at.queue.is_empty() && at.held_until.is_none() && !at.is_ready {
            self.hosts.remove(host);
        } else if at.may_start(self.settings.per_host) && !at.is_ready {
            at.is_ready = true;
            self.ready.push_back(host.clone());
        }
    }

    /// Starts a download of the next ready host. The hosts take turns.
    fn start(&mut self, now: Instant) -> Option<Box<Download>> {
        if self.running >= self.max_running {
            return None;
        }
        loop {
            let host = self.ready.pop_front()?;
            let at = self.hosts.get_mut(&host).expect("a ready host is known");
            at.is_ready = false;
            let started = if at.may_start(self.settings.per_host) { at.queue.pop_front() } else { None };
            if let Some(mut download) = started {
                at.running += 1;
                self.running += 1;
                self.waiting -= 1;
                self.parked -= usize::from(download.is_begun());
                self.update_host(&host);
                download.begin(now);
                return Some(download);
            }
            self.update_host(&host);
        }
    }

    /// When [`Schedule::poll`] will return something else, if no attempt ends before.
    fn next_time(&self) -> Option<Instant> {
        let due = self.due.peek().map(|Reverse(due)| due.time);
        // At the limit, a waiting download can start only when an attempt ends.
        let due = due.filter(|_| self.running < self.max_running);
        [due, self.deadline].into_iter().flatten().min()
    }

    fn wait_or_done(&self, until: Option<Instant>) -> Action {
        if self.running == 0 && self.waiting == 0 { Action::Done } else { Action::Wait(until) }
    }

    /// Fails all downloads that wait, at the deadline. Downloads in flight end themselves, since
    /// they have the same deadline.
    fn fail_waiting(&mut self, now: Instant) {
        let due = std::mem::take(&mut self.due).into_iter().filter_map(|Reverse(due)| match due.what {
            Waiting::Download(download) => Some(download),
            Waiting::Host(_) => None,
        });
        let queued = self.hosts.values_mut().flat_map(|host| host.queue.drain(..));
        self.failed.extend(due.chain(queued).map(|download| download.give_up(Failure::Deadline, now)));
        (self.waiting, self.parked) = (0, 0);
    }
}

impl Host {
    fn may_start(&self, per_host: usize) -> bool {
        self.held_until.is_none() && self.running < per_host && !self.queue.is_empty()
    }
}

impl Job {
    /// The downloads of all resources, or an output for each invalid URL.
    #[must_use]
    pub fn downloads(&self, now: Instant) -> Vec<Result<Box<Download>, Output>> {
        let settings = Arc::new(self.settings.clone());
        let deadline = settings.deadline.and_then(|deadline| now.checked_add(deadline));
        let mut names = Names::default();
        let new = |(index, wanted)| {
            let mut download = Download::new(index, wanted, &settings, deadline)?;
            if let Some(dir) = &settings.out {
                download.keep_at(dir.join(names.name(download.url())));
            }
            Ok(Box::new(download))
        };
        self.wanted.iter().enumerate().map(new).collect()
    }
}

/// A download or a host that waits for a point in time. Ordered by time only.
struct Due {
    time: Instant,
    what: Waiting,
}

enum Waiting {
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

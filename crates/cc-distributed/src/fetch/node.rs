//! A node: the worker's side, which owns hosts and fetches what they have.
//!
//! The schedule belongs to the keeper's thread, which never waits for a server: an attempt is a
//! task on another thread of the session, and wakes the keeper when it is over. Tasks write files
//! and decompress, so that thread is not the worker's own, which answers pings: a slow disk must
//! not make a worker look dead. When the session ends, thread and tasks do.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{Read, Seek},
    panic::AssertUnwindSafe,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use cc_fetch_client::Client;
use cc_workloads::{
    Error, Result,
    error::{panic_reason, reason},
    fetch::{Attempted, Download, Failure, Handover, Job, Output, Schedule, Settings, Turn, descriptors},
};
use futures::FutureExt;
use serde::{Deserialize, Serialize};
use tokio::{
    runtime::Runtime,
    select,
    sync::{
        Semaphore,
        mpsc::{self, Receiver, Sender},
    },
    task::JoinSet,
};

use crate::cluster::{
    encode,
    keeper::{Answers, Keeper, Waker},
    runtime::with_runtime,
};

/// A connection for each, and the file that it goes into.
const DESCRIPTORS: usize = 2;

/// So much of a body is told at once.
const PART: u64 = 256 << 10;

/// What a node is asked.
#[derive(Serialize, Deserialize)]
pub(super) enum Ask {
    /// Fetch this; so many requests may be under way, of all that are asked of this node.
    Fetch(Box<Handover>, usize),
    /// The next part of the body of this download.
    More(usize),
}

/// What it tells.
#[derive(Serialize, Deserialize)]
pub(super) enum Told {
    /// What became of it, and whether a body waits to be asked for.
    Done(Output, bool),
    /// It is at another node's host now.
    Moved(Box<Handover>),
    /// A part of a body. The last is empty.
    Part(#[serde(with = "serde_bytes")] Vec<u8>),
    /// The node cannot have so many requests under way.
    Refused(String),
}

pub(super) fn keep(job: &[u8], waker: Waker) -> Result<Box<dyn Keeper>> {
    let settings: Settings = postcard::from_bytes(job).map_err(|error| Error::worker("job", error))?;
    let at_once = settings.concurrency.clamp(1, Semaphore::MAX_PERMITS);
    let ((start, downloads), (done, ended)) = (mpsc::channel(at_once), mpsc::channel(at_once));
    let client = Arc::new(Client::new(&settings, at_once));
    let wakes = waker.clone();
    let work = move |runtime: Runtime| runtime.block_on(work(client, downloads, done, wakes));
    let thread = Some(with_runtime("fetch", work)?);
    let job = Job { settings, wanted: Vec::new() };
    Ok(Box::new(Node {
        schedule: Schedule::new(&job, Instant::now()),
        settings: Arc::new(job.settings),
        hosts: HashSet::new(),
        share: 0,
        asked: HashMap::new(),
        bodies: HashMap::new(),
        attempts: Attempts { start: Some(start), thread },
        ended,
        waker,
    }))
}

struct Node {
    schedule: Schedule,
    settings: Arc<Settings>,
    /// Those that are this node's.
    hosts: HashSet<String>,
    share: usize,
    /// The question under which a download was asked for.
    asked: HashMap<usize, u64>,
    /// Those that wait to be asked for.
    bodies: HashMap<usize, File>,
    attempts: Attempts,
    ended: Receiver<Attempted>,
    waker: Waker,
}

/// The thread that makes attempts.
struct Attempts {
    start: Option<Sender<Box<Download>>>,
    thread: Option<JoinHandle<()>>,
}

impl Attempts {
    fn start(&self, download: Box<Download>) {
        let started = self.start.as_ref().map(|start| start.try_send(download));
        started.expect("it is not dropped").expect("there is room for all that may be under way");
    }
}

/// Aborts the attempts that are under way.
impl Drop for Attempts {
    fn drop(&mut self) {
        drop(self.start.take());
        // A panic of an attempt is caught, and the thread has nothing else to say.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Keeper for Node {
    fn take(&mut self, number: u64, question: &[u8], answers: &mut Answers) -> Result<(), String> {
        let told = match postcard::from_bytes(question).map_err(|error| error.to_string())? {
            Ask::Fetch(handover, share) => self.take_over(number, *handover, share),
            Ask::More(index) => Some(self.part(index)?),
        };
        answers.extend(told.map(|told| (number, encode(&told).into())));
        Ok(())
    }

    fn tend(&mut self, answers: &mut Answers) -> Option<Duration> {
        self.waker.heard();
        while let Ok(attempted) = self.ended.try_recv() {
            self.ended(attempted, answers);
        }
        let now = Instant::now();
        loop {
            match self.schedule.turn(now) {
                Turn::Start(download) => self.attempts.start(download),
                Turn::Settled(output) => self.tell(output.index, &Told::Done(output, false), answers),
                Turn::Wait(until) => return until.map(|until| until.saturating_duration_since(now)),
                Turn::Over => return None,
            }
        }
    }
}

// ANCHOR: fetch-work
/// Makes attempts until the session ends, each as a task.
async fn work(
    client: Arc<Client>,
    mut downloads: Receiver<Box<Download>>,
    done: Sender<Attempted>,
    waker: Waker,
) {
    let mut tasks = JoinSet::new();
    loop {
        select! {
            download = downloads.recv() => match download {
                Some(download) => _ = tasks.spawn(attempt(client.clone(), download, done.clone(), waker.clone())),
                None => break,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Makes an attempt. A panic is that download's failure.
async fn attempt(client: Arc<Client>, download: Box<Download>, done: Sender<Attempted>, waker: Waker) {
    let ticket = download.ticket();
    let attempted = AssertUnwindSafe(client.attempt(download)).catch_unwind().await;
    let attempted = attempted.unwrap_or_else(|panic| ticket.failed(&panic_reason(&*panic), Instant::now()));
    // The receiver is gone if the session has ended meanwhile.
    let _ = done.send(attempted).await;
    waker.wake();
}

impl Node {
    /// Takes a download over, unless there is no room for so many at once.
    fn take_over(&mut self, number: u64, handover: Handover, share: usize) -> Option<Told> {
        if share > self.share && descriptors(share, DESCRIPTORS).is_err() {
            // What was asked for is the whole, and that is what the message is to name.
            let refused = descriptors(self.settings.concurrency, DESCRIPTORS);
            return Some(Told::Refused(refused.err()?.to_string()));
        }
        self.share = share.min(self.settings.concurrency);
        self.limit();
        self.asked.insert(handover.index, number);
        // It goes back as parts, and only the coordinator gives it a name.
        let download = handover.unnamed().take_over(&self.settings, Instant::now());
        self.hosts.extend(download.url().host_str().map(str::to_owned));
        self.schedule.push(download);
        None
    }

    fn ended(&mut self, mut attempted: Attempted, answers: &mut Answers) {
        let file = attempted.take_file();
        match self.schedule.ended_or_left(attempted, |host| self.hosts.contains(host)) {
            Ok(Some(output)) => {
                let (output, has_body) = self.put(output, file);
                self.tell(output.index, &Told::Done(output, has_body), answers);
            }
            Ok(None) => {}
            Err(left) => {
                let moved = Told::Moved(Box::new(left.hand_over(Instant::now())));
                self.tell(left.ticket().index(), &moved, answers);
            }
        }
    }
}
// ANCHOR_END: fetch-work

impl Node {
    /// Has a body wait, if there is one.
    fn put(&mut self, mut output: Output, file: Option<File>) -> (Output, bool) {
        let Some(mut file) = file else { return (output, false) };
        if let Err(error) = file.rewind() {
            output.outcome = Err(Failure::Keep(reason(&error)));
            return (output, false);
        }
        self.bodies.insert(output.index, file);
        self.limit();
        (output, true)
    }

    /// A body that waits to be asked for has a file that is open, like an attempt: together they
    /// are as many as attempts may be under way.
    fn limit(&mut self) {
        self.schedule.limit(self.share.saturating_sub(self.bodies.len()));
    }

    /// The next part of a body, which is gone with the last.
    fn part(&mut self, index: usize) -> Result<Told, String> {
        let file = self.bodies.get_mut(&index).ok_or("a part of nothing")?;
        let mut part = Vec::new();
        file.take(PART).read_to_end(&mut part).map_err(|error| reason(&error))?;
        if part.is_empty() {
            self.bodies.remove(&index);
            self.limit();
        }
        Ok(Told::Part(part))
    }

    fn tell(&mut self, index: usize, told: &Told, answers: &mut Answers) {
        let number = self.asked.remove(&index);
        answers.extend(number.map(|number| (number, encode(told).into())));
    }
}

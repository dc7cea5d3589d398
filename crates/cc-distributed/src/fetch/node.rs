//! A node: the worker's side, which owns hosts and fetches their resources.
//!
//! The schedule belongs to the service's thread, which never waits for a server. An attempt is a
//! task on another thread of the session, and wakes the service when it ends. Attempts write files
//! and decompress, so that thread is not the one that answers the worker's pings: a slow disk must
//! not make a worker look dead. The thread and its tasks end with the session.

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
    fetch::{Action, Attempted, Download, Failure, Handover, Job, Output, Schedule, Settings, descriptors},
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
    runtime::with_runtime,
    stateful::{Responses, StatefulService, Waker},
};

/// File descriptors per request: its connection, and the file of its body.
const DESCRIPTORS: usize = 2;

/// Maximum bytes of a body in one response: large enough that the round trip per part does not
/// dominate, small compared with the largest message.
const PART: u64 = 256 << 10;

/// A request to a node.
#[derive(Serialize, Deserialize)]
pub(super) enum Request {
    /// Fetch this. The number is the maximum of requests that the node may have in flight, for all
    /// downloads that it was sent.
    Fetch(Box<Handover>, usize),
    /// The next part of the body of the download with this index.
    NextPart(usize),
}

/// A node's response.
#[derive(Serialize, Deserialize)]
pub(super) enum Response {
    /// The output of a download, and whether its body is ready to be requested.
    Done(Output, bool),
    /// The download was redirected to a host of another node.
    Moved(Box<Handover>),
    /// A part of a body. The last part is empty.
    Part(#[serde(with = "serde_bytes")] Vec<u8>),
    /// The node has too few file descriptors for the whole limit of requests.
    Refused(String),
}

pub(super) fn open(waker: Waker, job: &[u8]) -> Result<Box<dyn StatefulService>> {
    let settings: Settings = postcard::from_bytes(job).map_err(|error| Error::worker("job", error))?;
    let concurrency = settings.concurrency.clamp(1, Semaphore::MAX_PERMITS);
    let (downloads_tx, downloads_rx) = mpsc::channel(concurrency);
    let (attempted_tx, attempted_rx) = mpsc::channel(concurrency);
    let client = Arc::new(Client::new(&settings, concurrency));
    let thread_waker = waker.clone();
    let work = move |runtime: Runtime| {
        runtime.block_on(work(client, thread_waker, downloads_rx, attempted_tx));
    };
    let thread = Some(with_runtime("fetch", work)?);
    let job = Job { settings, wanted: Vec::new() };
    Ok(Box::new(Node {
        schedule: Schedule::new(&job, Instant::now()),
        settings: Arc::new(job.settings),
        hosts: HashSet::new(),
        share: 0,
        requests: HashMap::new(),
        bodies: HashMap::new(),
        attempts: AttemptThread { downloads_tx: Some(downloads_tx), thread },
        attempted_rx,
        waker,
    }))
}

struct Node {
    schedule: Schedule,
    settings: Arc<Settings>,
    /// The hosts that this node owns.
    hosts: HashSet<String>,
    /// Maximum requests in flight.
    share: usize,
    /// For each download, the number of the coordinator's request that has not been answered.
    requests: HashMap<usize, u64>,
    /// Bodies that are complete, and wait to be requested.
    bodies: HashMap<usize, File>,
    attempts: AttemptThread,
    attempted_rx: Receiver<Attempted>,
    waker: Waker,
}

/// The thread that makes attempts.
struct AttemptThread {
    downloads_tx: Option<Sender<Box<Download>>>,
    thread: Option<JoinHandle<()>>,
}

impl AttemptThread {
    fn start(&self, download: Box<Download>) {
        let downloads_tx = self.downloads_tx.as_ref().expect("it is taken only by drop");
        // The capacity is the limit of requests in flight, so this never waits.
        downloads_tx.try_send(download).expect("there is room for all attempts in flight");
    }
}

/// Aborts the attempts in flight: without a sender the thread leaves its loop, and drops its tasks.
impl Drop for AttemptThread {
    fn drop(&mut self) {
        drop(self.downloads_tx.take());
        // Panics of attempts are caught, so there is no panic of the thread to report.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl StatefulService for Node {
    fn handle(&mut self, number: u64, request: &[u8], responses: &mut Responses) -> Result<(), String> {
        let response = match postcard::from_bytes(request).map_err(|error| error.to_string())? {
            Request::Fetch(handover, share) => self.take_over(number, *handover, share),
            Request::NextPart(index) => Some(self.next_part(index)?),
        };
        responses.extend(response.map(|response| (number, encode(&response).into())));
        Ok(())
    }

    fn poll(&mut self, responses: &mut Responses) -> Option<Duration> {
        // Before the channel is read: an attempt that ends during the read wakes this node again.
        self.waker.acknowledge();
        while let Ok(attempted) = self.attempted_rx.try_recv() {
            self.complete(attempted, responses);
        }
        let now = Instant::now();
        loop {
            match self.schedule.poll(now) {
                Action::Start(download) => self.attempts.start(download),
                Action::Emit(output) => {
                    self.respond(output.index, &Response::Done(output, false), responses);
                }
                Action::Wait(until) => return until.map(|until| until.saturating_duration_since(now)),
                Action::Done => return None,
            }
        }
    }
}

// ANCHOR: fetch-work
/// Makes attempts until the session ends, each in a task.
async fn work(
    client: Arc<Client>,
    waker: Waker,
    mut downloads_rx: Receiver<Box<Download>>,
    attempted_tx: Sender<Attempted>,
) {
    let mut tasks = JoinSet::new();
    loop {
        // Both branches are cancel safe: `recv` and `join_next` lose nothing when they are dropped.
        select! {
            download = downloads_rx.recv() => match download {
                Some(download) => {
                    tasks.spawn(attempt(client.clone(), waker.clone(), download, attempted_tx.clone()));
                }
                None => break,
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Makes an attempt. A panic fails that download only. `AssertUnwindSafe` is sound: the panic drops
/// the download with its connection, and the client keeps idle connections only.
async fn attempt(
    client: Arc<Client>,
    waker: Waker,
    download: Box<Download>,
    attempted_tx: Sender<Attempted>,
) {
    let id = download.attempt_id();
    let attempted = AssertUnwindSafe(client.attempt(download)).catch_unwind().await;
    let attempted = attempted.unwrap_or_else(|panic| id.failed(&panic_reason(&*panic), Instant::now()));
    // The receiver is gone if the session has ended.
    let _ = attempted_tx.send(attempted).await;
    waker.wake();
}

impl Node {
    /// Takes a download over. If the node has too few descriptors for its share, refuses it.
    fn take_over(&mut self, number: u64, handover: Handover, share: usize) -> Option<Response> {
        if share > self.share && descriptors(share, DESCRIPTORS).is_err() {
            // The message names the limit that the user has given, not this node's share of it.
            let refused = descriptors(self.settings.concurrency, DESCRIPTORS);
            return Some(Response::Refused(refused.err()?.to_string()));
        }
        self.share = share.min(self.settings.concurrency);
        self.update_limit();
        self.requests.insert(handover.index, number);
        // Here the body has no file name: it is sent back in parts, and the coordinator names it.
        let download = handover.unnamed().take_over(&self.settings, Instant::now());
        self.hosts.extend(download.url().host_str().map(str::to_owned));
        self.schedule.push(download);
        None
    }

    fn complete(&mut self, mut attempted: Attempted, responses: &mut Responses) {
        let file = attempted.take_file();
        match self.schedule.complete_or_abandon(attempted, |host| self.hosts.contains(host)) {
            Ok(Some(output)) => {
                let (output, has_body) = self.keep_body(output, file);
                self.respond(output.index, &Response::Done(output, has_body), responses);
            }
            Ok(None) => {}
            Err(moved) => {
                let response = Response::Moved(Box::new(moved.hand_over(Instant::now())));
                self.respond(moved.attempt_id().index(), &response, responses);
            }
        }
    }
}
// ANCHOR_END: fetch-work

impl Node {
    /// Keeps a body until it is requested. Returns the output, and whether there is a body.
    fn keep_body(&mut self, mut output: Output, file: Option<File>) -> (Output, bool) {
        let Some(mut file) = file else { return (output, false) };
        if let Err(error) = file.rewind() {
            output.outcome = Err(Failure::Keep(reason(&error)));
            return (output, false);
        }
        self.bodies.insert(output.index, file);
        self.update_limit();
        (output, true)
    }

    /// Sets the limit of attempts. A kept body has an open file, as an attempt has; the share
    /// limits both together.
    fn update_limit(&mut self) {
        self.schedule.limit(self.share.saturating_sub(self.bodies.len()));
    }

    /// The next part of a body. The body is dropped with its last part.
    fn next_part(&mut self, index: usize) -> Result<Response, String> {
        let no_body = || format!("a part of download {index} was requested, which has no body here");
        let file = self.bodies.get_mut(&index).ok_or_else(no_body)?;
        let mut part = Vec::new();
        file.take(PART).read_to_end(&mut part).map_err(|error| reason(&error))?;
        if part.is_empty() {
            self.bodies.remove(&index);
            self.update_limit();
        }
        Ok(Response::Part(part))
    }

    /// Answers the request for a download.
    fn respond(&mut self, index: usize, response: &Response, responses: &mut Responses) {
        let number = self.requests.remove(&index);
        responses.extend(number.map(|number| (number, encode(response).into())));
    }
}

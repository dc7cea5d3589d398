//! `fetch` on a cluster.
//!
//! - **Split.** By host, as crawlers do. A host belongs to one worker, and that worker has the
//!   schedule for it. So the number of requests in flight at a host, and the time until which it
//!   must not be asked, are known in one place, without messages between machines. A redirect to a
//!   host of another worker is returned, and goes to that worker. A worker makes its requests as
//!   tasks on a separate thread of the session, not on the thread that answers pings, because they
//!   write files and decompress.
//! - **Share.** The limit of concurrent requests is divided: each worker gets one request, and of
//!   the rest a part in proportion to the downloads of its hosts. Each download tells the worker
//!   its current part, so no message is needed before a request. Credentials in URLs and headers,
//!   and the authorities of `--cacert`, are sent to workers like all other data.
//! - **Bound.** The file descriptors of each machine: the limit of this model is the sum over all
//!   machines. A host's worker has at most twice as many of its downloads as requests may be in
//!   flight there. Bodies are unnamed files at the worker. The coordinator fetches some of them at
//!   a time, in parts. While the sink is slow, no more downloads are sent.
//! - **Order.** None: results are emitted in the order of completion.
//! - **Stop.** The sessions end, and with them the tasks and the bodies at the workers.
//! - **Fail.** A panic is caught at the worker and fails its download only. A worker that dies, or
//!   is silent for too long, loses everything that it has. If it is not replaced at once, its hosts
//!   go to another worker; their downloads begin again. When a worker is lost, the coordinator
//!   cannot know which of its downloads was the cause. A download that was in flight at two losses
//!   is quarantined: it runs while its worker has nothing else. If three workers are lost while it
//!   runs alone, it fails.

mod frontier;
mod node;
mod writer;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    error::panic_reason,
    fetch::{Arriving, Download, Failure, Job, Output, Settings},
    printable::printable,
};
use futures::future::select_all;
use tokio::{
    select,
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{self, Receiver, Sender},
        watch,
    },
    task::JoinSet,
};

use self::{
    frontier::Frontier,
    node::{Request, Response},
    writer::Writer,
};
use crate::cluster::{
    Cluster,
    command::Options,
    encode,
    link::{Link, Pending, SendError},
    worker::{Role, Service},
};

/// What a worker does for this workload: it sends requests.
pub(crate) const SERVICE: Service =
    Service { name: "fetch", role: Role::Stateful { open: node::open, requests: true } };

/// Maximum workers lost while a download runs alone; after that it fails.
const MAX_LOSSES_ALONE: u32 = 3;

/// Workers lost while a download runs among others, after which it is quarantined.
const LOSSES_BEFORE_QUARANTINE: u32 = 2;

/// Permits of each worker. A download holds one; a quarantined download holds all, and so is alone.
/// There are more than a worker can have downloads.
const PERMITS: u32 = 1 << 24;

/// Maximum bodies that are transferred from workers at the same time.
const BODIES: usize = 16;

type OutputSender = Sender<Result<Output>>;

// ANCHOR: fetch-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes that it
/// starts. The calling thread gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let concurrency = job.at_once();
    let settings = encode(&Settings { concurrency, ..job.settings.clone() });
    let options = Options::new(&ctx.options);
    let (cluster, links) = Cluster::start_stateful("fetch", |_, _| settings.clone(), None, &options, ctx)?;
    let (stop_tx, mut stop_rx) = watch::channel(false);
    let _on_stop = ctx.stop.on_request(move || _ = stop_tx.send_replace(true));
    let downloads = job.downloads(Instant::now());
    let hosts = downloads.iter().flatten().map(|download| host(download));
    let frontier = Frontier::new(hosts, links.len(), concurrency, job.settings.per_host);
    let (writer, writer_thread) = Writer::start(BODIES)?;
    let coordinator = Arc::new(Coordinator {
        workers: links.into_iter().map(Worker::new).collect(),
        frontier: Mutex::new(frontier),
        body_permits: Semaphore::new(BODIES),
        writer,
    });
    let (outputs_tx, outputs_rx) = mpsc::channel(concurrency.min(Semaphore::MAX_PERMITS));
    let gathered = cluster.block_on(async {
        // Dropped at the end of this block, which aborts the tasks that are left.
        let mut feeding = JoinSet::new();
        feeding.spawn(feed(coordinator, downloads, outputs_tx));
        select! {
            biased;
            _ = stop_rx.wait_for(|is_requested| *is_requested) => Ok(()),
            gathered = gather(ctx, job, outputs_rx, out) => gathered,
        }
    });
    // Dropping the cluster's runtime drops the tasks, and with the last of them the writer's
    // sender. So the writer's thread can be joined only after this.
    let closed = cluster.close();
    let written = writer_thread.join().map_err(|panic| Error::worker("writer", panic_reason(&*panic)));
    closed.and(gathered).and(written)
}
// ANCHOR_END: fetch-run

// ANCHOR: fetch-feed
/// Sends the downloads of each host, in a task per host.
async fn feed(
    coordinator: Arc<Coordinator>,
    downloads: Vec<Result<Box<Download>, Output>>,
    outputs_tx: OutputSender,
) {
    let mut hosts: HashMap<String, Vec<Box<Download>>> = HashMap::new();
    for download in downloads {
        match download {
            Ok(download) => hosts.entry(host(&download).to_owned()).or_default().push(download),
            Err(failed) => _ = outputs_tx.send(Ok(failed)).await,
        }
    }
    let mut tasks = JoinSet::new();
    for downloads in hosts.into_values() {
        tasks.spawn(coordinator.clone().send_downloads(downloads, outputs_tx.clone()));
    }
    drop(outputs_tx);
    while tasks.join_next().await.is_some() {}
}

impl Coordinator {
    /// Sends a host's downloads in their order, as its worker has room, and follows each in a task.
    #[expect(clippy::vec_box, reason = "they come in boxes")]
    async fn send_downloads(self: Arc<Self>, downloads: Vec<Box<Download>>, outputs_tx: OutputSender) {
        let mut tasks = JoinSet::new();
        for download in downloads {
            let sent = self.send(&download, false).await;
            tasks.spawn(self.clone().follow(download, sent, outputs_tx.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Sends a download to the worker that owns its host; if `is_alone`, when that worker has
    /// nothing else.
    async fn send(&self, download: &Download, is_alone: bool) -> SentDownload {
        let (owner, window_permit) = self.owner(download).await;
        let Worker { link, permits } = &self.workers[owner];
        let count = if is_alone { PERMITS } else { 1 };
        let worker_permits = permits.clone().acquire_many_owned(count).await.expect("it is never closed");
        let handover = Box::new(download.hand_over(Instant::now()));
        let share = self.frontier().share(owner);
        let pending = request(link, &Request::Fetch(handover, share)).await;
        SentDownload {
            owner,
            is_alone,
            pending: Some(pending),
            _window_permit: window_permit,
            _worker_permits: worker_permits,
        }
    }

    /// The worker that owns the host of a download, and a permit of the host's window. If the
    /// worker is down, all of its hosts are transferred to the first other one that is up.
    async fn owner(&self, download: &Download) -> (usize, OwnedSemaphorePermit) {
        loop {
            let (owner, window) = self.frontier().find(host(download));
            let link = &self.workers[owner].link;
            link.until_known().await;
            if link.is_up() {
                let permit = window.acquire_owned().await.expect("it is never closed");
                return (owner, permit);
            }
            let up = self.workers.iter().map(|worker| Box::pin(worker.link.until_up()));
            let ((), other, _) = select_all(up).await;
            let mut frontier = self.frontier();
            // Another task may have transferred the hosts while this one waited.
            if frontier.find(host(download)).0 == owner && other != owner {
                frontier.transfer(owner, other);
            }
        }
    }

    fn frontier(&self) -> MutexGuard<'_, Frontier> {
        self.frontier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a request to a worker.
async fn request(link: &Link, request: &Request) -> Result<Pending, WorkerLost> {
    link.request(encode(request)).await.map_err(|error| match error {
        SendError::Down => WorkerLost::BeforeSend,
        SendError::TooLarge => WorkerLost::AfterSend,
    })
}
// ANCHOR_END: fetch-feed

// ANCHOR: fetch-work
impl Coordinator {
    /// Waits for a download, sends it again if its worker is lost, and passes its output on.
    async fn follow(
        self: Arc<Self>,
        mut download: Box<Download>,
        mut sent: SentDownload,
        outputs_tx: OutputSender,
    ) {
        let mut losses_among_others = 0;
        let mut losses_alone = 0;
        let output = loop {
            match self.outcome(&mut sent, &download).await {
                Ok(Outcome::Output(output)) => break output,
                Ok(Outcome::Moved(moved)) => download = moved,
                Err(WorkerLost::BeforeSend) => {}
                Err(WorkerLost::AfterSend) if sent.is_alone => losses_alone += 1,
                Err(WorkerLost::AfterSend) => losses_among_others += 1,
            }
            if losses_alone == MAX_LOSSES_ALONE {
                break Ok(download.attempt_id().lost("killed its worker three times", Instant::now()));
            }
            // Gives back its permits first: a quarantined download needs all of them.
            drop(sent);
            sent = self.send(&download, losses_among_others >= LOSSES_BEFORE_QUARANTINE).await;
        };
        // The receiver is gone if the run was stopped. `sent` is dropped after this, so there is
        // room for another download only when the sink has room for this output.
        let _ = outputs_tx.send(output).await;
    }

    /// Waits for a worker's response to a download, and fetches its body.
    async fn outcome(&self, sent: &mut SentDownload, download: &Download) -> Result<Outcome, WorkerLost> {
        let link = &self.workers[sent.owner].link;
        let pending = sent.pending.take().expect("it is awaited once");
        match response(pending).await? {
            Response::Moved(handover) => {
                let moved = handover.take_back(download, Instant::now());
                moved.map(Outcome::Moved).map_err(|_| WorkerLost::AfterSend)
            }
            Response::Done(output, has_body) => {
                let mut output = download.attempt_id().adopt(output);
                if output.outcome.is_ok() && download.is_kept() && !has_body {
                    return Err(WorkerLost::AfterSend);
                }
                if let Ok(fetched) = &output.outcome
                    && has_body
                    && let Err(failure) = self.body(link, download, fetched.bytes).await?
                {
                    output.outcome = Err(failure);
                }
                Ok(Outcome::Output(Ok(output)))
            }
            Response::Refused(why) => Ok(Outcome::Output(Err(Error::Usage(printable(&why).to_string())))),
            Response::Part(_) => Err(WorkerLost::AfterSend),
        }
    }

    /// Fetches a body of this length, part by part, and writes it to its file. The inner result is
    /// a failure to write it.
    async fn body(
        &self,
        link: &Link,
        download: &Download,
        bytes: u64,
    ) -> Result<Result<(), Failure>, WorkerLost> {
        let _permit = self.body_permits.acquire().await;
        let mut arriving = download.arriving();
        let mut left = bytes;
        loop {
            let pending = request(link, &Request::NextPart(download.attempt_id().index())).await;
            let Response::Part(part) = response(pending).await? else {
                return Err(WorkerLost::AfterSend);
            };
            if part.is_empty() {
                return match left {
                    0 => Ok(self.writer.run(|| arriving.and_then(Arriving::keep)).await),
                    _ => Err(WorkerLost::AfterSend),
                };
            }
            left = left.checked_sub(part.len() as u64).ok_or(WorkerLost::AfterSend)?;
            // After a failure to write, the other parts are still fetched: the worker forgets a
            // body only with its last part.
            let write = move || arriving.and_then(|mut file| file.take(&part).map(|()| file));
            arriving = self.writer.run(write).await;
        }
    }
}

/// Waits for a worker's response.
async fn response(pending: Result<Pending, WorkerLost>) -> Result<Response, WorkerLost> {
    let response = pending?.await.map_err(|_| WorkerLost::AfterSend)?;
    postcard::from_bytes(&response).map_err(|_| WorkerLost::AfterSend)
}
// ANCHOR_END: fetch-work

// ANCHOR: fetch-gather
/// Emits the outputs, until there is one for each wanted resource. It counts them, because the end
/// of the channel does not mean that all were sent: a task that panics drops its sender, too.
async fn gather(
    ctx: &Ctx,
    job: &Job,
    mut outputs_rx: Receiver<Result<Output>>,
    out: &mut dyn Sink<Output>,
) -> Result<()> {
    for _ in &job.wanted {
        let output = outputs_rx.recv().await.ok_or_else(|| Error::worker("feed", "a task panicked"))?;
        if ctx.emit(output?, out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: fetch-gather

/// What all downloads share.
struct Coordinator {
    workers: Vec<Worker>,
    frontier: Mutex<Frontier>,
    body_permits: Semaphore,
    writer: Writer,
}

/// The coordinator's link to a worker, and the permits for downloads there.
struct Worker {
    link: Link,
    permits: Arc<Semaphore>,
}

impl Worker {
    fn new(link: Link) -> Self {
        Self { link, permits: Arc::new(Semaphore::new(PERMITS as usize)) }
    }
}

/// A download that was sent to a worker. Dropping it gives its permits back.
struct SentDownload {
    owner: usize,
    /// Whether the worker has nothing else.
    is_alone: bool,
    /// None when it was awaited.
    pending: Option<Result<Pending, WorkerLost>>,
    _window_permit: OwnedSemaphorePermit,
    _worker_permits: OwnedSemaphorePermit,
}

/// How a download has ended at a worker.
enum Outcome {
    /// Its output, or an error that ends the run.
    Output(Result<Output>),
    /// A redirect: it continues at another host.
    Moved(Box<Download>),
}

/// A worker was lost, or its response makes no sense.
enum WorkerLost {
    /// Before it had the request, which therefore is not the cause.
    BeforeSend,
    /// After it had the request, which may be the cause.
    AfterSend,
}

fn host(download: &Download) -> &str {
    download.url().host_str().expect("an http URL has a host")
}

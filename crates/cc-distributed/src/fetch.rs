//! `fetch` on a cluster.
//!
//! - **Split.** By host, as crawlers do: a host belongs to one worker, which has the schedule for
//!   it. So how many requests are under way there, and until when it is to be left alone, is one
//!   worker's business, and true without a word between machines. A redirect to a host of another's
//!   comes back, and goes there. A worker's requests are tasks on a thread of the session, and not
//!   on the one that answers pings: they write files and decompress.
//! - **Share.** The limit of requests, in parts: each worker has one, and of the rest what is in proportion to its hosts'
//!   downloads. It is told its part with each download, so that nobody has to be asked before a request. Credentials in URLs travel to
//!   workers as all else does.
//! - **Bound.** Each machine's descriptors: the limit of this model is that of all machines together. Of a host, twice as many downloads
//!   are with its worker as requests may be under way there. Bodies are files without names where they were fetched, and
//!   some at a time come back in parts, when they are asked for. While the sink is behind, no more is handed out.
//! - **Order.** None: results come as they are completed.
//! - **Stop.** The sessions end, and with them the tasks and what they have.
//! - **Fail.** A panic is caught on the worker, and is that download's failure. With a worker that is dead, or silent for too long,
//!   all is lost that it had: its hosts go to another, if it has no successor at once, and their downloads begin anew. Nobody
//!   knows which of all that were with it it died of; one that has been twice among them is fetched while its worker has
//!   nothing else, and is given up when three have died of that.

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
    node::{Ask, Told},
    writer::Writer,
};
use crate::cluster::{
    Cluster,
    command::Options,
    encode,
    link::{Link, Promise, Unasked},
    worker::{Role, Service},
};

/// What a worker does for it: it sends requests.
pub(crate) const SERVICE: Service =
    Service { name: "fetch", role: Role::Keeper { open: node::keep, requests: true } };

/// How many workers may die of a download that had nothing else.
const TRIES: u32 = 3;

/// How many may die that had it among others before it is suspected.
const CHANCES: u32 = 2;

/// A worker's attention, in parts: a download takes one, and one that is suspected all of them.
const ATTENTION: u32 = 1 << 24;

/// So many bodies come back at once.
const BODIES: usize = 16;

type Done = Sender<Result<Output>>;

// ANCHOR: fetch-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes of its own; the calling thread
/// gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let at_once = job.at_once();
    let settings = encode(&Settings { concurrency: at_once, ..job.settings.clone() });
    let options = Options::new(&ctx.options);
    let (cluster, links) = Cluster::keep("fetch", |_, _| settings.clone(), None, &options, ctx)?;
    let (stop, mut stopped) = watch::channel(false);
    let _on_stop = ctx.stop.on_request(move || _ = stop.send_replace(true));
    let downloads = job.downloads(Instant::now());
    let hosts = downloads.iter().flatten().map(|download| host(download));
    let frontier = Mutex::new(Frontier::new(hosts, links.len(), at_once, job.settings.per_host));
    let attentive = |link| (link, Arc::new(Semaphore::new(ATTENTION as usize)));
    let links = links.into_iter().map(attentive).collect();
    let (writer, writing) = Writer::start(BODIES)?;
    let desk = Arc::new(Desk { links, frontier, bodies: Semaphore::new(BODIES), writer });
    let (done, outputs) = mpsc::channel(at_once.min(Semaphore::MAX_PERMITS));
    let gathered = cluster.block_on(async {
        let mut feeding = JoinSet::new();
        feeding.spawn(feed(desk, downloads, done));
        select! {
            biased;
            _ = stopped.wait_for(|is_requested| *is_requested) => Ok(()),
            gathered = gather(outputs, job, ctx, out) => gathered,
        }
    });
    // The tasks end with the cluster, and the writer with the last of them.
    let closed = cluster.close();
    let written = writing.join().map_err(|panic| Error::worker("writer", panic_reason(&*panic)));
    closed.and(gathered).and(written)
}
// ANCHOR_END: fetch-run

/// What all downloads have in common.
struct Desk {
    /// The ways to the workers, and their attention.
    links: Vec<(Link, Arc<Semaphore>)>,
    frontier: Mutex<Frontier>,
    bodies: Semaphore,
    writer: Writer,
}

// ANCHOR: fetch-feed
/// Has somebody see to each host.
async fn feed(desk: Arc<Desk>, downloads: Vec<Result<Box<Download>, Output>>, done: Done) {
    let mut hosts: HashMap<String, Vec<Box<Download>>> = HashMap::new();
    let mut all = JoinSet::new();
    for download in downloads {
        match download {
            Ok(download) => hosts.entry(host(&download).to_owned()).or_default().push(download),
            Err(failed) => _ = done.send(Ok(failed)).await,
        }
    }
    hosts.into_values().for_each(|downloads| _ = all.spawn(desk.clone().hand_out(downloads, done.clone())));
    drop(done);
    while all.join_next().await.is_some() {}
}

impl Desk {
    /// Asks for a host's downloads in their order, as there is room for them, and has somebody wait for each.
    #[expect(clippy::vec_box, reason = "they come in boxes")]
    async fn hand_out(self: Arc<Self>, downloads: Vec<Box<Download>>, done: Done) {
        let mut all = JoinSet::new();
        for download in downloads {
            let asked = self.ask(&download, false).await;
            all.spawn(self.clone().see_to(download, asked, done.clone()));
        }
        while all.join_next().await.is_some() {}
    }

    /// Asks the owner of its host for a download, if need be while it has nothing else.
    async fn ask(&self, download: &Download, is_alone: bool) -> Asked {
        let (owner, room) = self.owner(download).await;
        let (link, attention) = &self.links[owner];
        let parts = if is_alone { ATTENTION } else { 1 };
        let attention = attention.clone().acquire_many_owned(parts).await.expect("it is never closed");
        let handover = Box::new(download.hand_over(Instant::now()));
        let share = self.frontier().share(owner);
        let promise = ask(link, &Ask::Fetch(handover, share)).await;
        Asked { owner, is_alone, promise: Some(promise), _room: room, _attention: attention }
    }

    /// The worker that a download belongs to, and room there. If there is none, its hosts go to another.
    async fn owner(&self, download: &Download) -> (usize, OwnedSemaphorePermit) {
        loop {
            let (owner, window) = self.frontier().find(host(download));
            let (link, _) = &self.links[owner];
            link.known().await;
            if link.is_up() {
                let room = window.acquire_owned().await.expect("it is never closed");
                return (owner, room);
            }
            let others = self.links.iter().map(|(link, _)| Box::pin(link.up()));
            let ((), other, _) = select_all(others).await;
            let mut frontier = self.frontier();
            if frontier.find(host(download)).0 == owner && other != owner {
                frontier.hand_on(owner, other);
            }
        }
    }

    fn frontier(&self) -> MutexGuard<'_, Frontier> {
        self.frontier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks a worker.
async fn ask(link: &Link, what: &Ask) -> Result<Promise, Lost> {
    link.ask(encode(what)).await.map_err(|why| match why {
        Unasked::Down => Lost::Before,
        Unasked::TooLarge => Lost::Within,
    })
}
// ANCHOR_END: fetch-feed

// ANCHOR: fetch-work
impl Desk {
    /// Waits for a download, asks again if need be, and passes on what became of it.
    async fn see_to(self: Arc<Self>, mut download: Box<Download>, mut asked: Asked, done: Done) {
        let (mut among_others, mut alone) = (0, 0);
        let output = loop {
            match self.answer(&mut asked, &download).await {
                Ok(Found::Output(output)) => break output,
                Ok(Found::Elsewhere(moved)) => download = moved,
                Err(Lost::Before) => {}
                Err(Lost::Within) if asked.is_alone => alone += 1,
                Err(Lost::Within) => among_others += 1,
            }
            if alone == TRIES {
                break Ok(download.ticket().lost("killed its worker three times", Instant::now()));
            }
            drop(asked);
            asked = self.ask(&download, among_others >= CHANCES).await;
        };
        // Whoever waited for it has gone with the job. There is room for another only then.
        let _ = done.send(output).await;
    }

    /// Waits for what a worker answers, and takes the body.
    async fn answer(&self, asked: &mut Asked, download: &Download) -> Result<Found, Lost> {
        let (link, _) = &self.links[asked.owner];
        let promise = asked.promise.take().expect("it is waited for once");
        match told(promise).await? {
            Told::Moved(handover) => {
                let moved = handover.take_back(download, Instant::now());
                moved.map(Found::Elsewhere).map_err(|_| Lost::Within)
            }
            Told::Done(output, has_body) => {
                let mut output = download.ticket().adopt(output);
                if output.outcome.is_ok() && download.is_kept() && !has_body {
                    return Err(Lost::Within);
                }
                if let Ok(fetched) = &output.outcome
                    && has_body
                    && let Err(why) = self.body(link, download, fetched.bytes).await?
                {
                    output.outcome = Err(why);
                }
                Ok(Found::Output(Ok(output)))
            }
            Told::Refused(why) => Ok(Found::Output(Err(Error::Usage(printable(&why).to_string())))),
            Told::Part(_) => Err(Lost::Within),
        }
    }

    /// Has a body of so many bytes come, part by part, and keeps it.
    async fn body(&self, link: &Link, download: &Download, bytes: u64) -> Result<Result<(), Failure>, Lost> {
        let _room = self.bodies.acquire().await;
        let (mut kept, mut left) = (download.arriving(), bytes);
        loop {
            let more = ask(link, &Ask::More(download.ticket().index())).await;
            let Told::Part(part) = told(more).await? else {
                return Err(Lost::Within);
            };
            if part.is_empty() {
                return match left {
                    0 => Ok(self.writer.does(|| kept.and_then(Arriving::keep)).await),
                    _ => Err(Lost::Within),
                };
            }
            left = left.checked_sub(part.len() as u64).ok_or(Lost::Within)?;
            // Also if it cannot be kept, the worker is to forget it.
            let take = move || kept.and_then(|mut arriving| arriving.take(&part).map(|()| arriving));
            kept = self.writer.does(take).await;
        }
    }
}

/// What a worker answers.
async fn told(promise: Result<Promise, Lost>) -> Result<Told, Lost> {
    let told = promise?.await.map_err(|_| Lost::Within)?;
    postcard::from_bytes(&told).map_err(|_| Lost::Within)
}
// ANCHOR_END: fetch-work

// ANCHOR: fetch-gather
/// Emits what comes, until there is one output for each resource that was wanted. That no more can
/// come does not mean that all have: a task that panics drops its sender, too.
async fn gather(
    mut outputs: Receiver<Result<Output>>,
    job: &Job,
    ctx: &Ctx,
    out: &mut dyn Sink<Output>,
) -> Result<()> {
    for _ in &job.wanted {
        let output = outputs.recv().await.ok_or_else(|| Error::worker("feed", "a task panicked"))?;
        if ctx.emit(output?, out).is_break() {
            break;
        }
    }
    Ok(())
}
// ANCHOR_END: fetch-gather

/// A download that a worker was asked for.
struct Asked {
    owner: usize,
    /// Whether the worker has nothing else.
    is_alone: bool,
    /// Until it is waited for.
    promise: Option<Result<Promise, Lost>>,
    _room: OwnedSemaphorePermit,
    _attention: OwnedSemaphorePermit,
}

/// What a worker has found.
enum Found {
    /// The end, or why the run has to end.
    Output(Result<Output>),
    /// The download goes on at another host.
    Elsewhere(Box<Download>),
}

/// A worker that was lost, or says what makes no sense.
enum Lost {
    /// Before it was asked.
    Before,
    /// It may have died of it.
    Within,
}

fn host(download: &Download) -> &str {
    download.url().host_str().expect("a URL of http has a host")
}

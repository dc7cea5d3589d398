//! `fetch` on a cluster.
//!
//! - **Split.** By host, as crawlers do: a host belongs to one worker, which has the schedule for it. So how many requests are under
//!   way there, and until when it is to be left alone, is one worker's business, and true without a word between machines. A
//!   redirect to a host of another's comes back, and goes there. A worker's requests are tasks on its runtime.
//! - **Share.** The limit of requests, in parts: each worker has one, and of the rest what is in proportion to its hosts'
//!   downloads. It is told its part with each download, so that nobody has to be asked before a request. Credentials in URLs travel to
//!   workers as all else does.
//! - **Bound.** Each machine's descriptors: the limit of this model is that of all machines together. Of a host, twice as many downloads
//!   are with its worker as requests may be under way there. Bodies are files without names where they were fetched, and
//!   some at a time come back in parts, when they are asked for. While the sink is behind, no more is handed out.
//! - **Order.** None: results come as they are completed.
//! - **Stop.** The sessions end, and with them the tasks and what they have.
//! - **Fail.** A panic is caught on the worker, and is that download's failure. With a worker that is dead, or silent for too long,
//!   all is lost that it had: its hosts go to another, if it has no successor at once, and their downloads begin anew. All that
//!   were with it when it died are suspected, as nobody knows which it died of; those that have been twice are fetched
//!   one at a time, and the third worker that dies of one is the last.

mod frontier;
mod node;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use cc_workloads::{
    Ctx, Error, Result, Sink,
    fetch::{Arriving, Download, Failure, Job, Output, Settings},
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
};
use crate::cluster::{
    Cluster,
    command::Options,
    encode,
    link::{Link, Unasked},
};

pub(crate) use self::node::keep;

/// How many workers may die of a download; the last of them with nothing else that is suspected.
const TRIES: u32 = 3;

/// So many bodies come back at once.
const BODIES: usize = 16;

type Done = Sender<Result<Output>>;

// ANCHOR: fetch-run
/// Runs the job on the workers that the command line names, or on `ctx.workers` processes of its own; the calling thread
/// gathers.
pub fn run(job: &Job, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    let at_once = job.at_once();
    let settings = encode(&Settings { concurrency: at_once, ..job.settings.clone() });
    let (cluster, links) = Cluster::keep("fetch", |_, _| settings.clone(), &Options::new(&ctx.args), ctx)?;
    let (stop, mut stopped) = watch::channel(false);
    let _on_stop = ctx.stop.on_request(move || _ = stop.send_replace(true));
    let frontier = Mutex::new(Frontier::new(links.len(), at_once, job.settings.per_host));
    let (suspects, bodies) = (Semaphore::new(1), Semaphore::new(BODIES));
    let desk = Arc::new(Desk { links, frontier, suspects, bodies });
    let (done, outputs) = mpsc::channel(at_once.min(Semaphore::MAX_PERMITS));
    let downloads = job.downloads(Instant::now());
    let gathered = cluster.block_on(async {
        let mut feeding = JoinSet::new();
        feeding.spawn(feed(desk, downloads, done));
        select! {
            biased;
            _ = stopped.wait_for(|is_requested| *is_requested) => Ok(()),
            gathered = gather(outputs, ctx, out) => gathered,
        }
    });
    cluster.close().and(gathered)
}
// ANCHOR_END: fetch-run

/// What all downloads have in common.
struct Desk {
    links: Vec<Link>,
    frontier: Mutex<Frontier>,
    suspects: Semaphore,
    bodies: Semaphore,
}

// ANCHOR: fetch-feed
/// Gives each download somebody who waits for it, after all hosts are known.
async fn feed(desk: Arc<Desk>, downloads: Vec<Result<Box<Download>, Output>>, done: Done) {
    downloads.iter().flatten().for_each(|download| desk.frontier().add(host(download)));
    let mut all = JoinSet::new();
    for download in downloads {
        match download {
            Ok(download) => _ = all.spawn(desk.clone().see_to(download, done.clone())),
            Err(failed) => _ = done.send(Ok(failed)).await,
        }
    }
    drop(done);
    while all.join_next().await.is_some() {}
}

impl Desk {
    /// Has a download fetched, whoever has to do it, and passes on what became of it.
    async fn see_to(self: Arc<Self>, mut download: Box<Download>, done: Done) {
        let mut deaths = 0;
        let (output, _window) = loop {
            let (owner, window) = self.owner(&download).await;
            let alone = if deaths + 1 == TRIES { self.suspects.acquire().await.ok() } else { None };
            match self.ask(owner, &download).await {
                Ok(Found::Output(output)) => break (output, window),
                Ok(Found::Elsewhere(moved)) => download = moved,
                Err(Lost::Before) => {}
                Err(Lost::Within) => deaths += 1,
            }
            drop(alone);
            if deaths == TRIES {
                let lost = download.ticket().lost("killed its worker three times", Instant::now());
                break (Ok(lost), window);
            }
        };
        // Whoever waited for it has gone with the job.
        let _ = done.send(output).await;
    }

    /// The worker that a download belongs to, and room there. If there is none, its hosts go to another.
    async fn owner(&self, download: &Download) -> (usize, OwnedSemaphorePermit) {
        loop {
            let (owner, window) = self.frontier().find(host(download));
            self.links[owner].known().await;
            if self.links[owner].is_up() {
                let room = window.acquire_owned().await.expect("it is never closed");
                return (owner, room);
            }
            let others = self.links.iter().map(|link| Box::pin(link.up()));
            let ((), other, _) = select_all(others).await;
            let mut frontier = self.frontier();
            if frontier.find(host(download)).0 == owner && other != owner {
                frontier.hand_on(owner, other);
            }
        }
    }

    /// Asks a worker for a download, and takes its body.
    async fn ask(&self, owner: usize, download: &Download) -> Result<Found, Lost> {
        let link = &self.links[owner];
        let handover = Box::new(download.hand_over(Instant::now()));
        let share = self.frontier().share(owner);
        match tell(link, &Ask::Fetch(handover, share)).await? {
            Told::Moved(handover) => Ok(Found::Elsewhere(handover.take_back(download, Instant::now()))),
            Told::Done(mut output, has_body) => {
                if has_body && let Err(why) = self.body(link, download).await? {
                    output.outcome = Err(why);
                }
                Ok(Found::Output(Ok(output)))
            }
            Told::Refused(why) => Ok(Found::Output(Err(Error::Usage(why)))),
            Told::Part(_) => Err(Lost::Within),
        }
    }

    /// Has a body come, part by part, and keeps it.
    async fn body(&self, link: &Link, download: &Download) -> Result<Result<(), Failure>, Lost> {
        let _room = self.bodies.acquire().await;
        let mut kept = download.arriving();
        loop {
            let Told::Part(part) = tell(link, &Ask::More(download.ticket().index())).await? else {
                return Err(Lost::Within);
            };
            if part.is_empty() {
                return Ok(kept.and_then(Arriving::keep));
            }
            // Also if it cannot be kept, the worker is to forget it.
            kept = kept.and_then(|mut arriving| arriving.take(&part).map(|()| arriving));
        }
    }

    fn frontier(&self) -> MutexGuard<'_, Frontier> {
        self.frontier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a worker answers.
async fn tell(link: &Link, ask: &Ask) -> Result<Told, Lost> {
    let promise = link.ask(encode(ask)).await.map_err(|why| match why {
        Unasked::Down => Lost::Before,
        Unasked::TooLarge => Lost::Within,
    })?;
    let told = promise.await.map_err(|_| Lost::Within)?;
    postcard::from_bytes(&told).map_err(|_| Lost::Within)
}
// ANCHOR_END: fetch-feed

// ANCHOR: fetch-gather
/// Emits what comes.
async fn gather(mut outputs: Receiver<Result<Output>>, ctx: &Ctx, out: &mut dyn Sink<Output>) -> Result<()> {
    while let Some(output) = outputs.recv().await
        && ctx.emit(output?, out).is_continue()
    {}
    Ok(())
}
// ANCHOR_END: fetch-gather

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

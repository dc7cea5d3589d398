//! A cluster at work for one job: a coordinator, here, and workers elsewhere.
//!
//! It moves bytes and knows no workload. In reading order:
//!
//! - [`queue`]: which task is whose, and what was lost; knows no transport;
//! - `member`: the coordinator's view of one worker, from the greeting to the suspicion that it is dead;
//! - [`worker`]: what a workload does there, task by task; `host`: the other side, which serves;
//!   `session`: what belongs to one session there, and its limits; `acceptor`: which peers may
//!   connect; `log`: what a standing worker reports;
//! - [`link`] and `keeper_host`: the two ends of a session that keeps something, and is asked;
//!   [`keeper`]: what a workload keeps there;
//! - `store` and [`shelf`]: what tasks leave with their workers, and how other workers get it; `lineage`: how it is
//!   made again; `reach`: which worker does not reach which;
//! - `local`: worker processes of the run's own;
//! - [`command`]: the options, and the standing worker;
//! - `wire` and `token`: payloads in frames, and the shared secret; `codec`: what a workload sends, as
//!   bytes; `location`: where a session's blobs are; `lost` and `status`: why a session has ended;
//! - `runtime`: threads whose start may fail;
//! - `properties`: what the fuzz targets check of messages and blob names.

mod acceptor;
mod codec;
pub mod command;
mod host;
pub mod keeper;
mod keeper_host;
pub(crate) mod lineage;
pub mod link;
mod local;
pub(crate) mod location;
mod log;
mod lost;
mod member;
#[doc(hidden)]
pub mod properties;
pub mod queue;
pub(crate) mod reach;
pub(crate) mod runtime;
mod session;
pub mod shelf;
mod status;
mod store;
mod token;
mod wire;
pub mod worker;

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cc_workloads::{Cause, Ctx, Error, Result, Stop, printable::printable, stop::OnRequest};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinSet, time::timeout};

pub(crate) use self::codec::{decoded, encode};
use self::{
    codec::VERSION,
    command::Options,
    link::Link,
    local::WorkerSpec,
    lost::Lost,
    member::{Member, Place},
    queue::{Attempts, Kept, Lane, Outcome, Promise, Queue, address},
    runtime::RuntimeThread,
    token::Token,
    wire::{PAYLOAD, pb::Hello},
};

/// The time there is to end worker processes; more than that, and the machine has other trouble.
const DRAIN: Duration = Duration::from_secs(1);

/// Without any worker for so many times the time of suspicion, the run gives up.
const PATIENCE: u32 = 5;

/// Starts of worker processes that may fail in a row, for each worker of the cluster: the pauses
/// between them double, so a system that lacks threads or descriptors has more than a second to
/// recover.
const STARTS: u32 = 6;

/// The workers of one job. Dropping it ends them, or its sessions with them.
pub struct Cluster {
    queue: Queue,
    roster: Roster,
    members: JoinSet<()>,
    runtime: RuntimeThread,
    _on_stop: Option<OnRequest>,
}

impl Cluster {
    /// Starts the cluster that the command line asks for: the workers that it names, or `ctx.workers` processes
    /// of its own. It does not wait for them: tasks may be submitted at once.
    pub fn start(workload: &str, job: Vec<u8>, options: &Options, ctx: &Ctx) -> Result<Self> {
        let mut cluster = Self::new(ctx)?;
        let (places, token) = places(options, ctx)?;
        let hello = hello(workload, job);
        for place in places {
            cluster.add(place, &token, hello.clone(), None, options);
        }
        let ticks = tick(cluster.queue.clone(), options.suspect_after);
        cluster.members.spawn_on(ticks, cluster.runtime.handle());
        let on_stop = cluster.queue.clone();
        cluster._on_stop = Some(ctx.stop.on_request(move || on_stop.close()));
        Ok(cluster)
    }

    /// Starts a cluster whose workers keep something, and returns the ways to them. Each is told its job, which is made of
    /// its number and of how many there are. A stop does not end it: whoever has started it ends it, when nothing is to be
    /// asked any more.
    ///
    /// What a silent worker keeps is lost only after `lose_after`; until then its link is
    /// [suspected](Link::is_up). None: it can be had again, so suspicion and loss are one.
    pub fn keep(
        workload: &str,
        job: impl Fn(usize, usize) -> Vec<u8>,
        lose_after: Option<Duration>,
        options: &Options,
        ctx: &Ctx,
    ) -> Result<(Self, Vec<Link>)> {
        let mut cluster = Self::new(ctx)?;
        let (places, token) = places(options, ctx)?;
        let links: Vec<_> = places.iter().map(|_| Link::new()).collect();
        for (n, (place, link)) in places.into_iter().zip(&links).enumerate() {
            let hello = hello(workload, job(n, links.len()));
            cluster.add(place, &token, hello, Some((link.clone(), lose_after)), options);
        }
        Ok((cluster, links))
    }

    fn new(ctx: &Ctx) -> Result<Self> {
        let queue = Queue::default();
        let roster = Roster::new(&queue, &ctx.stop);
        let runtime = RuntimeThread::start("cluster")?;
        Ok(Self { queue, roster, members: JoinSet::new(), runtime, _on_stop: None })
    }

    /// Adds a worker. With the first of them the watch over all begins.
    fn add(
        &mut self,
        place: Place,
        token: &Option<Token>,
        hello: Hello,
        link: Option<(Link, Option<Duration>)>,
        options: &Options,
    ) {
        let (runtime, suspect_after) = (self.runtime.handle(), options.suspect_after);
        if self.members.is_empty() {
            self.members.spawn_on(self.roster.clone().watch(suspect_after * PATIENCE), runtime);
        }
        self.roster.0.workers.fetch_add(1, Ordering::Relaxed);
        self.roster.0.trusted.fetch_add(1, Ordering::Relaxed);
        let (token, queue, roster) = (token.clone(), self.queue.clone(), self.roster.clone());
        let (link, lose_after) = link.map_or((None, None), |(link, after)| (Some(link), after));
        let member = Member { place, token, hello, queue, link, roster, suspect_after, lose_after };
        self.members.spawn_on(member.keep(), runtime);
    }

    /// Runs what belongs to the job on the calling thread. What it spawns, and its timers and
    /// sockets, belong to the thread that has the connections to the workers.
    pub(crate) fn block_on<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.handle().block_on(what)
    }

    /// Queues a task. What a worker answers is believed only when the check has made an output of
    /// it, which is told the session that it came from (`ADDRESS/SESSION`); a worker that answers
    /// anything else gets no more tasks.
    #[must_use]
    pub fn submit<O: Send + 'static>(
        &self,
        task: Vec<u8>,
        lane: Lane,
        check: impl FnMut(&str, &[u8]) -> Result<O, String> + Send + 'static,
    ) -> Promise<O> {
        self.submit_again(task, lane, check, &Attempts::default())
    }

    /// Queues a task that was submitted before, in other words.
    pub(crate) fn submit_again<O: Send + 'static>(
        &self,
        task: Vec<u8>,
        lane: Lane,
        check: impl FnMut(&str, &[u8]) -> Result<O, String> + Send + 'static,
        attempts: &Attempts,
    ) -> Promise<O> {
        if task.len() as u64 > PAYLOAD {
            return queue::settled(Outcome::Failed {
                task: task.into(),
                why: "too large to be sent".to_owned(),
            });
        }
        self.queue.submit_again(task.into(), lane, check, attempts.clone())
    }

    /// What came of a task: its output, or the one that `failed` makes of it. `Break` if the job
    /// has ended before.
    pub fn output<T: DeserializeOwned, O>(
        &self,
        outcome: Kept<O>,
        failed: impl FnOnce(&T, &str) -> O,
    ) -> ControlFlow<(), O> {
        let Ok(outcome) = outcome else { return ControlFlow::Break(()) };
        let (task, why) = match outcome {
            Outcome::Done(output) => return ControlFlow::Continue(output),
            Outcome::Failed { task, why } => (task, why),
        };
        let task = postcard::from_bytes(&task).map_err(|error| Error::worker("task", error));
        self.or_fail(task.map(|task| failed(&task, &why)))
    }

    /// Whether the session at this [place](location::place) goes on, as far as is known here.
    pub(crate) fn has(&self, place: &str) -> bool {
        self.roster.0.present.borrow().contains(place)
    }

    /// Whether the session at this place goes on, as its worker confirms from now on: one that
    /// another could not fetch from may have died without a sign. It is pinged at once, so this
    /// takes no longer than it takes to suspect a worker.
    pub(crate) async fn is_alive(&self, place: &str) -> bool {
        let mut present = self.roster.0.present.subscribe();
        let mut heard = self.roster.0.heard.subscribe();
        let prompt = self.roster.prompt();
        // An answer to a ping that was sent before the prompt tells nothing.
        let is_later = |heard: &HashMap<String, u64>| heard.get(address(place)) >= Some(&prompt);
        tokio::select! {
            _ = present.wait_for(|places| !places.contains(place)) => false,
            heard = heard.wait_for(is_later) => heard.is_ok(),
            () = self.queue.closed() => false,
        }
    }

    /// Whether a worker is at work that may do a task after these attempts.
    pub(crate) fn has_another(&self, attempts: &Attempts) -> bool {
        self.roster.0.present.borrow().iter().any(|place| !attempts.avoids(address(place)))
    }

    /// Ends the job for this reason, unless it has ended for another.
    pub(crate) fn fail<T>(&self, why: Error) -> ControlFlow<(), T> {
        self.roster.fail(why);
        ControlFlow::Break(())
    }

    /// What was to be had. If it was not, the job ends.
    pub(crate) fn or_fail<T>(&self, had: Result<T>) -> ControlFlow<(), T> {
        had.map_or_else(|why| self.fail(why), ControlFlow::Continue)
    }

    /// Ends the job, and returns why it had to end, if it had to.
    pub fn close(self) -> Result<()> {
        let roster = self.roster.clone();
        drop(self);
        let error = roster.0.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        error.map_or(Ok(()), Err)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.queue.close();
        let all = async { while self.members.join_next().await.is_some() {} };
        let _ = self.runtime.handle().block_on(async { timeout(DRAIN, all).await });
    }
}

/// Tells the queue that time passes, until it is closed.
async fn tick(queue: Queue, period: Duration) {
    while timeout(period, queue.closed()).await.is_err() {
        queue.tick();
    }
}

/// The greeting, as far as it is the same in every session.
fn hello(workload: &str, job: Vec<u8>) -> Hello {
    let (version, workload) = (VERSION.to_owned(), workload.to_owned());
    Hello { version, workload, job: job.into(), ..Hello::default() }
}

/// Where the workers are, and the token for them.
fn places(options: &Options, ctx: &Ctx) -> Result<(Vec<Place>, Option<Token>)> {
    if options.workers.is_empty() {
        let own = |_| {
            Place::Own(WorkerSpec {
                program: options.program.clone(),
                names: options.shared_fs,
                temporary: options.temporary.clone(),
            })
        };
        return Ok(((0..ctx.workers.get()).map(own).collect(), Some(Token::random()?)));
    }
    let token = match &options.token_file {
        Some(file) => Some(Token::read(file)?),
        None => command::is_here(&options.workers).and_then(|()| Token::of_user_if_any())?,
    };
    Ok((options.workers.iter().cloned().map(Place::At).collect(), token))
}

/// Who is at work, and whether the job can go on. Clones are the same roster.
#[derive(Clone)]
struct Roster(Arc<State>);

struct State {
    /// The places of the sessions there are.
    present: watch::Sender<HashSet<String>>,
    /// The number of the last prompt. Each asks for a ping of every worker.
    prompts: watch::Sender<u64>,
    /// For each worker's address the last prompt before the ping that it has answered last.
    heard: watch::Sender<HashMap<String, u64>>,
    /// How many workers have not answered wrongly.
    trusted: AtomicUsize,
    /// What became of the worker that was lost last.
    last: Mutex<String>,
    error: Mutex<Option<Error>>,
    /// How many workers the cluster has, at work or not.
    workers: AtomicU32,
    /// Whether any worker has ever welcomed a session.
    has_begun: AtomicBool,
    /// Starts of processes that have failed since a session began or ended.
    failed_starts: AtomicU32,
    queue: Queue,
    stop: Stop,
}

impl Roster {
    fn new(queue: &Queue, stop: &Stop) -> Self {
        let (present, _) = watch::channel(HashSet::new());
        let last = Mutex::new("none could be started".to_owned());
        Self(Arc::new(State {
            present,
            prompts: watch::Sender::default(),
            heard: watch::Sender::default(),
            trusted: AtomicUsize::default(),
            last,
            error: Mutex::default(),
            workers: AtomicU32::new(0),
            has_begun: AtomicBool::new(false),
            failed_starts: AtomicU32::new(0),
            queue: queue.clone(),
            stop: stop.clone(),
        }))
    }

    /// A worker is at work in a session, as long as this is kept.
    fn entered(&self, place: String) -> Present {
        self.0.has_begun.store(true, Ordering::Relaxed);
        self.0.failed_starts.store(0, Ordering::Relaxed);
        self.0.present.send_modify(|places| {
            places.insert(place.clone());
        });
        Present { roster: self.clone(), place }
    }

    /// Whether any worker has ever welcomed a session.
    fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::Relaxed)
    }

    /// A session has ended, or could not be begun.
    fn left(&self, who: &str, lost: Lost) {
        match lost {
            Lost::NotStarted(why) if self.has_failed_to_start() => {
                self.fail(Error::worker("no worker can be started", why));
            }
            // A mistake in the configuration, and nothing has been done yet that could be lost: say
            // so at once.
            Lost::Refused(why) if !self.has_begun() => {
                self.fail(Error::worker(who, why));
            }
            Lost::Gone(why) | Lost::Refused(why) | Lost::NotStarted(why) => {
                *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = format!("{who}: {why}");
            }
            Lost::Distrusted(why) => {
                let why = format!("{}: answered wrongly: {why}", printable(who));
                *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = why.clone();
                if self.0.trusted.fetch_sub(1, Ordering::Relaxed) == 1 {
                    self.fail(Error::worker("no worker left", why));
                }
            }
        }
    }

    /// Whether this failed start is one too many, with no worker at work.
    fn has_failed_to_start(&self) -> bool {
        let failed = self.0.failed_starts.fetch_add(1, Ordering::Relaxed) + 1;
        failed >= STARTS * self.0.workers.load(Ordering::Relaxed) && self.0.present.borrow().is_empty()
    }

    /// Has every worker pinged at once. Returns the prompt's number.
    fn prompt(&self) -> u64 {
        let mut number = 0;
        self.0.prompts.send_modify(|last| {
            *last += 1;
            number = *last;
        });
        number
    }

    fn prompts(&self) -> watch::Receiver<u64> {
        self.0.prompts.subscribe()
    }

    /// The worker at this address has answered a ping that was sent after this prompt.
    fn heard(&self, address: &str, prompt: u64) {
        self.0.heard.send_modify(|heard| {
            heard.insert(address.to_owned(), prompt);
        });
    }

    /// Ends the job. The first error is kept.
    fn fail(&self, error: Error) {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.0.queue.close();
        self.0.stop.request(Cause::Break);
    }

    /// Ends the job when there has been no worker for so long.
    async fn watch(self, patience: Duration) {
        let mut present = self.0.present.subscribe();
        let alone = async {
            while present.wait_for(HashSet::is_empty).await.is_ok() {
                if timeout(patience, present.wait_for(|places| !places.is_empty())).await.is_err() {
                    let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    self.fail(Error::worker("no worker left", last));
                }
            }
        };
        tokio::select! {
            () = self.0.queue.closed() => {}
            () = alone => {}
        }
    }
}

/// Counts as a worker.
struct Present {
    roster: Roster,
    place: String,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.roster.0.failed_starts.store(0, Ordering::Relaxed);
        self.roster.0.present.send_modify(|places| {
            places.remove(&self.place);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, num::NonZeroUsize, os::unix::fs::PermissionsExt, time::Instant};

    use super::*;

    /// How a cluster of workers that are this program ends, and how long that takes.
    fn ended(program: &std::path::Path) -> (String, Duration) {
        let ctx = Ctx::new(NonZeroUsize::new(2).unwrap());
        let options = Options { program: Some(program.to_owned()), ..Options::new(&ctx.options) };
        let since = Instant::now();
        let cluster = Cluster::start("grep", Vec::new(), &options, &ctx).unwrap();
        let promise = cluster.submit(b"task".to_vec(), Lane::Usual, |_, _| Ok(()));
        assert!(promise.blocking_recv().is_err(), "no worker has answered");
        (cluster.close().unwrap_err().to_string(), since.elapsed())
    }

    #[test]
    fn a_cluster_without_a_program_to_start_ends_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("program");
        let why = |program| ended(program).0;
        assert_eq!(why(&file), "no worker can be started: No such file or directory");
        fs::write(&file, "no program").unwrap();
        assert_eq!(why(&file), "no worker can be started: Permission denied");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(why(&file), "no worker can be started: Exec format error");
        let (why, took) = ended("/bin/true".as_ref());
        assert_eq!(why, "no worker can be started: it ended at once");
        assert!(took < Duration::from_secs(8), "{took:?}");
    }
}

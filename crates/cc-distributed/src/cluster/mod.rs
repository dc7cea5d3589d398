//! A cluster at work for one job: a coordinator, here, and workers elsewhere.
//!
//! It moves bytes and knows no workload. In reading order:
//!
//! - [`queue`]: which task is whose, and what was lost; knows no transport;
//! - `member`: the coordinator's view of one worker, from the greeting to the suspicion that it is dead;
//! - [`worker`]: the other side, which serves;
//! - [`link`] and [`keeper`]: the two ends of a session that keeps something, and is asked;
//! - `store` and [`shelf`]: what tasks leave with their workers, and how other workers get it; `lineage`: how it is
//!   made again; `reach`: which worker does not reach which;
//! - `local`: worker processes of the run's own;
//! - [`command`]: the options, and the standing worker;
//! - `wire`, `token` and [`root`]: payloads in frames, the shared secret, and what a worker may open.

pub mod command;
pub mod keeper;
pub(crate) mod lineage;
pub mod link;
mod local;
mod member;
pub mod queue;
pub(crate) mod reach;
pub mod root;
pub mod shelf;
mod store;
mod token;
mod wire;
pub mod worker;

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cc_workloads::{Cause, Ctx, Error, Result, Stop, printable::printable, stop::OnRequest};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use self::{
    command::Options,
    link::Link,
    member::{Lost, Member, Place},
    queue::{Attempts, Kept, Lane, Outcome, Promise, Queue, address},
    token::Token,
    wire::{PAYLOAD, pb::Hello, room},
};

/// Jobs, tasks and outputs are understood only by the version that wrote them.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The time there is to end worker processes; more than that, and the machine has other trouble.
const DRAIN: Duration = Duration::from_secs(1);

/// Without any worker for so many times the time of suspicion, the run gives up.
const PATIENCE: u32 = 5;

/// The workers of one job. Dropping it ends them, or its sessions with them.
pub struct Cluster {
    queue: Queue,
    roster: Roster,
    members: JoinSet<()>,
    /// Taken when it is shut down.
    runtime: Option<Runtime>,
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
            cluster.add(place, &token, hello.clone(), None, options.suspect_after);
        }
        let on_stop = cluster.queue.clone();
        cluster._on_stop = Some(ctx.stop.on_request(move || on_stop.close()));
        Ok(cluster)
    }

    /// Starts a cluster whose workers keep something, and returns the ways to them. Each is told its job, which is made of
    /// its number and of how many there are. A stop does not end it: whoever has started it ends it, when nothing is to be
    /// asked any more.
    pub fn keep(
        workload: &str,
        job: impl Fn(usize, usize) -> Vec<u8>,
        options: &Options,
        ctx: &Ctx,
    ) -> Result<(Self, Vec<Link>)> {
        let mut cluster = Self::new(ctx)?;
        let (places, token) = places(options, ctx)?;
        let links: Vec<_> = places.iter().map(|_| Link::new()).collect();
        for (n, (place, link)) in places.into_iter().zip(&links).enumerate() {
            let hello = hello(workload, job(n, links.len()));
            cluster.add(place, &token, hello, Some(link.clone()), options.suspect_after);
        }
        Ok((cluster, links))
    }

    fn new(ctx: &Ctx) -> Result<Self> {
        let queue = Queue::default();
        let roster = Roster::new(&queue, &ctx.stop);
        let runtime =
            Builder::new_multi_thread().worker_threads(2).thread_name("cluster").enable_all().build();
        let runtime = Some(runtime.map_err(Error::io("runtime"))?);
        Ok(Self { queue, roster, members: JoinSet::new(), runtime, _on_stop: None })
    }

    /// Adds a worker. With the first of them the watch over all begins.
    fn add(
        &mut self,
        place: Place,
        token: &Option<Token>,
        hello: Hello,
        link: Option<Link>,
        suspect_after: Duration,
    ) {
        let runtime = self.runtime.as_ref().expect("it is taken in the end").handle();
        if self.members.is_empty() {
            self.members.spawn_on(self.roster.clone().watch(suspect_after * PATIENCE), runtime);
        }
        self.roster.0.trusted.fetch_add(1, Ordering::Relaxed);
        let (token, queue, roster) = (token.clone(), self.queue.clone(), self.roster.clone());
        let member = Member { place, token, hello, queue, link, roster, suspect_after };
        self.members.spawn_on(member.keep(), runtime);
    }

    /// Runs what belongs to the job where the cluster runs, and waits for it.
    pub(crate) fn block_on<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("it is taken in the end").block_on(what)
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

    /// Whether the session at this [place](shelf::place) goes on, as far as is known here.
    pub(crate) fn has(&self, place: &str) -> bool {
        self.roster.0.present.borrow().contains(place)
    }

    /// Whether the session at this place goes on, as its worker confirms from now on: one that
    /// another could not fetch from may have died without a sign. It takes no longer than it takes
    /// to suspect a worker.
    pub(crate) async fn is_alive(&self, place: &str) -> bool {
        let mut present = self.roster.0.present.subscribe();
        let mut beats = self.roster.0.beats.subscribe();
        let count = |beats: &HashMap<String, u64>| beats.get(address(place)).copied().unwrap_or(0);
        // The next answer may be that to a ping which was sent before.
        let enough = count(&beats.borrow()) + 2;
        tokio::select! {
            _ = present.wait_for(|places| !places.contains(place)) => false,
            heard = beats.wait_for(|beats| count(beats) >= enough) => heard.is_ok(),
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
        if let Some(runtime) = self.runtime.take() {
            let all = async { while self.members.join_next().await.is_some() {} };
            let _ = runtime.block_on(async { timeout(DRAIN, all).await });
            runtime.shutdown_timeout(DRAIN);
        }
    }
}

/// What goes on the journey: plain data, as bytes.
pub(crate) fn encode(what: &impl Serialize) -> Vec<u8> {
    let serialized = || {
        let size = postcard::experimental::serialized_size(what)?;
        postcard::to_extend(what, Vec::with_capacity(room(size)))
    };
    serialized().expect("plain data serializes")
}

/// A check for [`Cluster::submit`]: the answer is one value, whole and nothing behind it, that
/// `accepts` has no fault to find with. That is told the session it came from, too.
pub(crate) fn decoded<O: DeserializeOwned>(
    accepts: impl Fn(&str, &O) -> Result<(), String>,
) -> impl FnMut(&str, &[u8]) -> Result<O, String> {
    move |session, answer| {
        let (output, rest) = postcard::take_from_bytes(answer).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err("there is more than one answer".to_owned());
        }
        accepts(session, &output).map(|()| output)
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
        let own = |_| Place::Own { names: options.shared_fs, temporary: options.temporary.clone() };
        return Ok(((0..ctx.workers.get()).map(own).collect(), Some(Token::random()?)));
    }
    let token = options.token_file.as_deref().map(Token::read).transpose()?;
    Ok((options.workers.iter().cloned().map(Place::At).collect(), token))
}

/// Who is at work, and whether the job can go on. Clones are the same roster.
#[derive(Clone)]
struct Roster(Arc<State>);

struct State {
    /// The places of the sessions there are.
    present: watch::Sender<HashSet<String>>,
    /// How many pings each worker has answered, by its address.
    beats: watch::Sender<HashMap<String, u64>>,
    /// How many workers have not answered wrongly.
    trusted: AtomicUsize,
    /// What became of the worker that was lost last.
    last: Mutex<String>,
    error: Mutex<Option<Error>>,
    queue: Queue,
    stop: Stop,
}

impl Roster {
    fn new(queue: &Queue, stop: &Stop) -> Self {
        let (present, _) = watch::channel(HashSet::new());
        let last = Mutex::new("none could be started".to_owned());
        Self(Arc::new(State {
            present,
            beats: watch::Sender::default(),
            trusted: AtomicUsize::default(),
            last,
            error: Mutex::default(),
            queue: queue.clone(),
            stop: stop.clone(),
        }))
    }

    /// A worker is at work in a session, as long as this is kept.
    fn entered(&self, place: String) -> Present {
        self.0.present.send_modify(|places| {
            places.insert(place.clone());
        });
        Present { roster: self.clone(), place }
    }

    /// A session has ended, or could not be begun.
    fn left(&self, who: &str, lost: Lost) {
        match lost {
            Lost::Gone(why) => {
                *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = format!("{who}: {why}");
            }
            Lost::Distrusted(why) => {
                let why = format!("{}: answered wrongly: {why}", printable(who));
                *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = why.clone();
                if self.0.trusted.fetch_sub(1, Ordering::Relaxed) == 1 {
                    self.fail(Error::worker("no worker left", why));
                }
            }
            // Not a failure to live with but a mistake of whoever configured it: say so at once.
            Lost::Refused(why) => self.fail(Error::worker(who, why)),
        }
    }

    /// The worker at this address has answered a ping.
    fn heard(&self, address: &str) {
        self.0.beats.send_modify(|beats| match beats.get_mut(address) {
            Some(count) => *count += 1,
            None => drop(beats.insert(address.to_owned(), 1)),
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
        self.roster.0.present.send_modify(|places| {
            places.remove(&self.place);
        });
    }
}

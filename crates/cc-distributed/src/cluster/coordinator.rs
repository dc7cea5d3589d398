//! A cluster as its coordinator has it: how it is started and ended, and how tasks are submitted.

use std::{ops::ControlFlow, time::Duration};

use cc_workloads::{Ctx, Error, Result, printable::printable, stop::OnRequest};
use serde::de::DeserializeOwned;
use tokio::{task::JoinSet, time::timeout};

use super::{
    codec::VERSION,
    command::{self, Options},
    link::Link,
    local::WorkerSpec,
    member::{Member, Place},
    queue::{self, Attempts, Kept, Lane, Outcome, Promise, Queue},
    roster::Roster,
    runtime::RuntimeThread,
    token::Token,
    wire::{PAYLOAD, pb::Hello},
};

/// The time there is to end worker processes; more than that, and the machine has other trouble.
const DRAIN: Duration = Duration::from_secs(1);

/// Without any worker for so many times the time of suspicion, the run gives up.
const PATIENCE: u32 = 5;

/// The workers of one job. Dropping it ends them, or its sessions with them.
pub struct Cluster {
    queue: Queue,
    roster: Roster,
    members: JoinSet<()>,
    runtime: RuntimeThread,
    _on_stop: Option<OnRequest>,
}

impl Cluster {
    /// Starts the cluster that the command line asks for: the workers that it names, or
    /// `ctx.workers` processes of its own. It does not wait for them: tasks may be submitted at
    /// once.
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

    /// Starts a cluster whose workers keep something, and returns the ways to them. Each is told
    /// its job, which is made of its number and of how many there are. A stop does not end it: the
    /// caller closes it when nothing is to be asked any more.
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
        self.roster.add_worker();
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

    /// Whether the session at this [place](super::location::place) goes on, as far as is known
    /// here.
    pub(crate) fn has(&self, place: &str) -> bool {
        self.roster.has(place)
    }

    /// Whether the session at this place goes on, as its worker confirms from now on: one that
    /// another could not fetch from may have died without a sign. It is pinged at once, so this
    /// takes no longer than it takes to suspect a worker.
    pub(crate) async fn is_alive(&self, place: &str) -> bool {
        self.roster.is_alive(place).await
    }

    /// Whether a worker is at work that may do a task after these attempts.
    pub(crate) fn has_another(&self, attempts: &Attempts) -> bool {
        self.roster.has_another(attempts)
    }

    /// Ends the job for this reason, unless it has ended for another.
    pub(crate) fn fail<T>(&self, why: Error) -> ControlFlow<(), T> {
        self.roster.fail(why);
        ControlFlow::Break(())
    }

    /// Ends the job since this task or worker has failed. The reason may be a worker's words.
    pub(crate) fn fail_with<T>(&self, who: impl Into<String>, why: &str) -> ControlFlow<(), T> {
        self.fail(Error::worker(who, printable(why)))
    }

    /// What was to be had. If it was not, the job ends.
    pub(crate) fn or_fail<T>(&self, had: Result<T>) -> ControlFlow<(), T> {
        had.map_or_else(|why| self.fail(why), ControlFlow::Continue)
    }

    /// Ends the job, and returns why it had to end, if it had to.
    pub fn close(self) -> Result<()> {
        let roster = self.roster.clone();
        drop(self);
        roster.take_error().map_or(Ok(()), Err)
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

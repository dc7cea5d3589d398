//! A cluster, as its coordinator sees it: how it is started and ended, and how tasks are submitted.

use std::{ops::ControlFlow, time::Duration};

use cc_workloads::{Ctx, Error, Result, printable::printable, stop::OnRequest};
use serde::de::DeserializeOwned;
use tokio::{task::JoinSet, time::timeout};

use super::{
    codec::VERSION,
    command::{self, Options},
    link::Link,
    local::WorkerSpec,
    member::{Member, WorkerSource},
    queue::{self, Attempts, Completion, Lane, Outcome, Pending, Queue},
    roster::Roster,
    runtime::RuntimeThread,
    token::Token,
    wire::{PAYLOAD, pb::Hello},
};

/// Maximum time to wait for the end of killed worker processes. A process that takes longer is
/// stuck in the kernel, and waiting does not help.
const DRAIN: Duration = Duration::from_secs(1);

/// Multiple of `suspect_after` after which a run without any worker gives up.
const GIVE_UP_AFTER: u32 = 5;

/// The workers of one job. Dropping it ends the sessions, and the worker processes of the run.
pub struct Cluster {
    queue: Queue,
    roster: Roster,
    members: JoinSet<()>,
    runtime: RuntimeThread,
    _on_stop: Option<OnRequest>,
}

impl Cluster {
    /// Starts the cluster that the command line asks for: with the workers that it names, or with
    /// `ctx.workers` processes. Does not wait for them; tasks may be submitted at once.
    pub fn start(workload: &str, job: Vec<u8>, options: &Options, ctx: &Ctx) -> Result<Self> {
        let mut cluster = Self::new(ctx)?;
        let (sources, token) = worker_sources(ctx, options)?;
        let hello = hello(workload, job);
        for source in sources {
            cluster.add(source, &token, hello.clone(), None, options);
        }
        let ticks = tick(cluster.queue.clone(), options.suspect_after);
        cluster.members.spawn_on(ticks, cluster.runtime.handle());
        let queue = cluster.queue.clone();
        cluster._on_stop = Some(ctx.stop.on_request(move || queue.close()));
        Ok(cluster)
    }

    /// Starts a cluster of stateful workers, and returns a link to each. `job` makes a worker's
    /// job, of its number and of how many there are. A stop does not end this cluster: the caller
    /// closes it when it needs no more answers.
    ///
    /// A silent worker is [suspected](Link::is_up) first, and lost with its state only after
    /// `lose_after`. None: the state can be made again, so a suspected worker is lost at once.
    pub fn start_stateful(
        workload: &str,
        job: impl Fn(usize, usize) -> Vec<u8>,
        lose_after: Option<Duration>,
        options: &Options,
        ctx: &Ctx,
    ) -> Result<(Self, Vec<Link>)> {
        let mut cluster = Self::new(ctx)?;
        let (sources, token) = worker_sources(ctx, options)?;
        let links: Vec<_> = sources.iter().map(|_| Link::new()).collect();
        for (n, (source, link)) in sources.into_iter().zip(&links).enumerate() {
            let hello = hello(workload, job(n, links.len()));
            cluster.add(source, &token, hello, Some((link.clone(), lose_after)), options);
        }
        Ok((cluster, links))
    }

    fn new(ctx: &Ctx) -> Result<Self> {
        let queue = Queue::default();
        let roster = Roster::new(&queue, &ctx.stop);
        let runtime = RuntimeThread::start("cluster")?;
        Ok(Self { queue, roster, members: JoinSet::new(), runtime, _on_stop: None })
    }

    /// Adds a worker. With the first one, starts the watch over all of them.
    fn add(
        &mut self,
        source: WorkerSource,
        token: &Option<Token>,
        hello: Hello,
        link: Option<(Link, Option<Duration>)>,
        options: &Options,
    ) {
        let (runtime, suspect_after) = (self.runtime.handle(), options.suspect_after);
        if self.members.is_empty() {
            self.members.spawn_on(self.roster.clone().watch(suspect_after * GIVE_UP_AFTER), runtime);
        }
        self.roster.add_worker();
        let (token, queue, roster) = (token.clone(), self.queue.clone(), self.roster.clone());
        let (link, lose_after) = link.map_or((None, None), |(link, after)| (Some(link), after));
        let member = Member { source, token, hello, queue, link, roster, suspect_after, lose_after };
        self.members.spawn_on(member.run(), runtime);
    }

    /// Runs a future of the job on the calling thread. The tasks that it spawns, and its timers and
    /// sockets, are driven by the thread that has the connections to the workers.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.handle().block_on(future)
    }

    /// Queues a task. `check` gets the location of the session that has answered
    /// (`ADDRESS/SESSION`), and the answer; only what it returns is an output. A worker whose
    /// answer it refuses gets no more tasks.
    #[must_use]
    pub fn submit<O: Send + 'static>(
        &self,
        task: Vec<u8>,
        lane: Lane,
        check: impl FnMut(&str, &[u8]) -> Result<O, String> + Send + 'static,
    ) -> Pending<O> {
        self.resubmit(task, lane, check, &Attempts::default())
    }

    /// Queues a task that was submitted before, perhaps encoded differently.
    pub(crate) fn resubmit<O: Send + 'static>(
        &self,
        task: Vec<u8>,
        lane: Lane,
        check: impl FnMut(&str, &[u8]) -> Result<O, String> + Send + 'static,
        attempts: &Attempts,
    ) -> Pending<O> {
        if task.len() as u64 > PAYLOAD {
            return queue::completed(Outcome::Failed {
                task: task.into(),
                why: "too large to send to a worker: more than 1 GiB".to_owned(),
            });
        }
        self.queue.resubmit(task.into(), lane, check, attempts.clone())
    }

    /// The output of a task that is complete, or what `failed` makes of its failure. `Break` if the
    /// job has ended before.
    pub fn output<T: DeserializeOwned, O>(
        &self,
        completion: Completion<O>,
        failed: impl FnOnce(&T, &str) -> O,
    ) -> ControlFlow<(), O> {
        let Ok(outcome) = completion else { return ControlFlow::Break(()) };
        let (task, why) = match outcome {
            Outcome::Done(output) => return ControlFlow::Continue(output),
            Outcome::Failed { task, why } => (task, why),
        };
        let task = postcard::from_bytes(&task).map_err(|error| Error::worker("task", error));
        self.or_fail(task.map(|task| failed(&task, &why)))
    }

    /// Whether the session at this [location](super::location) goes on, as far as is known here.
    pub(crate) fn has(&self, location: &str) -> bool {
        self.roster.has(location)
    }

    /// Whether the session at this location goes on, confirmed by an answer to a later ping. A
    /// worker that another could not fetch from may have died without a sign. All workers are
    /// pinged at once, so this takes no longer than to suspect a worker.
    pub(crate) async fn is_alive(&self, location: &str) -> bool {
        self.roster.is_alive(location).await
    }

    /// Whether there is a worker that a task does not avoid after these attempts.
    pub(crate) fn has_another(&self, attempts: &Attempts) -> bool {
        self.roster.has_another(attempts)
    }

    /// Ends the job with this error, unless it has ended with another one.
    pub(crate) fn fail<T>(&self, error: Error) -> ControlFlow<(), T> {
        self.roster.fail(error);
        ControlFlow::Break(())
    }

    /// Ends the job because of this task or worker. The reason may be a worker's text, so it is
    /// made printable.
    pub(crate) fn fail_with<T>(&self, subject: impl Into<String>, why: &str) -> ControlFlow<(), T> {
        self.fail(Error::worker(subject, printable(why)))
    }

    /// Unwraps a result. An error ends the job.
    pub(crate) fn or_fail<T>(&self, result: Result<T>) -> ControlFlow<(), T> {
        result.map_or_else(|error| self.fail(error), ControlFlow::Continue)
    }

    /// Ends the job, and returns its error, if it had one.
    pub fn close(self) -> Result<()> {
        let roster = self.roster.clone();
        drop(self);
        roster.take_error().map_or(Ok(()), Err)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Members end when the queue is closed. They are awaited, because they kill their
        // processes.
        self.queue.close();
        let ended = async { while self.members.join_next().await.is_some() {} };
        let _ = self.runtime.handle().block_on(async { timeout(DRAIN, ended).await });
    }
}

/// Ticks the queue, until it is closed.
async fn tick(queue: Queue, period: Duration) {
    while timeout(period, queue.closed()).await.is_err() {
        queue.tick();
    }
}

/// The part of the hello that is the same in every session.
fn hello(workload: &str, job: Vec<u8>) -> Hello {
    let (version, workload) = (VERSION.to_owned(), workload.to_owned());
    Hello { version, workload, job: job.into(), ..Hello::default() }
}

/// Where the workers come from, and the token for them.
fn worker_sources(ctx: &Ctx, options: &Options) -> Result<(Vec<WorkerSource>, Option<Token>)> {
    if options.workers.is_empty() {
        let local = |_| {
            WorkerSource::Local(WorkerSpec {
                program: options.program.clone(),
                shared_fs: options.shared_fs,
                temporary: options.temporary.clone(),
            })
        };
        return Ok(((0..ctx.workers.get()).map(local).collect(), Some(Token::random()?)));
    }
    let token = match &options.token_file {
        Some(file) => Some(Token::read(file)?),
        None => {
            command::check_are_local(&options.workers)?;
            Token::of_user_if_any()?
        }
    };
    Ok((options.workers.iter().cloned().map(WorkerSource::Standing).collect(), token))
}

#[cfg(test)]
mod tests {
    use std::{fs, num::NonZeroUsize, os::unix::fs::PermissionsExt, time::Instant};

    use super::*;

    /// Starts a cluster with this program as the workers. Returns its error, and how long it took.
    fn ended(program: &std::path::Path) -> (String, Duration) {
        let ctx = Ctx::new(NonZeroUsize::new(2).unwrap());
        let options = Options { program: Some(program.to_owned()), ..Options::new(&ctx.options) };
        let since = Instant::now();
        let cluster = Cluster::start("grep", Vec::new(), &options, &ctx).unwrap();
        let pending = cluster.submit(b"task".to_vec(), Lane::Usual, |_, _| Ok(()));
        assert!(pending.blocking_recv().is_err(), "no worker has answered");
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
        assert_eq!(why, "no worker can be started: the process ended before it sent its address");
        assert!(took < Duration::from_secs(8), "{took:?}");
    }
}

//! The pool and grep under random schedules, with threads in place of processes.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use cc_schedules::{Case, Cause, Ctx, bounded, grep as spec, run};
use shuttle::thread;

use pool::{Pending, Pool};
use worker::script;

extern crate cc_schedules as cc_workloads;
extern crate cc_schedules as crossbeam_channel;
extern crate cc_schedules as std;

#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-procs/src/caught.rs"]
mod caught;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-procs/src/feed.rs"]
mod feed;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-procs/src/grep.rs"]
mod grep;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-procs/src/in_flight.rs"]
mod in_flight;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-procs/src/pool.rs"]
mod pool;

/// Number of schedules. Each mistake that was tried was found within half of them: a queue that
/// stays open on a stop, an owner that waits for one queue or while it has tasks, an output that is
/// lost, doubled or of another task, a task that counts as sent too early, a death that counts
/// against another task, a credit too many, a suspect with other tasks, and a thread that is not
/// joined.
const SCHEDULES: usize = 400;

fn main() -> ExitCode {
    let cases: &[Case] = &[
        ("pool::each_task_comes_out_once_whatever_dies_when", each_task_comes_out_once_whatever_dies_when),
        ("pool::what_is_ahead_is_bounded", what_is_ahead_is_bounded),
        ("pool::what_was_submitted_is_done_before_the_end", what_was_submitted_is_done_before_the_end),
        (
            "pool::every_pending_result_is_completed_whichever_worker_dies",
            every_pending_result_is_completed_whichever_worker_dies,
        ),
        ("pool::a_stop_ends_every_wait", a_stop_ends_every_wait),
        (
            "pool::workers_that_cannot_be_started_end_every_wait",
            workers_that_cannot_be_started_end_every_wait,
        ),
        ("grep::outputs_come_in_order_and_bounded", || {
            script().lives = 2;
            spec::outputs_come_in_order_and_bounded(grep::run, 2);
        }),
        ("grep::a_stop_ends_the_run", || {
            script().lives = 1;
            spec::a_stop_ends_the_run(grep::run);
        }),
        ("grep::a_stop_within_a_rest_ends_the_run", || {
            spec::a_stop_within_a_rest_ends_the_run(grep::run);
        }),
        ("grep::a_sink_that_has_enough_ends_the_run", || {
            spec::a_sink_that_has_enough_ends_the_run(grep::run);
        }),
        ("grep::a_panic_is_its_tasks_output", || {
            spec::a_panic_is_its_tasks_output(grep::run, "panicked: planned");
        }),
        ("grep::a_task_that_kills_its_workers_is_its_own_output", || {
            script().deadly = Some(worker::encode(&spec::DEADLY));
            spec::a_task_is_given_up(grep::run, "killed its worker three times");
        }),
        ("grep::a_panic_of_the_source_is_the_runs_error", || {
            spec::a_panic_of_the_source_is_the_runs_error(grep::run, "feed");
        }),
    ];
    run(cases, SCHEDULES)
}

/// The output of a task: its number, and whether it was done or given up.
type Output = (u32, bool);

fn start(ctx: &Ctx) -> Pool<u32, Output> {
    let failed = |task: &u32, _: &str| {
        assert_eq!(script().deaths_alone(&worker::encode(task)), in_flight::MAX_DEATHS);
        (*task, false)
    };
    Pool::start(ctx, "numbers", &(), failed).expect("threads can be had")
}

/// The expected output of a task.
fn output(task: u32) -> Output {
    let is_deadly = script().deadly == Some(worker::encode(&task));
    (task, !is_deadly)
}

/// Each output arrives once, although workers die. Only a task that three workers ran alone when
/// they died is given up. In the end no worker is left.
fn each_task_comes_out_once_whatever_dies_when() {
    const TASKS: u32 = 4;
    script().lives = 2;
    script().deadly = Some(worker::encode(&2u32));
    let ctx = Ctx::with_window(2, 1);
    let pool = Arc::new(start(&ctx));
    let (done, outputs) = bounded(1);
    let feed = {
        let pool = pool.clone();
        thread::spawn(move || (0..TASKS).for_each(|task| pool.submit_to(&done, task).expect("no stop")))
    };
    let mut arrived: Vec<Output> = outputs.iter().collect();
    arrived.sort_unstable();
    assert_eq!(arrived.len(), TASKS as usize, "{arrived:?}");
    for (task, arrived) in (0..).zip(arrived) {
        // No other task is given up: that takes three deaths, and only two workers may die at
        // random.
        assert_eq!(arrived, output(task));
    }
    feed.join().expect("it has not failed");
    Arc::into_inner(pool).expect("the feed has ended").finish().expect("no worker was refused");
    assert_eq!(script().running, 0);
}

/// The number of tasks ahead of the consumer is limited by the queue, the worker's credit and the
/// channel of the outputs.
fn what_is_ahead_is_bounded() {
    const ROOM: usize = 2 + in_flight::IN_FLIGHT + 1;
    let ctx = Ctx::with_window(1, 1);
    let pool = Arc::new(start(&ctx));
    let (done, outputs) = bounded(1);
    let submitted = Arc::new(AtomicUsize::new(0));
    let feed = {
        let (pool, submitted) = (pool.clone(), submitted.clone());
        thread::spawn(move || {
            for task in 0..8 {
                pool.submit_to(&done, task).expect("no stop");
                submitted.fetch_add(1, SeqCst);
            }
        })
    };
    for received in 0.. {
        assert!(submitted.load(SeqCst) <= received + ROOM);
        if outputs.recv().is_err() {
            break;
        }
    }
    feed.join().expect("it has not failed");
}

/// A pool ends after all submitted tasks, in either queue.
fn what_was_submitted_is_done_before_the_end() {
    script().lives = 1;
    let pool = start(&Ctx::with_window(2, 2));
    let pending = [0, 1, 2].map(|task| pool.submit(task).expect("no stop"));
    let urgent = [10, 11].map(|task| pool.submit_urgent(task).expect("no stop"));
    pool.finish().expect("no worker was refused");
    for (pending, task) in pending.into_iter().chain(urgent).zip([0, 1, 2, 10, 11]) {
        assert_eq!(pending.recv(), Ok(output(task)));
    }
}

/// The queue of pending results as `feed` and `gather` use it, with an urgent task in between.
fn every_pending_result_is_completed_whichever_worker_dies() {
    script().lives = 2;
    let ctx = Ctx::with_window(2, 1);
    let pool = Arc::new(start(&ctx));
    let (pending_tx, pending_rx) = bounded(1);
    let feed = {
        let pool = pool.clone();
        thread::spawn(move || {
            for task in 0..3 {
                let pending: Pending<Output> = pool.submit(task).expect("no stop");
                pending_tx.send(pending).expect("it is gathered");
            }
        })
    };
    for (task, pending) in (0..).zip(&pending_rx) {
        assert_eq!(pending.recv(), Ok(output(task)));
        let urgent = pool.submit_urgent(10 + task).expect("no stop");
        assert_eq!(urgent.recv(), Ok(output(10 + task)));
        assert!(urgent.recv().is_err(), "it is completed once");
    }
    feed.join().expect("it has not failed");
    Arc::into_inner(pool).expect("the feed has ended").finish().expect("no worker was refused");
}

/// A stop at any moment ends each wait: to submit, for an output, and for a worker that does not
/// answer. A pending result is completed with its own output or abandoned.
fn a_stop_ends_every_wait() {
    script().lives = 1;
    script().hangs = Some(worker::encode(&2u32));
    let ctx = Ctx::with_window(2, 1);
    let pool = Arc::new(start(&ctx));
    let stops = {
        let stop = ctx.stop.clone();
        thread::spawn(move || stop.request(Cause::Test))
    };
    let (pending_tx, pending_rx) = bounded(1);
    let feed = {
        let pool = pool.clone();
        thread::spawn(move || {
            for task in 0..6 {
                let Some(pending) = pool.submit(task) else { return };
                pending_tx.send(pending).expect("it is gathered");
            }
        })
    };
    for (task, pending) in (0..).zip(&pending_rx) {
        if let Ok(completed) = pending.recv() {
            assert_eq!(completed, output(task));
        }
    }
    [feed, stops].into_iter().for_each(|thread| thread.join().expect("it has not failed"));
    Arc::into_inner(pool).expect("the feed has ended").finish().expect("a stop is no error");
    assert_eq!(script().running, 0);
}

/// If workers cannot be started, all pending results are abandoned, and `finish` returns the error.
fn workers_that_cannot_be_started_end_every_wait() {
    script().starts = Some(1);
    script().lives = 1;
    let ctx = Ctx::with_window(2, 1);
    let pool = Arc::new(start(&ctx));
    let (pending_tx, pending_rx) = bounded(1);
    let feed = {
        let pool = pool.clone();
        thread::spawn(move || {
            for task in 0..4 {
                let Some(pending) = pool.submit(task) else { return };
                pending_tx.send(pending).expect("it is gathered");
            }
        })
    };
    let completed = pending_rx.iter().filter(|pending| pending.recv().is_ok()).count();
    feed.join().expect("it has not failed");
    let ended = Arc::into_inner(pool).expect("the feed has ended").finish();
    assert!(ended.is_err() || completed == 4, "{completed} results were completed, and nothing was wrong");
    assert_eq!(script().running, 0);
}

/// Threads in place of worker processes. They die at random, or as the script says.
mod worker {
    use std::{
        collections::{BTreeMap, BTreeSet, VecDeque},
        convert::Infallible,
        sync::{Arc, Mutex, MutexGuard},
    };

    use cc_schedules::{
        Error, Receiver, Result, Sender, Stop, TrySendError, bounded, scheduling_point, select_biased,
        stop::OnRequest,
    };
    use serde::{Serialize, de::DeserializeOwned};
    use shuttle::{
        rand::{Rng, thread_rng},
        thread,
    };

    use crate::in_flight::IN_FLIGHT;

    /// An encoded task or output.
    type Bytes = Vec<u8>;

    /// The function that does a worker's tasks.
    type Work = Box<dyn FnMut(&[u8]) -> Bytes + Send>;

    pub(crate) fn encode(item: &impl Serialize) -> Bytes {
        postcard::to_stdvec(item).expect("plain data serializes")
    }

    /// The plan for the workers of a schedule, and a record of their deaths.
    #[derive(Default)]
    pub(crate) struct Script {
        /// How many workers may still die at random.
        pub(crate) lives: u32,
        /// A task that kills each worker that does it.
        pub(crate) deadly: Option<Bytes>,
        /// A task that is never answered.
        pub(crate) hangs: Option<Bytes>,
        /// How many workers can still be started, if there is a limit.
        pub(crate) starts: Option<u32>,
        /// The number of workers that have not ended.
        pub(crate) running: u32,
        /// For each task, the number of workers that died while they had only this task.
        alone: BTreeMap<Bytes, u32>,
        /// Tasks in flight when a worker died, until they are done.
        suspects: BTreeSet<Bytes>,
    }

    impl Script {
        pub(crate) fn deaths_alone(&self, task: &Bytes) -> u32 {
            self.alone.get(task).copied().unwrap_or_default()
        }

        /// Decides whether a worker dies now.
        fn kills(&mut self) -> bool {
            let kills = self.lives > 0 && thread_rng().gen_bool(0.3);
            self.lives -= u32::from(kills);
            kills
        }
    }

    shuttle::lazy_static! {
        static ref SCRIPT: Mutex<Script> = Mutex::new(Script::default());
    }

    pub(crate) fn script() -> MutexGuard<'static, Script> {
        SCRIPT.lock().expect("a test that fails ends")
    }

    /// Does nothing: workers are threads here, so no process was started as a worker.
    pub(crate) fn enter<W>(_: &str, _: W) {}

    /// How to start a worker.
    pub(crate) struct WorkerSpec {
        name: &'static str,
        setup: Bytes,
    }

    impl WorkerSpec {
        pub(crate) fn new(name: &'static str, setup: &impl Serialize) -> Result<Self> {
            Ok(Self { name, setup: encode(setup) })
        }

        fn work(&self) -> Work {
            const ITS: &str = "the bytes are what was sent";
            if self.name == "numbers" {
                return Box::new(|task| encode(&(postcard::from_bytes::<u32>(task).expect(ITS), true)));
            }
            let mut work = crate::grep::work(&postcard::from_bytes(&self.setup).expect(ITS));
            Box::new(move |task| encode(&work(postcard::from_bytes(task).expect(ITS))))
        }
    }

    /// The worker is dead.
    pub(crate) struct Died;

    /// The owner's side of a worker.
    pub(crate) struct Worker<O> {
        thread: Option<thread::JoinHandle<()>>,
        kill: Arc<Mutex<Option<Sender<Infallible>>>>,
        tasks: Option<Sender<Bytes>>,
        replies: Receiver<Bytes>,
        /// The tasks that it was given and has not answered.
        given: Mutex<VecDeque<Bytes>>,
        _on_stop: OnRequest,
        output: fn(&[u8]) -> O,
    }

    impl<O: DeserializeOwned> Worker<O> {
        pub(crate) fn start(spec: &WorkerSpec, stop: &Stop) -> Result<Self> {
            if let Some(starts) = &mut script().starts {
                *starts = starts.checked_sub(1).ok_or_else(|| Error::worker("worker process", "planned"))?;
            }
            let (tasks, taken) = bounded(IN_FLIGHT);
            let (sent, replies) = bounded(IN_FLIGHT);
            let (alive, killed) = bounded(0);
            let work = spec.work();
            script().running += 1;
            let thread = thread::spawn(move || {
                serve(&taken, &sent, &killed, work);
                script().running -= 1;
            });
            let kill = Arc::new(Mutex::new(Some(alive)));
            let doomed = kill.clone();
            let on_stop = stop.on_request(move || {
                let alive = doomed.lock().expect("a test that fails ends").take();
                drop(alive);
            });
            Ok(Self {
                thread: Some(thread),
                kill,
                tasks: Some(tasks),
                replies,
                given: Mutex::default(),
                _on_stop: on_stop,
                output: |bytes| postcard::from_bytes(bytes).expect("the bytes are what was sent"),
            })
        }

        /// Sends a task. This may succeed although the worker is dead, as a pipe's buffer may take
        /// the task.
        pub(crate) fn send(&self, task: &impl Serialize) -> Result<(), Died> {
            let task = encode(task);
            let mut given = self.given.lock().expect("a test that fails ends");
            let has_suspect = given.iter().chain([&task]).any(|task| script().suspects.contains(task));
            assert!(!has_suspect || given.is_empty(), "a suspect runs alone");
            let sent = self.tasks.as_ref().expect("it is not dropped").try_send(task.clone());
            match sent {
                Err(TrySendError::Full(_)) => panic!("it was given more than its credit"),
                Err(TrySendError::Disconnected(_)) if thread_rng().gen_bool(0.5) => {
                    Self::died(&given);
                    return Err(Died);
                }
                _ => {}
            }
            given.push_back(task);
            assert!(given.len() <= IN_FLIGHT);
            Ok(())
        }

        pub(crate) fn output(&self) -> Result<O, Died> {
            let output = self.replies.recv();
            let mut given = self.given.lock().expect("a test that fails ends");
            let Ok(output) = output else {
                Self::died(&given);
                return Err(Died);
            };
            let task = given.pop_front().expect("it was given a task");
            script().suspects.remove(&task);
            Ok((self.output)(&output))
        }

        /// Records the tasks that are lost with the worker.
        fn died(given: &VecDeque<Bytes>) {
            let mut script = script();
            script.suspects.extend(given.iter().cloned());
            if given.len() == 1 {
                *script.alone.entry(given[0].clone()).or_default() += 1;
            }
        }
    }

    /// Kills the worker and waits for it, as for a process.
    impl<O> Drop for Worker<O> {
        fn drop(&mut self) {
            drop(self.kill.lock().expect("a test that fails ends").take());
            drop(self.tasks.take());
            self.thread.take().expect("it is dropped once").join().expect("it has not failed");
        }
    }

    /// Does tasks until it is killed, or dies.
    fn serve(
        tasks: &Receiver<Bytes>,
        replies: &Sender<Bytes>,
        killed: &Receiver<Infallible>,
        mut work: impl FnMut(&[u8]) -> Bytes,
    ) {
        loop {
            let task = select_biased! {
                recv(killed) -> _ => None,
                recv(tasks) -> task => task.ok(),
            };
            let Some(task) = task else { return };
            if script().kills() || script().deadly.as_ref() == Some(&task) {
                return;
            }
            if script().hangs.as_ref() == Some(&task) {
                let _ = killed.recv();
                return;
            }
            let reply = work(&task);
            scheduling_point();
            // The channel has room for all tasks that the worker can have. So this fails only if
            // the owner has given the worker up.
            let _ = replies.try_send(reply);
            if script().kills() {
                return;
            }
        }
    }
}

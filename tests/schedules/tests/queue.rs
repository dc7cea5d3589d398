//! The cluster's queue under random schedules: workers that share it, and die at any moment.

use std::{collections::BTreeMap, process::ExitCode};

use cc_schedules::{
    Case, run,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    tokio_sync as sync,
};
use futures::FutureExt;
use prost::bytes::Bytes;
use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    thread,
};

use queue::{Credit, Id, Lane, Lease, Outcome, Promise, Queue, Seat};

extern crate cc_schedules as cc_workloads;
extern crate cc_schedules as std;
extern crate self as tokio;

#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-distributed/src/cluster/queue.rs"]
mod queue;

/// Each of the mistakes that were tried was found within a tenth of these: a look before the wait
/// has begun, a notification before the change or none, a credit that is not released, a lease that
/// stays in the queue, a suspect with others, and a close that forgets the tasks.
const SCHEDULES: usize = 2_000;

fn main() -> ExitCode {
    let cases: &[Case] = &[
        ("queue::a_task_wakes_a_seat_that_waits", a_task_wakes_a_seat_that_waits),
        ("queue::what_a_lost_worker_had_wakes_another", what_a_lost_worker_had_wakes_another),
        ("queue::an_answer_wakes_its_own_seat", an_answer_wakes_its_own_seat),
        ("queue::each_task_comes_out_once_whatever_dies_when", each_task_comes_out_once_whatever_dies_when),
        ("queue::a_liar_gets_no_more_and_its_tasks_are_done_elsewhere", a_liar_gets_no_more),
        ("queue::a_close_wakes_all_that_wait", a_close_wakes_all_that_wait),
    ];
    run(cases, SCHEDULES)
}

/// What the workers of a test have seen together.
#[derive(Default)]
struct Observed {
    /// The seats that hold a lease. A worker leaves it before it gives the lease back.
    holders: BTreeMap<Id, &'static str>,
    /// The workers that each task was lost with while it was alone.
    deaths: BTreeMap<Bytes, u32>,
    /// The tasks that were in flight when a worker was lost.
    suspects: Vec<Bytes>,
    /// How many workers may still be lost.
    lives: u32,
}

type Shared = Arc<Mutex<Observed>>;

fn observe(shared: &Shared) -> MutexGuard<'_, Observed> {
    shared.lock().expect("a test that fails ends")
}

/// A worker that has two tasks at most, answers the first of them, and may die.
struct Worker {
    seat: Seat,
    name: &'static str,
    held: Vec<Lease>,
    shared: Shared,
}

const CREDIT: Credit = Credit { tasks: 2, bytes: 100 };

impl Worker {
    fn join(queue: &Queue, name: &'static str, shared: &Shared) -> Self {
        let seat = queue.join(name, CREDIT);
        Self { seat, name, held: Vec::new(), shared: shared.clone() }
    }

    /// Takes a task, waiting for it only if there is nothing else to do. None at the end of the
    /// job.
    fn take(&mut self) -> Option<()> {
        let lease = if self.held.is_empty() {
            block_on(self.seat.lease())?
        } else {
            let Some(lease) = self.seat.lease().now_or_never() else { return Some(()) };
            lease?
        };
        let mut observed = observe(&self.shared);
        let other = observed.holders.insert(lease.id, self.name);
        assert_eq!(other, None, "{} has the lease already", lease.id);
        self.held.push(lease);
        assert!(self.held.len() <= CREDIT.tasks);
        let has_suspect = self.held.iter().any(|lease| observed.suspects.contains(&lease.task));
        assert!(!has_suspect || self.held.len() == 1, "a suspect runs alone");
        Some(())
    }

    fn answer(&mut self) {
        let lease = self.held.remove(0);
        observe(&self.shared).holders.remove(&lease.id);
        self.seat.done(lease.id, lease.task).expect("it is the answer to its task");
    }

    fn die(self) {
        let mut observed = observe(&self.shared);
        for lease in &self.held {
            observed.holders.remove(&lease.id);
            observed.suspects.push(lease.task.clone());
        }
        if let [lease] = &self.held[..] {
            *observed.deaths.entry(lease.task.clone()).or_default() += 1;
        }
    }

    /// Whether there is a life left, and it is lost now.
    fn is_doomed(&self) -> bool {
        let mut observed = observe(&self.shared);
        let is_doomed = observed.lives > 0 && thread_rng().gen_bool(0.4);
        observed.lives -= u32::from(is_doomed);
        is_doomed
    }
}

/// One worker after the other, until the job ends.
fn work(queue: &Queue, name: &'static str, shared: &Shared) {
    let mut worker = Worker::join(queue, name, shared);
    while worker.take().is_some() {
        if worker.is_doomed() {
            worker.die();
            worker = Worker::join(queue, name, shared);
        } else if !worker.held.is_empty() && thread_rng().gen_bool(0.5) {
            worker.answer();
        }
    }
}

/// Takes an answer that is the task itself, and counts it.
fn check(accepted: &Arc<AtomicUsize>) -> impl FnMut(&str, &[u8]) -> Result<Bytes, String> + use<> {
    let accepted = accepted.clone();
    move |_, answer| {
        accepted.fetch_add(1, Ordering::SeqCst);
        Ok(Bytes::copy_from_slice(answer))
    }
}

fn submit(queue: &Queue, task: &'static str) -> Promise<Bytes> {
    queue.submit(task.into(), Lane::Usual, check(&Arc::default()))
}

/// A seat that waits hears of a task, whenever it is submitted, and of the end.
fn a_task_wakes_a_seat_that_waits() {
    let queue = Queue::default();
    let worker = {
        let (queue, shared) = (queue.clone(), Shared::default());
        thread::spawn(move || work(&queue, "a:1/x", &shared))
    };
    for task in ["one", "two"] {
        assert_eq!(block_on(submit(&queue, task)), Ok(Outcome::Done(task.into())));
    }
    queue.close();
    worker.join().expect("it has not failed");
}

/// A worker is lost and not replaced, with a task or before it has one; another waits already.
fn what_a_lost_worker_had_wakes_another() {
    let (queue, shared) = (Queue::default(), Shared::default());
    let lost = {
        let (queue, shared) = (queue.clone(), shared.clone());
        thread::spawn(move || {
            let mut worker = Worker::join(&queue, "a:1/x", &shared);
            if worker.take().is_some() {
                worker.die();
            }
        })
    };
    let other = {
        let (queue, shared) = (queue.clone(), shared.clone());
        thread::spawn(move || work(&queue, "b:1/y", &shared))
    };
    assert_eq!(block_on(submit(&queue, "one")), Ok(Outcome::Done("one".into())));
    queue.close();
    [lost, other].into_iter().for_each(|worker| worker.join().expect("it has not failed"));
}

/// A seat waits for a lease while its answers are taken elsewhere, as a connection does it; its
/// credit is one task.
fn an_answer_wakes_its_own_seat() {
    let queue = Queue::default();
    let promises = ["one", "two", "three"].map(|task| submit(&queue, task));
    let seat = Arc::new(queue.join("a:1/x", Credit { tasks: 1, ..CREDIT }));
    let (sent, received) = cc_schedules::bounded(1);
    let hand_out = {
        let seat = seat.clone();
        thread::spawn(move || {
            while let Some(lease) = block_on(seat.lease()) {
                sent.try_send(lease).expect("what was sent before is done");
            }
        })
    };
    let take_in = thread::spawn(move || {
        for Lease { id, task } in &received {
            seat.done(id, task).expect("it is the answer to its task");
        }
    });
    for (promise, task) in promises.into_iter().zip(["one", "two", "three"]) {
        assert_eq!(block_on(promise), Ok(Outcome::Done(task.into())));
    }
    queue.close();
    [hand_out, take_in].into_iter().for_each(|thread| thread.join().expect("it has not failed"));
}

/// No lease is with two seats, no seat has more than its credit, a suspect runs alone, and each
/// promise is kept once: broken by nothing but three deaths that the task had to itself.
fn each_task_comes_out_once_whatever_dies_when() {
    const TASKS: [&str; 3] = ["one", "two", "three"];
    let queue = Queue::default();
    let shared = Arc::new(Mutex::new(Observed { lives: 5, ..Observed::default() }));
    let workers = ["a:1/x", "b:1/y"].map(|name| {
        let (queue, shared) = (queue.clone(), shared.clone());
        thread::spawn(move || work(&queue, name, &shared))
    });
    let accepted = TASKS.map(|_| Arc::default());
    let submit = |n: usize| queue.submit(TASKS[n].into(), Lane::Usual, check(&accepted[n]));
    for (n, promise) in (0..TASKS.len()).map(submit).enumerate().collect::<Vec<_>>() {
        let outcome = block_on(promise).expect("the queue is open");
        let task = Bytes::from(TASKS[n]);
        let deaths = observe(&shared).deaths.get(&task).copied().unwrap_or_default();
        match outcome {
            Outcome::Done(output) => assert_eq!(output, task),
            Outcome::Failed { task: failed, .. } => assert_eq!((failed, deaths), (task, 3)),
        }
        assert_eq!(accepted[n].load(Ordering::SeqCst), usize::from(deaths < 3));
    }
    queue.close();
    workers.into_iter().for_each(|worker| worker.join().expect("it has not failed"));
    assert!(observe(&shared).holders.is_empty());
}

/// A worker that has answered wrongly gets nothing more, and what it had wakes another, which does
/// it.
fn a_liar_gets_no_more() {
    let queue = Queue::default();
    let check = |_: &str, answer: &[u8]| {
        if answer == b"lie" { Err("a lie".to_owned()) } else { Ok(Bytes::copy_from_slice(answer)) }
    };
    let promises = ["one", "two"].map(|task| queue.submit(task.into(), Lane::Usual, check));
    let liar = {
        let queue = queue.clone();
        thread::spawn(move || {
            let seat = queue.join("a:1/x", CREDIT);
            let Some(lease) = block_on(seat.lease()) else { return };
            assert!(seat.done(lease.id, "lie".into()).is_err());
            assert_eq!(block_on(seat.lease()), None, "it is not trusted any more");
        })
    };
    let honest = {
        let (queue, shared) = (queue.clone(), Shared::default());
        thread::spawn(move || work(&queue, "b:1/y", &shared))
    };
    for (promise, task) in promises.into_iter().zip(["one", "two"]) {
        assert_eq!(block_on(promise), Ok(Outcome::Done(task.into())));
    }
    queue.close();
    [liar, honest].into_iter().for_each(|worker| worker.join().expect("it has not failed"));
}

/// A close at any moment ends the waits for a lease, for a promise and for the end. A promise is
/// kept or broken by then, and one that is given afterwards is broken.
fn a_close_wakes_all_that_wait() {
    let queue = Queue::default();
    let promises = ["one", "two"].map(|task| submit(&queue, task));
    let worker = {
        let (queue, shared) = (queue.clone(), Shared::default());
        thread::spawn(move || work(&queue, "a:1/x", &shared))
    };
    let end = {
        let queue = queue.clone();
        thread::spawn(move || block_on(queue.closed()))
    };
    let close = {
        let queue = queue.clone();
        thread::spawn(move || queue.close())
    };
    for (promise, task) in promises.into_iter().zip(["one", "two"]) {
        let kept = block_on(promise);
        assert!(kept.is_err() || kept == Ok(Outcome::Done(task.into())));
    }
    [worker, end, close].into_iter().for_each(|thread| thread.join().expect("it has not failed"));
    assert!(block_on(submit(&queue, "late")).is_err());
}

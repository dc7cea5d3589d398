//! The cluster's queue under random schedules: workers share it, and die at any moment.

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

use queue::{Consumer, Credit, Id, Lane, Lease, Outcome, Pending, Queue};

extern crate cc_schedules as cc_workloads;
extern crate cc_schedules as std;
extern crate self as tokio;

#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-distributed/src/cluster/queue.rs"]
mod queue;

/// Number of schedules. Each mistake that was tried was found within a tenth of them: a check
/// before the wait has begun, a notification before the change or none, a credit that is not
/// released, a lease that stays in the queue, a suspect with other tasks, and a close that forgets
/// the tasks.
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

/// What all workers of a test have recorded.
#[derive(Default)]
struct Record {
    /// The worker that holds each lease. It removes its entry before it returns the lease.
    holders: BTreeMap<Id, &'static str>,
    /// For each task, the number of workers that were lost while they had only this task.
    deaths: BTreeMap<Bytes, u32>,
    /// The tasks that were in flight when a worker was lost.
    suspects: Vec<Bytes>,
    /// How many workers may still be lost.
    lives: u32,
}

type Shared = Arc<Mutex<Record>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Record> {
    shared.lock().expect("a test that fails ends")
}

/// A worker that has at most two tasks, answers the first of them, and may die.
struct Worker {
    consumer: Consumer,
    name: &'static str,
    held: Vec<Lease>,
    shared: Shared,
}

const CREDIT: Credit = Credit { tasks: 2, bytes: 100 };

impl Worker {
    fn join(queue: &Queue, name: &'static str, shared: &Shared) -> Self {
        let consumer = queue.join(name, CREDIT);
        Self { consumer, name, held: Vec::new(), shared: shared.clone() }
    }

    /// Takes a task, and waits for one only if it has none. `None` at the end of the job.
    fn take(&mut self) -> Option<()> {
        let lease = if self.held.is_empty() {
            block_on(self.consumer.lease())?
        } else {
            let Some(lease) = self.consumer.lease().now_or_never() else { return Some(()) };
            lease?
        };
        let mut record = lock(&self.shared);
        let other = record.holders.insert(lease.id, self.name);
        assert_eq!(other, None, "{} has the lease already", lease.id);
        self.held.push(lease);
        assert!(self.held.len() <= CREDIT.tasks);
        let has_suspect = self.held.iter().any(|lease| record.suspects.contains(&lease.task));
        assert!(!has_suspect || self.held.len() == 1, "a suspect runs alone");
        Some(())
    }

    fn answer(&mut self) {
        let lease = self.held.remove(0);
        lock(&self.shared).holders.remove(&lease.id);
        self.consumer.done(lease.id, lease.task).expect("it is the answer to its task");
    }

    fn die(self) {
        let mut record = lock(&self.shared);
        for lease in &self.held {
            record.holders.remove(&lease.id);
            record.suspects.push(lease.task.clone());
        }
        if let [lease] = &self.held[..] {
            *record.deaths.entry(lease.task.clone()).or_default() += 1;
        }
    }

    /// Decides whether the worker dies now.
    fn is_doomed(&self) -> bool {
        let mut record = lock(&self.shared);
        let is_doomed = record.lives > 0 && thread_rng().gen_bool(0.4);
        record.lives -= u32::from(is_doomed);
        is_doomed
    }
}

/// Runs workers one after the other, until the job ends.
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

/// Accepts any answer as the output, and counts the answers.
fn check(accepted: &Arc<AtomicUsize>) -> impl FnMut(&str, &[u8]) -> Result<Bytes, String> + use<> {
    let accepted = accepted.clone();
    move |_, answer| {
        accepted.fetch_add(1, Ordering::SeqCst);
        Ok(Bytes::copy_from_slice(answer))
    }
}

fn submit(queue: &Queue, task: &'static str) -> Pending<Bytes> {
    queue.submit(task.into(), Lane::Usual, check(&Arc::default()))
}

/// A waiting consumer wakes for each task, whenever it is submitted, and for the end.
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

/// A worker is lost and not replaced, with a task or before it has one, while another is already
/// waiting.
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

/// A consumer waits for a lease while another thread takes its answers, as a connection does. Its
/// credit is one task.
fn an_answer_wakes_its_own_seat() {
    let queue = Queue::default();
    let results = ["one", "two", "three"].map(|task| submit(&queue, task));
    let consumer = Arc::new(queue.join("a:1/x", Credit { tasks: 1, ..CREDIT }));
    let (sent, received) = cc_schedules::bounded(1);
    let hand_out = {
        let consumer = consumer.clone();
        thread::spawn(move || {
            while let Some(lease) = block_on(consumer.lease()) {
                sent.try_send(lease).expect("what was sent before is done");
            }
        })
    };
    let take_in = thread::spawn(move || {
        for Lease { id, task } in &received {
            consumer.done(id, task).expect("it is the answer to its task");
        }
    });
    for (result, task) in results.into_iter().zip(["one", "two", "three"]) {
        assert_eq!(block_on(result), Ok(Outcome::Done(task.into())));
    }
    queue.close();
    [hand_out, take_in].into_iter().for_each(|thread| thread.join().expect("it has not failed"));
}

/// No lease is at two consumers, no consumer has more than its credit, and a suspect runs alone.
/// Each pending result is completed once; a task fails only after three deaths while it ran alone.
fn each_task_comes_out_once_whatever_dies_when() {
    const TASKS: [&str; 3] = ["one", "two", "three"];
    let queue = Queue::default();
    let shared = Arc::new(Mutex::new(Record { lives: 5, ..Record::default() }));
    let workers = ["a:1/x", "b:1/y"].map(|name| {
        let (queue, shared) = (queue.clone(), shared.clone());
        thread::spawn(move || work(&queue, name, &shared))
    });
    let accepted = TASKS.map(|_| Arc::default());
    let submit = |n: usize| queue.submit(TASKS[n].into(), Lane::Usual, check(&accepted[n]));
    for (n, result) in (0..TASKS.len()).map(submit).enumerate().collect::<Vec<_>>() {
        let outcome = block_on(result).expect("the queue is open");
        let task = Bytes::from(TASKS[n]);
        let deaths = lock(&shared).deaths.get(&task).copied().unwrap_or_default();
        match outcome {
            Outcome::Done(output) => assert_eq!(output, task),
            Outcome::Failed { task: failed, .. } => assert_eq!((failed, deaths), (task, 3)),
        }
        assert_eq!(accepted[n].load(Ordering::SeqCst), usize::from(deaths < 3));
    }
    queue.close();
    workers.into_iter().for_each(|worker| worker.join().expect("it has not failed"));
    assert!(lock(&shared).holders.is_empty());
}

/// A worker that has sent a wrong answer gets no more tasks. Its tasks wake another worker, which
/// does them.
fn a_liar_gets_no_more() {
    let queue = Queue::default();
    let check = |_: &str, answer: &[u8]| {
        if answer == b"lie" { Err("a lie".to_owned()) } else { Ok(Bytes::copy_from_slice(answer)) }
    };
    let results = ["one", "two"].map(|task| queue.submit(task.into(), Lane::Usual, check));
    let liar = {
        let queue = queue.clone();
        thread::spawn(move || {
            let consumer = queue.join("a:1/x", CREDIT);
            let Some(lease) = block_on(consumer.lease()) else { return };
            assert!(consumer.done(lease.id, "lie".into()).is_err());
            assert_eq!(block_on(consumer.lease()), None, "it is not trusted any more");
        })
    };
    let honest = {
        let (queue, shared) = (queue.clone(), Shared::default());
        thread::spawn(move || work(&queue, "b:1/y", &shared))
    };
    for (result, task) in results.into_iter().zip(["one", "two"]) {
        assert_eq!(block_on(result), Ok(Outcome::Done(task.into())));
    }
    queue.close();
    [liar, honest].into_iter().for_each(|worker| worker.join().expect("it has not failed"));
}

/// A close at any moment ends the waits for a lease, for a pending result and for the end. Each
/// pending result is completed or abandoned by then, and one that is submitted later is abandoned.
fn a_close_wakes_all_that_wait() {
    let queue = Queue::default();
    let results = ["one", "two"].map(|task| submit(&queue, task));
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
    for (result, task) in results.into_iter().zip(["one", "two"]) {
        let outcome = block_on(result);
        assert!(outcome.is_err() || outcome == Ok(Outcome::Done(task.into())));
    }
    [worker, end, close].into_iter().for_each(|thread| thread.join().expect("it has not failed"));
    assert!(block_on(submit(&queue, "late")).is_err());
}

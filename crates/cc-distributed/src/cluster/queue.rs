//! The coordinator's book: hands out encoded tasks, takes what came of them, and knows what was lost.
//!
//! It knows no transport and no workload. Whoever takes tasks sits down with [`Queue::join`] and gets a
//! [`Seat`]; a task handed out there is on *lease*. A seat that is given up, because its worker has died, hangs
//! or cannot be reached, loses its leases, and their tasks go back to their old place in the queue.
//!
//! Nobody can tell a dead worker from a slow one, so a task may be done twice. But only whoever holds its lease can
//! settle it, and there is never more than one lease: that is why the output has each once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use prost::bytes::Bytes;
use tokio::sync::{
    Notify,
    oneshot::{self, error::RecvError},
};

/// So many lost leases are no longer bad luck: the task kills its workers.
const DEATHS: u32 = 3;

/// A task's number, in the order of submission.
pub type Id = u64;

/// Where a task's outcome is waited for. It fails if the queue is closed before.
pub type Promise = oneshot::Receiver<Outcome>;

/// What has become of a promise.
pub type Kept = Result<Outcome, RecvError>;

/// What came of a task.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done; this is its encoded output.
    Done(Bytes),
    /// It was not, and will not be tried again.
    Failed {
        /// The task, as it was submitted.
        task: Bytes,
        /// What became of it.
        why: String,
    },
}

/// A promise that is kept already.
#[must_use]
pub fn settled(outcome: Outcome) -> Promise {
    let (done, promise) = oneshot::channel();
    let _ = done.send(outcome);
    promise
}

/// Which tasks are handed out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Those that the output waits for.
    Urgent,
    /// The others.
    Usual,
}

/// How often a task's lease was lost. Clones are the same count, for a task that has to be submitted in other words: who
/// kills its workers does not become innocent by that.
#[derive(Clone, Debug, Default)]
pub struct Deaths(Arc<AtomicU32>);

impl Deaths {
    /// Only under the book's lock, so that no two counts cross.
    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// How much may be on lease at one seat. A task that is larger than the credit is let in alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Tasks.
    pub tasks: usize,
    /// Encoded bytes.
    pub bytes: u64,
}

/// A task, handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What its output is returned under.
    pub id: Id,
    /// The encoded task.
    pub task: Bytes,
}

/// The queue of one job. Clones are the same queue.
#[derive(Clone, Default)]
pub struct Queue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// A plain lock: it is held for a few map operations and never across a wait.
    book: Mutex<Book>,
    changed: Notify,
}

impl Queue {
    /// Queues a task behind the others of its lane.
    pub fn submit(&self, task: Bytes, lane: Lane) -> Promise {
        self.submit_again(task, lane, Deaths::default())
    }

    /// Queues a task that has these deaths behind it.
    pub fn submit_again(&self, task: Bytes, lane: Lane, deaths: Deaths) -> Promise {
        let (done, promise) = oneshot::channel();
        self.change(|book| book.submit(Entry { task, lane, done, deaths }));
        promise
    }

    /// Sits down a worker that grants this credit.
    #[must_use]
    pub fn join(&self, credit: Credit) -> Seat {
        let number = self.change(|book| book.join(credit));
        Seat { queue: self.clone(), number }
    }

    /// Forgets every task. Who waits for a promise, a lease or the end is woken.
    pub fn close(&self) {
        self.change(Book::close);
    }

    /// Waits until the queue is closed.
    pub async fn closed(&self) {
        self.until(|book| book.closed.then_some(())).await;
    }

    /// Waits until `ready` finds in the book what it looks for.
    async fn until<T>(&self, mut ready: impl FnMut(&mut Book) -> Option<T>) -> T {
        loop {
            // Registered before the look, so that no change falls between the two.
            let changed = self.0.changed.notified();
            if let Some(found) = ready(&mut self.book()) {
                return found;
            }
            changed.await;
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let changed = change(&mut self.book());
        self.0.changed.notify_waiters();
        changed
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // No code of others runs under the lock, so it cannot be left half-changed.
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker's place at the queue. Dropping it gives up its leases.
pub struct Seat {
    queue: Queue,
    number: u64,
}

impl Seat {
    /// Waits for a task that the credit has room for. None at the end of the job.
    pub async fn lease(&self) -> Option<Lease> {
        let next = |book: &mut Book| {
            if book.closed { Some(None) } else { book.lease(self.number).map(Some) }
        };
        self.queue.until(next).await
    }

    /// Returns a task's output, and its credit. What is not on lease here is ignored.
    pub fn done(&self, id: Id, output: Bytes) {
        self.queue.change(|book| book.settle(self.number, id, |_| Outcome::Done(output)));
    }

    /// Returns a task that could not be done, and would fail again.
    pub fn failed(&self, id: Id, why: String) {
        self.queue.change(|book| book.settle(self.number, id, |task| Outcome::Failed { task, why }));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.queue.change(|book| book.leave(self.number));
    }
}

/// The state, with nothing to wait for.
#[derive(Default)]
struct Book {
    next: u64,
    closed: bool,
    /// Not settled yet.
    tasks: HashMap<Id, Entry>,
    /// Not on lease. Sorted, so that a lost task comes back to its old place, ahead of all that is younger.
    waiting: BTreeSet<(Lane, Id)>,
    seats: HashMap<u64, Held>,
}

struct Entry {
    task: Bytes,
    lane: Lane,
    done: oneshot::Sender<Outcome>,
    deaths: Deaths,
}

impl Entry {
    fn is_suspect(&self) -> bool {
        self.deaths.get() > 0
    }
}

/// What is on lease at one seat, with the sizes.
struct Held {
    credit: Credit,
    leases: BTreeMap<Id, u64>,
    /// One of them is a suspect.
    alone: bool,
}

impl Held {
    fn has_room_for(&self, entry: &Entry) -> bool {
        let bytes = self.leases.values().sum::<u64>() + entry.task.len() as u64;
        let within = self.leases.len() < self.credit.tasks && bytes <= self.credit.bytes;
        // A worker that dies takes the tasks that wait behind the guilty one along. A suspect therefore runs
        // alone: only then does the next death say who it was.
        self.leases.is_empty() || (within && !self.alone && !entry.is_suspect())
    }
}

impl Book {
    fn submit(&mut self, entry: Entry) {
        if !self.closed {
            let id = self.number();
            self.waiting.insert((entry.lane, id));
            self.tasks.insert(id, entry);
        }
    }

    fn join(&mut self, credit: Credit) -> u64 {
        let number = self.number();
        self.seats.insert(number, Held { credit, leases: BTreeMap::new(), alone: false });
        number
    }

    fn lease(&mut self, seat: u64) -> Option<Lease> {
        let &(_, id) = self.waiting.first()?;
        let (entry, held) = (self.tasks.get(&id)?, self.seats.get_mut(&seat)?);
        if !held.has_room_for(entry) {
            return None;
        }
        held.alone = entry.is_suspect();
        held.leases.insert(id, entry.task.len() as u64);
        let lease = Lease { id, task: entry.task.clone() };
        self.waiting.pop_first();
        Some(lease)
    }

    fn settle(&mut self, seat: u64, id: Id, outcome: impl FnOnce(Bytes) -> Outcome) {
        if self.seats.get_mut(&seat).is_some_and(|held| held.leases.remove(&id).is_some()) {
            self.keep_promise(id, outcome);
        }
    }

    fn leave(&mut self, seat: u64) {
        let leases = self.seats.remove(&seat).map(|held| held.leases).unwrap_or_default();
        for id in leases.into_keys() {
            let Some(entry) = self.tasks.get_mut(&id) else { continue };
            entry.deaths.add_one();
            if entry.deaths.get() < DEATHS {
                self.waiting.insert((entry.lane, id));
            } else {
                let why = format!("its worker was lost, {DEATHS} times");
                self.keep_promise(id, |task| Outcome::Failed { task, why });
            }
        }
    }

    fn keep_promise(&mut self, id: Id, outcome: impl FnOnce(Bytes) -> Outcome) {
        if let Some(entry) = self.tasks.remove(&id) {
            // Nobody waits for it any more if the run was stopped meanwhile.
            let _ = entry.done.send(outcome(entry.task));
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.tasks.clear();
        self.waiting.clear();
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const ROOM: Credit = Credit { tasks: 3, bytes: 100 };

    fn task(name: &'static str) -> Bytes {
        Bytes::from_static(name.as_bytes())
    }

    fn submit(queue: &Queue, names: &[&'static str]) -> Vec<Promise> {
        names.iter().map(|name| queue.submit(task(name), Lane::Usual)).collect()
    }

    /// The tasks there are for this seat now.
    fn leases(seat: &Seat) -> Vec<Lease> {
        std::iter::from_fn(|| seat.queue.book().lease(seat.number)).collect()
    }

    fn names(leases: &[Lease]) -> Vec<&str> {
        leases.iter().map(|lease| std::str::from_utf8(&lease.task).unwrap()).collect()
    }

    #[test]
    fn an_output_keeps_the_promise_of_its_task() {
        let queue = Queue::default();
        let mut promises = submit(&queue, &["a", "b"]);
        let seat = queue.join(ROOM);
        let [a, b] = &leases(&seat)[..] else { panic!("two tasks") };
        seat.done(b.id, task("B"));
        assert!(promises[0].try_recv().is_err());
        seat.done(a.id, task("A"));
        assert_eq!(promises[0].try_recv(), Ok(Outcome::Done(task("A"))));
        assert_eq!(promises[1].try_recv(), Ok(Outcome::Done(task("B"))));
    }

    #[test]
    fn credit_is_in_tasks_and_in_bytes() {
        let queue = Queue::default();
        let _promises = submit(&queue, &["1", "22", "4444", "a longer one", "x"]);
        let few = queue.join(Credit { tasks: 1, bytes: 100 });
        assert_eq!(names(&leases(&few)), ["1"]);
        let small = queue.join(Credit { tasks: 9, bytes: 6 });
        let held = leases(&small);
        assert_eq!(names(&held), ["22", "4444"]);
        small.done(held[0].id, task(""));
        assert!(leases(&small).is_empty(), "the long one has to wait until it is alone");
        small.done(held[1].id, task(""));
        assert_eq!(names(&leases(&small)), ["a longer one"]);
    }

    #[test]
    fn what_the_output_waits_for_goes_first() {
        let queue = Queue::default();
        let _promises = submit(&queue, &["a", "b"]);
        let _urgent = queue.submit(task("urgent"), Lane::Urgent);
        assert_eq!(names(&leases(&queue.join(ROOM))), ["urgent", "a", "b"]);
    }

    #[test]
    fn lost_tasks_come_back_to_their_old_place() {
        let queue = Queue::default();
        let _promises = submit(&queue, &["a", "b", "c", "d"]);
        let seat = queue.join(Credit { tasks: 2, ..ROOM });
        assert_eq!(names(&leases(&seat)), ["a", "b"]);
        drop(seat);
        let other = queue.join(ROOM);
        let order: Vec<Bytes> = std::iter::from_fn(|| {
            let lease = leases(&other).into_iter().next()?;
            other.done(lease.id, task(""));
            Some(lease.task)
        })
        .take(3)
        .collect();
        assert_eq!(order, ["a", "b", "c"]);
    }

    #[test]
    fn only_who_holds_the_lease_settles_a_task() {
        let queue = Queue::default();
        let mut promises = submit(&queue, &["a", "b"]);
        let one = Credit { tasks: 1, ..ROOM };
        let (first, other) = (queue.join(one), queue.join(one));
        let (a, b) = (leases(&first), leases(&other));
        other.done(a[0].id, task("not its own"));
        assert!(promises[0].try_recv().is_err());
        first.done(a[0].id, task("A"));
        first.done(a[0].id, task("twice"));
        assert_eq!(promises[0].try_recv(), Ok(Outcome::Done(task("A"))));

        drop(other);
        assert_eq!(leases(&first), b, "what was lost is done elsewhere");
        first.failed(b[0].id, "why".to_owned());
        assert_eq!(promises[1].try_recv(), Ok(Outcome::Failed { task: task("b"), why: "why".to_owned() }));
    }

    #[test]
    fn three_deaths_are_enough_and_the_neighbours_live() {
        let queue = Queue::default();
        let mut promises = submit(&queue, &["neighbour", "deadly", "another"]);
        // Each life of a worker takes what it is given, in order, until it comes upon the deadly one.
        for _ in 0..3 {
            let seat = queue.join(ROOM);
            let mut held = VecDeque::from(leases(&seat));
            while let Some(lease) = held.pop_front().filter(|lease| lease.task != task("deadly")) {
                seat.done(lease.id, task("fine"));
                held.extend(leases(&seat));
            }
        }
        let seat = queue.join(ROOM);
        leases(&seat).iter().for_each(|lease| seat.done(lease.id, task("fine")));
        let Ok(Outcome::Failed { task: failed, why }) = promises[1].try_recv() else {
            panic!("it has failed")
        };
        assert_eq!((failed, &*why), (task("deadly"), "its worker was lost, 3 times"));
        assert_eq!(promises[0].try_recv(), Ok(Outcome::Done(task("fine"))));
        assert_eq!(promises[2].try_recv(), Ok(Outcome::Done(task("fine"))));
    }

    #[test]
    fn a_suspect_runs_alone() {
        let queue = Queue::default();
        let _promises = submit(&queue, &["a", "b"]);
        drop({
            let seat = queue.join(Credit { tasks: 1, ..ROOM });
            leases(&seat);
            seat
        });
        let seat = queue.join(ROOM);
        let held = leases(&seat);
        assert_eq!(names(&held), ["a"]);
        seat.done(held[0].id, task(""));
        assert_eq!(names(&leases(&seat)), ["b"]);
    }

    #[test]
    fn deaths_are_counted_on_when_a_task_is_submitted_again() {
        let (queue, deaths) = (Queue::default(), Deaths::default());
        for n in 1..=3 {
            let mut promise = queue.submit_again(task("deadly"), Lane::Usual, deaths.clone());
            let seat = queue.join(ROOM);
            assert_eq!(leases(&seat).len(), 1);
            drop(seat);
            if n < 3 {
                let other = queue.join(ROOM);
                leases(&other).iter().for_each(|lease| other.done(lease.id, task("not like this")));
                assert_eq!(promise.try_recv(), Ok(Outcome::Done(task("not like this"))));
            } else {
                assert!(matches!(promise.try_recv(), Ok(Outcome::Failed { .. })));
            }
        }
    }

    #[test]
    fn closing_wakes_everybody() {
        let queue = Queue::default();
        let mut promises = submit(&queue, &["a"]);
        let seat = queue.join(ROOM);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        queue.close();
        assert!(promises[0].try_recv().is_err());
        assert_eq!(runtime.block_on(seat.lease()), None);
        runtime.block_on(queue.closed());
        assert!(queue.submit(task("b"), Lane::Usual).try_recv().is_err());
    }
}

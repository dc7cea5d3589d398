//! The coordinator's book: hands out encoded tasks, takes what came of them, and knows what was lost.
//!
//! It knows no transport and no workload. Whoever takes tasks sits down with [`Queue::join`] and gets a
//! [`Seat`]; a task handed out there is on *lease*. A seat that is given up, because its worker has died, hangs
//! or cannot be reached, loses its leases, and their tasks go back to their old place in the queue.
//!
//! A dead worker looks like a slow one, so a task may be done twice. But only a seat that holds a
//! lease of it can settle it, and only the first answer that the check takes does so: that is why
//! the output has each once.
//!
//! A worker may also be alive and never answer. When nothing waits, a task that has been on lease
//! for long is handed out a second time, to a seat that has nothing else to do: the *backup task*
//! of MapReduce (Dean & Ghemawat 2004). The queue has no clock. It is told that time passes, with
//! [`Queue::tick`].
//!
//! An answer is not believed either. Each task is submitted with a check, and what the check
//! refuses completes nothing: the seat that it came from gets no more leases, and those that it has
//! go to others.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use cc_workloads::error::panic_reason;
use prost::bytes::Bytes;
use tokio::sync::{
    Notify,
    oneshot::{self, error::RecvError},
};

/// So many workers that were lost while they had this task and no other are no longer bad luck: the
/// task kills its workers.
const DEATHS: u32 = 3;

/// After so many ticks a task on lease is overdue, and is handed out again when a seat is idle.
const OVERDUE: u64 = 5;

/// A task's number, in the order of submission.
pub type Id = u64;

/// Where a task's outcome is waited for. It fails if the queue is closed before.
pub type Promise<O> = oneshot::Receiver<Outcome<O>>;

/// What has become of a promise.
pub type Kept<O> = Result<Outcome<O>, RecvError>;

/// What came of a task.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<O> {
    /// It was done; this is its output, as its check has made it of the answer.
    Done(O),
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
pub fn settled<O>(outcome: Outcome<O>) -> Promise<O> {
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

/// What earlier attempts at a task have shown, for a task that has to be submitted in other words.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    /// Clones are the same counts: a task that kills its workers does not become innocent by other
    /// words.
    deaths: Arc<Deaths>,
    /// The addresses of workers that could not do it, and are to have it only if no other worker is
    /// left.
    avoided: BTreeSet<String>,
}

/// How many workers were lost that had a task. Counted under the book's lock only, so that no two
/// counts cross.
#[derive(Debug, Default)]
struct Deaths {
    /// They had no other.
    alone: AtomicU32,
    /// They had others, too, any of which may be guilty.
    among_others: AtomicU32,
}

impl Attempts {
    /// Lets the worker at this address have the task only if there is no other.
    pub fn avoid(&mut self, address: &str) {
        self.avoided.insert(address.to_owned());
    }

    /// Whether the worker at this address could not do it.
    #[must_use]
    pub fn avoids(&self, address: &str) -> bool {
        self.avoided.contains(address)
    }

    /// Whether it is known that the task has lost so many workers.
    fn is_guilty(&self) -> bool {
        self.deaths.alone.load(Ordering::Relaxed) >= DEATHS
    }

    /// Whether it may be the one that a worker was lost by. Only if it runs alone does the next
    /// loss say so.
    fn is_suspect(&self) -> bool {
        [&self.deaths.alone, &self.deaths.among_others].iter().any(|n| n.load(Ordering::Relaxed) > 0)
    }

    fn add_death(&self, is_alone: bool) {
        let deaths = if is_alone { &self.deaths.alone } else { &self.deaths.among_others };
        deaths.fetch_add(1, Ordering::Relaxed);
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
    /// Queues a task behind the others of its lane. The check is told which session an answer came
    /// from, and makes the output of it, or says what is wrong with it; then the task is done
    /// elsewhere.
    pub fn submit<O: Send + 'static>(
        &self,
        task: Bytes,
        lane: Lane,
        check: impl FnMut(&str, &[u8]) -> Result<O, String> + Send + 'static,
    ) -> Promise<O> {
        self.submit_again(task, lane, check, Attempts::default())
    }

    /// Queues a task that has these attempts behind it.
    pub fn submit_again<O: Send + 'static>(
        &self,
        task: Bytes,
        lane: Lane,
        check: impl FnMut(&str, &[u8]) -> Result<O, String> + Send + 'static,
        attempts: Attempts,
    ) -> Promise<O> {
        let (done, promise) = oneshot::channel();
        let waiter = Box::new(Checked { check, done: Some(done) });
        self.change(|book| book.submit(Entry { task, lane, waiter, attempts, is_settled: false }));
        promise
    }

    /// Sits down a worker that grants this credit, in the session of this name: `ADDRESS/SESSION`.
    #[must_use]
    pub fn join(&self, session: &str, credit: Credit) -> Seat {
        let number = self.change(|book| book.join(address(session), credit));
        Seat { queue: self.clone(), number, session: session.to_owned() }
    }

    /// Time has passed, which makes tasks overdue.
    pub fn tick(&self) {
        self.change(|book| book.ticks += 1);
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

/// A worker's place at the queue. Dropping it gives up its leases: the worker was lost.
pub struct Seat {
    queue: Queue,
    number: u64,
    session: String,
}

impl Seat {
    /// Waits for a task that the credit has room for. None at the end of the job.
    pub async fn lease(&self) -> Option<Lease> {
        let next = |book: &mut Book| {
            if book.closed { Some(None) } else { book.lease(self.number).map(Some) }
        };
        self.queue.until(next).await
    }

    /// Whether an answer under this number is waited for.
    #[must_use]
    pub fn expects(&self, id: Id) -> bool {
        let book = self.queue.book();
        book.closed || book.seats.get(&self.number).is_some_and(|held| held.leases.contains_key(&id))
    }

    /// Returns the answer to a task, and its credit.
    ///
    /// # Errors
    ///
    /// What is wrong with it: the task's check refuses it, or the task is not on lease here. The
    /// seat gets nothing more, and what it had is done elsewhere.
    pub fn done(&self, id: Id, answer: Bytes) -> Result<(), String> {
        let Some(mut entry) = self.take(id)? else { return Ok(()) };
        // Not under the lock: it is code of others, and decodes what may be large.
        let checked = catch_unwind(AssertUnwindSafe(|| entry.waiter.answer(&self.session, answer)));
        let checked = checked.unwrap_or_else(|panic| Err(panic_reason(&*panic)));
        self.queue.change(|book| match &checked {
            Ok(()) => book.settle(self.number, id, entry),
            Err(_) => book.distrust(self.number, Some((id, entry))),
        });
        checked
    }

    /// Returns a task that could not be done, and would fail again.
    ///
    /// # Errors
    ///
    /// As for an answer.
    pub fn failed(&self, id: Id, why: String) -> Result<(), String> {
        if let Some(entry) = self.take(id)? {
            entry.waiter.fail(entry.task, why);
            self.queue.change(|book| book.release(self.number, id));
        }
        Ok(())
    }

    /// Takes a task that is on lease here out of the book, while its answer is looked at. None if
    /// no answer is needed: the queue is closed, or another seat has failed the task or is
    /// answering it now.
    fn take(&self, id: Id) -> Result<Option<Entry>, String> {
        let taken = self.queue.book().take(self.number, id);
        match &taken {
            Ok(Some(_)) => {}
            Ok(None) => self.queue.change(|book| book.release(self.number, id)),
            Err(_) => self.queue.change(|book| book.distrust(self.number, None)),
        }
        taken
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
    ticks: u64,
    closed: bool,
    /// Not settled yet, or still on lease: late answers are checked, too.
    tasks: HashMap<Id, Entry>,
    /// Not on lease. Sorted, so that a lost task comes back to its old place, ahead of all that is younger.
    waiting: BTreeSet<(Lane, Id)>,
    seats: HashMap<u64, Held>,
}

struct Entry {
    task: Bytes,
    lane: Lane,
    waiter: Box<dyn Waiter>,
    attempts: Attempts,
    /// An answer was taken.
    is_settled: bool,
}

/// The receiver of what comes of a task, whatever its output is.
trait Waiter: Send {
    /// Takes an answer, unless it is none, for this reason.
    fn answer(&mut self, session: &str, answer: Bytes) -> Result<(), String>;

    /// Takes the task back, which cannot be done.
    fn fail(self: Box<Self>, task: Bytes, why: String);
}

/// A check, and where its output goes.
struct Checked<O, C> {
    check: C,
    /// Taken when it is used.
    done: Option<oneshot::Sender<Outcome<O>>>,
}

impl<O: Send, C: FnMut(&str, &[u8]) -> Result<O, String> + Send> Waiter for Checked<O, C> {
    fn answer(&mut self, session: &str, answer: Bytes) -> Result<(), String> {
        let output = (self.check)(session, &answer)?;
        // The receiver is gone if the run was stopped; the output is then not needed.
        let _ = self.done.take().map(|done| done.send(Outcome::Done(output)));
        Ok(())
    }

    fn fail(mut self: Box<Self>, task: Bytes, why: String) {
        let _ = self.done.take().map(|done| done.send(Outcome::Failed { task, why }));
    }
}

/// The address of the worker that has this session: `ADDRESS/SESSION`.
pub(super) fn address(session: &str) -> &str {
    session.rsplit_once('/').map_or(session, |(address, _)| address)
}

/// What is on lease at one seat.
struct Held {
    address: String,
    credit: Credit,
    leases: BTreeMap<Id, Leased>,
    /// One of them is a suspect.
    alone: bool,
    /// It has answered wrongly.
    is_distrusted: bool,
}

struct Leased {
    bytes: u64,
    /// The tick at which it was handed out.
    since: u64,
}

impl Held {
    fn has_room_for(&self, entry: &Entry) -> bool {
        let bytes = self.leases.values().map(|leased| leased.bytes).sum::<u64>() + entry.task.len() as u64;
        let within = self.leases.len() < self.credit.tasks && bytes <= self.credit.bytes;
        // A worker that dies takes the tasks that wait behind the guilty one along. A suspect therefore runs
        // alone: only then does the next death say which task it was.
        self.leases.is_empty() || (within && !self.alone && !entry.attempts.is_suspect())
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

    fn join(&mut self, address: &str, credit: Credit) -> u64 {
        let (number, address) = (self.number(), address.to_owned());
        let held = Held { address, credit, leases: BTreeMap::new(), alone: false, is_distrusted: false };
        self.seats.insert(number, held);
        number
    }

    fn lease(&mut self, seat: u64) -> Option<Lease> {
        let waits = self.waiting.iter().map(|(_, id)| *id).find(|id| !self.is_for_another(seat, *id));
        let id = waits.or_else(|| self.overdue(seat))?;
        let (entry, held) = (self.tasks.get(&id)?, self.seats.get_mut(&seat)?);
        if held.is_distrusted || !held.has_room_for(entry) {
            return None;
        }
        held.alone = entry.attempts.is_suspect();
        held.leases.insert(id, Leased { bytes: entry.task.len() as u64, since: self.ticks });
        self.waiting.remove(&(entry.lane, id));
        Some(Lease { id, task: entry.task.clone() })
    }

    /// The first task that others have had for long, for a seat that has nothing else to do.
    fn overdue(&self, seat: u64) -> Option<Id> {
        if !self.waiting.is_empty() || !self.seats.get(&seat)?.leases.is_empty() {
            return None;
        }
        let all = || self.seats.values().flat_map(|held| &held.leases);
        let is_old = |leased: &Leased| self.ticks - leased.since >= OVERDUE;
        let is_open = |id: &Id| self.tasks.get(id).is_some_and(|entry| !entry.is_settled);
        // Of several leases of a task, the last counts.
        let is_overdue = |id: &Id| all().all(|(other, leased)| other != id || is_old(leased));
        let old = all().filter(|(_, leased)| is_old(leased)).map(|(id, _)| *id);
        old.filter(|id| is_open(id) && is_overdue(id) && !self.is_for_another(seat, *id)).min()
    }

    /// Whether this seat could not do the task before, and there is one that has not tried.
    fn is_for_another(&self, seat: u64, id: Id) -> bool {
        let (Some(entry), Some(held)) = (self.tasks.get(&id), self.seats.get(&seat)) else { return false };
        let can_try = |held: &Held| !held.is_distrusted && !entry.attempts.avoids(&held.address);
        entry.attempts.avoids(&held.address) && self.seats.values().any(can_try)
    }

    /// Takes out a task that is on lease at this seat. The lease stays, or the seat would be given
    /// another.
    fn take(&mut self, seat: u64, id: Id) -> Result<Option<Entry>, String> {
        let is_leased = self.seats.get(&seat).is_some_and(|held| held.leases.contains_key(&id));
        match self.tasks.remove(&id) {
            Some(entry) if is_leased => Ok(Some(entry)),
            Some(entry) => {
                self.tasks.insert(id, entry);
                Err("it answers a task that it does not have".to_owned())
            }
            None if self.closed || is_leased => Ok(None),
            None => Err("it answers a task that it does not have".to_owned()),
        }
    }

    /// Ends a lease whose task is done with.
    fn release(&mut self, seat: u64, id: Id) {
        self.seats.get_mut(&seat).map(|held| held.leases.remove(&id));
    }

    /// Ends a lease with an answer that was taken. If it is the first, the task is settled; what
    /// other seats answer later is only checked.
    fn settle(&mut self, seat: u64, id: Id, entry: Entry) {
        self.release(seat, id);
        if !self.closed && self.is_on_lease(id) {
            self.tasks.insert(id, Entry { is_settled: true, ..entry });
        }
    }

    fn is_on_lease(&self, id: Id) -> bool {
        self.seats.values().any(|held| held.leases.contains_key(&id))
    }

    /// Gives a seat no more leases, since this task's answer was wrong. What it had is innocent,
    /// and is done elsewhere.
    fn distrust(&mut self, seat: u64, taken: Option<(Id, Entry)>) {
        if let Some((id, entry)) = taken.filter(|_| !self.closed) {
            self.tasks.insert(id, entry);
        }
        let Some(held) = self.seats.get_mut(&seat) else { return };
        held.is_distrusted = true;
        for id in std::mem::take(&mut held.leases).into_keys() {
            self.requeue(id);
        }
    }

    /// Gives up the leases of a worker that was lost. Only a task that it had alone can be known to
    /// be guilty of that.
    fn leave(&mut self, seat: u64) {
        let leases = self.seats.remove(&seat).map(|held| held.leases).unwrap_or_default();
        let is_alone = leases.len() == 1;
        for id in leases.into_keys() {
            let Some(entry) = self.tasks.get_mut(&id) else { continue };
            if !entry.is_settled {
                entry.attempts.add_death(is_alone);
            }
            if !entry.attempts.is_guilty() {
                self.requeue(id);
            } else if let Some(entry) = self.tasks.remove(&id) {
                entry.waiter.fail(entry.task, format!("its worker was lost, {DEATHS} times"));
            }
        }
    }

    /// Puts a task back to its old place, unless another seat has it. If it is settled, it was kept
    /// for this lease only.
    fn requeue(&mut self, id: Id) {
        let is_on_lease = self.is_on_lease(id);
        match self.tasks.get(&id) {
            Some(entry) if !is_on_lease && entry.is_settled => drop(self.tasks.remove(&id)),
            Some(entry) if !is_on_lease => drop(self.waiting.insert((entry.lane, id))),
            _ => {}
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

    use futures::executor::block_on;

    use super::*;

    const ROOM: Credit = Credit { tasks: 3, bytes: 100 };

    fn task(name: &'static str) -> Bytes {
        Bytes::from_static(name.as_bytes())
    }

    /// Believes everything but the word "lie", and remembers which session it came from.
    fn check(session: &str, answer: &[u8]) -> Result<Answer, String> {
        let is_lie = answer == b"lie";
        if is_lie { Err("a lie".to_owned()) } else { Ok((session.to_owned(), answer.to_vec().into())) }
    }

    type Answer = (String, Bytes);

    fn submit(queue: &Queue, names: &[&'static str]) -> Vec<Promise<Answer>> {
        names.iter().map(|name| queue.submit(task(name), Lane::Usual, check)).collect()
    }

    fn join(queue: &Queue, credit: Credit) -> Seat {
        queue.join("here/session", credit)
    }

    fn done(answer: &'static str) -> Result<Outcome<Answer>, oneshot::error::TryRecvError> {
        Ok(Outcome::Done(("here/session".to_owned(), task(answer))))
    }

    /// Answers all that there is for this seat.
    fn answer_all(seat: &Seat, answer: &'static str) {
        loop {
            let held = leases(seat);
            if held.is_empty() {
                return;
            }
            held.iter().for_each(|lease| seat.done(lease.id, task(answer)).unwrap());
        }
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
        let seat = join(&queue, ROOM);
        let [a, b] = &leases(&seat)[..] else { panic!("two tasks") };
        seat.done(b.id, task("B")).unwrap();
        assert!(promises[0].try_recv().is_err());
        seat.done(a.id, task("A")).unwrap();
        assert_eq!((promises[0].try_recv(), promises[1].try_recv()), (done("A"), done("B")));
    }

    #[test]
    fn credit_is_in_tasks_and_in_bytes() {
        let queue = Queue::default();
        let _promises = submit(&queue, &["1", "22", "4444", "a longer one", "x"]);
        let few = join(&queue, Credit { tasks: 1, bytes: 100 });
        assert_eq!(names(&leases(&few)), ["1"]);
        let small = join(&queue, Credit { tasks: 9, bytes: 6 });
        let held = leases(&small);
        assert_eq!(names(&held), ["22", "4444"]);
        small.done(held[0].id, task("")).unwrap();
        assert!(leases(&small).is_empty(), "the long one has to wait until it is alone");
        small.done(held[1].id, task("")).unwrap();
        assert_eq!(names(&leases(&small)), ["a longer one"]);
    }

    #[test]
    fn what_the_output_waits_for_goes_first() {
        let queue = Queue::default();
        let _promises = submit(&queue, &["a", "b"]);
        let _urgent = queue.submit(task("urgent"), Lane::Urgent, check);
        assert_eq!(names(&leases(&join(&queue, ROOM))), ["urgent", "a", "b"]);
    }

    #[test]
    fn lost_tasks_come_back_to_their_old_place() {
        let queue = Queue::default();
        let _promises = submit(&queue, &["a", "b", "c", "d"]);
        let seat = join(&queue, Credit { tasks: 2, ..ROOM });
        assert_eq!(names(&leases(&seat)), ["a", "b"]);
        drop(seat);
        let other = join(&queue, ROOM);
        let order: Vec<Bytes> = std::iter::from_fn(|| {
            let lease = leases(&other).into_iter().next()?;
            other.done(lease.id, task("")).unwrap();
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
        let (first, other) = (join(&queue, one), join(&queue, one));
        let (a, b) = (leases(&first), leases(&other));
        assert!(first.expects(a[0].id) && !other.expects(a[0].id) && !first.expects(99));
        assert!(other.done(a[0].id, task("not its own")).is_err());
        assert!(promises[0].try_recv().is_err());
        assert_eq!(leases(&other), [], "it is not trusted any more");
        first.done(a[0].id, task("A")).unwrap();
        assert_eq!(promises[0].try_recv(), done("A"));

        assert_eq!(leases(&first), b, "what the other had is done elsewhere");
        first.failed(b[0].id, "why".to_owned()).unwrap();
        assert_eq!(promises[1].try_recv(), Ok(Outcome::Failed { task: task("b"), why: "why".to_owned() }));
        assert!(first.done(a[0].id, task("twice")).is_err());
        let seat = join(&queue, ROOM);
        assert!(seat.failed(99, "of a task that never was".to_owned()).is_err());
    }

    #[test]
    fn a_wrong_answer_completes_nothing_and_loses_its_seat_all_tasks() {
        let queue = Queue::default();
        let mut promises = submit(&queue, &["a", "b", "c"]);
        let liar = join(&queue, Credit { tasks: 2, ..ROOM });
        let held = leases(&liar);
        assert_eq!(liar.done(held[1].id, task("lie")), Err("a lie".to_owned()));
        assert_eq!(leases(&liar), []);
        assert!(liar.done(held[0].id, task("A")).is_err(), "it has nothing any more");
        drop(liar);
        let honest = join(&queue, ROOM);
        assert_eq!(names(&leases(&honest)), ["a", "b", "c"], "in their old places, and none is suspected");
        (1..=3).for_each(|id| honest.done(id, task("true")).unwrap());
        assert!(promises.iter_mut().all(|promise| promise.try_recv() == done("true")));
    }

    #[test]
    fn a_check_that_panics_is_a_wrong_answer() {
        let queue = Queue::default();
        let panics = |_: &str, answer: &[u8]| -> Result<u8, String> { Ok(answer[7]) };
        let mut promise = queue.submit(task("a"), Lane::Usual, panics);
        let seat = join(&queue, ROOM);
        let held = leases(&seat);
        assert!(seat.done(held[0].id, task("short")).unwrap_err().contains("panicked"));
        assert!(promise.try_recv().is_err());
        let other = join(&queue, ROOM);
        other.done(leases(&other)[0].id, task("long enough")).unwrap();
        assert_eq!(promise.try_recv(), Ok(Outcome::Done(b'o')));
    }

    #[test]
    fn three_deaths_are_enough_and_the_neighbours_live() {
        let queue = Queue::default();
        let mut promises = submit(&queue, &["neighbour", "deadly", "another"]);
        // Each life of a worker takes what it is given, in order, until it comes upon the deadly one.
        for _ in 0..4 {
            let seat = join(&queue, ROOM);
            let mut held = VecDeque::from(leases(&seat));
            while let Some(lease) = held.pop_front().filter(|lease| lease.task != task("deadly")) {
                seat.done(lease.id, task("fine")).unwrap();
                held.extend(leases(&seat));
            }
        }
        answer_all(&join(&queue, ROOM), "fine");
        let Ok(Outcome::Failed { task: failed, why }) = promises[1].try_recv() else {
            panic!("it has failed")
        };
        assert_eq!((failed, &*why), (task("deadly"), "its worker was lost, 3 times"));
        assert_eq!((promises[0].try_recv(), promises[2].try_recv()), (done("fine"), done("fine")));
    }

    /// Workers are killed at random, while they have several tasks: none of these is guilty.
    #[test]
    fn who_is_lost_with_neighbours_is_not_blamed_but_runs_alone_once() {
        let queue = Queue::default();
        for _ in 0..9 {
            let mut promises = submit(&queue, &["one", "two", "three"]);
            let seat = join(&queue, ROOM);
            assert_eq!(names(&leases(&seat)), ["one", "two", "three"]);
            drop(seat);
            let seat = join(&queue, ROOM);
            for name in ["one", "two", "three"] {
                let held = leases(&seat);
                assert_eq!(names(&held), [name], "alone");
                seat.done(held[0].id, task("fine")).unwrap();
            }
            assert!(promises.iter_mut().all(|promise| promise.try_recv() == done("fine")));
        }
    }

    #[test]
    fn a_suspect_that_is_submitted_again_still_runs_alone() {
        let (queue, attempts) = (Queue::default(), Attempts::default());
        let _first = queue.submit_again(task("deadly"), Lane::Usual, check, attempts.clone());
        let _neighbour = submit(&queue, &["neighbour"]);
        drop(leases(&join(&queue, ROOM)));
        answer_all(&join(&queue, ROOM), "not like this");
        let _neighbour = submit(&queue, &["neighbour"]);
        let _again = queue.submit_again(task("deadly"), Lane::Usual, check, attempts.clone());
        let seat = join(&queue, ROOM);
        let held = leases(&seat);
        assert_eq!(names(&held), ["neighbour"]);
        seat.done(held[0].id, task("")).unwrap();
        assert_eq!(names(&leases(&seat)), ["deadly"]);
        assert!(attempts.is_suspect() && !attempts.is_guilty());
    }

    #[test]
    fn a_suspect_runs_alone() {
        let queue = Queue::default();
        let _promises = submit(&queue, &["a", "b"]);
        drop({
            let seat = join(&queue, Credit { tasks: 1, ..ROOM });
            leases(&seat);
            seat
        });
        let seat = join(&queue, ROOM);
        let held = leases(&seat);
        assert_eq!(names(&held), ["a"]);
        seat.done(held[0].id, task("")).unwrap();
        assert_eq!(names(&leases(&seat)), ["b"]);
    }

    #[test]
    fn deaths_are_counted_on_when_a_task_is_submitted_again() {
        let (queue, attempts) = (Queue::default(), Attempts::default());
        for n in 1..=3 {
            let mut promise = queue.submit_again(task("deadly"), Lane::Usual, check, attempts.clone());
            let seat = join(&queue, ROOM);
            assert_eq!(leases(&seat).len(), 1);
            drop(seat);
            if n < 3 {
                answer_all(&join(&queue, ROOM), "not like this");
                assert_eq!(promise.try_recv(), done("not like this"));
            } else {
                assert!(matches!(promise.try_recv(), Ok(Outcome::Failed { .. })));
            }
        }
    }

    #[test]
    fn who_could_not_do_a_task_has_it_again_only_if_no_other_is_left() {
        let (queue, mut attempts) = (Queue::default(), Attempts::default());
        attempts.avoid("a:1");
        let _again = queue.submit_again(task("again"), Lane::Usual, check, attempts);
        let _promises = submit(&queue, &["next"]);
        let (first, other) = (queue.join("a:1/x", ROOM), queue.join("b:1/y", ROOM));
        assert_eq!(names(&leases(&first)), ["next"]);
        assert_eq!(names(&leases(&other)), ["again"]);
        drop(other);
        first.done(2, task("fine")).unwrap();
        let later = queue.join("a:1/z", ROOM);
        assert_eq!(names(&leases(&later)), ["again"]);
    }

    /// As much time as makes a task overdue.
    fn pass_time(queue: &Queue) {
        (0..OVERDUE).for_each(|_| queue.tick());
    }

    #[test]
    fn an_overdue_task_is_for_an_idle_seat_too_and_the_first_answer_is_its_output() {
        let queue = Queue::default();
        let mut promises = submit(&queue, &["a", "b"]);
        let (slow, other) = (join(&queue, ROOM), join(&queue, ROOM));
        let held = leases(&slow);
        (1..OVERDUE).for_each(|_| queue.tick());
        assert_eq!(leases(&other), [], "nothing is overdue yet");
        queue.tick();
        let backup = leases(&other);
        assert_eq!(names(&backup), ["a"], "one at a time, and the first one first");
        assert_eq!(leases(&slow), [], "who has it does not get it again");
        other.done(backup[0].id, task("A")).unwrap();
        assert_eq!(promises[0].try_recv(), done("A"));
        assert_eq!(names(&leases(&other)), ["b"]);
        slow.done(held[0].id, task("late")).unwrap();
        slow.done(held[1].id, task("B")).unwrap();
        other.done(held[1].id, task("late")).unwrap();
        assert_eq!(promises[1].try_recv(), done("B"));
        assert!(queue.book().tasks.is_empty() && queue.book().waiting.is_empty());
        assert!(slow.done(held[0].id, task("twice")).is_err());
    }

    #[test]
    fn no_task_is_handed_out_again_while_others_wait_or_the_seat_is_at_work() {
        let queue = Queue::default();
        let _promises = submit(&queue, &["a", "b", "c"]);
        let one = Credit { tasks: 1, ..ROOM };
        let (slow, other) = (join(&queue, one), join(&queue, ROOM));
        leases(&slow);
        pass_time(&queue);
        let held = leases(&other);
        assert_eq!(names(&held), ["b", "c"]);
        held.iter().for_each(|lease| other.done(lease.id, task("")).unwrap());
        assert_eq!(names(&leases(&other)), ["a"]);
        let third = join(&queue, ROOM);
        assert_eq!(leases(&third), [], "the second lease is a new one");
        pass_time(&queue);
        assert_eq!(names(&leases(&third)), ["a"], "and is overdue in its turn");
    }

    #[test]
    fn a_late_answer_is_checked_and_completes_nothing() {
        let queue = Queue::default();
        let mut promises = submit(&queue, &["a"]);
        let (slow, other) = (join(&queue, ROOM), join(&queue, ROOM));
        let id = leases(&slow)[0].id;
        pass_time(&queue);
        leases(&other);
        other.done(id, task("A")).unwrap();
        assert_eq!(promises[0].try_recv(), done("A"));
        assert_eq!(slow.done(id, task("lie")), Err("a lie".to_owned()));
        assert!(queue.book().tasks.is_empty() && queue.book().waiting.is_empty());
        let _more = submit(&queue, &["b"]);
        assert_eq!((leases(&slow), leases(&other).len()), (vec![], 1));
    }

    #[test]
    fn a_backup_that_lies_or_is_lost_leaves_the_task_to_the_first_seat() {
        let queue = Queue::default();
        let mut promises = submit(&queue, &["a"]);
        let slow = join(&queue, ROOM);
        let id = leases(&slow)[0].id;
        pass_time(&queue);
        let liar = join(&queue, ROOM);
        leases(&liar);
        assert!(liar.done(id, task("lie")).is_err());
        pass_time(&queue);
        let lost = join(&queue, ROOM);
        assert_eq!(names(&leases(&lost)), ["a"]);
        drop(lost);
        assert!(queue.book().waiting.is_empty() && promises[0].try_recv().is_err());
        slow.done(id, task("A")).unwrap();
        assert_eq!(promises[0].try_recv(), done("A"));
        assert!(queue.book().tasks.is_empty());
    }

    #[test]
    fn a_settled_task_is_not_suspected_when_a_seat_is_lost_that_still_has_it() {
        let (queue, attempts) = (Queue::default(), Attempts::default());
        let _promise = queue.submit_again(task("a"), Lane::Usual, check, attempts.clone());
        let (slow, other) = (join(&queue, ROOM), join(&queue, ROOM));
        leases(&slow);
        pass_time(&queue);
        other.done(leases(&other)[0].id, task("A")).unwrap();
        drop(slow);
        assert!(!attempts.is_suspect() && queue.book().tasks.is_empty());
    }

    #[test]
    fn when_all_its_seats_are_lost_an_overdue_task_waits_once() {
        let queue = Queue::default();
        let mut promises = submit(&queue, &["a"]);
        let (slow, other) = (join(&queue, ROOM), join(&queue, ROOM));
        leases(&slow);
        pass_time(&queue);
        leases(&other);
        drop((slow, other));
        let last = join(&queue, ROOM);
        let held = leases(&last);
        assert_eq!(names(&held), ["a"]);
        last.done(held[0].id, task("A")).unwrap();
        assert_eq!(promises[0].try_recv(), done("A"));
        assert_eq!(leases(&last), []);
    }

    #[test]
    fn an_overdue_task_that_one_seat_has_failed_is_failed_once() {
        let queue = Queue::default();
        let mut promises = submit(&queue, &["a"]);
        let (slow, other) = (join(&queue, ROOM), join(&queue, ROOM));
        let id = leases(&slow)[0].id;
        pass_time(&queue);
        leases(&other);
        other.failed(id, "why".to_owned()).unwrap();
        assert_eq!(promises[0].try_recv(), Ok(Outcome::Failed { task: task("a"), why: "why".to_owned() }));
        slow.done(id, task("late")).unwrap();
        assert!(queue.book().tasks.is_empty() && queue.book().waiting.is_empty());
    }

    #[test]
    fn closing_wakes_everybody() {
        let queue = Queue::default();
        let mut promises = submit(&queue, &["a"]);
        let seat = join(&queue, ROOM);
        let held = leases(&seat);
        queue.close();
        assert!(promises[0].try_recv().is_err());
        assert_eq!(block_on(seat.lease()), None);
        block_on(queue.closed());
        assert!(queue.submit(task("b"), Lane::Usual, check).try_recv().is_err());
        assert_eq!(seat.done(held[0].id, task("late")), Ok(()), "which is not its fault");
    }
}

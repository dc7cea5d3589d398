//! The coordinator's queue: hands out encoded tasks, takes their answers, and takes back what was
//! lost.
//!
//! It knows no transport and no workload. A member calls [`Queue::join`] for its worker, and gets a
//! [`Consumer`]. A task that a consumer takes is on *lease*. When a worker has died, hangs or
//! cannot be reached, its consumer is dropped, its leases end, and their tasks return to their old
//! position in the queue.
//!
//! A dead worker looks like a slow one, so a task may be done twice. But only a consumer that holds
//! a lease of the task can complete it, and only the first answer that the check accepts does. That
//! is why the output contains each result once.
//!
//! A worker may also be alive and never answer. When no task waits, a task that has been on lease
//! for long is leased a second time, to a consumer that has nothing else to do: the *backup task*
//! of MapReduce (Dean & Ghemawat 2004). The queue has no clock; [`Queue::tick`] tells it that time
//! passes.
//!
//! Answers are not trusted either. Each task is submitted with a check. An answer that the check
//! refuses completes nothing: its consumer gets no more leases, and those that it has end.
//!
//! A task that may have killed a worker is *quarantined*: it runs alone from then on, so that the
//! next loss shows whether it was the cause.

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

/// Maximum workers lost while they ran only this task; then the task is given up. Single losses
/// have other causes, too.
const MAX_LOSSES_ALONE: u32 = 3;

/// Ticks after which a task on lease is overdue, and is leased again to an idle consumer.
const OVERDUE: u64 = 5;

/// A task's number, in the order of submission.
pub type Id = u64;

/// The pending result of a task. It fails if the queue is closed before.
pub type Pending<O> = oneshot::Receiver<Outcome<O>>;

/// What a pending result was completed with, or that it was abandoned.
pub type Completion<O> = Result<Outcome<O>, RecvError>;

/// How a task has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<O> {
    /// It was done; this is the output that its check has made of the answer.
    Done(O),
    /// It was not done, and will not be retried.
    Failed {
        /// The task, as it was submitted.
        task: Bytes,
        /// The reason.
        why: String,
    },
}

/// A pending result that is complete from the start.
#[must_use]
pub fn completed<O>(outcome: Outcome<O>) -> Pending<O> {
    let (outcome_tx, pending) = oneshot::channel();
    let _ = outcome_tx.send(outcome);
    pending
}

/// The priority of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Handed out first: the output waits for it.
    Urgent,
    /// All others.
    Usual,
}

/// What earlier attempts at a task have shown. A caller that resubmits a task, perhaps encoded
/// differently, passes them on.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    /// Clones share the counts, so that a task keeps them when it is resubmitted.
    losses: Arc<Losses>,
    /// The addresses of workers that could not do the task. They get it only if no other worker is
    /// left.
    avoided: BTreeSet<String>,
}

/// How many workers were lost while they had a task. The counts change only under the queue's lock,
/// so relaxed ordering suffices.
#[derive(Debug, Default)]
struct Losses {
    /// Workers that had no other task.
    alone: AtomicU32,
    /// Workers that had other tasks too, any of which may be the cause.
    among_others: AtomicU32,
}

impl Attempts {
    /// Avoids the worker at this address: it gets the task only if there is no other.
    pub fn avoid(&mut self, address: &str) {
        self.avoided.insert(address.to_owned());
    }

    /// Whether the worker at this address is avoided.
    #[must_use]
    pub fn avoids(&self, address: &str) -> bool {
        self.avoided.contains(address)
    }

    /// Whether the task has lost too many workers, and is given up.
    fn are_exhausted(&self) -> bool {
        self.losses.alone.load(Ordering::Relaxed) >= MAX_LOSSES_ALONE
    }

    /// Whether the task may have killed a worker, and so has to run alone.
    fn require_quarantine(&self) -> bool {
        [&self.losses.alone, &self.losses.among_others].iter().any(|n| n.load(Ordering::Relaxed) > 0)
    }

    fn add_loss(&self, was_alone: bool) {
        let losses = if was_alone { &self.losses.alone } else { &self.losses.among_others };
        losses.fetch_add(1, Ordering::Relaxed);
    }
}

/// Maximum of what one consumer has on lease. A task that is larger than the credit is leased when
/// the consumer has no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Tasks.
    pub tasks: usize,
    /// Encoded bytes.
    pub bytes: u64,
}

/// A task that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The task's number, for the answer.
    pub id: Id,
    /// The encoded task.
    pub task: Bytes,
}

/// The queue of one job. Clones are the same queue.
#[derive(Clone, Default)]
pub struct Queue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// A plain lock: it is held for a few map operations, and never across an await.
    state: Mutex<State>,
    changed: Notify,
}

impl Queue {
    /// Queues a task after the others of its lane. The check gets the location of the session that
    /// has answered, and the answer. It returns the output, or what is wrong with the answer; then
    /// the task is done by another consumer.
    pub fn submit<O: Send + 'static>(
        &self,
        task: Bytes,
        lane: Lane,
        check: impl FnMut(&str, &[u8]) -> Result<O, String> + Send + 'static,
    ) -> Pending<O> {
        self.resubmit(task, lane, check, Attempts::default())
    }

    /// Queues a task with what its earlier attempts have shown.
    pub fn resubmit<O: Send + 'static>(
        &self,
        task: Bytes,
        lane: Lane,
        check: impl FnMut(&str, &[u8]) -> Result<O, String> + Send + 'static,
        attempts: Attempts,
    ) -> Pending<O> {
        let (outcome_tx, pending) = oneshot::channel();
        let completer = Box::new(CheckedSender { check, outcome_tx: Some(outcome_tx) });
        let entry = Entry { task, lane, completer, attempts, is_complete: false };
        self.change(|state| state.submit(entry));
        pending
    }

    /// Adds a worker that grants this credit. Its session has the location `ADDRESS/SESSION`.
    #[must_use]
    pub fn join(&self, location: &str, credit: Credit) -> Consumer {
        let number = self.change(|state| state.join(address_of(location), credit));
        Consumer { queue: self.clone(), number, location: location.to_owned() }
    }

    /// Tells the queue that time passes, which makes tasks overdue.
    pub fn tick(&self) {
        self.change(|state| state.ticks += 1);
    }

    /// Ends the job: abandons all pending results, and wakes all that wait for a result, a lease or
    /// the end.
    pub fn close(&self) {
        self.change(State::close);
    }

    /// Waits until the queue is closed.
    pub async fn closed(&self) {
        self.until(|state| state.closed.then_some(())).await;
    }

    /// Waits until `ready` returns something.
    async fn until<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            // Registered before the state is read, so that no change is missed in between.
            let changed = self.0.changed.notified();
            if let Some(found) = ready(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.0.changed.notify_waiters();
        changed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under the lock, so a panic cannot leave the state half-changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker at the queue. Dropping it means that the worker was lost, and ends its leases.
pub struct Consumer {
    queue: Queue,
    number: u64,
    location: String,
}

impl Consumer {
    /// Waits for a task that fits into the credit. None at the end of the job. It is cancel safe:
    /// no task is leased before the future returns it.
    pub async fn lease(&self) -> Option<Lease> {
        let next = |state: &mut State| {
            if state.closed { Some(None) } else { state.lease(self.number).map(Some) }
        };
        self.queue.until(next).await
    }

    /// Whether the task with this number is on lease here, so that an answer may come.
    #[must_use]
    pub fn expects(&self, id: Id) -> bool {
        let state = self.queue.state();
        state.closed || state.is_leased_to(self.number, id)
    }

    /// Takes the answer to a task, and gives back its credit.
    ///
    /// # Errors
    ///
    /// What is wrong: the task's check refuses the answer, or the task is not on lease here. The
    /// consumer gets no more tasks, and those that it had are done by others.
    pub fn done(&self, id: Id, answer: Bytes) -> Result<(), String> {
        let Some(mut entry) = self.take(id)? else { return Ok(()) };
        // Not under the lock: the check is foreign code, and may decode much. `AssertUnwindSafe` is
        // sound: only later calls of the same check can see what a panic has left in it.
        let check = AssertUnwindSafe(|| entry.completer.complete(&self.location, answer));
        let checked = catch_unwind(check).unwrap_or_else(|panic| Err(panic_reason(&*panic)));
        self.queue.change(|state| match &checked {
            Ok(()) => state.complete(self.number, id, entry),
            Err(_) => state.distrust(self.number, Some((id, entry))),
        });
        checked
    }

    /// Takes the report that a task has failed, and would fail again.
    ///
    /// # Errors
    ///
    /// If the task is not on lease here. The consequences are as for an answer.
    pub fn failed(&self, id: Id, why: String) -> Result<(), String> {
        if let Some(entry) = self.take(id)? {
            entry.completer.fail(entry.task, why);
            self.queue.change(|state| state.release(self.number, id));
        }
        Ok(())
    }

    /// Takes a task that is on lease here out of the state while its answer is checked. None if no
    /// answer is needed: the queue is closed, or another consumer has failed the task or is
    /// answering it now.
    fn take(&self, id: Id) -> Result<Option<Entry>, String> {
        let taken = self.queue.state().take(self.number, id);
        match &taken {
            Ok(Some(_)) => {}
            Ok(None) => self.queue.change(|state| state.release(self.number, id)),
            Err(_) => self.queue.change(|state| state.distrust(self.number, None)),
        }
        taken
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.queue.change(|state| state.on_worker_loss(self.number));
    }
}

/// The state of the queue. Its methods never wait.
#[derive(Default)]
struct State {
    next: u64,
    ticks: u64,
    closed: bool,
    /// Tasks that are not complete, and complete ones that are still on lease, because late answers
    /// are checked too.
    tasks: HashMap<Id, Entry>,
    /// Tasks that are not on lease. Sorted, so that a lost task returns to its old position, before
    /// all younger ones.
    waiting: BTreeSet<(Lane, Id)>,
    consumers: HashMap<u64, ConsumerState>,
}

struct Entry {
    task: Bytes,
    lane: Lane,
    completer: Box<dyn Completer>,
    attempts: Attempts,
    /// Whether an answer was accepted.
    is_complete: bool,
}

/// Completes the pending result of a task, for any type of output.
trait Completer: Send {
    /// Completes it with an answer. An error says why the answer is wrong; then it stays pending.
    fn complete(&mut self, location: &str, answer: Bytes) -> Result<(), String>;

    /// Completes it with a failure.
    fn fail(self: Box<Self>, task: Bytes, why: String);
}

/// A check, and where its output goes.
struct CheckedSender<O, C> {
    check: C,
    /// None when it was used.
    outcome_tx: Option<oneshot::Sender<Outcome<O>>>,
}

impl<O: Send, C: FnMut(&str, &[u8]) -> Result<O, String> + Send> Completer for CheckedSender<O, C> {
    fn complete(&mut self, location: &str, answer: Bytes) -> Result<(), String> {
        let output = (self.check)(location, &answer)?;
        // The receiver is gone if the run was stopped; the output is then not needed.
        let _ = self.outcome_tx.take().map(|outcome_tx| outcome_tx.send(Outcome::Done(output)));
        Ok(())
    }

    fn fail(mut self: Box<Self>, task: Bytes, why: String) {
        let _ = self.outcome_tx.take().map(|outcome_tx| outcome_tx.send(Outcome::Failed { task, why }));
    }
}

/// The address of the worker in a location `ADDRESS/SESSION`.
pub(super) fn address_of(location: &str) -> &str {
    location.rsplit_once('/').map_or(location, |(address, _)| address)
}

/// What the queue knows of a consumer.
struct ConsumerState {
    address: String,
    credit: Credit,
    leases: BTreeMap<Id, LeaseState>,
    /// Whether its lease is a quarantined task, which must stay alone.
    is_quarantine: bool,
    /// Whether it has answered wrongly, and gets no more tasks.
    is_distrusted: bool,
}

struct LeaseState {
    bytes: u64,
    /// The tick at which it was handed out.
    since: u64,
}

impl ConsumerState {
    fn has_room_for(&self, entry: &Entry) -> bool {
        if self.leases.is_empty() {
            return true;
        }
        // A worker that dies also loses the tasks that wait after the one that has killed it. So a
        // quarantined task runs alone: only then does the next loss show whether it was the cause.
        if self.is_quarantine || entry.attempts.require_quarantine() {
            return false;
        }
        let leased: u64 = self.leases.values().map(|lease| lease.bytes).sum();
        self.leases.len() < self.credit.tasks && leased + entry.task.len() as u64 <= self.credit.bytes
    }
}

impl State {
    fn submit(&mut self, entry: Entry) {
        if !self.closed {
            let id = self.number();
            self.waiting.insert((entry.lane, id));
            self.tasks.insert(id, entry);
        }
    }

    fn join(&mut self, address: &str, credit: Credit) -> u64 {
        let number = self.number();
        let consumer = ConsumerState {
            address: address.to_owned(),
            credit,
            leases: BTreeMap::new(),
            is_quarantine: false,
            is_distrusted: false,
        };
        self.consumers.insert(number, consumer);
        number
    }

    fn lease(&mut self, number: u64) -> Option<Lease> {
        let waiting = self.waiting.iter().map(|(_, id)| *id).find(|id| !self.is_for_another(number, *id));
        let id = waiting.or_else(|| self.overdue(number))?;
        let (entry, consumer) = (self.tasks.get(&id)?, self.consumers.get_mut(&number)?);
        if consumer.is_distrusted || !consumer.has_room_for(entry) {
            return None;
        }
        consumer.is_quarantine = entry.attempts.require_quarantine();
        consumer.leases.insert(id, LeaseState { bytes: entry.task.len() as u64, since: self.ticks });
        self.waiting.remove(&(entry.lane, id));
        Some(Lease { id, task: entry.task.clone() })
    }

    /// The first task that other consumers have had for long, for a consumer that has nothing else
    /// to do.
    fn overdue(&self, number: u64) -> Option<Id> {
        if !self.waiting.is_empty() || !self.consumers.get(&number)?.leases.is_empty() {
            return None;
        }
        let leases = || self.consumers.values().flat_map(|consumer| &consumer.leases);
        let is_old = |lease: &LeaseState| self.ticks - lease.since >= OVERDUE;
        let is_open = |id: &Id| self.tasks.get(id).is_some_and(|entry| !entry.is_complete);
        // If a task has several leases, all must be old.
        let is_overdue = |id: &Id| leases().all(|(other, lease)| other != id || is_old(lease));
        let old = leases().filter(|(_, lease)| is_old(lease)).map(|(id, _)| *id);
        old.filter(|id| is_open(id) && is_overdue(id) && !self.is_for_another(number, *id)).min()
    }

    /// Whether the task avoids this consumer's worker, and there is a consumer that it does not
    /// avoid.
    fn is_for_another(&self, number: u64, id: Id) -> bool {
        let (Some(entry), Some(consumer)) = (self.tasks.get(&id), self.consumers.get(&number)) else {
            return false;
        };
        let can_try = |other: &ConsumerState| !other.is_distrusted && !entry.attempts.avoids(&other.address);
        entry.attempts.avoids(&consumer.address) && self.consumers.values().any(can_try)
    }

    /// Takes out a task that is on lease to this consumer. The lease stays, because without it the
    /// consumer would have credit for another task.
    fn take(&mut self, number: u64, id: Id) -> Result<Option<Entry>, String> {
        let is_leased = self.is_leased_to(number, id);
        if !is_leased && !self.closed {
            return Err(NOT_LEASED.to_owned());
        }
        Ok(self.tasks.remove(&id))
    }

    /// Ends a lease.
    fn release(&mut self, number: u64, id: Id) {
        if let Some(consumer) = self.consumers.get_mut(&number) {
            consumer.leases.remove(&id);
        }
    }

    /// Ends a lease with an accepted answer. Later answers of other consumers are only checked.
    fn complete(&mut self, number: u64, id: Id, entry: Entry) {
        self.release(number, id);
        if !self.closed && self.is_on_lease(id) {
            self.tasks.insert(id, Entry { is_complete: true, ..entry });
        }
    }

    fn is_leased_to(&self, number: u64, id: Id) -> bool {
        self.consumers.get(&number).is_some_and(|consumer| consumer.leases.contains_key(&id))
    }

    fn is_on_lease(&self, id: Id) -> bool {
        self.consumers.values().any(|consumer| consumer.leases.contains_key(&id))
    }

    /// Stops handing out tasks to a consumer that has answered wrongly. `taken` is the task of that
    /// answer. All of its tasks are done by others; none of them is suspected.
    fn distrust(&mut self, number: u64, taken: Option<(Id, Entry)>) {
        if let Some((id, entry)) = taken.filter(|_| !self.closed) {
            self.tasks.insert(id, entry);
        }
        let Some(consumer) = self.consumers.get_mut(&number) else { return };
        consumer.is_distrusted = true;
        for id in std::mem::take(&mut consumer.leases).into_keys() {
            self.requeue(id);
        }
    }

    /// Ends the leases of a worker that was lost. Only a task that was alone there is known to be
    /// the cause.
    fn on_worker_loss(&mut self, number: u64) {
        let Some(consumer) = self.consumers.remove(&number) else { return };
        let was_alone = consumer.leases.len() == 1;
        for id in consumer.leases.into_keys() {
            let Some(entry) = self.tasks.get_mut(&id) else { continue };
            if !entry.is_complete {
                entry.attempts.add_loss(was_alone);
            }
            if !entry.attempts.are_exhausted() {
                self.requeue(id);
            } else if let Some(entry) = self.tasks.remove(&id) {
                entry.completer.fail(entry.task, given_up());
            }
        }
    }

    /// Returns a task to its old position, unless another consumer has it on lease. A complete task
    /// was kept for this lease only, and is forgotten.
    fn requeue(&mut self, id: Id) {
        if self.is_on_lease(id) {
            return;
        }
        let Some(entry) = self.tasks.get(&id) else { return };
        if entry.is_complete {
            self.tasks.remove(&id);
        } else {
            self.waiting.insert((entry.lane, id));
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

/// What is wrong with an answer to a task that the worker does not have.
const NOT_LEASED: &str = "it answers a task that it was not sent";

/// The reason of a task that was given up.
fn given_up() -> String {
    format!("{MAX_LOSSES_ALONE} workers were lost while they ran only this task")
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

    /// Accepts every answer except "lie", and returns it with the location that it came from.
    fn check(location: &str, answer: &[u8]) -> Result<Answer, String> {
        let is_lie = answer == b"lie";
        if is_lie { Err("a lie".to_owned()) } else { Ok((location.to_owned(), answer.to_vec().into())) }
    }

    type Answer = (String, Bytes);

    fn submit(queue: &Queue, names: &[&'static str]) -> Vec<Pending<Answer>> {
        names.iter().map(|name| queue.submit(task(name), Lane::Usual, check)).collect()
    }

    fn join(queue: &Queue, credit: Credit) -> Consumer {
        queue.join("here/session", credit)
    }

    fn done(answer: &'static str) -> Result<Outcome<Answer>, oneshot::error::TryRecvError> {
        Ok(Outcome::Done(("here/session".to_owned(), task(answer))))
    }

    /// Answers all tasks that this consumer can lease.
    fn answer_all(consumer: &Consumer, answer: &'static str) {
        loop {
            let leased = leases(consumer);
            if leased.is_empty() {
                return;
            }
            leased.iter().for_each(|lease| consumer.done(lease.id, task(answer)).unwrap());
        }
    }

    /// The tasks that this consumer can lease now.
    fn leases(consumer: &Consumer) -> Vec<Lease> {
        std::iter::from_fn(|| consumer.queue.state().lease(consumer.number)).collect()
    }

    fn names(leases: &[Lease]) -> Vec<&str> {
        leases.iter().map(|lease| std::str::from_utf8(&lease.task).unwrap()).collect()
    }

    #[test]
    fn an_answer_completes_the_result_of_its_task() {
        let queue = Queue::default();
        let mut pending = submit(&queue, &["a", "b"]);
        let consumer = join(&queue, ROOM);
        let [a, b] = &leases(&consumer)[..] else { panic!("two tasks") };
        consumer.done(b.id, task("B")).unwrap();
        assert!(pending[0].try_recv().is_err());
        consumer.done(a.id, task("A")).unwrap();
        assert_eq!((pending[0].try_recv(), pending[1].try_recv()), (done("A"), done("B")));
    }

    #[test]
    fn credit_is_in_tasks_and_in_bytes() {
        let queue = Queue::default();
        let _pending = submit(&queue, &["1", "22", "4444", "a longer one", "x"]);
        let few = join(&queue, Credit { tasks: 1, bytes: 100 });
        assert_eq!(names(&leases(&few)), ["1"]);
        let small = join(&queue, Credit { tasks: 9, bytes: 6 });
        let leased = leases(&small);
        assert_eq!(names(&leased), ["22", "4444"]);
        small.done(leased[0].id, task("")).unwrap();
        assert!(leases(&small).is_empty(), "the long task waits until it can be alone");
        small.done(leased[1].id, task("")).unwrap();
        assert_eq!(names(&leases(&small)), ["a longer one"]);
    }

    #[test]
    fn urgent_tasks_go_first() {
        let queue = Queue::default();
        let _pending = submit(&queue, &["a", "b"]);
        let _urgent = queue.submit(task("urgent"), Lane::Urgent, check);
        assert_eq!(names(&leases(&join(&queue, ROOM))), ["urgent", "a", "b"]);
    }

    #[test]
    fn lost_tasks_return_to_their_old_position() {
        let queue = Queue::default();
        let _pending = submit(&queue, &["a", "b", "c", "d"]);
        let consumer = join(&queue, Credit { tasks: 2, ..ROOM });
        assert_eq!(names(&leases(&consumer)), ["a", "b"]);
        drop(consumer);
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
    fn only_the_holder_of_a_lease_completes_a_task() {
        let queue = Queue::default();
        let mut pending = submit(&queue, &["a", "b"]);
        let one = Credit { tasks: 1, ..ROOM };
        let (first, other) = (join(&queue, one), join(&queue, one));
        let (a, b) = (leases(&first), leases(&other));
        assert!(first.expects(a[0].id) && !other.expects(a[0].id) && !first.expects(99));
        assert!(other.done(a[0].id, task("not its own")).is_err());
        assert!(pending[0].try_recv().is_err());
        assert_eq!(leases(&other), [], "it is distrusted");
        first.done(a[0].id, task("A")).unwrap();
        assert_eq!(pending[0].try_recv(), done("A"));

        assert_eq!(leases(&first), b, "it gets the task of the other");
        first.failed(b[0].id, "why".to_owned()).unwrap();
        assert_eq!(pending[1].try_recv(), Ok(Outcome::Failed { task: task("b"), why: "why".to_owned() }));
        assert!(first.done(a[0].id, task("twice")).is_err());
        let consumer = join(&queue, ROOM);
        assert!(consumer.failed(99, "of an unknown task".to_owned()).is_err());
    }

    #[test]
    fn a_wrong_answer_completes_nothing_and_its_consumer_loses_all_tasks() {
        let queue = Queue::default();
        let mut pending = submit(&queue, &["a", "b", "c"]);
        let liar = join(&queue, Credit { tasks: 2, ..ROOM });
        let leased = leases(&liar);
        assert_eq!(liar.done(leased[1].id, task("lie")), Err("a lie".to_owned()));
        assert_eq!(leases(&liar), []);
        assert!(liar.done(leased[0].id, task("A")).is_err(), "it has no lease");
        drop(liar);
        let honest = join(&queue, ROOM);
        assert_eq!(names(&leases(&honest)), ["a", "b", "c"], "in their old positions, and none is suspected");
        (1..=3).for_each(|id| honest.done(id, task("true")).unwrap());
        assert!(pending.iter_mut().all(|pending| pending.try_recv() == done("true")));
    }

    #[test]
    fn a_check_that_panics_is_a_wrong_answer() {
        let queue = Queue::default();
        let panics = |_: &str, answer: &[u8]| -> Result<u8, String> { Ok(answer[7]) };
        let mut pending = queue.submit(task("a"), Lane::Usual, panics);
        let consumer = join(&queue, ROOM);
        let leased = leases(&consumer);
        assert!(consumer.done(leased[0].id, task("short")).unwrap_err().contains("panicked"));
        assert!(pending.try_recv().is_err());
        let other = join(&queue, ROOM);
        other.done(leases(&other)[0].id, task("long enough")).unwrap();
        assert_eq!(pending.try_recv(), Ok(Outcome::Done(b'o')));
    }

    #[test]
    fn a_task_is_given_up_after_three_losses_and_its_neighbours_are_done() {
        let queue = Queue::default();
        let mut pending = submit(&queue, &["neighbour", "deadly", "another"]);
        // Each worker does its tasks in order, until it comes to the deadly one.
        for _ in 0..4 {
            let consumer = join(&queue, ROOM);
            let mut leased = VecDeque::from(leases(&consumer));
            while let Some(lease) = leased.pop_front().filter(|lease| lease.task != task("deadly")) {
                consumer.done(lease.id, task("fine")).unwrap();
                leased.extend(leases(&consumer));
            }
        }
        answer_all(&join(&queue, ROOM), "fine");
        let Ok(Outcome::Failed { task: failed, why }) = pending[1].try_recv() else {
            panic!("it has failed")
        };
        assert_eq!((failed, &*why), (task("deadly"), "3 workers were lost while they ran only this task"));
        assert_eq!((pending[0].try_recv(), pending[2].try_recv()), (done("fine"), done("fine")));
    }

    /// Workers are killed at random while they have several tasks, none of which is the cause.
    #[test]
    fn tasks_lost_together_are_not_given_up_but_run_alone_once() {
        let queue = Queue::default();
        for _ in 0..9 {
            let mut pending = submit(&queue, &["one", "two", "three"]);
            let consumer = join(&queue, ROOM);
            assert_eq!(names(&leases(&consumer)), ["one", "two", "three"]);
            drop(consumer);
            let consumer = join(&queue, ROOM);
            for name in ["one", "two", "three"] {
                let leased = leases(&consumer);
                assert_eq!(names(&leased), [name], "alone");
                consumer.done(leased[0].id, task("fine")).unwrap();
            }
            assert!(pending.iter_mut().all(|pending| pending.try_recv() == done("fine")));
        }
    }

    #[test]
    fn a_quarantined_task_that_is_resubmitted_still_runs_alone() {
        let (queue, attempts) = (Queue::default(), Attempts::default());
        let _first = queue.resubmit(task("deadly"), Lane::Usual, check, attempts.clone());
        let _neighbour = submit(&queue, &["neighbour"]);
        drop(leases(&join(&queue, ROOM)));
        answer_all(&join(&queue, ROOM), "not like this");
        let _neighbour = submit(&queue, &["neighbour"]);
        let _again = queue.resubmit(task("deadly"), Lane::Usual, check, attempts.clone());
        let consumer = join(&queue, ROOM);
        let leased = leases(&consumer);
        assert_eq!(names(&leased), ["neighbour"]);
        consumer.done(leased[0].id, task("")).unwrap();
        assert_eq!(names(&leases(&consumer)), ["deadly"]);
        assert!(attempts.require_quarantine() && !attempts.are_exhausted());
    }

    #[test]
    fn a_quarantined_task_runs_alone() {
        let queue = Queue::default();
        let _pending = submit(&queue, &["a", "b"]);
        drop({
            let consumer = join(&queue, Credit { tasks: 1, ..ROOM });
            leases(&consumer);
            consumer
        });
        let consumer = join(&queue, ROOM);
        let leased = leases(&consumer);
        assert_eq!(names(&leased), ["a"]);
        consumer.done(leased[0].id, task("")).unwrap();
        assert_eq!(names(&leases(&consumer)), ["b"]);
    }

    #[test]
    fn losses_add_up_when_a_task_is_resubmitted() {
        let (queue, attempts) = (Queue::default(), Attempts::default());
        for n in 1..=3 {
            let mut pending = queue.resubmit(task("deadly"), Lane::Usual, check, attempts.clone());
            let consumer = join(&queue, ROOM);
            assert_eq!(leases(&consumer).len(), 1);
            drop(consumer);
            if n < 3 {
                answer_all(&join(&queue, ROOM), "not like this");
                assert_eq!(pending.try_recv(), done("not like this"));
            } else {
                assert!(matches!(pending.try_recv(), Ok(Outcome::Failed { .. })));
            }
        }
    }

    #[test]
    fn a_worker_that_could_not_do_a_task_gets_it_again_only_if_no_other_is_left() {
        let (queue, mut attempts) = (Queue::default(), Attempts::default());
        attempts.avoid("a:1");
        let _again = queue.resubmit(task("again"), Lane::Usual, check, attempts);
        let _pending = submit(&queue, &["next"]);
        let (first, other) = (queue.join("a:1/x", ROOM), queue.join("b:1/y", ROOM));
        assert_eq!(names(&leases(&first)), ["next"]);
        assert_eq!(names(&leases(&other)), ["again"]);
        drop(other);
        first.done(2, task("fine")).unwrap();
        let later = queue.join("a:1/z", ROOM);
        assert_eq!(names(&leases(&later)), ["again"]);
    }

    /// Lets enough time pass to make a task overdue.
    fn pass_time(queue: &Queue) {
        (0..OVERDUE).for_each(|_| queue.tick());
    }

    #[test]
    fn an_overdue_task_is_leased_to_an_idle_consumer_and_the_first_answer_counts() {
        let queue = Queue::default();
        let mut pending = submit(&queue, &["a", "b"]);
        let (slow, other) = (join(&queue, ROOM), join(&queue, ROOM));
        let leased = leases(&slow);
        (1..OVERDUE).for_each(|_| queue.tick());
        assert_eq!(leases(&other), [], "nothing is overdue yet");
        queue.tick();
        let backup = leases(&other);
        assert_eq!(names(&backup), ["a"], "one task at a time, the first one first");
        assert_eq!(leases(&slow), [], "the worker that has it does not get it again");
        other.done(backup[0].id, task("A")).unwrap();
        assert_eq!(pending[0].try_recv(), done("A"));
        assert_eq!(names(&leases(&other)), ["b"]);
        slow.done(leased[0].id, task("late")).unwrap();
        slow.done(leased[1].id, task("B")).unwrap();
        other.done(leased[1].id, task("late")).unwrap();
        assert_eq!(pending[1].try_recv(), done("B"));
        assert!(queue.state().tasks.is_empty() && queue.state().waiting.is_empty());
        assert!(slow.done(leased[0].id, task("twice")).is_err());
    }

    #[test]
    fn no_task_is_leased_again_while_others_wait_or_the_consumer_is_busy() {
        let queue = Queue::default();
        let _pending = submit(&queue, &["a", "b", "c"]);
        let one = Credit { tasks: 1, ..ROOM };
        let (slow, other) = (join(&queue, one), join(&queue, ROOM));
        leases(&slow);
        pass_time(&queue);
        let leased = leases(&other);
        assert_eq!(names(&leased), ["b", "c"]);
        leased.iter().for_each(|lease| other.done(lease.id, task("")).unwrap());
        assert_eq!(names(&leases(&other)), ["a"]);
        let third = join(&queue, ROOM);
        assert_eq!(leases(&third), [], "the second lease is young");
        pass_time(&queue);
        assert_eq!(names(&leases(&third)), ["a"], "and becomes overdue, too");
    }

    #[test]
    fn a_late_answer_is_checked_and_completes_nothing() {
        let queue = Queue::default();
        let mut pending = submit(&queue, &["a"]);
        let (slow, other) = (join(&queue, ROOM), join(&queue, ROOM));
        let id = leases(&slow)[0].id;
        pass_time(&queue);
        leases(&other);
        other.done(id, task("A")).unwrap();
        assert_eq!(pending[0].try_recv(), done("A"));
        assert_eq!(slow.done(id, task("lie")), Err("a lie".to_owned()));
        assert!(queue.state().tasks.is_empty() && queue.state().waiting.is_empty());
        let _more = submit(&queue, &["b"]);
        assert_eq!((leases(&slow), leases(&other).len()), (vec![], 1));
    }

    #[test]
    fn a_backup_that_lies_or_is_lost_leaves_the_task_to_the_first_consumer() {
        let queue = Queue::default();
        let mut pending = submit(&queue, &["a"]);
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
        assert!(queue.state().waiting.is_empty() && pending[0].try_recv().is_err());
        slow.done(id, task("A")).unwrap();
        assert_eq!(pending[0].try_recv(), done("A"));
        assert!(queue.state().tasks.is_empty());
    }

    #[test]
    fn a_complete_task_is_not_suspected_when_a_consumer_is_lost_that_still_has_it() {
        let (queue, attempts) = (Queue::default(), Attempts::default());
        let _pending = queue.resubmit(task("a"), Lane::Usual, check, attempts.clone());
        let (slow, other) = (join(&queue, ROOM), join(&queue, ROOM));
        leases(&slow);
        pass_time(&queue);
        other.done(leases(&other)[0].id, task("A")).unwrap();
        drop(slow);
        assert!(!attempts.require_quarantine() && queue.state().tasks.is_empty());
    }

    #[test]
    fn when_all_its_consumers_are_lost_an_overdue_task_waits_once() {
        let queue = Queue::default();
        let mut pending = submit(&queue, &["a"]);
        let (slow, other) = (join(&queue, ROOM), join(&queue, ROOM));
        leases(&slow);
        pass_time(&queue);
        leases(&other);
        drop((slow, other));
        let last = join(&queue, ROOM);
        let leased = leases(&last);
        assert_eq!(names(&leased), ["a"]);
        last.done(leased[0].id, task("A")).unwrap();
        assert_eq!(pending[0].try_recv(), done("A"));
        assert_eq!(leases(&last), []);
    }

    #[test]
    fn an_overdue_task_that_one_consumer_has_failed_is_failed_once() {
        let queue = Queue::default();
        let mut pending = submit(&queue, &["a"]);
        let (slow, other) = (join(&queue, ROOM), join(&queue, ROOM));
        let id = leases(&slow)[0].id;
        pass_time(&queue);
        leases(&other);
        other.failed(id, "why".to_owned()).unwrap();
        assert_eq!(pending[0].try_recv(), Ok(Outcome::Failed { task: task("a"), why: "why".to_owned() }));
        slow.done(id, task("late")).unwrap();
        assert!(queue.state().tasks.is_empty() && queue.state().waiting.is_empty());
    }

    #[test]
    fn closing_wakes_all_that_wait() {
        let queue = Queue::default();
        let mut pending = submit(&queue, &["a"]);
        let consumer = join(&queue, ROOM);
        let leased = leases(&consumer);
        queue.close();
        assert!(pending[0].try_recv().is_err());
        assert_eq!(block_on(consumer.lease()), None);
        block_on(queue.closed());
        assert!(queue.submit(task("b"), Lane::Usual, check).try_recv().is_err());
        assert_eq!(consumer.done(leased[0].id, task("late")), Ok(()), "a late answer is no mistake");
    }
}

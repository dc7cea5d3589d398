//! The coordinator's side of sessions that keep something: questions of many go to one worker, on
//! one stream.
//!
//! A question has a number, and a promise of its answer. It takes a part of the credit that the
//! worker has granted; a caller that finds none waits here, and not on the stream, which therefore
//! never stalls. Questions go in the order in which they were asked, those that are there together
//! travel together.
//!
//! When the session ends, whatever became of the worker, all promises break: it is not known what
//! was done, and nothing is asked again. A session that comes later is another one, with nothing of
//! what this one kept.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::pending,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prost::bytes::Bytes;
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tonic::Streaming;

use super::{
    keeper::Answers,
    lost::Lost,
    wire::{
        Assembly, LEAST, PAYLOAD, batches,
        pb::{FromKeeper, ToKeeper, from_keeper::What as Answer, to_keeper::What as Order},
    },
};

/// Where an answer is waited for. It fails if the session ends before: it is not known what was
/// done.
pub type Promise = oneshot::Receiver<Bytes>;

/// Why nothing was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unasked {
    /// There is no session.
    Down,
    /// It is too large to be sent.
    TooLarge,
}

/// The way to one worker, through all its sessions. Clones are the same way.
#[derive(Clone)]
pub struct Link(Arc<Shared>);

struct Shared {
    /// A plain lock: it is held for a few operations on maps, and never across a wait.
    session: Mutex<Option<Session>>,
    /// There are questions to be sent.
    asked: Notify,
    /// Whether there is a session, once that is known.
    is_up: watch::Sender<Option<bool>>,
}

/// One session, as long as it lasts.
struct Session {
    credit: Arc<Semaphore>,
    /// How much was granted.
    all: usize,
    /// Whether the worker is silent: nothing new is asked of it then.
    is_suspected: bool,
    /// The number of the last question.
    last: u64,
    outbox: Answers,
    promised: HashMap<u64, Promised>,
}

/// A question that is not answered yet, and what it has of the credit.
struct Promised {
    /// None if the promise was broken since the worker is suspected. The credit comes back with the
    /// answer only.
    answer: Option<oneshot::Sender<Bytes>>,
    _credit: Option<Part>,
}

/// A part of a session's credit.
type Part = OwnedSemaphorePermit;

/// What a question has begun that another has to end. That one needs no credit but this, so that
/// what has begun can end.
pub struct Ticket {
    /// The question's number.
    pub number: u64,
    credit: Part,
    /// Tells the session.
    is_of: Arc<Semaphore>,
}

impl Link {
    pub(super) fn new() -> Self {
        let (is_up, _) = watch::channel(None);
        Self(Arc::new(Shared { session: Mutex::default(), asked: Notify::new(), is_up }))
    }

    /// Waits until it is known whether there is a worker.
    pub async fn known(&self) {
        // The sender is kept here.
        let _ = self.0.is_up.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until there is a worker.
    pub async fn up(&self) {
        let _ = self.0.is_up.subscribe().wait_for(|is_up| *is_up == Some(true)).await;
    }

    /// Whether there is a worker, as far as is known, and it is not suspected.
    #[must_use]
    pub fn is_up(&self) -> bool {
        *self.0.is_up.borrow() == Some(true)
    }

    /// Asks, as soon as there is credit. That of a small question comes back with the answer.
    ///
    /// # Errors
    ///
    /// If there is no session, or it ends before anything was asked; or if the question is too
    /// large.
    pub async fn ask(&self, question: Vec<u8>) -> Result<Promise, Unasked> {
        let (credit, is_of) = self.credit(question.len()).await?;
        let (_, promise) = self.push_new(&is_of, question, Some(credit))?;
        Ok(promise)
    }

    /// As [`ask`](Link::ask), for a question that begins something. The credit stays with the
    /// ticket.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn begin(&self, question: Vec<u8>) -> Result<(Promise, Ticket), Unasked> {
        let (credit, is_of) = self.credit(question.len()).await?;
        let (number, promise) = self.push_new(&is_of, question, None)?;
        Ok((promise, Ticket { number, credit, is_of }))
    }

    /// Ends what was begun. The promise breaks at once if the session has ended in which that was.
    /// It does so, too, if the worker is suspected, but that is told nevertheless: it may be alive,
    /// and must not wait for the end for ever.
    pub fn end(&self, ticket: Ticket, question: Vec<u8>) -> Promise {
        let pushed = self.push(&ticket.is_of, question, Some(ticket.credit));
        pushed.map_or_else(|| oneshot::channel().1, |(_, promise)| promise)
    }

    /// Queues a question that begins something new, unless the session has ended or the worker is
    /// suspected.
    fn push_new(
        &self,
        credit: &Arc<Semaphore>,
        question: Vec<u8>,
        part: Option<Part>,
    ) -> Result<(u64, Promise), Unasked> {
        if self.session().as_ref().is_none_or(|session| session.is_suspected) {
            return Err(Unasked::Down);
        }
        self.push(credit, question, part).ok_or(Unasked::Down)
    }

    /// Queues a question, unless the session has ended that this is the credit of.
    fn push(&self, credit: &Arc<Semaphore>, question: Vec<u8>, part: Option<Part>) -> Option<(u64, Promise)> {
        let mut session = self.session();
        let session = session.as_mut().filter(|session| Arc::ptr_eq(&session.credit, credit))?;
        self.0.asked.notify_one();
        Some(session.push(question.into(), part))
    }

    /// Waits for credit for so many bytes, as long as the worker is not suspected.
    async fn credit(&self, bytes: usize) -> Result<(Part, Arc<Semaphore>), Unasked> {
        if bytes as u64 > PAYLOAD {
            return Err(Unasked::TooLarge);
        }
        let (credit, parts) = {
            let session = self.session();
            let session = session.as_ref().filter(|session| !session.is_suspected).ok_or(Unasked::Down)?;
            // One that is larger than all of it is let in alone.
            (session.credit.clone(), bytes.max(LEAST).min(session.all) as u32)
        };
        if let Ok(part) = credit.clone().try_acquire_many_owned(parts) {
            return Ok((part, credit));
        }
        let part = tokio::select! {
            part = credit.clone().acquire_many_owned(parts) => part,
            () = self.down() => return Err(Unasked::Down),
        };
        part.map(|part| (part, credit)).map_err(|_: AcquireError| Unasked::Down)
    }

    /// Waits until there is no worker, or it is suspected.
    async fn down(&self) {
        // The sender is kept here.
        let _ = self.0.is_up.subscribe().wait_for(|is_up| *is_up == Some(false)).await;
    }

    /// The worker is silent. Promises break, since it is not known when they would be kept; nothing
    /// new is asked, and nothing is lost yet.
    pub(super) fn suspect(&self) {
        let mut session = self.session();
        let Some(session) = session.as_mut() else { return };
        session.is_suspected = true;
        session.promised.values_mut().for_each(|promised| promised.answer = None);
        self.0.is_up.send_replace(Some(false));
    }

    /// The worker has given a sign of life, so all that it keeps is there.
    pub(super) fn trust(&self) {
        let mut session = self.session();
        let Some(session) = session.as_mut() else { return };
        session.is_suspected = false;
        self.0.is_up.send_replace(Some(true));
    }

    fn session(&self) -> MutexGuard<'_, Option<Session>> {
        // No code of others runs under the lock, so it cannot be left half-changed.
        self.0.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There was no session to be had.
    pub(super) fn is_down(&self) {
        self.0.is_up.send_replace(Some(false));
    }

    /// Asks and hears until the session ends, which was granted so many bytes.
    pub(super) async fn exchange(
        &self,
        bytes: usize,
        messages: mpsc::Sender<ToKeeper>,
        answers: Streaming<FromKeeper>,
    ) -> Result<Infallible, Lost> {
        let _up = Up::new(self, bytes);
        tokio::select! {
            lost = self.hand_out(messages) => lost,
            lost = self.take_in(answers) => lost,
        }
    }

    async fn hand_out(&self, messages: mpsc::Sender<ToKeeper>) -> Result<Infallible, Lost> {
        loop {
            self.0.asked.notified().await;
            let questions = self.session().as_mut().map(|session| mem::take(&mut session.outbox));
            for batch in batches(questions.unwrap_or_default().into_iter()) {
                if messages.send(Order::Questions(batch).into()).await.is_err() {
                    return pending().await; // `take_in` learns why
                }
            }
        }
    }

    /// Keeps promises, and never waits with it.
    async fn take_in(&self, mut answers: Streaming<FromKeeper>) -> Result<Infallible, Lost> {
        let mut assembly = Assembly::default();
        while let Some(message) = answers.message().await? {
            let Some(Answer::Answers(batch)) = message.what else { continue };
            let whole = assembly.whole(batch)?;
            let mut session = self.session();
            let session = session.as_mut().expect("it is there until this ends");
            for (number, answer) in whole {
                if let Some(sender) = session.promised.remove(&number).and_then(|promised| promised.answer) {
                    // The receiver may be gone.
                    let _ = sender.send(answer);
                }
            }
        }
        Err(Lost::Gone("ended the session".to_owned()))
    }
}

impl Session {
    fn push(&mut self, question: Bytes, credit: Option<Part>) -> (u64, Promise) {
        let (answer, promise) = oneshot::channel();
        self.last += 1;
        self.outbox.push((self.last, question));
        let answer = (!self.is_suspected).then_some(answer);
        self.promised.insert(self.last, Promised { answer, _credit: credit });
        (self.last, promise)
    }
}

/// There is a session as long as this is kept.
struct Up<'a>(&'a Link);

impl<'a> Up<'a> {
    fn new(link: &'a Link, bytes: usize) -> Self {
        let all = bytes.clamp(1, u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        let (credit, outbox, promised) = (Arc::new(Semaphore::new(all)), Answers::new(), HashMap::new());
        *link.session() = Some(Session { credit, all, is_suspected: false, last: 0, outbox, promised });
        link.0.is_up.send_replace(Some(true));
        Self(link)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.0.is_up.send_replace(Some(false));
        let session = self.0.session().take();
        // Wakes those who wait for it.
        session.inspect(|session| session.credit.close());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt;

    use super::*;

    /// What is asked at once, or why it is not.
    fn ask(link: &Link) -> Option<Result<Promise, Unasked>> {
        link.ask(b"?".to_vec()).now_or_never()
    }

    #[test]
    fn a_suspected_worker_keeps_its_session_and_is_asked_nothing_new() {
        let link = Link::new();
        let _up = Up::new(&link, 2 * LEAST);
        let before = ask(&link).unwrap().unwrap();
        let (_, ticket) = link.begin(b"begin".to_vec()).now_or_never().unwrap().unwrap();
        let mut waiting = pin!(link.ask(b"when there is credit".to_vec()));
        assert!(waiting.as_mut().now_or_never().is_none());

        link.suspect();
        assert!(before.now_or_never().is_some_and(|answer| answer.is_err()), "its promise breaks");
        assert_eq!(waiting.now_or_never().map(Result::err), Some(Some(Unasked::Down)));
        assert_eq!(ask(&link).map(Result::err), Some(Some(Unasked::Down)));
        assert!(!link.is_up());
        // What has begun is ended nevertheless, for the case that the worker is alive.
        assert!(link.end(ticket, b"end".to_vec()).now_or_never().is_some_and(|answer| answer.is_err()));
        let asked: Vec<_> =
            link.session().as_ref().unwrap().outbox.iter().map(|(_, what)| what.clone()).collect();
        assert_eq!(asked, [&b"?"[..], b"begin", b"end"]);

        link.trust();
        assert!(link.is_up());
        assert!(ask(&link).is_none(), "answers have not come, so there is no credit");
        link.session().as_mut().unwrap().promised.clear();
        assert!(ask(&link).is_some_and(|asked| asked.is_ok()));
    }
}

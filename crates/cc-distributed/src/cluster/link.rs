//! The coordinator's side of stateful sessions: the requests of many callers go to one worker, on
//! one stream.
//!
//! A request has a number and a pending response. It takes a part of the credit that the worker has
//! granted. A caller that finds no credit waits here and not on the stream, which therefore never
//! stalls. Requests are sent in the order of their numbers; those that are queued at the same time
//! share a message.
//!
//! When the session ends, all pending responses are abandoned: the coordinator cannot know which
//! requests were executed, and sends none again. The next session is another one, without the state
//! of this one.

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
    lost::Lost,
    stateful::Requests,
    wire::{
        MIN_CREDIT, PAYLOAD, Reassembler, batches,
        pb::{FromKeeper, ToKeeper, from_keeper::What as Event, to_keeper::What as Command},
    },
};

/// A pending response. It fails if the session ends before: the request may have been executed.
pub type Pending = oneshot::Receiver<Bytes>;

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no session, or its worker is suspected.
    Down,
    /// The request exceeds the maximum size of a payload.
    TooLarge,
}

/// The link to one worker, through all its sessions. Clones are the same link.
#[derive(Clone)]
pub struct Link(Arc<Shared>);

struct Shared {
    /// The session, if there is one. A plain lock: it is held for a few map operations, and never
    /// across an await.
    state: Mutex<Option<State>>,
    /// Notified when the outbox has requests.
    queued: Notify,
    /// Whether the worker can be asked; None until that is known.
    is_up: watch::Sender<Option<bool>>,
}

/// The state of one session.
struct State {
    credit: Arc<Semaphore>,
    /// The granted credit, in bytes.
    granted: usize,
    /// Whether the worker is silent: it is sent nothing new then.
    is_suspected: bool,
    /// The number of the last request.
    last: u64,
    outbox: Requests,
    pending: HashMap<u64, PendingRequest>,
}

/// A request without a response.
struct PendingRequest {
    /// None if the response was abandoned because the worker is suspected. The credit comes back
    /// only with the response.
    response_tx: Option<oneshot::Sender<Bytes>>,
    _credit: Option<Credit>,
}

/// A part of a session's credit.
type Credit = OwnedSemaphorePermit;

/// Returned by [`Link::begin`]. It reserves the credit for the matching [`Link::end`], so what was
/// begun can always be ended.
pub struct CreditHold {
    /// The number of the request that was sent by `begin`.
    pub number: u64,
    credit: Credit,
    /// Identifies the session: the semaphore of its credit.
    session: Arc<Semaphore>,
}

impl Link {
    pub(super) fn new() -> Self {
        let (is_up, _) = watch::channel(None);
        Self(Arc::new(Shared { state: Mutex::default(), queued: Notify::new(), is_up }))
    }

    /// Waits until it is known whether the worker is up.
    pub async fn until_known(&self) {
        // It cannot fail: `self` keeps the sender.
        let _ = self.0.is_up.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until the worker is up.
    pub async fn until_up(&self) {
        let _ = self.0.is_up.subscribe().wait_for(|is_up| *is_up == Some(true)).await;
    }

    /// Whether there is a session, and its worker is not suspected.
    #[must_use]
    pub fn is_up(&self) -> bool {
        *self.0.is_up.borrow() == Some(true)
    }

    /// Sends a request, as soon as there is credit. The credit comes back with the response.
    ///
    /// # Errors
    ///
    /// If there is no session, or it ends before the request is queued; or if the request is too
    /// large.
    pub async fn request(&self, request: Vec<u8>) -> Result<Pending, SendError> {
        let (credit, session) = self.credit(request.len()).await?;
        let (_, pending) = self.push_new(&session, request, Some(credit))?;
        Ok(pending)
    }

    /// Like [`request`](Link::request), for a request that begins something. The credit stays
    /// reserved for the request that ends it.
    ///
    /// # Errors
    ///
    /// As for [`request`](Link::request).
    pub async fn begin(&self, request: Vec<u8>) -> Result<(Pending, CreditHold), SendError> {
        let (credit, session) = self.credit(request.len()).await?;
        let (number, pending) = self.push_new(&session, request, None)?;
        Ok((pending, CreditHold { number, credit, session }))
    }

    /// Ends what was begun. If that session has ended, the response is abandoned at once. If the
    /// worker is suspected, the response is abandoned too, but the request is sent: the worker may
    /// be alive, and must not wait for the end forever.
    pub fn end(&self, hold: CreditHold, request: Vec<u8>) -> Pending {
        let pushed = self.push(&hold.session, request, Some(hold.credit));
        pushed.map_or_else(|| oneshot::channel().1, |(_, pending)| pending)
    }

    /// Queues a request that begins something new, unless the session has ended or the worker is
    /// suspected.
    fn push_new(
        &self,
        session: &Arc<Semaphore>,
        request: Vec<u8>,
        credit: Option<Credit>,
    ) -> Result<(u64, Pending), SendError> {
        if self.state().as_ref().is_none_or(|state| state.is_suspected) {
            return Err(SendError::Down);
        }
        self.push(session, request, credit).ok_or(SendError::Down)
    }

    /// Queues a request, unless its session has ended.
    fn push(
        &self,
        session: &Arc<Semaphore>,
        request: Vec<u8>,
        credit: Option<Credit>,
    ) -> Option<(u64, Pending)> {
        let mut state = self.state();
        let state = state.as_mut().filter(|state| Arc::ptr_eq(&state.credit, session))?;
        self.0.queued.notify_one();
        Some(state.push(request.into(), credit))
    }

    /// Waits for credit for this number of bytes, while the worker is not suspected.
    async fn credit(&self, bytes: usize) -> Result<(Credit, Arc<Semaphore>), SendError> {
        if bytes as u64 > PAYLOAD {
            return Err(SendError::TooLarge);
        }
        let (session, permits) = {
            let state = self.state();
            let state = state.as_ref().filter(|state| !state.is_suspected).ok_or(SendError::Down)?;
            // A request that is larger than all credit is sent when it has all of it.
            (state.credit.clone(), bytes.max(MIN_CREDIT).min(state.granted) as u32)
        };
        if let Ok(credit) = session.clone().try_acquire_many_owned(permits) {
            return Ok((credit, session));
        }
        let credit = tokio::select! {
            credit = session.clone().acquire_many_owned(permits) => credit,
            () = self.until_down() => return Err(SendError::Down),
        };
        credit.map(|credit| (credit, session)).map_err(|_: AcquireError| SendError::Down)
    }

    /// Waits until there is no session, or its worker is suspected.
    async fn until_down(&self) {
        // It cannot fail: `self` keeps the sender.
        let _ = self.0.is_up.subscribe().wait_for(|is_up| *is_up == Some(false)).await;
    }

    /// The worker is silent. Abandons all pending responses, because they may never come. Nothing
    /// new is sent, but the state of the worker is not lost yet.
    pub(super) fn suspect(&self) {
        let mut state = self.state();
        let Some(state) = state.as_mut() else { return };
        state.is_suspected = true;
        for pending in state.pending.values_mut() {
            pending.response_tx = None;
        }
        self.0.is_up.send_replace(Some(false));
    }

    /// The worker has answered a ping, so all of its state is there.
    pub(super) fn trust(&self) {
        let mut state = self.state();
        let Some(state) = state.as_mut() else { return };
        state.is_suspected = false;
        self.0.is_up.send_replace(Some(true));
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        // No foreign code runs under the lock, so a panic cannot leave the state half-changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that no session could be begun.
    pub(super) fn set_down(&self) {
        self.0.is_up.send_replace(Some(false));
    }

    /// Sends requests and receives responses until the session ends. `bytes` is the granted credit.
    pub(super) async fn exchange(
        &self,
        bytes: usize,
        messages_tx: mpsc::Sender<ToKeeper>,
        events: Streaming<FromKeeper>,
    ) -> Result<Infallible, Lost> {
        let _session = ActiveSession::new(self, bytes);
        // Neither branch is resumed after the other has ended, so cancel safety does not matter.
        tokio::select! {
            lost = self.send_requests(messages_tx) => lost,
            lost = self.receive_responses(events) => lost,
        }
    }

    async fn send_requests(&self, messages_tx: mpsc::Sender<ToKeeper>) -> Result<Infallible, Lost> {
        loop {
            self.0.queued.notified().await;
            let requests = self.state().as_mut().map(|state| mem::take(&mut state.outbox));
            for batch in batches(requests.unwrap_or_default().into_iter()) {
                if messages_tx.send(Command::Questions(batch).into()).await.is_err() {
                    return pending().await; // `receive_responses` learns the reason
                }
            }
        }
    }

    /// Completes pending responses. It never blocks while it does.
    async fn receive_responses(&self, mut events: Streaming<FromKeeper>) -> Result<Infallible, Lost> {
        let mut reassembler = Reassembler::default();
        while let Some(event) = events.message().await? {
            let Some(Event::Answers(batch)) = event.what else { continue };
            let responses = reassembler.reassemble(batch)?;
            let mut state = self.state();
            let state = state.as_mut().expect("`exchange` keeps the session");
            for (number, response) in responses {
                let pending = state.pending.remove(&number);
                if let Some(response_tx) = pending.and_then(|pending| pending.response_tx) {
                    // The receiver is gone if the caller was dropped.
                    let _ = response_tx.send(response);
                }
            }
        }
        Err(Lost::Gone("ended the session".to_owned()))
    }
}

impl State {
    fn push(&mut self, request: Bytes, credit: Option<Credit>) -> (u64, Pending) {
        let (response_tx, pending) = oneshot::channel();
        self.last += 1;
        self.outbox.push((self.last, request));
        let response_tx = (!self.is_suspected).then_some(response_tx);
        self.pending.insert(self.last, PendingRequest { response_tx, _credit: credit });
        (self.last, pending)
    }
}

/// Keeps the session of a link: dropping it ends the session.
struct ActiveSession<'a>(&'a Link);

impl<'a> ActiveSession<'a> {
    fn new(link: &'a Link, bytes: usize) -> Self {
        let granted = bytes.clamp(1, u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        *link.state() = Some(State {
            credit: Arc::new(Semaphore::new(granted)),
            granted,
            is_suspected: false,
            last: 0,
            outbox: Requests::new(),
            pending: HashMap::new(),
        });
        link.0.is_up.send_replace(Some(true));
        Self(link)
    }
}

impl Drop for ActiveSession<'_> {
    fn drop(&mut self) {
        let Self(link) = self;
        link.0.is_up.send_replace(Some(false));
        let state = link.state().take();
        // Wakes the callers that wait for credit. The rest of the state is dropped with it, which
        // abandons the pending responses.
        state.inspect(|state| state.credit.close());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt;

    use super::*;

    /// Sends a request. None if it has to wait for credit.
    fn request(link: &Link) -> Option<Result<Pending, SendError>> {
        link.request(b"?".to_vec()).now_or_never()
    }

    #[test]
    fn a_suspected_worker_keeps_its_session_and_is_asked_nothing_new() {
        let link = Link::new();
        let _session = ActiveSession::new(&link, 2 * MIN_CREDIT);
        let before = request(&link).unwrap().unwrap();
        let (_, credit) = link.begin(b"begin".to_vec()).now_or_never().unwrap().unwrap();
        let mut waiting = pin!(link.request(b"when there is credit".to_vec()));
        assert!(waiting.as_mut().now_or_never().is_none());

        link.suspect();
        assert!(before.now_or_never().is_some_and(|response| response.is_err()), "it is abandoned");
        assert_eq!(waiting.now_or_never().map(Result::err), Some(Some(SendError::Down)));
        assert_eq!(request(&link).map(Result::err), Some(Some(SendError::Down)));
        assert!(!link.is_up());
        // What was begun is ended nevertheless, because the worker may be alive.
        assert!(link.end(credit, b"end".to_vec()).now_or_never().is_some_and(|ended| ended.is_err()));
        let state = link.state();
        let outbox = &state.as_ref().unwrap().outbox;
        let sent: Vec<_> = outbox.iter().map(|(_, request)| request.clone()).collect();
        assert_eq!(sent, [&b"?"[..], b"begin", b"end"]);
        drop(state);

        link.trust();
        assert!(link.is_up());
        assert!(request(&link).is_none(), "there is no credit before the responses have come");
        link.state().as_mut().unwrap().pending.clear();
        assert!(request(&link).is_some_and(|sent| sent.is_ok()));
    }
}

//! A stateful service: what a workload keeps in a worker. Its state belongs to a session, and ends
//! with it.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cc_workloads::Result;
use crossbeam_channel::Sender;
use prost::bytes::Bytes;

use super::wire::PAYLOAD;

/// Begins a session with an encoded job. Called on the worker's runtime.
pub type Open = fn(waker: Waker, job: &[u8]) -> Result<Box<dyn StatefulService>>;

/// Wakes a service that waits for a request, so that it is [polled](StatefulService::poll). It does
/// not keep the session alive.
#[derive(Clone)]
pub struct Waker {
    requests_tx: Weak<Sender<Requests>>,
    /// Whether the service was woken, and has not acknowledged it: one message is enough.
    ///
    /// Both sides swap it, with acquire and release. An acknowledgement therefore reads the flag of
    /// the last wake-up before it, and sees what was done before that wake-up, also if it found the
    /// flag set and sent nothing. A plain store would not be ordered before the service's next
    /// reads, and could lose such an event.
    is_woken: Arc<AtomicBool>,
}

impl Waker {
    /// A waker of the service that receives these requests.
    pub(super) fn new(requests_tx: &Arc<Sender<Requests>>) -> Self {
        Self { requests_tx: Arc::downgrade(requests_tx), is_woken: Arc::default() }
    }

    /// Wakes the service.
    pub fn wake(&self) {
        if let Some(requests_tx) = self.requests_tx.upgrade()
            && !self.is_woken.swap(true, Ordering::AcqRel)
        {
            // If the channel is full, the service is awake anyway.
            let _ = requests_tx.try_send(Requests::new());
        }
    }

    /// Called by the service when it is awake, before it looks for work: an event after this wakes
    /// it again.
    pub fn acknowledge(&self) {
        self.is_woken.swap(false, Ordering::AcqRel);
    }
}

/// A service with state. A panic loses the state, and ends the session.
pub trait StatefulService: Send {
    /// Handles a request. Each has a number, larger than all before it. Appends to `responses` what
    /// can be answered now, of this request or of earlier ones. It must not block, except for
    /// computing.
    ///
    /// # Errors
    ///
    /// If the request is invalid, which ends the session.
    fn handle(&mut self, number: u64, request: &[u8], responses: &mut Responses) -> Result<(), String>;

    /// Does periodic work, and work that it was [woken](Waker) for. May answer requests, too.
    /// Returns the delay until the next call; None waits for a request or a wake-up.
    fn poll(&mut self, responses: &mut Responses) -> Option<Duration>;
}

/// Whether a response exceeds the maximum size of a payload.
#[must_use]
pub fn is_too_large(response: &[u8]) -> bool {
    response.len() as u64 > PAYLOAD
}

/// Requests, each with its number.
pub type Requests = Vec<(u64, Bytes)>;

/// Responses, each with the number of its request.
pub type Responses = Vec<(u64, Bytes)>;

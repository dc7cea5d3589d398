//! What a workload keeps in a worker: state that belongs to a session, and is gone with it.

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

/// Begins with an encoded job, on the worker's runtime.
pub type Open = fn(job: &[u8], waker: Waker) -> Result<Box<dyn Keeper>>;

/// Wakes a keeper that waits for a question, since there is something else to [tend](Keeper::tend).
/// It does not keep the session.
#[derive(Clone)]
pub struct Waker {
    questions: Weak<Sender<Answers>>,
    /// Whether it has been woken, and has not heard it: once is enough.
    is_woken: Arc<AtomicBool>,
}

impl Waker {
    /// A waker of the keeper that receives these questions.
    pub(super) fn new(questions: &Arc<Sender<Answers>>) -> Self {
        Self { questions: Arc::downgrade(questions), is_woken: Arc::default() }
    }

    /// Wakes it.
    pub fn wake(&self) {
        if let Some(questions) = self.questions.upgrade()
            && !self.is_woken.swap(true, Ordering::AcqRel)
        {
            // If there is no room, it has enough to wake for.
            let _ = questions.try_send(Answers::new());
        }
    }

    /// It is awake: what happens from now on wakes it again.
    pub fn heard(&self) {
        self.is_woken.store(false, Ordering::Release);
    }
}

/// What is kept. A panic loses it.
pub trait Keeper: Send {
    /// Takes a question; each has another number, larger than all before it. What can be answered
    /// now, of this or of earlier questions, goes into `answers`. Nothing that does not depend on
    /// others may wait.
    ///
    /// # Errors
    ///
    /// If it is nonsense, which ends the session.
    fn take(&mut self, number: u64, question: &[u8], answers: &mut Answers) -> Result<(), String>;

    /// Does what is to be done from time to time, or since it was [woken](Waker), which may answer
    /// questions as well. Says when to come back if nothing happens meanwhile; none is not before
    /// something does.
    fn tend(&mut self, answers: &mut Answers) -> Option<Duration>;
}

/// Whether an answer cannot be sent.
#[must_use]
pub fn is_too_large(answer: &[u8]) -> bool {
    answer.len() as u64 > PAYLOAD
}

/// Answers, and the numbers of their questions.
pub type Answers = Vec<(u64, Bytes)>;

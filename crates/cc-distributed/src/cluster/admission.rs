//! How much all sessions of a worker may have together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// Sessions at once in a worker, of all coordinators. Each has a thread for each slot, and a
/// descriptor for what it keeps.
pub(super) const SESSIONS: usize = 64;

/// Memory for encoded tasks that wait or are at work in a worker, of all sessions, in KiB. A task
/// that is larger is let in alone.
const MEMORY: usize = 1 << 20;

/// The sessions of a worker. Clones are the same sessions.
#[derive(Clone)]
pub(super) struct Sessions {
    pub(super) permits: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// A session's place among [`SESSIONS`], for as long as it is kept.
pub(super) struct SessionPermit {
    _place: OwnedSemaphorePermit,
}

/// Memory for a task, of its session's and of the worker's.
pub(super) struct Reservation {
    _credit: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(SESSIONS)), memory: Arc::new(Semaphore::new(MEMORY)) }
    }
}

impl Sessions {
    /// Admits one more session, if there is a place.
    pub(super) fn admit(&self) -> Result<SessionPermit, Status> {
        let place = self.permits.clone().try_acquire_owned();
        let place =
            place.map_err(|_| Status::resource_exhausted(format!("has {SESSIONS} sessions already")))?;
        Ok(SessionPermit { _place: place })
    }

    /// Waits for memory for a task of this size. A coordinator that keeps to its credit never waits
    /// for the first part, and for the second only while other sessions have all there is.
    pub(super) async fn reserve(&self, credit: &Arc<Semaphore>, all: usize, size: u64) -> Reservation {
        let bytes = usize::try_from(size).unwrap_or(usize::MAX).min(all) as u32;
        let credit = credit.clone().acquire_many_owned(bytes).await.expect("it is never closed");
        let kib = size.div_ceil(1024).min(MEMORY as u64) as u32;
        let memory = self.memory.clone().acquire_many_owned(kib).await.expect("it is never closed");
        Reservation { _credit: credit, _memory: memory }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::cluster::wire::PAYLOAD;

    #[test]
    fn there_are_no_more_sessions_than_places() {
        let sessions = Sessions::default();
        let mut permits: Vec<_> = (0..SESSIONS).map(|_| sessions.admit().unwrap()).collect();
        assert!(sessions.admit().is_err());
        permits.pop();
        assert!(sessions.admit().is_ok());
    }

    #[test]
    fn all_sessions_together_have_no_more_memory_than_the_worker() {
        let sessions = Sessions::default();
        let credits = [(); 2].map(|()| Arc::new(Semaphore::new(1 << 20)));
        let all = MEMORY as u64 * 1024;
        let room = |n: usize, size| sessions.reserve(&credits[n], 1 << 20, size).now_or_never();
        let first = room(0, all - 4096).expect("there is memory");
        let second = room(1, 4096).expect("there is a little");
        assert!(room(1, 1).is_none(), "all is taken");
        drop(second);
        assert!(room(1, 4097).is_none() && room(1, 4096).is_some());
        drop(first);
        assert!(room(0, PAYLOAD * 2).is_some(), "one that is too large is let in alone");
    }
}

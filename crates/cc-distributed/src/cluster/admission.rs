//! Limits for all sessions of a worker together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// Maximum sessions of a worker, of all coordinators: each has a thread per slot, and a descriptor
/// for its spill store.
pub(super) const SESSIONS: usize = 64;

/// Maximum memory for the encoded tasks that wait or run in a worker, of all sessions, in KiB. A
/// larger task is admitted when there is no other.
const MEMORY: usize = 1 << 20;

/// Admits sessions and tasks to a worker. Clones share the limits.
#[derive(Clone)]
pub(super) struct Sessions {
    pub(super) permits: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// Counts as one of the [`SESSIONS`], until it is dropped.
pub(super) struct SessionPermit {
    _permit: OwnedSemaphorePermit,
}

/// Memory that is reserved for a task: of its session's credit, and of the worker's memory.
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
    /// Admits another session, if there are not too many.
    pub(super) fn admit(&self) -> Result<SessionPermit, Status> {
        let permit = self.permits.clone().try_acquire_owned();
        let why = || format!("the worker has {SESSIONS} sessions already, and admits no more");
        let permit = permit.map_err(|_| Status::resource_exhausted(why()))?;
        Ok(SessionPermit { _permit: permit })
    }

    /// Waits until there is memory for a task of this size. `granted` is the whole credit of its
    /// session. A coordinator that keeps to its credit never waits for the session's part, and for
    /// the worker's part only while other sessions use all of it.
    pub(super) async fn reserve(&self, credit: &Arc<Semaphore>, granted: usize, size: u64) -> Reservation {
        let bytes = usize::try_from(size).unwrap_or(usize::MAX).min(granted) as u32;
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
    fn there_are_no_more_sessions_than_the_maximum() {
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
        assert!(room(1, 1).is_none(), "all memory is taken");
        drop(second);
        assert!(room(1, 4097).is_none() && room(1, 4096).is_some());
        drop(first);
        assert!(room(0, PAYLOAD * 2).is_some(), "a task that is too large is admitted alone");
    }
}

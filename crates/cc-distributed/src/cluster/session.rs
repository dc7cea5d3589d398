//! What belongs to one session in a worker.
//!
//! A session has a thread that owns it. This thread begins the work, which may compile a query. It
//! waits until the coordinator has gone, joins the slots, and drops the session's data, which may
//! be gigabytes. None of this may block the thread that answers pings.

use std::{
    convert::Infallible,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{self, Scope},
};

use cc_workloads::{Result, Stop, error::panic_reason};
use crossbeam_channel::{Receiver, Sender, bounded};
use prost::bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::{
    admission::{Reservation, SessionPermit},
    session_stores::Registration,
    wire::PAYLOAD,
    worker::Work,
};

/// A task's number, the task, and the memory that is reserved for it.
pub(super) type AdmittedTask = (u64, Bytes, Reservation);

/// A task's number, and its output or the reason of its failure.
pub(super) type TaskResult = (u64, Result<Bytes, String>);

/// What the slots of a session share.
pub(super) struct Slots {
    pub(super) count: usize,
    /// The slots end when this channel is closed.
    pub(super) tasks_rx: Receiver<AdmittedTask>,
    pub(super) results_tx: mpsc::Sender<TaskResult>,
    /// Requested when the session has ended.
    pub(super) stop: Stop,
}

/// Keeps a session. Dropping it ends the session.
pub(super) struct SessionGuard {
    _end_tx: Sender<Infallible>,
}

/// Starts the thread that owns a session, and waits until its work has begun.
pub(super) async fn start(
    begin: impl Fn() -> Result<Work> + Send + 'static,
    slots: Slots,
    registration: Registration,
    permit: SessionPermit,
) -> Result<SessionGuard, Status> {
    let (begun_tx, begun_rx) = oneshot::channel();
    let (end_tx, end_rx) = bounded(0);
    let own = move || {
        own(begin, slots, registration, begun_tx, &end_rx);
        drop(permit);
    };
    thread::Builder::new().name("session".to_owned()).spawn(own)?;
    begun_rx.await.map_err(|_| Status::internal("the start of the job panicked"))??;
    Ok(SessionGuard { _end_tx: end_tx })
}

/// The thread that owns a session.
fn own(
    begin: impl Fn() -> Result<Work>,
    slots: Slots,
    registration: Registration,
    begun_tx: oneshot::Sender<Result<(), Status>>,
    end_rx: &Receiver<Infallible>,
) {
    let work: Result<Vec<Work>> = (0..slots.count).map(|_| begin()).collect();
    // It holds the session's blob store, which must be dropped with the last slot.
    drop(begin);
    thread::scope(|scope| {
        let started = work
            .map_err(|error| Status::failed_precondition(error.to_string()))
            .and_then(|work| slots.start(scope, work).map_err(Status::from));
        // The receiver is gone if the coordinator is.
        let _ = begun_tx.send(started);
        // Nothing is ever sent: the channel is disconnected when the session ends.
        let _ = end_rx.recv();
        // Dropped before the scope joins the slots: it requests their stop, and ends their fetches.
        drop(registration);
    });
}

impl Slots {
    /// Starts a thread for each slot.
    fn start<'scope>(self, scope: &'scope Scope<'scope, '_>, work: Vec<Work>) -> io::Result<()> {
        for (n, work) in work.into_iter().enumerate() {
            let (tasks_rx, results_tx, stop) =
                (self.tasks_rx.clone(), self.results_tx.clone(), self.stop.clone());
            let slot = move || slot(work, &tasks_rx, &results_tx, &stop);
            thread::Builder::new().name(format!("slot-{n}")).spawn_scoped(scope, slot)?;
        }
        Ok(())
    }
}

/// Does tasks until the session ends. `AssertUnwindSafe` is sound: [`Work`] must stay usable after
/// a panic.
fn slot(
    mut work: Work,
    tasks_rx: &Receiver<AdmittedTask>,
    results_tx: &mpsc::Sender<TaskResult>,
    stop: &Stop,
) {
    for (id, task, reservation) in tasks_rx {
        if stop.requested() {
            break;
        }
        let output = catch_unwind(AssertUnwindSafe(|| work(&task)))
            .unwrap_or_else(|panic| Err(panic_reason(&*panic)))
            .and_then(check_size);
        // Dropped before the result is sent, which gives the coordinator its credit back.
        drop((task, reservation));
        if results_tx.blocking_send((id, output)).is_err() {
            break; // the coordinator has gone
        }
    }
}

fn check_size(output: Vec<u8>) -> Result<Bytes, String> {
    if output.len() as u64 > PAYLOAD {
        return Err("its output is too large to send: more than 1 GiB".to_owned());
    }
    Ok(output.into())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    };

    use tokio::sync::Semaphore;

    use super::*;
    use crate::cluster::{
        admission::{SESSIONS, Sessions},
        runtime::RuntimeThread,
        session_stores::SessionStores,
        wire::pb::Hello,
    };

    /// Reports when the work that owns it is dropped.
    struct Owned(SyncSender<&'static str>);

    impl Drop for Owned {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }

    #[test]
    fn the_tasks_and_threads_of_a_session_end_with_it() {
        let runtime_thread = RuntimeThread::start("worker").unwrap();
        let runtime = runtime_thread.handle();
        let (registration, _blobs) = {
            let _within = runtime.enter();
            SessionStores::default().open(&Hello::default(), None).unwrap()
        };
        let (tasks_tx, tasks_rx) = bounded(2);
        let (results_tx, results_rx) = mpsc::channel(2);
        let (events_tx, events_rx) = sync_channel(3);
        let stop = registration.stop.clone();
        let slots = Slots { count: 1, tasks_rx, results_tx, stop: stop.clone() };
        // Tasks that end only when a stop is requested.
        let begin = move || {
            let (work, stop) = (Owned(events_tx.clone()), stop.clone());
            let task = move |_: &[u8]| {
                let (stop_tx, stop_rx) = bounded::<Infallible>(0);
                let _on_stop = stop.on_request(move || drop(stop_tx));
                work.0.send("works").unwrap();
                let _ = stop_rx.recv();
                Err("stopped".to_owned())
            };
            Ok(Box::new(task) as Work)
        };
        let sessions = Sessions::default();
        let guard = runtime.block_on(start(begin, slots, registration, sessions.admit().unwrap())).unwrap();
        let credit = Arc::new(Semaphore::new(2));
        for id in 0..2 {
            let reservation = runtime.block_on(sessions.reserve(&credit, 2, 1));
            tasks_tx.send((id, Bytes::new(), reservation)).unwrap();
        }
        assert_eq!(events_rx.recv(), Ok("works"));
        drop(guard);
        // The second task has not begun, although it was queued.
        assert_eq!(events_rx.iter().collect::<Vec<_>>(), ["dropped"]);
        assert_eq!(results_rx.len(), 1);
        assert!(
            runtime.block_on(sessions.permits.acquire_many(SESSIONS as u32)).is_ok(),
            "its permit is free"
        );
    }
}

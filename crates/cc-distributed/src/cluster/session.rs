//! What belongs to one session in a worker.
//!
//! A session has a thread that owns it. It begins the work, which may compile a query; it waits
//! until the coordinator has gone; it joins the slots, and lets go of what the session kept, which
//! may be gigabytes. None of this is done on the thread that answers pings.

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
    stores,
    wire::PAYLOAD,
    worker::Work,
};

/// A task, and the memory that it was granted.
pub(super) type Held = (u64, Bytes, Reservation);

/// A task's number, and its output or why there is none.
pub(super) type Done = (u64, Result<Bytes, String>);

/// What the slots of a session share.
pub(super) struct Slots {
    /// How many there are.
    pub(super) count: usize,
    /// Tasks for them. They end when it is closed.
    pub(super) inbox: Receiver<Held>,
    pub(super) done: mpsc::Sender<Done>,
    /// Requested when the session has ended.
    pub(super) stop: Stop,
}

/// Keeps a session. Dropping it ends it.
pub(super) struct SessionGuard {
    _end: Sender<Infallible>,
}

/// Starts the thread that owns a session, and waits until its work has begun.
pub(super) async fn start(
    begin: impl Fn() -> Result<Work> + Send + 'static,
    slots: Slots,
    session: stores::Session,
    permit: SessionPermit,
) -> Result<SessionGuard, Status> {
    let (begun, is_begun) = oneshot::channel();
    let (end, ended) = bounded(0);
    let own = move || {
        own(begin, slots, session, begun, &ended);
        drop(permit);
    };
    thread::Builder::new().name("session".to_owned()).spawn(own)?;
    is_begun.await.map_err(|_| Status::internal("panicked when it began"))??;
    Ok(SessionGuard { _end: end })
}

/// The thread that owns a session.
fn own(
    begin: impl Fn() -> Result<Work>,
    slots: Slots,
    session: stores::Session,
    begun: oneshot::Sender<Result<(), Status>>,
    ended: &Receiver<Infallible>,
) {
    let work: Result<Vec<Work>> = (0..slots.count).map(|_| begin()).collect();
    // It shares what the session keeps.
    drop(begin);
    thread::scope(|scope| {
        let started = work
            .map_err(|error| Status::failed_precondition(error.to_string()))
            .and_then(|work| slots.start(scope, work).map_err(Status::from));
        // The receiver is gone if the coordinator is.
        let _ = begun.send(started);
        // Nothing is ever sent: it is disconnected when the session has ended.
        let _ = ended.recv();
        // Before the slots are joined: it asks them to stop, and ends what they fetch.
        drop(session);
    });
}

impl Slots {
    /// Starts a thread for each.
    fn start<'scope>(self, scope: &'scope Scope<'scope, '_>, work: Vec<Work>) -> io::Result<()> {
        for (n, work) in work.into_iter().enumerate() {
            let (inbox, done, stop) = (self.inbox.clone(), self.done.clone(), self.stop.clone());
            let slot = move || slot(work, &inbox, &done, &stop);
            thread::Builder::new().name(format!("slot-{n}")).spawn_scoped(scope, slot)?;
        }
        Ok(())
    }
}

/// Does tasks until the session ends.
fn slot(mut work: Work, inbox: &Receiver<Held>, done: &mpsc::Sender<Done>, stop: &Stop) {
    for (id, task, room) in inbox {
        if stop.requested() {
            break;
        }
        let output = catch_unwind(AssertUnwindSafe(|| work(&task)))
            .unwrap_or_else(|panic| Err(panic_reason(&*panic)))
            .and_then(fits);
        // Before the answer, which tells the coordinator that there is room again.
        drop((task, room));
        if done.blocking_send((id, output)).is_err() {
            break; // the coordinator has gone
        }
    }
}

fn fits(output: Vec<u8>) -> Result<Bytes, String> {
    if output.len() as u64 > PAYLOAD {
        return Err("its output is too large to be sent".to_owned());
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
        stores::Stores,
        wire::pb::Hello,
    };

    /// Says what becomes of the work that owns it.
    struct Owned(SyncSender<&'static str>);

    impl Drop for Owned {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }

    #[test]
    fn what_a_session_does_stops_with_it_and_its_threads_end() {
        let runtime_thread = RuntimeThread::start("worker").unwrap();
        let runtime = runtime_thread.handle();
        let (session, _shelf) = {
            let _within = runtime.enter();
            Stores::default().open(&Hello::default(), None).unwrap()
        };
        let ((orders, inbox), (done, outputs), (say, events)) =
            (bounded(2), mpsc::channel(2), sync_channel(3));
        let stop = session.stop.clone();
        let slots = Slots { count: 1, inbox, done, stop: stop.clone() };
        // Tasks that end when they are asked to stop.
        let begin = move || {
            let (work, stop) = (Owned(say.clone()), stop.clone());
            let task = move |_: &[u8]| {
                let (ask, asked) = bounded::<Infallible>(0);
                let _on_stop = stop.on_request(move || drop(ask));
                work.0.send("works").unwrap();
                let _ = asked.recv();
                Err("stopped".to_owned())
            };
            Ok(Box::new(task) as Work)
        };
        let sessions = Sessions::default();
        let end = runtime.block_on(start(begin, slots, session, sessions.admit().unwrap())).unwrap();
        let credit = Arc::new(Semaphore::new(2));
        for id in 0..2 {
            let room = runtime.block_on(sessions.reserve(&credit, 2, 1));
            orders.send((id, Bytes::new(), room)).unwrap();
        }
        assert_eq!(events.recv(), Ok("works"));
        drop(end);
        // The second task is not begun, though it was there.
        assert_eq!(events.iter().collect::<Vec<_>>(), ["dropped"]);
        assert_eq!(outputs.len(), 1);
        assert!(
            runtime.block_on(sessions.permits.acquire_many(SESSIONS as u32)).is_ok(),
            "its place is free"
        );
    }
}

//! The worker's side of a stateful session.
//!
//! The state has a thread of its own, and no other thread can reach it. So there is nothing to
//! lock, and a request that takes long does not delay the answer to a ping. Requests never wait on
//! the connection, even if responses take long: the granted credit is the room in the channel to
//! that thread.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use cc_workloads::{Result, error::panic_reason};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    acceptor::Peer,
    admission::Sessions,
    stateful::{Requests, Responses, StatefulService, Waker},
    status::{end_reason, next_message, send_end},
    wire::{
        CHANNEL, MIN_CREDIT, Reassembler, batches,
        pb::{
            self, FromKeeper, Hello, ToKeeper, Welcome, from_keeper::What as Event,
            to_keeper::What as Command,
        },
    },
    worker::{Role, Service},
};

/// Bytes of credit that a session is granted. A request takes at least [`MIN_CREDIT`], so there are
/// never more than a few thousand.
const BYTES: usize = 8 << 20;

/// Capacity of the channel to the service: as many requests as the credit allows, and for each of
/// them one that ends it, which needs no further credit.
const REQUESTS: usize = 2 * BYTES / MIN_CREDIT;

/// Bytes of responses after which they are sent, before the next request is handled: this bounds
/// the memory for large responses to small requests.
const RESPONSE_BYTES: usize = 1 << 20;

/// The stateful sessions of a worker.
pub(super) struct StatefulHost {
    pub(super) services: &'static [Service],
    /// Whether this worker was started with `--requests`.
    pub(super) requests: bool,
    pub(super) sessions: Sessions,
}

type EventSender = mpsc::Sender<Result<FromKeeper, Status>>;

#[tonic::async_trait]
impl pb::keeper_server::Keeper for StatefulHost {
    type KeepStream = ReceiverStream<Result<FromKeeper, Status>>;

    async fn keep(
        &self,
        request: Request<Streaming<ToKeeper>>,
    ) -> Result<Response<Self::KeepStream>, Status> {
        let peer = Peer::of(&request);
        let mut messages = request.into_inner();
        let Some(ToKeeper { what: Some(Command::Hello(hello)) }) = messages.message().await? else {
            return Err(Status::invalid_argument("the first message of a session must be a hello"));
        };
        let (requests_tx, requests_rx) = bounded(REQUESTS);
        let (events_tx, events_rx) = mpsc::channel(CHANNEL);
        let requests_tx = Arc::new(requests_tx);
        let waker = Waker::new(&requests_tx);
        let permit = self.sessions.admit()?;
        let service = self.open(waker, &hello)?;
        let welcome = Welcome { tasks: (BYTES / MIN_CREDIT) as u32, bytes: BYTES as u64 };
        let _ = events_tx.send(Ok(Event::Welcome(welcome).into())).await;
        let thread_events_tx = events_tx.clone();
        let serve = move || {
            serve(service, &requests_rx, &thread_events_tx);
            // Only now is the state dropped, and its thread ends.
            drop(permit);
        };
        thread::Builder::new().name("service".to_owned()).spawn(serve)?;
        let workload = hello.workload;
        peer.report(format_args!("session of {workload} has begun"));
        tokio::spawn(async move {
            let ended = receive_requests(messages, &requests_tx).await;
            // Ends the service's thread, which waits for requests.
            drop(requests_tx);
            peer.report(format_args!("session of {workload} has ended: {}", end_reason(&ended)));
            send_end(ended, &events_tx).await;
        });
        Ok(Response::new(ReceiverStream::new(events_rx)))
    }
}

impl StatefulHost {
    fn open(&self, waker: Waker, hello: &Hello) -> Result<Box<dyn StatefulService>, Status> {
        let (open, requests) = Service::find(self.services, hello, |role| match role {
            Role::Stateful { open, requests } => Some((*open, *requests)),
            Role::Tasks(_) => None,
        })?;
        if requests && !self.requests {
            let why = format!("the worker was started without --requests, so it refuses {}", hello.workload);
            return Err(Status::failed_precondition(why));
        }
        open(waker, &hello.job).map_err(|error| Status::failed_precondition(error.to_string()))
    }
}

/// Receives requests until the coordinator ends the session, or is gone. Never waits for responses.
/// Returns why the session has ended.
async fn receive_requests(
    mut messages: Streaming<ToKeeper>,
    requests_tx: &Sender<Requests>,
) -> Result<String, Status> {
    let mut reassembler = Reassembler::default();
    loop {
        let message = match next_message(&mut messages).await {
            Ok(message) => message,
            Err(reason) => return Ok(reason),
        };
        let Some(Command::Questions(batch)) = message.what else {
            return Err(Status::invalid_argument("only requests may follow the hello of a session"));
        };
        match requests_tx.try_send(reassembler.reassemble(batch)?) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(Status::resource_exhausted("the coordinator has exceeded its credit"));
            }
            Err(TrySendError::Disconnected(_)) => return Ok("the service has failed".to_owned()),
        }
    }
}

/// Runs a service until the session ends or the service fails. `AssertUnwindSafe` is sound: after a
/// panic the service is only dropped.
fn serve(mut service: Box<dyn StatefulService>, requests_rx: &Receiver<Requests>, events_tx: &EventSender) {
    let served = catch_unwind(AssertUnwindSafe(|| converse(&mut *service, requests_rx, events_tx)));
    if let Err(why) = served.unwrap_or_else(|panic| Err(panic_reason(&*panic))) {
        // The receiver is gone if the session has ended.
        let _ = events_tx.blocking_send(Err(Status::aborted(why)));
    }
}

fn converse(
    service: &mut dyn StatefulService,
    requests_rx: &Receiver<Requests>,
    events_tx: &EventSender,
) -> Result<(), String> {
    let mut responses = Responses::new();
    loop {
        let poll_timeout = service.poll(&mut responses);
        if !send(&mut responses, events_tx) {
            return Ok(());
        }
        let received = match poll_timeout {
            Some(poll_timeout) => requests_rx.recv_timeout(poll_timeout),
            None => requests_rx.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(requests) => {
                if !handle(service, requests, &mut responses, events_tx)? {
                    return Ok(());
                }
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if !send(&mut responses, events_tx) {
            return Ok(());
        }
    }
}

/// Sends responses. Returns whether there is a receiver.
fn send(responses: &mut Responses, events_tx: &EventSender) -> bool {
    batches(responses.drain(..))
        .all(|batch| events_tx.blocking_send(Ok(Event::Answers(batch).into())).is_ok())
}

/// Handles requests, and sends the responses each time they exceed [`RESPONSE_BYTES`]. Returns
/// whether there is a receiver.
fn handle(
    service: &mut dyn StatefulService,
    requests: Requests,
    responses: &mut Responses,
    events_tx: &EventSender,
) -> Result<bool, String> {
    let mut bytes = 0;
    for (number, request) in requests {
        let before = responses.len();
        service.handle(number, &request, responses)?;
        bytes += responses[before..].iter().map(|(_, response)| response.len()).sum::<usize>();
        if bytes >= RESPONSE_BYTES {
            bytes = 0;
            if !send(responses, events_tx) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use prost::bytes::Bytes;

    use super::*;

    /// Answers each request with this number of bytes, and counts the requests.
    struct Copies(usize, Arc<AtomicUsize>);

    impl StatefulService for Copies {
        fn handle(&mut self, number: u64, _: &[u8], responses: &mut Responses) -> Result<(), String> {
            self.1.fetch_add(1, Ordering::SeqCst);
            responses.push((number, vec![7; self.0].into()));
            Ok(())
        }

        fn poll(&mut self, _: &mut Responses) -> Option<Duration> {
            None
        }
    }

    #[test]
    fn large_answers_are_not_made_before_the_earlier_ones_are_taken() {
        const REQUESTS: u64 = 64;
        let ((requests_tx, requests_rx), (events_tx, events_rx)) = (bounded(1), mpsc::channel(CHANNEL));
        let handled = Arc::new(AtomicUsize::new(0));
        let mut service = Copies(RESPONSE_BYTES, handled.clone());
        requests_tx.send((0..REQUESTS).map(|number| (number, Bytes::new())).collect()).unwrap();
        drop(requests_tx);
        thread::scope(|scope| {
            scope.spawn(move || converse(&mut service, &requests_rx, &events_tx));
            // Moved into the scope: a panic here drops it, and so ends the thread that the scope
            // joins.
            let mut events_rx = events_rx;
            let mut received = 0;
            while let Some(message) = events_rx.blocking_recv() {
                // One response is being sent, and each message in the channel is smaller than one.
                let handled = handled.load(Ordering::SeqCst);
                let Some(Event::Answers(batch)) = message.unwrap().what else { panic!("answers") };
                received += batch.frames.iter().map(|frame| frame.data.len()).sum::<usize>();
                let most = received / RESPONSE_BYTES + CHANNEL + 2;
                assert!(handled <= most, "{handled} handled, {received} bytes received");
            }
            assert_eq!((received, handled.load(Ordering::SeqCst)), (64 * RESPONSE_BYTES, 64));
        });
    }
}

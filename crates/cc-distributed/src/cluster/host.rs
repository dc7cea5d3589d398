//! The worker's side of a connection: serves sessions, each with one coordinator's job.
//!
//! One thread moves all messages, and answers pings, independently of the slots. The slots are
//! separate threads, because a kernel would block the messages. The slots never block the messages
//! either: the granted credit is the room for the session's tasks, so every message that arrives is
//! read at once.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cc_workloads::{Error, Result, root::Files};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming, service::interceptor::InterceptedService, transport::Server,
};

use super::{
    acceptor::{self, Acceptor, Peer},
    admission::Sessions,
    log::Log,
    runtime::current_thread,
    session::{self, AdmittedTask, SessionGuard, Slots, TaskResult},
    session_stores::SessionStores,
    stateful_host::StatefulHost,
    status::{end_reason, next_message, send_end},
    token::{RequireToken, Token},
    wire::{
        CHANNEL, Frame, MESSAGE, Reassembler, frames,
        pb::{
            self, Beat, FromWorker, Hello, Parts, ToWorker, Welcome, from_worker::What as Event,
            keeper_server::KeeperServer, to_worker::What as Command, worker_server::WorkerServer,
        },
    },
    worker::{JobContext, Role, Service},
};

/// Credit in tasks, per slot: one that runs, and two that are on the way, so that the slot does not
/// wait for a message.
const TASKS: usize = 3;

/// Credit in bytes, per slot: more than three tasks of the usual size.
const BYTES: usize = 4 << 20;

/// Interval of HTTP/2 keep-alive pings, and the time for their answer: a coordinator that has
/// vanished is noticed within twice this time.
pub(super) const SILENCE: Duration = Duration::from_secs(20);

/// Maximum calls at once per connection. A connection has one session, or the fetches of one
/// worker's slots; this is far more, and still bounds the memory.
const CALLS: u32 = 64;

/// Maximum bytes of a call's headers. They are read before the token is checked. The usual headers
/// have less than 500 bytes.
const HEADERS: u32 = 16 << 10;

/// What a worker offers.
pub(super) struct Worker {
    pub(super) services: &'static [Service],
    pub(super) files: Files,
    /// Whether it sends network requests for coordinators.
    pub(super) requests: bool,
    /// Tasks at once, in each session.
    pub(super) slots: usize,
    /// See [`SILENCE`].
    pub(super) silence: Duration,
}

/// A worker, and its sessions.
struct Host {
    worker: Worker,
    token: Token,
    stores: SessionStores,
    sessions: Sessions,
}

/// Serves until the process ends.
pub(super) fn serve(listener: TcpListener, token: Token, worker: Worker, log: Log) -> Result<()> {
    current_thread()?.block_on(async {
        listener.set_nonblocking(true).map_err(Error::io("listener"))?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::io("listener"))?;
        let connections = Acceptor::new(listener, acceptor::Limits::default(), log).connections();
        let sessions = Sessions::default();
        let (services, requests) = (worker.services, worker.requests);
        let stateful = StatefulHost { services, requests, sessions: sessions.clone() };
        let stateful = KeeperServer::new(stateful).max_decoding_message_size(MESSAGE);
        let silence = Some(worker.silence);
        let host = Host { worker, token: token.clone(), stores: SessionStores::default(), sessions };
        let service = WorkerServer::new(host).max_decoding_message_size(MESSAGE);
        Server::builder()
            .http2_keepalive_interval(silence)
            .http2_keepalive_timeout(silence)
            .http2_max_header_list_size(HEADERS)
            .max_concurrent_streams(CALLS)
            .add_service(InterceptedService::new(service, RequireToken(token.clone())))
            .add_service(InterceptedService::new(stateful, RequireToken(token)))
            .serve_with_incoming(connections)
            .await
            .map_err(|error| Error::worker("server", error))
    })
}

#[tonic::async_trait]
impl pb::worker_server::Worker for Host {
    type ServeStream = ReceiverStream<Result<FromWorker, Status>>;
    type FetchStream = ReceiverStream<Result<Frame, Status>>;

    async fn serve(
        &self,
        request: Request<Streaming<ToWorker>>,
    ) -> Result<Response<Self::ServeStream>, Status> {
        let peer = Peer::of(&request);
        let mut messages = request.into_inner();
        let Some(ToWorker { what: Some(Command::Hello(hello)) }) = messages.message().await? else {
            return Err(Status::invalid_argument("the first message of a session must be a hello"));
        };
        let slots = self.worker.slots;
        let (tasks, bytes) = (TASKS * slots, BYTES * slots);
        let (results_tx, results_rx) = mpsc::channel(slots);
        let (tasks_tx, tasks_rx) = bounded(tasks);
        let workload = hello.workload.clone();
        let session = self.begin(hello, tasks_rx, results_tx).await?;
        peer.report(format_args!("session of {workload} has begun"));
        let (events_tx, events_rx) = mpsc::channel(CHANNEL);
        let welcome = Welcome { tasks: tasks as u32, bytes: bytes as u64 };
        let _ = events_tx.send(Ok(Event::Welcome(welcome).into())).await;
        let unfinished = Arc::new(AtomicUsize::new(0));
        tokio::spawn(send_results(results_rx, events_tx.clone(), unfinished.clone()));
        let sessions = self.sessions.clone();
        tokio::spawn(async move {
            let ended = receive_tasks(messages, &sessions, bytes, tasks_tx, &unfinished).await;
            // The session ends before its last message is sent: a coordinator that does not read
            // would delay that.
            drop(session);
            let left = unfinished.load(Ordering::Relaxed);
            peer.report(format_args!(
                "session of {workload} has ended with {left} tasks unfinished: {}",
                end_reason(&ended)
            ));
            send_end(ended, &events_tx).await;
        });
        Ok(Response::new(ReceiverStream::new(events_rx)))
    }

    async fn fetch(&self, request: Request<Parts>) -> Result<Response<Self::FetchStream>, Status> {
        self.stores.send(request.into_inner()).map(Response::new)
    }

    async fn ping(&self, _: Request<Beat>) -> Result<Response<Beat>, Status> {
        Ok(Response::new(Beat {}))
    }
}

impl Host {
    /// Begins a session, whose slots receive their tasks from `tasks_rx`.
    async fn begin(
        &self,
        hello: Hello,
        tasks_rx: Receiver<AdmittedTask>,
        results_tx: mpsc::Sender<TaskResult>,
    ) -> Result<SessionGuard, Status> {
        let begin = Service::find(self.worker.services, &hello, |role| match role {
            Role::Tasks(begin) => Some(*begin),
            Role::Stateful { .. } => None,
        })?;
        let permit = self.sessions.admit()?;
        let (registration, blobs) = self.stores.open(&hello, Some(self.token.clone()))?;
        let (files, stop) = (self.worker.files.clone(), registration.stop.clone());
        let slots = Slots { count: self.worker.slots, tasks_rx, results_tx, stop: stop.clone() };
        let context = JobContext { files, blobs: Arc::new(blobs), stop };
        session::start(move || begin(&context, &hello.job), slots, registration, permit).await
    }
}

/// Receives tasks until the coordinator ends the session, or is gone. Counts each as unfinished.
/// Returns why the session has ended.
async fn receive_tasks(
    mut messages: Streaming<ToWorker>,
    sessions: &Sessions,
    bytes: usize,
    tasks_tx: Sender<AdmittedTask>,
    unfinished: &AtomicUsize,
) -> Result<String, Status> {
    let credit = Arc::new(Semaphore::new(bytes));
    let mut reassembler = Reassembler::default();
    // The reservation for the task that is arriving.
    let mut reservation = None;
    loop {
        let message = match next_message(&mut messages).await {
            Ok(message) => message,
            Err(reason) => return Ok(reason),
        };
        let Some(Command::Task(frame)) = message.what else {
            return Err(Status::invalid_argument("only tasks may follow the hello of a session"));
        };
        if reservation.is_none() {
            reservation = Some(sessions.reserve(&credit, bytes, frame.size).await);
        }
        let Some((id, task)) = reassembler.push(frame)? else { continue };
        let reservation =
            reservation.take().ok_or_else(|| Status::internal("a task without a reservation"))?;
        match tasks_tx.try_send((id, task, reservation)) {
            Ok(()) => _ = unfinished.fetch_add(1, Ordering::Relaxed),
            Err(TrySendError::Full(_)) => {
                return Err(Status::resource_exhausted("the coordinator has exceeded its credit"));
            }
            Err(TrySendError::Disconnected(_)) => return Ok("its slots have ended".to_owned()),
        }
    }
}

/// Sends the results of tasks.
async fn send_results(
    mut results_rx: mpsc::Receiver<TaskResult>,
    events_tx: mpsc::Sender<Result<FromWorker, Status>>,
    unfinished: Arc<AtomicUsize>,
) {
    while let Some((id, result)) = results_rx.recv().await {
        let (event, payload): (fn(Frame) -> Event, _) = match result {
            Ok(output) => (Event::Output, output),
            Err(why) => (Event::Failure, why.into()),
        };
        for frame in frames(id, payload) {
            if events_tx.send(Ok(event(frame).into())).await.is_err() {
                return;
            }
        }
        unfinished.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::time::timeout;
    use tonic::{Code, transport::Endpoint};

    use super::*;
    use crate::cluster::{
        codec::VERSION, token::AttachToken, wire::pb::worker_client::WorkerClient, worker::Work,
    };

    fn begin(_: &JobContext, _: &[u8]) -> Result<Work> {
        Ok(Box::new(|_| Err("there are no tasks".to_owned())))
    }

    /// The coordinator neither closes its connection nor answers on it, like a machine that has
    /// lost power.
    #[test]
    fn a_session_ends_when_its_coordinator_vanishes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let token = Token::random().unwrap();
        const SERVICES: &[Service] = &[Service::tasks("test", begin)];
        let (services, silence) = (SERVICES, Duration::from_millis(100));
        let worker = Worker { services, files: Files::None, requests: false, slots: 1, silence };
        let served = token.clone();
        // The thread serves until the process ends.
        thread::spawn(move || serve(listener, served, worker, Log::silent()));
        let connect = async || {
            let channel = Endpoint::from_shared(address.clone()).unwrap().connect().await.unwrap();
            WorkerClient::with_interceptor(channel, AttachToken(Some(token.clone())))
        };
        let gone = current_thread().unwrap();
        let _session = gone.block_on(async {
            let (messages_tx, messages_rx) = mpsc::channel(1);
            let (version, workload) = (VERSION.to_owned(), "test".to_owned());
            let hello = Hello { version, workload, session: "session".to_owned(), ..Hello::default() };
            messages_tx.send(ToWorker { what: Some(Command::Hello(hello)) }).await.unwrap();
            let mut client = connect().await;
            let mut events = client.serve(ReceiverStream::new(messages_rx)).await.unwrap().into_inner();
            assert!(events.message().await.unwrap().is_some(), "it is welcome");
            (messages_tx, events)
        });
        // From here on nothing drives that connection.
        let parts = Parts { session: "session".to_owned(), parts: Vec::new() };
        let has_ended = async {
            let mut client = connect().await;
            let mut code = Code::Ok;
            while code != Code::NotFound {
                code = client.fetch(parts.clone()).await.map_or_else(|status| status.code(), |_| Code::Ok);
            }
        };
        let waited = current_thread().unwrap().block_on(async { timeout(SILENCE * 2, has_ended).await });
        assert!(waited.is_ok(), "its session goes on");
    }
}

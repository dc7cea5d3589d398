//! The worker: serves sessions, each one coordinator's job.
//!
//! One thread moves messages, and answers pings whatever the slots do; the slots are threads of
//! their own, since a kernel would keep the messages waiting. The messages are never kept waiting
//! by the slots either: the credit that a session is granted is the room there is for its tasks, so
//! what arrives is always taken off the connection.

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
    keeper_host::KeeperHost,
    log::Log,
    runtime::current_thread,
    session::{self, Done, Held, SessionGuard, Slots},
    status::{next, tell_end, why},
    stores::Stores,
    token::{Demand, Token},
    wire::{
        AHEAD, Assembly, Frame, MESSAGE, frames,
        pb::{
            self, Beat, FromWorker, Hello, Parts, ToWorker, Welcome, from_worker::What as Answer,
            keeper_server::KeeperServer, to_worker::What as Order, worker_server::WorkerServer,
        },
    },
    worker::{Means, Role, Service},
};

/// Tasks granted for each slot: one at work, and two on the way so that it need not wait.
const TASKS: usize = 3;

/// Bytes granted for each slot: room for that many usual tasks.
const BYTES: usize = 4 << 20;

/// A coordinator that is gone without a word is forgotten after twice this time.
pub(super) const SILENCE: Duration = Duration::from_secs(20);

/// A connection has one session, or fetches for the slots of one worker; a few calls more are
/// harmless, thousands are not.
const CALLS: u32 = 64;

/// The largest head of a call, which is read before its token is: the usual ones have less than 500
/// bytes.
const HEAD: u32 = 16 << 10;

/// What a worker has to offer.
pub(super) struct Worker {
    pub(super) services: &'static [Service],
    pub(super) files: Files,
    /// Whether coordinators may have it send requests to others.
    pub(super) requests: bool,
    /// Tasks at work at once in each session.
    pub(super) slots: usize,
    /// See [`SILENCE`].
    pub(super) silence: Duration,
}

/// A worker, and the sessions it has.
struct Host {
    worker: Worker,
    token: Token,
    stores: Stores,
    sessions: Sessions,
}

/// Serves until the process ends.
pub(super) fn serve(listener: TcpListener, token: Token, worker: Worker, log: Log) -> Result<()> {
    current_thread()?.block_on(async {
        listener.set_nonblocking(true).map_err(Error::io("listener"))?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::io("listener"))?;
        let connections = Acceptor::new(listener, acceptor::Limits::default(), log).connections();
        let sessions = Sessions::default();
        let keepers =
            KeeperHost { services: worker.services, requests: worker.requests, sessions: sessions.clone() };
        let keepers = KeeperServer::new(keepers).max_decoding_message_size(MESSAGE);
        let silence = Some(worker.silence);
        let host = Host { worker, token: token.clone(), stores: Stores::default(), sessions };
        let service = WorkerServer::new(host).max_decoding_message_size(MESSAGE);
        Server::builder()
            .http2_keepalive_interval(silence)
            .http2_keepalive_timeout(silence)
            .http2_max_header_list_size(HEAD)
            .max_concurrent_streams(CALLS)
            .add_service(InterceptedService::new(service, Demand(token.clone())))
            .add_service(InterceptedService::new(keepers, Demand(token)))
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
        let Some(ToWorker { what: Some(Order::Hello(hello)) }) = messages.message().await? else {
            return Err(Status::invalid_argument("a session begins with a hello"));
        };
        let slots = self.worker.slots;
        let (tasks, bytes) = (TASKS * slots, BYTES * slots);
        let (done, outputs) = mpsc::channel(slots);
        let (orders, inbox) = bounded(tasks);
        let workload = hello.workload.clone();
        let session = self.begin(hello, inbox, done).await?;
        peer.report(format_args!("session of {workload} has begun"));
        let (answers, stream) = mpsc::channel(AHEAD);
        let welcome = Welcome { tasks: tasks as u32, bytes: bytes as u64 };
        let _ = answers.send(Ok(Answer::Welcome(welcome).into())).await;
        let unfinished = Arc::new(AtomicUsize::new(0));
        tokio::spawn(put_out(outputs, answers.clone(), unfinished.clone()));
        let sessions = self.sessions.clone();
        tokio::spawn(async move {
            let ended = take_in(messages, &sessions, bytes, orders, &unfinished).await;
            // Before the answer, which a coordinator that does not read would keep waiting.
            drop(session);
            let left = unfinished.load(Ordering::Relaxed);
            peer.report(format_args!(
                "session of {workload} has ended with {left} tasks unfinished: {}",
                why(&ended)
            ));
            tell_end(ended, &answers).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn fetch(&self, request: Request<Parts>) -> Result<Response<Self::FetchStream>, Status> {
        self.stores.send(request.into_inner()).map(Response::new)
    }

    async fn ping(&self, _: Request<Beat>) -> Result<Response<Beat>, Status> {
        Ok(Response::new(Beat {}))
    }
}

impl Host {
    /// Begins a session, whose slots take their tasks from `inbox`.
    async fn begin(
        &self,
        hello: Hello,
        inbox: Receiver<Held>,
        done: mpsc::Sender<Done>,
    ) -> Result<SessionGuard, Status> {
        let begin = Service::find(self.worker.services, &hello, |role| match role {
            Role::Tasks(begin) => Some(*begin),
            Role::Keeper { .. } => None,
        })?;
        let permit = self.sessions.admit()?;
        let (session, shelf) = self.stores.open(&hello, Some(self.token.clone()))?;
        let (files, stop) = (self.worker.files.clone(), session.stop.clone());
        let slots = Slots { count: self.worker.slots, inbox, done, stop: stop.clone() };
        let means = Means { files, shelf: Arc::new(shelf), stop };
        session::start(move || begin(&hello.job, &means), slots, session, permit).await
    }
}

/// Takes tasks off the connection until the coordinator has no more, or has gone, and counts them
/// as unfinished. Returns why it ended.
async fn take_in(
    mut messages: Streaming<ToWorker>,
    sessions: &Sessions,
    bytes: usize,
    orders: Sender<Held>,
    unfinished: &AtomicUsize,
) -> Result<String, Status> {
    let credit = Arc::new(Semaphore::new(bytes));
    let (mut assembly, mut held) = (Assembly::default(), None);
    loop {
        let message = match next(&mut messages).await {
            Ok(message) => message,
            Err(ended) => return Ok(ended),
        };
        let Some(Order::Task(frame)) = message.what else {
            return Err(Status::invalid_argument("a session is hello, then tasks"));
        };
        if held.is_none() {
            held = Some(sessions.reserve(&credit, bytes, frame.size).await);
        }
        let Some((id, task)) = assembly.push(frame)? else { continue };
        let room = held.take().ok_or_else(|| Status::internal("no credit"))?;
        match orders.try_send((id, task, room)) {
            Ok(()) => _ = unfinished.fetch_add(1, Ordering::Relaxed),
            Err(TrySendError::Full(_)) => return Err(Status::resource_exhausted("more tasks than credit")),
            Err(TrySendError::Disconnected(_)) => return Ok("its slots have ended".to_owned()),
        }
    }
}

/// Puts the outputs on the connection, one after the other.
async fn put_out(
    mut outputs: mpsc::Receiver<Done>,
    answers: mpsc::Sender<Result<FromWorker, Status>>,
    unfinished: Arc<AtomicUsize>,
) {
    while let Some((id, output)) = outputs.recv().await {
        let (kind, payload): (fn(Frame) -> Answer, _) = match output {
            Ok(output) => (Answer::Output, output),
            Err(why) => (Answer::Failure, why.into()),
        };
        for frame in frames(id, payload) {
            if answers.send(Ok(kind(frame).into())).await.is_err() {
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
        codec::VERSION, token::Present, wire::pb::worker_client::WorkerClient, worker::Work,
    };

    fn begin(_: &[u8], _: &Means) -> Result<Work> {
        Ok(Box::new(|_| Err("there are no tasks".to_owned())))
    }

    /// It does not close its connection, and does not answer on it: as a machine without power.
    #[test]
    fn a_coordinator_that_is_gone_without_a_word_is_forgotten() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let token = Token::random().unwrap();
        const SERVICES: &[Service] = &[Service::tasks("test", begin)];
        let (services, silence) = (SERVICES, Duration::from_millis(100));
        let worker = Worker { services, files: Files::None, requests: false, slots: 1, silence };
        let served = token.clone();
        // It serves until the process ends.
        thread::spawn(move || serve(listener, served, worker, Log::silent()));
        let connect = async || {
            let channel = Endpoint::from_shared(address.clone()).unwrap().connect().await.unwrap();
            WorkerClient::with_interceptor(channel, Present(Some(token.clone())))
        };
        let gone = current_thread().unwrap();
        let _session = gone.block_on(async {
            let (messages, requests) = mpsc::channel(1);
            let (version, workload) = (VERSION.to_owned(), "test".to_owned());
            let hello = Hello { version, workload, session: "session".to_owned(), ..Hello::default() };
            messages.send(ToWorker { what: Some(Order::Hello(hello)) }).await.unwrap();
            let mut client = connect().await;
            let mut answers = client.serve(ReceiverStream::new(requests)).await.unwrap().into_inner();
            assert!(answers.message().await.unwrap().is_some(), "it is welcome");
            (messages, answers)
        });
        // From here on nothing drives that connection.
        let asked = Parts { session: "session".to_owned(), parts: Vec::new() };
        let is_over = async {
            let mut client = connect().await;
            let mut code = Code::Ok;
            while code != Code::NotFound {
                code = client.fetch(asked.clone()).await.map_or_else(|status| status.code(), |_| Code::Ok);
            }
        };
        let waited = current_thread().unwrap().block_on(async { timeout(SILENCE * 2, is_over).await });
        assert!(waited.is_ok(), "its session goes on");
    }
}

//! The worker: serves sessions, each one coordinator's job.
//!
//! One thread moves messages, and answers pings whatever the slots do; the slots are threads of their own,
//! since a kernel would keep the messages waiting. The messages are never kept waiting by the slots either:
//! the credit that a session is granted is the room there is for its tasks, so what arrives is always taken
//! off the connection.

use std::{
    net::TcpListener,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use cc_workloads::{Error, Result, Stop, error::panic_reason};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use prost::bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    service::interceptor::InterceptedService,
    transport::{Server, server::TcpIncoming},
};

use super::{
    keeper::{Opening, Rooms},
    root::Files,
    shelf::{ClusterShelf, Session, Stores},
    token::{Demand, Token},
    wire::{
        AHEAD, Assembly, Frame, MESSAGE, PAYLOAD, frames,
        pb::{
            self, Beat, FromWorker, Hello, Parts, ToWorker, Welcome, from_worker::What as Answer,
            keeper_server::KeeperServer, to_worker::What as Order, worker_server::WorkerServer,
        },
    },
};

/// A workload's side in the worker: its name, and how a job of it is begun, once for each slot.
pub type Service = (&'static str, Begin);

/// Begins with an encoded job.
pub type Begin = fn(job: &[u8], means: &Means) -> Result<Work>;

/// What a job has in the worker.
pub struct Means {
    /// It may open these, and no others.
    pub files: Files,
    /// What its tasks leave for those that come later, wherever they are done.
    pub shelf: Arc<ClusterShelf>,
    /// Requested when the session has ended: nobody waits for what it does any more.
    pub stop: Stop,
}

/// From an encoded task to its encoded output, or to why it cannot be done. A panic is such a reason, too, and
/// must leave the function usable.
pub type Work = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, String> + Send>;

/// Tasks granted for each slot: one at work, and two on the way so that it need not wait.
const TASKS: usize = 3;

/// Bytes granted for each slot: room for that many usual tasks.
const BYTES: usize = 4 << 20;

/// A coordinator that is gone without a word is forgotten after twice this time.
const SILENCE: Duration = Duration::from_secs(20);

/// A connection has one session, or fetches for the slots of one worker; a few calls more are harmless, thousands
/// are not.
const CALLS: u32 = 64;

/// What a worker has to offer.
pub(super) struct Worker {
    pub(super) services: &'static [Service],
    pub(super) keepers: &'static [Opening],
    pub(super) files: Files,
    /// Whether coordinators may have it send requests to others.
    pub(super) requests: bool,
    /// Tasks at work at once in each session.
    pub(super) slots: usize,
}

/// A worker, and the sessions it has.
struct Host {
    worker: Worker,
    token: Option<Token>,
    stores: Stores,
}

/// A task, and its part of the credit.
type Held = (u64, Bytes, OwnedSemaphorePermit);

/// What came of it.
type Done = (u64, Result<Bytes, String>);

/// Serves until the process ends.
pub(super) fn serve(listener: TcpListener, token: Option<Token>, worker: Worker) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::io("runtime"))?.block_on(async {
        listener.set_nonblocking(true).map_err(Error::io("listener"))?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::io("listener"))?;
        let rooms = Rooms { keepers: worker.keepers, requests: worker.requests };
        let rooms = KeeperServer::new(rooms).max_decoding_message_size(MESSAGE);
        let host = Host { worker, token: token.clone(), stores: Stores::default() };
        let service = WorkerServer::new(host).max_decoding_message_size(MESSAGE);
        Server::builder()
            .http2_keepalive_interval(Some(SILENCE))
            .http2_keepalive_timeout(Some(SILENCE))
            .max_concurrent_streams(CALLS)
            .add_service(InterceptedService::new(service, Demand(token.clone())))
            .add_service(InterceptedService::new(rooms, Demand(token)))
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
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
        let mut messages = request.into_inner();
        let Some(ToWorker { what: Some(Order::Hello(hello)) }) = messages.message().await? else {
            return Err(Status::invalid_argument("a session begins with a hello"));
        };
        let slots = self.worker.slots;
        let (tasks, bytes) = (TASKS * slots, BYTES * slots);
        let (done, outputs) = mpsc::channel(slots);
        let (orders, inbox) = bounded(tasks);
        let (session, work) = self.begin(hello).await?;
        for (n, work) in work.into_iter().enumerate() {
            let (inbox, done) = (inbox.clone(), done.clone());
            let slot = move || slot(work, &inbox, &done);
            thread::Builder::new().name(format!("slot-{n}")).spawn(slot)?;
        }
        let (answers, stream) = mpsc::channel(AHEAD);
        let welcome = Welcome { tasks: tasks as u32, bytes: bytes as u64 };
        let _ = answers.send(Ok(Answer::Welcome(welcome).into())).await;
        tokio::spawn(put_out(outputs, answers.clone()));
        tokio::spawn(async move {
            if let Err(status) = take_in(messages, Arc::new(Semaphore::new(bytes)), orders).await {
                let _ = answers.send(Err(status)).await;
            }
            drop(session);
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
    /// Begins a session, with the work of each slot. Compiling a query takes a while: not on the thread that answers
    /// pings.
    async fn begin(&self, hello: Hello) -> Result<(Session, Vec<Work>), Status> {
        let begin = self.service(&hello)?;
        let (session, shelf) = self.stores.open(&hello, self.token.clone())?;
        let (files, stop) = (self.worker.files.clone(), session.stop.clone());
        let means = Means { files, shelf: Arc::new(shelf), stop };
        let slots = self.worker.slots;
        let begun = move || (0..slots).map(|_| begin(&hello.job, &means)).collect::<Result<_>>();
        match tokio::task::spawn_blocking(begun).await {
            Ok(Ok(work)) => Ok((session, work)),
            Ok(Err(error)) => Err(Status::failed_precondition(error.to_string())),
            Err(error) => Err(Status::internal(error.to_string())),
        }
    }

    fn service(&self, hello: &Hello) -> Result<Begin, Status> {
        if hello.version != super::VERSION {
            let why = format!("version {} cannot work for version {}", super::VERSION, hello.version);
            return Err(Status::failed_precondition(why));
        }
        let service = self.worker.services.iter().find(|(name, _)| *name == hello.workload);
        let none = || Status::failed_precondition(format!("no workload {:?} here", hello.workload));
        service.map(|&(_, begin)| begin).ok_or_else(none)
    }
}

/// Does tasks until the session ends.
fn slot(mut work: Work, inbox: &Receiver<Held>, done: &mpsc::Sender<Done>) {
    for (id, task, credit) in inbox {
        let output = catch_unwind(AssertUnwindSafe(|| work(&task)))
            .unwrap_or_else(|panic| Err(panic_reason(&*panic)))
            .and_then(fits);
        // Before the answer, which tells the coordinator that there is room again.
        drop((task, credit));
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

/// Takes tasks off the connection until the coordinator has no more, or has gone.
async fn take_in(
    mut messages: Streaming<ToWorker>,
    credit: Arc<Semaphore>,
    orders: Sender<Held>,
) -> Result<(), Status> {
    let all = credit.available_permits();
    let (mut assembly, mut held) = (Assembly::default(), None);
    while let Ok(Some(message)) = messages.message().await {
        let Some(Order::Task(frame)) = message.what else {
            return Err(Status::invalid_argument("a session is hello, then tasks"));
        };
        if held.is_none() {
            // A coordinator that keeps to its credit never waits here; to any other this is the limit.
            let bytes = usize::try_from(frame.size).unwrap_or(usize::MAX).min(all);
            held = credit.clone().acquire_many_owned(bytes as u32).await.ok();
        }
        let Some((id, task)) = assembly.push(frame)? else { continue };
        let permit = held.take().ok_or_else(|| Status::internal("no credit"))?;
        match orders.try_send((id, task, permit)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(Status::resource_exhausted("more tasks than credit")),
            Err(TrySendError::Disconnected(_)) => break,
        }
    }
    Ok(())
}

/// Puts the outputs on the connection, one after the other.
async fn put_out(mut outputs: mpsc::Receiver<Done>, answers: mpsc::Sender<Result<FromWorker, Status>>) {
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
    }
}

impl From<Answer> for FromWorker {
    fn from(what: Answer) -> Self {
        Self { what: Some(what) }
    }
}

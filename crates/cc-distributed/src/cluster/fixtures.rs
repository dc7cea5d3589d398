//! Workers for the tests of what one fetches from another: sound ones, and those that hang or lie.

#![cfg(test)]

use std::{
    future::pending,
    io::Write,
    net::TcpListener,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use cc_workloads::shelf::{Shelf, Slice};
use prost::bytes::Bytes;
use tokio::{
    runtime::{Builder, Handle},
    sync::{mpsc, oneshot},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    service::interceptor::InterceptedService,
    transport::{Server, server::TcpIncoming},
};

use super::{
    shelf::ClusterShelf,
    stores::{Session, Stores},
    token::{self, Demand, Token},
    wire::{
        Frame,
        pb::{
            Beat, FromWorker, Hello, Parts, ToWorker,
            worker_server::{Worker, WorkerServer},
        },
    },
};

/// Longer than a test takes: a wait that ends in time has ended for another reason.
pub(super) const FOREVER: Duration = Duration::from_secs(600);

/// A runtime as a worker has one: a thread drives it, and others wait for what happens there.
pub(super) struct Runtime {
    pub(super) handle: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Runtime {
    pub(super) fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (handle, (end, ended)) = (runtime.handle().clone(), oneshot::channel());
        let drive = move || drop(runtime.block_on(ended));
        Self { handle, end: Some(end), thread: Some(thread::spawn(drive)) }
    }

    /// A worker on this runtime, with this token. Returns its address.
    pub(super) fn serve(&self, peer: Peer, token: &Token) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let demand = Demand(token.clone());
        self.handle.spawn(async move {
            listener.set_nonblocking(true).unwrap();
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
            let service = InterceptedService::new(WorkerServer::new(peer), demand);
            Server::builder().add_service(service).serve_with_incoming(incoming).await
        });
        address
    }

    /// A session of a worker that is said to be at this address.
    pub(super) fn open(
        &self,
        stores: &Stores,
        address: &str,
        token: &Token,
        patience: Duration,
    ) -> (Session, ClusterShelf) {
        let _within = self.handle.enter();
        let (session, address) = (token::random().unwrap(), address.to_owned());
        let patience_ms = patience.as_millis() as u64;
        let hello = Hello { session, address, patience_ms, ..Hello::default() };
        stores.open(&hello, Some(token.clone())).unwrap()
    }
}

/// All its connections are gone then, as when a process dies.
impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.end.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The other end of a fetch.
pub(super) enum Peer {
    /// Does what it should.
    Sound(Stores),
    /// Sends one frame, says so, and hangs.
    Hung(SyncSender<()>),
    /// Sends these frames, whatever it is asked for.
    Wrong(Vec<Frame>),
}

#[tonic::async_trait]
impl Worker for Peer {
    type ServeStream = ReceiverStream<Result<FromWorker, Status>>;
    type FetchStream = ReceiverStream<Result<Frame, Status>>;

    async fn serve(&self, _: Request<Streaming<ToWorker>>) -> Result<Response<Self::ServeStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn fetch(&self, parts: Request<Parts>) -> Result<Response<Self::FetchStream>, Status> {
        let (frames, stream) = mpsc::channel(1);
        let reached = match self {
            Self::Sound(stores) => return stores.send(parts.into_inner()).map(Response::new),
            Self::Hung(reached) => reached.clone(),
            Self::Wrong(wrong) => {
                let wrong = wrong.clone();
                tokio::spawn(async move {
                    for frame in wrong {
                        let _ = frames.send(Ok(frame)).await;
                    }
                });
                return Ok(Response::new(ReceiverStream::new(stream)));
            }
        };
        tokio::spawn(async move {
            let _ = frames.send(Ok(Frame { id: 0, size: 3, data: Bytes::from_static(b"x") })).await;
            reached.send(()).unwrap();
            pending::<()>().await;
            drop(frames);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn ping(&self, _: Request<Beat>) -> Result<Response<Beat>, Status> {
        Err(Status::unimplemented(""))
    }
}

pub(super) fn hung() -> (Peer, Receiver<()>) {
    let (reached, fetching) = sync_channel(1);
    (Peer::Hung(reached), fetching)
}

pub(super) fn put(shelf: &ClusterShelf, name: &str, bytes: &[u8]) -> String {
    let name = shelf.here(name);
    let mut draft = shelf.create(&name).unwrap();
    draft.write_all(bytes).unwrap();
    draft.finish().unwrap();
    name
}

pub(super) fn read(shelf: &ClusterShelf, name: &str, start: u64, end: u64) -> Result<Vec<u8>, String> {
    let mut bytes = b"> ".to_vec();
    let slice = Slice { name: name.to_owned(), start, end };
    shelf.read(&slice, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes.split_off(2))
}

//! Workers for the tests of fetches between workers: correct ones, and some that hang or lie.

#![cfg(test)]

use std::{
    future::pending,
    io::Write,
    net::TcpListener,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use cc_workloads::blobs::{BlobRange, BlobStore};
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
    blob_store::ClusterBlobStore,
    session_stores::{Registration, SessionStores},
    token::{self, RequireToken, Token},
    wire::{
        Frame,
        pb::{
            Beat, FromWorker, Hello, Parts, ToWorker,
            worker_server::{Worker, WorkerServer},
        },
    },
};

/// Longer than a test takes: a wait with this limit that ends has ended for another reason.
pub(super) const FOREVER: Duration = Duration::from_secs(600);

/// A runtime like that of a worker: one thread drives it, and other threads wait for its tasks.
pub(super) struct Runtime {
    pub(super) handle: Handle,
    end_tx: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Runtime {
    pub(super) fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (handle, (end_tx, end_rx)) = (runtime.handle().clone(), oneshot::channel());
        let drive = move || drop(runtime.block_on(end_rx));
        Self { handle, end_tx: Some(end_tx), thread: Some(thread::spawn(drive)) }
    }

    /// Starts a worker on this runtime, with this token. Returns its address.
    pub(super) fn serve(&self, peer: Peer, token: &Token) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let require_token = RequireToken(token.clone());
        self.handle.spawn(async move {
            listener.set_nonblocking(true).unwrap();
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
            let service = InterceptedService::new(WorkerServer::new(peer), require_token);
            Server::builder().add_service(service).serve_with_incoming(incoming).await
        });
        address
    }

    /// A session of a worker that has this address.
    pub(super) fn open(
        &self,
        stores: &SessionStores,
        address: &str,
        token: &Token,
        answer_timeout: Duration,
    ) -> (Registration, ClusterBlobStore) {
        let _within = self.handle.enter();
        let (session, address) = (token::random().unwrap(), address.to_owned());
        let patience_ms = answer_timeout.as_millis() as u64;
        let hello = Hello { session, address, patience_ms, ..Hello::default() };
        stores.open(&hello, Some(token.clone())).unwrap()
    }
}

/// Closes all connections, as the death of a process does.
impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.end_tx.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The other end of a fetch.
pub(super) enum Peer {
    /// Answers correctly.
    Correct(SessionStores),
    /// Sends one frame, signals it, and hangs.
    Hung(SyncSender<()>),
    /// Sends these frames in answer to every request.
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
        let (frames_tx, frames_rx) = mpsc::channel(1);
        let reached_tx = match self {
            Self::Correct(stores) => return stores.send(parts.into_inner()).map(Response::new),
            Self::Hung(reached_tx) => reached_tx.clone(),
            Self::Wrong(wrong) => {
                let wrong = wrong.clone();
                tokio::spawn(async move {
                    for frame in wrong {
                        let _ = frames_tx.send(Ok(frame)).await;
                    }
                });
                return Ok(Response::new(ReceiverStream::new(frames_rx)));
            }
        };
        tokio::spawn(async move {
            let _ = frames_tx.send(Ok(Frame { id: 0, size: 3, data: Bytes::from_static(b"x") })).await;
            reached_tx.send(()).unwrap();
            pending::<()>().await;
            drop(frames_tx);
        });
        Ok(Response::new(ReceiverStream::new(frames_rx)))
    }

    async fn ping(&self, _: Request<Beat>) -> Result<Response<Beat>, Status> {
        Err(Status::unimplemented(""))
    }
}

pub(super) fn hung() -> (Peer, Receiver<()>) {
    let (reached_tx, reached_rx) = sync_channel(1);
    (Peer::Hung(reached_tx), reached_rx)
}

pub(super) fn put(blobs: &ClusterBlobStore, name: &str, bytes: &[u8]) -> String {
    let name = blobs.full_name(name);
    let mut writer = blobs.create(&name).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap();
    name
}

pub(super) fn read(blobs: &ClusterBlobStore, name: &str, start: u64, end: u64) -> Result<Vec<u8>, String> {
    let mut bytes = b"> ".to_vec();
    let range = BlobRange { name: name.to_owned(), start, end };
    blobs.read(&range, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes.split_off(2))
}

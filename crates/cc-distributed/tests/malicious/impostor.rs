//! The impostor: a worker of the real protocol, which passes on what an honest one says, or lies.

use std::{
    collections::HashMap,
    net::TcpListener,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use pb::{
    Beat, Frame, FromWorker, Parts, ToWorker, Welcome,
    from_worker::What as Answer,
    to_worker::What as Order,
    worker_client::WorkerClient,
    worker_server::{Worker, WorkerServer},
};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    metadata::MetadataMap,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

use crate::CANARY;

/// The generated protocol.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
pub(crate) mod pb {
    tonic::include_proto!("cc.cluster");
}

/// A message may be as large as anywhere, and larger: what is too large is the coordinator's to
/// refuse.
const MESSAGE: usize = 64 << 20;
const FRAME: usize = 256 << 10;

/// Nothing is waited for longer: then a lie was believed, and the test fails.
const LONG: Duration = Duration::from_secs(20);

/// What an impostor knows when it is to answer.
pub(crate) struct Asked<'a> {
    /// Its session: `ADDRESS/SESSION`.
    pub(crate) place: &'a str,
    /// The task's number, and the task.
    pub(crate) id: u64,
    pub(crate) task: &'a [u8],
    /// The true answer.
    pub(crate) truth: &'a [u8],
}

/// Makes a lie, of the tasks that it knows how to lie about.
pub(crate) type Lie = Arc<dyn Fn(&Asked) -> Option<Vec<FromWorker>> + Send + Sync>;

/// What became of an impostor.
pub(crate) struct Told {
    pub(crate) address: String,
    pub(crate) sessions: usize,
    pub(crate) has_lied: bool,
    /// Whether its session was ended when it had.
    pub(crate) was_cut_off: bool,
    /// Whether it was sent what no worker should be.
    pub(crate) has_seen: bool,
}

/// Some impostors, and an honest worker behind them.
pub(crate) struct Impostors {
    all: Vec<Arc<Shared>>,
    left: watch::Sender<usize>,
    _runtime: Runtime,
}

struct Shared {
    address: String,
    backend: String,
    lie: Option<Lie>,
    phase: fn(&[u8]) -> bool,
    /// Impostors that have no lie yet: all lie at once, or the first would spoil the others'
    /// answers.
    unready: watch::Sender<usize>,
    /// Impostors that have not been cut off.
    left: watch::Sender<usize>,
    is_isolated: bool,
    sessions: AtomicUsize,
    has_lied: AtomicBool,
    was_cut_off: AtomicBool,
    has_seen: AtomicBool,
}

impl Impostors {
    /// One for each lie, and the honest worker as the last.
    pub(crate) fn new(backend: &str, lies: Vec<(String, Lie)>, phase: fn(&[u8]) -> bool) -> Self {
        let lies = lies.into_iter().map(|(_, lie)| (Some(lie), false)).chain([(None, false)]);
        Self::start(backend, lies.collect(), phase)
    }

    /// Honest workers, some of which no other can fetch from.
    pub(crate) fn isolated(backend: &str, isolated: &[bool]) -> Self {
        let all = isolated.iter().map(|is_isolated| (None, *is_isolated)).collect();
        Self::start(backend, all, |_| false)
    }

    fn start(backend: &str, all: Vec<(Option<Lie>, bool)>, phase: fn(&[u8]) -> bool) -> Self {
        let runtime = Runtime::new().unwrap();
        let _within = runtime.enter();
        let liars = all.iter().filter(|(lie, _)| lie.is_some()).count();
        let (unready, left) = (watch::Sender::new(liars), watch::Sender::new(liars));
        let start = |(lie, is_isolated)| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let shared = Arc::new(Shared {
                address: listener.local_addr().unwrap().to_string(),
                backend: backend.to_owned(),
                lie,
                phase,
                unready: unready.clone(),
                left: left.clone(),
                is_isolated,
                sessions: AtomicUsize::default(),
                has_lied: AtomicBool::default(),
                was_cut_off: AtomicBool::default(),
                has_seen: AtomicBool::default(),
            });
            listener.set_nonblocking(true).unwrap();
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
            let service = WorkerServer::new(Impostor(shared.clone())).max_decoding_message_size(MESSAGE);
            let service = service.max_encoding_message_size(MESSAGE);
            runtime.spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
            shared
        };
        let all = all.into_iter().map(start).collect();
        drop(_within);
        Self { all, left, _runtime: runtime }
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.all.iter().map(|shared| shared.address.clone()).collect()
    }

    /// Lets no honest worker wait.
    pub(crate) fn dismiss_the_honest(&mut self) {
        self.left.send_replace(0);
    }

    /// What became of them, the honest one last.
    pub(crate) fn end(self) -> Vec<Told> {
        let told = |shared: &Arc<Shared>| Told {
            address: shared.address.clone(),
            sessions: shared.sessions.load(Ordering::SeqCst),
            has_lied: shared.has_lied.load(Ordering::SeqCst),
            was_cut_off: shared.was_cut_off.load(Ordering::SeqCst),
            has_seen: shared.has_seen.load(Ordering::SeqCst),
        };
        self.all.iter().map(told).collect()
    }
}

struct Impostor(Arc<Shared>);

/// The tasks of a session.
#[derive(Default)]
struct Session {
    place: String,
    tasks: HashMap<u64, Vec<u8>>,
}

type Tasks = Arc<Mutex<Session>>;
type Answers = mpsc::Sender<Result<FromWorker, Status>>;

#[tonic::async_trait]
impl Worker for Impostor {
    type ServeStream = ReceiverStream<Result<FromWorker, Status>>;
    type FetchStream = Streaming<Frame>;

    async fn serve(
        &self,
        request: Request<Streaming<ToWorker>>,
    ) -> Result<Response<Self::ServeStream>, Status> {
        self.0.sessions.fetch_add(1, Ordering::SeqCst);
        let (shared, tasks) = (self.0.clone(), Tasks::default());
        let metadata = request.metadata().clone();
        let (orders, requests) = mpsc::channel(16);
        tokio::spawn(ask(self.0.clone(), tasks.clone(), request.into_inner(), orders));
        let request = with(&metadata, ReceiverStream::new(requests));
        let truths = self.0.client().await?.serve(request).await?.into_inner();
        let (answers, stream) = mpsc::channel(16);
        tokio::spawn(answer(shared, tasks, truths, answers));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn fetch(&self, request: Request<Parts>) -> Result<Response<Self::FetchStream>, Status> {
        if self.0.is_isolated {
            return Err(Status::unavailable("does not reach it"));
        }
        let metadata = request.metadata().clone();
        self.0.client().await?.fetch(with(&metadata, request.into_inner())).await
    }

    async fn ping(&self, _: Request<Beat>) -> Result<Response<Beat>, Status> {
        Ok(Response::new(Beat {}))
    }
}

impl Shared {
    async fn client(&self) -> Result<WorkerClient<Channel>, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.backend)).expect("an address");
        let channel = endpoint.tcp_nodelay(true).connect().await;
        channel.map(WorkerClient::new).map_err(|error| Status::unavailable(error.to_string()))
    }

    /// The lie about this task, if it is time for it.
    fn lie(&self, asked: &Asked) -> Option<Vec<FromWorker>> {
        let lie = self.lie.as_ref().filter(|_| (self.phase)(asked.task))?;
        let lie = lie(asked)?;
        self.has_lied.store(true, Ordering::SeqCst);
        Some(lie)
    }
}

/// The same call, with the caller's token.
fn with<T>(metadata: &MetadataMap, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = metadata.get("authorization") {
        request.metadata_mut().insert("authorization", token.clone());
    }
    request
}

/// Passes tasks on, and remembers them.
async fn ask(
    shared: Arc<Shared>,
    tasks: Tasks,
    mut messages: Streaming<ToWorker>,
    orders: mpsc::Sender<ToWorker>,
) {
    while let Ok(Some(message)) = messages.message().await {
        {
            let mut session = tasks.lock().unwrap_or_else(PoisonError::into_inner);
            match &message.what {
                Some(Order::Hello(hello)) => session.place = format!("{}/{}", hello.address, hello.session),
                Some(Order::Task(frame)) => {
                    session.tasks.entry(frame.id).or_default().extend_from_slice(&frame.data);
                    if frame.data.windows(CANARY.len()).any(|bytes| bytes == CANARY.as_bytes()) {
                        shared.has_seen.store(true, Ordering::SeqCst);
                    }
                }
                None => {}
            }
        }
        if orders.send(message).await.is_err() {
            return;
        }
    }
}

/// Passes answers on, or lies.
async fn answer(shared: Arc<Shared>, tasks: Tasks, mut truths: Streaming<FromWorker>, answers: Answers) {
    let mut whole: HashMap<u64, Vec<u8>> = HashMap::new();
    while let Ok(Some(message)) = truths.message().await {
        let frame = match message.what {
            // One task at a time: every impostor is to have one.
            Some(Answer::Welcome(Welcome { bytes, .. })) => {
                say(&answers, Answer::Welcome(Welcome { tasks: 1, bytes })).await;
                continue;
            }
            Some(Answer::Output(frame)) => frame,
            other => {
                let _ = answers.send(Ok(FromWorker { what: other })).await;
                continue;
            }
        };
        let truth = whole.entry(frame.id).or_default();
        truth.extend_from_slice(&frame.data);
        if (truth.len() as u64) < frame.size {
            continue;
        }
        let truth = whole.remove(&frame.id).unwrap_or_default();
        let (place, task) = {
            let session = tasks.lock().unwrap_or_else(PoisonError::into_inner);
            (session.place.clone(), session.tasks.get(&frame.id).cloned().unwrap_or_default())
        };
        let asked = Asked { place: &place, id: frame.id, task: &task, truth: &truth };
        if let Some(lies) = shared.lie(&asked) {
            shared.unready.send_modify(|unready| *unready -= 1);
            until_none(&shared.unready, &answers).await;
            for lie in lies {
                let _ = answers.send(Ok(lie)).await;
            }
            let is_cut_off = timeout(LONG, answers.closed()).await.is_ok();
            shared.was_cut_off.store(is_cut_off, Ordering::SeqCst);
            shared.left.send_modify(|left| *left -= 1);
            return;
        }
        if shared.lie.is_none() && (shared.phase)(&task) {
            until_none(&shared.left, &answers).await;
        }
        for message in output(frame.id, &truth) {
            let _ = answers.send(Ok(message)).await;
        }
    }
}

/// Waits until there are none of these, or no receiver of the answers; or for long, if that fails.
async fn until_none(these: &watch::Sender<usize>, answers: &Answers) {
    let mut these = these.subscribe();
    tokio::select! {
        _ = timeout(LONG, these.wait_for(|these| *these == 0)) => {}
        () = answers.closed() => {}
    }
}

async fn say(answers: &Answers, what: Answer) {
    let _ = answers.send(Ok(FromWorker { what: Some(what) })).await;
}

/// An answer in the frames that it should come in.
pub(crate) fn output(id: u64, payload: &[u8]) -> Vec<FromWorker> {
    let size = payload.len() as u64;
    let frame = |data: &[u8]| FromWorker {
        what: Some(Answer::Output(Frame { id, size, data: data.to_vec().into() })),
    };
    if payload.is_empty() { vec![frame(payload)] } else { payload.chunks(FRAME).map(frame).collect() }
}

//! The impostor: a worker with the real protocol. It passes on the answers of an honest worker, or
//! lies.

use std::{
    collections::HashMap,
    fs,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use pb::{
    Beat, Frame, FromWorker, Parts, ToWorker, Welcome,
    from_worker::What as Event,
    to_worker::What as Command,
    worker_client::WorkerClient,
    worker_server::{Worker, WorkerServer},
};
use tokio::{
    runtime::Runtime,
    sync::{OnceCell, mpsc, watch},
    time::{sleep, timeout},
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

/// Maximum bytes per message: more than the protocol allows, because the coordinator itself must
/// refuse what is too large.
const MESSAGE: usize = 64 << 20;
const FRAME: usize = 256 << 10;

/// Maximum wait for an event. Only in a test that fails does an event take longer.
const LONG: Duration = Duration::from_secs(60);

/// What an impostor knows about a task when it has to answer.
pub(crate) struct TaskContext<'a> {
    /// The location of its session: `ADDRESS/SESSION`.
    pub(crate) location: &'a str,
    /// The task's number.
    pub(crate) id: u64,
    /// The encoded task.
    pub(crate) payload: &'a [u8],
    /// The true answer.
    pub(crate) truth: &'a [u8],
}

/// Makes a lie about a task. None if the task is of another kind.
pub(crate) type Lie = Arc<dyn Fn(&TaskContext) -> Option<Vec<FromWorker>> + Send + Sync>;

/// What happened to an impostor after its lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was sent no task that it could lie about.
    #[default]
    NoTask,
    /// Its session ended before its lie.
    Lost,
    /// It was sent tasks after the lie.
    Believed,
    /// Its session ended after the lie.
    CutOff,
    /// Neither happened.
    Undecided,
}

/// What happened to an impostor.
pub(crate) struct Report {
    pub(crate) address: String,
    pub(crate) sessions: usize,
    pub(crate) fate: Fate,
    /// Whether it has waited too long for the other impostors.
    pub(crate) was_late: bool,
    /// Whether it was sent the secret, which no worker may see.
    pub(crate) has_seen_secret: bool,
    /// How many fetches it has refused.
    pub(crate) refused: usize,
}

/// Impostors, which pass on the answers of honest workers.
pub(crate) struct Impostors {
    all: Vec<Arc<Shared>>,
    _runtime: Runtime,
}

/// What an impostor does with the answers that it passes on.
#[derive(Clone)]
pub(crate) enum Role {
    /// Tells one lie.
    Liar(Lie),
    /// Delays them until all lies were told.
    Honest,
    /// Delays the first one until all others have one, too.
    Sharer(Reached),
    /// Never sends one.
    Silent,
}

/// Which workers can fetch from this one.
#[derive(Clone, Copy)]
pub(crate) enum Reached {
    ByAll,
    ByNone,
    /// By the worker with this process ID.
    By(u32),
}

/// Whether a process has the connection from this port to this address, both on this machine.
fn has_connection(process: u32, port: u16, to: &str) -> bool {
    let to = to.rsplit_once(':').map_or(0, |(_, port)| port.parse::<u16>().unwrap());
    let connections = fs::read_to_string(format!("/proc/{process}/net/tcp")).unwrap();
    let inode = connections.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it =
            fields[1].ends_with(&format!(":{port:04X}")) && fields[2].ends_with(&format!(":{to:04X}"));
        is_it.then(|| format!("socket:[{}]", fields[9]))
    });
    let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    let mut open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    inode.is_some_and(|inode| open.any(|file| file.as_os_str() == &*inode))
}

struct Shared {
    address: String,
    backend: String,
    role: Role,
    phase: fn(&[u8]) -> bool,
    /// How many impostors have no lie yet, or how many sharers have no task yet. All lie at the
    /// same time, so that no lie changes which tasks the other impostors get.
    unready: watch::Sender<usize>,
    /// How many impostors have not been cut off.
    left: watch::Sender<usize>,
    /// The connection that all fetches share, because the honest worker limits connections.
    fetches: OnceCell<Channel>,
    sessions: AtomicUsize,
    /// Whether it was counted as ready. It is counted once, even if it has several sessions.
    is_ready: AtomicBool,
    fate: Mutex<Fate>,
    was_late: AtomicBool,
    has_seen_secret: AtomicBool,
    refused: AtomicUsize,
    /// A cache, because the system's list of connections is long: for each port, whether its
    /// connection can reach this worker.
    reachable: Mutex<HashMap<u16, bool>>,
}

impl Impostors {
    /// One impostor per lie, and the honest worker as the last.
    pub(crate) fn new(backend: &str, lies: Vec<(String, Lie)>, phase: fn(&[u8]) -> bool) -> Self {
        let liars = lies.into_iter().map(|(_, lie)| Role::Liar(lie));
        let all = liars.chain([Role::Honest]).map(|role| (backend, role));
        Self::start(all.collect(), phase)
    }

    /// Workers with these roles. No sharer answers before each of them has a task, so each stores
    /// data that the others need.
    pub(crate) fn with_roles(backends: &[(&str, Role)]) -> Self {
        Self::start(backends.to_vec(), |_| true)
    }

    fn start(all: Vec<(&str, Role)>, phase: fn(&[u8]) -> bool) -> Self {
        let runtime = Runtime::new().unwrap();
        let _within = runtime.enter();
        let count = |is_one: fn(&Role) -> bool| {
            watch::Sender::new(all.iter().filter(|(_, role)| is_one(role)).count())
        };
        let unready = count(|role| !matches!(role, Role::Honest));
        let left = count(|role| matches!(role, Role::Liar(_)));
        let start = |(backend, role): (&str, Role)| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let shared = Arc::new(Shared {
                address: listener.local_addr().unwrap().to_string(),
                backend: backend.to_owned(),
                role,
                phase,
                unready: unready.clone(),
                left: left.clone(),
                fetches: OnceCell::new(),
                sessions: AtomicUsize::default(),
                is_ready: AtomicBool::default(),
                fate: Mutex::default(),
                was_late: AtomicBool::default(),
                has_seen_secret: AtomicBool::default(),
                refused: AtomicUsize::default(),
                reachable: Mutex::default(),
            });
            listener.set_nonblocking(true).unwrap();
            let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener).unwrap());
            // Disables Nagle's algorithm: otherwise each answer waits 40 ms for an acknowledgement.
            let incoming = incoming.with_nodelay(Some(true));
            let service = WorkerServer::new(Impostor(shared.clone())).max_decoding_message_size(MESSAGE);
            let service = service.max_encoding_message_size(MESSAGE);
            runtime.spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
            shared
        };
        let all = all.into_iter().map(start).collect();
        drop(_within);
        Self { all, _runtime: runtime }
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.all.iter().map(|shared| shared.address.clone()).collect()
    }

    /// The reports, that of the honest worker last.
    pub(crate) fn end(self) -> Vec<Report> {
        let report = |shared: &Arc<Shared>| Report {
            address: shared.address.clone(),
            sessions: shared.sessions.load(Ordering::SeqCst),
            fate: *shared.fate.lock().unwrap(),
            was_late: shared.was_late.load(Ordering::SeqCst),
            has_seen_secret: shared.has_seen_secret.load(Ordering::SeqCst),
            refused: shared.refused.load(Ordering::SeqCst),
        };
        self.all.iter().map(report).collect()
    }
}

struct Impostor(Arc<Shared>);

/// A session, and its tasks.
#[derive(Default)]
struct Session {
    location: String,
    tasks: HashMap<u64, Vec<u8>>,
    /// How many tasks it was sent.
    count: watch::Sender<usize>,
}

type Tasks = Arc<Mutex<Session>>;
type EventSender = mpsc::Sender<Result<FromWorker, Status>>;

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
        let (commands_tx, commands_rx) = mpsc::channel(16);
        tokio::spawn(forward_tasks(self.0.clone(), tasks.clone(), request.into_inner(), commands_tx));
        let request = with(&metadata, ReceiverStream::new(commands_rx));
        let truths = WorkerClient::new(self.0.connect().await?).serve(request).await?.into_inner();
        let (events_tx, events_rx) = mpsc::channel(16);
        tokio::spawn(forward_answers(shared, tasks, truths, events_tx));
        Ok(Response::new(ReceiverStream::new(events_rx)))
    }

    async fn fetch(&self, request: Request<Parts>) -> Result<Response<Self::FetchStream>, Status> {
        if let Role::Sharer(reached) = self.0.role
            && !self.0.is_reached(reached, request.remote_addr())
        {
            self.0.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Status::unavailable("not reachable"));
        }
        let metadata = request.metadata().clone();
        let channel = self.0.fetches.get_or_try_init(|| self.0.connect()).await?.clone();
        WorkerClient::new(channel).fetch(with(&metadata, request.into_inner())).await
    }

    async fn ping(&self, _: Request<Beat>) -> Result<Response<Beat>, Status> {
        Ok(Response::new(Beat {}))
    }
}

impl Shared {
    async fn connect(&self) -> Result<Channel, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.backend)).expect("an address");
        let channel = endpoint.tcp_nodelay(true).connect().await;
        channel.map_err(|error| Status::unavailable(error.to_string()))
    }

    /// Whether this peer can fetch from here.
    fn is_reached(&self, by: Reached, peer: Option<SocketAddr>) -> bool {
        match by {
            Reached::ByAll => true,
            Reached::ByNone => false,
            Reached::By(process) => {
                let port = peer.unwrap().port();
                let mut reachable = self.reachable.lock().unwrap();
                *reachable.entry(port).or_insert_with(|| has_connection(process, port, &self.address))
            }
        }
    }

    /// The lie about this task, if it is to be told now.
    fn lie(&self, task: &TaskContext) -> Option<Vec<FromWorker>> {
        let Role::Liar(lie) = &self.role else { return None };
        let is_time = (self.phase)(task.payload) && !self.is_ready.load(Ordering::SeqCst);
        let lies = is_time.then(|| lie(task)).flatten()?;
        self.is_first().then_some(lies)
    }

    /// Whether this is the first time that it is ready.
    fn is_first(&self) -> bool {
        !self.is_ready.swap(true, Ordering::SeqCst)
    }

    /// Delays an answer until it may be sent.
    async fn delay(&self, task: &[u8], events_tx: &EventSender) {
        match self.role {
            Role::Honest if (self.phase)(task) => self.until_zero(&self.left, events_tx).await,
            Role::Sharer(_) | Role::Silent if self.is_first() => self.until_ready(events_tx).await,
            _ => {}
        }
    }

    /// Lies when all others are ready to, and begins to watch the consequence.
    async fn tell(self: &Arc<Self>, lies: Vec<FromWorker>, tasks: &Tasks, events_tx: &EventSender) {
        self.until_ready(events_tx).await;
        if events_tx.is_closed() {
            return self.end(Fate::Lost);
        }
        let count = session(tasks).count.subscribe();
        tokio::spawn(self.clone().judge(count, events_tx.clone()));
        for lie in lies {
            let _ = events_tx.send(Ok(lie)).await;
        }
    }

    /// Waits until the coordinator shows whether it believes the lie. The next task does not show
    /// it, because a lie may begin with a true answer, which gives back its credit. The task after
    /// that does: it comes only when the coordinator has read all of the lie, and a later answer.
    async fn judge(self: Arc<Self>, mut count: watch::Receiver<usize>, events_tx: EventSender) {
        let believed = *count.borrow() + 2;
        let fate = tokio::select! {
            () = events_tx.closed() => Fate::CutOff,
            Ok(_) = count.wait_for(|count| *count >= believed) => Fate::Believed,
            () = sleep(LONG) => Fate::Undecided,
        };
        self.end(fate);
    }

    async fn until_ready(&self, events_tx: &EventSender) {
        self.unready.send_modify(|unready| *unready -= 1);
        self.until_zero(&self.unready, events_tx).await;
    }

    fn end(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
        self.left.send_modify(|left| *left -= 1);
    }

    /// Waits until this count is zero, or the receiver of the answers is gone.
    async fn until_zero(&self, count: &watch::Sender<usize>, events_tx: &EventSender) {
        let mut count = count.subscribe();
        tokio::select! {
            reached = timeout(LONG, count.wait_for(|count| *count == 0)) => {
                self.was_late.fetch_or(reached.is_err(), Ordering::SeqCst);
            }
            () = events_tx.closed() => {}
        }
    }
}

fn session(tasks: &Tasks) -> MutexGuard<'_, Session> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same call, with the caller's token.
fn with<T>(metadata: &MetadataMap, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = metadata.get("authorization") {
        request.metadata_mut().insert("authorization", token.clone());
    }
    request
}

/// Passes tasks on to the honest worker, and records them.
async fn forward_tasks(
    shared: Arc<Shared>,
    tasks: Tasks,
    mut messages: Streaming<ToWorker>,
    commands_tx: mpsc::Sender<ToWorker>,
) {
    while let Ok(Some(message)) = messages.message().await {
        {
            let mut session = session(&tasks);
            match &message.what {
                Some(Command::Hello(hello)) => {
                    session.location = format!("{}/{}", hello.address, hello.session);
                }
                Some(Command::Task(frame)) => {
                    if !session.tasks.contains_key(&frame.id) {
                        session.count.send_modify(|count| *count += 1);
                    }
                    session.tasks.entry(frame.id).or_default().extend_from_slice(&frame.data);
                    let has_seen_secret = String::from_utf8_lossy(&frame.data).contains(CANARY);
                    shared.has_seen_secret.fetch_or(has_seen_secret, Ordering::SeqCst);
                }
                None => {}
            }
        }
        if commands_tx.send(message).await.is_err() {
            return;
        }
    }
}

/// Passes the honest worker's answers on, or lies.
async fn forward_answers(
    shared: Arc<Shared>,
    tasks: Tasks,
    mut truths: Streaming<FromWorker>,
    events_tx: EventSender,
) {
    let mut whole: HashMap<u64, Vec<u8>> = HashMap::new();
    while let Ok(Some(message)) = truths.message().await {
        let frame = match message.what {
            // A credit of one task, so that every impostor gets one.
            Some(Event::Welcome(Welcome { bytes, .. })) => {
                say(&events_tx, Event::Welcome(Welcome { tasks: 1, bytes })).await;
                continue;
            }
            Some(Event::Output(frame)) => frame,
            other => {
                let _ = events_tx.send(Ok(FromWorker { what: other })).await;
                continue;
            }
        };
        let truth = whole.entry(frame.id).or_default();
        truth.extend_from_slice(&frame.data);
        if (truth.len() as u64) < frame.size {
            continue;
        }
        let truth = whole.remove(&frame.id).unwrap_or_default();
        let (location, payload) = {
            let session = session(&tasks);
            (session.location.clone(), session.tasks.get(&frame.id).cloned().unwrap_or_default())
        };
        let task = TaskContext { location: &location, id: frame.id, payload: &payload, truth: &truth };
        if let Some(lies) = shared.lie(&task) {
            shared.tell(lies, &tasks, &events_tx).await;
            continue;
        }
        shared.delay(&payload, &events_tx).await;
        if matches!(shared.role, Role::Silent) {
            continue;
        }
        for message in output(frame.id, &truth) {
            let _ = events_tx.send(Ok(message)).await;
        }
    }
}

async fn say(events_tx: &EventSender, what: Event) {
    let _ = events_tx.send(Ok(FromWorker { what: Some(what) })).await;
}

/// An answer in correct frames.
pub(crate) fn output(id: u64, payload: &[u8]) -> Vec<FromWorker> {
    let size = payload.len() as u64;
    let frame = |data: &[u8]| FromWorker {
        what: Some(Event::Output(Frame { id, size, data: data.to_vec().into() })),
    };
    if payload.is_empty() { vec![frame(payload)] } else { payload.chunks(FRAME).map(frame).collect() }
}

//! The impostor: a worker of the real protocol, which passes on what an honest one says, or lies.

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
    from_worker::What as Answer,
    to_worker::What as Order,
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

/// A message may be as large as anywhere, and larger: what is too large is the coordinator's to
/// refuse.
const MESSAGE: usize = 64 << 20;
const FRAME: usize = 256 << 10;

/// Limits every wait for an event. Nothing takes so long unless the test fails: a wait that ends
/// with this is an error of its own.
const LONG: Duration = Duration::from_secs(60);

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

/// What became of an impostor's lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    /// No task came that it could lie about.
    #[default]
    NotAsked,
    /// Its session ended before it had lied.
    Lost,
    /// It was given tasks after the lie.
    Believed,
    /// Its session was ended after the lie.
    CutOff,
    /// The coordinator did neither.
    Undecided,
}

/// What became of an impostor.
pub(crate) struct Told {
    pub(crate) address: String,
    pub(crate) sessions: usize,
    pub(crate) fate: Fate,
    /// Whether it has waited too long for the others.
    pub(crate) was_late: bool,
    /// Whether it was sent what no worker should be.
    pub(crate) has_seen: bool,
    /// How many fetches it has refused.
    pub(crate) refused: usize,
}

/// Some impostors, and an honest worker behind them.
pub(crate) struct Impostors {
    all: Vec<Arc<Shared>>,
    _runtime: Runtime,
}

/// What it does with the answers.
#[derive(Clone)]
pub(crate) enum Role {
    /// Tells one lie.
    Liar(Lie),
    /// Holds them back until all lies have been told.
    Honest,
    /// Holds back the first one until the others have one, too.
    Sharer(Reached),
    /// Is at work for ever.
    Silent,
}

/// Which workers can fetch from this one.
#[derive(Clone, Copy)]
pub(crate) enum Reached {
    ByAll,
    ByNone,
    /// By the worker that is this process.
    By(u32),
}

/// Whether a process has the connection from this port to this address. All are of one machine.
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
    /// Impostors that have no lie yet: all lie at once, or the first would spoil the others'
    /// answers. Or sharers that have no task yet.
    unready: watch::Sender<usize>,
    /// Impostors that have not been cut off.
    left: watch::Sender<usize>,
    /// The connection that all fetches share: the honest worker has limits on connections.
    fetches: OnceCell<Channel>,
    sessions: AtomicUsize,
    /// Whether it is counted as ready. It is once, also if it has several sessions.
    is_ready: AtomicBool,
    fate: Mutex<Fate>,
    was_late: AtomicBool,
    has_seen: AtomicBool,
    refused: AtomicUsize,
    /// Which connections, by their ports, are those that reach it: the system's list of them is
    /// long.
    known: Mutex<HashMap<u16, bool>>,
}

impl Impostors {
    /// One for each lie, and the honest worker as the last.
    pub(crate) fn new(backend: &str, lies: Vec<(String, Lie)>, phase: fn(&[u8]) -> bool) -> Self {
        let liars = lies.into_iter().map(|(_, lie)| Role::Liar(lie));
        let all = liars.chain([Role::Honest]).map(|role| (backend, role));
        Self::start(all.collect(), phase)
    }

    /// Workers with these roles. No sharer answers before each of them has a task, so each keeps
    /// something that others need.
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
                has_seen: AtomicBool::default(),
                refused: AtomicUsize::default(),
                known: Mutex::default(),
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

    /// What became of them, the honest one last.
    pub(crate) fn end(self) -> Vec<Told> {
        let told = |shared: &Arc<Shared>| Told {
            address: shared.address.clone(),
            sessions: shared.sessions.load(Ordering::SeqCst),
            fate: *shared.fate.lock().unwrap(),
            was_late: shared.was_late.load(Ordering::SeqCst),
            has_seen: shared.has_seen.load(Ordering::SeqCst),
            refused: shared.refused.load(Ordering::SeqCst),
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
    /// How many there were.
    count: watch::Sender<usize>,
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
        let truths = WorkerClient::new(self.0.connect().await?).serve(request).await?.into_inner();
        let (answers, stream) = mpsc::channel(16);
        tokio::spawn(answer(shared, tasks, truths, answers));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn fetch(&self, request: Request<Parts>) -> Result<Response<Self::FetchStream>, Status> {
        if let Role::Sharer(reached) = self.0.role
            && !self.0.is_reached(reached, request.remote_addr())
        {
            self.0.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Status::unavailable("does not reach it"));
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
                let mut known = self.known.lock().unwrap();
                *known.entry(port).or_insert_with(|| has_connection(process, port, &self.address))
            }
        }
    }

    /// The lie about this task, if it is time for it.
    fn lie(&self, asked: &Asked) -> Option<Vec<FromWorker>> {
        let Role::Liar(lie) = &self.role else { return None };
        let is_time = (self.phase)(asked.task) && !self.is_ready.load(Ordering::SeqCst);
        let lies = is_time.then(|| lie(asked)).flatten()?;
        self.is_first().then_some(lies)
    }

    /// Whether this is the first time that it is ready.
    fn is_first(&self) -> bool {
        !self.is_ready.swap(true, Ordering::SeqCst)
    }

    /// Holds back an answer until it is time for it.
    async fn hold_back(&self, task: &[u8], answers: &Answers) {
        match self.role {
            Role::Honest if (self.phase)(task) => self.until_none(&self.left, answers).await,
            Role::Sharer(_) | Role::Silent if self.is_first() => self.until_ready(answers).await,
            _ => {}
        }
    }

    /// Lies when all others are about to, and begins to watch what becomes of it.
    async fn tell(self: &Arc<Self>, lies: Vec<FromWorker>, tasks: &Tasks, answers: &Answers) {
        self.until_ready(answers).await;
        if answers.is_closed() {
            return self.end(Fate::Lost);
        }
        let count = session(tasks).count.subscribe();
        tokio::spawn(self.clone().judge(count, answers.clone()));
        for lie in lies {
            let _ = answers.send(Ok(lie)).await;
        }
    }

    /// Waits until the coordinator shows whether it believes the lie. The next task does not tell:
    /// a lie may begin with a true answer, which gives back its credit. But the one after that
    /// does: it comes only when the coordinator has read all of the lie, and a later answer.
    async fn judge(self: Arc<Self>, mut count: watch::Receiver<usize>, answers: Answers) {
        let believed = *count.borrow() + 2;
        let fate = tokio::select! {
            () = answers.closed() => Fate::CutOff,
            Ok(_) = count.wait_for(|count| *count >= believed) => Fate::Believed,
            () = sleep(LONG) => Fate::Undecided,
        };
        self.end(fate);
    }

    async fn until_ready(&self, answers: &Answers) {
        self.unready.send_modify(|unready| *unready -= 1);
        self.until_none(&self.unready, answers).await;
    }

    fn end(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
        self.left.send_modify(|left| *left -= 1);
    }

    /// Waits until there are none of these, or no receiver of the answers.
    async fn until_none(&self, these: &watch::Sender<usize>, answers: &Answers) {
        let mut these = these.subscribe();
        tokio::select! {
            none = timeout(LONG, these.wait_for(|these| *these == 0)) => {
                self.was_late.fetch_or(none.is_err(), Ordering::SeqCst);
            }
            () = answers.closed() => {}
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

/// Passes tasks on, and remembers them.
async fn ask(
    shared: Arc<Shared>,
    tasks: Tasks,
    mut messages: Streaming<ToWorker>,
    orders: mpsc::Sender<ToWorker>,
) {
    while let Ok(Some(message)) = messages.message().await {
        {
            let mut session = session(&tasks);
            match &message.what {
                Some(Order::Hello(hello)) => session.place = format!("{}/{}", hello.address, hello.session),
                Some(Order::Task(frame)) => {
                    if !session.tasks.contains_key(&frame.id) {
                        session.count.send_modify(|count| *count += 1);
                    }
                    session.tasks.entry(frame.id).or_default().extend_from_slice(&frame.data);
                    let has_seen = String::from_utf8_lossy(&frame.data).contains(CANARY);
                    shared.has_seen.fetch_or(has_seen, Ordering::SeqCst);
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
            let session = session(&tasks);
            (session.place.clone(), session.tasks.get(&frame.id).cloned().unwrap_or_default())
        };
        let asked = Asked { place: &place, id: frame.id, task: &task, truth: &truth };
        if let Some(lies) = shared.lie(&asked) {
            shared.tell(lies, &tasks, &answers).await;
            continue;
        }
        shared.hold_back(&task, &answers).await;
        if matches!(shared.role, Role::Silent) {
            continue;
        }
        for message in output(frame.id, &truth) {
            let _ = answers.send(Ok(message)).await;
        }
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

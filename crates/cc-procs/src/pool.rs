//! A pool of worker processes: tasks go out, outputs come back, and a process that dies is replaced.
//!
//! The workers are this program again, started with an environment variable that [`enter`] looks for. Each
//! has an *owner* here, a thread that starts it, gives it tasks, takes its outputs, and waits for its end:
//!
//! ```text
//! submit ──> queue ──> owner ── tasks ───> worker
//!                        │  <── replies ──  │
//! output <───────────────┘                  │
//!                        └─── lifeline ─────┘
//! ```
//!
//! A worker does its tasks in the order it got them, so a reply belongs to the first of the tasks
//! in flight. The owner keeps a task until its output is there, so a lost task is simply given to
//! the replacement; and one that kills each worker that is given it alone is given up
//! (`in_flight`).
//!
//! The *lifeline* is a socket and the worker's standard input. Its end on this side closes with this process,
//! whatever kills it, and a worker whose lifeline has closed is gone the next moment.
//!
//! Neither side can wait for the other in a circle. What goes to a worker never fills its channel: it has
//! two tasks in hand at most, and a large one travels as shared memory. What comes back is taken as soon as
//! there is room for the output before it, which only the consumer of the outputs has to make.

use std::{
    env,
    error::Error as StdError,
    fs,
    io::{self, BufRead, BufReader, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::{self, Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use cc_workloads::{
    Cause, Ctx, Error, Result, Stop,
    error::{panic_reason, reason},
    refusal, stdio,
    stop::OnRequest,
    temporary::{self, Lock},
};
use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use ipc_channel::{
    IpcError,
    ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender, IpcSharedMemory},
    platform::OsIpcSender,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

use crate::in_flight::{CREDITS, InFlight};

/// The environment variable that makes a process a worker. Its value is the name of the work.
pub(crate) const WORKER: &str = "CC_PROCS_WORKER";

/// How often a worker may fail to start before the run is given up.
const STARTS: u32 = 3;

/// How the name of a directory begins that has the socket over which a worker is met.
const SOCKETS: &str = "cc-procs-";

/// How long a worker may take to say that it is ready, which takes it some milliseconds.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Where the output of one submitted task arrives. It is broken if the run is stopped before.
pub type Promise<O> = Receiver<O>;

/// Worker processes that make outputs `O` of tasks `T`.
///
/// Dropping it ends the workers, after what was submitted is done or, if a stop is requested, at once.
pub struct Pool<T, O> {
    // Fields are dropped in this order: the queues close, then the owners are waited for.
    queues: Arc<Mutex<Option<Queues<T, O>>>>,
    on_stop: OnRequest,
    owners: Owners,
}

/// The ways to the owners.
struct Queues<T, O> {
    fed: Queue<T, O>,
    urgent: Queue<T, O>,
}

type Queue<T, O> = Sender<Order<T, O>>;

impl<T, O> Pool<T, O>
where
    T: Serialize + Send + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    /// A pool of `ctx.workers` processes for the work that was given this name in [`enter`]. A worker is
    /// started when there is a task for it, and is told the `setup` first.
    ///
    /// `give_up` makes the output of a task that has killed its worker too often: three times,
    /// while it was the only one that the worker had.
    pub fn start<S: Serialize>(
        name: &'static str,
        setup: &S,
        ctx: &Ctx,
        give_up: GiveUp<T, O>,
    ) -> Result<Self> {
        temporary::remove_abandoned(&SocketDir::base(), SOCKETS);
        measure()?;
        let program = env::current_exe().map_err(Error::io("the program's own name"))?;
        let launch = Arc::new(Launch { program, name, setup: encode(setup) });
        let (fed, tasks) = bounded(ctx.window.get() + 1);
        let (urgent, rests) = bounded(ctx.workers.get() * CREDITS);
        let queues = Arc::new(Mutex::new(Some(Queues { fed, urgent })));
        let doomed = queues.clone();
        // What is queued is dropped only when nobody holds either end of the queue; until then, its output is waited
        // for.
        let on_stop = ctx.stop.on_request(move || {
            let closed = doomed.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(closed);
        });
        let mut pool = Self { queues, on_stop, owners: Owners(Vec::new()) };
        for n in 0..ctx.workers.get() {
            let (launch, fed, urgent) = (launch.clone(), tasks.clone(), rests.clone());
            let owner = Owner { launch, fed, urgent, stop: ctx.stop.clone(), give_up };
            let thread = thread::Builder::new().name(format!("owner-{n}")).spawn(move || owner.run());
            pool.owners.0.push(thread.map_err(|e| Error::worker("thread", e))?);
        }
        Ok(pool)
    }

    /// How many tasks keep every worker busy.
    pub fn credits(&self) -> usize {
        self.owners.0.len() * CREDITS
    }

    /// Queues a task whose output goes to `done`, with those of other tasks, as they are completed. Waits while
    /// the queue is full. None if the run is being stopped.
    pub fn submit_to(&self, done: &Sender<O>, task: T) -> Option<()> {
        Order::queue(&self.queue(|queues| &queues.fed)?, task, done.clone())
    }

    /// Queues a task whose output is waited for by itself.
    pub fn submit(&self, task: T) -> Option<Promise<O>> {
        Order::promise(&self.queue(|queues| &queues.fed)?, task)
    }

    /// The same, before all tasks that were merely submitted.
    pub fn submit_urgent(&self, task: T) -> Option<Promise<O>> {
        Order::promise(&self.queue(|queues| &queues.urgent)?, task)
    }

    /// One of the queues, while they are open.
    fn queue(&self, which: fn(&Queues<T, O>) -> &Queue<T, O>) -> Option<Queue<T, O>> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.as_ref().map(|queues| which(queues).clone())
    }

    /// Ends the workers, and says if they could not be had.
    pub fn finish(self) -> Result<()> {
        let Self { queues, on_stop, mut owners } = self;
        drop((queues, on_stop));
        owners.join()
    }
}

/// Makes the output of a task that cannot be done.
pub type GiveUp<T, O> = fn(&T) -> O;

/// The threads that own a worker each.
struct Owners(Vec<JoinHandle<Result<()>>>);

impl Owners {
    fn join(&mut self) -> Result<()> {
        let ends: Vec<_> =
            self.0.drain(..).map(|owner| owner.join().expect("its panics are caught")).collect();
        ends.into_iter().collect()
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

/// A task, and where its output goes.
struct Order<T, O> {
    task: T,
    done: Sender<O>,
}

impl<T, O> Order<T, O> {
    fn queue(queue: &Sender<Self>, task: T, done: Sender<O>) -> Option<()> {
        queue.send(Self { task, done }).ok()
    }

    fn promise(queue: &Sender<Self>, task: T) -> Option<Promise<O>> {
        let (done, promise) = bounded(1);
        Self::queue(queue, task, done)?;
        Some(promise)
    }

    fn keep(self, output: O) {
        // Nobody waits for it any more if the run was stopped meanwhile.
        let _ = self.done.send(output);
    }
}

/// How to start a worker.
struct Launch {
    program: PathBuf,
    name: &'static str,
    setup: Vec<u8>,
}

/// One worker's part of the pool.
struct Owner<T, O> {
    launch: Arc<Launch>,
    fed: Receiver<Order<T, O>>,
    urgent: Receiver<Order<T, O>>,
    stop: Stop,
    give_up: GiveUp<T, O>,
}

impl<T: Serialize, O: Serialize + DeserializeOwned> Owner<T, O> {
    fn run(self) -> Result<()> {
        let owned = catch_unwind(AssertUnwindSafe(|| self.own()))
            .unwrap_or_else(|panic| Err(Error::worker("owner", panic_reason(&*panic))));
        if self.stop.requested() {
            return Ok(()); // of a stopped run, nobody asks why a worker is gone
        }
        if owned.is_err() {
            self.stop.request(Cause::Break);
        }
        owned
    }

    /// Has a worker as long as there are tasks for it.
    fn own(&self) -> Result<()> {
        let mut in_flight = InFlight::new();
        loop {
            if in_flight.is_empty() {
                let Some(order) = self.next() else { return Ok(()) };
                in_flight.push(order);
            }
            let worker = self.start()?;
            let driven = self.drive(&worker, &mut in_flight);
            if driven.is_ok() || self.stop.requested() {
                return Ok(());
            }
            drop(worker);
            if let Some(order) = in_flight.worker_died() {
                let output = (self.give_up)(&order.task);
                order.keep(output);
            }
        }
    }

    fn start(&self) -> Result<Worker<O>> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Worker::start(&self.launch, &self.stop) {
                Err(_) if tries < STARTS && !self.stop.requested() => {}
                started => return started,
            }
        }
    }

    /// Keeps the worker busy until there are no more tasks, or it dies.
    fn drive(&self, worker: &Worker<O>, in_flight: &mut InFlight<Order<T, O>>) -> Result<(), Died> {
        loop {
            while in_flight.has_room()
                && let Some(order) = if in_flight.is_empty() { self.next() } else { self.next_if_any() }
            {
                in_flight.push(order);
            }
            while let Some(order) = in_flight.next() {
                // A task that did not reach the worker has not killed it, and is not counted as
                // given.
                worker.give(&order.task).map_err(|_| Died)?;
                in_flight.give();
            }
            if in_flight.is_empty() {
                return Ok(());
            }
            let output = worker.replies.recv().map_err(|_| Died)?;
            in_flight.complete().keep(output);
        }
    }

    /// The next order; waits for it. None once the queues are closed and empty, or a stop is requested.
    fn next(&self) -> Option<Order<T, O>> {
        let order = select_biased! {
            recv(self.urgent) -> order => order.or_else(|_| self.fed.recv()),
            recv(self.fed) -> order => order.or_else(|_| self.urgent.recv()),
        };
        order.ok().filter(|_| !self.stop.requested())
    }

    fn next_if_any(&self) -> Option<Order<T, O>> {
        self.urgent.try_recv().or_else(|_| self.fed.try_recv()).ok()
    }
}

/// The worker is dead.
struct Died;

/// A worker process that is ready, seen from its owner.
struct Worker<O> {
    _process: Process, // dropped first: it need not hear of its end
    tasks: IpcSender<Parcel>,
    replies: IpcReceiver<O>,
    _lifeline: UnixStream,
}

impl<O: Serialize + DeserializeOwned> Worker<O> {
    fn start(launch: &Launch, stop: &Stop) -> Result<Self> {
        let failed = |e: io::Error| Error::worker("worker process", reason(&e));
        let sockets = SocketDir::named();
        let (lifeline, input) = UnixStream::pair().map_err(failed)?;
        let mut command = Command::new(&launch.program);
        command
            .env(WORKER, launch.name)
            .env("TMPDIR", &sockets.0)
            .stdin(OwnedFd::from(input))
            .stdout(Stdio::null())
            .process_group(0); // a Ctrl-C in the terminal is for this process, which decides
        let mut process = Process::spawn(&mut command).map_err(failed)?;
        drop(command); // and with it this side's copy of `input`
        match Self::greet(&lifeline, &launch.setup) {
            Ok((tasks, replies)) => {
                // Not before: ipc-channel leaves a socket open when it connects to a process that has gone.
                process.kill_on(stop);
                Ok(Self { _process: process, tasks, replies, _lifeline: lifeline })
            }
            Err(error) => {
                let status = process.end().map(|status| status.to_string()).unwrap_or_default();
                Err(Error::worker("worker process", format!("not ready: {} ({status})", reason(&error))))
            }
        }
    }

    /// The handshake. Each wait in it is on the lifeline, and ends when the worker does, or is suspended.
    fn greet(lifeline: &UnixStream, setup: &[u8]) -> io::Result<(IpcSender<Parcel>, IpcReceiver<O>)> {
        lifeline.set_read_timeout(Some(HANDSHAKE))?;
        let mut said = BufReader::new(lifeline).lines();
        let mut hear = || said.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
        let server = hear()?;
        let (give, tasks) = ipc::channel()?;
        let (replies, take) = ipc::channel()?;
        let welcome = Welcome { setup: Parcel::wrap(setup), tasks, replies };
        IpcSender::connect(server)?.send(welcome).map_err(io::Error::other)?;
        hear()?;
        Ok((give, take))
    }

    fn give(&self, task: &impl Serialize) -> Result<(), IpcError> {
        self.tasks.send(Parcel::wrap(&encode(task)))
    }
}

/// A child process that is killed and waited for when this is dropped, and killed as soon as a stop is requested
/// once [`Process::kill_on`] was called.
pub(crate) struct Process {
    child: Arc<Mutex<Option<Child>>>,
    on_stop: Option<OnRequest>,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        Ok(Self { child: Arc::new(Mutex::new(Some(command.spawn()?))), on_stop: None })
    }

    fn kill_on(&mut self, stop: &Stop) {
        let doomed = self.child.clone();
        self.on_stop = Some(stop.on_request(move || {
            // Its end is not waited for here: that is the owner's part.
            if let Some(child) = doomed.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                let _ = child.kill();
            }
        }));
    }

    /// Kills it, and leaves it to whoever [ends](Process::end) it to wait for that.
    pub(crate) fn kill(&self) {
        if let Some(child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let _ = child.kill();
        }
    }

    /// Kills it, since that reaches a suspended process too, and a worker has nothing to put in order.
    fn end(&self) -> Option<ExitStatus> {
        // Taken out of reach of the hook: a process id that was waited for may belong to somebody else.
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let _ = child.kill();
        child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// The directory of the socket over which a worker is met. It exists for the moment of the handshake only.
///
/// The owner chooses the name and the worker makes the directory, so that both know of it before it
/// is there, and whichever of them is killed, the other removes it. If both are killed at once, the
/// next pool does.
struct SocketDir(PathBuf);

impl SocketDir {
    fn base() -> PathBuf {
        // The name of a socket has 107 bytes at most, of which about 50 are used here.
        let usual = env::temp_dir();
        if usual.as_os_str().len() <= 50 { usual } else { PathBuf::from("/tmp") }
    }

    fn named() -> Self {
        Self(temporary::random_name(&Self::base(), SOCKETS))
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        // Two may be at it at once, and what one has removed is an error to the other: try again.
        let _ = (0..4).any(|_| fs::remove_dir_all(&self.0).is_ok() || !self.0.exists());
    }
}

/// The first and only message through a worker's one-shot server.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Welcome<O> {
    setup: Parcel,
    tasks: IpcReceiver<Parcel>,
    replies: IpcSender<O>,
}

/// A message to a worker, of any size.
///
/// A message larger than a socket's buffer is sent in fragments, whose sender waits for a reader: for ever,
/// if that dies, since ipc-channel keeps the reading end open on the sender's side too. So large ones are put
/// into shared memory, and sending never waits.
#[derive(Serialize, Deserialize)]
enum Parcel {
    Small(ByteBuf),
    Large(IpcSharedMemory),
}

impl Parcel {
    const SMALL: usize = 32 << 10;

    fn wrap(bytes: &[u8]) -> Self {
        if bytes.len() <= Self::SMALL {
            Self::Small(ByteBuf::from(bytes))
        } else {
            Self::Large(IpcSharedMemory::from_bytes(bytes))
        }
    }

    fn open<T: DeserializeOwned>(&self) -> postcard::Result<T> {
        match self {
            Self::Small(bytes) => postcard::from_bytes(bytes),
            Self::Large(bytes) => postcard::from_bytes(bytes),
        }
    }
}

fn encode(item: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(item).expect("plain data serializes")
}

/// In a process that was started as a worker for the work of this name, does it and does not return.
///
/// `work` takes the setup and returns what does the tasks, one after the other. It must not count on a
/// temporary directory: whatever files it makes are named by the parent.
pub fn enter<S, T, O, W>(name: &str, work: impl FnOnce(&S) -> W)
where
    S: DeserializeOwned,
    T: DeserializeOwned,
    O: Serialize + DeserializeOwned,
    W: FnMut(T) -> O,
{
    if env::var_os(WORKER).is_none_or(|worker| worker != name) {
        return;
    }
    if let Err(error) = serve(work) {
        let _ = stdio::say(&format!("{name} worker: {error}\n")); // the status says the same
        process::exit(1);
    }
    process::exit(0);
}

fn serve<S, T, O, W>(work: impl FnOnce(&S) -> W) -> Result<(), Box<dyn StdError>>
where
    S: DeserializeOwned,
    T: DeserializeOwned,
    O: Serialize + DeserializeOwned,
    W: FnMut(T) -> O,
{
    measure()?;
    let lifeline = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let sockets = env::temp_dir();
    // Says that the directory is in use.
    let lock = Lock::make(&sockets)?;
    let sockets = SocketDir(sockets);
    let (server, name) = refusal::returned("ipc-channel", IpcOneShotServer::<Welcome<O>>::new)
        .map_err(|error| format!("no socket in {}: {error}", sockets.0.display()))??;
    watch(lifeline.try_clone()?, SocketDir(sockets.0.clone()))?;
    // From here on, what the parent does not say or hear is of no interest: it has gone, and `watch` ends this.
    let say = |line: &str| writeln!(&lifeline, "{line}").unwrap_or_else(|_| wait_for_the_end());
    say(&name);
    let (_, Welcome { setup, tasks, replies }) = server.accept().or_else(unless_gone)?;
    drop((sockets, lock));
    let mut work = work(&setup.open()?);
    say("ready");
    while let Ok(task) = tasks.recv() {
        let output = work(task.open()?);
        replies.send(output).or_else(unless_gone)?;
    }
    Ok(())
}

/// The error of a channel, unless the parent has gone. A worker that has no descriptors for an output ends with
/// it: its owner waits for one of the two.
fn unless_gone<T>(error: IpcError) -> Result<T, IpcError> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    match &error {
        IpcError::Disconnected => wait_for_the_end(),
        IpcError::Io(why) if matches!(why.kind(), BrokenPipe | ConnectionReset) => wait_for_the_end(),
        _ => Err(error),
    }
}

/// Has ipc-channel measure a socket's buffer, which it does once, with the first message, and panics if it cannot.
fn measure() -> Result<()> {
    refusal::returned("ipc-channel", OsIpcSender::get_max_fragment_size).map(drop)
}

fn wait_for_the_end() -> ! {
    loop {
        thread::park();
    }
}

/// Ends this process when the lifeline does, whatever else it is doing.
fn watch(mut lifeline: UnixStream, sockets: SocketDir) -> io::Result<()> {
    let wait = move || {
        let _ = io::copy(&mut lifeline, &mut io::sink());
        drop(sockets);
        process::exit(0);
    };
    thread::Builder::new().name("lifeline".to_owned()).spawn(wait).map(drop)
}

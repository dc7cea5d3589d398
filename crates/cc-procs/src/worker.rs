//! A worker process, from both sides: how it is started, connected, sent tasks, and ended.
//!
//! A worker is this program, started again with an environment variable that [`enter`] looks for.
//! It is not forked: in a process with several threads, the child of a `fork` may only call
//! functions that are async-signal-safe.
//!
//! The *lifeline* is a socket, and the worker's standard input. The operating system closes the
//! parent's end when the parent ends, however it ends; the worker then exits at once.

use std::{
    env,
    error::Error as StdError,
    fs,
    io::{self, BufRead, BufReader, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::PathBuf,
    process::{self, Command, Stdio},
    thread,
    time::Duration,
};

use cc_workloads::{
    Error, Result, Stop,
    error::reason,
    refusal,
    temporary::{self, Lock},
};
use ipc_channel::{
    IpcError,
    ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender, IpcSharedMemory},
    platform::OsIpcSender,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

use crate::process::{Process, WORKER, enter_as};

/// Prefix of the names of the directories that have the socket of a worker's handshake.
const SOCKETS: &str = "cc-procs-";

/// Maximum time of each step of the handshake, which normally takes some milliseconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How to start the workers of a pool.
pub(crate) struct WorkerSpec {
    program: PathBuf,
    name: &'static str,
    setup: Vec<u8>,
}

impl WorkerSpec {
    /// For the work with this name, see [`enter`]. A worker is sent the `setup` first.
    pub(crate) fn new<S: Serialize>(name: &'static str, setup: &S) -> Result<Self> {
        temporary::remove_abandoned(&SocketDir::base(), SOCKETS);
        measure()?;
        let program = env::current_exe().map_err(Error::io("the program's own name"))?;
        Ok(Self { program, name, setup: encode(setup) })
    }
}

/// The worker is dead.
pub(crate) struct Died;

/// A worker process that is ready, seen from its owner.
pub(crate) struct Worker<O> {
    /// Declared first, so that it is dropped first: the worker is killed before its channels close,
    /// and need not handle that.
    _process: Process,
    tasks_tx: IpcSender<Payload>,
    outputs_rx: IpcReceiver<O>,
    _lifeline: UnixStream,
}

impl<O: Serialize + DeserializeOwned> Worker<O> {
    pub(crate) fn start(spec: &WorkerSpec, stop: &Stop) -> Result<Self> {
        let failed = |e: io::Error| Error::worker("worker process", reason(&e));
        let sockets = SocketDir::with_random_name();
        // Both ends are CLOEXEC: another worker that inherited `lifeline` would keep it open after
        // the parent's death.
        let (lifeline, input) = UnixStream::pair().map_err(failed)?;
        let mut command = Command::new(&spec.program);
        command
            .env(WORKER, spec.name)
            .env("TMPDIR", &sockets.0)
            .stdin(OwnedFd::from(input))
            .stdout(Stdio::null())
            // A Ctrl-C in the terminal signals the parent's process group only; the parent decides.
            .process_group(0);
        let mut process = Process::spawn(&mut command).map_err(failed)?;
        // It has this side's copy of the worker's end of the lifeline. While that is open, the end
        // of the worker does not close the lifeline, and `shake_hands` would wait for the time-out.
        drop(command);
        match Self::shake_hands(&lifeline, &spec.setup) {
            Ok((tasks_tx, outputs_rx)) => {
                // Not before the handshake: ipc-channel leaks a socket when it connects to a
                // process that has ended.
                process.kill_on(stop);
                Ok(Self { _process: process, tasks_tx, outputs_rx, _lifeline: lifeline })
            }
            Err(error) => {
                let status = process.end().map(|status| status.to_string()).unwrap_or_default();
                Err(Error::worker("worker process", format!("not ready: {} ({status})", reason(&error))))
            }
        }
    }

    /// Performs the handshake. It waits only for lines on the lifeline, so each wait ends when the
    /// worker ends, or after a time if the worker is suspended.
    fn shake_hands(lifeline: &UnixStream, setup: &[u8]) -> io::Result<(IpcSender<Payload>, IpcReceiver<O>)> {
        lifeline.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        let mut lines = BufReader::new(lifeline).lines();
        let mut read_line = || lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
        let server = read_line()?;
        let (tasks_tx, tasks_rx) = ipc::channel()?;
        let (outputs_tx, outputs_rx) = ipc::channel()?;
        let handshake = Handshake { setup: Payload::wrap(setup), tasks_rx, outputs_tx };
        IpcSender::connect(server)?.send(handshake).map_err(io::Error::other)?;
        let _ready = read_line()?;
        Ok((tasks_tx, outputs_rx))
    }

    pub(crate) fn send(&self, task: &impl Serialize) -> Result<(), Died> {
        self.tasks_tx.send(Payload::wrap(&encode(task))).map_err(|_| Died)
    }

    /// Waits for the output of the first task in flight.
    pub(crate) fn output(&self) -> Result<O, Died> {
        self.outputs_rx.recv().map_err(|_| Died)
    }
}

/// The directory of the socket of a worker's handshake. It exists only during the handshake.
///
/// The owner chooses the name and the worker creates the directory, so both know the name before
/// the directory exists. If one of them is killed, the other removes the directory. If both are
/// killed at the same time, the next pool removes it.
struct SocketDir(PathBuf);

impl SocketDir {
    fn base() -> PathBuf {
        let usual = env::temp_dir();
        // The path of a socket has at most 107 bytes, of which this crate adds about 50. Another
        // user must not be able to put a socket of their own in the place of the worker's: that
        // would be sent the setup, and the ends of the channels.
        let is_short = usual.as_os_str().len() <= 50;
        let is_usable = is_short && !temporary::is_exposed(&usual) && temporary::try_dir(&usual).is_ok();
        if is_usable { usual } else { PathBuf::from("/tmp") }
    }

    fn with_random_name() -> Self {
        Self(temporary::random_name(&Self::base(), SOCKETS))
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        // The owner and the worker may do this at the same time. What one has removed is an error
        // to the other, which then tries again.
        let _ = (0..4).any(|_| fs::remove_dir_all(&self.0).is_ok() || !self.0.exists());
    }
}

/// The only message through a worker's one-shot server.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Handshake<O> {
    setup: Payload,
    tasks_rx: IpcReceiver<Payload>,
    outputs_tx: IpcSender<O>,
}

/// A message to a worker, of any size.
///
/// A message that is larger than a socket's buffer is sent in fragments, and its sender waits for
/// the receiver. If the receiver dies, it waits for ever, since ipc-channel keeps the receiving end
/// open on the sender's side, too. So a large message is put into shared memory, and sending never
/// waits.
#[derive(Serialize, Deserialize)]
enum Payload {
    Small(ByteBuf),
    Large(IpcSharedMemory),
}

impl Payload {
    /// Maximum size of a message that is sent through the socket, in bytes: several of them fit
    /// into its buffer.
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

/// In a process that was started as a worker for the work with this name, does the tasks and does
/// not return. In any other process, does nothing.
///
/// `work` takes the setup and returns the function that does one task after the other. It must not
/// use the temporary directory, which is that of the handshake: the parent names all files that a
/// worker creates.
pub fn enter<S, T, O, W>(name: &str, work: impl FnOnce(&S) -> W)
where
    S: DeserializeOwned,
    T: DeserializeOwned,
    O: Serialize + DeserializeOwned,
    W: FnMut(T) -> O,
{
    enter_as(name, || serve(work));
}

fn serve<S, T, O, W: FnMut(T) -> O>(work: impl FnOnce(&S) -> W) -> Result<(), Box<dyn StdError>>
where
    S: DeserializeOwned,
    T: DeserializeOwned,
    O: Serialize + DeserializeOwned,
{
    measure()?;
    let lifeline = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let sockets = env::temp_dir();
    // Marks the directory as in use, so that no other pool removes it as abandoned.
    let lock = Lock::make(&sockets)?;
    let sockets = SocketDir(sockets);
    let (server, name) = refusal::returned("ipc-channel", IpcOneShotServer::<Handshake<O>>::new)
        .map_err(|error| format!("no socket in {}: {error}", sockets.0.display()))??;
    watch(lifeline.try_clone()?, SocketDir(sockets.0.clone()))?;
    // From here on, a failed write means that the parent has ended, and `watch` exits.
    let write_line = |line: &str| writeln!(&lifeline, "{line}").unwrap_or_else(|_| wait_for_the_lifeline());
    write_line(&name);
    let (_, Handshake { setup, tasks_rx, outputs_tx }) = server.accept().or_else(unless_disconnected)?;
    drop((sockets, lock));
    let mut work = work(&setup.open()?);
    write_line("ready");
    while let Ok(task) = tasks_rx.recv() {
        let output = work(task.open()?);
        outputs_tx.send(output).or_else(unless_disconnected)?;
    }
    Ok(())
}

/// Passes an error of a channel on, unless it means that the parent has ended. A worker that cannot
/// send an output, for want of descriptors, must not go on: its owner waits for the output or for
/// the worker's end.
fn unless_disconnected<T>(error: IpcError) -> Result<T, IpcError> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    match &error {
        IpcError::Disconnected => wait_for_the_lifeline(),
        IpcError::Io(why) if matches!(why.kind(), BrokenPipe | ConnectionReset) => wait_for_the_lifeline(),
        _ => Err(error),
    }
}

/// Makes ipc-channel measure a socket's buffer now. Otherwise it does so with the first message,
/// and panics if it cannot.
fn measure() -> Result<()> {
    refusal::returned("ipc-channel", OsIpcSender::get_max_fragment_size).map(drop)
}

/// Waits until the thread of [`watch`] ends the process.
fn wait_for_the_lifeline() -> ! {
    loop {
        thread::park();
    }
}

/// Starts a thread that ends this process when the lifeline closes, even while a task runs.
fn watch(mut lifeline: UnixStream, sockets: SocketDir) -> io::Result<()> {
    let wait = move || {
        let _ = io::copy(&mut lifeline, &mut io::sink());
        // Explicitly, since `exit` runs no destructors.
        drop(sockets);
        process::exit(0);
    };
    thread::Builder::new().name("lifeline".to_owned()).spawn(wait).map(drop)
}

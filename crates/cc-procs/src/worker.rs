//! A worker process, from both sides: how it is started, met, given tasks and ended.
//!
//! It is this program again, started with an environment variable that [`enter`] looks for.
//!
//! The *lifeline* is a socket and the worker's standard input. Its end on the parent's side closes
//! with the parent, whatever kills that, and a worker whose lifeline has closed is gone the next
//! moment.

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

/// How the name of a directory begins that has the socket over which a worker is met.
const SOCKETS: &str = "cc-procs-";

/// How long a worker may take to say that it is ready, which takes it some milliseconds.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How to start a worker.
pub(crate) struct Launch {
    program: PathBuf,
    name: &'static str,
    setup: Vec<u8>,
}

impl Launch {
    /// For the work that was given this name in [`enter`]. A worker is told the `setup` first.
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
    _process: Process, // dropped first: it need not hear of its end
    tasks: IpcSender<Parcel>,
    replies: IpcReceiver<O>,
    _lifeline: UnixStream,
}

impl<O: Serialize + DeserializeOwned> Worker<O> {
    pub(crate) fn start(launch: &Launch, stop: &Stop) -> Result<Self> {
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
                // Not before: ipc-channel leaves a socket open when it connects to a process that
                // has gone.
                process.kill_on(stop);
                Ok(Self { _process: process, tasks, replies, _lifeline: lifeline })
            }
            Err(error) => {
                let status = process.end().map(|status| status.to_string()).unwrap_or_default();
                Err(Error::worker("worker process", format!("not ready: {} ({status})", reason(&error))))
            }
        }
    }

    /// The handshake. Each wait in it is on the lifeline, and ends when the worker does, or is
    /// suspended.
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

    pub(crate) fn give(&self, task: &impl Serialize) -> Result<(), Died> {
        self.tasks.send(Parcel::wrap(&encode(task))).map_err(|_| Died)
    }

    /// The output of the first of the tasks that it was given and has not answered; waits for it.
    pub(crate) fn output(&self) -> Result<O, Died> {
        self.replies.recv().map_err(|_| Died)
    }
}

/// The directory of the socket over which a worker is met. It exists for the moment of the
/// handshake only.
///
/// The owner chooses the name and the worker makes the directory, so that both know of it before it
/// is there, and whichever of them is killed, the other removes it. If both are killed at once, the
/// next pool does.
struct SocketDir(PathBuf);

impl SocketDir {
    fn base() -> PathBuf {
        let usual = env::temp_dir();
        // The name of a socket has 107 bytes at most, of which about 50 are used here. And a
        // directory in which another user may put a socket in place of the worker's is not used:
        // that socket would be sent the setup, and the ends of the channels.
        let is_used = usual.as_os_str().len() <= 50 && !temporary::is_exposed(&usual);
        if is_used { usual } else { PathBuf::from("/tmp") }
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
/// A message larger than a socket's buffer is sent in fragments, whose sender waits for a reader:
/// for ever, if that dies, since ipc-channel keeps the reading end open on the sender's side too.
/// So large ones are put into shared memory, and sending never waits.
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

/// In a process that was started as a worker for the work of this name, does it and does not
/// return.
///
/// `work` takes the setup and returns what does the tasks, one after the other. It must not count
/// on a temporary directory: whatever files it makes are named by the parent.
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
    // Says that the directory is in use.
    let lock = Lock::make(&sockets)?;
    let sockets = SocketDir(sockets);
    let (server, name) = refusal::returned("ipc-channel", IpcOneShotServer::<Welcome<O>>::new)
        .map_err(|error| format!("no socket in {}: {error}", sockets.0.display()))??;
    watch(lifeline.try_clone()?, SocketDir(sockets.0.clone()))?;
    // From here on, what the parent does not say or hear is of no interest: it has gone, and
    // `watch` ends this.
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

/// The error of a channel, unless the parent has gone. A worker that has no descriptors for an
/// output ends with it: its owner waits for one of the two.
fn unless_gone<T>(error: IpcError) -> Result<T, IpcError> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    match &error {
        IpcError::Disconnected => wait_for_the_end(),
        IpcError::Io(why) if matches!(why.kind(), BrokenPipe | ConnectionReset) => wait_for_the_end(),
        _ => Err(error),
    }
}

/// Has ipc-channel measure a socket's buffer, which it does once, with the first message, and
/// panics if it cannot.
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

//! The pool without a workload. This program is also the worker process that its tests start.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    iter,
    num::NonZeroUsize,
    os::unix::net::{UnixListener, UnixStream},
    panic::resume_unwind,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use cc_procs::{
    pool::{Pending, Pool},
    worker,
};
use cc_workloads::{Cause, Ctx, Error};
use crossbeam_channel::RecvTimeoutError;
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Resource, Rlimit, Signal, getpid, getrlimit, kill_process, pidfd_open, setrlimit,
    },
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

fn main() -> process::ExitCode {
    worker::enter("tasks", tasks);
    worker::enter("never_ready", never_ready);
    let tests: &[(&str, fn())] = &[
        ("every_task_gets_its_own_output", every_task_gets_its_own_output),
        ("outputs_of_many_tasks_arrive_in_one_channel", outputs_of_many_tasks_arrive_in_one_channel),
        ("urgent_tasks_come_first", urgent_tasks_come_first),
        ("large_messages_travel_both_ways", large_messages_travel_both_ways),
        ("no_worker_is_started_without_a_task", no_worker_is_started_without_a_task),
        ("a_task_whose_worker_died_is_done_again", a_task_whose_worker_died_is_done_again),
        ("a_large_task_whose_worker_died_is_done_again", a_large_task_whose_worker_died_is_done_again),
        ("a_task_that_kills_three_workers_is_given_up", a_task_that_kills_three_workers_is_given_up),
        ("an_output_that_cannot_be_sent_ends_its_worker", an_output_that_cannot_be_sent_ends_its_worker),
        ("an_idle_worker_that_was_killed_is_replaced", an_idle_worker_that_was_killed_is_replaced),
        ("an_idle_workers_death_counts_against_no_task", an_idle_workers_death_counts_against_no_task),
        ("all_workers_killed_at_once_are_replaced", all_workers_killed_at_once_are_replaced),
        ("a_worker_that_is_never_ready_is_an_error", a_worker_that_is_never_ready_is_an_error),
        ("a_stop_ends_a_suspended_worker", a_stop_ends_a_suspended_worker),
        ("a_stop_frees_owners_that_wait_for_room", a_stop_frees_owners_that_wait_for_room),
        ("a_panic_in_the_program_ends_the_workers", a_panic_in_the_program_ends_the_workers),
    ];
    let tests = tests.iter().map(|&(name, test)| Trial::test(name, move || in_time(test))).collect();
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// Maximum time of one test, each of which takes less than a second on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a test, and fails by the test's name if it hangs: otherwise only the time limit of a whole
/// CI run would end it.
fn in_time(test: fn()) -> Result<(), Failed> {
    let (ended_tx, ended_rx) = crossbeam_channel::bounded(1);
    let run = thread::spawn(move || {
        let _ended_tx = ended_tx; // closes with the test, also when that panics
        test();
    });
    if ended_rx.recv_timeout(LIMIT) == Err::<(), _>(RecvTimeoutError::Timeout) {
        return Err(format!("hung: it has not ended within {LIMIT:?}").into());
    }
    run.join().unwrap_or_else(|panic| resume_unwind(panic));
    Ok(())
}

/// A task for a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Task {
    /// Return these bytes.
    Echo(ByteBuf),
    /// Return the process id.
    Pid,
    /// Return how many tasks this worker has done before.
    Count,
    /// Be killed this number of times, counted by files in the directory; then return the process
    /// id.
    Die(u32, PathBuf, ByteBuf),
    /// Write the process id to this socket, and be suspended.
    Suspend(PathBuf),
    /// Write the process id to this socket, and wait until it closes.
    Wait(PathBuf),
    /// Return these bytes when no descriptor is left to send them with.
    Exhaust(ByteBuf),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Output {
    Echo(ByteBuf),
    Pid(u32),
    Count(usize),
    GivenUp,
}

/// The setup that every worker is sent first.
const GREETING: u32 = 42;

fn tasks(greeting: &u32) -> impl FnMut(Task) -> Output + use<> {
    assert_eq!(*greeting, GREETING);
    let mut counts = 0..;
    move |task| {
        let count = counts.next().expect("the range has no end");
        match task {
            Task::Echo(bytes) => return Output::Echo(bytes),
            Task::Count => return Output::Count(count),
            Task::Exhaust(bytes) => {
                let none = Rlimit { current: Some(0), ..getrlimit(Resource::Nofile) };
                setrlimit(Resource::Nofile, none).expect("a limit may be lowered");
                return Output::Echo(bytes);
            }
            Task::Pid => {}
            Task::Die(times, dir, _) => {
                let turn =
                    |n: &u32| OpenOptions::new().write(true).create_new(true).open(dir.join(n.to_string()));
                if (0..times).any(|n| turn(&n).is_ok()) {
                    kill_process(getpid(), Signal::KILL).expect("killed");
                }
            }
            Task::Suspend(path) => {
                let _socket = write_pid(&path);
                kill_process(getpid(), Signal::STOP).expect("suspended");
            }
            Task::Wait(path) => drop(write_pid(&path).read_to_end(&mut Vec::new()).expect("read")),
        }
        Output::Pid(process::id())
    }
}

fn write_pid(path: &Path) -> UnixStream {
    let mut socket = UnixStream::connect(path).expect("connected");
    writeln!(socket, "{}", process::id()).expect("written");
    socket
}

fn never_ready(_: &u32) -> impl FnMut(Task) -> Output + use<> {
    process::exit(3);
    #[expect(unreachable_code)]
    |_| Output::GivenUp
}

fn ctx(workers: usize) -> Ctx {
    Ctx::new(NonZeroUsize::new(workers).expect("not zero"))
}

fn start(ctx: &Ctx) -> Pool<Task, Output> {
    Pool::start(ctx, "tasks", &GREETING, |_, _| Output::GivenUp).expect("started")
}

fn submit(pool: &Pool<Task, Output>, task: Task) -> Pending<Output> {
    pool.submit(task).expect("the pool is open")
}

fn run(pool: &Pool<Task, Output>, task: Task) -> Output {
    submit(pool, task).recv().expect("completed")
}

fn echo(bytes: impl Into<Vec<u8>>) -> Task {
    Task::Echo(ByteBuf::from(bytes.into()))
}

fn pid(output: &Output) -> Pid {
    let &Output::Pid(pid) = output else { panic!("{output:?}") };
    Pid::from_raw(pid.try_into().expect("small")).expect("not zero")
}

/// Waits for the next worker that connects. Returns the socket that it waits on, and its process
/// id.
fn arrival(listener: &UnixListener) -> (UnixStream, Pid) {
    let (socket, _) = listener.accept().expect("accepted");
    let mut line = String::new();
    BufReader::new(&socket).read_line(&mut line).expect("read");
    (socket, Pid::from_raw(line.trim().parse().expect("a number")).expect("not zero"))
}

fn kill(pid: Pid) {
    let gone = pidfd_open(pid, PidfdFlags::empty()).expect("it lives");
    kill_process(pid, Signal::KILL).expect("it lives");
    let mut fds = [PollFd::new(&gone, PollFlags::IN)];
    let timeout = Timespec { tv_sec: 5, tv_nsec: 0 };
    assert_eq!(poll(&mut fds, Some(&timeout)), Ok(1), "dead");
}

/// Whether a process exists, if only as a zombie.
fn exists(pid: Pid) -> bool {
    Path::new("/proc").join(pid.as_raw_nonzero().to_string()).exists()
}

fn every_task_gets_its_own_output() {
    for workers in [1, 2, 16] {
        let pool = start(&ctx(workers));
        let pending: Vec<_> = (0..workers * 8).map(|n| submit(&pool, echo(n.to_string()))).collect();
        for (n, pending) in pending.into_iter().enumerate() {
            assert_eq!(pending.recv(), Ok(Output::Echo(ByteBuf::from(n.to_string()))));
        }
        pool.finish().expect("nothing went wrong");
    }
}

fn outputs_of_many_tasks_arrive_in_one_channel() {
    let pool = start(&ctx(3));
    let (outputs_tx, outputs_rx) = crossbeam_channel::bounded(1);
    let mut echoed: Vec<u8> = thread::scope(|scope| {
        scope.spawn(|| {
            let outputs_tx = outputs_tx; // moved, so that it is dropped after the last task
            (0..100).for_each(|n| pool.submit_to(&outputs_tx, echo([n])).expect("the pool is open"));
        });
        let byte = |output| if let Output::Echo(bytes) = output { bytes[0] } else { panic!("{output:?}") };
        outputs_rx.iter().map(byte).collect()
    });
    echoed.sort_unstable();
    assert!(echoed.into_iter().eq(0..100));
    pool.finish().expect("nothing went wrong");
}

fn urgent_tasks_come_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let gate = dir.path().join("gate");
    let listener = UnixListener::bind(&gate).expect("bound");
    let pool = start(&ctx(1));
    let first = submit(&pool, Task::Wait(gate));
    let (held, _) = arrival(&listener);
    let later: Vec<_> = (0..8).map(|_| submit(&pool, Task::Count)).collect();
    let urgent = pool.submit_urgent(Task::Count).expect("open");
    drop(held);
    first.recv().expect("completed");
    let counts: Vec<_> = later.iter().map(|pending| pending.recv().expect("completed")).collect();
    // One of the others may have been in flight already.
    let urgent = urgent.recv().expect("completed");
    assert!(urgent == Output::Count(1) || (urgent, &counts[0]) == (Output::Count(2), &Output::Count(1)));
}

fn large_messages_travel_both_ways() {
    let pool = start(&ctx(2));
    let bytes: Vec<u8> = (0..4 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    // More than can be in flight, so that a large task is sent while a large output travels back.
    let pending: Vec<_> = (0..8).map(|_| submit(&pool, echo(bytes.clone()))).collect();
    for pending in pending {
        assert!(pending.recv() == Ok(Output::Echo(ByteBuf::from(bytes.clone()))));
    }
}

fn no_worker_is_started_without_a_task() {
    // Such a worker never gets ready, which no error reports: none was started.
    let pool: Pool<Task, Output> =
        Pool::start(&ctx(2), "never_ready", &GREETING, |_, _| Output::GivenUp).expect("started");
    pool.finish().expect("no worker was needed");
}

fn a_task_whose_worker_died_is_done_again() {
    let dir = tempfile::tempdir().expect("a directory");
    for at in [0, 7, 15] {
        let dir = dir.path().join(at.to_string());
        fs::create_dir(&dir).expect("made");
        let pool = start(&ctx(2));
        let task =
            |n: usize| if n == at { Task::Die(2, dir.clone(), ByteBuf::new()) } else { echo(n.to_string()) };
        let pending: Vec<_> = (0..16).map(|n| submit(&pool, task(n))).collect();
        for (n, pending) in pending.into_iter().enumerate() {
            match pending.recv().expect("completed") {
                Output::Pid(_) => assert_eq!(n, at),
                output => assert_eq!(output, Output::Echo(ByteBuf::from(n.to_string()))),
            }
        }
        pool.finish().expect("nothing went wrong");
    }
}

fn a_large_task_whose_worker_died_is_done_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let pool = start(&ctx(1));
    let large = || ByteBuf::from(vec![b'x'; 4 << 20]);
    let dies = submit(&pool, Task::Die(2, dir.path().to_owned(), large()));
    // In flight, or being sent, when the worker dies.
    let next = submit(&pool, Task::Echo(large()));
    pid(&dies.recv().expect("completed"));
    assert!(next.recv() == Ok(Output::Echo(large())));
}

fn a_task_that_kills_three_workers_is_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let pool = start(&ctx(1));
    let before = submit(&pool, echo("before"));
    let fatal = submit(&pool, Task::Die(u32::MAX, dir.path().to_owned(), ByteBuf::new()));
    let after = submit(&pool, echo("after"));
    assert_eq!(before.recv(), Ok(Output::Echo(ByteBuf::from("before"))));
    assert_eq!(fatal.recv(), Ok(Output::GivenUp));
    assert_eq!(after.recv(), Ok(Output::Echo(ByteBuf::from("after"))));
    // Three deaths alone, and perhaps one while the next task was in flight, which counts against
    // neither.
    assert!((3..=4).contains(&fs::read_dir(&dir).expect("read").count()));
    pool.finish().expect("nothing went wrong");
}

fn an_output_that_cannot_be_sent_ends_its_worker() {
    let pool = start(&ctx(1));
    // A message that is larger than a socket's buffer needs a channel of its own, and so a
    // descriptor.
    assert_eq!(run(&pool, Task::Exhaust(vec![7; 8 << 20].into())), Output::GivenUp);
    assert_eq!(run(&pool, Task::Count), Output::Count(0));
    pool.finish().expect("nothing went wrong");
}

fn an_idle_worker_that_was_killed_is_replaced() {
    let pool = start(&ctx(1));
    let first = pid(&run(&pool, Task::Pid));
    kill(first);
    let second = pid(&run(&pool, Task::Pid));
    assert_ne!(first, second);
    pool.finish().expect("nothing went wrong");
    assert!(!exists(first) && !exists(second));
}

fn an_idle_workers_death_counts_against_no_task() {
    let dir = tempfile::tempdir().expect("a directory");
    let pool = start(&ctx(1));
    kill(pid(&run(&pool, Task::Pid)));
    // With two deaths it is not given up. A third would have been counted if that of the idle
    // worker were.
    pid(&run(&pool, Task::Die(2, dir.path().to_owned(), ByteBuf::new())));
    pool.finish().expect("nothing went wrong");
}

fn all_workers_killed_at_once_are_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    let gate = dir.path().join("gate");
    let listener = UnixListener::bind(&gate).expect("bound");
    let pool = start(&ctx(3));
    // Each is submitted after the previous one has begun: an owner takes a second task only before
    // its worker is sent the first, or after an output. So each worker has exactly one of these.
    let (pending, held): (Vec<_>, Vec<_>) =
        (0..3).map(|_| (submit(&pool, Task::Wait(gate.clone())), arrival(&listener))).unzip();
    let echoes: Vec<_> = (0..24).map(|n| submit(&pool, echo(n.to_string()))).collect();
    for (_, worker) in &held {
        kill(*worker);
    }
    // Their replacements connect to the same socket.
    let replacements: Vec<_> = (0..3).map(|_| arrival(&listener)).collect();
    drop((held, replacements));
    assert!(pending.into_iter().all(|pending| pending.recv().is_ok()));
    for (n, pending) in echoes.into_iter().enumerate() {
        assert_eq!(pending.recv(), Ok(Output::Echo(ByteBuf::from(n.to_string()))));
    }
    pool.finish().expect("nothing went wrong");
}

fn a_worker_that_is_never_ready_is_an_error() {
    let ctx = ctx(2);
    let pool = Pool::start(&ctx, "never_ready", &GREETING, |_: &Task, _| Output::GivenUp).expect("started");
    assert!(submit(&pool, Task::Pid).recv().is_err());
    let Err(Error::Worker { name, reason }) = pool.finish() else { panic!("it must fail") };
    assert_eq!(name, "worker process");
    assert!(reason.contains("not ready") && reason.contains("exit status: 3"), "{reason}");
    assert!(ctx.stop.requested());
}

fn a_stop_ends_a_suspended_worker() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).expect("bound");
    let ctx = ctx(1);
    let pool = start(&ctx);
    let suspended = submit(&pool, Task::Suspend(path));
    let (_socket, worker) = arrival(&listener);
    let queued: Vec<_> = (0..8).map(|_| submit(&pool, Task::Count)).collect();
    ctx.stop.request(Cause::Test);
    assert!(suspended.recv().is_err());
    assert!(queued.into_iter().all(|pending| pending.recv().is_err()));
    assert!(pool.submit(Task::Count).is_none());
    pool.finish().expect("a stop is not an error");
    assert!(!exists(worker));
}

fn a_stop_frees_owners_that_wait_for_room() {
    let ctx = ctx(2);
    let pool = start(&ctx);
    let (outputs_tx, outputs_rx) = crossbeam_channel::bounded(1);
    thread::scope(|scope| {
        // Endless: the stop ends it.
        let feed = || iter::repeat_with(|| echo("x")).try_for_each(|task| pool.submit_to(&outputs_tx, task));
        let feed = scope.spawn(feed);
        outputs_rx.recv().expect("an output");
        ctx.stop.request(Cause::Test);
        drop(outputs_rx);
        assert_eq!(feed.join().expect("no panic"), None);
    });
    pool.finish().expect("a stop is not an error");
}

fn a_panic_in_the_program_ends_the_workers() {
    let (pid_tx, pid_rx) = crossbeam_channel::bounded(1);
    let panicked = thread::spawn(move || {
        let pool = start(&ctx(1));
        pid_tx.send(pid(&run(&pool, Task::Pid))).expect("received");
        panic!("planned");
    });
    let id = pid_rx.recv().expect("sent");
    panicked.join().expect_err("it panics");
    assert!(!exists(id));
}

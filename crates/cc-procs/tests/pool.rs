//! The pool by itself. This program is also the worker process that its tests start.

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
    pool::{Pool, Promise},
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
    worker::enter("deeds", deeds);
    worker::enter("stillborn", stillborn);
    let tests: &[(&str, fn())] = &[
        ("every_promise_gets_its_own_output", every_promise_gets_its_own_output),
        ("outputs_of_many_tasks_meet_in_one_channel", outputs_of_many_tasks_meet_in_one_channel),
        ("urgent_tasks_overtake", urgent_tasks_overtake),
        ("large_messages_travel_both_ways", large_messages_travel_both_ways),
        ("no_worker_without_a_task", no_worker_without_a_task),
        ("a_task_whose_worker_died_is_done_again", a_task_whose_worker_died_is_done_again),
        ("a_large_task_whose_worker_died_is_done_again", a_large_task_whose_worker_died_is_done_again),
        ("a_task_that_kills_three_workers_is_given_up", a_task_that_kills_three_workers_is_given_up),
        ("an_output_that_cannot_be_said_ends_its_worker", an_output_that_cannot_be_said_ends_its_worker),
        ("an_idle_worker_that_was_killed_is_replaced", an_idle_worker_that_was_killed_is_replaced),
        ("an_idle_workers_death_is_no_tasks_fault", an_idle_workers_death_is_no_tasks_fault),
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

/// What a worker can be asked to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Deed {
    /// Say this.
    Echo(ByteBuf),
    /// Say who you are.
    Pid,
    /// Say how many deeds you have done before.
    Count,
    /// Be killed so many times, counted by files in this directory; then say who you are.
    Die(u32, PathBuf, ByteBuf),
    /// Say who you are on this socket, and be suspended.
    Suspend(PathBuf),
    /// Wait until this socket closes.
    Wait(PathBuf),
    /// Say this when there are no descriptors left to say it with.
    Exhaust(ByteBuf),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Said {
    Echo(ByteBuf),
    Pid(u32),
    Count(usize),
    GivenUp,
}

/// What every worker is told first.
const GREETING: u32 = 42;

fn deeds(greeting: &u32) -> impl FnMut(Deed) -> Said + use<> {
    assert_eq!(*greeting, GREETING);
    let mut deeds = 0..;
    move |deed| {
        let count = deeds.next().expect("without end");
        match deed {
            Deed::Echo(bytes) => return Said::Echo(bytes),
            Deed::Count => return Said::Count(count),
            Deed::Exhaust(bytes) => {
                let none = Rlimit { current: Some(0), ..getrlimit(Resource::Nofile) };
                setrlimit(Resource::Nofile, none).expect("a limit may be lowered");
                return Said::Echo(bytes);
            }
            Deed::Pid => {}
            Deed::Die(times, dir, _) => {
                let turn =
                    |n: &u32| OpenOptions::new().write(true).create_new(true).open(dir.join(n.to_string()));
                if (0..times).any(|n| turn(&n).is_ok()) {
                    kill_process(getpid(), Signal::KILL).expect("killed");
                }
            }
            Deed::Suspend(path) => {
                let _told = say_where(&path);
                kill_process(getpid(), Signal::STOP).expect("suspended");
            }
            Deed::Wait(path) => drop(say_where(&path).read_to_end(&mut Vec::new()).expect("read")),
        }
        Said::Pid(process::id())
    }
}

fn say_where(path: &Path) -> UnixStream {
    let mut socket = UnixStream::connect(path).expect("connected");
    writeln!(socket, "{}", process::id()).expect("written");
    socket
}

fn stillborn(_: &u32) -> impl FnMut(Deed) -> Said + use<> {
    process::exit(3);
    #[expect(unreachable_code)]
    |_| Said::GivenUp
}

fn ctx(workers: usize) -> Ctx {
    Ctx::new(NonZeroUsize::new(workers).expect("not zero"))
}

fn start(ctx: &Ctx) -> Pool<Deed, Said> {
    Pool::start("deeds", &GREETING, ctx, |_, _| Said::GivenUp).expect("started")
}

fn submit(pool: &Pool<Deed, Said>, deed: Deed) -> Promise<Said> {
    pool.submit(deed).expect("the pool is open")
}

fn do_it(pool: &Pool<Deed, Said>, deed: Deed) -> Said {
    submit(pool, deed).recv().expect("kept")
}

fn echo(bytes: impl Into<Vec<u8>>) -> Deed {
    Deed::Echo(ByteBuf::from(bytes.into()))
}

fn pid(said: &Said) -> Pid {
    let &Said::Pid(pid) = said else { panic!("{said:?}") };
    Pid::from_raw(pid.try_into().expect("small")).expect("not zero")
}

/// The next worker that says where it is, and the socket that holds it there.
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

/// Whether a process is there, if only to be waited for.
fn exists(pid: Pid) -> bool {
    Path::new("/proc").join(pid.as_raw_nonzero().to_string()).exists()
}

fn every_promise_gets_its_own_output() {
    for workers in [1, 2, 16] {
        let pool = start(&ctx(workers));
        let promises: Vec<_> = (0..workers * 8).map(|n| submit(&pool, echo(n.to_string()))).collect();
        for (n, promise) in promises.into_iter().enumerate() {
            assert_eq!(promise.recv(), Ok(Said::Echo(ByteBuf::from(n.to_string()))));
        }
        pool.finish().expect("nothing went wrong");
    }
}

fn outputs_of_many_tasks_meet_in_one_channel() {
    let pool = start(&ctx(3));
    let (done, outputs) = crossbeam_channel::bounded(1);
    let mut echoed: Vec<u8> = thread::scope(|scope| {
        scope.spawn(|| {
            let done = done; // whose end is that of the outputs
            (0..100).for_each(|n| pool.submit_to(&done, echo([n])).expect("the pool is open"));
        });
        let outputs = outputs.iter();
        outputs.map(|said| if let Said::Echo(bytes) = said { bytes[0] } else { panic!("{said:?}") }).collect()
    });
    echoed.sort_unstable();
    assert!(echoed.into_iter().eq(0..100));
    pool.finish().expect("nothing went wrong");
}

fn urgent_tasks_overtake() {
    let dir = tempfile::tempdir().expect("a directory");
    let gate = dir.path().join("gate");
    let listener = UnixListener::bind(&gate).expect("bound");
    let pool = start(&ctx(1));
    let first = submit(&pool, Deed::Wait(gate));
    let (held, _) = arrival(&listener);
    let later: Vec<_> = (0..8).map(|_| submit(&pool, Deed::Count)).collect();
    let urgent = pool.submit_urgent(Deed::Count).expect("open");
    drop(held);
    first.recv().expect("kept");
    let counts: Vec<_> = later.iter().map(|promise| promise.recv().expect("kept")).collect();
    // One of the others may have been in the worker's hand already.
    let urgent = urgent.recv().expect("kept");
    assert!(urgent == Said::Count(1) || (urgent, &counts[0]) == (Said::Count(2), &Said::Count(1)));
}

fn large_messages_travel_both_ways() {
    let pool = start(&ctx(2));
    let bytes: Vec<u8> = (0..4 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    // More than are in hand at once, so that a large task is sent while a large reply is on its way.
    let promises: Vec<_> = (0..8).map(|_| submit(&pool, echo(bytes.clone()))).collect();
    for promise in promises {
        assert!(promise.recv() == Ok(Said::Echo(ByteBuf::from(bytes.clone()))));
    }
}

fn no_worker_without_a_task() {
    // It could not be had: nobody has noticed.
    let pool: Pool<Deed, Said> =
        Pool::start("stillborn", &GREETING, &ctx(2), |_, _| Said::GivenUp).expect("started");
    pool.finish().expect("no worker was needed");
}

fn a_task_whose_worker_died_is_done_again() {
    let dir = tempfile::tempdir().expect("a directory");
    for at in [0, 7, 15] {
        let dir = dir.path().join(at.to_string());
        fs::create_dir(&dir).expect("made");
        let pool = start(&ctx(2));
        let deed =
            |n: usize| if n == at { Deed::Die(2, dir.clone(), ByteBuf::new()) } else { echo(n.to_string()) };
        let promises: Vec<_> = (0..16).map(|n| submit(&pool, deed(n))).collect();
        for (n, promise) in promises.into_iter().enumerate() {
            match promise.recv().expect("kept") {
                Said::Pid(_) => assert_eq!(n, at),
                said => assert_eq!(said, Said::Echo(ByteBuf::from(n.to_string()))),
            }
        }
        pool.finish().expect("nothing went wrong");
    }
}

fn a_large_task_whose_worker_died_is_done_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let pool = start(&ctx(1));
    let large = || ByteBuf::from(vec![b'x'; 4 << 20]);
    let dies = submit(&pool, Deed::Die(2, dir.path().to_owned(), large()));
    // Already in the worker's hand, or being sent to it, when it dies.
    let next = submit(&pool, Deed::Echo(large()));
    pid(&dies.recv().expect("kept"));
    assert!(next.recv() == Ok(Said::Echo(large())));
}

fn a_task_that_kills_three_workers_is_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let pool = start(&ctx(1));
    let before = submit(&pool, echo("before"));
    let fatal = submit(&pool, Deed::Die(u32::MAX, dir.path().to_owned(), ByteBuf::new()));
    let after = submit(&pool, echo("after"));
    assert_eq!(before.recv(), Ok(Said::Echo(ByteBuf::from("before"))));
    assert_eq!(fatal.recv(), Ok(Said::GivenUp));
    assert_eq!(after.recv(), Ok(Said::Echo(ByteBuf::from("after"))));
    // Three times alone, and perhaps once while the next task was in flight, which counts against
    // neither.
    assert!((3..=4).contains(&fs::read_dir(&dir).expect("read").count()));
    pool.finish().expect("nothing went wrong");
}

fn an_output_that_cannot_be_said_ends_its_worker() {
    let pool = start(&ctx(1));
    // A message that is larger than a socket's buffer takes a channel of its own.
    assert_eq!(do_it(&pool, Deed::Exhaust(vec![7; 8 << 20].into())), Said::GivenUp);
    assert_eq!(do_it(&pool, Deed::Count), Said::Count(0));
    pool.finish().expect("nothing went wrong");
}

fn an_idle_worker_that_was_killed_is_replaced() {
    let pool = start(&ctx(1));
    let first = pid(&do_it(&pool, Deed::Pid));
    kill(first);
    let second = pid(&do_it(&pool, Deed::Pid));
    assert_ne!(first, second);
    pool.finish().expect("nothing went wrong");
    assert!(!exists(first) && !exists(second));
}

fn an_idle_workers_death_is_no_tasks_fault() {
    let dir = tempfile::tempdir().expect("a directory");
    let pool = start(&ctx(1));
    kill(pid(&do_it(&pool, Deed::Pid)));
    // Twice is not too often.
    pid(&do_it(&pool, Deed::Die(2, dir.path().to_owned(), ByteBuf::new())));
    pool.finish().expect("nothing went wrong");
}

fn all_workers_killed_at_once_are_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    let gate = dir.path().join("gate");
    let listener = UnixListener::bind(&gate).expect("bound");
    let pool = start(&ctx(3));
    // One after the other: an owner takes a second task before its worker has the first, but not
    // between that and the output.
    let (promises, held): (Vec<_>, Vec<_>) =
        (0..3).map(|_| (submit(&pool, Deed::Wait(gate.clone())), arrival(&listener))).unzip();
    let echoes: Vec<_> = (0..24).map(|n| submit(&pool, echo(n.to_string()))).collect();
    for (_, worker) in &held {
        kill(*worker);
    }
    // Their replacements come to the same gate.
    let again: Vec<_> = (0..3).map(|_| arrival(&listener)).collect();
    drop((held, again));
    assert!(promises.into_iter().all(|promise| promise.recv().is_ok()));
    for (n, promise) in echoes.into_iter().enumerate() {
        assert_eq!(promise.recv(), Ok(Said::Echo(ByteBuf::from(n.to_string()))));
    }
    pool.finish().expect("nothing went wrong");
}

fn a_worker_that_is_never_ready_is_an_error() {
    let ctx = ctx(2);
    let pool = Pool::start("stillborn", &GREETING, &ctx, |_: &Deed, _| Said::GivenUp).expect("started");
    assert!(submit(&pool, Deed::Pid).recv().is_err());
    let Err(Error::Worker { who, reason }) = pool.finish() else { panic!("it must fail") };
    assert_eq!(who, "worker process");
    assert!(reason.contains("not ready") && reason.contains("exit status: 3"), "{reason}");
    assert!(ctx.stop.requested());
}

fn a_stop_ends_a_suspended_worker() {
    let dir = tempfile::tempdir().expect("a directory");
    let told = dir.path().join("told");
    let listener = UnixListener::bind(&told).expect("bound");
    let ctx = ctx(1);
    let pool = start(&ctx);
    let suspended = submit(&pool, Deed::Suspend(told));
    let (_socket, worker) = arrival(&listener);
    let queued: Vec<_> = (0..8).map(|_| submit(&pool, Deed::Count)).collect();
    ctx.stop.request(Cause::Test);
    assert!(suspended.recv().is_err());
    assert!(queued.into_iter().all(|promise| promise.recv().is_err()));
    assert!(pool.submit(Deed::Count).is_none());
    pool.finish().expect("a stop is not an error");
    assert!(!exists(worker));
}

fn a_stop_frees_owners_that_wait_for_room() {
    let ctx = ctx(2);
    let pool = start(&ctx);
    let (done, outputs) = crossbeam_channel::bounded(1);
    thread::scope(|scope| {
        // Without end: it is the pool that ends it.
        let feed = || iter::repeat_with(|| echo("x")).try_for_each(|deed| pool.submit_to(&done, deed));
        let feed = scope.spawn(feed);
        outputs.recv().expect("one is taken");
        ctx.stop.request(Cause::Test);
        drop(outputs);
        assert_eq!(feed.join().expect("no panic"), None);
    });
    pool.finish().expect("a stop is not an error");
}

fn a_panic_in_the_program_ends_the_workers() {
    let (tell, told) = crossbeam_channel::bounded(1);
    let panicked = thread::spawn(move || {
        let pool = start(&ctx(1));
        tell.send(pid(&do_it(&pool, Deed::Pid))).expect("received");
        panic!("planned");
    });
    let id = told.recv().expect("told");
    panicked.join().expect_err("it panics");
    assert!(!exists(id));
}

//! Mailboxes, the supervisor and grep's actors under random schedules.

use std::process::ExitCode;

use cc_schedules::{
    Case, Cause, Error, Stop, grep as spec, planned_panic, run,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use shuttle::thread;

use actor::{Address, Death, Halted, Mailbox, System, system};
use supervisor::{ChildSpec, Supervisor, Worker};

extern crate cc_schedules as cc_workloads;
extern crate cc_schedules as crossbeam_channel;
extern crate cc_schedules as std;

#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-actors/src/actor.rs"]
mod actor;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-actors/src/grep.rs"]
mod grep;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-actors/src/position.rs"]
mod position;
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports)]
#[path = "../../../crates/cc-actors/src/supervisor.rs"]
mod supervisor;

/// Number of schedules. Each mistake that was tried was found within a third of them: a mailbox
/// that is read before or without checking the stop, a send that does not wait, a mailbox that is
/// too large, a crash that is not reported or is checked too early, a death without its task, a
/// lost credit, and outputs out of order.
const SCHEDULES: usize = 600;

fn main() -> ExitCode {
    let cases: &[Case] = &[
        ("mailbox::messages_arrive_once_in_order_and_bounded", messages_arrive_once_in_order_and_bounded),
        ("mailbox::a_stop_wakes_all_that_wait", a_stop_wakes_all_that_wait),
        ("supervisor::a_successor_misses_no_message", a_successor_misses_no_message),
        ("supervisor::the_task_in_hand_is_reported_once", the_task_in_hand_is_reported_once),
        (
            "supervisor::a_worker_that_cannot_be_replaced_ends_the_run",
            a_worker_that_cannot_be_replaced_ends_the_run,
        ),
        ("system::a_panic_is_not_the_end_of_the_messages", a_panic_is_not_the_end_of_the_messages),
        ("system::the_first_crash_ends_the_run_by_name", the_first_crash_ends_the_run_by_name),
        ("grep::outputs_come_in_order_and_bounded", || {
            spec::outputs_come_in_order_and_bounded(grep::run, 0);
        }),
        ("grep::a_stop_ends_the_run", || {
            spec::a_stop_ends_the_run(grep::run);
        }),
        ("grep::a_stop_within_a_rest_ends_the_run", || {
            spec::a_stop_within_a_rest_ends_the_run(grep::run);
        }),
        ("grep::a_sink_that_has_enough_ends_the_run", || {
            spec::a_sink_that_has_enough_ends_the_run(grep::run);
        }),
        ("grep::a_panic_is_its_tasks_output", || {
            spec::a_panic_is_its_tasks_output(grep::run, "panicked: planned");
        }),
        ("grep::a_panic_of_the_source_is_the_runs_error", || {
            spec::a_panic_of_the_source_is_the_runs_error(grep::run, "source");
        }),
    ];
    run(cases, SCHEDULES)
}

/// No message is lost or doubled, and a sender waits while the mailbox is full.
fn messages_arrive_once_in_order_and_bounded() {
    const CAPACITY: usize = 1;
    let ended = system::<_, Error>(&Stop::new(), |system| {
        let (address, mailbox) = system.mailbox(CAPACITY);
        // The number of messages sent.
        let sent = Arc::new(AtomicUsize::new(0));
        for sender in [0, 10] {
            let (address, sent) = (address.clone(), sent.clone());
            system.spawn("sender", move || {
                for number in 1..=2 {
                    address.send(sender + number)?;
                    sent.fetch_add(1, SeqCst);
                }
                Ok(())
            })?;
        }
        drop(address);
        let mut received = Vec::new();
        for receives in 1.. {
            assert!(sent.load(SeqCst) < CAPACITY + receives);
            let Ok(number) = mailbox.receive() else { break };
            received.push(number);
        }
        let (first, second): (Vec<u32>, Vec<u32>) = received.into_iter().partition(|number| *number < 10);
        assert_eq!((first, second), (vec![1, 2], vec![11, 12]));
        Ok(())
    });
    ended.expect("no actor has panicked");
}

/// A stop at any moment ends the wait for a message and, through it, the wait for room. An actor
/// that sends to a halted actor is halted too.
fn a_stop_wakes_all_that_wait() {
    let stop = Stop::new();
    let stops = {
        let stop = stop.clone();
        thread::spawn(move || stop.request(Cause::Test))
    };
    let ended = system::<_, Error>(&stop, |system| {
        let ((full, unread), (kept, empty)) = (system.mailbox(1), system.mailbox::<()>(1));
        system.spawn("reader", move || {
            let end = empty.receive();
            drop(unread);
            end
        })?;
        system.spawn("writer", move || {
            full.send(0)?;
            full.send(1)?;
            panic!("there is no room for a second message");
        })?;
        let (address, mailbox) = system.mailbox(1);
        assert_eq!(mailbox.receive(), Err(Halted));
        // The stop stays: it also ends an actor that always finds messages in its mailbox.
        address.send(()).expect("there is room");
        assert_eq!(mailbox.receive(), Err(Halted));
        drop(kept);
        Ok(())
    });
    ended.expect("no actor has panicked");
    stops.join().expect("it has not failed");
}

/// An actor that panics at each message `0`, and adds up the others.
struct Adder {
    numbers: Mailbox<u32>,
    sum: u32,
    total: Address<u32>,
}

impl Adder {
    fn add(&mut self) -> Result<(), Halted> {
        loop {
            match self.numbers.receive() {
                Ok(0) => planned_panic(),
                Ok(number) => self.sum += number,
                Err(Halted) => return self.total.send(self.sum),
            }
        }
    }
}

/// Restarts each actor that has died, with its state.
fn supervise(
    system: &System,
    deaths: &Mailbox<Death<Adder>>,
    restart: impl Fn(&System, Adder),
) -> Result<(), Halted> {
    loop {
        let Death { state, reason } = deaths.receive()?;
        assert_eq!(reason, "panicked: planned");
        restart(system, state);
    }
}

/// A mailbox outlives its actor: messages sent before, during and after a death are read once. The
/// run ends after all actors.
fn a_successor_misses_no_message() {
    let ended = system::<u32, Error>(&Stop::new(), |system| {
        let ((adder, numbers), (total, totals)) = (system.mailbox(1), system.mailbox(1));
        let (supervisor, deaths) = system.mailbox(1);
        let watcher = supervisor.clone();
        let start = move |system: &System, state: Adder| {
            system.watch("adder", state, Adder::add, watcher.clone()).expect("started");
        };
        start(&system, Adder { numbers, sum: 0, total });
        let same_system = system.clone();
        system.spawn("supervisor", move || supervise(&same_system, &deaths, start))?;
        drop(supervisor);
        for sender in [1, 10] {
            let adder = adder.clone();
            system
                .spawn("sender", move || [sender, 0, sender].into_iter().try_for_each(|n| adder.send(n)))?;
        }
        drop(adder);
        Ok(totals.receive().expect("the last of them reports"))
    });
    assert_eq!(ended.expect("no death is a crash"), 22);
}

/// An actor that sends each message back, and panics at each message `0`; its kernel counts
/// messages.
type Echo = Worker<u32, u32, Address<(u32, bool)>>;

fn echo(echo: &mut Echo) -> Result<(), Halted> {
    loop {
        let number = *echo.current.insert(echo.mailbox.receive()?);
        if number == 0 {
            planned_panic();
        }
        echo.kernel += 1;
        echo.current = None;
        echo.to.send((number, true))?;
    }
}

fn report_failure(echo: &Echo, number: u32, reason: &str) -> Result<(), Halted> {
    assert_eq!(reason, "panicked: planned");
    echo.to.send((number, false))
}

/// What two workers report for these numbers, if only this many kernels can be made.
fn echoes(numbers: [u32; 5], kernels: usize, stop: &Stop) -> Result<Vec<(u32, bool)>, Error> {
    let made = Arc::new(AtomicUsize::new(0));
    system(stop, |system| {
        let (to, reports) = system.mailbox(1);
        let kernel = || {
            let is_enough = made.fetch_add(1, SeqCst) >= kernels;
            if is_enough { Err(Error::Failed("no kernel".to_owned())) } else { Ok(0) }
        };
        let children = ChildSpec { name: "echo", capacity: 1, to, kernel, work: echo, report_failure };
        let supervisor = Supervisor::new(&system, 1, children);
        let workers = supervisor.start_all(2)?;
        system.spawn("supervisor", move || supervisor.supervise())?;
        system.spawn("sender", move || {
            numbers.into_iter().zip([0, 1].into_iter().cycle()).try_for_each(|(n, id)| workers[id].send(n))
        })?;
        Ok(numbers.iter().map_while(|_| reports.receive().ok()).collect())
    })
}

/// Two workers die at any moment, one of them twice. Each number is reported once, as done or as
/// failed.
fn the_task_in_hand_is_reported_once() {
    let mut reports = echoes([0, 0, 1, 2, 0], 5, &Stop::new()).expect("there are kernels");
    reports.sort_unstable();
    assert_eq!(reports, [(0, false), (0, false), (0, false), (1, true), (2, true)]);
}

/// If a dead worker cannot be replaced, all actors are halted, and the reason is the run's result.
/// After a stop, it is not replaced.
fn a_worker_that_cannot_be_replaced_ends_the_run() {
    let stop = Stop::new();
    let ended = echoes([0, 1, 2, 3, 4], 2, &stop);
    assert_eq!(ended.expect_err("there is no third kernel").to_string(), "no kernel");
    assert_eq!(stop.cause(), Some(Cause::Break));
    let stop = Stop::new();
    stop.request(Cause::Test);
    assert_eq!(echoes([0, 1, 2, 3, 4], 2, &stop).expect("it was stopped"), []);
}

/// A source that panics drops its address like one that has ended. The run's result is still the
/// panic, and not the messages before it.
fn a_panic_is_not_the_end_of_the_messages() {
    let ended = system::<usize, Error>(&Stop::new(), |system| {
        let (collector, numbers) = system.mailbox(1);
        system.spawn("source", move || {
            collector.send(1)?;
            planned_panic()
        })?;
        Ok(std::iter::from_fn(|| numbers.receive().ok()).count())
    });
    assert_eq!(ended.expect_err("the source has panicked").to_string(), "source: panicked: planned");
}

/// Two unsupervised actors panic: the first is the run's error, and all others are halted.
fn the_first_crash_ends_the_run_by_name() {
    let stop = Stop::new();
    let ended = system::<usize, Error>(&stop, |system| {
        let (collector, numbers) = system.mailbox(1);
        for name in ["first", "second"] {
            let collector = collector.clone();
            system.spawn(name, move || {
                collector.send(1)?;
                planned_panic()
            })?;
        }
        drop(collector);
        Ok(std::iter::from_fn(|| numbers.receive().ok()).count())
    });
    let error = ended.expect_err("two actors have panicked").to_string();
    assert!(["first: panicked: planned", "second: panicked: planned"].contains(&&*error), "{error}");
    assert_eq!(stop.cause(), Some(Cause::Break));
}

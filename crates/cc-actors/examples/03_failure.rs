//! Lesson 3 of 4: one task fails; the others are done, and the failure is reported with its task.
//!
//! *Let it crash*: a worker that is started with `watch` does not handle its own panic. The panic
//! ends its thread, and the runtime sends its supervisor a message, a `Death`, with all that the
//! worker owned (its *state*). The state says which task the worker was doing, and it contains the
//! worker's mailbox with the tasks that it has not begun. The supervisor reports the one task as
//! failed and starts a new worker on the same mailbox, which does the others.
//!
//! What to see: three results and one failure, each at its place in the order. There is only one
//! worker at a time, so the order is that of its mailbox. The panic's message is also on standard
//! error: Rust prints it there when the panic begins.

use cc_actors::actor::{Address, Death, Halted, Mailbox, System, system};
use cc_workloads::Stop;

const LIMITS: [&str; 4] = ["1000", "10000", "ten thousand", "100000"];

/// To the collector: a task, and its result.
type Report = (&'static str, Result<usize, String>);

/// To the supervisor: the state of a worker, and the reason of its death.
type Dead = Death<Worker>;

/// What a worker owns. It is kept outside of the worker's function, so that it survives a panic.
struct Worker {
    tasks: Mailbox<&'static str>,
    current: &'static str,
    collector: Address<Report>,
}

fn main() -> Result<(), Halted> {
    let reports = system(&Stop::new(), |system| {
        let (worker, tasks) = system.mailbox(LIMITS.len());
        let (collector, reports) = system.mailbox(LIMITS.len());
        let (supervisor, deaths) = system.mailbox(1);
        let first = Worker { tasks, current: "", collector };
        system.watch("worker", first, work, supervisor.clone()).expect("the system can start a thread");
        let same_system = system.clone();
        let supervise = move || supervise(&same_system, &deaths, &supervisor);
        system.spawn("supervisor", supervise).expect("the system can start a thread");
        for limit in LIMITS {
            worker.send(limit)?;
        }
        LIMITS.iter().map(|_| reports.receive()).collect::<Result<Vec<_>, _>>()
    })?;
    for (limit, result) in &reports {
        match result {
            Ok(primes) => println!("{primes:6} primes below {limit}"),
            Err(reason) => println!("failed: {limit}: {reason}"),
        }
    }
    let results = [Ok(168), Ok(1_229), Err("panicked: not a number".to_owned()), Ok(9_592)];
    assert!(reports.into_iter().eq(LIMITS.into_iter().zip(results)));
    Ok(())
}

fn work(worker: &mut Worker) -> Result<(), Halted> {
    loop {
        worker.current = worker.tasks.receive()?;
        let limit = worker.current.parse().unwrap_or_else(|_| panic!("not a number"));
        worker.collector.send((worker.current, Ok(primes_below(limit))))?;
    }
}

/// Reports the task that the dead worker was doing, and starts a new worker on its mailbox.
fn supervise(system: &System, deaths: &Mailbox<Dead>, supervisor: &Address<Dead>) -> Result<(), Halted> {
    loop {
        let Death { state, reason } = deaths.receive()?;
        state.collector.send((state.current, Err(reason)))?;
        system.watch("worker", state, work, supervisor.clone()).expect("the system can start a thread");
    }
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

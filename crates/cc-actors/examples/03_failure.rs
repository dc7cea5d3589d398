//! Lesson 3 of 4: one task fails; the others are done, the failure is reported by name.
//!
//! Let it crash: a worker that is started with `watch` does not try to save itself when it panics.
//! It is dead, with its thread, and its supervisor gets its *remains*, all that it owned. They tell
//! which task it was busy with, and they hold its mailbox, in which the next tasks lie unharmed:
//! the supervisor reports the one and starts a successor for the others.
//!
//! What to see: three results and a failure, each in its place. Standard error has the panic too:
//! Rust reports it there before it can be caught.

use cc_actors::actor::{Address, Death, Halted, Mailbox, System, system};
use cc_workloads::Stop;

const LIMITS: [&str; 4] = ["1000", "10000", "ten thousand", "100000"];

/// To the collator: what came of a task.
type Report = (&'static str, Result<usize, String>);

/// To the supervisor: what is left of a worker.
type Dead = Death<Worker>;

/// What a worker owns: apart from its body, so that it survives the panic.
struct Worker {
    orders: Mailbox<&'static str>,
    in_hand: &'static str,
    collator: Address<Report>,
}

fn main() -> Result<(), Halted> {
    let reports = system(&Stop::new(), |system| {
        let (worker, orders) = system.mailbox(LIMITS.len());
        let (collator, reports) = system.mailbox(LIMITS.len());
        let (office, (supervisor, deaths)) = (system.clone(), system.mailbox(1));
        let first = Worker { orders, in_hand: "", collator };
        system.watch("worker", first, work, supervisor.clone()).expect("a thread can be started");
        let supervise = move || supervise(&office, &deaths, &supervisor);
        system.spawn("supervisor", supervise).expect("a thread can be started");
        LIMITS.iter().try_for_each(|limit| worker.send(limit))?;
        LIMITS.iter().map(|_| reports.receive()).collect::<Result<Vec<_>, _>>()
    })?;
    for (limit, result) in &reports {
        match result {
            Ok(primes) => println!("{primes:6} primes below {limit}"),
            Err(why) => println!("failed: {limit}: {why}"),
        }
    }
    let results = [Ok(168), Ok(1_229), Err("panicked: not a number".to_owned()), Ok(9_592)];
    assert!(reports.into_iter().eq(LIMITS.into_iter().zip(results)));
    Ok(())
}

fn work(worker: &mut Worker) -> Result<(), Halted> {
    loop {
        worker.in_hand = worker.orders.receive()?;
        let limit = worker.in_hand.parse().unwrap_or_else(|_| panic!("not a number"));
        worker.collator.send((worker.in_hand, Ok(primes_below(limit))))?;
    }
}

/// Reports what the dead worker had in hand, and starts a successor with the same mailbox.
fn supervise(system: &System, deaths: &Mailbox<Dead>, supervisor: &Address<Dead>) -> Result<(), Halted> {
    loop {
        let Death { remains, reason } = deaths.receive()?;
        remains.collator.send((remains.in_hand, Err(reason)))?;
        system.watch("worker", remains, work, supervisor.clone()).expect("a thread can be started");
    }
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

//! Lesson 1 of 4: start actors, and wait until all of them are done.
//!
//! The loop is the sequential version: one call of `report` after the other. Then each limit is
//! sent to an actor, a thread with a mailbox that only it reads. `system.mailbox` makes both ends:
//! the address is named after the actor that is written to, the mailbox after what comes in it. An
//! actor is not joined, but says when it is done: every wait is one for a message.
//! If the system ends first, `receive` and `send` return `Halted`.
//!
//! What to see: the same lines, but in the order in which they are ready; and on two cores or more
//! it takes less time.
//!
//! When not: when there is no state to keep apart, as here; a thread that is joined says the same
//! with fewer words.

use std::time::Instant;

use cc_actors::actor::{Halted, system};
use cc_workloads::Stop;

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

/// What an actor says in the end.
struct Done;

fn main() -> Result<(), Halted> {
    let begin = Instant::now();
    for limit in LIMITS {
        report(limit);
    }
    println!("one after the other: {:.0?}", begin.elapsed());

    let begin = Instant::now();
    system::<_, Halted>(&Stop::new(), |system| {
        let (starter, ends) = system.mailbox(LIMITS.len());
        for limit in LIMITS {
            let (worker, limits) = system.mailbox(1);
            let starter = starter.clone();
            let work = move || {
                report(limits.receive()?);
                starter.send(Done)
            };
            system.spawn("worker", work).expect("a thread can be started");
            worker.send(limit)?;
        }
        for _ in LIMITS {
            let Done = ends.receive()?;
        }
        Ok(())
    })?;
    println!("at the same time: {:.0?}", begin.elapsed());
    Ok(())
}

fn report(limit: u32) {
    println!("{:6} primes below {limit}", primes_below(limit));
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

//! Lesson 1 of 4: start actors, and wait until all of them are done.
//!
//! The loop is the sequential version: it calls `report` for one limit after the other. Then each
//! limit is sent to an actor of its own, a thread with a mailbox that only this thread reads.
//! `system.mailbox` makes both ends of the channel. The sending end, the address, is named after
//! the actor that receives; the mailbox is named after the messages in it. An actor sends a message
//! when it is done, so no thread is joined to learn that. (`system` joins all threads at its end.)
//!
//! `receive` returns `Halted` when the system ends, or when the mailbox is empty and no address of
//! it is left. `send` returns `Halted` when the mailbox is gone. An actor passes it on with `?` and
//! ends.
//!
//! What to see: the actors print the same lines, but in the order in which they finish. With two
//! cores or more, they take less time than the loop.
//!
//! When not to use it: if there is no state to isolate, as here. A thread that is joined does the
//! same with less code.

use std::time::Instant;

use cc_actors::actor::{Halted, system};
use cc_workloads::Stop;

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

/// An actor's last message.
struct Done;

fn main() -> Result<(), Halted> {
    let start = Instant::now();
    for limit in LIMITS {
        report(limit);
    }
    println!("one after the other: {:.0?}", start.elapsed());

    let start = Instant::now();
    system::<_, Halted>(&Stop::new(), |system| {
        let (starter, completions) = system.mailbox(LIMITS.len());
        for limit in LIMITS {
            let (worker, limits) = system.mailbox(1);
            let starter = starter.clone();
            let work = move || {
                report(limits.receive()?);
                starter.send(Done)
            };
            system.spawn("worker", work).expect("the system can start a thread");
            worker.send(limit)?;
        }
        for _ in LIMITS {
            let Done = completions.receive()?;
        }
        Ok(())
    })?;
    println!("at the same time: {:.0?}", start.elapsed());
    Ok(())
}

fn report(limit: u32) {
    println!("{:6} primes below {limit}", primes_below(limit));
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

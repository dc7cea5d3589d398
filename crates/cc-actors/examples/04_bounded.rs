//! Lesson 4 of 4: a producer that is faster than its consumer, and a bound on the tasks in flight.
//!
//! The producer works on demand: it makes one task for each *credit*. The consumer sends three
//! credits at the beginning, and one more after each task that is done. So at most three tasks are
//! in flight, and memory use does not grow.
//!
//! The bound of the mailbox alone would slow the producer down as well. But an actor that waits for
//! room in a full mailbox does not read its own. Where messages go both ways, two actors could wait
//! for room in each other's mailboxes forever: a deadlock. Here each mailbox has room for `BOUND`
//! messages, and with three credits there are never more. So no `send` waits. No other actor can
//! look into a mailbox, so the messages carry the counts that are printed here.
//!
//! What to see: 1, 2, and then always 3 in flight, since a fourth task needs a credit, which is
//! sent when a task is done. When the consumer has found what it looks for, it returns. This ends
//! the system, which halts the producer.

use cc_actors::actor::{Address, Halted, Mailbox, system};
use cc_workloads::Stop;

const BOUND: u32 = 3;
const STEP: u32 = 10_000;
const ENOUGH: usize = 10_000;

/// To the producer: permission to make one more task. Says how many tasks are done.
struct Credit {
    done: u32,
}

/// To the consumer: the next task, a limit below which it counts the primes.
struct Task {
    limit: u32,
    /// Number of tasks in flight, this one included. The credit says how many are done.
    in_flight: u32,
}

fn main() -> Result<(), Halted> {
    let found = system(&Stop::new(), |system| {
        let (producer, credits) = system.mailbox(BOUND as usize);
        let (consumer, tasks) = system.mailbox(BOUND as usize);
        let produce = move || produce(&credits, &consumer);
        system.spawn("producer", produce).expect("the system can start a thread");
        consume(&tasks, &producer)
    })?;
    println!("{found} has enough");
    assert_eq!(found, 110_000);
    Ok(())
}

/// Makes one task for each credit, until it is halted.
fn produce(credits: &Mailbox<Credit>, consumer: &Address<Task>) -> Result<(), Halted> {
    let mut made = 0;
    loop {
        let Credit { done } = credits.receive()?;
        made += 1;
        consumer.send(Task { limit: made * STEP, in_flight: made - done })?;
    }
}

/// Finds the first limit with enough primes below it.
fn consume(tasks: &Mailbox<Task>, producer: &Address<Credit>) -> Result<u32, Halted> {
    for _ in 0..BOUND {
        producer.send(Credit { done: 0 })?;
    }
    let mut done = 0;
    loop {
        let Task { limit, in_flight } = tasks.receive()?;
        let primes = primes_below(limit);
        println!("{primes:6} primes below {limit}, {in_flight} in flight");
        assert!(in_flight <= BOUND);
        if primes >= ENOUGH {
            return Ok(limit);
        }
        done += 1;
        producer.send(Credit { done })?;
    }
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

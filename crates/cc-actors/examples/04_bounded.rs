//! Lesson 4 of 4: a producer that is faster than its consumer, and a bound on what lies between
//! them.
//!
//! The producer works on demand: it makes one limit for each *credit*, of which the consumer sends
//! three in the beginning, and one more for each limit that is done. So there are never more than
//! three under way, and memory stays flat. (A full mailbox would slow its sender down too; but
//! an actor that waits for room reads nothing meanwhile, and two that wait for each other's room
//! wait for ever: a deadlock.) A mailbox can be read by its owner only, so a message carries what
//! the receiver has to know.
//!
//! What to see: however fast the producer is, there are never more than three under way. When the
//! consumer has enough, it leaves the system, which halts the producer.

use cc_actors::actor::{Address, Halted, Mailbox, system};
use cc_workloads::Stop;

const BOUND: u32 = 3;
const STEP: u32 = 10_000;
const ENOUGH: usize = 10_000;

/// To the producer: room for one more. It says how many are done.
struct Credit(u32);

/// To the consumer: the next limit, and how many are under way with it.
struct Order {
    limit: u32,
    under_way: u32,
}

fn main() -> Result<(), Halted> {
    let found = system(&Stop::new(), |system| {
        let (producer, credits) = system.mailbox(BOUND as usize);
        let (consumer, orders) = system.mailbox(BOUND as usize);
        system.spawn("producer", move || produce(&credits, &consumer)).expect("a thread can be started");
        consume(&orders, &producer)
    })?;
    println!("{found} has enough");
    assert_eq!(found, 110_000);
    Ok(())
}

/// Makes one limit for each credit, for as long as there are any.
fn produce(credits: &Mailbox<Credit>, consumer: &Address<Order>) -> Result<(), Halted> {
    let mut made = 0;
    loop {
        let Credit(done) = credits.receive()?;
        made += 1;
        consumer.send(Order { limit: made * STEP, under_way: made - done })?;
    }
}

/// Finds the first limit with enough primes below it.
fn consume(orders: &Mailbox<Order>, producer: &Address<Credit>) -> Result<u32, Halted> {
    (0..BOUND).try_for_each(|_| producer.send(Credit(0)))?;
    let mut done = 0;
    loop {
        let Order { limit, under_way } = orders.receive()?;
        let primes = primes_below(limit);
        println!("{primes:6} primes below {limit}, {under_way} under way");
        assert!(under_way <= BOUND);
        if primes >= ENOUGH {
            return Ok(limit);
        }
        done += 1;
        producer.send(Credit(done))?;
    }
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

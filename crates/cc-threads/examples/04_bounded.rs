//! Lesson 4 of 4: a producer that is faster than its consumer, and a bound on what lies between them.
//!
//! `produce` makes limits without end. The queue has room for three, and `send` waits while it is full: the
//! producer is slowed down to the consumer's pace (*backpressure*), and memory stays flat. The end comes from the
//! other side: a consumer who has enough drops the queue, and `send` fails. Nobody needs a flag.
//!
//! What to see: however fast the producer is, there are never more than three in the queue.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

const BOUND: usize = 3;
const STEP: u32 = 10_000;
const ENOUGH: usize = 10_000;

fn main() {
    let (tasks, queue) = bounded(BOUND);
    let found = thread::scope(|scope| {
        scope.spawn(move || produce(&tasks));
        consume(queue)
    });
    println!("{found} has enough");
    assert_eq!(found, 110_000);
}

/// Queues one limit after the other, until nobody takes them.
fn produce(tasks: &Sender<u32>) {
    for n in 1.. {
        if tasks.send(n * STEP).is_err() {
            break;
        }
    }
}

/// Finds the first limit with enough primes below it. It owns the queue, and closes it by returning.
fn consume(queue: Receiver<u32>) -> u32 {
    loop {
        let limit = queue.recv().expect("the producer does not end first");
        let (primes, waiting) = (primes_below(limit), queue.len());
        println!("{primes:6} primes below {limit}, {waiting} waiting");
        assert!(waiting <= BOUND);
        if primes >= ENOUGH {
            return limit;
        }
    }
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

//! Lesson 4 of 4: a producer that is faster than its consumer, and a bounded queue between them.
//!
//! `produce` makes limits without end. The queue has room for three, and `send` waits while the
//! queue is full. This slows the producer down to the pace of the consumer (*backpressure*), so
//! memory use does not grow. The consumer also ends the run: when it has found what it looks for,
//! it drops its end of the queue, and `send` returns an error. No flag is needed.
//!
//! What to see: however fast the producer is, at most three limits wait in the queue. Two more
//! exist: the one that the consumer works on, and the one that the producer tries to send.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

const BOUND: usize = 3;
const STEP: u32 = 10_000;
const ENOUGH: usize = 10_000;

fn main() {
    let (tasks_tx, tasks_rx) = bounded(BOUND);
    let found = thread::scope(|scope| {
        scope.spawn(move || produce(&tasks_tx));
        consume(tasks_rx)
    });
    println!("{found} has enough");
    assert_eq!(found, 110_000);
}

/// Sends one limit after the other, until the receiver is dropped.
fn produce(tasks_tx: &Sender<u32>) {
    for n in 1.. {
        if tasks_tx.send(n * STEP).is_err() {
            break;
        }
    }
}

/// Finds the first limit with enough primes below it. Takes the receiver by value, so that the
/// queue closes when this function returns; otherwise the producer would wait in `send` forever.
fn consume(tasks_rx: Receiver<u32>) -> u32 {
    loop {
        let limit = tasks_rx.recv().expect("the producer ends only after the receiver is dropped");
        let primes = primes_below(limit);
        let waiting = tasks_rx.len();
        println!("{primes:6} primes below {limit}, {waiting} waiting");
        assert!(waiting <= BOUND);
        if primes >= ENOUGH {
            return limit;
        }
    }
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

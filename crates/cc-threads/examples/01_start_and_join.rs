//! Lesson 1 of 4: start threads, and wait until all of them have ended.
//!
//! The loop is the sequential version: it calls `report` for one limit after the other. Then each
//! call gets a thread of its own. `thread::scope` returns only when all threads that were started
//! in it have ended, so these threads may borrow variables from outside of the scope. `join` waits
//! for one thread, and returns an error if that thread has panicked.
//!
//! What to see: the threads print the same lines, but in the order in which they finish. With two
//! cores or more, they take less time than the loop.
//!
//! When not to use it: if the calls take microseconds, since starting a thread takes as long; if
//! thousands of calls wait, since each thread needs a stack; or if a loop is fast enough.

use std::{thread, time::Instant};

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

fn main() {
    let start = Instant::now();
    for limit in LIMITS {
        report(limit);
    }
    println!("one after the other: {:.0?}", start.elapsed());

    let start = Instant::now();
    thread::scope(|scope| {
        let handles = LIMITS.map(|limit| scope.spawn(move || report(limit)));
        for handle in handles {
            handle.join().expect("`report` does not panic");
        }
    });
    println!("at the same time: {:.0?}", start.elapsed());
}

fn report(limit: u32) {
    println!("{:6} primes below {limit}", primes_below(limit));
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

//! Lesson 1 of 4: start threads, and wait until all of them have ended.
//!
//! The loop is the sequential version: one call of `report` after the other. Then each call gets a thread of its
//! own. `thread::scope` does not end before the threads that were started in it, so they may borrow whatever lives
//! outside of it; `join` waits for one of them, and says whether it panicked.
//!
//! What to see: the same lines, but in the order in which they are ready; and on two cores or more it takes
//! less time.
//!
//! When not: when the calls take microseconds, since starting a thread takes some too; when thousands of them wait,
//! since each has a stack; and when a loop is fast enough.

use std::{thread, time::Instant};

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

fn main() {
    let begin = Instant::now();
    for limit in LIMITS {
        report(limit);
    }
    println!("one after the other: {:.0?}", begin.elapsed());

    let begin = Instant::now();
    thread::scope(|scope| {
        let workers = LIMITS.map(|limit| scope.spawn(move || report(limit)));
        for worker in workers {
            worker.join().expect("no worker panics");
        }
    });
    println!("at the same time: {:.0?}", begin.elapsed());
}

fn report(limit: u32) {
    println!("{:6} primes below {limit}", primes_below(limit));
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

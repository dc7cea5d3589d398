//! Lesson 1 of 4: start tasks, and wait until all of them have ended.
//!
//! The first loop is the sequential version: calling an `async fn` starts nothing, and awaiting its future runs it
//! to its end before the loop goes on. In the second, `spawn` gives each future to the runtime, which polls it as a
//! *task*, and the `JoinSet` waits for them all. `report` only waits: what computes goes to the blocking pool,
//! because on a thread of the runtime it would keep other tasks from being polled.
//!
//! What to see: the same lines, but in the order in which they are ready; and on two cores or more it takes
//! less time. The gain is the pool's: with `#[tokio::main(flavor = "current_thread")]` it is the same.
//!
//! When not: when the tasks compute and hardly ever wait, as these do. Threads are the shorter way to that.

use std::time::Instant;

use tokio::task::{JoinSet, spawn_blocking};

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

#[tokio::main]
async fn main() {
    let begin = Instant::now();
    for limit in LIMITS {
        report(limit).await;
    }
    println!("one after the other: {:.0?}", begin.elapsed());

    let begin = Instant::now();
    let mut workers = JoinSet::new();
    for limit in LIMITS {
        workers.spawn(report(limit));
    }
    while let Some(end) = workers.join_next().await {
        end.expect("no worker panics");
    }
    println!("at the same time: {:.0?}", begin.elapsed());
}

async fn report(limit: u32) {
    let primes = spawn_blocking(move || primes_below(limit)).await.expect("it does not panic");
    println!("{primes:6} primes below {limit}");
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

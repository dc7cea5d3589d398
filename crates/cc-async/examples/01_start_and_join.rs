//! Lesson 1 of 4: start tasks, and wait until all of them have ended.
//!
//! The first loop is the sequential version: calling an `async fn` starts nothing, and awaiting its
//! future runs it to its end before the loop goes on. In the second loop, `spawn` gives each future
//! to the runtime, which polls it as a *task*, and the `JoinSet` waits for all tasks. `report` only
//! waits and prints. The computation goes to the blocking pool, because on a thread of the runtime
//! it would keep other tasks from being polled.
//!
//! What to see: the tasks print the same lines, but in the order in which they finish. With two
//! cores or more, they take less time than the first loop. It is the blocking pool that saves this
//! time: with `#[tokio::main(flavor = "current_thread")]` the result is the same.
//!
//! When not to use it: if the work computes and hardly ever waits, as it does here. Threads do that
//! with less code.

use std::time::Instant;

use tokio::task::{JoinSet, spawn_blocking};

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

#[tokio::main]
async fn main() {
    let start = Instant::now();
    for limit in LIMITS {
        report(limit).await;
    }
    println!("one after the other: {:.0?}", start.elapsed());

    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for limit in LIMITS {
        tasks.spawn(report(limit));
    }
    while let Some(result) = tasks.join_next().await {
        result.expect("`report` does not panic");
    }
    println!("at the same time: {:.0?}", start.elapsed());
}

async fn report(limit: u32) {
    let primes = spawn_blocking(move || primes_below(limit)).await.expect("`primes_below` does not panic");
    println!("{primes:6} primes below {limit}");
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

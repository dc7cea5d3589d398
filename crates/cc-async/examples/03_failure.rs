//! Lesson 3 of 4: one task fails; the others are done, the failure is reported by name.
//!
//! A panic ends its own task and nobody else's, not even the thread that it ran on: tokio catches it there, and
//! whoever awaits the task gets a `JoinError` with the message inside. `join_all` waits for every promise, where
//! `try_join_all` would end with the first that is broken. An abort ends all tasks, since there is only one
//! process.
//!
//! What to see: three results and a failure, each in its place. Standard error has the panic too: Rust reports it
//! there before anybody can catch it.

use cc_workloads::error::panic_reason;
use futures::future::join_all;
use tokio::task::{JoinError, spawn_blocking};

const LIMITS: [&str; 4] = ["1000", "10000", "ten thousand", "100000"];

#[tokio::main]
async fn main() {
    let promises = LIMITS.map(|limit| spawn_blocking(move || work(limit)));
    let results: Vec<_> = join_all(promises).await.into_iter().map(|end| end.map_err(reason)).collect();
    for (limit, result) in LIMITS.iter().zip(&results) {
        match result {
            Ok(primes) => println!("{primes:6} primes below {limit}"),
            Err(why) => println!("failed: {limit}: {why}"),
        }
    }
    assert_eq!(results, [Ok(168), Ok(1_229), Err("panicked: not a number".to_owned()), Ok(9_592)]);
}

fn work(limit: &str) -> usize {
    primes_below(limit.parse().unwrap_or_else(|_| panic!("not a number")))
}

/// A task can end badly in one other way: it is aborted. Nobody does that here.
fn reason(end: JoinError) -> String {
    panic_reason(&*end.into_panic())
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

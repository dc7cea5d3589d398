//! Lesson 2 of 4: bring the results back, in the order of the questions.
//!
//! The handle of a task is itself a future: the *promise* of what the task returns. `try_join_all` awaits the
//! promises together and puts their results in the order in which the promises were made, whichever is kept first.
//! They are kept in any case, because a spawned task runs whether it is awaited or not; a bare future would not.
//!
//! What to see: the last limit is ready long before the first, and its line is still the last.

use futures::future::try_join_all;
use tokio::task::spawn_blocking;

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

#[tokio::main]
async fn main() {
    let promises = LIMITS.map(|limit| spawn_blocking(move || primes_below(limit)));
    let results = try_join_all(promises).await.expect("no worker panics");
    for (limit, primes) in LIMITS.iter().zip(&results) {
        println!("{primes:6} primes below {limit}");
    }
    assert_eq!(results, [14_683, 13_010, 11_301, 9_592, 7_837, 6_057, 4_203, 2_262]);
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

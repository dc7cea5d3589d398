//! Lesson 2 of 4: return the results in the order of the requests.
//!
//! The handle that `spawn_blocking` returns is itself a future: awaited, it gives what the function
//! has returned. A handle is therefore a *pending result*. `try_join_all` awaits all handles at the
//! same time and returns the results in the order of the handles, no matter which is ready first.
//! The functions run whether their handles are awaited or not; a future that is neither spawned nor
//! awaited does nothing.
//!
//! What to see: the last limit is finished long before the first, and its line is still the last.

use futures::future::try_join_all;
use tokio::task::spawn_blocking;

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

#[tokio::main]
async fn main() {
    let handles = LIMITS.map(|limit| spawn_blocking(move || primes_below(limit)));
    let results = try_join_all(handles).await.expect("`primes_below` does not panic");
    for (limit, primes) in LIMITS.iter().zip(&results) {
        println!("{primes:6} primes below {limit}");
    }
    assert_eq!(results, [14_683, 13_010, 11_301, 9_592, 7_837, 6_057, 4_203, 2_262]);
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

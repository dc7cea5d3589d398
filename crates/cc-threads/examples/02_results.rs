//! Lesson 2 of 4: bring the results back, in the order of the questions.
//!
//! What a thread's function returns is what `join` returns: a handle is the *promise* of a result. The promises are
//! kept in the order in which they were made, and waited for in that order. So the results are in order as well,
//! whichever is ready first, and no thread has to know its place.
//!
//! What to see: the last limit is ready long before the first, and its line is still the last.

use std::thread;

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

fn main() {
    let results = thread::scope(|scope| {
        let promises = LIMITS.map(|limit| scope.spawn(move || primes_below(limit)));
        promises.map(|promise| promise.join().expect("no worker panics"))
    });
    for (limit, primes) in LIMITS.iter().zip(results) {
        println!("{primes:6} primes below {limit}");
    }
    assert_eq!(results, [14_683, 13_010, 11_301, 9_592, 7_837, 6_057, 4_203, 2_262]);
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

//! Lesson 2 of 4: bring the results back, in the order of the questions.
//!
//! What a thread's function returns is what `join` returns: a handle is the *promise* of a result. The promises are
//! kept in the order in which they were made, and waited for in that order. So the results are in order as well,
//! whichever is ready first, and no thread has to know its place.
//!
//! What to see: the last limit is ready long before the first, and its line is still the last.

use std::thread;

const LIMITS: [u32; 4] = [200_000, 150_000, 100_000, 50_000];

fn main() {
    let results = thread::scope(|scope| {
        let promises = LIMITS.map(|limit| scope.spawn(move || primes_below(limit)));
        promises.map(|promise| promise.join().expect("no worker panics"))
    });
    for (limit, primes) in LIMITS.iter().zip(results) {
        println!("{primes:6} primes below {limit}");
    }
    assert_eq!(results, [17_984, 13_848, 9_592, 5_133]);
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

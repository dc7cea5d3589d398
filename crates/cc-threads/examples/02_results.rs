//! Lesson 2 of 4: return the results in the order of the requests.
//!
//! `join` returns what the thread's function has returned. A join handle is therefore a *pending
//! result*: a value that stands for a result which is not there yet. The handles are kept in the
//! order in which the threads were started, and joined in that order. So the results are in order,
//! no matter which thread finishes first, and no thread needs to know its position.
//!
//! What to see: the last limit is finished long before the first, and its line is still the last.

use std::thread;

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

fn main() {
    let results = thread::scope(|scope| {
        let handles = LIMITS.map(|limit| scope.spawn(move || primes_below(limit)));
        handles.map(|handle| handle.join().expect("`primes_below` does not panic"))
    });
    for (limit, primes) in LIMITS.iter().zip(results) {
        println!("{primes:6} primes below {limit}");
    }
    assert_eq!(results, [14_683, 13_010, 11_301, 9_592, 7_837, 6_057, 4_203, 2_262]);
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

//! Lesson 3 of 4: one task fails; the others are done, the failure is reported by name.
//!
//! A panic ends its own thread and nobody else's. `join` hands it over as an error, with the message inside; what
//! is done with it is up to whoever joins. An abort, or memory that C code has corrupted, is another matter: it
//! ends all threads, since there is only one process.
//!
//! What to see: three results and a failure, each in its place. Standard error has the panic too: Rust reports it
//! there before anybody can catch it.

use std::thread;

use cc_workloads::error::panic_reason;

const LIMITS: [&str; 4] = ["1000", "10000", "ten thousand", "100000"];

fn main() {
    let results = thread::scope(|scope| {
        let promises = LIMITS.map(|limit| scope.spawn(move || work(limit)));
        promises.map(|promise| promise.join().map_err(|panic| panic_reason(&*panic)))
    });
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

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

//! Lesson 3 of 4: one task fails; the others are done, and the failure is reported with its task.
//!
//! A panic of a spawned thread ends only that thread. `join` returns it as an error, with the
//! panic's message, and the thread that joins decides what to do. An abort is different: it ends
//! the whole process, with all of its threads.
//!
//! What to see: three results and one failure, each at its place in the order. The panic's message
//! is also on standard error: Rust prints it there when the panic begins, before `join` returns.

use std::thread;

use cc_workloads::error::panic_reason;

const LIMITS: [&str; 4] = ["1000", "10000", "ten thousand", "100000"];

fn main() {
    let results = thread::scope(|scope| {
        let handles = LIMITS.map(|limit| scope.spawn(move || work(limit)));
        handles.map(|handle| handle.join().map_err(|panic| panic_reason(&*panic)))
    });
    for (limit, result) in LIMITS.iter().zip(&results) {
        match result {
            Ok(primes) => println!("{primes:6} primes below {limit}"),
            Err(reason) => println!("failed: {limit}: {reason}"),
        }
    }
    assert_eq!(results, [Ok(168), Ok(1_229), Err("panicked: not a number".to_owned()), Ok(9_592)]);
}

fn work(limit: &str) -> usize {
    primes_below(limit.parse().unwrap_or_else(|_| panic!("not a number")))
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

//! Lesson 3 of 4: one task fails; the others are done, and the failure is reported with its task.
//!
//! A panic ends only its own task. The thread that the task runs on goes on, since tokio catches
//! the panic there. Awaiting the handle returns it as a `JoinError`, with the panic's message.
//! `join_all` waits for every handle; `try_join_all` would return the first error at once. An abort
//! is different: it ends the whole process, with all of its tasks.
//!
//! What to see: three results and one failure, each at its place in the order. The panic's message
//! is also on standard error: Rust prints it there when the panic begins, before it is caught.

use cc_workloads::error::panic_reason;
use futures::future::join_all;
use tokio::task::{JoinError, spawn_blocking};

const LIMITS: [&str; 4] = ["1000", "10000", "ten thousand", "100000"];

#[tokio::main]
async fn main() {
    let handles = LIMITS.map(|limit| spawn_blocking(move || work(limit)));
    let joined = join_all(handles).await;
    let results: Vec<_> = joined.into_iter().map(|result| result.map_err(reason)).collect();
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

/// The message of a panic. The only other `JoinError` is that of a task that was aborted, and this
/// lesson aborts none.
fn reason(error: JoinError) -> String {
    panic_reason(&*error.into_panic())
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

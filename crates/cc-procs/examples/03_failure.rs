//! Lesson 3 of 4: one task fails and takes its worker along; the others are done, the failure is reported by name.
//!
//! The worker aborts, which no thread survives; a `kill -9`, or the kernel when memory is short, does the same to
//! it. A process that does one task could be waited for, as before. The crate's pool keeps its workers busy with
//! one task after the other, so a death may hit two: the one that was being done, and one that lay ready. The pool
//! starts another worker and gives it both again. A task that has killed three workers is given up.
//!
//! What to see: three results and a failure, each in its place, and no word on standard error: the dead do not
//! talk.

use std::process;

use cc_procs::{pool::Pool, worker::enter};
use cc_workloads::{Ctx, Result};

const LIMITS: [&str; 4] = ["1000", "10000", "ten thousand", "100000"];

type Answer = Result<usize, String>;

fn main() -> Result<()> {
    enter("primes", |()| work); // a worker process does not come back from here
    let ctx = Ctx::new(Ctx::available_workers());
    let failed = |_: &String, why: &str| Err(why.to_owned());
    let pool: Pool<String, Answer> = Pool::start("primes", &(), &ctx, failed)?;
    let promises = LIMITS.map(|limit| pool.submit(limit.to_owned()).expect("the pool is open"));
    let results = promises.map(|promise| promise.recv().expect("nobody stops the run"));
    for (limit, result) in LIMITS.iter().zip(&results) {
        match result {
            Ok(primes) => println!("{primes:6} primes below {limit}"),
            Err(why) => println!("failed: {limit}: {why}"),
        }
    }
    assert_eq!(results, [Ok(168), Ok(1_229), Err("killed its worker three times".to_owned()), Ok(9_592)]);
    pool.finish()
}

fn work(limit: String) -> Answer {
    Ok(primes_below(limit.parse().unwrap_or_else(|_| process::abort())))
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

//! Lesson 3 of 4: one task kills its worker; the others are done, and the failure is reported with
//! its task.
//!
//! The worker aborts, which ends its process. A `kill -9` does the same, and so does Linux when
//! memory runs out. The crate's pool sends a worker up to two tasks at a time, so that the worker
//! need not wait for the next. If a worker dies, the pool starts another one and repeats the tasks
//! that have no output yet. With two tasks in flight (sent and not answered), the pool cannot know
//! which one has killed the worker. So it then runs each of them alone. A task that was alone in
//! flight at three deaths is given up.
//!
//! What to see: three results and one failure, each at its place in the order. Standard error is
//! empty: a process that aborts prints nothing.

use std::process;

use cc_procs::{pool::Pool, worker::enter};
use cc_workloads::{Ctx, Result};

const LIMITS: [&str; 4] = ["1000", "10000", "ten thousand", "100000"];

type Output = Result<usize, String>;

fn main() -> Result<()> {
    enter("primes", |()| work); // in a worker process, this does the tasks and does not return
    let ctx = Ctx::new(Ctx::available_workers());
    let failed = |_: &String, reason: &str| Err(reason.to_owned());
    let pool: Pool<String, Output> = Pool::start(&ctx, "primes", &(), failed)?;
    let pending = LIMITS.map(|limit| pool.submit(limit.to_owned()).expect("the run is not stopped"));
    let results = pending.map(|result| result.recv().expect("the run is not stopped"));
    for (limit, result) in LIMITS.iter().zip(&results) {
        match result {
            Ok(primes) => println!("{primes:6} primes below {limit}"),
            Err(reason) => println!("failed: {limit}: {reason}"),
        }
    }
    assert_eq!(results, [Ok(168), Ok(1_229), Err("killed its worker three times".to_owned()), Ok(9_592)]);
    pool.finish()
}

fn work(limit: String) -> Output {
    Ok(primes_below(limit.parse().unwrap_or_else(|_| process::abort())))
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

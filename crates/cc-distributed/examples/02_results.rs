//! Lesson 2 of 4: bring the results back, in the order of the questions.
//!
//! A task goes out as bytes, to whichever worker has room, and its output comes back as bytes,
//! which are checked: a worker is another program. `submit` returns at once, with the *promise* of
//! what they say. The promises are kept in the order in which they were made, and waited for in
//! that order. So the results are in order as well, whichever is ready first, and wherever.
//!
//! What to see: the last limit is ready long before the first, and its line is still the last.

use cc_distributed::cluster::{
    Cluster,
    command::{Options, enter},
    queue::{Lane, Outcome, Promise},
    worker::Service,
};
use cc_workloads::{Ctx, Result};

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];
const SERVICES: &[Service] = &[Service::tasks("primes", |_job, _means| Ok(Box::new(work)))];

fn main() -> Result<()> {
    enter(SERVICES, &[]); // a worker process does not come back from here
    let ctx = Ctx::new(Ctx::available_workers());
    let cluster = Cluster::start("primes", Vec::new(), &Options::new(&ctx.options), &ctx)?;
    let promises = LIMITS.map(|limit| cluster.submit(limit.to_string().into(), Lane::Usual, primes));
    let results = promises.map(|promise| result(promise).expect("no task fails"));
    cluster.close()?;
    for (limit, primes) in LIMITS.iter().zip(results) {
        println!("{primes:6} primes below {limit}");
    }
    assert_eq!(results, [14_683, 13_010, 11_301, 9_592, 7_837, 6_057, 4_203, 2_262]);
    Ok(())
}

fn result(promise: Promise<usize>) -> Result<usize, String> {
    match promise.blocking_recv().expect("nobody stops the run") {
        Outcome::Done(primes) => Ok(primes),
        Outcome::Failed { why, .. } => Err(why),
    }
}

/// What an answer says. One that is no number is not believed, and the task goes to another worker.
fn primes(_session: &str, answer: &[u8]) -> Result<usize, String> {
    String::from_utf8_lossy(answer).parse().map_err(|_| "not a number".to_owned())
}

/// In a worker: from the bytes of a task to the bytes of its output.
fn work(task: &[u8]) -> Result<Vec<u8>, String> {
    let limit = String::from_utf8_lossy(task).parse().map_err(|_| "not a number")?;
    Ok(primes_below(limit).to_string().into())
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

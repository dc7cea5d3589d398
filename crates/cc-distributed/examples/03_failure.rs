//! Lesson 3 of 4: one task fails and takes its worker along; the others are done, the failure is reported by name.
//!
//! The worker aborts. All that the coordinator hears of it is that the connection ends; of a cut
//! cable it would hear nothing at all, and get suspicious. In any case it does the same: what that
//! worker had on *lease* is given to another. It cannot know which task was to blame, so the
//! suspects are then tried one at a time, and what has lost its worker three times, when it was
//! there alone, is given up. A task may thus be begun more than once; it is answered once.
//!
//! What to see: three results and a failure, each in its place, and no word on standard error: the dead do not
//! talk.

use std::process;

use cc_distributed::cluster::{
    Cluster,
    command::{Options, enter},
    queue::{Lane, Outcome, Promise},
    worker::Service,
};
use cc_workloads::{Ctx, Result};

const LIMITS: [&str; 4] = ["1000", "10000", "ten thousand", "100000"];
const SERVICES: &[Service] = &[Service::tasks("primes", |_job, _means| Ok(Box::new(work)))];

fn main() -> Result<()> {
    enter(SERVICES, &[]); // a worker process does not come back from here
    let ctx = Ctx::new(Ctx::available_workers());
    let cluster = Cluster::start("primes", Vec::new(), &Options::new(&ctx.options), &ctx)?;
    let promises = LIMITS.map(|limit| cluster.submit(limit.into(), Lane::Usual, primes));
    let results = promises.map(result);
    cluster.close()?;
    for (limit, result) in LIMITS.iter().zip(&results) {
        match result {
            Ok(primes) => println!("{primes:6} primes below {limit}"),
            Err(why) => println!("failed: {limit}: {why}"),
        }
    }
    assert_eq!(results, [Ok(168), Ok(1_229), Err("its worker was lost, 3 times".to_owned()), Ok(9_592)]);
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
    let limit = String::from_utf8_lossy(task).parse().unwrap_or_else(|_| process::abort());
    Ok(primes_below(limit).to_string().into())
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

//! Lesson 3 of 4: one task kills each worker that runs it; the others are done, and the failure is
//! reported with its task.
//!
//! The worker aborts. The coordinator sees only that the connection has closed. If a cable were
//! cut, it would see nothing, and suspect the worker after a time-out. In both cases it ends the
//! worker's *session*, the time for which the worker works for this job. The tasks that the worker
//! had on *lease*, up to three here, are handed out again. The coordinator cannot know which of
//! them has killed the worker, so each runs alone from now on. A task that was alone on its worker
//! at three losses is given up. So a task may begin several times, but only one answer to it is
//! used.
//!
//! What to see: three results and one failure, each at its place in the order. Standard error is
//! empty: a process that aborts prints nothing.

use std::process;

use cc_distributed::cluster::{
    Cluster,
    command::{Options, enter},
    queue::{Lane, Outcome},
    worker::Service,
};
use cc_workloads::{Ctx, Result};

const LIMITS: [&str; 4] = ["1000", "10000", "ten thousand", "100000"];
const SERVICES: &[Service] = &[Service::tasks("primes", |_context, _job| Ok(Box::new(work)))];

fn main() -> Result<()> {
    enter(SERVICES, &[]); // in a worker process, this does the tasks and does not return
    let ctx = Ctx::new(Ctx::available_workers());
    let cluster = Cluster::start("primes", Vec::new(), &Options::new(&ctx.options), &ctx)?;
    let pending = LIMITS.map(|limit| cluster.submit(limit.into(), Lane::Usual, primes));
    let results = pending.map(|result| match result.blocking_recv().expect("the run is not stopped") {
        Outcome::Done(primes) => Ok(primes),
        Outcome::Failed { why, .. } => Err(why),
    });
    cluster.close()?;
    for (limit, result) in LIMITS.iter().zip(&results) {
        match result {
            Ok(primes) => println!("{primes:6} primes below {limit}"),
            Err(reason) => println!("failed: {limit}: {reason}"),
        }
    }
    assert_eq!(
        results,
        [Ok(168), Ok(1_229), Err("3 workers were lost while they ran only this task".to_owned()), Ok(9_592)]
    );
    Ok(())
}

/// Checks an answer, and decodes it. If it is not a number, the worker gets no more tasks, and
/// another worker does this one.
fn primes(_session: &str, answer: &[u8]) -> Result<usize, String> {
    String::from_utf8_lossy(answer).parse().map_err(|_| "not a number".to_owned())
}

/// In a worker: turns an encoded task into its encoded output.
fn work(task: &[u8]) -> Result<Vec<u8>, String> {
    let limit = String::from_utf8_lossy(task).parse().unwrap_or_else(|_| process::abort());
    Ok(primes_below(limit).to_string().into())
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

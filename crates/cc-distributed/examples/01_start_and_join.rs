//! Lesson 1 of 4: start workers that could be on any machine, and wait until all tasks are done.
//!
//! The loop is the sequential version: it calls `report` for one limit after the other. Then each
//! limit is a task for a *cluster*: a coordinator, which is in this process, and workers, which are
//! this same program started again. They exchange messages over gRPC, as they would between
//! machines. A worker sends its lines to this process, which prints them. The program waits for the
//! result of each task; `close` then ends the workers.
//!
//! What to see: the same lines in the same order, because the results are awaited in the order of
//! submission. The cluster gains less time than an even division would. The first worker that is
//! ready is sent three tasks at once, so that it need not wait for each. Here these are the three
//! largest, which are more than half of the work.
//!
//! When not to use it: if one machine is enough, as here. Every task costs messages, and every
//! message costs copies.

use std::time::Instant;

use cc_distributed::cluster::{
    Cluster,
    command::{Options, enter},
    queue::{Lane, Outcome},
    worker::Service,
};
use cc_workloads::{Ctx, Result};

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

/// What a worker offers. A service has a name, and a function that prepares a job and returns the
/// function that does its tasks.
const SERVICES: &[Service] = &[Service::tasks("primes", |_context, _job| Ok(Box::new(work)))];

fn main() -> Result<()> {
    enter(SERVICES, &[]); // in a worker process, this does the tasks and does not return
    let start = Instant::now();
    for limit in LIMITS {
        println!("{}", report(limit));
    }
    println!("one after the other: {:.0?}", start.elapsed());

    let start = Instant::now();
    let ctx = Ctx::new(Ctx::available_workers());
    let cluster = Cluster::start("primes", Vec::new(), &Options::new(&ctx.options), &ctx)?;
    let pending = LIMITS.map(|limit| cluster.submit(limit.to_string().into(), Lane::Usual, line));
    for result in pending {
        let outcome = result.blocking_recv().expect("the run is not stopped");
        let Outcome::Done(line) = outcome else { panic!("{outcome:?}") };
        println!("{line}");
    }
    cluster.close()?;
    println!("at the same time: {:.0?}", start.elapsed());
    Ok(())
}

/// Checks an answer, and decodes it. If it is not text, the worker gets no more tasks, and another
/// worker does this one.
fn line(_session: &str, answer: &[u8]) -> Result<String, String> {
    String::from_utf8(answer.to_vec()).map_err(|_| "not text".to_owned())
}

/// In a worker: turns an encoded task into its encoded output.
fn work(task: &[u8]) -> Result<Vec<u8>, String> {
    let limit = String::from_utf8_lossy(task).parse().map_err(|_| "not a number")?;
    Ok(report(limit).into())
}

fn report(limit: u32) -> String {
    format!("{:6} primes below {limit}", primes_below(limit))
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

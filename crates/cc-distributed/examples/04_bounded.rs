//! Lesson 4 of 4: a producer that is faster than its consumer, and a bound on the tasks in flight.
//!
//! Here the main program is the producer, and the cluster the consumer. `submit` never waits: the
//! cluster's queue has no bound of its own, because only the caller knows what fits into memory. So
//! the caller keeps the bound. It holds at most three results, and submits the next task when it
//! has used the first of them. So at most three tasks are in flight. (There may be fewer, because a
//! result that is held may be complete already.) Closing the cluster ends its workers, and the
//! results that are still held are not used.
//!
//! What to see: without the bound the producer would never wait, because there is always a next
//! task. With it, each line says how many results were held before this one was used: three. The
//! program ends as soon as a result is large enough.

use std::collections::VecDeque;

use cc_distributed::cluster::{
    Cluster,
    command::{Options, enter},
    queue::{Lane, Outcome},
    worker::Service,
};
use cc_workloads::{Ctx, Result};

const BOUND: usize = 3;
const STEP: u32 = 10_000;
const ENOUGH: usize = 10_000;
const SERVICES: &[Service] = &[Service::tasks("primes", |_context, _job| Ok(Box::new(work)))];

fn main() -> Result<()> {
    enter(SERVICES, &[]); // in a worker process, this does the tasks and does not return
    let ctx = Ctx::new(Ctx::available_workers());
    let cluster = Cluster::start("primes", Vec::new(), &Options::new(&ctx.options), &ctx)?;
    let mut submitted = 0;
    let mut pending = VecDeque::new();
    let found = loop {
        while pending.len() < BOUND {
            submitted += 1;
            let limit = submitted * STEP;
            pending.push_back((limit, cluster.submit(limit.to_string().into(), Lane::Usual, primes)));
        }
        let held = pending.len();
        let (limit, result) = pending.pop_front().expect("three tasks are pending");
        let outcome = result.blocking_recv().expect("the run is not stopped");
        let Outcome::Done(primes) = outcome else { panic!("{outcome:?}") };
        println!("{primes:6} primes below {limit}, {held} results held");
        if primes >= ENOUGH {
            break limit;
        }
    };
    cluster.close()?;
    println!("{found} has enough");
    assert_eq!(found, 110_000);
    Ok(())
}

/// Checks an answer, and decodes it. If it is not a number, the worker gets no more tasks, and
/// another worker does this one.
fn primes(_session: &str, answer: &[u8]) -> Result<usize, String> {
    String::from_utf8_lossy(answer).parse().map_err(|_| "not a number".to_owned())
}

/// In a worker: turns an encoded task into its encoded output.
fn work(task: &[u8]) -> Result<Vec<u8>, String> {
    let limit = String::from_utf8_lossy(task).parse().map_err(|_| "not a number")?;
    Ok(primes_below(limit).to_string().into())
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

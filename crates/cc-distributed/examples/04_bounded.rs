//! Lesson 4 of 4: a producer that is faster than its consumer, and a bound on what lies between them.
//!
//! `submit` never waits: the queue of a cluster has no bound of its own, for only who submits knows what fits into
//! memory. So the bound is kept here: there are never more than three promises in the line, and the next task is
//! submitted when the first of them is kept. (Each worker has a bound, too: it grants the coordinator a *credit*,
//! and is sent no more than that.) Closing the cluster ends it; what was still under way is nobody's.
//!
//! What to see: there are limits without end, and never more than three in flight.

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
const SERVICES: &[Service] = &[Service::tasks("primes", |_job, _means| Ok(Box::new(work)))];

fn main() -> Result<()> {
    enter(SERVICES, &[]); // a worker process does not come back from here
    let ctx = Ctx::new(Ctx::available_workers());
    let cluster = Cluster::start("primes", Vec::new(), &Options::new(&ctx.options), &ctx)?;
    let submit = |limit: u32| (limit, cluster.submit(limit.to_string().into(), Lane::Usual, primes));
    let mut tasks = (1..).map(|n| submit(n * STEP));
    let mut line: VecDeque<_> = tasks.by_ref().take(BOUND).collect();
    let found = loop {
        let in_flight = line.len();
        let (limit, promise) = line.pop_front().expect("it is full");
        let outcome = promise.blocking_recv().expect("nobody stops the run");
        let Outcome::Done(primes) = outcome else { panic!("{outcome:?}") };
        println!("{primes:6} primes below {limit}, {in_flight} in flight");
        if primes >= ENOUGH {
            break limit;
        }
        line.extend(tasks.next());
    };
    cluster.close()?;
    println!("{found} has enough");
    assert_eq!(found, 110_000);
    Ok(())
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

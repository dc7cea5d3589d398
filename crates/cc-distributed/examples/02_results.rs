//! Lesson 2 of 4: return the results in the order of the requests.
//!
//! A task is sent as bytes to any worker that has room for it. Its output comes back as bytes and
//! is checked, because a worker on another machine is not trusted. `submit` returns at once, with a
//! *pending result*. The pending results are kept in the order of submission, and awaited in that
//! order. So the results are in order, no matter which task is done first, and on which machine.
//!
//! What to see: with three workers or more, the last limit is usually done before the first. Its
//! line is still the last.

use cc_distributed::cluster::{
    Cluster,
    command::{Options, enter},
    queue::{Lane, Outcome},
    worker::Service,
};
use cc_workloads::{Ctx, Result};

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];
const SERVICES: &[Service] = &[Service::tasks("primes", |_context, _job| Ok(Box::new(work)))];

fn main() -> Result<()> {
    enter(SERVICES, &[]); // in a worker process, this does the tasks and does not return
    let ctx = Ctx::new(Ctx::available_workers());
    let cluster = Cluster::start("primes", Vec::new(), &Options::new(&ctx.options), &ctx)?;
    let pending = LIMITS.map(|limit| cluster.submit(limit.to_string().into(), Lane::Usual, primes));
    let results = pending.map(|result| {
        let outcome = result.blocking_recv().expect("the run is not stopped");
        let Outcome::Done(primes) = outcome else { panic!("{outcome:?}") };
        primes
    });
    cluster.close()?;
    for (limit, primes) in LIMITS.iter().zip(results) {
        println!("{primes:6} primes below {limit}");
    }
    assert_eq!(results, [14_683, 13_010, 11_301, 9_592, 7_837, 6_057, 4_203, 2_262]);
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

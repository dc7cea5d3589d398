//! Lesson 1 of 4: start workers that could be anywhere, and wait until all is done that they were given.
//!
//! The loop is the sequential version: one call of `report` after the other. Then each limit is a task for a
//! cluster: a coordinator, here, and workers, which are this program once more and talk with it over gRPC.
//! Workers on other machines would do the same. So what a worker prints is seen by nobody: whatever is to be seen
//! here must be sent. And no worker is joined, since it may vanish without a word: what is waited for is the task.
//!
//! What to see: the same lines, from elsewhere. On two cores or more it takes less time, but not as little as it
//! could: whichever worker is ready first is sent three tasks at once, so that it need not wait for each, and here
//! these are the largest.
//!
//! When not: when one machine is enough, as here. Everything costs a message, and every message a copy.

use std::time::Instant;

use cc_distributed::cluster::{
    Cluster,
    command::{Options, enter},
    queue::{Lane, Outcome},
    worker::Service,
};
use cc_workloads::{Ctx, Result};

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

/// What a worker can be asked for: a service has a name, and makes what does the tasks.
const SERVICES: &[Service] = &[Service::tasks("primes", |_job, _means| Ok(Box::new(work)))];

fn main() -> Result<()> {
    enter(SERVICES, &[]); // a worker process does not come back from here
    let begin = Instant::now();
    for limit in LIMITS {
        println!("{}", report(limit));
    }
    println!("one after the other: {:.0?}", begin.elapsed());

    let begin = Instant::now();
    let ctx = Ctx::new(Ctx::available_workers());
    let cluster = Cluster::start("primes", Vec::new(), &Options::new(&ctx.options), &ctx)?;
    let tasks = LIMITS.map(|limit| cluster.submit(limit.to_string().into(), Lane::Usual, line));
    for task in tasks {
        let end = task.blocking_recv().expect("nobody stops the run");
        let Outcome::Done(line) = end else { panic!("{end:?}") };
        println!("{line}");
    }
    cluster.close()?;
    println!("at the same time: {:.0?}", begin.elapsed());
    Ok(())
}

/// What an answer says. One that is no text is not believed, and the task goes to another worker.
fn line(_session: &str, answer: &[u8]) -> Result<String, String> {
    String::from_utf8(answer.to_vec()).map_err(|_| "not text".to_owned())
}

/// In a worker: from the bytes of a task to the bytes of its output.
fn work(task: &[u8]) -> Result<Vec<u8>, String> {
    let limit = String::from_utf8_lossy(task).parse().map_err(|_| "not a number")?;
    Ok(report(limit).into())
}

fn report(limit: u32) -> String {
    format!("{:6} primes below {limit}", primes_below(limit))
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

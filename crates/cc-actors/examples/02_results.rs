//! Lesson 2 of 4: return the results in the order of the requests.
//!
//! An actor returns nothing: a result is a message. The results of several actors arrive in the
//! order in which the actors finish, so a result carries the position of its task. One actor, the
//! *collector*, owns the order and puts each result at its position. Here it is the main thread.
//!
//! What to see: the lines are in the order of the limits, although the last limit takes least time.

use cc_actors::actor::{Halted, system};
use cc_workloads::Stop;

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

/// To a worker.
struct Task {
    position: usize,
    limit: u32,
}

/// To the collector.
struct Output {
    position: usize,
    primes: usize,
}

fn main() -> Result<(), Halted> {
    let mut results = [0; LIMITS.len()];
    system::<_, Halted>(&Stop::new(), |system| {
        let (collector, outputs) = system.mailbox(LIMITS.len());
        for (position, limit) in LIMITS.into_iter().enumerate() {
            let (worker, tasks) = system.mailbox(1);
            let collector = collector.clone();
            let work = move || {
                let Task { position, limit } = tasks.receive()?;
                collector.send(Output { position, primes: primes_below(limit) })
            };
            system.spawn("worker", work).expect("the system can start a thread");
            worker.send(Task { position, limit })?;
        }
        for _ in LIMITS {
            let Output { position, primes } = outputs.receive()?;
            results[position] = primes;
        }
        Ok(())
    })?;
    for (limit, primes) in LIMITS.iter().zip(results) {
        println!("{primes:6} primes below {limit}");
    }
    assert_eq!(results, [14_683, 13_010, 11_301, 9_592, 7_837, 6_057, 4_203, 2_262]);
    Ok(())
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

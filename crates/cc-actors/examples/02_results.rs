//! Lesson 2 of 4: bring the results back, in the order of the questions.
//!
//! Nothing is returned: a result is a message, and messages from several actors come as they are
//! ready. So an answer says what it answers. The order has one owner, the *collator*, which puts
//! each result in its place; here the main thread is that.
//!
//! What to see: the last limit is ready long before the first, and its line is still the last.

use cc_actors::actor::{Halted, system};
use cc_workloads::Stop;

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

/// To a worker.
struct Order {
    place: usize,
    limit: u32,
}

/// To the collator.
struct Report {
    place: usize,
    primes: usize,
}

fn main() -> Result<(), Halted> {
    let mut results = [0; LIMITS.len()];
    system::<_, Halted>(&Stop::new(), |system| {
        let (collator, reports) = system.mailbox(LIMITS.len());
        for (place, limit) in LIMITS.into_iter().enumerate() {
            let ((worker, orders), collator) = (system.mailbox(1), collator.clone());
            let work = move || {
                let Order { place, limit } = orders.receive()?;
                collator.send(Report { place, primes: primes_below(limit) })
            };
            system.spawn("worker", work).expect("a thread can be started");
            worker.send(Order { place, limit })?;
        }
        for _ in LIMITS {
            let Report { place, primes } = reports.receive()?;
            results[place] = primes;
        }
        Ok(())
    })?;
    for (limit, primes) in LIMITS.iter().zip(results) {
        println!("{primes:6} primes below {limit}");
    }
    assert_eq!(results, [14_683, 13_010, 11_301, 9_592, 7_837, 6_057, 4_203, 2_262]);
    Ok(())
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

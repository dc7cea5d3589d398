//! Lesson 1 of 4: start processes, and wait until all of them have ended.
//!
//! The loop is the sequential version: one call of `report` after the other. Then each limit gets a process of its
//! own: this same program, started again with the limit as an argument, which tells it that it is a worker. Its
//! lines come out here because it inherits standard output. `wait` returns how it ended. Until then the kernel
//! keeps the dead process in its table (a *zombie*); dropping a `Child` does not wait, nor kill.
//!
//! What to see: the same lines, but in the order in which they are ready; and on two cores or more it takes
//! less time. Give it a limit yourself (`-- 1000` after the command) and it is a worker of yours.
//!
//! When not: when the calls take milliseconds, since starting a process takes some too; and when the work needs
//! what is in memory here, since a process sees none of it.

use std::{
    env, io,
    process::{Child, Command},
    time::Instant,
};

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

fn main() -> io::Result<()> {
    if let Some(limit) = env::args().nth(1) {
        report(limit.parse().expect("a limit"));
        return Ok(());
    }
    let begin = Instant::now();
    for limit in LIMITS {
        report(limit);
    }
    println!("one after the other: {:.0?}", begin.elapsed());

    let begin = Instant::now();
    let workers: Vec<_> = LIMITS.into_iter().map(start).collect::<io::Result<_>>()?;
    for mut worker in workers {
        assert!(worker.wait()?.success());
    }
    println!("at the same time: {:.0?}", begin.elapsed());
    Ok(())
}

fn start(limit: u32) -> io::Result<Child> {
    Command::new(env::current_exe()?).arg(limit.to_string()).spawn()
}

fn report(limit: u32) {
    println!("{:6} primes below {limit}", primes_below(limit));
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

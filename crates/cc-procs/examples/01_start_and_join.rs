//! Lesson 1 of 4: start processes, and wait until all of them have ended.
//!
//! The first loop is the sequential version: it calls `report` for each limit in turn. Then each
//! limit gets a process of its own: this same program, started again with the limit as an argument.
//! The argument tells the program that it is a worker. Its lines appear here because a worker
//! inherits standard output. `wait` returns how the process has ended. Until it is called, the
//! operating system keeps an ended process in its table (a *zombie*). Dropping a `Child` neither
//! waits for the process nor kills it.
//!
//! What to see: the workers print the same lines, but in the order in which they finish. With two
//! cores or more, they take less time than the loop. Start a worker yourself: put a limit after the
//! command (`-- 1000`).
//!
//! When not to use it: if the calls take milliseconds, since starting a process can take as long;
//! or if the work needs data that is in memory here, since a new process has none of it.

use std::{
    env, io,
    process::{Child, Command},
    time::Instant,
};

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

fn main() -> io::Result<()> {
    if let Some(limit) = env::args().nth(1) {
        report(limit.parse().expect("the argument is a limit"));
        return Ok(());
    }
    let start = Instant::now();
    for limit in LIMITS {
        report(limit);
    }
    println!("one after the other: {:.0?}", start.elapsed());

    let start = Instant::now();
    let workers: Vec<_> = LIMITS.into_iter().map(start_worker).collect::<io::Result<_>>()?;
    for mut worker in workers {
        assert!(worker.wait()?.success());
    }
    println!("at the same time: {:.0?}", start.elapsed());
    Ok(())
}

fn start_worker(limit: u32) -> io::Result<Child> {
    Command::new(env::current_exe()?).arg(limit.to_string()).spawn()
}

fn report(limit: u32) {
    println!("{:6} primes below {limit}", primes_below(limit));
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

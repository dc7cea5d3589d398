//! Lesson 4 of 4: a producer that is faster than its consumer, and a bound on the tasks in flight.
//!
//! Here the main program is the producer, and a worker process the consumer. Two pipes connect
//! them: one carries tasks (each a limit for `primes_below`) to the worker, the other its results
//! back. A pipe is bounded, but in bytes. If the program fills the first pipe and does not read the
//! second, then the program may wait for room in the first while the worker waits for room in the
//! second: a deadlock. So the program counts. At most three tasks are *in flight*, which means sent
//! and not answered. Three tasks, or three results, fit into any pipe, so a write never waits.
//!
//! The run ends when the program has a result that is large enough and closes the first pipe. Two
//! tasks are still in flight then. The worker does them, and the program does not use their
//! results. Then the worker finds the end of its input and exits.
//!
//! What to see: the producer never runs out of tasks, but each line says that three are in flight.
//! The last line comes after the worker has exited.

use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader, Write},
    process::{Command, Stdio},
};

const BOUND: u32 = 3;
const STEP: u32 = 10_000;
const ENOUGH: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().nth(1).is_some() {
        for limit in io::stdin().lines() {
            println!("{}", primes_below(limit?.parse()?));
        }
        return Ok(());
    }
    let mut command = Command::new(env::current_exe()?);
    let mut worker = command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut tasks = worker.stdin.take().expect("standard input is a pipe");
    let stdout = worker.stdout.take().expect("standard output is a pipe");
    let mut results = BufReader::new(stdout).lines();
    let mut sent = 0;
    let mut done = 0;
    let found = loop {
        while sent - done < BOUND {
            sent += 1;
            writeln!(tasks, "{}", sent * STEP)?;
        }
        let primes: usize = results.next().ok_or("the worker has died")??.parse()?;
        let in_flight = sent - done;
        done += 1;
        let limit = done * STEP; // the worker does the tasks in the order of the pipe
        println!("{primes:6} primes below {limit}, {in_flight} in flight");
        if primes >= ENOUGH {
            break limit;
        }
    };
    drop(tasks);
    assert!(worker.wait()?.success());
    println!("{found} has enough");
    assert_eq!(found, 110_000);
    Ok(())
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

//! Lesson 4 of 4: a producer that is faster than its consumer, and a bound on what lies between them.
//!
//! A pipe is bounded too, but in bytes, and there are two: one takes the limits to the worker, one the answers
//! back. Whoever fills the first without reading the second may wait for a worker that waits for him. So the bound
//! is kept by counting: there are never more than three limits *in flight*, sent and not answered. They fit into
//! any pipe, so sending never waits. The end is the end of a pipe: the worker's input closes, and it has nothing
//! left to do.
//!
//! What to see: there are limits without end, and never more than three in flight.

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
    let mut tasks = worker.stdin.take().expect("piped");
    let mut answers = BufReader::new(worker.stdout.take().expect("piped")).lines();
    let (mut sent, mut answered) = (0, 0);
    let found = loop {
        while sent - answered < BOUND {
            sent += 1;
            writeln!(tasks, "{}", sent * STEP)?;
        }
        let primes: usize = answers.next().ok_or("the worker has died")??.parse()?;
        let in_flight = sent - answered;
        answered += 1;
        let limit = answered * STEP; // the worker answers in the order of the questions
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

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

//! Lesson 2 of 4: bring the results back, in the order of the questions.
//!
//! All that two processes can exchange is bytes. Here the question is an argument, and the answer comes through a
//! pipe that is the worker's standard output: turned into text there, and back into a number here. A worker with
//! its pipe is the *promise* of a result. The promises are kept in the order in which they were made, and waited
//! for in that order. So the results are in order as well, whichever is ready first.
//!
//! What to see: the last limit is ready long before the first, and its line is still the last.

use std::{
    env,
    error::Error,
    io,
    process::{Child, Command, Stdio},
};

const LIMITS: [u32; 8] = [160_000, 140_000, 120_000, 100_000, 80_000, 60_000, 40_000, 20_000];

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(limit) = env::args().nth(1) {
        println!("{}", primes_below(limit.parse()?));
        return Ok(());
    }
    let promises: Vec<_> = LIMITS.into_iter().map(start).collect::<io::Result<_>>()?;
    let results: Vec<_> = promises.into_iter().map(result).collect::<Result<_, _>>()?;
    for (limit, primes) in LIMITS.iter().zip(&results) {
        println!("{primes:6} primes below {limit}");
    }
    assert_eq!(results, [14_683, 13_010, 11_301, 9_592, 7_837, 6_057, 4_203, 2_262]);
    Ok(())
}

fn start(limit: u32) -> io::Result<Child> {
    Command::new(env::current_exe()?).arg(limit.to_string()).stdout(Stdio::piped()).spawn()
}

/// Reads the pipe to its end, and then waits for the worker: one whose pipe is full would wait for us.
fn result(worker: Child) -> Result<usize, Box<dyn Error>> {
    let output = worker.wait_with_output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// The work of all lessons: a pure function, slow enough to be worth sharing out.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

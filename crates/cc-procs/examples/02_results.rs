//! Lesson 2 of 4: return the results in the order of the requests.
//!
//! Processes exchange bytes and nothing else. Here the request is an argument. The result comes
//! back through a pipe that is the worker's standard output: the worker prints a number as text,
//! and the program parses it. A worker with its pipe is a *pending result*: it stands for a result
//! that is not there yet. The workers are kept in the order in which they were started, and waited
//! for in that order. So the results are in order, no matter which worker finishes first.
//!
//! What to see: the last limit is finished long before the first, and its line is still the last.

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
    let workers: Vec<_> = LIMITS.into_iter().map(start_worker).collect::<io::Result<_>>()?;
    let results: Vec<_> = workers.into_iter().map(result).collect::<Result<_, _>>()?;
    for (limit, primes) in LIMITS.iter().zip(&results) {
        println!("{primes:6} primes below {limit}");
    }
    assert_eq!(results, [14_683, 13_010, 11_301, 9_592, 7_837, 6_057, 4_203, 2_262]);
    Ok(())
}

fn start_worker(limit: u32) -> io::Result<Child> {
    Command::new(env::current_exe()?).arg(limit.to_string()).stdout(Stdio::piped()).spawn()
}

/// Reads the pipe to its end, and only then waits for the worker. In the other order, a worker with
/// more output than the pipe has room for would wait for a reader, and the program for the worker.
fn result(worker: Child) -> Result<usize, Box<dyn Error>> {
    let output = worker.wait_with_output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// The work of all lessons: a pure function, slow enough to be worth running concurrently.
fn primes_below(limit: u32) -> usize {
    (2..limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0)).count()
}

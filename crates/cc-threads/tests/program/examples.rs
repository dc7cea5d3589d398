//! The lessons, run as a reader runs them. Each asserts its own result; this is what it must have said.

use std::{env, path::Path, process::Command};

/// What a lesson prints. Cargo builds the lessons before the tests, but not for `--test program` alone.
fn lesson(name: &str) -> String {
    let test = env::current_exe().expect("this program");
    let built = test.parent().and_then(Path::parent).expect("two folders up");
    let run = Command::new(built.join("examples").join(name)).output();
    let run = run.unwrap_or_else(|error| panic!("{name}: {error} (cargo build --examples)"));
    assert!(run.status.success(), "{name}: {}: {}", run.status, String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("text")
}

const PRIMES: &str = " 14683 primes below 160000
 13010 primes below 140000
 11301 primes below 120000
  9592 primes below 100000
  7837 primes below 80000
  6057 primes below 60000
  4203 primes below 40000
  2262 primes below 20000
";

#[test]
fn start_and_join() {
    let said = lesson("threads-01");
    let (before, after) = said.split_once("one after the other: ").expect("the time");
    assert_eq!(before, PRIMES);
    for line in PRIMES.lines() {
        assert_eq!(after.matches(&format!("{line}\n")).count(), 1, "{said}");
    }
    assert!(after.lines().last().expect("the time").starts_with("at the same time: "), "{said}");
}

#[test]
fn results() {
    assert_eq!(lesson("threads-02"), PRIMES);
}

#[test]
fn failure() {
    let said = "   168 primes below 1000
  1229 primes below 10000
failed: ten thousand: panicked: not a number
  9592 primes below 100000
";
    assert_eq!(lesson("threads-03"), said);
}

#[test]
fn bounded() {
    let said = lesson("threads-04");
    let limits = said.lines().filter(|line| line.ends_with(" waiting")).count();
    assert_eq!(limits, 11, "{said}");
    assert!(said.ends_with("\n110000 has enough\n"), "{said}");
}

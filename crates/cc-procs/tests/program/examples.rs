//! The lessons, run as a reader runs them. Each asserts its own result; this is what it must have said, and that it
//! leaves no process behind.

use std::{
    env, fs,
    io::{Read, Seek},
    path::Path,
    process::{self, Command},
};

/// What a lesson prints. Cargo builds the lessons before the tests, but not for `--test program` alone.
fn lesson(name: &str) -> String {
    let test = env::current_exe().expect("this program");
    let built = test.parent().and_then(Path::parent).expect("two folders up");
    // Not a pipe: a worker that is left behind would hold it open, and this test would wait.
    let mut output = tempfile::tempfile().expect("a file");
    let mark = format!("{name} of {}", process::id());
    let mut run = Command::new(built.join("examples").join(name));
    run.env("CC_LESSON", &mark).stdout(output.try_clone().expect("a second handle"));
    let end = run.status().unwrap_or_else(|error| panic!("{name}: {error} (cargo build --examples)"));
    assert_eq!(inheritors(&mark), 0, "{name} has left processes behind");
    assert!(end.success(), "{name}: {end}");
    output.rewind().expect("a file");
    let mut said = String::new();
    output.read_to_string(&mut said).expect("text");
    said
}

/// How many processes have this mark in their environment.
fn inheritors(mark: &str) -> usize {
    let mark = format!("CC_LESSON={mark}");
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let environments = processes.filter_map(|process| fs::read(process.path().join("environ")).ok());
    environments.filter(|all| all.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())).count()
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
    let said = lesson("procs-01");
    let (before, after) = said.split_once("one after the other: ").expect("the time");
    assert_eq!(before, PRIMES);
    for line in PRIMES.lines() {
        assert_eq!(after.matches(&format!("{line}\n")).count(), 1, "{said}");
    }
    assert!(after.lines().last().expect("the time").starts_with("at the same time: "), "{said}");
}

#[test]
fn results() {
    assert_eq!(lesson("procs-02"), PRIMES);
}

#[test]
fn failure() {
    let said = "   168 primes below 1000
  1229 primes below 10000
failed: ten thousand: killed its worker three times
  9592 primes below 100000
";
    assert_eq!(lesson("procs-03"), said);
}

#[test]
fn bounded() {
    let said = "  1229 primes below 10000, 3 in flight
  2262 primes below 20000, 3 in flight
  3245 primes below 30000, 3 in flight
  4203 primes below 40000, 3 in flight
  5133 primes below 50000, 3 in flight
  6057 primes below 60000, 3 in flight
  6935 primes below 70000, 3 in flight
  7837 primes below 80000, 3 in flight
  8713 primes below 90000, 3 in flight
  9592 primes below 100000, 3 in flight
 10453 primes below 110000, 3 in flight
110000 has enough
";
    assert_eq!(lesson("procs-04"), said);
}

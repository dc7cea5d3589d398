//! Runs the lessons as a reader does. Each lesson asserts its own result. The tests check what it
//! prints, and that no process outlives it.
//!
//! Each model's tests include this file as `lessons`, and call [`tests`] with the model and the
//! text that its third lesson prints for a task that fails. The output of the fourth lesson differs
//! between models, so each model has its own test of it.

use std::{
    env, fs,
    io::{Read, Seek},
    path::Path,
    process::{self, Command},
};

/// Makes a test of each lesson whose output is the same in every model.
macro_rules! tests {
    ($model:expr, $failure:expr) => {
        #[test]
        fn start_and_join() {
            $crate::lessons::start_and_join($model);
        }

        #[test]
        fn results() {
            $crate::lessons::results($model);
        }

        #[test]
        fn failure() {
            $crate::lessons::failure($model, $failure);
        }
    };
}
pub(crate) use tests;

/// Runs a lesson and returns what it prints. Cargo builds the lessons before the tests, but not for
/// `--test program` alone.
pub(crate) fn lesson(model: &str, number: u32) -> String {
    let name = format!("{model}-{number:02}");
    let test = env::current_exe().expect("this program");
    let built = test.parent().and_then(Path::parent).expect("two directories up");
    // A file and not a pipe: a worker that outlives the lesson would hold a pipe open, and this
    // test would hang.
    let mut output = tempfile::tempfile().expect("a file");
    let mark = format!("{name} of {}", process::id());
    let mut run = Command::new(built.join("examples").join(&name));
    run.env("CC_LESSON", &mark).stdout(output.try_clone().expect("a second handle"));
    let end = run.status().unwrap_or_else(|error| panic!("{name}: {error} (cargo build --examples)"));
    assert_eq!(count_marked(&mark), 0, "{name}: worker processes outlive it");
    assert!(end.success(), "{name}: {end}");
    output.rewind().expect("a file");
    let mut printed = String::new();
    output.read_to_string(&mut printed).expect("text");
    printed
}

/// The number of processes that have this mark in their environment.
fn count_marked(mark: &str) -> usize {
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

pub(crate) fn start_and_join(model: &str) {
    let printed = lesson(model, 1);
    let (before, after) = printed.split_once("one after the other: ").expect("the time");
    assert_eq!(before, PRIMES);
    for line in PRIMES.lines() {
        assert_eq!(after.matches(&format!("{line}\n")).count(), 1, "{printed}");
    }
    assert!(after.lines().last().expect("the time").starts_with("at the same time: "), "{printed}");
}

pub(crate) fn results(model: &str) {
    assert_eq!(lesson(model, 2), PRIMES);
}

pub(crate) fn failure(model: &str, why: &str) {
    let printed = format!(
        "   168 primes below 1000
  1229 primes below 10000
failed: ten thousand: {why}
  9592 primes below 100000
"
    );
    assert_eq!(lesson(model, 3), printed);
}

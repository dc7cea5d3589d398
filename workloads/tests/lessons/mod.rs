//! The lessons, run as a reader runs them. Each asserts its own result; this is what it must have
//! said, and that it leaves no process behind.
//!
//! Each model's tests include this file as `lessons`, and call [`tests`] with the model and with
//! what its third lesson says of a task that fails. What the fourth prints is particular to each.

use std::{
    env, fs,
    io::{Read, Seek},
    path::Path,
    process::{self, Command},
};

/// Makes a test of each of the lessons that are the same in every model.
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

/// What a lesson prints. Cargo builds the lessons before the tests, but not for `--test program`
/// alone.
pub(crate) fn lesson(model: &str, number: u32) -> String {
    let name = format!("{model}-{number:02}");
    let test = env::current_exe().expect("this program");
    let built = test.parent().and_then(Path::parent).expect("two folders up");
    // Not a pipe: a worker that is left behind would hold it open, and this test would wait.
    let mut output = tempfile::tempfile().expect("a file");
    let mark = format!("{name} of {}", process::id());
    let mut run = Command::new(built.join("examples").join(&name));
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

pub(crate) fn start_and_join(model: &str) {
    let said = lesson(model, 1);
    let (before, after) = said.split_once("one after the other: ").expect("the time");
    assert_eq!(before, PRIMES);
    for line in PRIMES.lines() {
        assert_eq!(after.matches(&format!("{line}\n")).count(), 1, "{said}");
    }
    assert!(after.lines().last().expect("the time").starts_with("at the same time: "), "{said}");
}

pub(crate) fn results(model: &str) {
    assert_eq!(lesson(model, 2), PRIMES);
}

pub(crate) fn failure(model: &str, why: &str) {
    let said = format!(
        "   168 primes below 1000
  1229 primes below 10000
failed: ten thousand: {why}
  9592 primes below 100000
"
    );
    assert_eq!(lesson(model, 3), said);
}

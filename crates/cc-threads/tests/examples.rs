//! The lessons, run as a reader runs them. Each asserts its own result; this is what it must have said.

use std::{env, path::Path, process::Command};

/// What a lesson prints. It was built with the tests, unless these were picked with `--test`.
fn lesson(name: &str) -> String {
    let test = env::current_exe().expect("this program");
    let built = test.parent().and_then(Path::parent).expect("two folders up");
    let run = Command::new(built.join("examples").join(name)).output();
    let run = run.unwrap_or_else(|error| panic!("{name}: {error} (cargo build --examples)"));
    assert!(run.status.success(), "{name}: {}: {}", run.status, String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("text")
}

const PRIMES: &str = " 17984 primes below 200000
 13848 primes below 150000
  9592 primes below 100000
  5133 primes below 50000
";

#[test]
fn start_and_join() {
    let said = lesson("01_start_and_join");
    let (before, after) = said.split_once("one after the other: ").expect("the time");
    assert_eq!(before, PRIMES);
    for line in PRIMES.lines() {
        assert_eq!(after.matches(line).count(), 1, "{said}");
    }
    assert!(after.lines().last().expect("the time").starts_with("at the same time: "), "{said}");
}

#[test]
fn results() {
    assert_eq!(lesson("02_results"), PRIMES);
}

#[test]
fn failure() {
    let said = "   168 primes below 1000
  1229 primes below 10000
failed: ten thousand: panicked: not a number
  9592 primes below 100000
";
    assert_eq!(lesson("03_failure"), said);
}

#[test]
fn bounded() {
    let said = lesson("04_bounded");
    assert_eq!(said.lines().count(), 12, "{said}");
    assert!(
        said.contains("\n 10453 primes below 110000, ") && said.contains("\n110000 has enough; at most ")
    );
}

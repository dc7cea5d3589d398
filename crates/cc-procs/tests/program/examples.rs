//! The lessons, and the output of those that are this model's own.

use crate::lessons::{self, lesson};

lessons::tests!("procs", "killed its worker three times");

#[test]
fn bounded() {
    let expected = "  1229 primes below 10000, 3 in flight
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
    assert_eq!(lesson("procs", 4), expected);
}

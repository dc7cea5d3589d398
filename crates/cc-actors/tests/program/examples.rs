//! The lessons, with what this model's say.

use crate::lessons::{self, lesson};

lessons::tests!("actors", "panicked: not a number");

#[test]
fn bounded() {
    let said = "  1229 primes below 10000, 1 under way
  2262 primes below 20000, 2 under way
  3245 primes below 30000, 3 under way
  4203 primes below 40000, 3 under way
  5133 primes below 50000, 3 under way
  6057 primes below 60000, 3 under way
  6935 primes below 70000, 3 under way
  7837 primes below 80000, 3 under way
  8713 primes below 90000, 3 under way
  9592 primes below 100000, 3 under way
 10453 primes below 110000, 3 under way
110000 has enough
";
    assert_eq!(lesson("actors", 4), said);
}

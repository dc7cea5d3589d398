//! The lessons: their output in this model.

use crate::lessons::{self, lesson};

lessons::tests!("distributed", "3 workers were lost while they ran only this task");

#[test]
fn bounded() {
    let expected = "  1229 primes below 10000, 3 results held
  2262 primes below 20000, 3 results held
  3245 primes below 30000, 3 results held
  4203 primes below 40000, 3 results held
  5133 primes below 50000, 3 results held
  6057 primes below 60000, 3 results held
  6935 primes below 70000, 3 results held
  7837 primes below 80000, 3 results held
  8713 primes below 90000, 3 results held
  9592 primes below 100000, 3 results held
 10453 primes below 110000, 3 results held
110000 has enough
";
    assert_eq!(lesson("distributed", 4), expected);
}

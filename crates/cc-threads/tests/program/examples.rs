//! The lessons, with what this model's say.

use crate::lessons::{self, lesson};

lessons::tests!("threads", "panicked: not a number");

#[test]
fn bounded() {
    let said = lesson("threads", 4);
    let limits = said.lines().filter(|line| line.ends_with(" waiting")).count();
    assert_eq!(limits, 11, "{said}");
    assert!(said.ends_with("\n110000 has enough\n"), "{said}");
}

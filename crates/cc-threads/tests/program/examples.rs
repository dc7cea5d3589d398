//! The lessons, and the output of those that are this model's own.

use crate::lessons::{self, lesson};

lessons::tests!("threads", "panicked: not a number");

#[test]
fn bounded() {
    let output = lesson("threads", 4);
    let limits = output.lines().filter(|line| line.ends_with(" waiting")).count();
    assert_eq!(limits, 11, "{output}");
    assert!(output.ends_with("\n110000 has enough\n"), "{output}");
}

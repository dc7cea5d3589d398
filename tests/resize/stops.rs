//! A stop in the middle of an image: work ends, what is in the folder is whole, and nothing is left
//! behind.

use super::{
    corpus,
    observe::{Asked, Observed},
};
use cc_conformance::{case::Case, fault::Action, stops::stopped_in, subject::Subject, trap::Trap};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("stop_midway", stop_midway)]
}

/// A stop requested in the middle of an image, between decoding and encoding.
fn stop_midway(subject: &Subject) {
    let trap = Trap::halting("trap");
    let asked = Asked::of("medium").into("out");
    let whole = Observed::reference(&asked);
    let ambushed = asked.with(trap.fault("medium/008.jpg", 1, Action::Block, 1));
    let ctx = subject.ctx_with_window(2, 4);
    let observed = stopped_in(&trap, &ctx, |_| (), |ctx| Observed::of(subject, &ambushed, ctx));
    let done = observed.outputs.len();
    assert!(done < corpus::MEDIUM, "nothing was left out");
    assert_eq!(observed.folder.len(), done);
    observed.assert_part_of(&whole);
    assert_eq!(observed.said(), "");
}

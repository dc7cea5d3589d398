//! A stop in the middle of an image: the work ends, the files in the output folder are complete,
//! and nothing else is left.

use super::{
    corpus,
    run_result::{Invocation, RunResult},
};
use cc_conformance::{case::Case, failpoint::Failpoint, fault::Action, stops::stopped_in, subject::Subject};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("stop_midway", stop_midway)]
}

/// A stop is requested in the middle of an image, between decoding and encoding.
fn stop_midway(subject: &Subject) {
    let failpoint = Failpoint::halting("failpoint");
    let invocation = Invocation::of("medium").into("out");
    let whole = RunResult::reference(&invocation);
    let faulty = invocation.with(failpoint.fault("medium/008.jpg", 1, Action::Block, 1));
    let ctx = subject.ctx_with_window(2, 4);
    let run_result = stopped_in(&failpoint, &ctx, |_| (), |ctx| RunResult::of(subject, &faulty, ctx));
    let done = run_result.outputs.len();
    assert!(done < corpus::MEDIUM, "nothing was left out");
    assert_eq!(run_result.folder.len(), done);
    run_result.assert_part_of(&whole);
    assert_eq!(run_result.said(), "");
}

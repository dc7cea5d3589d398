//! A stop in the middle of a tile: the work ends, what was pushed is right, and nothing is left.

use cc_conformance::{case::Case, failpoint::Failpoint, fault::Action, stops::stopped_in, subject::Subject};
use cc_workloads::mandelbrot::{Region, View};

use super::run_result::{Invocation, RunResult, tiled, tiles, view};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("stop_midway", stop_midway)]
}

/// A picture of many tiles. Each takes milliseconds, and is so large that a task has only one.
pub(super) fn long() -> View {
    let region = Region { x0: -0.1, y0: -0.1, x1: 0.1, y1: 0.1 };
    tiled(View { region, max_iter: 200, ..view(1024, 512) }, 64, 128)
}

/// A stop is requested while a tile is being computed.
fn stop_midway(subject: &Subject) {
    let failpoint = Failpoint::halting("failpoint");
    let (view, invocation) =
        (long(), Invocation::from(&long()).with(failpoint.fault("tile 5", 0, Action::Block, 1)));
    let run_result = stopped_in(
        &failpoint,
        &subject.ctx_with_window(2, 4),
        |_| (),
        |ctx| RunResult::of(subject, &invocation, ctx),
    );
    let (done, all) = (run_result.done.len() as u64, tiles(&view));
    assert!(done < all / 2, "{done} of {all} tiles were done");
    run_result.assert_part_of(&RunResult::reference(&view), &view);
    assert_eq!(run_result.messages, "");
}

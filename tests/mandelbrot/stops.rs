//! A stop in the middle of a tile: work ends, what came is right, and nothing is left behind.

use cc_conformance::{case::Case, fault::Action, stops::stopped_in, subject::Subject, trap::Trap};
use cc_workloads::mandelbrot::{Region, View};

use super::observe::{Asked, Observed, tiled, tiles, view};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("stop_midway", stop_midway)]
}

/// Many tiles, each of which takes milliseconds, and too large for several to be a task.
pub(super) fn long() -> View {
    let region = Region { x0: -0.1, y0: -0.1, x1: 0.1, y1: 0.1 };
    tiled(View { region, max_iter: 200, ..view(1024, 512) }, 64, 128)
}

/// A stop requested while a tile is being done.
fn stop_midway(subject: &Subject) {
    let trap = Trap::halting("trap");
    let (view, asked) = (long(), Asked::from(&long()).with(trap.fault("tile 5", 0, Action::Block, 1)));
    let observed =
        stopped_in(&trap, &subject.ctx_with_window(2, 4), |_| (), |ctx| Observed::of(subject, &asked, ctx));
    let (done, all) = (observed.done.len() as u64, tiles(&view));
    assert!(done < all / 2, "{done} of {all} tiles were done");
    observed.assert_part_of(&Observed::reference(&view), &view);
    assert_eq!(observed.messages, "");
}

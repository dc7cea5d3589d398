//! Early ends: nothing more is wanted, or somebody asks for a stop. Work ends, what came is right, and nothing is
//! left behind.

use std::time::Instant;

use cc_conformance::{
    case::Case,
    fault::Action,
    stops::{prompt, pushes_once_it_has_asked, stopped_in, stopped_in_a_jam},
    subject::Subject,
    trap::Trap,
};
use cc_workloads::{
    Cause,
    mandelbrot::{Job, Region, View},
};

use super::{
    Mandelbrot,
    observe::{Asked, Observed, tiled, tiles, view},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("stop_midway", stop_midway),
        Case::new("stop_before_the_start", stop_before_the_start),
        Case::new("stop_while_the_sink_stalls", stop_while_the_sink_stalls),
        Case::new("stop_by_its_own_sink", stop_by_its_own_sink),
        Case::new("break_after_some", break_after_some),
        Case::new("break_ends_the_work", break_ends_the_work),
    ]
}

/// Many tiles, each of which takes milliseconds, and too large for several to be a task.
fn long() -> View {
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

fn stop_before_the_start(subject: &Subject) {
    let ctx = subject.ctx(2);
    ctx.stop.request(Cause::Test);
    let since = Instant::now();
    let observed = Observed::of(subject, &long(), &ctx);
    assert_eq!(observed.pushes, 0, "something was done");
    prompt(since.elapsed());
}

/// A stop requested while nobody takes the outputs, and every queue is full.
fn stop_while_the_sink_stalls(subject: &Subject) {
    let job = Job::new(tiled(view(120, 100), 1, 1));
    let ctx = subject.ctx(2);
    stopped_in_a_jam(&ctx, |sink| subject.run::<Mandelbrot>(&job, &ctx, sink));
}

/// A stop requested from within the push, which goes on wanting more.
fn stop_by_its_own_sink(subject: &Subject) {
    let (job, ctx) = (Job::new(view(300, 200)), subject.ctx(2));
    let pushes = pushes_once_it_has_asked(&ctx, |sink| subject.run::<Mandelbrot>(&job, &ctx, sink));
    assert_eq!(pushes, 1, "pushed after the request");
}

/// A sink that has enough after so many outputs is given no more, and what it has is right.
fn break_after_some(subject: &Subject) {
    let view = tiled(view(64, 48), 1, 1);
    let whole = Observed::reference(&view);
    for most in [1, 2, 7, 40] {
        let ctx = subject.ctx(2);
        let observed = Observed::until(subject, &view, &ctx, Some(most));
        observed.assert_part_of(&whole, &view);
        if observed.pushes < most {
            // Tasks of so many tiles that there are fewer of them.
            observed.assert_same(&whole, &view);
        } else {
            assert_eq!(ctx.stop.cause(), Some(Cause::Break), "the run was not asked to stop");
        }
    }
}

/// After a Break, no more tiles are begun.
fn break_ends_the_work(subject: &Subject) {
    let (view, notes) = (long(), Trap::new("notes"));
    let noted = Asked::from(&view).with(notes.fault("", 0, Action::Note, 1000));
    let observed = Observed::until(subject, &noted, &subject.ctx_with_window(2, 4), Some(3));
    assert_eq!(observed.pushes, 3);
    let (begun, all) = (notes.strikes() as u64, tiles(&view));
    assert!(begun >= 3 && begun < all / 2, "{begun} of {all} tiles were begun");
}

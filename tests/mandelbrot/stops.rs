//! Early ends: nothing more is wanted, or somebody asks for a stop. Work ends, what came is right, and nothing is
//! left behind.

use std::{
    ops::ControlFlow,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::Instant,
};

use cc_conformance::{
    case::Case,
    stops::{prompt, stopped_in},
    subject::Subject,
    trap::Trap,
    tree,
};
use cc_workloads::{
    Cause, Sink, Stop,
    fault::Action,
    mandelbrot::{Job, Output, Region, View},
};

use super::{
    Mandelbrot,
    observe::{Observed, tiled, tiles, view, with},
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
    let view = with(long(), trap.fault("tile 5", 0, Action::Block, 1));
    let observed =
        stopped_in(&trap, &subject.ctx_with_window(2, 4), |_| (), |ctx| Observed::of(subject, &view, ctx));
    let (done, all) = (observed.done.len() as u64, tiles(&view));
    assert!(done < all / 2, "{done} of {all} tiles were done");
    observed.assert_part_of(&Observed::reference(&long()), &view);
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

/// Takes an output, tells that it has, and returns when a stop is requested.
struct Stalled {
    stop: Stop,
    told: SyncSender<()>,
}

impl Sink<Output> for Stalled {
    fn push(&mut self, _: Output) -> ControlFlow<()> {
        let (wake, woken) = sync_channel(1);
        let _on_stop = self.stop.on_request(move || {
            let _ = wake.send(());
        });
        self.told.send(()).expect("the test listens");
        woken.recv().expect("the hook is kept");
        ControlFlow::Break(())
    }
}

/// A stop requested while nobody takes the outputs, and every queue is full.
fn stop_while_the_sink_stalls(subject: &Subject) {
    let job = Job::new(tiled(view(120, 100), 1, 1));
    let ctx = subject.ctx(2);
    let (told, stalls) = sync_channel(1);
    let mut sink = Stalled { stop: ctx.stop.clone(), told };
    let stop = ctx.stop.clone();
    let stopper = thread::spawn(move || {
        stalls.recv().expect("there is an output");
        tree::wait_until_quiet();
        let since = Instant::now();
        stop.request(Cause::Test);
        since
    });
    subject.run::<Mandelbrot>(&job, &ctx, &mut sink);
    let ended = Instant::now();
    prompt(ended - stopper.join().expect("the stopper does not panic"));
}

/// A stop requested from within the push, which goes on wanting more.
fn stop_by_its_own_sink(subject: &Subject) {
    struct Asks(Stop, usize);
    impl Sink<Output> for Asks {
        fn push(&mut self, _: Output) -> ControlFlow<()> {
            self.1 += 1;
            self.0.request(Cause::Test);
            ControlFlow::Continue(())
        }
    }
    let ctx = subject.ctx(2);
    let mut asks = Asks(ctx.stop.clone(), 0);
    subject.run::<Mandelbrot>(&Job::new(view(300, 200)), &ctx, &mut asks);
    assert_eq!(asks.1, 1, "pushed after the request");
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
    let noted = with(view.clone(), notes.fault("", 0, Action::Note, 1000));
    let observed = Observed::until(subject, &noted, &subject.ctx_with_window(2, 4), Some(3));
    assert_eq!(observed.pushes, 3);
    let (begun, all) = (notes.strikes() as u64, tiles(&view));
    assert!(begun >= 3 && begun < all / 2, "{begun} of {all} tiles were begun");
}

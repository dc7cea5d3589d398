//! Early ends: nothing more is wanted, or somebody asks for a stop. Work ends, what is in the folder is whole, and
//! nothing is left behind.

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
    resize::{Job, Output, Settings},
};

use super::{
    Resize, corpus,
    observe::{Asked, Observed},
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

fn stop_before_the_start(subject: &Subject) {
    let ctx = subject.ctx(2);
    ctx.stop.request(Cause::Test);
    let since = Instant::now();
    let observed = Observed::of(subject, &Asked::of("medium").into("out"), &ctx);
    assert_eq!(observed.outputs, [], "something was done");
    prompt(since.elapsed());
}

fn medium() -> Job {
    let settings = Settings { width: 24, ..Settings::default() };
    Job { settings, sources: vec![corpus::path("medium")], recursive: true, out: None, skip_existing: false }
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
    let ctx = subject.ctx_with_window(2, 4);
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
    subject.run::<Resize>(&medium(), &ctx, &mut sink);
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
    subject.run::<Resize>(&medium(), &ctx, &mut asks);
    assert_eq!(asks.1, 1, "pushed after the request");
}

/// A sink that has enough after so many outputs is given no more, and what it has is right.
fn break_after_some(subject: &Subject) {
    let whole = Observed::reference(&Asked::of("tiny"));
    for most in [1, 2, 7, 40] {
        let ctx = subject.ctx(2);
        let observed = Observed::until(subject, &Asked::of("tiny"), &ctx, Some(most), &mut |_| ());
        assert_eq!(observed.outputs.len(), most);
        observed.assert_part_of(&whole);
        assert_eq!(ctx.stop.cause(), Some(Cause::Break), "the run was not asked to stop");
    }
}

/// After a Break, no more images are begun.
fn break_ends_the_work(subject: &Subject) {
    let notes = Trap::new("notes");
    // At the second of an image's two places; it is begun once.
    let noted = Asked::of("medium").with(notes.fault(".jpg", 1, Action::Note, 1000));
    let observed = Observed::until(subject, &noted, &subject.ctx_with_window(2, 4), Some(3), &mut |_| ());
    assert_eq!(observed.outputs.len(), 3);
    let begun = notes.strikes();
    assert!((3..corpus::MEDIUM / 2).contains(&begun), "{begun} of {} images were begun", corpus::MEDIUM);
}

//! Early ends: nothing more is wanted, or somebody asks for a stop. Work ends, what is in the folder is whole, and
//! nothing is left behind.

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
    resize::{Job, Settings},
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

/// A stop requested while nobody takes the outputs, and every queue is full.
fn stop_while_the_sink_stalls(subject: &Subject) {
    let ctx = subject.ctx_with_window(2, 4);
    stopped_in_a_jam(&ctx, |sink| subject.run::<Resize>(&medium(), &ctx, sink));
}

/// A stop requested from within the push, which goes on wanting more.
fn stop_by_its_own_sink(subject: &Subject) {
    let ctx = subject.ctx(2);
    let pushes = pushes_once_it_has_asked(&ctx, |sink| subject.run::<Resize>(&medium(), &ctx, sink));
    assert_eq!(pushes, 1, "pushed after the request");
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

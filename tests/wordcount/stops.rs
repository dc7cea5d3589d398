//! Early ends: nothing more is wanted, or somebody asks for a stop. Work ends, and nothing is left behind.

use std::{io::PipeWriter, sync::mpsc::sync_channel, time::Instant};

use cc_conformance::{
    case::Case,
    fault::Action,
    stdin::Stdin,
    stops::{prompt, pushes_once_it_has_asked, stopped_in, stopped_in_a_jam, stopped_in_silence},
    subject::Subject,
    trap::Trap,
};
use cc_workloads::{Cause, wordcount::Output};

use super::{
    Wordcount, corpus,
    observe::{Asked, Observed},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("stop_while_counting", stop_while_counting),
        Case::new("stop_while_ranking", stop_while_ranking),
        Case::new("stop_before_the_start", stop_before_the_start),
        Case::new("stop_while_stdin_is_silent", stop_while_stdin_is_silent),
        Case::new("stop_while_the_sink_stalls", stop_while_the_sink_stalls),
        Case::new("stop_by_its_own_sink", stop_by_its_own_sink),
        Case::new("break_after_some", break_after_some),
        Case::new("break_ends_the_work", break_ends_the_work),
    ]
}

/// A stop requested in the middle of the text.
fn stop_while_counting(subject: &Subject) {
    let trap = Trap::halting("trap");
    let ambushed = Asked::of("large").with(trap.fault(corpus::LARGEST, corpus::PLACES[1], Action::Block, 1));
    let mut ranked = 0;
    let mut watch = |output: &Output| ranked += usize::from(matches!(output, Output::Ranked(_)));
    stopped_in(
        &trap,
        &subject.ctx(2),
        |_| (),
        |ctx| {
            Observed::until(subject, &ambushed, ctx, None, &mut watch);
        },
    );
    assert_eq!(ranked, 0, "ranked without all of the text");
}

/// A stop requested when everything is counted.
fn stop_while_ranking(subject: &Subject) {
    let trap = Trap::halting("trap");
    let ambushed = Asked::of("large").with(trap.fault("partition", 3, Action::Block, 1));
    let whole = Observed::reference(&Asked::of("large"));
    let observed = stopped_in(&trap, &subject.ctx(2), |_| (), |ctx| Observed::of(subject, &ambushed, ctx));
    assert_eq!(observed.said, [""; 0]);
    assert!(observed.totals.distinct < whole.totals.distinct, "nothing was left out");
}

fn stop_before_the_start(subject: &Subject) {
    let ctx = subject.ctx(2);
    ctx.stop.request(Cause::Test);
    let since = Instant::now();
    let observed = Observed::of(subject, &Asked::of("large"), &ctx);
    assert_eq!((observed.pushes, &*observed.out), (0, ""), "something was done");
    prompt(since.elapsed());
}

/// A stop requested while the walk waits for standard input, whose writer says nothing and stays.
fn stop_while_stdin_is_silent(subject: &Subject) {
    let ctx = subject.ctx(2);
    let (done, stopped) = sync_channel::<()>(0);
    let stdin = Stdin::from(move |writer: PipeWriter| {
        let _ = stopped.recv(); // until the run has ended
        drop(writer);
    });
    let asked = Asked::new().at(corpus::path("odd/one-word")).at("-");
    stopped_in_silence(&ctx, |told| {
        // A model may read ahead before it says anything: whoever asks waits until all are waiting.
        told.send(()).expect("the test listens");
        Observed::of(subject, &asked, &ctx)
    });
    drop(done);
    drop(stdin);
}

/// A stop requested while nobody takes the outputs, and every queue is full.
fn stop_while_the_sink_stalls(subject: &Subject) {
    let ctx = subject.ctx(2);
    stopped_in_a_jam(&ctx, |sink| subject.run::<Wordcount>(&Asked::of("large").job(), &ctx, sink));
}

/// A stop requested from within the push, which goes on wanting more.
fn stop_by_its_own_sink(subject: &Subject) {
    let ctx = subject.ctx(2);
    let pushes = pushes_once_it_has_asked(&ctx, |sink| {
        subject.run::<Wordcount>(&Asked::of("large").job(), &ctx, sink);
    });
    assert_eq!(pushes, 1, "pushed after the request");
}

/// A sink that has enough after so many outputs is given no more, be it tasks or partitions.
fn break_after_some(subject: &Subject) {
    for (part, most) in [("large", 1), ("large", 3), ("small", 2), ("small", 5)] {
        let ctx = subject.ctx(2);
        let observed = Observed::until(subject, &Asked::of(part), &ctx, Some(most), &mut |_| ());
        assert_eq!(observed.pushes, most);
        assert_eq!(ctx.stop.cause(), Some(Cause::Break), "the run was not asked to stop");
    }
}

/// After a Break, no more of the text is counted.
fn break_ends_the_work(subject: &Subject) {
    let notes = Trap::new("notes");
    let noted = Asked::of("large").at(corpus::path("large")).at(corpus::path("large"));
    let noted = noted.with(notes.fault(".txt", 0, Action::Note, 1000));
    let all = 3 * (corpus::LARGE.0 + 3);
    let observed = Observed::until(subject, &noted, &subject.ctx_with_window(2, 4), Some(1), &mut |_| ());
    assert_eq!(observed.pushes, 1);
    let begun = notes.strikes();
    assert!((1..all * 3 / 4).contains(&begun), "{begun} of {all} pieces were begun");
}

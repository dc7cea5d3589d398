//! Early ends that are particular to `wordcount`: in each phase, and while an input is silent.

use std::{io::PipeWriter, sync::mpsc::sync_channel};

use cc_conformance::{
    case::Case,
    fault::Action,
    stdin::Stdin,
    stops::{stopped_in, stopped_in_silence},
    subject::Subject,
    trap::Trap,
};
use cc_workloads::wordcount::Output;

use super::{
    corpus,
    observe::{Asked, Observed},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("stop_while_counting", stop_while_counting),
        Case::new("stop_while_ranking", stop_while_ranking),
        Case::new("stop_while_stdin_is_silent", stop_while_stdin_is_silent),
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

//! Early ends that are particular to `wordcount`: in each phase, and while an input is silent.

use std::{io::PipeWriter, sync::mpsc::sync_channel};

use cc_conformance::{
    case::Case,
    failpoint::Failpoint,
    fault::Action,
    stdin::Stdin,
    stops::{stopped_in, stopped_in_silence},
    subject::Subject,
};
use cc_workloads::wordcount::Output;

use super::{
    corpus,
    run_result::{Invocation, RunResult},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("stop_while_counting", stop_while_counting),
        Case::new("stop_while_ranking", stop_while_ranking),
        Case::new("stop_while_stdin_is_silent", stop_while_stdin_is_silent),
    ]
}

/// A stop is requested in the middle of the text.
fn stop_while_counting(subject: &Subject) {
    let failpoint = Failpoint::halting("failpoint");
    let faulty =
        Invocation::of("large").with(failpoint.fault(corpus::LARGEST, corpus::PLACES[1], Action::Block, 1));
    let mut ranked = 0;
    let mut watch = |output: &Output| ranked += usize::from(matches!(output, Output::Ranked(_)));
    stopped_in(
        &failpoint,
        &subject.ctx(2),
        |_| (),
        |ctx| {
            RunResult::until(subject, &faulty, ctx, None, &mut watch);
        },
    );
    assert_eq!(ranked, 0, "ranked without all of the text");
}

/// A stop is requested when all words have been counted.
fn stop_while_ranking(subject: &Subject) {
    let failpoint = Failpoint::halting("failpoint");
    let faulty = Invocation::of("large").with(failpoint.fault("partition", 3, Action::Block, 1));
    let whole = RunResult::reference(&Invocation::of("large"));
    let run_result =
        stopped_in(&failpoint, &subject.ctx(2), |_| (), |ctx| RunResult::of(subject, &faulty, ctx));
    assert_eq!(run_result.said, [""; 0]);
    assert!(run_result.totals.distinct < whole.totals.distinct, "nothing was left out");
}

/// A stop is requested while the source waits for standard input, whose writer writes nothing and
/// keeps the pipe open.
fn stop_while_stdin_is_silent(subject: &Subject) {
    let ctx = subject.ctx(2);
    let (done, stopped) = sync_channel::<()>(0);
    let stdin = Stdin::from(move |writer: PipeWriter| {
        let _ = stopped.recv(); // until the run has ended
        drop(writer);
    });
    let invocation = Invocation::new().at(corpus::path("odd/one-word")).at("-");
    stopped_in_silence(&ctx, |output_tx| {
        // A model may read ahead before its first push. So the message is sent now, and the stop
        // comes once all threads wait.
        output_tx.send(()).expect("the test listens");
        RunResult::of(subject, &invocation, &ctx)
    });
    drop(done);
    drop(stdin);
}

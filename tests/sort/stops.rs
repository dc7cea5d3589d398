//! Early ends that are particular to `sort`: in each phase, and while an input is silent.

use std::{
    fs,
    io::{PipeWriter, Write},
    ops::ControlFlow,
    sync::mpsc::sync_channel,
};

use cc_conformance::{
    case::Case,
    failpoint::Failpoint,
    fault::Action,
    stdin::Stdin,
    stops::{stopped_in, stopped_in_a_jam, stopped_in_silence},
    subject::Subject,
};
use cc_workloads::{Sink, sort::Output};

use super::{Sort, corpus, files::LATE_MERGE, invocation::Invocation, run_result::RunResult};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("stop_while_sorting", |subject| stop_at(subject, "large/a", 1 << 20)),
        Case::new("stop_while_a_run_is_written", |subject| stop_at(subject, "run", 3)),
        Case::new("stop_in_a_pass", |subject| stop_at(subject, "merge", 2)),
        Case::new("stop_while_merging", |subject| stop_at(subject, "merge", LATE_MERGE)),
        Case::new("stop_while_stdin_is_silent", stop_while_stdin_is_silent),
        Case::new("stop_while_the_sink_takes_no_lines", stop_while_the_sink_takes_no_lines),
    ]
}

/// A stop is requested when a worker is at this place. The output is unchanged, and there are no
/// other files.
fn stop_at(subject: &Subject, place: &str, from: u64) {
    fs::write("out", "as it was").expect("it can be written");
    let failpoint = Failpoint::halting("failpoint");
    let faulty =
        Invocation::of("large", &[]).into("out").with(failpoint.fault(place, from, Action::Block, 1));
    let run_result =
        stopped_in(&failpoint, &subject.ctx(2), |_| (), |ctx| RunResult::of(subject, &faulty, ctx));
    let whole = corpus::expected("large", "plain").totals;
    let (read, sorted) = (run_result.totals.lines, run_result.totals.sorted);
    run_result.assert_stopped();
    if place == "merge" {
        assert_eq!(read, whole.lines, "merged before everything was sorted");
        assert!(sorted < whole.sorted, "nothing was left out");
        assert!(from == LATE_MERGE || sorted == 0 || !subject.facts.merges_in_passes, "a pass is no result");
    } else {
        assert!(read < whole.lines, "nothing was left out");
        assert_eq!(sorted, 0, "merged before everything was sorted");
    }
    assert_eq!(fs::read("out").expect("it was there"), b"as it was");
    assert_eq!(fs::read_dir(".").expect("it can be read").count(), 2, "there are files besides the output");
}

/// A stop is requested while the run waits for standard input, whose writer has written something
/// and keeps the pipe open.
fn stop_while_stdin_is_silent(subject: &Subject) {
    let large = fs::read(corpus::path("large/b")).expect("the corpus is there");
    for text in [vec![], b"half a line".to_vec(), large] {
        let ctx = subject.ctx(2);
        let (done_tx, done_rx) = sync_channel::<()>(0);
        let stdin = Stdin::from(move |mut writer: PipeWriter| {
            writer.write_all(&text).expect("it is read");
            let _ = done_rx.recv(); // until the run has ended
            drop(writer);
        });
        let invocation = Invocation::new(&[]).at(corpus::path("odd/no-newline")).at("-");
        let run_result = stopped_in_silence(&ctx, |output_tx| {
            // A model need not push anything before the end. So the message is sent now, and the
            // stop comes once all threads wait.
            output_tx.send(()).expect("the test listens");
            RunResult::of(subject, &invocation, &ctx)
        });
        assert_eq!(run_result.totals.sorted, 0);
        drop(done_tx);
        drop(stdin);
    }
}

/// A stop is requested while the sink blocks at the first lines of the result.
fn stop_while_the_sink_takes_no_lines(subject: &Subject) {
    struct Lines<'a>(&'a mut dyn Sink<Output>);
    impl Sink<Output> for Lines<'_> {
        fn push(&mut self, output: Output) -> ControlFlow<()> {
            match output {
                Output::Read(_) => ControlFlow::Continue(()),
                other => self.0.push(other),
            }
        }
    }
    for memory in [0, 256 << 20] {
        let ctx = subject.ctx(2);
        let job = Invocation::of("large", &[]).in_memory_of(memory).job();
        stopped_in_a_jam(&ctx, |sink| subject.run::<Sort>(&job, &ctx, &mut Lines(sink)));
    }
}

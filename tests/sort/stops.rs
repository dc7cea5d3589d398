//! Early ends: nothing more is wanted, or somebody asks for a stop. Work ends, and nothing is left behind.

use std::{
    fs,
    io::{PipeWriter, Write},
    ops::ControlFlow,
    sync::mpsc::sync_channel,
    time::Instant,
};

use cc_conformance::{
    case::Case,
    fault::Action,
    stdin::Stdin,
    stops::{prompt, pushes_once_it_has_asked, stopped_in, stopped_in_a_jam, stopped_in_silence},
    subject::Subject,
    trap::Trap,
};
use cc_workloads::{Cause, Sink, sort::Output};

use super::{
    Sort,
    asked::Asked,
    corpus::{self, RUNS},
    files::LATE_MERGE,
    observe::Observed,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("stop_while_sorting", |subject| stop_at(subject, "large/a", 1 << 20)),
        Case::new("stop_while_a_run_is_written", |subject| stop_at(subject, "run", 3)),
        Case::new("stop_in_a_pass", |subject| stop_at(subject, "merge", 2)),
        Case::new("stop_while_merging", |subject| stop_at(subject, "merge", LATE_MERGE)),
        Case::new("stop_before_the_start", stop_before_the_start),
        Case::new("stop_while_stdin_is_silent", stop_while_stdin_is_silent),
        Case::new("stop_while_the_sink_stalls", stop_while_the_sink_stalls),
        Case::new("stop_while_the_sink_takes_no_lines", stop_while_the_sink_takes_no_lines),
        Case::new("stop_by_its_own_sink", stop_by_its_own_sink),
        Case::new("break_after_some", break_after_some),
        Case::new("break_ends_the_work", break_ends_the_work),
    ]
}

/// A stop requested when somebody is here. What was to be replaced is as it was, and nothing is beside it.
fn stop_at(subject: &Subject, place: &str, from: u64) {
    fs::write("out", "as it was").expect("it can be written");
    let trap = Trap::halting("trap");
    let ambushed = Asked::of("large", &[]).into("out").with(trap.fault(place, from, Action::Block, 1));
    let observed = stopped_in(&trap, &subject.ctx(2), |_| (), |ctx| Observed::of(subject, &ambushed, ctx));
    let whole = corpus::expected("large", "plain").totals;
    let (read, sorted) = (observed.totals.lines, observed.totals.sorted);
    observed.assert_stopped();
    if place == "merge" {
        assert_eq!(read, whole.lines, "merged before everything was sorted");
        assert!(sorted < whole.sorted, "nothing was left out");
        assert!(from == LATE_MERGE || sorted == 0 || !subject.facts.merges_in_passes, "a pass is no result");
    } else {
        assert!(read < whole.lines, "nothing was left out");
        assert_eq!(sorted, 0, "merged before everything was sorted");
    }
    assert_eq!(fs::read("out").expect("it was there"), b"as it was");
    assert_eq!(fs::read_dir(".").expect("it can be read").count(), 2, "something is beside the output");
}

fn stop_before_the_start(subject: &Subject) {
    let ctx = subject.ctx(2);
    ctx.stop.request(Cause::Test);
    let since = Instant::now();
    let observed = Observed::of(subject, &Asked::of("large", &[]), &ctx);
    assert_eq!((observed.pushes, &*observed.out), (0, &b""[..]), "something was done");
    prompt(since.elapsed());
}

/// A stop requested while standard input is waited for, whose writer has said something and stays.
fn stop_while_stdin_is_silent(subject: &Subject) {
    let large = fs::read(corpus::path("large/b")).expect("the corpus is there");
    for text in [vec![], b"half a line".to_vec(), large] {
        let ctx = subject.ctx(2);
        let (done, stopped) = sync_channel::<()>(0);
        let stdin = Stdin::from(move |mut writer: PipeWriter| {
            writer.write_all(&text).expect("it is read");
            let _ = stopped.recv(); // until the run has ended
            drop(writer);
        });
        let asked = Asked::new(&[]).at(corpus::path("odd/no-newline")).at("-");
        let observed = stopped_in_silence(&ctx, |told| {
            // A model need not say anything before the end: whoever asks waits until all are waiting.
            told.send(()).expect("the test listens");
            Observed::of(subject, &asked, &ctx)
        });
        assert_eq!(observed.totals.sorted, 0);
        drop(done);
        drop(stdin);
    }
}

/// A stop requested while nobody takes the outputs, and every queue is full.
fn stop_while_the_sink_stalls(subject: &Subject) {
    let ctx = subject.ctx(2);
    stopped_in_a_jam(&ctx, |sink| subject.run::<Sort>(&Asked::of("large", &[]).job(), &ctx, sink));
}

/// The same when the lines come.
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
        let job = Asked::of("large", &[]).in_memory_of(memory).job();
        stopped_in_a_jam(&ctx, |sink| subject.run::<Sort>(&job, &ctx, &mut Lines(sink)));
    }
}

/// A stop requested from within the push, which goes on wanting more.
fn stop_by_its_own_sink(subject: &Subject) {
    let ctx = subject.ctx(2);
    let pushes = pushes_once_it_has_asked(&ctx, |sink| {
        subject.run::<Sort>(&Asked::of("large", &[]).job(), &ctx, sink);
    });
    assert_eq!(pushes, 1, "pushed after the request");
}

/// A sink that has enough after so many outputs is given no more, be it what was read or lines.
fn break_after_some(subject: &Subject) {
    for most in [1, 3, 13, 14, 20] {
        let ctx = subject.ctx(2);
        let observed = Observed::until(subject, &Asked::of("large", &[]), &ctx, Some(most), &mut |_| ());
        assert_eq!(observed.pushes, most);
        assert_eq!(ctx.stop.cause(), Some(Cause::Break), "the run was not asked to stop");
        assert!(!subject.facts.merges_in_passes || observed.out.is_empty() == (most as u64 <= RUNS));
    }
}

/// After a Break, no more of the input is sorted, or of the result merged.
fn break_ends_the_work(subject: &Subject) {
    let phases = [("run", 0, 1, RUNS), ("merge", LATE_MERGE, RUNS + LATE_MERGE, 25)];
    for (nth, (place, from, most, all)) in phases.into_iter().enumerate() {
        let notes = Trap::new(&format!("notes-{nth}"));
        let noted = Asked::of("large", &[]).with(notes.fault(place, from, Action::Note, 1000));
        let most = usize::try_from(most).expect("it is small");
        let observed =
            Observed::until(subject, &noted, &subject.ctx_with_window(2, 2), Some(most), &mut |_| ());
        assert_eq!(observed.pushes, most);
        let begun = notes.strikes() as u64;
        assert!(begun <= all * 3 / 4, "{begun} of {all} tasks were begun");
    }
}

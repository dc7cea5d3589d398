//! Early ends that are particular to `grep`: in the middle of a file, while an input is silent, and
//! by flags that end the search. What was shown is a prefix of the whole output, and nothing is
//! left behind by the run.

use std::{
    io::Write,
    ops::ControlFlow,
    sync::mpsc::{SyncSender, sync_channel},
};

use cc_conformance::{
    case::Case,
    failpoint::{Failpoint, fifo},
    fault::Action,
    stdin::Stdin,
    stops::{stopped_in, stopped_in_silence},
    subject::Subject,
};
use cc_workloads::{Block, Ctx, Sink};

use super::{
    corpus,
    invocation::Invocation,
    run_result::{self, RunResult, conforms},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("stop_midway", stop_midway),
        Case::new("stop_within_a_big_file", stop_within_a_big_file),
        Case::new("stop_while_stdin_is_silent", stop_while_stdin_is_silent),
        Case::new("stop_while_a_fifo_is_silent", stop_while_a_fifo_is_silent),
        Case::new("quiet_stops_reading", quiet_stops_reading),
        Case::new("max_stops_reading", max_stops_reading),
        Case::new("endless_stdin", endless_stdin),
    ]
}

pub(super) fn in_many(pattern: &str) -> Invocation {
    Invocation::new(pattern).flags(&["-r", "-H", "-n"]).at(corpus::path("many"))
}

/// Ends the name of the first file of each directory. A note at it counts tasks, because each
/// directory is one task.
pub(super) const FIRST: &str = "/00.txt";
pub(super) const ALL: u32 = corpus::DIRECTORIES as u32;

fn narrow(subject: &Subject) -> Ctx {
    subject.ctx_with_window(2, 4)
}

/// A stop is requested while a task in the middle is being done.
fn stop_midway(subject: &Subject) {
    let invocation = in_many("needle");
    let whole = RunResult::reference(&invocation);
    let (failpoint, notes) = (Failpoint::halting("failpoint"), Failpoint::new("notes"));
    let noted = invocation.clone().with(notes.fault(FIRST, 0, Action::Note, ALL));
    let faulty = noted.with(failpoint.fault("02/20/00.txt", 0, Action::Block, 1));
    let run_result =
        stopped_in(&failpoint, &narrow(subject), |_| (), |ctx| RunResult::of(subject, &faulty, ctx));
    assert!(run_result.out().len() < whole.out().len(), "nothing was left out");
    run_result.assert_begins(&whole, &invocation);
    let done = notes.hits();
    assert!((3..60).contains(&done), "{done} of {ALL} tasks were begun");
}

/// A stop is requested while a range in the middle of a file is being searched.
fn stop_within_a_big_file(subject: &Subject) {
    let invocation = Invocation::new("[hy]").flags(&["-o", "-n"]).at(corpus::path("big"));
    let whole = RunResult::reference(&invocation);
    let failpoint = Failpoint::halting("failpoint");
    let faulty = invocation.clone().with(failpoint.fault("big", 3 << 20, Action::Block, 1));
    let run_result =
        stopped_in(&failpoint, &narrow(subject), |_| (), |ctx| RunResult::of(subject, &faulty, ctx));
    assert!(run_result.out().len() < whole.out().len(), "nothing was left out");
    run_result.assert_begins(&whole, &invocation);
}

/// A sink that reports the first block, and asks for more.
struct Tell(SyncSender<()>);

impl Sink<Block> for Tell {
    fn push(&mut self, _: Block) -> ControlFlow<()> {
        let _ = self.0.try_send(());
        ControlFlow::Continue(())
    }
}

/// Requests a stop once there is output and all threads wait for more input.
fn stop_while_input_is_awaited(subject: &Subject, invocation: &Invocation) {
    let ctx = subject.ctx(2);
    stopped_in_silence(&ctx, |output_tx| {
        run_result::run(subject, &invocation.job(), &ctx, &mut Tell(output_tx))
    });
}

fn stop_while_stdin_is_silent(subject: &Subject) {
    let (end_tx, end_rx) = sync_channel::<()>(0);
    let stdin = Stdin::from(move |mut writer| {
        writer.write_all(b"needle\nand half a li").expect("the run reads its input");
        let _ = end_rx.recv();
    });
    stop_while_input_is_awaited(subject, &Invocation::new("needle"));
    drop(end_tx);
    drop(stdin);
}

/// A FIFO that no process opens for writing.
fn stop_while_a_fifo_is_silent(subject: &Subject) {
    fifo("fifo".as_ref());
    stop_while_input_is_awaited(subject, &Invocation::new("needle").at(corpus::path("odd/crlf")).at("fifo"));
}

/// `-q` ends the run at the first selected line.
fn quiet_stops_reading(subject: &Subject) {
    let notes = Failpoint::new("notes");
    let invocation = in_many("needle 3 5").flag("-q").with(notes.fault(FIRST, 0, Action::Note, ALL));
    let run_result = RunResult::of(subject, &invocation, &narrow(subject));
    assert_eq!((run_result.status, &run_result.blocks[..]), (0, &[][..]));
    let done = notes.hits();
    assert!((4..60).contains(&done), "{done} of {ALL} tasks were begun");
    // Later operands are not even opened.
    conforms(subject, &Invocation::new("needle").flag("-q").at(corpus::path("odd/crlf")).at("missing"));
    conforms(subject, &Invocation::new("needle").flag("-q").at("missing").at(corpus::path("odd/crlf")));
    conforms(subject, &Invocation::new("no such").flag("-q").at("missing").at(corpus::path("odd/crlf")));
}

/// Once `-m` is reached, no further range of this file is searched; the next file is.
fn max_stops_reading(subject: &Subject) {
    let notes = Failpoint::new("notes");
    let invocation =
        Invocation::new("needle").flags(&["-n", "-m25"]).at(corpus::path("big")).at(corpus::path("odd/crlf"));
    let noted = invocation.clone().with(notes.fault("big", 0, Action::Note, 1000));
    RunResult::of(subject, &noted, &subject.ctx(2))
        .assert_same(&RunResult::reference(&invocation), &invocation);
    let done = notes.hits();
    // The file is searched in a dozen ranges; a model may divide each of them into slices.
    let slices = subject.facts.slices;
    assert!((2..8 * slices).contains(&done), "{done} of {} ranges were searched", 12 * slices);
}

/// `yes | grep -m1 y` and similar: the input never ends, but the run does.
fn endless_stdin(subject: &Subject) {
    for flags in [&["-m1"][..], &["-m100000", "-c"], &["-q"], &["-l"], &["-L"]] {
        let stdin = Stdin::from(|mut writer| while writer.write_all(&b"y\n".repeat(4096)).is_ok() {});
        let run_result = RunResult::of(subject, &Invocation::new("y").flags(flags), &subject.ctx(2));
        drop(stdin);
        assert_eq!(run_result.status, 0, "{flags:?}");
    }
    let stdin = Stdin::from(|mut writer| while writer.write_all(&b"y\n".repeat(4096)).is_ok() {});
    let run_result = RunResult::until(subject, &Invocation::new("y").flag("-n"), &subject.ctx(2), Some(5));
    drop(stdin);
    assert!(run_result.out().starts_with(b"1:y\n2:y\n3:y\n"));
}

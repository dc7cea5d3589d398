//! Early ends that are particular to `grep`: in the middle of a file, while an input is silent, and
//! by flags that have enough. What was shown is a beginning of the whole, and nothing is left
//! behind.

use std::{
    io::Write,
    ops::ControlFlow,
    sync::mpsc::{SyncSender, sync_channel},
};

use cc_conformance::{
    case::Case,
    fault::Action,
    stdin::Stdin,
    stops::{stopped_in, stopped_in_silence},
    subject::Subject,
    trap::{Trap, fifo},
};
use cc_workloads::{Block, Ctx, Sink};

use super::{
    asked::Asked,
    corpus,
    observe::{self, Observed, conforms},
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

pub(super) fn in_many(pattern: &str) -> Asked {
    Asked::new(pattern).flags(&["-r", "-H", "-n"]).at(corpus::path("many"))
}

/// The first file of each directory leaves a trace, and so each task does.
pub(super) const FIRST: &str = "/00.txt";
pub(super) const ALL: u32 = corpus::DIRECTORIES as u32;

fn narrow(subject: &Subject) -> Ctx {
    subject.ctx_with_window(2, 4)
}

/// A stop requested while a task in the middle is being done.
fn stop_midway(subject: &Subject) {
    let asked = in_many("needle");
    let whole = Observed::reference(&asked);
    let (trap, notes) = (Trap::halting("trap"), Trap::new("notes"));
    let noted = asked.clone().with(notes.fault(FIRST, 0, Action::Note, ALL));
    let ambushed = noted.with(trap.fault("02/20/00.txt", 0, Action::Block, 1));
    let observed = stopped_in(&trap, &narrow(subject), |_| (), |ctx| Observed::of(subject, &ambushed, ctx));
    assert!(observed.out().len() < whole.out().len(), "nothing was left out");
    observed.assert_begins(&whole, &asked);
    let done = notes.strikes();
    assert!((3..60).contains(&done), "{done} of {ALL} tasks were begun");
}

/// A stop requested while a range in the middle of a file is being searched.
fn stop_within_a_big_file(subject: &Subject) {
    let asked = Asked::new("[hy]").flags(&["-o", "-n"]).at(corpus::path("big"));
    let whole = Observed::reference(&asked);
    let trap = Trap::halting("trap");
    let ambushed = asked.clone().with(trap.fault("big", 3 << 20, Action::Block, 1));
    let observed = stopped_in(&trap, &narrow(subject), |_| (), |ctx| Observed::of(subject, &ambushed, ctx));
    assert!(observed.out().len() < whole.out().len(), "nothing was left out");
    observed.assert_begins(&whole, &asked);
}

/// Tells of the first block, and wants more.
struct Tell(SyncSender<()>);

impl Sink<Block> for Tell {
    fn push(&mut self, _: Block) -> ControlFlow<()> {
        let _ = self.0.try_send(());
        ControlFlow::Continue(())
    }
}

/// Requests a stop once there is output and everybody waits for more input.
fn stop_while_input_is_awaited(subject: &Subject, asked: &Asked) {
    let ctx = subject.ctx(2);
    stopped_in_silence(&ctx, |told| observe::run(subject, &asked.job(), &ctx, &mut Tell(told)));
}

fn stop_while_stdin_is_silent(subject: &Subject) {
    let (end, ended) = sync_channel::<()>(0);
    let stdin = Stdin::from(move |mut writer| {
        writer.write_all(b"needle\nand half a li").expect("somebody reads");
        let _ = ended.recv();
    });
    stop_while_input_is_awaited(subject, &Asked::new("needle"));
    drop(end);
    drop(stdin);
}

/// A FIFO that nobody opens for writing.
fn stop_while_a_fifo_is_silent(subject: &Subject) {
    fifo("fifo".as_ref());
    stop_while_input_is_awaited(subject, &Asked::new("needle").at(corpus::path("odd/crlf")).at("fifo"));
}

/// `-q` is satisfied by the first selected line, and stops the run.
fn quiet_stops_reading(subject: &Subject) {
    let notes = Trap::new("notes");
    let asked = in_many("needle 3 5").flag("-q").with(notes.fault(FIRST, 0, Action::Note, ALL));
    let observed = Observed::of(subject, &asked, &narrow(subject));
    assert_eq!((observed.status, &observed.blocks[..]), (0, &[][..]));
    let done = notes.strikes();
    assert!((4..60).contains(&done), "{done} of {ALL} tasks were begun");
    // What lies behind it is not even looked for.
    conforms(subject, &Asked::new("needle").flag("-q").at(corpus::path("odd/crlf")).at("missing"));
    conforms(subject, &Asked::new("needle").flag("-q").at("missing").at(corpus::path("odd/crlf")));
    conforms(subject, &Asked::new("no such").flag("-q").at("missing").at(corpus::path("odd/crlf")));
}

/// Once `-m` is reached, no further range of the file is searched, and the next file is.
fn max_stops_reading(subject: &Subject) {
    let notes = Trap::new("notes");
    let asked =
        Asked::new("needle").flags(&["-n", "-m25"]).at(corpus::path("big")).at(corpus::path("odd/crlf"));
    let noted = asked.clone().with(notes.fault("big", 0, Action::Note, 1000));
    Observed::of(subject, &noted, &subject.ctx(2)).assert_same(&Observed::reference(&asked), &asked);
    let done = notes.strikes();
    // The file is searched in a dozen ranges, or in slices of one.
    let slices = subject.facts.slices;
    assert!((2..8 * slices).contains(&done), "{done} of {} ranges were searched", 12 * slices);
}

/// `yes | grep -m1 y`, and the like: the input never ends, the run does.
fn endless_stdin(subject: &Subject) {
    for flags in [&["-m1"][..], &["-m100000", "-c"], &["-q"], &["-l"], &["-L"]] {
        let stdin = Stdin::from(|mut writer| while writer.write_all(&b"y\n".repeat(4096)).is_ok() {});
        let observed = Observed::of(subject, &Asked::new("y").flags(flags), &subject.ctx(2));
        drop(stdin);
        assert_eq!(observed.status, 0, "{flags:?}");
    }
    let stdin = Stdin::from(|mut writer| while writer.write_all(&b"y\n".repeat(4096)).is_ok() {});
    let observed = Observed::until(subject, &Asked::new("y").flag("-n"), &subject.ctx(2), Some(5));
    drop(stdin);
    assert!(observed.out().starts_with(b"1:y\n2:y\n3:y\n"));
}

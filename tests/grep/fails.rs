//! Faults within the work: a panic in every model; a worker that is killed, aborts or is suspended where it can.

use std::{
    thread,
    time::{Duration, Instant},
};

use cc_conformance::{
    case::{Case, Needs},
    fault::Action,
    source::breaks_off,
    stops::stopped_in,
    subject::Subject,
    trap::Trap,
    tree,
};
use cc_workloads::Ctx;

use super::{
    Grep,
    asked::Asked,
    corpus,
    observe::{Observed, difference},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("panic_in_a_small_file", |subject| small_file_fails(subject, Action::Panic)),
        Case::new("panic_in_a_big_file", |subject| big_file_fails(subject, Action::Panic)),
        Case::new("panic_in_every_task", panic_in_every_task),
        Case::new("panic_in_the_source", source_panics),
        Case::new("killed_and_stopped", killed_and_stopped).needs(Needs::Processes),
        Case::new("suspended_and_stopped", suspended_and_stopped).needs(Needs::Processes),
        Case::new("suspended_worker_is_replaced", suspended_worker_is_replaced).needs(Needs::Watched),
        Case::new("late_worker_is_not_believed_twice", late_worker_is_not_believed_twice)
            .needs(Needs::Watched),
    ];
    for (name, action) in [("killed", Action::Kill), ("aborted", Action::Abort)] {
        let places = [
            ("first", "00/00/00.txt", 0),
            ("middle", "05/50/16.txt", 0),
            ("last", "09/a/b/c/d/e/f/g/h/97/31.txt", 0),
            ("big_file", "big", 2 << 20),
        ];
        for (place, file, from) in places {
            let case = move |subject: &Subject| dies_once(subject, action, file, from);
            cases.push(Case::new(format!("{name}_at_{place}"), case).needs(Needs::Processes));
        }
        let case = move |subject: &Subject| small_file_fails(subject, action);
        cases.push(Case::new(format!("{name}_again_and_again"), case).needs(Needs::Processes));
        let case = move |subject: &Subject| big_file_fails(subject, action);
        cases.push(Case::new(format!("{name}_again_and_again_in_a_big_file"), case).needs(Needs::Processes));
        let case = move |subject: &Subject| many_die(subject, action);
        cases.push(Case::new(format!("{name}_many_times"), case).needs(Needs::Processes));
    }
    cases
}

fn everything() -> Asked {
    Asked::new("needle").flags(&["-r", "-H", "-n"]).at(corpus::path("big")).at(corpus::path("many"))
}

/// A worker dies once, and nobody can tell from the output.
fn dies_once(subject: &Subject, action: Action, file: &str, from: u64) {
    let trap = Trap::new("trap");
    let asked = everything();
    let ambushed = asked.clone().with(trap.fault(file, from, action, 1));
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert_same(&Observed::reference(&asked), &asked);
    assert_eq!(trap.strikes(), 1, "no worker died");
}

/// Many tasks kill their worker once or twice, each.
fn many_die(subject: &Subject, action: Action) {
    let asked = everything();
    let traps: Vec<Trap> = (0..6).map(|n| Trap::new(&format!("trap{n}"))).collect();
    let ambushed = traps.iter().enumerate().fold(asked.clone(), |asked, (n, trap)| {
        let file = format!("{}/07.txt", corpus::directory(n * 17 + 1));
        asked.with(trap.fault(&file, 0, action, 1 + u32::from(n % 2 == 0)))
    });
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert_same(&Observed::reference(&asked), &asked);
    assert_eq!(traps.iter().map(Trap::strikes).sum::<usize>(), 9);
}

/// What is printed when one file fails at this byte, and for which reason if that is known.
fn assert_failed(observed: &Observed, file: &str, reason: Option<&str>) -> u64 {
    let err = String::from_utf8(observed.err()).expect("messages are text");
    let (before, after) =
        err.split_once(" failed at byte ").unwrap_or_else(|| panic!("not reported: {err:?}"));
    assert!(before.starts_with("grep: ") && before.ends_with(file), "another file: {err}");
    let (at, why) = after.split_once(": ").unwrap_or_else(|| panic!("no reason: {err}"));
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(reason.is_none_or(|reason| why == format!("{reason}\n")), "another reason: {err}");
    assert_eq!(observed.status, 2);
    at.parse().expect("a number of bytes")
}

/// A small file fails whenever it is searched: it is reported by name, and its neighbours, of the same task even,
/// are searched.
fn small_file_fails(subject: &Subject, action: Action) {
    let asked = Asked::new("needle").flags(&["-r", "-H", "-n"]).at(corpus::path("many"));
    let trap = Trap::new("trap");
    let culprit = "/05/50/16.txt";
    let observed =
        Observed::of(subject, &asked.clone().with(trap.fault(culprit, 0, action, 1000)), &subject.ctx(2));
    let at = assert_failed(&observed, culprit, (action == Action::Panic).then_some("panicked: planned"));
    assert_eq!(at, 0);
    let strikes = trap.strikes();
    // Once (or three times) among its neighbours, and as often alone. A death while other tasks are
    // in flight is not counted.
    let (least, most) = if action == Action::Panic { (1, 2) } else { (3, 8) };
    assert!((least..=most).contains(&strikes), "struck {strikes} times");

    let whole = Observed::reference(&asked);
    let (out, all) = (observed.out(), whole.out());
    let is_culprits = |line: &&[u8]| line.windows(culprit.len()).any(|part| part == culprit.as_bytes());
    let expected: Vec<u8> = all
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !is_culprits(line))
        .flatten()
        .copied()
        .collect();
    assert!(expected.len() < all.len());
    assert!(out == expected, "{}", difference(&out, &expected));
    assert_eq!(observed.totals.files, whole.totals.files - 1);
}

/// A range in the middle of a big file fails: what comes before it is shown, the rest of the file is not, and the
/// next file is searched.
fn big_file_fails(subject: &Subject, action: Action) {
    let asked =
        Asked::new("needle").flags(&["-H", "-n"]).at(corpus::path("big")).at(corpus::path("odd/crlf"));
    let trap = Trap::new("trap");
    let ambushed = asked.clone().with(trap.fault("big", 3 << 20, action, 1000));
    let observed = Observed::of(subject, &ambushed, &subject.ctx(2));
    let reason = (action == Action::Panic).then_some("panicked: planned");
    let at = usize::try_from(assert_failed(&observed, "big", reason)).expect("it is a position in a file");
    assert!((3 << 20..5 << 20).contains(&at), "failed at {at}");
    assert!(trap.strikes() > 0);

    let whole = Observed::reference(&asked).out();
    let out = observed.out();
    let lines = |text: &[u8], name: &str| -> Vec<Vec<u8>> {
        let of = |line: &&[u8]| line.windows(name.len()).any(|part| part == name.as_bytes());
        text.split_inclusive(|byte| *byte == b'\n').filter(of).map(<[u8]>::to_vec).collect()
    };
    assert_eq!(lines(&out, "/crlf:"), lines(&whole, "/crlf:"), "the neighbour is affected");
    let (shown, all) = (lines(&out, "/big:"), lines(&whole, "/big:"));
    assert!(all.starts_with(&shown), "what comes before the failure is right");
    let before = at.div_ceil(corpus::PART);
    assert!(shown.len().abs_diff(before) <= 1, "{} lines before byte {at}", shown.len());
}

/// Nothing can be done, and each file is reported.
fn panic_in_every_task(subject: &Subject) {
    let asked = Asked::new("needle")
        .flags(&["-H", "-n"])
        .at_all(corpus::odd_files())
        .flag("-r")
        .at(corpus::path("many/03"));
    let trap = Trap::new("trap");
    let observed =
        Observed::of(subject, &asked.with(trap.fault("", 0, Action::Panic, 5000)), &subject.ctx(2));
    let err = observed.err();
    assert_eq!(observed.out(), b"");
    let messages = err.windows(26).filter(|part| part == b"failed at byte 0: panicked").count();
    assert_eq!(messages, corpus::odd_files().len() + 320);
    assert_eq!(observed.status, 2);
}

/// A stop while a dead worker is being replaced.
fn killed_and_stopped(subject: &Subject) {
    let trap = Trap::halting("trap");
    let asked = everything();
    let ambushed = asked.clone().with(trap.fault("05/50/16.txt", 0, Action::Kill, 1));
    let observed = stopped_in(&trap, &subject.ctx(2), |_| (), |ctx| Observed::of(subject, &ambushed, ctx));
    observed.assert_begins(&Observed::reference(&asked), &asked);
}

/// A worker that hangs does not keep a stop from ending everything.
fn suspended_and_stopped(subject: &Subject) {
    let trap = Trap::halting("trap");
    let asked = everything();
    let ambushed = asked.clone().with(trap.fault("03/30/16.txt", 0, Action::Suspend, 1));
    let run = |ctx: &Ctx| Observed::of(subject, &ambushed, ctx);
    let observed = stopped_in(&trap, &subject.ctx(2), tree::wait_until_stopped, run);
    observed.assert_begins(&Observed::reference(&asked), &asked);
}

/// A worker that hangs is noticed, and its tasks are done by others.
fn suspended_worker_is_replaced(subject: &Subject) {
    for (n, (file, from)) in
        [("00/00/00.txt", 0), ("05/50/16.txt", 0), ("big", 2 << 20)].into_iter().enumerate()
    {
        let trap = Trap::new(&format!("trap{n}"));
        let asked = everything();
        let ambushed = asked.clone().with(trap.fault(file, from, Action::Suspend, 1));
        let since = Instant::now();
        Observed::of(subject, &ambushed, &subject.ctx(2)).assert_same(&Observed::reference(&asked), &asked);
        assert_eq!(trap.strikes(), 1, "no worker was suspended");
        // Two seconds to notice; the rest is the work, in a dev build on a busy machine.
        assert!(since.elapsed() < Duration::from_secs(10), "noticed after {:?}", since.elapsed());
    }
}

/// A worker that hangs and then goes on: its late results are not shown a second time.
fn late_worker_is_not_believed_twice(subject: &Subject) {
    let (trap, gate) = (Trap::halting("trap"), Trap::halting("gate"));
    let asked = everything();
    let ambushed = asked.clone().with(trap.fault("03/30/16.txt", 0, Action::Suspend, 1));
    // The second to try the task, after the first is suspected, waits until the first has been woken.
    let ambushed = ambushed.with(gate.fault("03/30/17.txt", 0, Action::Block, 1));
    let observed = thread::scope(|scope| {
        let (trap, gate) = (&trap, &gate);
        scope.spawn(move || {
            let suspended = trap.reached();
            let _ = gate.reached();
            // It may have been ended meanwhile, which is a model's right.
            let pid =
                rustix::process::Pid::from_raw(suspended.cast_signed()).expect("a process has a number");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::CONT);
            gate.open();
        });
        Observed::of(subject, &ambushed, &subject.ctx(2))
    });
    observed.assert_same(&Observed::reference(&asked), &asked);
}

/// The input breaks off, which must not look like its end.
fn source_panics(subject: &Subject) {
    let job = Asked::new("needle").flags(&["-r"]).at(corpus::path("many")).job();
    breaks_off::<Grep>(subject, &job, "source", 1);
}

//! Faults within the work: a task that panics, or ends its worker, again and again.

use cc_conformance::{
    case::{Case, Needs},
    fault::Action,
    subject::Subject,
    trap::Trap,
};

use super::{
    asked::Asked,
    corpus,
    observe::{Observed, difference},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("panic_in_a_small_file", |subject| small_file_fails(subject, Action::Panic)),
        Case::new("panic_in_a_big_file", |subject| big_file_fails(subject, Action::Panic)),
        Case::new("panic_in_every_task", panic_in_every_task),
    ];
    for (name, action) in [("killed", Action::Kill), ("aborted", Action::Abort)] {
        let case = move |subject: &Subject| small_file_fails(subject, action);
        cases.push(Case::new(format!("{name}_again_and_again"), case).needs(Needs::Processes));
        let case = move |subject: &Subject| big_file_fails(subject, action);
        cases.push(Case::new(format!("{name}_again_and_again_in_a_big_file"), case).needs(Needs::Processes));
    }
    cases
}

pub(super) fn everything() -> Asked {
    Asked::new("needle").flags(&["-r", "-H", "-n"]).at(corpus::path("big")).at(corpus::path("many"))
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

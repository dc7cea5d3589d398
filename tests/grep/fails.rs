//! Faults within the work: a task that panics, or that ends its worker, each time it is tried.

use cc_conformance::{
    case::{Case, Needs},
    failpoint::Failpoint,
    fault::Action,
    subject::Subject,
};

use super::{
    corpus,
    invocation::Invocation,
    run_result::{RunResult, difference},
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

pub(super) fn everything() -> Invocation {
    Invocation::new("needle").flags(&["-r", "-H", "-n"]).at(corpus::path("big")).at(corpus::path("many"))
}

/// Asserts what is printed when one file fails, and returns at which byte. The reason is checked if
/// it is known.
fn assert_failed(run_result: &RunResult, file: &str, reason: Option<&str>) -> u64 {
    let err = String::from_utf8(run_result.err()).expect("messages are text");
    let (before, after) =
        err.split_once(" failed at byte ").unwrap_or_else(|| panic!("not reported: {err:?}"));
    assert!(before.starts_with("grep: ") && before.ends_with(file), "another file: {err}");
    let (at, why) = after.split_once(": ").unwrap_or_else(|| panic!("no reason: {err}"));
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(reason.is_none_or(|reason| why == format!("{reason}\n")), "another reason: {err}");
    assert_eq!(run_result.status, 2);
    at.parse().expect("a number of bytes")
}

/// A small file fails each time it is searched. It is reported by name, and the other files are
/// searched, even those of the same task.
fn small_file_fails(subject: &Subject, action: Action) {
    let invocation = Invocation::new("needle").flags(&["-r", "-H", "-n"]).at(corpus::path("many"));
    let failpoint = Failpoint::new("failpoint");
    let culprit = "/05/50/16.txt";
    let run_result = RunResult::of(
        subject,
        &invocation.clone().with(failpoint.fault(culprit, 0, action, 1000)),
        &subject.ctx(2),
    );
    let at = assert_failed(&run_result, culprit, (action == Action::Panic).then_some("panicked: planned"));
    assert_eq!(at, 0);
    let hits = failpoint.hits();
    // A panic: once among its neighbours and once alone. Deaths: three times in each way. A death
    // while other tasks are in flight is not counted, so there may be more.
    let (least, most) = if action == Action::Panic { (1, 2) } else { (3, 8) };
    assert!((least..=most).contains(&hits), "hit {hits} times");

    let whole = RunResult::reference(&invocation);
    let (out, all) = (run_result.out(), whole.out());
    let is_culprits = |line: &&[u8]| line.windows(culprit.len()).any(|part| part == culprit.as_bytes());
    let expected: Vec<u8> = all
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !is_culprits(line))
        .flatten()
        .copied()
        .collect();
    assert!(expected.len() < all.len());
    assert!(out == expected, "{}", difference(&out, &expected));
    assert_eq!(run_result.totals.files, whole.totals.files - 1);
}

/// A range in the middle of a big file fails. The part before it is shown, the rest of the file is
/// not, and the next file is searched.
fn big_file_fails(subject: &Subject, action: Action) {
    let invocation =
        Invocation::new("needle").flags(&["-H", "-n"]).at(corpus::path("big")).at(corpus::path("odd/crlf"));
    let failpoint = Failpoint::new("failpoint");
    let faulty = invocation.clone().with(failpoint.fault("big", 3 << 20, action, 1000));
    let run_result = RunResult::of(subject, &faulty, &subject.ctx(2));
    let reason = (action == Action::Panic).then_some("panicked: planned");
    let at = usize::try_from(assert_failed(&run_result, "big", reason)).expect("it is a position in a file");
    assert!((3 << 20..5 << 20).contains(&at), "failed at {at}");
    assert!(failpoint.hits() > 0);

    let whole = RunResult::reference(&invocation).out();
    let out = run_result.out();
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

/// Every task fails, and each file is reported.
fn panic_in_every_task(subject: &Subject) {
    let invocation = Invocation::new("needle")
        .flags(&["-H", "-n"])
        .at_all(corpus::odd_files())
        .flag("-r")
        .at(corpus::path("many/03"));
    let failpoint = Failpoint::new("failpoint");
    let run_result = RunResult::of(
        subject,
        &invocation.with(failpoint.fault("", 0, Action::Panic, 5000)),
        &subject.ctx(2),
    );
    let err = run_result.err();
    assert_eq!(run_result.out(), b"");
    let messages = err.windows(26).filter(|part| part == b"failed at byte 0: panicked").count();
    assert_eq!(messages, corpus::odd_files().len() + 320);
    assert_eq!(run_result.status, 2);
}

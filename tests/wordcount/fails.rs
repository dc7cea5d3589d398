//! Faults within the work: files and ranges that panic, or that end their worker, each time they
//! are tried; workers that hang in each phase; and a full disk during the shuffle.

use std::{sync::mpsc::sync_channel, time::Duration};

use cc_conformance::{
    case::{Case, Needs},
    failpoint::Failpoint,
    fault::Action,
    laws::{Place, replaced},
    stdin::Stdin,
    subject::Subject,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    Wordcount,
    corpus::{self, LARGEST, PLACES},
    run_result::{Invocation, RunResult},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("panic_in_a_small_file", |subject| small_file_fails(subject, Action::Panic)),
        Case::new("panic_in_a_range", |subject| range_fails(subject, Action::Panic)),
        Case::new("panic_in_every_file", panic_in_every_file),
        Case::new("panic_in_a_partition", |subject| partition_fails(subject, Action::Panic)),
        Case::new("killed_in_a_partition_again_and_again", |subject| partition_fails(subject, Action::Kill))
            .needs(Needs::Processes),
        Case::new("no_room_for_the_counts", no_room_for_the_counts).needs(Needs::Processes),
        Case::new("no_room_and_no_end", no_room_and_no_end).needs(Needs::Processes),
    ];
    for (name, action) in [("killed", Action::Kill), ("aborted", Action::Abort)] {
        let case = move |subject: &Subject| small_file_fails(subject, action);
        cases.push(Case::new(format!("{name}_by_a_small_file"), case).needs(Needs::Processes));
        let case = move |subject: &Subject| range_fails(subject, action);
        cases.push(Case::new(format!("{name}_by_a_range"), case).needs(Needs::Processes));
    }
    // The model notices within two seconds, perhaps twice; the rest is for the work, in a debug
    // build on a busy machine.
    let within = Duration::from_secs(15);
    for (end, place) in [("counting", LARGEST), ("shuffling", "shuffle"), ("ranking", "partition")] {
        let case = move |subject: &Subject| {
            replaced::<Wordcount>(subject, "failpoint", &Place::new(place, 0), within);
        };
        cases.push(Case::new(format!("suspended_{end}"), case).needs(Needs::Watched));
    }
    cases
}

/// One file of a task with many fails each time it is tried. It is reported by name, and the other
/// files are counted.
fn small_file_fails(subject: &Subject, action: Action) {
    let failpoint = Failpoint::new("failpoint");
    let (culprit, named) = ("13/1213", corpus::path("many/13/1213"));
    let faulty = Invocation::of("many").with(failpoint.fault(culprit, 0, action, 1000));
    let run_result = RunResult::of(subject, &faulty, &subject.ctx(2));
    let begin = format!("wordcount: {}: failed at byte 0: ", named.display());
    let [said] = &run_result.said[..] else { panic!("not one message: {:?}", run_result.said) };
    assert!(said.starts_with(&begin), "another file: {said:?}");
    assert!(action != Action::Panic || said[begin.len()..] == *"panicked: planned\n", "{said:?}");
    assert_eq!(run_result.status, 1);
    // A panic: once among its neighbours and once alone. Deaths: three times in each way. A death
    // while other tasks are in flight is not counted, so there may be more.
    let (least, most) = if action == Action::Panic { (2, 2) } else { (6, 8) };
    assert!((least..=most).contains(&failpoint.hits()), "hit {} times", failpoint.hits());
    let others = corpus::files("many").into_iter().filter(|path| *path != named);
    let others = others.fold(Invocation::new(), Invocation::at);
    let expected = RunResult::reference(&others);
    assert!(run_result.out == expected.out, "the others' words differ");
    assert_eq!(run_result.totals, expected.totals);
}

/// A range of a large file fails each time it is tried. It is reported with its position, and the
/// other ranges are counted.
fn range_fails(subject: &Subject, action: Action) {
    let failpoint = Failpoint::new("failpoint");
    let faulty = Invocation::of("large").with(failpoint.fault(LARGEST, PLACES[2], action, 1000));
    let run_result = RunResult::of(subject, &faulty, &subject.ctx(2));
    // The number of ranges after the position depends on the size of the model's tasks.
    let (count, begin) = (run_result.said.len(), format!("{LARGEST}: failed at byte "));
    assert!(
        (1..20).contains(&count) && run_result.said.iter().all(|said| said.contains(&begin)),
        "{:?}",
        run_result.said
    );
    let whole = RunResult::reference(&Invocation::of("large")).totals;
    let lost = whole.words - run_result.totals.words;
    assert!((1..whole.words / 3).contains(&lost), "{lost} words of {} are lost", whole.words);
    assert_eq!(run_result.error, None);
}

fn panic_in_every_file(subject: &Subject) {
    let failpoint = Failpoint::new("failpoint");
    let faulty = Invocation::of("small").with(failpoint.fault(".txt", 0, Action::Panic, 1000));
    let run_result = RunResult::of(subject, &faulty, &subject.ctx(2));
    assert_eq!((&*run_result.out, run_result.said.len(), run_result.status), ("", 10, 1));
}

/// A partition that cannot be ranked ends the run, because the result would lack its words.
fn partition_fails(subject: &Subject, action: Action) {
    let failpoint = Failpoint::new("failpoint");
    let faulty = Invocation::of("large").with(failpoint.fault("partition", 2, action, 1000));
    let run_result = RunResult::of(subject, &faulty, &subject.ctx(2));
    let error = run_result.error.expect("the run did not fail");
    assert!(error.starts_with("partition "), "{error:?}");
    assert!(action != Action::Panic || error.ends_with(": panicked: planned"), "{error:?}");
}

/// The counts that workers pass to each other do not fit on the disk. The run ends with an error.
fn no_room_for_the_counts(subject: &Subject) {
    no_room(subject, 1000, &Invocation::of("large"));
}

/// The same while standard input is silent and does not end: the run does not wait for it.
fn no_room_and_no_end(subject: &Subject) {
    let (done_tx, done_rx) = sync_channel::<()>(0);
    let stdin = Stdin::from(move |writer| {
        let _ = done_rx.recv(); // until the run has ended
        drop(writer);
    });
    no_room(subject, 1, &Invocation::new().at(corpus::path("odd/one-word")).at("-"));
    drop(done_tx);
    drop(stdin);
}

/// Runs with a limit on file sizes, which stands for a full disk: it makes the same call fail.
fn no_room(subject: &Subject, bytes: u64, invocation: &Invocation) {
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), ..before }).expect("it is a lower limit");
    let run_result = RunResult::of(subject, invocation, &subject.ctx(2));
    setrlimit(Resource::Fsize, before).expect("it is the former limit");
    let why = run_result.error.expect("no error");
    assert!(why.ends_with(": File too large"), "{why}");
    assert_eq!(run_result.out, "", "words of a failed run");
}

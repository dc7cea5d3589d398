//! Faults within the work: what panics, or ends its worker, again and again; workers that hang in
//! each phase; and no room for what is shuffled.

use std::{sync::mpsc::sync_channel, time::Duration};

use cc_conformance::{
    case::{Case, Needs},
    fault::Action,
    laws::{Place, replaced},
    stdin::Stdin,
    subject::Subject,
    trap::Trap,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    Wordcount,
    corpus::{self, LARGEST, PLACES},
    observe::{Asked, Observed},
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
    // Two seconds to notice, perhaps twice; the rest is the work, in a dev build on a busy machine.
    let within = Duration::from_secs(15);
    for (end, place) in [("counting", LARGEST), ("shuffling", "shuffle"), ("ranking", "partition")] {
        let case = move |subject: &Subject| {
            replaced::<Wordcount>(subject, "trap", &Place::new(place, 0), within);
        };
        cases.push(Case::new(format!("suspended_{end}"), case).needs(Needs::Watched));
    }
    cases
}

/// A file among many in one task fails whenever it is tried: it is reported by name, and its neighbours count.
fn small_file_fails(subject: &Subject, action: Action) {
    let trap = Trap::new("trap");
    let (culprit, named) = ("13/1213", corpus::path("many/13/1213"));
    let ambushed = Asked::of("many").with(trap.fault(culprit, 0, action, 1000));
    let observed = Observed::of(subject, &ambushed, &subject.ctx(2));
    let begin = format!("wordcount: {}: failed at byte 0: ", named.display());
    let [said] = &observed.said[..] else { panic!("not one message: {:?}", observed.said) };
    assert!(said.starts_with(&begin), "another file: {said:?}");
    assert!(action != Action::Panic || said[begin.len()..] == *"panicked: planned\n", "{said:?}");
    assert_eq!(observed.status, 1);
    // Among its neighbours and apart, three times each if it kills. A death while other tasks are
    // in flight is not counted.
    let (least, most) = if action == Action::Panic { (2, 2) } else { (6, 8) };
    assert!((least..=most).contains(&trap.strikes()), "struck {} times", trap.strikes());
    let others = corpus::files("many").into_iter().filter(|path| *path != named);
    let others = others.fold(Asked::new(), Asked::at);
    let expected = Observed::reference(&others);
    assert!(observed.out == expected.out, "the others' words differ");
    assert_eq!(observed.totals, expected.totals);
}

/// A range of a large file fails whenever it is tried: it is reported with its place, and the rest counts.
fn range_fails(subject: &Subject, action: Action) {
    let trap = Trap::new("trap");
    let ambushed = Asked::of("large").with(trap.fault(LARGEST, PLACES[2], action, 1000));
    let observed = Observed::of(subject, &ambushed, &subject.ctx(2));
    // How many ranges there are behind the place depends on how coarse the model's tasks are.
    let (count, begin) = (observed.said.len(), format!("{LARGEST}: failed at byte "));
    assert!(
        (1..20).contains(&count) && observed.said.iter().all(|said| said.contains(&begin)),
        "{:?}",
        observed.said
    );
    let whole = Observed::reference(&Asked::of("large")).totals;
    let lost = whole.words - observed.totals.words;
    assert!((1..whole.words / 3).contains(&lost), "{lost} words of {} are lost", whole.words);
    assert_eq!(observed.error, None);
}

fn panic_in_every_file(subject: &Subject) {
    let trap = Trap::new("trap");
    let ambushed = Asked::of("small").with(trap.fault(".txt", 0, Action::Panic, 1000));
    let observed = Observed::of(subject, &ambushed, &subject.ctx(2));
    assert_eq!((&*observed.out, observed.said.len(), observed.status), ("", 10, 1));
}

/// A partition that cannot be ranked ends the run, since what is left would not be what was asked for.
fn partition_fails(subject: &Subject, action: Action) {
    let trap = Trap::new("trap");
    let ambushed = Asked::of("large").with(trap.fault("partition", 2, action, 1000));
    let observed = Observed::of(subject, &ambushed, &subject.ctx(2));
    let error = observed.error.expect("the run did not fail");
    assert!(error.starts_with("partition "), "{error:?}");
    assert!(action != Action::Panic || error.ends_with(": panicked: planned"), "{error:?}");
}

/// What workers leave for each other does not fit on the disk: the run ends, and says so.
fn no_room_for_the_counts(subject: &Subject) {
    no_room(subject, 1000, &Asked::of("large"));
}

/// The same, while standard input is silent and has no end: nobody waits for it.
fn no_room_and_no_end(subject: &Subject) {
    let (done, ended) = sync_channel::<()>(0);
    let stdin = Stdin::from(move |writer| {
        let _ = ended.recv(); // until the run has ended
        drop(writer);
    });
    no_room(subject, 1, &Asked::new().at(corpus::path("odd/one-word")).at("-"));
    drop(done);
    drop(stdin);
}

/// A limit on the size of files makes the same call fail.
fn no_room(subject: &Subject, bytes: u64, asked: &Asked) {
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), ..before }).expect("it is a lower limit");
    let observed = Observed::of(subject, asked, &subject.ctx(2));
    setrlimit(Resource::Fsize, before).expect("it is the limit that there was");
    let why = observed.error.expect("no error");
    assert!(why.ends_with(": File too large"), "{why}");
    assert_eq!(observed.out, "", "words of a failed run");
}

//! Faults within the work: a panic in every model; a worker that is killed, aborts or is suspended where it can, while
//! it counts, while what it counted is being shuffled, and while it ranks.

use std::{
    sync::mpsc::sync_channel,
    time::{Duration, Instant},
};

use cc_conformance::{
    case::{Case, Needs},
    fault::{Action, Fault},
    source::breaks_off,
    stdin::Stdin,
    stops::stopped_in,
    subject::Subject,
    trap::Trap,
    tree,
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
        Case::new("panic_in_the_source", source_panics),
        Case::new("panic_in_a_partition", |subject| partition_fails(subject, Action::Panic)),
        Case::new("killed_in_a_partition_again_and_again", |subject| partition_fails(subject, Action::Kill))
            .needs(Needs::Processes),
        Case::new("killed_and_stopped", killed_and_stopped).needs(Needs::Processes),
        Case::new("suspended_and_stopped", suspended_and_stopped).needs(Needs::Processes),
        Case::new("no_room_for_the_counts", no_room_for_the_counts).needs(Needs::Processes),
        Case::new("no_room_and_no_end", no_room_and_no_end).needs(Needs::Processes),
    ];
    for (name, action) in [("killed", Action::Kill), ("aborted", Action::Abort)] {
        let places: [(_, Struck); 6] = [
            ("at_the_first_range", |trap, action| trap.fault(LARGEST, PLACES[0], action, 1)),
            ("in_the_middle", |trap, action| trap.fault(LARGEST, PLACES[1], action, 1)),
            ("at_the_last_range", |trap, action| trap.fault(LARGEST, PLACES[2], action, 1)),
            ("in_the_shuffle", |trap, action| trap.fault("shuffle", 0, action, 1)),
            ("in_the_first_partition", |trap, action| trap.fault("partition", 0, action, 1)),
            ("in_a_later_partition", |trap, action| trap.fault("partition", 3, action, 1)),
        ];
        for (place, fault) in places {
            let case = move |subject: &Subject| dies_once(subject, action, fault);
            cases.push(Case::new(format!("{name}_{place}"), case).needs(Needs::Processes));
        }
        let case = move |subject: &Subject| small_file_fails(subject, action);
        cases.push(Case::new(format!("{name}_by_a_small_file"), case).needs(Needs::Processes));
        let case = move |subject: &Subject| range_fails(subject, action);
        cases.push(Case::new(format!("{name}_by_a_range"), case).needs(Needs::Processes));
        let case = move |subject: &Subject| many_die(subject, action);
        cases.push(Case::new(format!("{name}_many_times"), case).needs(Needs::Processes));
    }
    for (place, fault) in [("counting", LARGEST), ("shuffling", "shuffle"), ("ranking", "partition")] {
        let case = move |subject: &Subject| suspended_worker_is_replaced(subject, fault);
        cases.push(Case::new(format!("suspended_{place}"), case).needs(Needs::Watched));
    }
    cases
}

/// Where a fault strikes.
type Struck = fn(&Trap, Action) -> Fault;

/// A worker dies once, and nobody can tell from the counts.
fn dies_once(subject: &Subject, action: Action, fault: Struck) {
    let trap = Trap::new("trap");
    let ambushed = Asked::of("large").with(fault(&trap, action));
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert_same(&Observed::reference(&Asked::of("large")));
    assert_eq!(trap.strikes(), 1, "no worker died");
}

/// Many places kill their worker once or twice, each.
fn many_die(subject: &Subject, action: Action) {
    let places = [
        (LARGEST, PLACES[1], 2),
        ("shuffle", 0, 2),
        ("partition", 1, 1),
        ("partition", 4, 2),
        ("00007.txt", 0, 1),
    ];
    let traps: Vec<Trap> = (0..places.len()).map(|n| Trap::new(&format!("trap{n}"))).collect();
    let ambushed =
        traps.iter().zip(places).fold(Asked::of("large"), |asked, (trap, (place, from, times))| {
            asked.with(trap.fault(place, from, action, times))
        });
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert_same(&Observed::reference(&Asked::of("large")));
    assert_eq!(traps.iter().map(Trap::strikes).sum::<usize>(), 8);
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

/// A stop while a dead worker is being replaced.
fn killed_and_stopped(subject: &Subject) {
    let trap = Trap::halting("trap");
    let ambushed = Asked::of("large").with(trap.fault(LARGEST, PLACES[1], Action::Kill, 1));
    let observed = stopped_in(&trap, &subject.ctx(2), |_| (), |ctx| Observed::of(subject, &ambushed, ctx));
    assert_eq!(observed.said, [""; 0]);
}

/// A worker that hangs does not keep a stop from ending everything.
fn suspended_and_stopped(subject: &Subject) {
    let trap = Trap::halting("trap");
    let ambushed = Asked::of("large").with(trap.fault("partition", 1, Action::Suspend, 1));
    let ctx = subject.ctx(2);
    let observed =
        stopped_in(&trap, &ctx, tree::wait_until_stopped, |ctx| Observed::of(subject, &ambushed, ctx));
    assert_eq!(observed.said, [""; 0]);
}

/// A worker that hangs is noticed, and what it had is done by others, what it had counted before as well.
fn suspended_worker_is_replaced(subject: &Subject, place: &str) {
    let trap = Trap::new("trap");
    let ambushed = Asked::of("large").with(trap.fault(place, 0, Action::Suspend, 1));
    let since = Instant::now();
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert_same(&Observed::reference(&Asked::of("large")));
    assert_eq!(trap.strikes(), 1, "no worker was suspended");
    // Two seconds to notice, perhaps twice; the rest is the work, in a dev build on a busy machine.
    assert!(since.elapsed() < Duration::from_secs(15), "noticed after {:?}", since.elapsed());
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

/// The input breaks off, which must not look like its end.
fn source_panics(subject: &Subject) {
    breaks_off::<Wordcount>(subject, &Asked::of("many").job(), "source", 1);
}

//! Faults within the work: a panic in every model; a worker that is killed, aborts or is suspended where it can, while it
//! sorts, while a run is written, in a pass, and in the last merges. What cannot be done ends the run by its name, since
//! a part of the lines is not what was asked for.

use std::time::{Duration, Instant};

use cc_conformance::{
    case::{Case, Needs},
    fault::Action,
    source::breaks_off,
    stops::stopped_in,
    subject::Subject,
    trap::Trap,
    tree,
};
use cc_workloads::Cause;

use super::{Sort, asked::Asked, corpus, files::LATE_MERGE, observe::Observed};

/// A place in the work: its part of the case's name, and where the fault is.
type Place = (&'static str, &'static str, u64);

const PLACES: [Place; 7] = [
    ("at_the_first_chunk", "large/a", 0),
    ("at_a_later_chunk", "large/b", 1 << 20),
    ("at_the_last_chunk", "large/c", 500 << 10),
    ("in_a_run", "run", 0),
    ("in_a_later_run", "run", 7),
    ("in_a_pass", "merge", 3),
    ("in_a_merge", "merge", LATE_MERGE),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("killed_and_stopped", killed_and_stopped).needs(Needs::Processes),
        Case::new("suspended_and_stopped", suspended_and_stopped).needs(Needs::Processes),
        Case::new("panic_in_memory", panic_in_memory),
        Case::new("panic_in_the_source", source_panics),
    ];
    for place in PLACES {
        let name = place.0;
        let panics = move |subject: &Subject| task_fails(subject, Action::Panic, place);
        cases.push(Case::new(format!("panic_{name}"), panics));
        let dies_once = move |subject: &Subject| dies_once(subject, Action::Kill, place);
        cases.push(Case::new(format!("killed_{name}"), dies_once).needs(Needs::Processes));
    }
    for place in [PLACES[1], PLACES[4], PLACES[5], PLACES[6]] {
        let name = place.0;
        let dies_always = move |subject: &Subject| task_fails(subject, Action::Kill, place);
        cases.push(Case::new(format!("killed_again_and_again_{name}"), dies_always).needs(Needs::Processes));
        let suspended = move |subject: &Subject| suspended_worker_is_replaced(subject, place);
        cases.push(Case::new(format!("suspended_{name}"), suspended).needs(Needs::Watched));
    }
    for (name, action) in [("killed", Action::Kill), ("aborted", Action::Abort)] {
        let case = move |subject: &Subject| many_die(subject, action);
        cases.push(Case::new(format!("{name}_many_times"), case).needs(Needs::Processes));
    }
    cases
}

/// A worker dies once, and nobody can tell from the lines.
fn dies_once(subject: &Subject, action: Action, (_, place, from): Place) {
    let trap = Trap::new("trap");
    let ambushed = Asked::of("large", &[]).with(trap.fault(place, from, action, 1));
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert(&corpus::expected("large", "plain"));
    assert_eq!(trap.strikes(), 1, "no worker died");
}

/// Many places kill their worker. None of them reaches three deaths, whoever comes by first.
fn many_die(subject: &Subject, action: Action) {
    let places = [("large/a", 1 << 20), ("run", 2), ("run", 6), ("merge", 2), ("merge", LATE_MERGE)];
    let traps: Vec<Trap> = (0..places.len()).map(|n| Trap::new(&format!("trap{n}"))).collect();
    let ambushed = traps
        .iter()
        .zip(places)
        .fold(Asked::of("large", corpus::flags("first_field")), |asked, (trap, (place, from))| {
            asked.with(trap.fault(place, from, action, 1))
        });
    let observed = Observed::of(subject, &ambushed, &subject.ctx(2));
    observed.assert(&corpus::expected("large", "first_field"));
    assert_eq!(traps.iter().map(Trap::strikes).sum::<usize>(), places.len());
}

/// A task that fails whenever it is tried ends the run, which says what failed.
fn task_fails(subject: &Subject, action: Action, (_, place, from): Place) {
    let trap = Trap::new("trap");
    // Others that would fail as well are not begun, or not told of.
    let ambushed = Asked::of("large", &[]).with(trap.fault(place, from, action, 1000));
    let ctx = subject.ctx(2);
    let observed = Observed::of(subject, &ambushed, &ctx);
    let sorted = observed.totals.sorted;
    let why = observed.why();
    assert!(sorted == 0 || from == LATE_MERGE || !subject.facts.merges_in_passes, "lines of a failed run");
    let named = match place {
        "merge" => "merge ",
        _ if why.contains("large/") => "", // a chunk is called after where its first piece begins
        _ => panic!("the error has no name: {why}"),
    };
    assert!(why.starts_with(named) && why.contains(" failed"), "{why}");
    assert!(action != Action::Panic || why.ends_with(": panicked: planned"), "{why}");
    assert_eq!(ctx.stop.cause(), Some(Cause::Break), "the run was not asked to stop");
    if action == Action::Kill {
        // Neighbours of this one may have been tried meanwhile.
        assert!(trap.strikes() >= 3, "given up after {} deaths", trap.strikes());
    }
}

/// Where runs are not in files.
fn panic_in_memory(subject: &Subject) {
    for (nth, (place, from)) in [("large/b", 1 << 20), ("run", 2), ("merge", 1)].into_iter().enumerate() {
        let trap = Trap::new(&format!("trap{nth}"));
        let ambushed = Asked::of("large", &[]).in_memory_of(256 << 20);
        let ambushed = ambushed.with(trap.fault(place, from, Action::Panic, 1));
        let why = Observed::of(subject, &ambushed, &subject.ctx(2)).why();
        assert!(why.ends_with(": panicked: planned"), "{why}");
    }
}

/// A stop while a dead worker is being replaced.
fn killed_and_stopped(subject: &Subject) {
    let trap = Trap::halting("trap");
    let ambushed = Asked::of("large", &[]).with(trap.fault("run", 5, Action::Kill, 1));
    let observed = stopped_in(&trap, &subject.ctx(2), |_| (), |ctx| Observed::of(subject, &ambushed, ctx));
    observed.assert_stopped();
}

/// A worker that hangs does not keep a stop from ending everything.
fn suspended_and_stopped(subject: &Subject) {
    for (nth, (place, from)) in [("run", 5), ("merge", 1)].into_iter().enumerate() {
        let trap = Trap::halting(&format!("trap{nth}"));
        let ambushed = Asked::of("large", &[]).with(trap.fault(place, from, Action::Suspend, 1));
        let ctx = subject.ctx(2);
        let observed =
            stopped_in(&trap, &ctx, tree::wait_until_stopped, |ctx| Observed::of(subject, &ambushed, ctx));
        observed.assert_stopped();
    }
}

/// A worker that hangs is noticed, and what it had is done by others.
fn suspended_worker_is_replaced(subject: &Subject, (_, place, from): Place) {
    let trap = Trap::new("trap");
    let ambushed = Asked::of("large", &[]).with(trap.fault(place, from, Action::Suspend, 1));
    let since = Instant::now();
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert(&corpus::expected("large", "plain"));
    assert_eq!(trap.strikes(), 1, "no worker was suspended");
    // Two seconds to notice, perhaps twice; the rest is the work, in a dev build on a busy machine.
    assert!(since.elapsed() < Duration::from_secs(15), "noticed after {:?}", since.elapsed());
}

/// The input breaks off, or the list of the merges: neither must look like the end.
fn source_panics(subject: &Subject) {
    for source in ["source", "merges"] {
        breaks_off::<Sort>(subject, &Asked::of("large", &[]).job(), source, 1);
    }
}

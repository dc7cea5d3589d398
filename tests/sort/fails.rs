//! Faults within the work: a panic in every model, and a worker that is killed, aborts or is
//! suspended, where workers are processes. They happen while a chunk is sorted, while a run is
//! written, in a pass, and in the last merges. A task that always fails ends the run with an error
//! that names it, because a result without its lines would be wrong.

use std::time::Duration;

use cc_conformance::{
    case::{Case, Needs},
    failpoint::Failpoint,
    fault::Action,
    laws::{Place, dies_once, replaced},
    subject::Subject,
};
use cc_workloads::Cause;

use super::{Sort, files::LATE_MERGE, invocation::Invocation, run_result::RunResult};

/// A place in the work: its part of the case's name, the name of the failpoint, and from where on
/// it hits.
type Named = (&'static str, &'static str, u64);

const PLACES: [Named; 7] = [
    ("at_the_first_chunk", "large/a", 0),
    ("at_a_later_chunk", "large/b", 1 << 20),
    ("at_the_last_chunk", "large/c", 500 << 10),
    ("in_a_run", "run", 0),
    ("in_a_later_run", "run", 7),
    ("in_a_pass", "merge", 3),
    ("in_a_merge", "merge", LATE_MERGE),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![Case::new("panic_in_memory", panic_in_memory)];
    for place in PLACES {
        let name = place.0;
        let panics = move |subject: &Subject| task_fails(subject, Action::Panic, place);
        cases.push(Case::new(format!("panic_{name}"), panics));
        let killed = move |subject: &Subject| dies_once::<Sort>(subject, Action::Kill, &at(place));
        cases.push(Case::new(format!("killed_{name}"), killed).needs(Needs::Processes));
    }
    for place in [PLACES[1], PLACES[4], PLACES[5], PLACES[6]] {
        let name = place.0;
        let dies_always = move |subject: &Subject| task_fails(subject, Action::Kill, place);
        cases.push(Case::new(format!("killed_again_and_again_{name}"), dies_always).needs(Needs::Processes));
        // Two seconds to notice, perhaps twice; the rest is the work, in a dev build on a busy
        // machine.
        let within = Duration::from_secs(15);
        let suspended = move |subject: &Subject| replaced::<Sort>(subject, "failpoint", &at(place), within);
        cases.push(Case::new(format!("suspended_{name}"), suspended).needs(Needs::Watched));
    }
    cases
}

fn at((_, name, from): Named) -> Place {
    Place::new(name, from)
}

/// A task that fails each time it is tried ends the run, with an error that names the task.
fn task_fails(subject: &Subject, action: Action, (_, place, from): Named) {
    let failpoint = Failpoint::new("failpoint");
    // Later tasks would fail too, but they are not begun, or not reported.
    let faulty = Invocation::of("large", &[]).with(failpoint.fault(place, from, action, 1000));
    let ctx = subject.ctx(2);
    let run_result = RunResult::of(subject, &faulty, &ctx);
    let sorted = run_result.totals.sorted;
    let why = run_result.why();
    assert!(sorted == 0 || from == LATE_MERGE || !subject.facts.merges_in_passes, "lines of a failed run");
    let named = match place {
        "merge" => "merge ",
        _ if why.contains("large/") => "", // a chunk is named after its first piece
        _ => panic!("the error has no name: {why}"),
    };
    assert!(why.starts_with(named) && why.contains(" failed"), "{why}");
    assert!(action != Action::Panic || why.ends_with(": panicked: planned"), "{why}");
    assert_eq!(ctx.stop.cause(), Some(Cause::Break), "the run was not asked to stop");
    if action == Action::Kill {
        // Other tasks may have hit the failpoint meanwhile.
        assert!(failpoint.hits() >= 3, "given up after {} deaths", failpoint.hits());
    }
}

/// Panics while all runs are in memory.
fn panic_in_memory(subject: &Subject) {
    for (nth, (place, from)) in [("large/b", 1 << 20), ("run", 2), ("merge", 1)].into_iter().enumerate() {
        let failpoint = Failpoint::new(&format!("failpoint{nth}"));
        let faulty = Invocation::of("large", &[]).in_memory_of(256 << 20);
        let faulty = faulty.with(failpoint.fault(place, from, Action::Panic, 1));
        let why = RunResult::of(subject, &faulty, &subject.ctx(2)).why();
        assert!(why.ends_with(": panicked: planned"), "{why}");
    }
}

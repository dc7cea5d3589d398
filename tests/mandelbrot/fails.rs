//! Faults within the work: a tile that panics, or that ends its worker, each time it is tried.

use super::run_result::{Invocation, RunResult, tiles, view};
use cc_conformance::{
    case::{Case, Needs},
    failpoint::Failpoint,
    fault::Action,
    subject::Subject,
};
use cc_workloads::mandelbrot::View;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("panic_in_every_tile", panic_in_every_tile),
        Case::new("panic_in_a_task_of_seven", panic_in_a_task_of_seven),
    ];
    for (place, tile) in [("first", 0), ("middle", MIDDLE), ("last", LAST)] {
        let case = move |subject: &Subject| tile_fails(subject, Action::Panic, tile);
        cases.push(Case::new(format!("panic_in_the_{place}_tile"), case));
    }
    for (name, action) in [("killed", Action::Kill), ("aborted", Action::Abort)] {
        let case = move |subject: &Subject| tile_fails(subject, action, MIDDLE);
        cases.push(Case::new(format!("{name}_again_and_again"), case).needs(Needs::Processes));
    }
    cases
}

pub(super) const MIDDLE: u64 = 41;
pub(super) const LAST: u64 = 95;

/// A picture of 96 tiles.
pub(super) fn whole() -> View {
    let view = view(192, 128);
    assert_eq!(tiles(&view), LAST + 1);
    view
}

/// The end of the name of this tile's failpoint.
pub(super) fn name(tile: u64) -> String {
    format!("tile {tile}")
}

/// A tile fails each time it is computed. It is reported by number, and the other tiles are done,
/// even those of the same task.
fn tile_fails(subject: &Subject, action: Action, culprit: u64) {
    let failpoint = Failpoint::new("failpoint");
    let faulty = Invocation::from(&whole()).with(failpoint.fault(&name(culprit), 0, action, 1000));
    let run_result = RunResult::of(subject, &faulty, &subject.ctx(2));
    let failed: Vec<(u64, u32)> = run_result.failed.into_iter().collect();
    assert_eq!(failed, [(culprit, 1)], "another tile failed, or more than one: {}", run_result.messages);
    assert_eq!(run_result.done.len() as u64, LAST, "tiles are missing");
    let reason = run_result.messages.strip_prefix(&format!("mandelbrot: tile {culprit} failed: "));
    let reason = reason.unwrap_or_else(|| panic!("another message: {:?}", run_result.messages));
    assert!(action != Action::Panic || reason == "panicked: planned\n", "another reason: {reason:?}");
    assert_eq!(reason.lines().count(), 1, "{reason:?}");
    // A panic: once among its neighbours and once alone. Deaths: three times in each way. A death
    // while other tasks are in flight is not counted, so there may be more.
    let (least, most) = if action == Action::Panic { (1, 2) } else { (3, 8) };
    let hits = failpoint.hits();
    assert!((least..=most).contains(&hits), "hit {hits} times");
    let rest = RunResult { failed: [].into(), ..run_result };
    rest.assert_part_of(&RunResult::reference(&whole()), &whole());
}

/// A tile fails in a task of the size that the job asks for. A model may give up this task, and
/// nothing else.
fn panic_in_a_task_of_seven(subject: &Subject) {
    let failpoint = Failpoint::new("failpoint");
    let faulty = Invocation::from(&whole()).with(failpoint.fault(&name(MIDDLE), 0, Action::Panic, 1000));
    let run_result = RunResult::in_tasks_of(7, subject, &faulty, &subject.ctx(2));
    let tiles = run_result.failed.iter().flat_map(|(first, tiles)| *first..first + u64::from(*tiles));
    let failed: Vec<u64> = tiles.collect();
    let task = MIDDLE / 7 * 7..(MIDDLE / 7 + 1) * 7;
    assert!(failed.contains(&MIDDLE), "it is not reported: {}", run_result.messages);
    assert!(failed.iter().all(|tile| task.contains(tile)), "others failed: {}", run_result.messages);
    assert_eq!(run_result.done.len() + failed.len(), LAST as usize + 1, "tiles are missing");
    run_result.assert_part_of(&RunResult::reference(&whole()), &whole());
}

/// Every tile fails, and each is reported.
fn panic_in_every_tile(subject: &Subject) {
    let failpoint = Failpoint::new("failpoint");
    let faulty = Invocation::from(&whole()).with(failpoint.fault("", 0, Action::Panic, 1000));
    let run_result = RunResult::of(subject, &faulty, &subject.ctx(2));
    assert_eq!(run_result.done.len(), 0);
    assert_eq!(run_result.failed.values().sum::<u32>(), 96);
    assert_eq!(run_result.messages.matches(" failed: panicked: planned\n").count(), run_result.failed.len());
}

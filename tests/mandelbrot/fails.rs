//! Faults within the work: a tile that panics, or ends its worker, again and again.

use super::observe::{Asked, Observed, tiles, view};
use cc_conformance::{
    case::{Case, Needs},
    fault::Action,
    subject::Subject,
    trap::Trap,
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

/// What ends the name of this tile.
pub(super) fn name(tile: u64) -> String {
    format!("tile {tile}")
}

/// A tile fails whenever it is computed: it is reported by its number, and its neighbours, of the same task even,
/// are done.
fn tile_fails(subject: &Subject, action: Action, culprit: u64) {
    let trap = Trap::new("trap");
    let ambushed = Asked::from(&whole()).with(trap.fault(&name(culprit), 0, action, 1000));
    let observed = Observed::of(subject, &ambushed, &subject.ctx(2));
    let failed: Vec<(u64, u32)> = observed.failed.into_iter().collect();
    assert_eq!(failed, [(culprit, 1)], "another tile failed, or more than one: {}", observed.messages);
    assert_eq!(observed.done.len() as u64, LAST, "tiles are missing");
    let reason = observed.messages.strip_prefix(&format!("mandelbrot: tile {culprit} failed: "));
    let reason = reason.unwrap_or_else(|| panic!("another message: {:?}", observed.messages));
    assert!(action != Action::Panic || reason == "panicked: planned\n", "another reason: {reason:?}");
    assert_eq!(reason.lines().count(), 1, "{reason:?}");
    // Once (or three times) among its neighbours, and as often alone. A death while other tasks are
    // in flight is not counted.
    let (least, most) = if action == Action::Panic { (1, 2) } else { (3, 8) };
    let strikes = trap.strikes();
    assert!((least..=most).contains(&strikes), "struck {strikes} times");
    let rest = Observed { failed: [].into(), ..observed };
    rest.assert_part_of(&Observed::reference(&whole()), &whole());
}

/// A tile fails in a task that is as large as the job asks for: a model may give up the task, and nothing else.
fn panic_in_a_task_of_seven(subject: &Subject) {
    let trap = Trap::new("trap");
    let ambushed = Asked::from(&whole()).with(trap.fault(&name(MIDDLE), 0, Action::Panic, 1000));
    let observed = Observed::in_tasks_of(7, subject, &ambushed, &subject.ctx(2));
    let tiles = observed.failed.iter().flat_map(|(first, tiles)| *first..first + u64::from(*tiles));
    let failed: Vec<u64> = tiles.collect();
    let task = MIDDLE / 7 * 7..(MIDDLE / 7 + 1) * 7;
    assert!(failed.contains(&MIDDLE), "it is not reported: {}", observed.messages);
    assert!(failed.iter().all(|tile| task.contains(tile)), "others failed: {}", observed.messages);
    assert_eq!(observed.done.len() + failed.len(), LAST as usize + 1, "tiles are missing");
    observed.assert_part_of(&Observed::reference(&whole()), &whole());
}

/// Nothing can be done, and every tile is reported.
fn panic_in_every_tile(subject: &Subject) {
    let trap = Trap::new("trap");
    let ambushed = Asked::from(&whole()).with(trap.fault("", 0, Action::Panic, 1000));
    let observed = Observed::of(subject, &ambushed, &subject.ctx(2));
    assert_eq!(observed.done.len(), 0);
    assert_eq!(observed.failed.values().sum::<u32>(), 96);
    assert_eq!(observed.messages.matches(" failed: panicked: planned\n").count(), observed.failed.len());
}

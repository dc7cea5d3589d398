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
use cc_workloads::mandelbrot::{Job, View};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    Mandelbrot,
    observe::{Asked, Observed, tiles, view},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("panic_in_every_tile", panic_in_every_tile),
        Case::new("panic_in_the_source", source_panics),
        Case::new("panic_in_a_task_of_seven", panic_in_a_task_of_seven),
        Case::new("killed_and_stopped", killed_and_stopped).needs(Needs::Processes),
        Case::new("suspended_and_stopped", suspended_and_stopped).needs(Needs::Processes),
        Case::new("suspended_worker_is_replaced", suspended_worker_is_replaced).needs(Needs::Watched),
        Case::new("late_worker_is_not_believed_twice", late_worker_is_not_believed_twice)
            .needs(Needs::Watched),
    ];
    for (place, tile) in [("first", 0), ("middle", MIDDLE), ("last", LAST)] {
        let case = move |subject: &Subject| tile_fails(subject, Action::Panic, tile);
        cases.push(Case::new(format!("panic_in_the_{place}_tile"), case));
        for (name, action) in [("killed", Action::Kill), ("aborted", Action::Abort)] {
            let case = move |subject: &Subject| dies_once(subject, action, tile);
            cases.push(Case::new(format!("{name}_in_the_{place}_tile"), case).needs(Needs::Processes));
        }
    }
    for (name, action) in [("killed", Action::Kill), ("aborted", Action::Abort)] {
        let case = move |subject: &Subject| tile_fails(subject, action, MIDDLE);
        cases.push(Case::new(format!("{name}_again_and_again"), case).needs(Needs::Processes));
        let case = move |subject: &Subject| many_die(subject, action);
        cases.push(Case::new(format!("{name}_many_times"), case).needs(Needs::Processes));
    }
    cases
}

const MIDDLE: u64 = 41;
const LAST: u64 = 95;

/// A picture of 96 tiles.
fn whole() -> View {
    let view = view(192, 128);
    assert_eq!(tiles(&view), LAST + 1);
    view
}

/// What ends the name of this tile.
fn name(tile: u64) -> String {
    format!("tile {tile}")
}

/// A worker dies once, and nobody can tell from the picture.
fn dies_once(subject: &Subject, action: Action, tile: u64) {
    let trap = Trap::new("trap");
    let ambushed = Asked::from(&whole()).with(trap.fault(&name(tile), 0, action, 1));
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert_same(&Observed::reference(&whole()), &whole());
    assert_eq!(trap.strikes(), 1, "no worker died");
}

/// Many tiles kill their worker once or twice, each.
fn many_die(subject: &Subject, action: Action) {
    let traps: Vec<Trap> = (0..6).map(|n| Trap::new(&format!("trap{n}"))).collect();
    let ambushed = traps.iter().zip(0..).fold(Asked::from(&whole()), |asked, (trap, n)| {
        asked.with(trap.fault(&name(n * 17 + 3), 0, action, 1 + u32::from(n % 2 == 0)))
    });
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert_same(&Observed::reference(&whole()), &whole());
    assert_eq!(traps.iter().map(Trap::strikes).sum::<usize>(), 9);
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

/// A stop while a dead worker is being replaced.
fn killed_and_stopped(subject: &Subject) {
    let trap = Trap::halting("trap");
    let ambushed = Asked::from(&whole()).with(trap.fault(&name(MIDDLE), 0, Action::Kill, 1));
    let observed = stopped_in(&trap, &subject.ctx(2), |_| (), |ctx| Observed::of(subject, &ambushed, ctx));
    observed.assert_part_of(&Observed::reference(&whole()), &whole());
    assert_eq!(observed.messages, "");
}

/// A worker that hangs does not keep a stop from ending everything.
fn suspended_and_stopped(subject: &Subject) {
    let trap = Trap::halting("trap");
    let ambushed = Asked::from(&whole()).with(trap.fault(&name(MIDDLE), 0, Action::Suspend, 1));
    let ctx = subject.ctx(2);
    let observed =
        stopped_in(&trap, &ctx, tree::wait_until_stopped, |ctx| Observed::of(subject, &ambushed, ctx));
    observed.assert_part_of(&Observed::reference(&whole()), &whole());
    assert!(!observed.done.contains(&MIDDLE), "nobody was suspended");
    assert_eq!(observed.messages, "");
}

/// A worker that hangs is noticed, and its tiles are done by others.
fn suspended_worker_is_replaced(subject: &Subject) {
    let trap = Trap::new("trap");
    let ambushed = Asked::from(&whole()).with(trap.fault(&name(MIDDLE), 0, Action::Suspend, 1));
    let since = Instant::now();
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert_same(&Observed::reference(&whole()), &whole());
    assert_eq!(trap.strikes(), 1, "no worker was suspended");
    // Two seconds to notice; the rest is the work, in a dev build on a busy machine.
    assert!(since.elapsed() < Duration::from_secs(10), "noticed after {:?}", since.elapsed());
}

/// A worker that hangs and then goes on: its late results are not shown a second time.
fn late_worker_is_not_believed_twice(subject: &Subject) {
    let (trap, gate) = (Trap::halting("trap"), Trap::halting("gate"));
    let ambushed = Asked::from(&whole()).with(trap.fault(&name(MIDDLE), 0, Action::Suspend, 1));
    // The second to try the tile, after the first is suspected, waits until the first has been woken.
    let ambushed = ambushed.with(gate.fault(&name(MIDDLE), 0, Action::Block, 1));
    let observed = thread::scope(|scope| {
        let (trap, gate) = (&trap, &gate);
        scope.spawn(move || {
            let suspended = trap.reached();
            let _ = gate.reached();
            // It may have been ended meanwhile, which is a model's right.
            let pid = Pid::from_raw(suspended.cast_signed()).expect("a process has a number");
            let _ = kill_process(pid, Signal::CONT);
            gate.open();
        });
        Observed::of(subject, &ambushed, &subject.ctx(2))
    });
    observed.assert_same(&Observed::reference(&whole()), &whole());
}

/// The tasks break off, which must not look like their end.
fn source_panics(subject: &Subject) {
    breaks_off::<Mandelbrot>(subject, &Job::new(whole()), "source", 1);
}

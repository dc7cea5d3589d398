//! Faults within the work: a panic in every model; a worker that is killed, aborts or is suspended where it can. All
//! of it with a folder to write to: there is never half a file, nor a temporary one.

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
use rustix::process::{Pid, Signal, kill_process};

use super::{
    Resize, corpus,
    observe::{Asked, Observed, is},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("panic_before_an_image", |subject| image_fails(subject, Action::Panic, BEFORE)),
        Case::new("panic_within_an_image", |subject| image_fails(subject, Action::Panic, WITHIN)),
        Case::new("panic_in_every_image", panic_in_every_image),
        Case::new("panic_in_the_source", source_panics),
        Case::new("killed_and_stopped", killed_and_stopped).needs(Needs::Processes),
        Case::new("suspended_and_stopped", suspended_and_stopped).needs(Needs::Processes),
        Case::new("suspended_worker_is_replaced", suspended_worker_is_replaced).needs(Needs::Watched),
        Case::new("late_worker_is_not_believed_twice", late_worker_is_not_believed_twice)
            .needs(Needs::Watched),
    ];
    for (name, action) in [("killed", Action::Kill), ("aborted", Action::Abort)] {
        let last = format!("medium/{:03}.jpg", corpus::MEDIUM - 1);
        for (place, file, from) in [
            ("before_the_first", "medium/000.jpg".to_owned(), BEFORE),
            ("within_one_in_the_middle", corpus::MIDDLE.to_owned(), WITHIN),
            ("within_the_last", last, WITHIN),
        ] {
            let case = move |subject: &Subject| dies_once(subject, action, &file, from);
            cases.push(Case::new(format!("{name}_{place}"), case).needs(Needs::Processes));
        }
        let case = move |subject: &Subject| image_fails(subject, action, WITHIN);
        cases.push(Case::new(format!("{name}_again_and_again"), case).needs(Needs::Processes));
        let case = move |subject: &Subject| many_die(subject, action);
        cases.push(Case::new(format!("{name}_many_times"), case).needs(Needs::Processes));
    }
    cases
}

/// Before an image is read.
const BEFORE: u64 = 0;
/// Between decoding and encoding it.
const WITHIN: u64 = 1;

fn album() -> Asked {
    Asked::of("medium").into("out")
}

/// A worker dies once, and nobody can tell from the thumbnails.
fn dies_once(subject: &Subject, action: Action, file: &str, from: u64) {
    let trap = Trap::new("trap");
    let ambushed = album().with(trap.fault(file, from, action, 1));
    let whole = Observed::reference(&album());
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert_same(&whole);
    assert_eq!(trap.strikes(), 1, "no worker died");
}

/// Many images kill their worker once or twice, each.
fn many_die(subject: &Subject, action: Action) {
    let traps: Vec<Trap> = (0..6).map(|n| Trap::new(&format!("trap{n}"))).collect();
    let ambushed = traps.iter().enumerate().fold(album(), |asked, (n, trap)| {
        let file = format!("medium/{:03}.jpg", n * 15 + 3);
        asked.with(trap.fault(&file, WITHIN, action, 1 + u32::from(n % 2 == 0)))
    });
    let whole = Observed::reference(&album());
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert_same(&whole);
    assert_eq!(traps.iter().map(Trap::strikes).sum::<usize>(), 9);
}

/// An image fails whenever it is tried: it is reported by name, and the others are done.
fn image_fails(subject: &Subject, action: Action, from: u64) {
    let trap = Trap::new("trap");
    let ambushed = album().with(trap.fault(corpus::MIDDLE, from, action, 1000));
    let whole = Observed::reference(&album());
    let observed = Observed::of(subject, &ambushed, &subject.ctx(2));
    let [(name, why)] = &observed.failures()[..] else {
        panic!("not one failure: {:?}", observed.failures())
    };
    assert!(is(name, corpus::MIDDLE), "another image: {name}");
    assert!(action != Action::Panic || why == "panicked: planned", "another reason: {why:?}");
    assert_eq!(observed.said(), format!("resize: {name}: {why}\n"));
    // A death while other tasks are in flight is not counted.
    let (least, most) = if action == Action::Panic { (1, 1) } else { (3, 4) };
    assert!((least..=most).contains(&trap.strikes()), "struck {} times", trap.strikes());
    assert_eq!((observed.outputs.len(), observed.status), (corpus::MEDIUM, 1));
    assert_eq!(observed.folder.len(), corpus::MEDIUM - 1);
    let rest = observed.outputs.iter().filter(|shown| !shown.0.ends_with(corpus::MIDDLE.as_bytes()));
    let rest = Observed { outputs: rest.cloned().collect(), ..observed };
    rest.assert_part_of(&whole);
}

/// Nothing can be done, and every image is reported.
fn panic_in_every_image(subject: &Subject) {
    let trap = Trap::new("trap");
    let ambushed = album().with(trap.fault(".jpg", WITHIN, Action::Panic, 1000));
    let observed = Observed::of(subject, &ambushed, &subject.ctx(2));
    let panicked = observed.failures().iter().filter(|(_, why)| why == "panicked: planned").count();
    assert_eq!((panicked, observed.outputs.len()), (corpus::MEDIUM, corpus::MEDIUM));
    assert!(observed.folder.is_empty(), "{:?}", observed.folder.keys());
}

/// A stop while a dead worker is being replaced.
fn killed_and_stopped(subject: &Subject) {
    let trap = Trap::halting("trap");
    let ambushed = album().with(trap.fault(corpus::MIDDLE, WITHIN, Action::Kill, 1));
    let whole = Observed::reference(&album());
    let observed = stopped_in(&trap, &subject.ctx(2), |_| (), |ctx| Observed::of(subject, &ambushed, ctx));
    observed.assert_part_of(&whole);
    assert_eq!(observed.said(), "");
}

/// A worker that hangs does not keep a stop from ending everything.
fn suspended_and_stopped(subject: &Subject) {
    let trap = Trap::halting("trap");
    let ambushed = album().with(trap.fault(corpus::MIDDLE, WITHIN, Action::Suspend, 1));
    let whole = Observed::reference(&album());
    let ctx = subject.ctx(2);
    let observed =
        stopped_in(&trap, &ctx, tree::wait_until_stopped, |ctx| Observed::of(subject, &ambushed, ctx));
    observed.assert_part_of(&whole);
    assert!(observed.outputs.len() < corpus::MEDIUM, "nobody was suspended");
    assert_eq!(observed.said(), "");
}

/// A worker that hangs is noticed, and its images are done by others.
fn suspended_worker_is_replaced(subject: &Subject) {
    let trap = Trap::new("trap");
    let ambushed = album().with(trap.fault(corpus::MIDDLE, WITHIN, Action::Suspend, 1));
    let whole = Observed::reference(&album());
    let since = Instant::now();
    Observed::of(subject, &ambushed, &subject.ctx(2)).assert_same(&whole);
    assert_eq!(trap.strikes(), 1, "no worker was suspended");
    // Two seconds to notice; the rest is the work, in a dev build on a busy machine.
    assert!(since.elapsed() < Duration::from_secs(10), "noticed after {:?}", since.elapsed());
}

/// A worker that hangs and then goes on: its late results are not shown a second time.
fn late_worker_is_not_believed_twice(subject: &Subject) {
    let (trap, gate) = (Trap::halting("trap"), Trap::halting("gate"));
    let ambushed = album().with(trap.fault(corpus::MIDDLE, WITHIN, Action::Suspend, 1));
    // The second to try the image, after the first is suspected, waits until the first has been woken.
    let ambushed = ambushed.with(gate.fault(corpus::MIDDLE, WITHIN, Action::Block, 1));
    let whole = Observed::reference(&album());
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
    observed.assert_same(&whole);
}

/// The input breaks off, which must not look like its end.
fn source_panics(subject: &Subject) {
    breaks_off::<Resize>(subject, &album().job(), "source", 1);
}

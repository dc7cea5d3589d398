//! Faults within the work: an image that panics, or ends its worker, again and again. There is
//! never half a file in the folder, nor a temporary one.

use super::{
    corpus,
    observe::{Asked, Observed, is},
};
use cc_conformance::{
    case::{Case, Needs},
    fault::Action,
    subject::Subject,
    trap::Trap,
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("panic_before_an_image", |subject| image_fails(subject, Action::Panic, BEFORE)),
        Case::new("panic_within_an_image", |subject| image_fails(subject, Action::Panic, WITHIN)),
        Case::new("panic_in_every_image", panic_in_every_image),
    ];
    for (name, action) in [("killed", Action::Kill), ("aborted", Action::Abort)] {
        let case = move |subject: &Subject| image_fails(subject, action, WITHIN);
        cases.push(Case::new(format!("{name}_again_and_again"), case).needs(Needs::Processes));
    }
    cases
}

/// Before an image is read.
pub(super) const BEFORE: u64 = 0;
/// Between decoding and encoding it.
pub(super) const WITHIN: u64 = 1;

pub(super) fn album() -> Asked {
    Asked::of("medium").into("out")
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

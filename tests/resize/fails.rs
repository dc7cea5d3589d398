//! Faults within the work: an image that panics, or that ends its worker, each time it is tried.
//! The folder never has half a file nor a temporary one.

use super::{
    corpus,
    run_result::{Invocation, RunResult, is},
};
use cc_conformance::{
    case::{Case, Needs},
    failpoint::Failpoint,
    fault::Action,
    subject::Subject,
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

pub(super) fn album() -> Invocation {
    Invocation::of("medium").into("out")
}

/// An image fails each time it is tried. It is reported by name, and the other images are done.
fn image_fails(subject: &Subject, action: Action, from: u64) {
    let failpoint = Failpoint::new("failpoint");
    let faulty = album().with(failpoint.fault(corpus::MIDDLE, from, action, 1000));
    let whole = RunResult::reference(&album());
    let run_result = RunResult::of(subject, &faulty, &subject.ctx(2));
    let [(name, why)] = &run_result.failures()[..] else {
        panic!("not one failure: {:?}", run_result.failures())
    };
    assert!(is(name, corpus::MIDDLE), "another image: {name}");
    assert!(action != Action::Panic || why == "panicked: planned", "another reason: {why:?}");
    assert_eq!(run_result.said(), format!("resize: {name}: {why}\n"));
    // A death while other tasks are in flight is not counted, so there may be one more.
    let (least, most) = if action == Action::Panic { (1, 1) } else { (3, 4) };
    assert!((least..=most).contains(&failpoint.hits()), "hit {} times", failpoint.hits());
    assert_eq!((run_result.outputs.len(), run_result.status), (corpus::MEDIUM, 1));
    assert_eq!(run_result.folder.len(), corpus::MEDIUM - 1);
    let rest = run_result.outputs.iter().filter(|shown| !shown.0.ends_with(corpus::MIDDLE.as_bytes()));
    let rest = RunResult { outputs: rest.cloned().collect(), ..run_result };
    rest.assert_part_of(&whole);
}

/// Every image fails, and each is reported.
fn panic_in_every_image(subject: &Subject) {
    let failpoint = Failpoint::new("failpoint");
    let faulty = album().with(failpoint.fault(".jpg", WITHIN, Action::Panic, 1000));
    let run_result = RunResult::of(subject, &faulty, &subject.ctx(2));
    let panicked = run_result.failures().iter().filter(|(_, why)| why == "panicked: planned").count();
    assert_eq!((panicked, run_result.outputs.len()), (corpus::MEDIUM, corpus::MEDIUM));
    assert!(run_result.folder.is_empty(), "{:?}", run_result.folder.keys());
}

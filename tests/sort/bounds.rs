//! Bounds: memory, descriptors, threads.

use cc_conformance::{
    bounds::{limit_descriptors, peak_memory},
    case::Case,
    subject::Subject,
};

use super::{
    corpus,
    invocation::Invocation,
    run_result::{RunResult, conforms_in},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("descriptor_limit_of_32", descriptor_limit_of_32),
        Case::new("memory_for_24_mb", |subject| memory(subject, 4, 2)),
        Case::new("memory_for_96_mb", |subject| memory(subject, 16, 2)).long(),
        Case::new("memory_for_96_mb_8_workers", |subject| memory(subject, 16, 8)).long(),
    ]
}

/// A run needs at most 32 descriptors, independent of the number of runs: a merge keeps no file
/// open.
fn descriptor_limit_of_32(subject: &Subject) {
    limit_descriptors(32);
    conforms_in(subject, "large", "plain", 0, &subject.ctx(1));
    conforms_in(subject, "large", "plain", 0, &subject.ctx(2));
}

/// The memory limit of all workers together. It is so small that the text does not fit. A model
/// that merges all runs at once needs more memory, or there would be too many runs.
fn allowed(subject: &Subject) -> u64 {
    if subject.facts.merges_in_passes { 8 << 20 } else { 40 << 20 }
}

/// Memory per worker beyond the limit: rounding by the allocator, and stacks.
const WORKER: u64 = 1 << 20;

/// Sorting the large text `times` times takes at most the limit and a quarter of it, beyond the
/// memory of a run on almost no input.
fn memory(subject: &Subject, times: usize, workers: usize) {
    // Such a run is so short that its peak can be missed.
    let nothing = (0..5).map(|_| peak(subject, &Invocation::of("odd/no-newline", &[]), workers)).max();
    let nothing = nothing.expect("there are five");
    let mut invocation = Invocation::new(&["-k1,1"]).in_memory_of(allowed(subject));
    for _ in 0..times {
        invocation = corpus::files("large").into_iter().fold(invocation, Invocation::at);
    }
    let peak = peak(subject, &invocation, workers);
    let most = nothing + allowed(subject) * 5 / 4 + WORKER * workers as u64;
    let [peak, most, nothing] = [peak, most, nothing].map(|bytes| bytes >> 10);
    assert!(peak <= most, "{peak} KiB, more than {most} ({nothing} for nothing)");
}

/// The peak memory of a run.
fn peak(subject: &Subject, invocation: &Invocation, workers: usize) -> u64 {
    peak_memory(|| {
        let run_result = RunResult::forgotten(subject, invocation, &subject.ctx(workers));
        assert_eq!(run_result.error, None);
    })
}

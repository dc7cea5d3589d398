//! Bounds: memory, descriptors, threads.

use std::process;

use cc_conformance::{
    bounds::{limit_descriptors, peak_memory},
    case::{Case, Needs},
    subject::Subject,
    tree,
};
use cc_workloads::sort::Output;

use super::{
    asked::Asked,
    corpus,
    observe::{Observed, conforms_in},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("descriptor_limit_of_32", descriptor_limit_of_32),
        Case::new("no_threads_but_the_models", no_threads_but_the_models).needs(Needs::CountedThreads),
        Case::new("memory_for_24_mb", |subject| memory(subject, 4, 2)),
        Case::new("memory_for_96_mb", |subject| memory(subject, 16, 2)).long(),
        Case::new("memory_for_96_mb_8_workers", |subject| memory(subject, 16, 8)).long(),
    ]
}

/// With 32 descriptors nothing runs out of them, however many runs there are: a merge keeps none of them open.
fn descriptor_limit_of_32(subject: &Subject) {
    limit_descriptors(32);
    conforms_in(subject, "large", "plain", 0, &subject.ctx(1));
    conforms_in(subject, "large", "plain", 0, &subject.ctx(2));
}

/// The kernels and what they are made of start no threads of their own.
fn no_threads_but_the_models(subject: &Subject) {
    let most = subject.threads(2);
    let mut seen = 0;
    let mut count = |_: &Output| seen = seen.max(tree::threads(process::id()).len());
    Observed::until(subject, &Asked::of("large", &[]), &subject.ctx(2), None, &mut count);
    assert!((1..=most).contains(&seen), "{seen} threads instead of {most}");
}

/// What is taken for all workers together: so little that the text does not fit into it. Those who merge all runs at once
/// need more, or there are too many.
fn allowed(subject: &Subject) -> u64 {
    if subject.facts.merges_in_passes { 8 << 20 } else { 40 << 20 }
}

/// Rounding by the allocator, and stacks that are touched for the first time.
const WORKER: u64 = 1 << 20;

/// The large text so many times over does not take more memory than is allowed, and a quarter of it, beyond what a run of
/// nothing takes.
fn memory(subject: &Subject, times: usize, workers: usize) {
    // That is over so soon that its peak can be missed.
    let nothing = (0..5).map(|_| peak(subject, &Asked::of("odd/no-newline", &[]), workers)).max();
    let nothing = nothing.expect("there are five");
    let mut asked = Asked::new(&["-k1,1"]).in_memory_of(allowed(subject));
    for _ in 0..times {
        asked = corpus::files("large").into_iter().fold(asked, Asked::at);
    }
    let peak = peak(subject, &asked, workers);
    let most = nothing + allowed(subject) * 5 / 4 + WORKER * workers as u64;
    let [peak, most, nothing] = [peak, most, nothing].map(|bytes| bytes >> 10);
    assert!(peak <= most, "{peak} KiB, more than {most} ({nothing} for nothing)");
}

/// The most memory that a run takes.
fn peak(subject: &Subject, asked: &Asked, workers: usize) -> u64 {
    peak_memory(|| {
        let observed = Observed::forgotten(subject, asked, &subject.ctx(workers));
        assert_eq!(observed.error, None);
    })
}

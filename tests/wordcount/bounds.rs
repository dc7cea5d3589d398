//! Bounds: memory, descriptors, threads.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    process,
};

use cc_conformance::{
    bounds::{limit_descriptors, peak_memory},
    case::{Case, Needs},
    subject::Subject,
    tree,
};
use cc_workloads::wordcount::Output;

use super::observe::{Asked, Observed, conforms};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("descriptor_limit_of_32", descriptor_limit_of_32),
        Case::new("no_threads_but_the_models", no_threads_but_the_models).needs(Needs::CountedThreads),
        Case::new("memory_of_a_million_words", |subject| memory(subject, 1_000_000, 2, 5)),
        Case::new("memory_of_10_million_words", |subject| memory(subject, 10_000_000, 2, 5)).long(),
        Case::new("memory_of_10_million_words_64_workers", |subject| memory(subject, 10_000_000, 64, 8))
            .long(),
    ]
}

/// With 32 descriptors nothing runs out of them, however many files there are.
fn descriptor_limit_of_32(subject: &Subject) {
    limit_descriptors(32);
    for part in ["many", "large", "odd"] {
        conforms(subject, &Asked::of(part));
    }
}

/// The kernels and what they are made of start no threads of their own.
fn no_threads_but_the_models(subject: &Subject) {
    let most = subject.threads(2);
    let mut seen = 0;
    let mut count = |_: &Output| seen = seen.max(tree::threads(process::id()).len());
    Observed::until(subject, &Asked::of("large"), &subject.ctx(2), None, &mut count);
    assert!((1..=most).contains(&seen), "{seen} threads instead of {most}");
}

/// What the programs themselves take, with their runtimes and buffers, in every process.
const BASE: u64 = 12 << 20;

/// A vocabulary of so many words takes at most so many halves of the memory that it takes the reference.
fn memory(subject: &Subject, words: u64, workers: usize, halves: u64) {
    let mut file = BufWriter::new(File::create("words").expect("it can be made"));
    // Three times, in other orders, so that the same words are met in different tasks.
    for step in [1, 7_654_321, 3_141_593] {
        for n in 0..words {
            let word = n * step % words;
            writeln!(file, "{word:x}word").expect("it can be written");
        }
    }
    file.flush().expect("it can be written");
    let reference = peak(&Subject::reference(), 1);
    let mine = peak(subject, workers);
    fs::remove_file("words").expect("it was written");
    let most = reference * halves / 2 + BASE * (1 + workers as u64);
    let (mine, most) = (mine >> 20, most >> 20);
    assert!(mine <= most, "{mine} MiB, more than {most} ({} for the reference)", reference >> 20);
}

/// The most memory that a run takes.
fn peak(subject: &Subject, workers: usize) -> u64 {
    let asked = Asked::new().at("words").but(|settings| settings.top = Some(1));
    peak_memory(|| {
        let observed = Observed::of(subject, &asked, &subject.ctx(workers));
        assert_eq!(observed.error, None);
    })
}

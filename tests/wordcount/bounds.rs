//! Bounds: memory, descriptors, threads.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
};

use cc_conformance::{
    bounds::{limit_descriptors, peak_memory},
    case::Case,
    subject::Subject,
};

use super::run_result::{Invocation, RunResult, conforms};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("descriptor_limit_of_32", descriptor_limit_of_32),
        Case::new("memory_of_a_million_words", |subject| memory(subject, 1_000_000, 2, 5)),
        Case::new("memory_of_10_million_words", |subject| memory(subject, 10_000_000, 2, 5)).long(),
        Case::new("memory_of_10_million_words_64_workers", |subject| memory(subject, 10_000_000, 64, 8))
            .long(),
    ]
}

/// A run needs at most 32 descriptors, independent of the number of files.
fn descriptor_limit_of_32(subject: &Subject) {
    limit_descriptors(32);
    for part in ["many", "large", "odd"] {
        conforms(subject, &Invocation::of(part));
    }
}

/// Memory of each process without words: the runtime and buffers.
const BASE: u64 = 12 << 20;

/// With a vocabulary of `words` words, a run takes at most `halves` halves of the reference's
/// memory.
fn memory(subject: &Subject, words: u64, workers: usize, halves: u64) {
    let mut file = BufWriter::new(File::create("words").expect("it can be made"));
    // Three times, in different orders, so that the same words are in different tasks.
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

/// The peak memory of a run.
fn peak(subject: &Subject, workers: usize) -> u64 {
    let invocation = Invocation::new().at("words").but(|settings| settings.top = Some(1));
    peak_memory(|| {
        let run_result = RunResult::of(subject, &invocation, &subject.ctx(workers));
        assert_eq!(run_result.error, None);
    })
}

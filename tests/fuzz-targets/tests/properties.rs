//! The fuzz targets as property tests, with their corpora, mutations of these, and random bytes.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use cc_fuzz_targets::{TARGETS, Target};
use fastrand::Rng;

/// A fixed seed, so that the inputs are the same in every run.
const SEED: u64 = 7;

/// Maximum length of a random input.
const LONGEST: usize = 300;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The inputs of a target that are in the repository, by name. Inputs that fuzzers add are named by
/// a digest and left out.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(fuzz().join("corpus").join(name)).expect("each target has a corpus");
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| !is_digest(name))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{name} has a corpus");
    inputs
}

fn is_digest(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Runs a target. If it fails, the input is written to a file, and the message names it.
fn run(name: &str, target: Target, input: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("findings");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(name);
        fs::write(&file, input).unwrap();
        panic!(
            "{name} fails with {what}: {}\nIt is in {}: keep it as a file in fuzz/corpus/{name}.",
            input.escape_ascii(),
            file.display()
        );
    }
}

/// Runs a target with each input of its corpus, and with these numbers of mutations and random
/// inputs.
fn check(name: &str, mutations: usize, random: usize) {
    let (_, target) = TARGETS.iter().find(|(own, _)| *own == name).expect("it is a target");
    let inputs = corpus(name);
    for (file, input) in &inputs {
        run(name, *target, input, file);
    }
    let mut rng = Rng::with_seed(SEED);
    for _ in 0..mutations {
        let (file, input) = rng.choice(&inputs).expect("there are some");
        let (_, other) = rng.choice(&inputs).expect("there are some");
        let input = mutated(input.clone(), other, &mut rng);
        run(name, *target, &input, &format!("a mutation of {file}"));
    }
    for _ in 0..random {
        let input: Vec<u8> = (0..rng.usize(..LONGEST)).map(|_| rng.u8(..)).collect();
        run(name, *target, &input, "random bytes");
    }
}

/// The input, changed in some places.
fn mutated(mut input: Vec<u8>, other: &[u8], rng: &mut Rng) -> Vec<u8> {
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(..=input.len());
        let end = (at + rng.usize(..20)).min(input.len());
        match rng.u8(..8) {
            0 => drop(input.drain(at..end)),
            1 => input.truncate(at),
            2 => input.insert(at, rng.u8(..)),
            3 => input.insert(at, *rng.choice(b"\0\t\n\r \"',-/019:@A[\\]a{}\x7f\x80\xff").expect("some")),
            4 => drop(input.splice(at..at, input[at..end].to_vec())),
            5 => {
                let from = rng.usize(..=other.len());
                let to = (from + rng.usize(..40)).min(other.len());
                drop(input.splice(at..end, other[from..to].iter().copied()));
            }
            _ if at < input.len() && rng.bool() => input[at] ^= 1 << rng.u8(..8),
            _ if at < input.len() => input[at] = rng.u8(..),
            _ => {}
        }
    }
    input
}

macro_rules! targets {
    ($($name:ident: $mutations:literal, $random:literal;)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name), $mutations, $random);
            }
        )*

        #[test]
        fn every_target_is_tested_and_fuzzed() {
            let all: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(all, [$(stringify!($name).to_owned()),*].into());
            for (folder, end) in [("fuzz_targets", ".rs"), ("corpus", "")] {
                let entries = fs::read_dir(fuzz().join(folder)).unwrap();
                let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                let names = names.map(|name| name.strip_suffix(end).unwrap().to_owned());
                assert_eq!(names.collect::<BTreeSet<_>>(), all, "in {folder}");
            }
        }
    };
}

// The numbers of mutations and random inputs are limited by the time that a target takes.
targets! {
    blob_names: 1000, 500;
    conversation: 2000, 500;
    http_body: 5000, 500;
    http_head: 5000, 500;
    images: 2000, 500;
    messages: 2000, 1000;
    patterns: 500, 300;
    resp: 5000, 1000;
    sort_keys: 1000, 500;
    urls: 2000, 500;
}

//! Random lines of few letters in random orders, against the oracle and GNU sort.

use std::fs;

use cc_conformance::{
    case::Case,
    random::{caught, each},
    subject::Subject,
};
use fastrand::Rng;
use proptest::{collection::vec, prelude::*, sample::select};

use super::{gnu, invocation::Invocation, oracle::Expected, run_result::RunResult};

/// Maximum number of attempts to make a failing case smaller.
const SHRINKS: u32 = 300;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("random_lines", |subject| small(40, &|invocation| conforms(subject, invocation))),
        Case::new("random_runs", |subject| large(3, &|invocation| conforms(subject, invocation))),
        Case::new("gnu_random_lines", |subject| small(40, &|invocation| agrees(subject, invocation)))
            .unless(gnu::missing)
            .long_in_models(),
        Case::new("many_random_lines", |subject| small(3000, &|invocation| conforms(subject, invocation)))
            .long(),
        Case::new("many_random_runs", |subject| large(60, &|invocation| conforms(subject, invocation)))
            .long(),
        Case::new("many_gnu_random_lines", |subject| small(3000, &|invocation| agrees(subject, invocation)))
            .unless(gnu::missing)
            .long(),
        Case::new("many_gnu_random_runs", |subject| large(60, &|invocation| agrees(subject, invocation)))
            .unless(gnu::missing)
            .long(),
    ]
}

fn conforms(subject: &Subject, invocation: &Invocation) {
    RunResult::of(subject, invocation, &subject.ctx(2)).assert(&Expected::of(invocation, &[]));
}

fn agrees(subject: &Subject, invocation: &Invocation) {
    let run_result = RunResult::of(subject, invocation, &subject.ctx(2));
    assert_eq!(run_result.error, None);
    gnu::agrees(invocation, &run_result.out);
}

fn flags() -> impl Strategy<Value = Vec<String>> {
    let letters = || select(&["", "", "b", "n", "r", "nr", "bn", "bnr"][..]);
    let end = prop::option::of(1..5usize);
    let key = (1..5usize, end, letters()).prop_map(|(from, to, letters)| match to {
        None => format!("-k{from}{letters}"),
        Some(to) => format!("-k{from},{to}{letters}"),
    });
    let plain = vec(select(&["-n", "-r", "-u", "-b"][..]), 0..3);
    let separator = prop::option::of(select(&["-t,", "-t ", "-ta", "-t0"][..]));
    (plain, separator, vec(key, 0..4)).prop_map(|(plain, separator, keys)| {
        let flags = plain.into_iter().chain(separator).map(str::to_owned);
        flags.chain(keys).collect()
    })
}

/// Short lines in several files.
fn small(cases: u32, check: &dyn Fn(&Invocation)) {
    let byte = prop_oneof![
        20 => select(&b"abA  ,01.-\t"[..]),
        6 => Just(b'\n'),
        1 => select(&b"\0\r~\xff\xc3"[..]),
    ];
    let files = vec(vec(byte, 0..200), 1..4);
    each(cases, SHRINKS, &(files, flags()), |(files, flags)| {
        let mut invocation = Invocation { flags, ..Invocation::new(&[]) };
        for (nth, text) in files.iter().enumerate() {
            fs::write(format!("text-{nth}"), text)?;
            invocation = invocation.at(format!("text-{nth}"));
        }
        caught(|| check(&invocation))
    });
}

/// Enough lines for several runs, in memory or in files.
fn large(cases: u32, check: &dyn Fn(&Invocation)) {
    let strategy = (any::<u64>(), 1000..1_300_000usize, select(&[2, 12, 40, 3000][..]), flags());
    each(cases, SHRINKS, &strategy, |(seed, size, longest, flags)| {
        fs::write("text", text(seed, size, longest))?;
        let invocation = Invocation { flags, ..Invocation::new(&[]) }.at("text");
        caught(|| check(&invocation))
    });
}

fn text(seed: u64, size: usize, longest: usize) -> Vec<u8> {
    let mut random = Rng::with_seed(seed);
    let mut text = Vec::with_capacity(size + longest);
    while text.len() < size {
        // Mostly of one letter, so that lines have long common prefixes.
        let length = random.usize(..longest);
        let odd = random.usize(..=length);
        let line =
            (0..length).map(|at| if at == odd { random.choice(*b"ab,. 01-").expect("some") } else { b'a' });
        text.extend(line);
        text.extend(
            std::iter::repeat_with(|| random.choice(*b"a 0,").expect("some")).take(seed as usize % 3),
        );
        text.push(b'\n');
    }
    text
}

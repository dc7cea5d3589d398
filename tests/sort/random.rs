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
        Case::new("random_lines", |subject| small(40, flags(), &|invocation| conforms(subject, invocation))),
        Case::new("random_runs", |subject| large(3, &|invocation| conforms(subject, invocation))),
        Case::new("gnu_random_lines", |subject| gnu_lines(500, subject))
            .unless(gnu::missing)
            .long_in_models(),
        Case::new("many_random_lines", |subject| {
            small(3000, flags(), &|invocation| conforms(subject, invocation));
        })
        .long(),
        Case::new("many_random_runs", |subject| large(60, &|invocation| conforms(subject, invocation)))
            .long(),
        Case::new("many_gnu_random_lines", |subject| gnu_lines(3000, subject)).unless(gnu::missing).long(),
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

/// All orders, with and without `-s`. What GNU sort refuses is refused.
fn gnu_lines(cases: u32, subject: &Subject) {
    small(cases, gnu_flags(), &|invocation| {
        let invocation = &Invocation { is_unstable: true, ..invocation.clone() };
        let has_versions = invocation.flags.iter().any(|flag| flag.contains('V'));
        if has_versions && gnu::has_names_of_suffixes_only() {
            for file in &invocation.files {
                let text = fs::read(file).expect("it was written");
                let text: Vec<u8> = text.into_iter().filter(|byte| *byte != b'.').collect();
                fs::write(file, text).expect("it can be written");
            }
        }
        match (gnu::sorted(invocation), invocation.parsed()) {
            (None, None) => {}
            (Some(_), Some(_)) => agrees(subject, invocation),
            (sorted, _) => panic!("GNU sort {:?} accepts it: {}", invocation.flags, sorted.is_some()),
        }
    });
}

fn gnu_flags() -> impl Strategy<Value = Vec<String>> {
    let letters = || "[bdfghiMnrV]{0,1}|[bfr]{0,2}[bdfghiMnrV]";
    let position = move |bytes: &'static [&'static str]| {
        (1..5usize, select(bytes), letters())
            .prop_map(|(field, byte, letters)| format!("{field}{byte}{letters}"))
    };
    let start = position(&["", "", ".1", ".2", ".5"]);
    let end = prop::option::of(position(&["", "", ".0", ".1", ".3"]));
    let key = (start, end).prop_map(|(start, end)| match end {
        None => format!("-k{start}"),
        Some(end) => format!("-k{start},{end}"),
    });
    let global = vec("-[bdfghiMnrVsuz]", 0..3);
    let separator = prop::option::of(select(&["-t,", "-t ", "-ta", r"-t\0"][..]));
    (global, separator, vec(key, 0..3)).prop_map(|(global, separator, keys)| {
        global.into_iter().chain(separator.map(str::to_owned)).chain(keys).collect()
    })
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
fn small(cases: u32, flags: impl Strategy<Value = Vec<String>>, check: &dyn Fn(&Invocation)) {
    let byte = prop_oneof![
        20 => select(&b"abA  ,01.-\tkKMv~"[..]),
        6 => Just(b'\n'),
        1 => select(&b"\0\r~\xff\xc3"[..]),
    ];
    let files = vec(vec(byte, 0..200), 1..4);
    each(cases, SHRINKS, &(files, flags), |(files, flags)| {
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

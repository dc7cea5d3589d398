//! Random trees, patterns and flags.

use std::{fs, path::PathBuf};

use cc_conformance::{
    case::Case,
    random::{caught, each},
    subject::Subject,
};
use fastrand::Rng;
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    sample::select,
};

use super::{
    corpus, gnu,
    invocation::Invocation,
    run_result::{RunResult, conforms},
};

/// Maximum number of attempts to make a failing case smaller.
const SHRINKS: u32 = 400;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("random_trees", |subject| trees(24, &|invocation| conforms(subject, invocation))),
        Case::new("gnu_random_trees", |subject| trees(500, &|invocation| agrees(subject, invocation)))
            .unless(gnu::missing)
            .long_in_models(),
        Case::new("random_ranges", |subject| ranges(6, &|invocation| conforms(subject, invocation))),
        Case::new("gnu_random_ranges", |subject| ranges(6, &|invocation| agrees(subject, invocation)))
            .unless(gnu::missing)
            .long_in_models(),
        Case::new("many_random_trees", |subject| trees(2000, &|invocation| conforms(subject, invocation)))
            .long(),
        Case::new("many_gnu_random_trees", |subject| trees(4000, &|invocation| agrees(subject, invocation)))
            .unless(gnu::missing)
            .long(),
        Case::new("many_random_ranges", |subject| ranges(200, &|invocation| conforms(subject, invocation)))
            .long(),
        Case::new("many_gnu_random_ranges", |subject| ranges(200, &|invocation| agrees(subject, invocation)))
            .unless(gnu::missing)
            .long(),
    ]
}

fn agrees(subject: &Subject, invocation: &Invocation) {
    gnu::agrees(invocation, &RunResult::of(subject, invocation, &subject.ctx(2)), None);
}

/// A pattern that means the same to both programs, and whether that holds with `-o` too. With `-o`,
/// one program prefers the first alternative, the other the longest match.
#[derive(Clone, Debug)]
struct Pattern {
    source: String,
    is_plain: bool,
}

fn atom() -> impl Strategy<Value = String> {
    const ATOMS: &[&str] = &["a", "b", "c", "A", "_", " ", ".", "[ab]", "[^a]", "[b-z]", "[A-Z_]", "-"];
    select(ATOMS).prop_map(str::to_owned)
}

fn repetition() -> impl Strategy<Value = &'static str> {
    select(&["", "", "", "*", "+", "?", "{2}", "{1,2}"][..])
}

/// Repeated single characters and classes: their first match is the longest.
fn plain() -> impl Strategy<Value = String> {
    vec((atom(), repetition()).prop_map(|(atom, times)| atom + times), 1..4).prop_map(|parts| parts.concat())
}

fn nested() -> impl Strategy<Value = String> {
    atom().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..3).prop_map(|parts| parts.concat()),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one}|{other})")),
            (inner, repetition()).prop_map(|(inner, times)| format!("({inner}){times}")),
        ]
    })
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let source = prop_oneof![plain().prop_map(|s| (s, true)), nested().prop_map(|s| (s, false))];
    (any::<bool>(), source, any::<bool>()).prop_map(|(head, (source, is_plain), tail)| {
        let (head, tail) = (if head && tail { "^" } else { "" }, if tail && !head { "$" } else { "" });
        Pattern { source: format!("{head}{source}{tail}"), is_plain }
    })
}

/// Flags of all kinds: what is matched, what is reported, and which files are searched.
const RANDOM_FLAGS: &[&str] = &[
    "-i",
    "-v",
    "-n",
    "-H",
    "-o",
    "-c",
    "-l",
    "-L",
    "-q",
    "-s",
    "-w",
    "-F",
    "-x",
    "-z",
    "-a",
    "-I",
    "-U",
    "-m0",
    "-m1",
    "-m2",
    "-m-1",
    "-m99999999999999999999",
    "-A0",
    "-A1",
    "-A3",
    "-B1",
    "-B2",
    "-C1",
    "-C4",
    "-2",
    "-12",
    "-A99999999999999999999",
    "--group-separator=+",
    "--no-group-separator",
    "--color=always",
    "--colour=never",
    "--binary-files=text",
    "--binary-files=without-match",
    "--include=[01]",
    "--include=*/2",
    "--exclude=1",
    "--exclude=b/*",
    "--line-r",
    "--inv",
];

fn flags() -> impl Strategy<Value = Vec<&'static str>> {
    vec(select(RANDOM_FLAGS), 0..6)
}

/// The content of a file: mostly lines of a few letters, so that patterns match, and sometimes a
/// NUL.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        30 => select(&b"abcABC_ -z"[..]),
        8 => Just(b'\n'),
        1 => select(&b"\r\t\xff\x80\xc3"[..]),
    ];
    let rare = prop_oneof![9 => Just(None), 1 => any::<u16>().prop_map(Some)];
    (vec(byte, 0..300), rare).prop_map(|(mut bytes, nul)| {
        if let Some(at) = nul
            && !bytes.is_empty()
        {
            let at = usize::from(at) % bytes.len();
            bytes[at] = 0;
        }
        bytes
    })
}

/// An invocation with these flags, without those for which the two programs may differ with these
/// patterns.
fn invocation(patterns: &[Pattern], flags: &[&'static str]) -> Invocation {
    let is_simple = patterns.len() == 1 && patterns[0].is_plain;
    let is_fixed = flags.contains(&"-F");
    let numbers = flags.iter().filter(|flag| ["-2", "-12"].contains(*flag)).count();
    let inverts = flags.iter().any(|flag| ["-v", "--inv"].contains(flag));
    let agreed = |flag: &&&str| match **flag {
        "-o" | "--color=always" => is_simple || (is_fixed && patterns.len() == 1),
        // The two programs differ in what a word is if a match may be empty, or one of several.
        "-w" => (is_simple && patterns[0].source.bytes().all(|b| b.is_ascii_alphabetic())) || is_fixed,
        // Two of them are one number here.
        "-2" | "-12" => numbers == 1,
        // GNU grep 3.8 then selects no line, although it documents that there is no limit.
        "-m-1" => !inverts,
        _ => true,
    };
    let flags: Vec<&'static str> = flags.iter().filter(agreed).copied().collect();
    patterns
        .iter()
        .fold(Invocation::default(), |invocation, pattern| invocation.or(pattern.source.as_str()))
        .flags(&flags)
}

/// Small files, some of them below directories, as operands in this order.
fn trees(cases: u32, check: &dyn Fn(&Invocation)) {
    let tree = vec((select(&["", "a/", "b/", "b/c/"][..]), content()), 1..6);
    let strategy = (tree, vec(pattern(), 1..3), flags());
    each(cases, SHRINKS, &strategy, |(tree, patterns, flags)| {
        let mut invocation = invocation(&patterns, &flags).flag("-H");
        for (n, (dir, content)) in tree.iter().enumerate() {
            fs::create_dir_all(dir.trim_end_matches('/'))
                .or_else(|e| if dir.is_empty() { Ok(()) } else { Err(e) })?;
            let name = format!("{dir}{n}");
            fs::write(&name, content)?;
            invocation = invocation.at(name);
        }
        caught(|| check(&invocation))
    });
}

/// A file of several ranges, with lines of any length.
fn ranges(cases: u32, check: &dyn Fn(&Invocation)) {
    const FLAGS: &[&str] = &[
        "-n",
        "-c",
        "-v",
        "-o",
        "-l",
        "-m3",
        "-m500",
        "-m20000",
        "-i",
        "-x",
        "-A1",
        "-B2",
        "-C30",
        "-a",
        "--color=always",
    ];
    let flags = select(FLAGS);
    let pattern = select(&["needles?", "hay +of", "^[A-Z]+ ", "x_1 *$", "1234", "^$"][..]);
    let strategy = (any::<u64>(), 1_000_000..3_300_000usize, pattern, vec(flags, 0..4));
    each(cases, SHRINKS, &strategy, |(seed, size, pattern, flags)| {
        let mut random = Rng::with_seed(seed);
        let mut text = corpus::prose(&mut random, size);
        // Some long lines, and one that is longer than a range.
        for long in [2000, 70_000, 70_000, 1_200_000].into_iter().take(random.usize(..5)) {
            let at = random.usize(..size);
            let end = (at + long).min(size);
            text[at..end].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        }
        fs::write("ranges", text)?;
        let invocation =
            Invocation::new(pattern).flags(&flags).flag("-H").at(PathBuf::from("ranges")).at("ranges");
        caught(|| check(&invocation))
    });
}

//! The texts: odd ones, and one that makes many runs; with the order that the oracle gives them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
};

pub(super) use cc_conformance::suite::corpus as path;
use cc_workloads::sort::Totals;
use fastrand::Rng;

use super::{
    invocation::Invocation,
    oracle::{self, Expected},
};

/// The files of `large`: names, and approximate sizes in bytes. With the least memory, a run has
/// less than 480 kilobytes, and a merge reads nine of them, or seven if there is one worker.
pub(super) const LARGE: [(&str, usize); 3] = [("a", 3 << 20), ("b", 2 << 20), ("c", 1 << 20)];

/// The number of runs of `large` with the least memory. It is more than one merge can read.
pub(super) const RUNS: u64 = 13;

/// The orders for which the oracle is asked: name and flags.
pub(super) const ORDERS: &[(&str, &[&str])] = &[
    ("plain", &[]),
    ("reversed", &["-r"]),
    ("unique", &["-u"]),
    ("first_field", &["-k1,1"]),
    ("unique_first_fields", &["-u", "-k1,1"]),
    ("numbers", &["-k2,2n"]),
    ("numbers_down_then_text", &["-b", "-k2,2nr", "-k3"]),
    ("separated", &["-t,", "-k2,2r", "-k1n"]),
    ("everything", &["-u", "-r", "-t,", "-k2b,3", "-k1,1n"]),
];

/// The orders in which the odd texts are sorted.
pub(super) const ODD_ORDERS: [&str; 3] = ["plain", "reversed", "unique"];

/// The flags of an order.
pub(super) fn flags(order: &str) -> &'static [&'static str] {
    ORDERS.iter().find(|(name, _)| *name == order).expect("it is one of them").1
}

/// Makes the corpus in a directory.
pub(super) fn make(dir: &Path) {
    let mut random = Rng::with_seed(14);
    let mut jobs = vec![];
    for (name, size) in LARGE {
        write(&dir.join("large").join(name), &lines(&mut random, size));
    }
    jobs.extend(ORDERS.iter().map(|(order, _)| ("large".to_owned(), *order)));
    for (name, text) in odd(&mut random) {
        write(&dir.join("odd").join(name), &text);
        jobs.extend(ODD_ORDERS.iter().map(|order| (format!("odd/{name}"), *order)));
    }
    // In parallel, because the oracle is slow.
    let jobs = Mutex::new(jobs);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let next = || jobs.lock().expect("no thread panics").pop();
                while let Some((part, order)) = next() {
                    expect(dir, &part, order);
                }
            });
        }
    });
}

/// Asks the oracle, and stores its answer.
fn expect(dir: &Path, part: &str, order: &str) {
    let texts: Vec<_> =
        files_of(&dir.join(part)).iter().map(|file| fs::read(file).expect("it is there")).collect();
    let Expected { out, totals } = oracle::sorted(&texts, &Invocation::new(flags(order)).query());
    let Totals { files, bytes, lines, sorted } = totals;
    write(&dir.join("expected").join(part).join(order), &out);
    let totals = format!("{files} {bytes} {lines} {sorted}");
    write(&dir.join("totals").join(part).join(order), totals.as_bytes());
}

/// The oracle's answer.
pub(super) fn expected(part: &str, order: &str) -> Expected {
    let read = |what: &str| fs::read(path(what).join(part).join(order)).expect("the oracle was asked");
    let totals = String::from_utf8(read("totals")).expect("they are text");
    let totals: Vec<u64> = totals.split(' ').map(|count| count.parse().expect("it is a number")).collect();
    let [files, bytes, lines, sorted] = totals[..] else { panic!("there are four totals") };
    Expected { out: read("expected"), totals: Totals { files, bytes, lines, sorted } }
}

/// Lines: some are equal, more have equal fields, and each shows where it comes from. The last has
/// no newline.
pub(super) fn lines(random: &mut Rng, size: usize) -> Vec<u8> {
    const WORDS: [&str; 12] = [
        "a",
        "able",
        "about",
        "above",
        "interest",
        "interested",
        "interesting",
        "interestingly",
        "x",
        "Y",
        "",
        "\u{e4}",
    ];
    let mut text = Vec::with_capacity(size + 100);
    while text.len() < size {
        let word = random.choice(WORDS).expect("there are some");
        let other = random.choice(WORDS).expect("there are some");
        let number =
            f64::from(random.i32(-5000..5000)) / f64::from(random.choice([1, 1, 10, 1000]).expect("some"));
        let blanks = &"   "[..random.usize(..3)];
        // One in four has a copy.
        let place = if random.u8(..4) == 0 { 0 } else { text.len() };
        text.extend_from_slice(
            format!("{word}{blanks} {number},{blanks}{other} {word},{place}\n").as_bytes(),
        );
    }
    text.pop();
    text
}

/// Edge cases of texts.
fn odd(random: &mut Rng) -> Vec<(&'static str, Vec<u8>)> {
    let numbered =
        |lines: u32| (0..lines).map(|n| format!("{n:08} and some more\n")).collect::<String>().into_bytes();
    let sorted = numbered(60_000);
    let reversed = sorted.chunks(23).rev().flatten().copied().collect();
    let mut alike = vec![];
    for _ in 0..3000 {
        // Lines with common prefixes longer than the prefixes that a sort compares first.
        let common = [7, 8, 448, 449, 900][random.usize(..5)];
        alike.extend(std::iter::repeat_n(b'=', common));
        alike.extend_from_slice(format!("{}\n", random.u32(..700)).as_bytes());
    }
    let long = |length: usize, end: u8| [vec![b'l'; length], vec![end, b'\n']].concat();
    let some = lines(random, 100_000);
    let noise = std::iter::repeat_with(|| random.u8(..)).take(1 << 20).collect();
    vec![
        ("empty", vec![]),
        ("no-newline", b"one line".to_vec()),
        ("one-newline", b"\n".to_vec()),
        ("newlines", vec![b'\n'; 50_000]),
        ("zeros", b"a\0b\na\0\0\na\0\na\n\0\n\n\0\0\na\0a\naaaaaaa\0\naaaaaaa\naaaaaaaa\n\0".to_vec()),
        ("all-equal", b"the same line again and again and again\n".repeat(40_000)),
        ("sorted", sorted),
        ("reversed", reversed),
        ("alike", alike),
        ("noise", noise),
        // With the least memory, a chunk has 480 kilobytes, and its buffer 768.
        ("longer-than-a-chunk", [&long(600_000, b'2')[..], &some, b"\n", &long(600_000, b'1')].concat()),
        (
            "longer-than-the-room",
            [&long(1_200_000, b'2')[..], &some, b"\n", &long(3_000_000, b'1'), &long(1_200_000, b'2'), b"a"]
                .concat(),
        ),
    ]
}

/// The names of the odd texts.
pub(super) fn odd_names() -> Vec<&'static str> {
    odd(&mut Rng::with_seed(0)).into_iter().map(|(name, _)| name).collect()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("it is below")).expect("a directory can be made");
    fs::write(path, bytes).expect("it can be written");
}

/// A file of the corpus, or the files of one of its folders.
pub(super) fn files(part: &str) -> Vec<PathBuf> {
    files_of(&path(part))
}

fn files_of(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).expect("the corpus is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.sort();
    files
}

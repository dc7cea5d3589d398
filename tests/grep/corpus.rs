//! The inputs: odd files, many small ones and a big one, made once for all cases.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use fastrand::Rng;

pub(super) use cc_conformance::suite::corpus as path;

const MIB: usize = 1 << 20;

/// The number of directories in `many`. Each has 32 files, which is the maximum for one task.
pub(super) const DIRECTORIES: usize = 100;

/// The number of lines with `needle` in the big file: one in each of this number of equal parts.
pub(super) const PARTS: usize = 240;

/// The size of each part of the big file, in bytes.
pub(super) const PART: usize = 50_000;

/// Makes the corpus in a directory.
pub(super) fn make(dir: &Path) {
    odd(&dir.join("odd"));
    many(&dir.join("many"));
    big(&dir.join("big"));
    fs::write(dir.join("long"), long(8 * MIB)).expect("the corpus can be written");
}

/// The odd files, in the order in which a recursive search visits them.
pub(super) fn odd_files() -> Vec<PathBuf> {
    let entries = fs::read_dir(path("odd")).expect("the corpus is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("the corpus is there").path()).collect();
    files.sort();
    files
}

/// Whether it depends on GNU grep's buffers whether it takes this file for binary.
pub(super) fn is_up_to_buffers(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.as_bytes().starts_with(b"deep-nul"))
}

fn odd(dir: &Path) {
    let mut random = Rng::with_seed(1);
    let mut text = |size: usize| prose(&mut random, size);
    let long_line = |size: usize| [&b"x".repeat(size)[..], b" Needle in the end"].concat();
    let nul_at = |mut text: Vec<u8>, at: usize| {
        text[at] = 0;
        text
    };
    let mut boundary = text(MIB - 1);
    boundary.extend(b"?\nneedle, the first of a mebibyte\n\n\nneedle");
    let mut first_byte = vec![b'y'; MIB];
    first_byte.extend(b"\nneedle after the first byte\n");
    let files: &[(&[u8], Vec<u8>)] = &[
        (b"empty", vec![]),
        (b"one-newline", b"\n".to_vec()),
        (b"one-byte", b"n".to_vec()),
        (b"no-newline", b"hay\nhay needle".to_vec()),
        (b"no-newline-no-match", b"needle\nhay".to_vec()),
        (b"crlf", b"needle\r\nhay\r\n\r\nNEEDLE needle\r\n".to_vec()),
        (b"invalid-utf8", b"\xff\xfeneedle\xc3\n\x80hay\xf0\x9f\nn\xe9edle\n\xff needle\xff\n".to_vec()),
        (b"utf8", "häystack\nnéedle needle\nNEEDLE ﬀ ſ K\n".into()),
        (b"blank-lines", b"\n".repeat(40_000)),
        (b"many-blank-lines", [&text(MIB - 4711)[..], &b"\n".repeat(2 * 4711), b"needle\n\n"].concat()),
        (b"early-nul", b"needle\n\0hay\nneedle again\nhay".to_vec()),
        (b"nul-first", b"\0needle\nneedle\n".to_vec()),
        (b"nul-last", b"needle\nhay needle\n\0".to_vec()),
        (b"nul-unmatched", b"hay\nhay\0hay\nhay\n".to_vec()),
        (b"nul-in-line", b"hay\nneed\0le\nhay needle\0needle hay\n".to_vec()),
        (b"late-nul", nul_at(text(20_000), 15_000)),
        (b"deep-nul-40k", nul_at(text(90_000), 40_000)),
        (b"deep-nul-98303", nul_at(text(150_000), (96 << 10) - 1)),
        (b"deep-nul-98304", nul_at(text(150_000), 96 << 10)),
        (b"deep-nul-1536k", nul_at(text(2 * MIB + 12_345), MIB + MIB / 2)),
        (b"deep-nul-second-range", nul_at(text(2 * MIB + 999), MIB + 1)),
        (b"long-line", long_line(300_000)),
        (b"long-lines", [long_line(MIB), long_line(70_000), long_line(2 * MIB)].join(&b'\n')),
        (b"crossing", text(3 * MIB + 77_777)),
        (b"mebibyte", text(MIB)),
        (b"mebibyte-and-one", {
            let mut t = text(MIB);
            t.push(b'n');
            t
        }),
        (b"mebibyte-less-one", text(MIB - 1)),
        (b"mebibyte-of-one-line", vec![b'z'; MIB]),
        (b"boundary", boundary),
        (b"newline-first-in-mebibyte", first_byte),
        (b"-dash", b"needle in -dash\n".to_vec()),
        (b"with space:and colon", b"needle with space\n".to_vec()),
        (b"new\nline", b"needle in new line\n".to_vec()),
        (b"not-utf8-\xff\xfe", b"needle in not utf8\n".to_vec()),
    ];
    fs::create_dir_all(dir).expect("the corpus can be written");
    for (name, content) in files {
        fs::write(dir.join(OsStr::from_bytes(name)), content).expect("the corpus can be written");
    }
}

fn many(dir: &Path) {
    let mut random = Rng::with_seed(2);
    for at in 0..DIRECTORIES {
        let dir = dir.join(directory(at));
        fs::create_dir_all(&dir).expect("the corpus can be written");
        for file in 0..32 {
            let text = format!("{at}/{file} begins\nneedle {at} {file}\n");
            let size = random.usize(0..400);
            let more = prose(&mut random, size);
            let text = [text.as_bytes(), &more].concat();
            fs::write(dir.join(format!("{file:02}.txt")), text).expect("the corpus can be written");
        }
    }
}

/// The name of a directory in `many`; some are deep.
pub(super) fn directory(at: usize) -> String {
    match at % 10 {
        7 => format!("{:02}/a/b/c/d/e/f/g/h/{at:02}", at / 10),
        _ => format!("{:02}/{at:02}", at / 10),
    }
}

/// The big file: see [`PARTS`].
fn big(path: &Path) {
    let mut random = Rng::with_seed(3);
    let mut text = Vec::with_capacity(PARTS * PART);
    for part in 0..PARTS {
        let line = format!("part {part} has one needle\n");
        let mut hay = b"hay ".repeat((PART - line.len()) / 4 + 1);
        hay.truncate(PART - line.len());
        for at in (random.usize(10..90)..hay.len()).step_by(random.usize(50..90)) {
            hay[at] = b'\n';
        }
        *hay.last_mut().expect("a part has room") = b'\n';
        text.extend(line.as_bytes());
        text.extend(hay);
    }
    fs::write(path, text).expect("the corpus can be written");
}

/// A line of this size between two short ones, with the needle at its beginning, middle and end.
pub(super) fn long(size: usize) -> Vec<u8> {
    let half = vec![b'-'; size / 2];
    [b"short hay\nneedle ", &half[..], b" needle ", &half[..], b" needle\nshort needle"].concat()
}

/// Lines of words, most of them short, of exactly this total size.
pub(super) fn prose(random: &mut Rng, size: usize) -> Vec<u8> {
    const WORDS: &[&str] = &[
        "hay", "stack", "the", "of", "Hay", "a", "needles", "x_1", "needle", "NEEDLE", "1234", "-", "\t", "",
    ];
    let mut text = Vec::with_capacity(size + 16);
    while text.len() < size {
        // Rare words in few lines, and lines of any length.
        let common = if random.u8(..) < 12 { WORDS.len() } else { 6 };
        text.extend(WORDS[random.usize(..common)].as_bytes());
        text.push(if random.u8(..) < 30 { b'\n' } else { b' ' });
    }
    text.truncate(size);
    text
}

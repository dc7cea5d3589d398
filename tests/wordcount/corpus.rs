//! The texts: odd ones, many small ones, and large ones of many tasks.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(super) use cc_conformance::suite::corpus as path;
use cc_workloads::wordcount::inputs::{self, Spec};

/// The number of files in `many`.
pub(super) const MANY: usize = 3000;

/// The number of files in `large`, and their total size in bytes.
pub(super) const LARGE: (usize, u64) = (40, 32 << 20);

/// The file that has half of `large`, and positions in its first, a middle and its last task.
pub(super) const LARGEST: &str = "00000.txt";
pub(super) const PLACES: [u64; 3] = [0, 6 << 20, 12 << 20];

/// Makes the corpus in a directory.
pub(super) fn make(dir: &Path) {
    text(&dir.join("small"), 10, 60_000);
    text(&dir.join("large"), LARGE.0, LARGE.1);
    let words = |n: usize| format!("file {n} says it's number {}, or {}\n", n % 7, n * n);
    write_all(&dir.join("many"), (0..MANY).map(|n| (format!("{:02}/{n:04}", n % 50), words(n).into_bytes())));
    write_all(&dir.join("odd"), odd().into_iter().map(|(name, text)| (name.to_owned(), text)));
}

fn text(at: &Path, files: usize, bytes: u64) {
    let spec = Spec { seed: 9, files, bytes, digest: String::new() };
    inputs::generate(&spec, at).expect("the text can be made");
}

/// Edge cases of texts.
pub(super) fn odd() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", vec![]),
        ("gaps", vec![b' '; 300_000]),
        ("one-word", b"word".to_vec()),
        ("no-end", b"a word and another".to_vec()),
        ("crlf", b"one\r\ntwo\r\n".to_vec()),
        ("zeros", b"a\0b\0\0c\0".to_vec()),
        ("bytes", (0..=255).cycle().take(10_000).collect()),
        ("apostrophes", b"'' ' it's 'quoted' rock'n'roll '".to_vec()),
        ("sixteen", b"abcdefghijklmno abcdefghijklmnop abcdefghijklmnopq abcdefghijklmnop".to_vec()),
        ("long-word", [&vec![b'w'; 200_000][..], b" ", &vec![b'w'; 200_000], b" x"].concat()),
        // Longer than a task, so that no word begins in some ranges.
        ("longer-than-a-task", [b"first ", &vec![b'l'; 9 << 20][..], b" last"].concat()),
        ("one-repeated", b"the ".repeat(1 << 20)),
    ]
}

fn write_all(dir: &Path, files: impl Iterator<Item = (String, Vec<u8>)>) {
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("it is below")).expect("a directory can be made");
        fs::write(path, bytes).expect("it can be written");
    }
}

/// All files below a part of the corpus.
pub(super) fn files(part: &str) -> Vec<PathBuf> {
    let (mut files, mut folders) = (vec![], vec![path(part)]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("the corpus is there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

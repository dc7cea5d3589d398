//! The fuzz targets: properties that must hold for any bytes.
//!
//! Each target takes input that may come from outside (a client, a server, another machine, a file,
//! a command line) and panics if a property does not hold. `fuzz` runs the targets with libFuzzer;
//! the test of this package runs them with mutations of the same corpus. If there is a slow and
//! simple way to the same result, a target implements it and compares.

pub mod http;
pub mod images;
pub mod memory;
pub mod messages;
pub mod patterns;
pub mod resp;
pub mod sort_keys;
pub mod urls;

use xxhash_rust::xxh3::xxh3_64;

/// A function that panics if a property does not hold for these bytes.
pub type Target = fn(&[u8]);

/// All targets, with the names of their corpora and of their files in `fuzz/fuzz_targets`.
pub const TARGETS: &[(&str, Target)] = &[
    ("blob_names", messages::blob_names),
    ("conversation", resp::conversation),
    ("http_body", http::http_body),
    ("http_head", http::http_head),
    ("images", images::images),
    ("messages", messages::messages),
    ("patterns", patterns::patterns),
    ("resp", resp::resp),
    ("sort_keys", sort_keys::sort_keys),
    ("urls", urls::urls),
];

/// Random numbers with the bytes as seed, so that a finding can be repeated.
fn random(bytes: &[u8]) -> fastrand::Rng {
    fastrand::Rng::with_seed(xxh3_64(bytes))
}

/// Divides the bytes into `pieces` pieces, as a connection may deliver them; some may be empty.
fn pieces<'a>(bytes: &'a [u8], pieces: usize, rng: &mut fastrand::Rng) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = (1..pieces).map(|_| rng.usize(..=bytes.len())).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

/// The first line, without its end, and the bytes after it.
fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// The words of a command line, separated by tabs, after the program's name.
fn words(line: &[u8]) -> Vec<std::ffi::OsString> {
    use std::os::unix::ffi::OsStringExt;
    let words = line.split(|byte| *byte == b'\t').filter(|word| !word.is_empty());
    std::iter::once(b"program".to_vec())
        .chain(words.map(<[u8]>::to_vec))
        .map(std::ffi::OsString::from_vec)
        .collect()
}

/// The lines of a text, without their ends. There is no empty line after the last newline.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
}

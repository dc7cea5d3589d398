//! Generates unsorted lines from a seed: the log of a web server.
//!
//! It is the same on every machine, byte for byte. A line is an address, a time, a request, its
//! status, its bytes and its milliseconds. A few addresses and paths are in most lines. As a
//! result, long common prefixes are frequent, and some lines are equal.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use cc_core::{
    error::{Error, Result},
    inputs,
};
use fastrand::Rng;
use serde::Deserialize;

/// The parameters of a log, and its digest.
#[derive(Clone, Debug, Deserialize)]
pub struct Spec {
    /// The seed of all random choices.
    pub seed: u64,
    /// The number of bytes.
    pub bytes: u64,
    /// The digest of the finished directory (see [`inputs::digest`]).
    pub digest: String,
}

/// Bytes of text per write, about.
const PORTION: usize = 256 << 10;

const PATH_PARTS: [&str; 12] = [
    "index", "search", "item", "cart", "login", "images", "static", "help", "archive", "feed", "admin", "api",
];
const METHODS: [&str; 8] = ["GET", "GET", "GET", "GET", "GET", "POST", "HEAD", "PUT"];
const STATUS: [u16; 8] = [200, 200, 200, 200, 304, 301, 404, 500];

/// Generates the log in the directory `at`, unless it exists with the right digest. Returns the
/// file.
pub fn prepare(spec: &Spec, at: &Path) -> Result<PathBuf> {
    inputs::ensure(at, spec.seed, &spec.digest, |unfinished| generate(spec, unfinished).map(drop))?;
    Ok(at.join(FILE))
}

const FILE: &str = "access.log";

/// Generates the log in the directory `root`. Returns the file.
pub fn generate(spec: &Spec, root: &Path) -> Result<PathBuf> {
    let path = root.join(FILE);
    let mut rng = Rng::with_seed(spec.seed);
    let mut write = || {
        fs::create_dir_all(root)?;
        let (mut file, mut left) = (File::create(&path)?, spec.bytes);
        let mut portion = Vec::with_capacity(PORTION + 4096);
        while left > 0 {
            while portion.len() < PORTION && (portion.len() as u64) < left {
                line(&mut rng, &mut portion)?;
            }
            portion.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= portion.len() as u64;
            file.write_all(&portion)?;
            portion.clear();
        }
        Ok(())
    };
    write().map_err(Error::io(path.display().to_string()))?;
    Ok(path)
}

fn line(rng: &mut Rng, text: &mut Vec<u8>) -> io::Result<()> {
    if rng.u8(..) == 0 {
        // A health check, whose lines are all equal.
        return writeln!(text, "10.0.0.1 - 00:00:00 GET /health 200 2 0");
    }
    // The number of bits is uniform, so addresses with small numbers are far more frequent.
    let host = rng.u32(..) >> (8 + rng.u32(..24));
    let second = rng.u32(..86_400);
    write!(
        text,
        "10.{}.{}.{} - {:02}:{:02}:{:02} {} ",
        host >> 16,
        host >> 8 & 255,
        host & 255,
        second / 3600,
        second / 60 % 60,
        second % 60,
        METHODS[rng.usize(..METHODS.len())],
    )?;
    for _ in 0..=rng.u8(..3) {
        write!(text, "/{}", PATH_PARTS[rng.usize(..PATH_PARTS.len()).min(rng.usize(..PATH_PARTS.len()))])?;
    }
    let (status, bytes) = (STATUS[rng.usize(..STATUS.len())], rng.u32(..) >> rng.u32(8..28));
    writeln!(text, "/{} {status} {bytes} {}", rng.u32(..) >> rng.u32(12..32), rng.u32(..) >> rng.u32(20..32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_log_of_the_size_that_is_wanted() {
        let log = |seed, bytes| {
            let scratch = tempfile::tempdir().unwrap();
            let spec = Spec { seed, bytes, digest: String::new() };
            fs::read(generate(&spec, scratch.path()).unwrap()).unwrap()
        };
        let first = log(1, 300_000);
        assert_eq!(first.len(), 300_000);
        assert!(first == log(1, 300_000) && first != log(2, 300_000));
        let lines: Vec<&[u8]> = first.split(|byte| *byte == b'\n').collect();
        assert!(lines.len() > 3000 && !lines.is_sorted());
    }
}

//! Inputs that are generated from a seed, so that a fresh machine needs no download.
//!
//! A seed gives the same bytes on every machine: the workload's manifest contains the tree's
//! digest, which is checked before each use. The tree resembles what people search. File sizes are
//! skewed, directories are deep, and one file is much larger than all others. Word frequencies are
//! as uneven as in a language (Zipf's law), so that a pattern can be common or rare. Some files are
//! empty, binary, not UTF-8, have CRLF line ends, or do not end with a newline.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use fastrand::Rng;
use serde::Deserialize;
use walkdir::WalkDir;
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Result};

/// The parameters of a tree, and the digest that identifies it.
#[derive(Clone, Debug, Deserialize)]
pub struct Spec {
    /// The seed of the random numbers.
    pub seed: u64,
    /// Number of files.
    pub files: usize,
    /// Total bytes of all files.
    pub bytes: u64,
    /// The digest of the finished tree (see [`digest`]).
    pub digest: String,
}

/// The largest file has one part in `LARGEST` of all bytes.
const LARGEST: u64 = 5;
/// Average number of files per directory.
const PER_DIRECTORY: usize = 12;
/// Approximate size of the writes.
const PORTION: usize = 256 << 10;

/// Generates the tree at `path`, unless it exists and has its digest. Checking the digest reads the
/// whole tree, so it is in the page cache afterwards.
pub fn prepare(spec: &Spec, path: &Path) -> Result<()> {
    ensure(path, spec.seed, &spec.digest, |root| generate(spec, root))
}

/// Calls `make` to create a tree with this digest at `path`, unless such a tree exists there.
pub fn ensure(path: &Path, seed: u64, digest: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if path.is_dir() && self::digest(path)? == digest {
        return Ok(());
    }
    let temporary = path.with_extension(format!("{}.making", std::process::id()));
    remove(&temporary)?;
    make(&temporary)?;
    let made = self::digest(&temporary)?;
    if made != digest {
        remove(&temporary)?;
        let text = format!("the input made from seed {seed} has digest {made}, not {digest}");
        return Err(Error::Usage(text));
    }
    remove(path)?;
    fs::rename(&temporary, path).map_err(Error::io(path.display().to_string()))
}

/// Generates the tree below the new directory `root`.
pub fn generate(spec: &Spec, root: &Path) -> Result<()> {
    let make = || {
        let words = Words::new();
        let mut rng = Rng::with_seed(spec.seed);
        let directories = directories(root, spec.files.div_ceil(PER_DIRECTORY), &words, &mut rng)?;
        for (nth, size) in sizes(spec, &mut rng).into_iter().enumerate() {
            let kind = Kind::of(nth);
            let directory = rng.choice(&directories).expect("the root is one");
            let name = format!("{}-{nth:05}.{}", words.draw(&mut rng), kind.extension());
            let mut text = Text { words: &words, rng: Rng::with_seed(rng.u64(..)), kind };
            text.write(size, &mut File::create(directory.join(name))?)?;
        }
        Ok(())
    };
    remove(root)?;
    make().map_err(Error::io(root.display().to_string()))
}

/// The digest of a tree: over the path, length and bytes of each file, in the order of the paths.
pub fn digest(root: &Path) -> Result<String> {
    let mut sum = Xxh3::new();
    let mut buffer = vec![0; PORTION];
    for entry in WalkDir::new(root).sort_by_file_name() {
        let entry = entry.map_err(io::Error::from).map_err(Error::io(root.display().to_string()))?;
        if entry.file_type().is_dir() {
            continue;
        }
        let path = entry.path().strip_prefix(root).expect("the walk stays below its root");
        sum.update(path.as_os_str().as_bytes());
        let length = add_file(entry.path(), &mut buffer, &mut sum);
        let length = length.map_err(Error::io(entry.path().display().to_string()))?;
        sum.update(&length.to_le_bytes());
    }
    Ok(format!("{:032x}", sum.digest128()))
}

fn add_file(path: &Path, buffer: &mut [u8], sum: &mut Xxh3) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut length = 0;
    loop {
        let read = file.read(buffer)?;
        if read == 0 {
            return Ok(length);
        }
        sum.update(&buffer[..read]);
        length += read as u64;
    }
}

fn remove(tree: &Path) -> Result<()> {
    match fs::remove_dir_all(tree) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(tree.display().to_string())(error))
        }
        _ => Ok(()),
    }
}

/// Creates the directories, each below an existing one. Three of every ten are created below the
/// last one, which makes some of them deep.
fn directories(root: &Path, count: usize, words: &Words, rng: &mut Rng) -> io::Result<Vec<PathBuf>> {
    let mut made = vec![root.to_owned()];
    for nth in 0..count {
        let parent = if nth % 10 < 3 { made.last() } else { rng.choice(&made) };
        let name = format!("{}-{nth}", words.draw(rng));
        made.push(parent.expect("the root is one").join(name));
    }
    made.iter().try_for_each(fs::create_dir_all)?;
    Ok(made)
}

/// The sizes of the files: many are small, few are large, and one is much larger than the rest.
fn sizes(spec: &Spec, rng: &mut Rng) -> Vec<u64> {
    let largest = spec.bytes / LARGEST;
    let rest = spec.bytes - largest;
    // The exponents are uniform over twelve powers of two: the smaller half of the files holds less
    // than 2 % of the bytes.
    let weight = |nth: usize, rng: &mut Rng| match Kind::of(nth) {
        Kind::Empty => 0,
        _ => (256 + rng.u64(..256)) << rng.u32(..12),
    };
    let weights: Vec<u64> = (0..spec.files).map(|nth| weight(nth, rng)).collect();
    let total: u64 = weights.iter().sum::<u64>().max(1);
    let scaled = |weight: u64| u64::try_from(u128::from(rest) * u128::from(weight) / u128::from(total));
    let mut sizes: Vec<u64> =
        weights.into_iter().map(|weight| scaled(weight).expect("a part of the whole")).collect();
    let given: u64 = sizes.iter().sum();
    if let Some(middle) = sizes.get_mut(Kind::LARGEST) {
        *middle += spec.bytes - given;
    }
    sizes
}

/// The content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Prose,
    Log,
    Empty,
    Binary,
    Crlf,
    Latin1,
    Unended,
}

impl Kind {
    /// The index of the largest file, an ordinary log.
    const LARGEST: usize = 10;

    /// The kind of a file by its index. Half of the files are prose, a third are logs; each 40
    /// files have the other kinds at fixed indices.
    fn of(nth: usize) -> Self {
        match nth % 40 {
            1 => Self::Empty,
            3 => Self::Binary,
            7 | 23 => Self::Crlf,
            11 | 31 => Self::Latin1,
            13 => Self::Unended,
            index if index % 5 < 2 => Self::Log,
            _ => Self::Prose,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Binary => "bin",
            Self::Crlf => "csv",
            Self::Prose | Self::Empty | Self::Latin1 | Self::Unended => "txt",
        }
    }
}

/// The text of one file.
struct Text<'a> {
    words: &'a Words,
    rng: Rng,
    kind: Kind,
}

impl Text<'_> {
    /// Writes exactly `size` bytes.
    fn write(&mut self, mut size: u64, file: &mut File) -> io::Result<()> {
        let mut portion = Vec::with_capacity(PORTION + 4096);
        if self.kind == Kind::Binary {
            // Within the first bytes, so that every tool detects a binary file, however small its
            // buffer is.
            portion.extend_from_slice(b"\x7fBIN\0\x01\xff\xfe\0\n");
        }
        while size > 0 {
            while portion.len() < PORTION && (portion.len() as u64) < size {
                self.line(&mut portion);
            }
            if portion.len() as u64 >= size {
                portion.truncate(usize::try_from(size).expect("not above the length"));
                self.end(&mut portion);
            }
            file.write_all(&portion)?;
            size -= portion.len() as u64;
            portion.clear();
        }
        Ok(())
    }

    /// Ends a file that was truncated in the middle of a line with a newline, unless it is a file
    /// without a final newline.
    fn end(&self, portion: &mut [u8]) {
        if let Some(last) = portion.last_mut() {
            *last = if self.kind == Kind::Unended { b'.' } else { b'\n' };
        }
    }

    fn line(&mut self, text: &mut Vec<u8>) {
        if self.kind == Kind::Log || self.kind == Kind::Binary {
            self.stamp(text);
        }
        for nth in 0..self.rng.u32(3..15) {
            if nth > 0 {
                text.push(b' ');
            }
            text.extend_from_slice(self.words.draw(&mut self.rng).as_bytes());
            if self.rng.u8(..) < 20 {
                text.push(b',');
            }
        }
        match self.kind {
            Kind::Crlf => text.extend_from_slice(b".\r\n"),
            Kind::Latin1 => text.extend_from_slice(b" caf\xe9 \xe0 la cr\xe8me.\n"),
            _ => text.extend_from_slice(b".\n"),
        }
    }

    /// The beginning of a log line: `12:04:37 WARN  parser: `.
    fn stamp(&mut self, text: &mut Vec<u8>) {
        const LEVELS: [&str; 8] = ["DEBUG", "DEBUG", "DEBUG", "INFO ", "INFO ", "INFO ", "WARN ", "ERROR"];
        let second = self.rng.u32(..86_400);
        for (unit, after) in [(second / 3600, b':'), (second / 60 % 60, b':'), (second % 60, b' ')] {
            text.extend([b'0' + (unit / 10) as u8, b'0' + (unit % 10) as u8, after]);
        }
        text.extend_from_slice(LEVELS[self.rng.usize(..LEVELS.len())].as_bytes());
        text.push(b' ');
        text.extend_from_slice(self.words.draw(&mut self.rng).as_bytes());
        text.extend_from_slice(b": ");
    }
}

/// A vocabulary whose words are drawn with the frequencies of their ranks.
struct Words {
    words: Vec<String>,
    /// Ranks, each repeated in proportion to its frequency.
    wheel: Vec<u16>,
}

impl Words {
    /// Entries of the wheel: 2^16, so that a random `u16` is an index.
    const PLACES: usize = 1 << 16;

    fn new() -> Self {
        let words = vocabulary();
        // The Zipf-Mandelbrot law: the frequencies of the first ranks differ less than in Zipf's
        // law.
        let weight = |rank: usize| 1.0 / (rank as f64 + 2.7);
        let total: f64 = (0..words.len()).map(weight).sum();
        let mut wheel = Vec::with_capacity(Self::PLACES);
        let mut reached = 0.0;
        for rank in 0..words.len() {
            reached += weight(rank) / total * Self::PLACES as f64;
            let until = (reached as usize).min(Self::PLACES);
            let rank = u16::try_from(rank).expect("the vocabulary is small");
            wheel.resize(until.max(wheel.len()), rank);
        }
        wheel.resize(Self::PLACES, 0);
        Self { words, wheel }
    }

    fn draw(&self, rng: &mut Rng) -> &str {
        &self.words[usize::from(self.wheel[usize::from(rng.u16(..))])]
    }
}

/// Common words first, then stems with their endings, then rare words built from syllables.
fn vocabulary() -> Vec<String> {
    let mut words: Vec<String> = COMMON.split_whitespace().map(str::to_owned).collect();
    for ending in ["", "s", "ed", "ing", "er", "able", "ment", "ful"] {
        words.extend(STEMS.split_whitespace().map(|stem| format!("{stem}{ending}")));
    }
    let syllables: Vec<&str> = SYLLABLES.split_whitespace().collect();
    for first in &syllables {
        for second in &syllables {
            words
                .push(format!("{first}{second}{}", syllables[(first.len() + words.len()) % syllables.len()]));
        }
    }
    words
}

const COMMON: &str = "the of and to in is that it for was on are as with be at by this from or have an they \
    which one you were all her she there would their we him been has when who will no more if out so up said \
    what its about than into them can only other time new some could these two may first then do any like my \
    now over such our man me even most made after also did many off before must well back through years where \
    much your way down should because long each just state those people too mr how little good world make very \
    year still see own work men day get here old life both between being under three never know same last \
    another while us off might great go come since against right came take used himself few house use place \
    during without again home around small however found part school thought went say general once high upon";

const STEMS: &str = "thread task process queue channel lock result error file line page buffer cache worker \
    signal value field record index match search sort print open close read write call return start finish \
    block wait send accept connect join merge split load store fetch flush parse render count frame batch \
    report order check limit bound track press point plant paint farm light sound board train bridge market \
    garden winter summer morning village forest captain doctor letter window mountain harbour fellow master";

const SYLLABLES: &str = "ba be bi ca ce da de di fa fe ga ge ha he ja ka ke la le li ma me mi na ne no pa pe \
    ra re ro sa se si ta te ti va ve wa xe za ze aqu eque iqo aqi bel dak fim gal hem jak kel mek";

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec { seed: 7, files: 120, bytes: 400_000, digest: String::new() }
    }

    fn made(spec: &Spec) -> (tempfile::TempDir, String) {
        let scratch = tempfile::tempdir().unwrap();
        generate(spec, &scratch.path().join("tree")).unwrap();
        let sum = digest(&scratch.path().join("tree")).unwrap();
        (scratch, sum)
    }

    fn files(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = WalkDir::new(root).into_iter().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.file_type().is_file());
        files.map(|entry| (entry.path().to_owned(), fs::read(entry.path()).unwrap())).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_tree() {
        assert_eq!(made(&spec()).1, made(&spec()).1);
        assert_ne!(made(&spec()).1, made(&Spec { seed: 8, ..spec() }).1);
    }

    #[test]
    fn a_tree_has_exactly_what_was_asked_for_and_every_kind_of_file() {
        let (scratch, _) = made(&spec());
        let files = files(scratch.path());
        let sizes: Vec<u64> = files.iter().map(|(_, bytes)| bytes.len() as u64).collect();
        assert_eq!((files.len(), sizes.iter().sum::<u64>()), (120, 400_000));
        assert!(sizes.iter().any(|size| *size >= 400_000 / LARGEST));
        let some = |test: &dyn Fn(&[u8]) -> bool| files.iter().any(|(_, bytes)| test(bytes));
        assert!(some(&<[u8]>::is_empty));
        assert!(some(&|bytes| bytes.contains(&0)));
        assert!(some(&|bytes| bytes.windows(2).any(|two| two == b"\r\n")));
        assert!(some(&|bytes| !bytes.contains(&0) && std::str::from_utf8(bytes).is_err()));
        assert!(some(&|bytes| bytes.last().is_some_and(|last| *last != b'\n')));
        let depth = |path: &Path| path.strip_prefix(scratch.path()).unwrap().components().count();
        assert!(files.iter().any(|(path, _)| depth(path) > 4));
    }

    #[test]
    fn the_digest_sees_one_changed_byte_and_one_changed_name() {
        let (scratch, sum) = made(&spec());
        let root = scratch.path().join("tree");
        let (path, mut bytes) = files(&root).into_iter().find(|(_, bytes)| !bytes.is_empty()).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_ne!(digest(&root).unwrap(), sum);
        bytes[0] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(digest(&root).unwrap(), sum);
        fs::rename(&path, path.with_extension("moved")).unwrap();
        assert_ne!(digest(&root).unwrap(), sum);
    }

    #[test]
    fn a_complete_tree_is_kept_and_a_damaged_one_made_again() {
        let (scratch, digest) = made(&spec());
        let root = scratch.path().join("tree");
        let spec = Spec { digest, ..spec() };
        let (path, bytes) = files(&root).into_iter().find(|(_, bytes)| !bytes.is_empty()).unwrap();
        let touched = || fs::metadata(&path).unwrap().modified().unwrap();
        let before = touched();
        prepare(&spec, &root).unwrap();
        assert_eq!(touched(), before);
        fs::write(&path, b"damaged").unwrap();
        prepare(&spec, &root).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_generator_that_has_changed_is_noticed() {
        let scratch = tempfile::tempdir().unwrap();
        let wrong = prepare(&Spec { digest: "0".repeat(32), ..spec() }, &scratch.path().join("tree"));
        assert!(wrong.unwrap_err().to_string().contains("has digest"));
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}

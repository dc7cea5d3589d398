//! A store: things with names, in one file that has none.
//!
//! The file is unlinked from the start, so that the kernel frees it however the process ends. It is made of blocks,
//! and a thing has as many as it takes, wherever they are: those of what was removed, replaced or given up are used
//! again as soon as nobody reads them any more.

use std::{
    collections::HashMap,
    env,
    fs::File,
    io::{self, Write},
    mem,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cc_workloads::{
    error::reason,
    shelf::{Draft, Shelf, Slice},
};

/// Large enough to be read and written at once, small enough that the end of the last one is no loss.
const BLOCK: u64 = 256 << 10;

/// Shared by all that put something there or read it.
pub(crate) struct Store {
    /// The directory that has the file.
    dir: PathBuf,
    /// What an error at writing says of where it happened.
    place: String,
    /// Made when the first thing is begun: most jobs leave nothing.
    blocks: Mutex<Option<Arc<Blocks>>>,
    things: Mutex<HashMap<String, Arc<Thing>>>,
}

impl Store {
    /// In this directory.
    pub(crate) fn at(dir: &Path) -> Self {
        let place = dir.display().to_string();
        Self { dir: dir.to_owned(), place, blocks: Mutex::default(), things: Mutex::default() }
    }

    /// In the directory for temporary files of the machine that is `of` this address.
    pub(super) fn of(address: &str) -> Self {
        let store = Self::at(&env::temp_dir());
        Self { place: format!("{address}: {}", store.place), ..store }
    }

    /// The thing of this name.
    pub(super) fn thing(&self, name: &str) -> io::Result<Arc<Thing>> {
        lock(&self.things).get(name).cloned().ok_or_else(|| missing(name))
    }

    fn blocks(&self) -> io::Result<Arc<Blocks>> {
        if let Some(blocks) = lock(&self.blocks).clone() {
            return Ok(blocks);
        }
        // Not under the lock. If two are at it, the file of the one that comes later is gone at once.
        let file = tempfile::tempfile_in(&self.dir).map_err(|error| at(&self.place, &error))?;
        let made = Arc::new(Blocks { file, place: self.place.clone(), free: Mutex::default() });
        Ok(lock(&self.blocks).get_or_insert(made).clone())
    }
}

impl Shelf for Store {
    fn create(&self, name: &str) -> io::Result<Box<dyn Draft + '_>> {
        let thing = Thing { blocks: Vec::new(), size: 0, of: self.blocks()? };
        Ok(Box::new(Unfinished { store: self, name: name.to_owned(), thing }))
    }

    fn read(&self, slice: &Slice, into: &mut Vec<u8>) -> io::Result<()> {
        let thing = self.thing(&slice.name)?;
        thing.check(slice.start, slice.end)?;
        let old = into.len();
        into.resize(old + slice.len() as usize, 0);
        thing.read(slice.start, &mut into[old..])
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let thing = lock(&self.things).remove(name);
        thing.map(drop).ok_or_else(|| missing(name))
    }
}

/// Where the bytes of one thing are.
pub(super) struct Thing {
    blocks: Vec<u64>,
    size: u64,
    of: Arc<Blocks>,
}

impl Thing {
    /// Checks that it has this range.
    pub(super) fn check(&self, start: u64, end: u64) -> io::Result<()> {
        if start > end || end > self.size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "there is less of it"));
        }
        Ok(())
    }

    /// Reads the bytes from this one on: as many as there is room for.
    pub(super) fn read(&self, start: u64, mut into: &mut [u8]) -> io::Result<()> {
        let mut at = start;
        self.check(start, start.saturating_add(into.len() as u64))?;
        while !into.is_empty() {
            let (place, room) = self.place(at);
            let (some, rest) = into.split_at_mut((room as usize).min(into.len()));
            self.of.file.read_exact_at(some, place)?;
            at += some.len() as u64;
            into = rest;
        }
        Ok(())
    }

    /// Writes some of these bytes behind the others.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size / BLOCK == self.blocks.len() as u64 {
            self.blocks.push(self.of.take());
        }
        let (place, room) = self.place(self.size);
        let some = bytes.len().min(room as usize);
        let written = self.of.file.write_at(&bytes[..some], place);
        let written = written.map_err(|error| at(&self.of.place, &error))?;
        self.size += written as u64;
        Ok(written)
    }

    /// Where in the file this byte is, and how much of its block is left from there on.
    fn place(&self, at: u64) -> (u64, u64) {
        let within = at % BLOCK;
        (self.blocks[(at / BLOCK) as usize] * BLOCK + within, BLOCK - within)
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        lock(&self.of.free).numbers.append(&mut self.blocks);
    }
}

/// The file.
struct Blocks {
    file: File,
    place: String,
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    /// In use once, and no more.
    numbers: Vec<u64>,
    /// The first that never was.
    next: u64,
}

impl Blocks {
    fn take(&self) -> u64 {
        let mut free = lock(&self.free);
        free.numbers.pop().unwrap_or_else(|| {
            let next = free.next + 1;
            mem::replace(&mut free.next, next)
        })
    }
}

struct Unfinished<'a> {
    store: &'a Store,
    name: String,
    thing: Thing,
}

impl Write for Unfinished<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.thing.append(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Draft for Unfinished<'_> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { store, name, thing } = *self;
        let replaced = lock(&store.things).insert(name, Arc::new(thing));
        // Not under the lock, which nobody should hold while blocks are given back.
        drop(replaced);
        Ok(())
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code of others runs under these locks, so nothing can be left half-changed.
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name}: not on the shelf"))
}

/// Says where an error happened: in a directory, since the file has no name.
fn at(place: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{place}: {}", reason(error)))
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    fn store() -> Store {
        Store::at(&env::temp_dir())
    }

    fn put(store: &Store, name: &str, bytes: &[u8]) {
        let mut draft = store.create(name).unwrap();
        draft.write_all(bytes).unwrap();
        draft.finish().unwrap();
    }

    fn read(store: &Store, name: &str, start: u64, end: u64) -> io::Result<Vec<u8>> {
        let mut bytes = b"> ".to_vec();
        store.read(&Slice { name: name.to_owned(), start, end }, &mut bytes)?;
        Ok(bytes.split_off(2))
    }

    /// Bytes that are different in every block.
    fn pattern(length: u64, seed: u64) -> Vec<u8> {
        (0..length).map(|at| (at % 251 + at / BLOCK * 7 + seed) as u8).collect()
    }

    fn blocks_ever_used(store: &Store) -> u64 {
        lock(&store.blocks().unwrap().free).next
    }

    #[test]
    fn what_is_finished_can_be_read_in_parts_across_blocks() {
        let store = store();
        let bytes = pattern(3 * BLOCK + 5, 0);
        put(&store, "a", &bytes);
        put(&store, "empty", b"");
        let ends = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 5];
        for (nth, start) in ends.into_iter().enumerate() {
            for end in &ends[nth..] {
                let part = read(&store, "a", start, *end).unwrap();
                assert!(part == bytes[start as usize..*end as usize], "{start}..{end}");
            }
        }
        assert_eq!(read(&store, "empty", 0, 0).unwrap(), b"");
    }

    #[test]
    fn there_is_nothing_beyond_the_end_or_under_another_name() {
        let store = store();
        put(&store, "a", b"abcdef");
        let refused = |name: &str, start, end| read(&store, name, start, end).unwrap_err().kind();
        assert_eq!(refused("a", 4, 7), io::ErrorKind::UnexpectedEof);
        assert_eq!(refused("a", 7, 7), io::ErrorKind::UnexpectedEof);
        assert_eq!(refused("a", 4, 3), io::ErrorKind::UnexpectedEof);
        assert_eq!(refused("b", 0, 0), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_draft_is_not_there_before_it_is_finished_and_leaves_nothing() {
        let store = store();
        put(&store, "a", b"first");
        store.create("a").unwrap().write_all(&pattern(2 * BLOCK, 0)).unwrap();
        store.create("b").unwrap().write_all(b"half").unwrap();
        assert_eq!(read(&store, "a", 0, 5).unwrap(), b"first");
        assert!(store.thing("b").is_err());
        put(&store, "c", &pattern(2 * BLOCK, 1));
        assert_eq!(blocks_ever_used(&store), 3);
    }

    #[test]
    fn what_is_replaced_or_removed_makes_room_when_nobody_reads_it() {
        let store = store();
        put(&store, "a", b"one");
        let reader = store.thing("a").unwrap();
        put(&store, "a", b"two");
        put(&store, "b", b"new");
        let mut old = [0; 3];
        reader.read(0, &mut old).unwrap();
        assert_eq!((&old, read(&store, "a", 0, 3).unwrap()), (b"one", b"two".to_vec()));
        drop(reader);
        store.remove("b").unwrap();
        assert!(store.remove("b").is_err() && store.thing("b").is_err());
        put(&store, "c", b"in the place of one");
        put(&store, "d", b"and of new");
        assert_eq!(blocks_ever_used(&store), 3);
    }

    #[test]
    fn many_write_at_once_and_nothing_is_mixed_up() {
        const THREADS: u64 = 4;
        let (store, turn) = (store(), Barrier::new(THREADS as usize));
        let size = 4 * BLOCK + 3;
        thread::scope(|scope| {
            for n in 0..THREADS {
                let (store, turn) = (&store, &turn);
                scope.spawn(move || {
                    let mut draft = store.create(&n.to_string()).unwrap();
                    // Block by block, all of them in step: every thing's blocks lie between those of others.
                    for part in pattern(size, n).chunks(BLOCK as usize) {
                        turn.wait();
                        draft.write_all(part).unwrap();
                    }
                    draft.finish().unwrap();
                });
            }
        });
        for n in 0..THREADS {
            assert!(read(&store, &n.to_string(), 0, size).unwrap() == pattern(size, n), "{n}");
        }
    }
}

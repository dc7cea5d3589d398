//! A spill store: named blobs, in one file without a name.
//!
//! The file is unlinked from the start, so the operating system frees it however the process ends.
//! It consists of blocks. A blob has as many blocks as it needs, at any position. The blocks of a
//! blob that was removed, replaced or not finished are used again when no reader has the blob any
//! more.

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
    blobs::{BlobRange, BlobStore, BlobWriter},
    error::reason,
    temporary,
};

/// Bytes per block: large enough for efficient reads and writes, small enough that the unused end
/// of a blob's last block does not matter.
const BLOCK: u64 = 256 << 10;

/// A spill store. All threads that write or read blobs share it.
pub(crate) struct SpillStore {
    /// The directory that has the file.
    dir: PathBuf,
    /// Names the directory, and its machine, in errors.
    label: String,
    /// Made when the first blob is created, because most jobs create none.
    file: Mutex<Option<Arc<BlockFile>>>,
    blobs: Mutex<HashMap<String, Arc<Blob>>>,
}

impl SpillStore {
    /// A store in this directory.
    pub(crate) fn at(dir: &Path) -> Self {
        let label = dir.display().to_string();
        Self { dir: dir.to_owned(), label, file: Mutex::default(), blobs: Mutex::default() }
    }

    /// A store in the directory for temporary files. `address` is that of this worker.
    pub(super) fn of(address: &str) -> Self {
        let store = Self::at(&temporary::usable_dir(&env::temp_dir()));
        Self { label: format!("{address}: {}", store.label), ..store }
    }

    /// The blob of this name.
    pub(super) fn blob(&self, name: &str) -> io::Result<Arc<Blob>> {
        lock(&self.blobs).get(name).cloned().ok_or_else(|| missing(name))
    }

    fn file(&self) -> io::Result<Arc<BlockFile>> {
        if let Some(file) = lock(&self.file).clone() {
            return Ok(file);
        }
        // Not under the lock. If two threads make a file, the later one is dropped at once.
        let file = tempfile::tempfile_in(&self.dir).map_err(|error| with_label(&self.label, &error))?;
        let made = Arc::new(BlockFile { file, label: self.label.clone(), free: Mutex::default() });
        Ok(lock(&self.file).get_or_insert(made).clone())
    }
}

impl BlobStore for SpillStore {
    fn create(&self, name: &str) -> io::Result<Box<dyn BlobWriter + '_>> {
        let blob = Blob { blocks: Vec::new(), size: 0, file: self.file()? };
        Ok(Box::new(SpillWriter { store: self, name: name.to_owned(), blob }))
    }

    fn read(&self, range: &BlobRange, into: &mut Vec<u8>) -> io::Result<()> {
        let blob = self.blob(&range.name)?;
        // Checked before memory is allocated: the range comes from another machine.
        blob.check(range.start, range.end)?;
        let before = into.len();
        into.resize(before + range.len() as usize, 0);
        blob.read(range.start, &mut into[before..])
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = lock(&self.blobs).remove(name);
        removed.map(drop).ok_or_else(|| missing(name))
    }
}

/// Where the bytes of one blob are.
pub(super) struct Blob {
    blocks: Vec<u64>,
    size: u64,
    file: Arc<BlockFile>,
}

impl Blob {
    /// Checks that the blob has this range.
    pub(super) fn check(&self, start: u64, end: u64) -> io::Result<()> {
        if start > end || end > self.size {
            let why = format!("the blob has no bytes {start}..{end}: its size is {}", self.size);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        Ok(())
    }

    /// Fills `into` with the bytes from `start` on.
    pub(super) fn read(&self, start: u64, mut into: &mut [u8]) -> io::Result<()> {
        self.check(start, start.saturating_add(into.len() as u64))?;
        let mut at = start;
        while !into.is_empty() {
            let (position, room) = self.position(at);
            let (filled, rest) = into.split_at_mut((room as usize).min(into.len()));
            self.file.file.read_exact_at(filled, position)?;
            at += filled.len() as u64;
            into = rest;
        }
        Ok(())
    }

    /// Appends some of these bytes: as many as fit into the last block. Returns how many.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size / BLOCK == self.blocks.len() as u64 {
            self.blocks.push(self.file.allocate());
        }
        let (position, room) = self.position(self.size);
        let length = bytes.len().min(room as usize);
        let written = self.file.file.write_at(&bytes[..length], position);
        let written = written.map_err(|error| with_label(&self.file.label, &error))?;
        self.size += written as u64;
        Ok(written)
    }

    /// The position of a byte of the blob in the file, and how much of its block follows.
    fn position(&self, at: u64) -> (u64, u64) {
        let within = at % BLOCK;
        (self.blocks[(at / BLOCK) as usize] * BLOCK + within, BLOCK - within)
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        lock(&self.file.free).numbers.append(&mut self.blocks);
    }
}

/// The file, and which of its blocks are free.
struct BlockFile {
    file: File,
    label: String,
    free: Mutex<FreeBlocks>,
}

#[derive(Default)]
struct FreeBlocks {
    /// Blocks that were used, and are free again.
    numbers: Vec<u64>,
    /// The first block that was never used.
    next: u64,
}

impl BlockFile {
    fn allocate(&self) -> u64 {
        let mut free = lock(&self.free);
        free.numbers.pop().unwrap_or_else(|| {
            let next = free.next + 1;
            mem::replace(&mut free.next, next)
        })
    }
}

/// A blob that is being written.
struct SpillWriter<'a> {
    store: &'a SpillStore,
    name: String,
    blob: Blob,
}

impl Write for SpillWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.blob.append(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for SpillWriter<'_> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { store, name, blob } = *self;
        let replaced = lock(&store.blobs).insert(name, Arc::new(blob));
        // Not under the lock of the map: dropping a blob takes the lock of the free blocks.
        drop(replaced);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No foreign code runs under these locks, so a panic cannot leave their data half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name}: no such blob"))
}

/// Adds the directory to an error, because the file has no name.
fn with_label(label: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{label}: {}", reason(error)))
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    fn store() -> SpillStore {
        SpillStore::at(&env::temp_dir())
    }

    fn put(store: &SpillStore, name: &str, bytes: &[u8]) {
        let mut writer = store.create(name).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap();
    }

    fn read(store: &SpillStore, name: &str, start: u64, end: u64) -> io::Result<Vec<u8>> {
        let mut bytes = b"> ".to_vec();
        store.read(&BlobRange { name: name.to_owned(), start, end }, &mut bytes)?;
        Ok(bytes.split_off(2))
    }

    /// Bytes that differ from block to block.
    fn pattern(length: u64, seed: u64) -> Vec<u8> {
        (0..length).map(|at| (at % 251 + at / BLOCK * 7 + seed) as u8).collect()
    }

    fn blocks_ever_used(store: &SpillStore) -> u64 {
        lock(&store.file().unwrap().free).next
    }

    #[test]
    fn a_blob_can_be_read_in_ranges_across_blocks() {
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
    fn reading_beyond_the_end_or_under_another_name_fails() {
        let store = store();
        put(&store, "a", b"abcdef");
        let refused = |name: &str, start, end| read(&store, name, start, end).unwrap_err().kind();
        assert_eq!(refused("a", 4, 7), io::ErrorKind::UnexpectedEof);
        assert_eq!(refused("a", 7, 7), io::ErrorKind::UnexpectedEof);
        assert_eq!(refused("a", 4, 3), io::ErrorKind::UnexpectedEof);
        assert_eq!(refused("b", 0, 0), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_unfinished_blob_cannot_be_read_and_its_blocks_are_used_again() {
        let store = store();
        put(&store, "a", b"first");
        store.create("a").unwrap().write_all(&pattern(2 * BLOCK, 0)).unwrap();
        store.create("b").unwrap().write_all(b"half").unwrap();
        assert_eq!(read(&store, "a", 0, 5).unwrap(), b"first");
        assert!(store.blob("b").is_err());
        put(&store, "c", &pattern(2 * BLOCK, 1));
        assert_eq!(blocks_ever_used(&store), 3);
    }

    #[test]
    fn what_is_replaced_or_removed_makes_room_when_it_is_not_read() {
        let store = store();
        put(&store, "a", b"one");
        let reader = store.blob("a").unwrap();
        put(&store, "a", b"two");
        put(&store, "b", b"new");
        let mut old = [0; 3];
        reader.read(0, &mut old).unwrap();
        assert_eq!((&old, read(&store, "a", 0, 3).unwrap()), (b"one", b"two".to_vec()));
        drop(reader);
        store.remove("b").unwrap();
        assert!(store.remove("b").is_err() && store.blob("b").is_err());
        put(&store, "c", b"in the block of one");
        put(&store, "d", b"in the block of new");
        assert_eq!(blocks_ever_used(&store), 3);
    }

    #[test]
    fn blobs_that_are_written_at_the_same_time_are_not_mixed_up() {
        const THREADS: u64 = 4;
        let (store, barrier) = (store(), Barrier::new(THREADS as usize));
        let size = 4 * BLOCK + 3;
        thread::scope(|scope| {
            for n in 0..THREADS {
                let (store, barrier) = (&store, &barrier);
                scope.spawn(move || {
                    let mut writer = store.create(&n.to_string()).unwrap();
                    // Block by block, in step: the blocks of each blob lie between those of others.
                    for part in pattern(size, n).chunks(BLOCK as usize) {
                        barrier.wait();
                        writer.write_all(part).unwrap();
                    }
                    writer.finish().unwrap();
                });
            }
        });
        for n in 0..THREADS {
            assert!(read(&store, &n.to_string(), 0, size).unwrap() == pattern(size, n), "{n}");
        }
    }
}

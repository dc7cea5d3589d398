//! A blob store: the tasks of one phase write blobs to it, those of the next phase read them.
//!
//! The coordinator chooses each blob's name, so a task that is retried replaces its own blob. A
//! blob appears under its name only once it is complete. A read takes a range of a blob and keeps
//! nothing open, so one descriptor suffices for a task that reads from a thousand blobs.
//!
//! A [`DirStore`] is for workers that share a file system, a [`MemStore`] for workers that share
//! memory. A model whose workers share neither provides its own [`BlobStore`], which fetches a blob
//! from the worker that holds it.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, renameat, unlinkat},
    io::Errno,
    process::geteuid,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::reason,
    temporary::{TemporaryDir, random_name},
};

/// Stores blobs under names.
pub trait BlobStore: Send + Sync {
    /// Begins to write a blob. It replaces an existing blob of this name when it is finished.
    fn create(&self, name: &str) -> io::Result<Box<dyn BlobWriter + '_>>;

    /// Reads a range completely and appends it to `into`. After an error, `into` may hold some of
    /// it.
    fn read(&self, range: &BlobRange, into: &mut Vec<u8>) -> io::Result<()>;

    /// Reads ranges in the given order and appends them. On failure, returns the index of a range
    /// that could not be read. A store for which each read costs a round trip overrides this to
    /// save some of them.
    fn read_all(&self, ranges: &[&BlobRange], into: &mut Vec<u8>) -> Result<(), (usize, io::Error)> {
        let mut all = ranges.iter().enumerate();
        all.try_for_each(|(nth, range)| self.read(range, into).map_err(|error| (nth, error)))
    }

    /// Removes a blob. The caller knows that no task reads it any more.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A blob that is being written. Dropping it before [`BlobWriter::finish`] discards it.
pub trait BlobWriter: Write + Send {
    /// Makes the blob complete: it appears in the store under its name.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A range of bytes of a blob. It is plain data: any worker may read it, any number of times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRange {
    /// The blob's name.
    pub name: String,
    /// The offset of the first byte.
    pub start: u64,
    /// The offset after the last byte.
    pub end: u64,
}

impl BlobRange {
    /// The number of bytes: zero if `end` is before `start`, which only invalid data from another
    /// process can contain.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

/// A blob store whose blobs are files of one directory.
///
/// The directory is opened once, and all files are opened relative to that descriptor. The owner of
/// its parent can rename the directory, but cannot substitute another one.
#[derive(Debug)]
pub struct DirStore {
    path: PathBuf,
    /// The open directory. An error is reported when a file is opened, so it fails a worker's tasks
    /// and not its start.
    dir: Result<OwnedFd, Errno>,
    /// Removes the directory on drop, if this store created it.
    _owned: Option<TemporaryDir>,
}

impl DirStore {
    /// Creates a directory in `parent` that only this user may read. Its name begins with `prefix`.
    /// It is removed with its content when the store is dropped. If this process is killed, a later
    /// run removes it ([`TemporaryDir`]).
    pub fn new(parent: &Path, prefix: &str) -> io::Result<Self> {
        let owned = TemporaryDir::new(parent, prefix).map_err(with_path(parent))?;
        let path = owned.path().to_owned();
        let dir = open_private(&path).map_err(io::Error::from).map_err(with_path(&path))?;
        Ok(Self { path, dir: Ok(dir), _owned: Some(owned) })
    }

    /// A store in a directory that another process of this user has created and will remove.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { dir: open_private(&path), path, _owned: None }
    }

    /// The directory's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, name: &Path, flags: OFlags) -> io::Result<File> {
        let dir = self.dir.as_ref().map_err(|error| *error)?;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }
}

/// Opens a directory that belongs to this user and to which no other user has access.
fn open_private(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = openat(CWD, path, flags, Mode::empty())?;
    let stat = fstat(&dir)?;
    let is_private = stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o077 == 0;
    if is_private { Ok(dir) } else { Err(Errno::PERM) }
}

impl BlobStore for DirStore {
    fn create(&self, name: &str) -> io::Result<Box<dyn BlobWriter + '_>> {
        // Unique until the blob is complete: another worker may be doing the same task.
        let unfinished = random_name(Path::new(""), &format!("{name}.draft-"));
        let file = self.open(&unfinished, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL);
        let file = file.map_err(with_path(&self.path.join(name)))?;
        Ok(Box::new(FileWriter { store: self, name: name.to_owned(), unfinished: Some(unfinished), file }))
    }

    fn read(&self, range: &BlobRange, into: &mut Vec<u8>) -> io::Result<()> {
        let path = self.path.join(&range.name);
        let mut read = || {
            let file = self.open(Path::new(&range.name), OFlags::RDONLY)?;
            let start = into.len();
            into.resize(start + size(range.len())?, 0);
            file.read_exact_at(&mut into[start..], range.start)
        };
        // After an error `into` may be longer than before; the caller then discards it.
        read().map_err(with_path(&path))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let dir = self.dir.as_ref().map_err(|error| *error);
        let removed = dir.and_then(|dir| unlinkat(dir, name, AtFlags::empty()));
        removed.map_err(io::Error::from).map_err(with_path(&self.path.join(name)))
    }
}

struct FileWriter<'a> {
    store: &'a DirStore,
    name: String,
    /// The file's name until the blob is complete.
    unfinished: Option<PathBuf>,
    file: File,
}

impl Write for FileWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(with_path(&self.store.path.join(&self.name)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for FileWriter<'_> {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let (Ok(dir), Some(unfinished)) = (&self.store.dir, self.unfinished.take()) else {
            unreachable!("`create` opened the directory, and `finish` consumes the writer")
        };
        let renamed = renameat(dir, &unfinished, dir, &self.name);
        if renamed.is_err() {
            self.unfinished = Some(unfinished);
        }
        renamed.map_err(io::Error::from).map_err(with_path(&self.store.path.join(&self.name)))
    }
}

impl Drop for FileWriter<'_> {
    fn drop(&mut self) {
        if let (Ok(dir), Some(unfinished)) = (&self.store.dir, &self.unfinished) {
            // The directory may already have been removed, with this file in it.
            let _ = unlinkat(dir, unfinished, AtFlags::empty());
        }
    }
}

/// Puts the path before an error's text, so that a user knows which file failed.
fn with_path(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let path = path.display().to_string();
    move |error| io::Error::new(error.kind(), format!("{path}: {}", reason(&error)))
}

fn size(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}

/// A blob store in memory, shared by the threads of a process.
#[derive(Debug, Default)]
pub struct MemStore {
    blobs: Mutex<HashMap<String, Arc<Vec<u8>>>>,
}

impl MemStore {
    fn blobs(&self) -> MutexGuard<'_, HashMap<String, Arc<Vec<u8>>>> {
        // A poisoned lock is usable: only single operations of the map run under it.
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobStore for MemStore {
    fn create(&self, name: &str) -> io::Result<Box<dyn BlobWriter + '_>> {
        Ok(Box::new(MemWriter { store: self, name: name.to_owned(), bytes: Vec::new() }))
    }

    fn read(&self, range: &BlobRange, into: &mut Vec<u8>) -> io::Result<()> {
        let blob = self.blobs().get(&range.name).cloned();
        let bounds = size(range.start)?..size(range.end)?;
        let bytes = blob.as_ref().and_then(|blob| blob.get(bounds));
        into.extend_from_slice(bytes.ok_or_else(|| missing(&range.name))?);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.blobs().remove(name);
        removed.map(drop).ok_or_else(|| missing(name))
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name}: no such blob"))
}

struct MemWriter<'a> {
    store: &'a MemStore,
    name: String,
    bytes: Vec<u8>,
}

impl Write for MemWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for MemWriter<'_> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { store, name, bytes } = *self;
        store.blobs().insert(name, Arc::new(bytes));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    fn put(blobs: &dyn BlobStore, name: &str, bytes: &[u8]) {
        let mut writer = blobs.create(name).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap();
    }

    fn read(blobs: &dyn BlobStore, name: &str, start: u64, end: u64) -> io::Result<Vec<u8>> {
        let mut bytes = b"> ".to_vec();
        blobs.read(&BlobRange { name: name.to_owned(), start, end }, &mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn many_parts_are_read_in_their_order() {
        each(|blobs| {
            put(blobs, "a", b"abcdef");
            put(blobs, "b", b"xyz");
            let range = |name: &str, start, end| BlobRange { name: name.to_owned(), start, end };
            let ranges = [range("b", 1, 3), range("a", 0, 2), range("a", 3, 3), range("c", 0, 1)];
            let [one, two, three, missing] = &ranges;
            let mut bytes = b"> ".to_vec();
            blobs.read_all(&[one, two, three], &mut bytes).unwrap();
            assert_eq!(bytes, b"> yzab");
            assert_eq!(blobs.read_all(&[one, missing, two], &mut bytes).unwrap_err().0, 1);
        });
    }

    fn each(check: impl Fn(&dyn BlobStore)) {
        check(&MemStore::default());
        let scratch = tempfile::tempdir().unwrap();
        check(&DirStore::new(scratch.path(), "blobs-").unwrap());
    }

    #[test]
    fn what_is_finished_can_be_read_in_parts() {
        each(|blobs| {
            put(blobs, "a", b"abcdef");
            assert_eq!(read(blobs, "a", 1, 4).unwrap(), b"> bcd");
            assert_eq!(read(blobs, "a", 6, 6).unwrap(), b"> ");
            assert!(read(blobs, "a", 4, 7).is_err(), "beyond the end");
        });
    }

    #[test]
    fn what_is_not_finished_is_not_there() {
        each(|blobs| {
            put(blobs, "a", b"first");
            blobs.create("a").unwrap().write_all(b"second, and lon").unwrap();
            blobs.create("b").unwrap().write_all(b"half").unwrap();
            assert_eq!(read(blobs, "a", 0, 5).unwrap(), b"> first");
            assert!(read(blobs, "b", 0, 4).is_err());
        });
    }

    #[test]
    fn what_is_done_again_replaces_the_first() {
        each(|blobs| {
            put(blobs, "a", b"one");
            put(blobs, "a", b"two");
            assert_eq!(read(blobs, "a", 0, 3).unwrap(), b"> two");
        });
    }

    #[test]
    fn what_is_removed_is_gone() {
        each(|blobs| {
            put(blobs, "a", b"one");
            blobs.remove("a").unwrap();
            assert!(read(blobs, "a", 0, 3).is_err());
            assert!(blobs.remove("a").is_err());
        });
    }

    #[test]
    fn a_folder_is_for_its_owner_alone_and_gone_with_it() {
        let scratch = tempfile::tempdir().unwrap();
        let count = || fs::read_dir(scratch.path()).unwrap().count();
        let store = DirStore::new(scratch.path(), "blobs-").unwrap();
        assert_eq!(fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o700);
        put(&store, "a", b"one");
        let other = DirStore::at(store.path().to_owned());
        assert_eq!(read(&other, "a", 0, 3).unwrap(), b"> one");
        drop(other);
        assert_eq!(count(), 1);
        drop(store);
        assert_eq!(count(), 0);
    }

    /// The owner of the parent directory can rename what is in it.
    #[test]
    fn a_folder_stays_the_same_one_though_another_gets_its_name() {
        let scratch = tempfile::tempdir().unwrap();
        let store = DirStore::new(scratch.path(), "blobs-").unwrap();
        put(&store, "a", b"one");
        let mut writer = store.create("b").unwrap();
        fs::rename(store.path(), scratch.path().join("moved")).unwrap();
        fs::create_dir(store.path()).unwrap();
        fs::write(store.path().join("a"), "two").unwrap();
        writer.write_all(b"three").unwrap();
        writer.finish().unwrap();
        assert_eq!(read(&store, "a", 0, 3).unwrap(), b"> one");
        assert_eq!(read(&store, "b", 0, 5).unwrap(), b"> three");
        assert_eq!(fs::read_dir(store.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_others_may_use_and_a_link_are_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let path_of = |name: &str| scratch.path().join(name);
        fs::create_dir(path_of("open")).unwrap();
        fs::set_permissions(path_of("open"), Permissions::from_mode(0o770)).unwrap();
        fs::create_dir(path_of("private")).unwrap();
        fs::set_permissions(path_of("private"), Permissions::from_mode(0o700)).unwrap();
        symlink(path_of("private"), path_of("link")).unwrap();
        for (name, is_used) in [("private", true), ("open", false), ("link", false)] {
            assert_eq!(DirStore::at(path_of(name)).create("a").is_ok(), is_used, "{name}");
        }
    }

    #[test]
    fn what_is_dropped_unfinished_leaves_no_file() {
        let scratch = tempfile::tempdir().unwrap();
        let store = DirStore::new(scratch.path(), "blobs-").unwrap();
        let mut writer = store.create("a").unwrap();
        writer.write_all(b"half").unwrap();
        assert_eq!(fs::read_dir(store.path()).unwrap().count(), 1);
        drop(writer);
        assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_error_says_where() {
        let store = DirStore::at(PathBuf::from("/nowhere"));
        let error = read(&store, "a", 0, 1).unwrap_err().to_string();
        assert_eq!(error, "/nowhere/a: No such file or directory");
        assert!(store.create("a").is_err());
        assert!(DirStore::new(Path::new("/nowhere"), "x").is_err());
    }
}

//! A shelf: where the tasks of one phase leave what those of the next need.
//!
//! What is on it has a name, which the coordinator chose, so that a task that is done again puts the same thing in
//! the same place. It appears under its name only when it is whole. Reading takes a part of it, and keeps nothing
//! open: a task may read from a thousand of them with one descriptor.
//!
//! A [`Folder`] is for workers that share a file system, a [`Memory`] for those that share memory. A model whose
//! workers share neither has a shelf of its own, which asks the worker that has the thing.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tempfile::{Builder, NamedTempFile};

use crate::{error::reason, temporary::TemporaryDir};

/// Where things are put, and read from.
pub trait Shelf: Send + Sync {
    /// Begins something that will have this name. If there is one already, it is replaced when the new one is whole.
    fn create(&self, name: &str) -> io::Result<Box<dyn Draft + '_>>;

    /// Reads a part of something, all of it, and appends it.
    fn read(&self, slice: &Slice, into: &mut Vec<u8>) -> io::Result<()>;

    /// Reads parts, one behind the other, and appends them. Where that takes a journey for each, there is a shorter way
    /// for all of them. Fails with the number of one that cannot be read.
    fn read_all(&self, slices: &[&Slice], into: &mut Vec<u8>) -> Result<(), (usize, io::Error)> {
        let mut all = slices.iter().enumerate();
        all.try_for_each(|(nth, slice)| self.read(slice, into).map_err(|error| (nth, error)))
    }

    /// Takes something away that nobody will read again.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// Something that is being written. If it is dropped before it is finished, nothing is left of it.
pub trait Draft: Write + Send {
    /// Puts it on the shelf under its name.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A part of something on a shelf. Plain data: it may be read anywhere, and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// What it is a part of.
    pub name: String,
    /// Its first byte.
    pub start: u64,
    /// The byte behind it.
    pub end: u64,
}

impl Slice {
    /// How many bytes it has. One that ends before it begins, as none does that is not from
    /// outside, has none.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

/// Files in a directory.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Removes the directory when the folder is dropped, if it is this one's.
    _owned: Option<TemporaryDir>,
}

impl Folder {
    /// A new directory in `parent`, whose name begins with `prefix` and which no other user may
    /// read. It and all that is in it are gone with the folder, or when a later run finds that this
    /// process was killed ([`TemporaryDir`]).
    pub fn new(parent: &Path, prefix: &str) -> io::Result<Self> {
        let owned = TemporaryDir::new(parent, prefix).map_err(at(parent))?;
        Ok(Self { path: owned.path().to_owned(), _owned: Some(owned) })
    }

    /// The directory that somebody else has made, and will remove.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path, _owned: None }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Shelf for Folder {
    fn create(&self, name: &str) -> io::Result<Box<dyn Draft + '_>> {
        let path = self.path.join(name);
        // A name of its own until it is whole: who does the same task at the same time must not be disturbed.
        let file = Builder::new().prefix(name).suffix(".draft").tempfile_in(&self.path).map_err(at(&path))?;
        Ok(Box::new(FileDraft { path, file }))
    }

    fn read(&self, slice: &Slice, into: &mut Vec<u8>) -> io::Result<()> {
        let path = self.path.join(&slice.name);
        let mut read = || {
            let file = File::open(&path)?;
            let start = into.len();
            into.resize(start + size(slice.len())?, 0);
            file.read_exact_at(&mut into[start..], slice.start)
        };
        // Reading may grow the vector in vain: whoever gets an error has no use for it.
        read().map_err(at(&path))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        fs::remove_file(&path).map_err(at(&path))
    }
}

struct FileDraft {
    path: PathBuf,
    file: NamedTempFile,
}

impl Write for FileDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes).map_err(at(&self.path))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Draft for FileDraft {
    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { path, file } = *self;
        file.persist(&path).map(drop).map_err(|failed| at(&path)(failed.error))
    }
}

/// Says where an error happened, as a path: that is what a user can do something about.
fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let path = path.display().to_string();
    move |error| io::Error::new(error.kind(), format!("{path}: {}", reason(&error)))
}

fn size(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}

/// Vectors in memory, shared by the threads of a process.
#[derive(Debug, Default)]
pub struct Memory {
    things: Mutex<HashMap<String, Arc<Vec<u8>>>>,
}

impl Memory {
    fn things(&self) -> MutexGuard<'_, HashMap<String, Arc<Vec<u8>>>> {
        // No code of ours runs under the lock, so it cannot be left half-changed.
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf for Memory {
    fn create(&self, name: &str) -> io::Result<Box<dyn Draft + '_>> {
        Ok(Box::new(MemoryDraft { shelf: self, name: name.to_owned(), bytes: Vec::new() }))
    }

    fn read(&self, slice: &Slice, into: &mut Vec<u8>) -> io::Result<()> {
        let thing = self.things().get(&slice.name).cloned();
        let range = size(slice.start)?..size(slice.end)?;
        let bytes = thing.as_ref().and_then(|thing| thing.get(range));
        into.extend_from_slice(bytes.ok_or_else(|| missing(&slice.name))?);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let thing = self.things().remove(name);
        thing.map(drop).ok_or_else(|| missing(name))
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name}: not on the shelf"))
}

struct MemoryDraft<'a> {
    shelf: &'a Memory,
    name: String,
    bytes: Vec<u8>,
}

impl Write for MemoryDraft<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Draft for MemoryDraft<'_> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        let Self { shelf, name, bytes } = *self;
        shelf.things().insert(name, Arc::new(bytes));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn put(shelf: &dyn Shelf, name: &str, bytes: &[u8]) {
        let mut draft = shelf.create(name).unwrap();
        draft.write_all(bytes).unwrap();
        draft.finish().unwrap();
    }

    fn read(shelf: &dyn Shelf, name: &str, start: u64, end: u64) -> io::Result<Vec<u8>> {
        let mut bytes = b"> ".to_vec();
        shelf.read(&Slice { name: name.to_owned(), start, end }, &mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn many_parts_are_read_in_their_order() {
        each(|shelf| {
            put(shelf, "a", b"abcdef");
            put(shelf, "b", b"xyz");
            let slice = |name: &str, start, end| Slice { name: name.to_owned(), start, end };
            let slices = [slice("b", 1, 3), slice("a", 0, 2), slice("a", 3, 3), slice("c", 0, 1)];
            let [one, two, three, missing] = &slices;
            let mut bytes = b"> ".to_vec();
            shelf.read_all(&[one, two, three], &mut bytes).unwrap();
            assert_eq!(bytes, b"> yzab");
            assert_eq!(shelf.read_all(&[one, missing, two], &mut bytes).unwrap_err().0, 1);
        });
    }

    fn each(check: impl Fn(&dyn Shelf)) {
        check(&Memory::default());
        let scratch = tempfile::tempdir().unwrap();
        check(&Folder::new(scratch.path(), "shelf-").unwrap());
    }

    #[test]
    fn what_is_finished_can_be_read_in_parts() {
        each(|shelf| {
            put(shelf, "a", b"abcdef");
            assert_eq!(read(shelf, "a", 1, 4).unwrap(), b"> bcd");
            assert_eq!(read(shelf, "a", 6, 6).unwrap(), b"> ");
            assert!(read(shelf, "a", 4, 7).is_err(), "beyond the end");
        });
    }

    #[test]
    fn what_is_not_finished_is_not_there() {
        each(|shelf| {
            put(shelf, "a", b"first");
            shelf.create("a").unwrap().write_all(b"second, and lon").unwrap();
            shelf.create("b").unwrap().write_all(b"half").unwrap();
            assert_eq!(read(shelf, "a", 0, 5).unwrap(), b"> first");
            assert!(read(shelf, "b", 0, 4).is_err());
        });
    }

    #[test]
    fn what_is_done_again_replaces_the_first() {
        each(|shelf| {
            put(shelf, "a", b"one");
            put(shelf, "a", b"two");
            assert_eq!(read(shelf, "a", 0, 3).unwrap(), b"> two");
        });
    }

    #[test]
    fn what_is_removed_is_gone() {
        each(|shelf| {
            put(shelf, "a", b"one");
            shelf.remove("a").unwrap();
            assert!(read(shelf, "a", 0, 3).is_err());
            assert!(shelf.remove("a").is_err());
        });
    }

    #[test]
    fn a_folder_is_for_its_owner_alone_and_gone_with_it() {
        let scratch = tempfile::tempdir().unwrap();
        let count = || fs::read_dir(scratch.path()).unwrap().count();
        let folder = Folder::new(scratch.path(), "shelf-").unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        put(&folder, "a", b"one");
        let other = Folder::at(folder.path().to_owned());
        assert_eq!(read(&other, "a", 0, 3).unwrap(), b"> one");
        drop(other);
        assert_eq!(count(), 1);
        drop(folder);
        assert_eq!(count(), 0);
    }

    #[test]
    fn an_error_says_where() {
        let folder = Folder::at(PathBuf::from("/nowhere"));
        let error = read(&folder, "a", 0, 1).unwrap_err().to_string();
        assert_eq!(error, "/nowhere/a: No such file or directory");
        assert!(folder.create("a").is_err());
        assert!(Folder::new(Path::new("/nowhere"), "x").is_err());
    }
}

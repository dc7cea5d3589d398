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

/// Files in a directory. All of them are opened by their names in the directory that was opened
/// first: the owner of its parent may rename it, but cannot put another one in its place.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// An error is said where a file is wanted, so that a worker fails its tasks and not its start.
    dir: Result<OwnedFd, Errno>,
    /// Removes the directory when the folder is dropped, if it is this one's.
    _owned: Option<TemporaryDir>,
}

impl Folder {
    /// A new directory in `parent`, whose name begins with `prefix` and which no other user may
    /// read. It and all that is in it are gone with the folder, or when a later run finds that this
    /// process was killed ([`TemporaryDir`]).
    pub fn new(parent: &Path, prefix: &str) -> io::Result<Self> {
        let owned = TemporaryDir::new(parent, prefix).map_err(at(parent))?;
        let path = owned.path().to_owned();
        let dir = open_private(&path).map_err(io::Error::from).map_err(at(&path))?;
        Ok(Self { path, dir: Ok(dir), _owned: Some(owned) })
    }

    /// The directory that another process of this user has made, and will remove.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { dir: open_private(&path), path, _owned: None }
    }

    /// Where it is.
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

/// Opens a directory that is this user's alone.
fn open_private(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = openat(CWD, path, flags, Mode::empty())?;
    let stat = fstat(&dir)?;
    let is_private = stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o077 == 0;
    if is_private { Ok(dir) } else { Err(Errno::PERM) }
}

impl Shelf for Folder {
    fn create(&self, name: &str) -> io::Result<Box<dyn Draft + '_>> {
        // A name of its own until it is whole, since another worker may do the same task meanwhile.
        let draft = random_name(Path::new(""), &format!("{name}.draft-"));
        let file = self.open(&draft, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL);
        let file = file.map_err(at(&self.path.join(name)))?;
        Ok(Box::new(FileDraft { folder: self, name: name.to_owned(), draft: Some(draft), file }))
    }

    fn read(&self, slice: &Slice, into: &mut Vec<u8>) -> io::Result<()> {
        let path = self.path.join(&slice.name);
        let mut read = || {
            let file = self.open(Path::new(&slice.name), OFlags::RDONLY)?;
            let start = into.len();
            into.resize(start + size(slice.len())?, 0);
            file.read_exact_at(&mut into[start..], slice.start)
        };
        // Reading may grow the vector in vain: whoever gets an error has no use for it.
        read().map_err(at(&path))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let dir = self.dir.as_ref().map_err(|error| *error);
        let removed = dir.and_then(|dir| unlinkat(dir, name, AtFlags::empty()));
        removed.map_err(io::Error::from).map_err(at(&self.path.join(name)))
    }
}

struct FileDraft<'a> {
    folder: &'a Folder,
    name: String,
    /// Its name while it is not whole.
    draft: Option<PathBuf>,
    file: File,
}

impl Write for FileDraft<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(at(&self.folder.path.join(&self.name)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Draft for FileDraft<'_> {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let (Ok(dir), Some(draft)) = (&self.folder.dir, self.draft.take()) else {
            unreachable!("it was made there, and is finished once")
        };
        let renamed = renameat(dir, &draft, dir, &self.name);
        if renamed.is_err() {
            self.draft = Some(draft);
        }
        renamed.map_err(io::Error::from).map_err(at(&self.folder.path.join(&self.name)))
    }
}

impl Drop for FileDraft<'_> {
    fn drop(&mut self) {
        if let (Ok(dir), Some(draft)) = (&self.folder.dir, &self.draft) {
            // The directory may have been removed before, with all that was in it.
            let _ = unlinkat(dir, draft, AtFlags::empty());
        }
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
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
    };

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

    /// What a user can do who owns the parent: rename what is in it.
    #[test]
    fn a_folder_stays_the_same_one_though_another_gets_its_name() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::new(scratch.path(), "shelf-").unwrap();
        put(&folder, "a", b"one");
        let mut draft = folder.create("b").unwrap();
        fs::rename(folder.path(), scratch.path().join("moved")).unwrap();
        fs::create_dir(folder.path()).unwrap();
        fs::write(folder.path().join("a"), "two").unwrap();
        draft.write_all(b"three").unwrap();
        draft.finish().unwrap();
        assert_eq!(read(&folder, "a", 0, 3).unwrap(), b"> one");
        assert_eq!(read(&folder, "b", 0, 5).unwrap(), b"> three");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_others_may_use_and_a_link_are_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir(at("open")).unwrap();
        fs::set_permissions(at("open"), Permissions::from_mode(0o770)).unwrap();
        fs::create_dir(at("private")).unwrap();
        fs::set_permissions(at("private"), Permissions::from_mode(0o700)).unwrap();
        symlink(at("private"), at("link")).unwrap();
        for (name, is_used) in [("private", true), ("open", false), ("link", false)] {
            assert_eq!(Folder::at(at(name)).create("a").is_ok(), is_used, "{name}");
        }
    }

    #[test]
    fn what_is_dropped_unfinished_leaves_no_file() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::new(scratch.path(), "shelf-").unwrap();
        let mut draft = folder.create("a").unwrap();
        draft.write_all(b"half").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(draft);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
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

//! Replaces a file: the old content stays until the new content is complete.
//!
//! A [`Replacement`] is written to a file without a name (`O_TMPFILE`), of which nothing is left
//! however the process ends. [`Replacement::commit`] gives it the target's name. If the target
//! exists:
//!
//! - **Owner, group, mode, access control list and `user.` attributes are kept.** They are copied
//!   to the new file first. If that is not permitted (the target belongs to another user, and this
//!   process is not root's), the content is copied into the old file instead.
//! - **The set-user-ID and set-group-ID bits and capabilities are removed**, since they were
//!   granted to the old content.
//! - **Other names of the file (hard links)** show the new content, too: it is copied into the
//!   file.
//! - **A symbolic link** is followed and stays. **A device or a pipe** is written to directly.
//! - **A file that this process may not write to** is not replaced, even if its directory would
//!   allow that.
//!
//! [`Replacement::beneath`] is for names that come from outside, such as a worker's answer. It
//! follows no symbolic link below the directory. If the name is a link, a pipe or one of several
//! hard links, only the name is replaced: nothing outside of the directory is ever written to.

use std::{
    collections::HashSet,
    env,
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, Seek, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, OpenOptionsExt},
        },
    },
    path::{Component, Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{
        AtFlags, CWD, FlockOperation, Gid, Mode, OFlags, ResolveFlags, Uid, XattrFlags, fchmod, fchown,
        fcntl_getfl, fcntl_setfl, fgetxattr, flistxattr, flock, fremovexattr, fsetxattr, fstat, ftruncate,
        linkat, mkdirat, openat, openat2, renameat, statat, unlinkat,
    },
    io::Errno,
};

mod special;

use crate::{stop::Stop, temporary};
use special::Special;

/// The prefix of a draft's name, for file systems on which a draft needs one.
/// [`temporary::remove_abandoned`] removes such files.
const DRAFT: &str = ".cc-draft-";
/// The mode of a new file before the user's umask is applied.
const NEW_FILE: u32 = 0o666;
/// Maximum symbolic links that are followed to a target, as in the kernel.
const MAX_LINKS: usize = 40;
/// Maximum bytes of an attribute's value, and of the list of attribute names: the kernel's limits.
const MAX_ATTRIBUTE: usize = 64 << 10;
/// The attribute that holds the access control list.
const ACL: &[u8] = b"system.posix_acl_access";

/// The new content of a file that is being written. Dropping it before [`Replacement::commit`]
/// changes nothing.
#[derive(Debug)]
pub struct Replacement(Kind);

#[derive(Debug)]
enum Kind {
    /// A device or a pipe, which is written to directly.
    Special(Special),
    Regular {
        draft: Draft,
        target: Target,
    },
}

/// The file that `commit` replaces.
#[derive(Debug)]
enum Target {
    /// A file by its path, which is not a symbolic link.
    Named(PathBuf),
    /// A file that is open already, by its link in `/proc`: it may no longer have a name.
    Open(PathBuf),
    /// A file by its name beneath a directory.
    Beneath { root: PathBuf, name: PathBuf },
}

impl Replacement {
    /// Begins to replace a file that the user has named. It need not exist. For a FIFO without a
    /// reader, waits until it has one or a stop is requested.
    ///
    /// # Errors
    ///
    /// If the file may not be written to, or no file can be created in its directory.
    pub fn at(path: &Path, stop: &Stop) -> io::Result<Self> {
        let target = resolve(path)?;
        let (Target::Named(file) | Target::Open(file)) = &target else { unreachable!("it is a path") };
        // Non-blocking: opening a FIFO without a reader fails with ENXIO instead of waiting.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let there = match OpenOptions::new().write(true).custom_flags(flags).open(file) {
            Ok(there) => there,
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                return Special::open(file, stop).map(Kind::Special).map(Self);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let draft = Draft::new(open_dir(parent(file))?, false)?;
                return Ok(Self(Kind::Regular { draft, target }));
            }
            Err(error) => return Err(error),
        };
        if !there.metadata()?.is_file() {
            fcntl_setfl(&there, fcntl_getfl(&there)? - OFlags::NONBLOCK)?;
            return Special::of(there, stop).map(Kind::Special).map(Self);
        }
        let draft = match &target {
            Target::Named(_) => open_dir(parent(file)).and_then(|dir| Draft::new(dir, true)),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        };
        // If no file can be created in the directory, the draft is a temporary file, and is copied.
        let draft = draft.or_else(|_| {
            tempfile::tempfile_in(temporary::usable_dir(&env::temp_dir())).map(Draft::unnamed)
        })?;
        Ok(Self(Kind::Regular { draft, target }))
    }

    /// Begins to replace a file beneath a directory that exists. Missing directories in between are
    /// created.
    ///
    /// # Errors
    ///
    /// If the name leads out of the directory (`..`, a symbolic link), or no file can be created
    /// there.
    pub fn beneath(root: &Path, name: &Path) -> io::Result<Self> {
        let (dir, last) = open_beneath(root, name)?;
        let is_there = statat(&dir, last, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let draft = Draft::new(dir, is_there)?;
        let target = Target::Beneath { root: root.to_owned(), name: name.to_owned() };
        Ok(Self(Kind::Regular { draft, target }))
    }

    /// Checks that files can be created in a directory, without creating one that has a name: for
    /// programs that create files there only after much work.
    ///
    /// # Errors
    ///
    /// If no file can be created there.
    pub fn check_directory(dir: &Path) -> io::Result<()> {
        Draft::new(open_dir(dir)?, true).map(drop)
    }

    /// Begins to replace a file beneath a directory by another file, which is complete. The two
    /// must be on one file system, and no process may still change the file.
    ///
    /// # Errors
    ///
    /// If the file does not exist, or the name leads out of the directory.
    pub fn moved_beneath(file: &Path, root: &Path, name: &Path) -> io::Result<Self> {
        open_beneath(root, name)?;
        let draft = Draft::of(file)?;
        let target = Target::Beneath { root: root.to_owned(), name: name.to_owned() };
        Ok(Self(Kind::Regular { draft, target }))
    }

    /// Replaces the old content by the new.
    ///
    /// # Errors
    ///
    /// If the file may no longer be written to, or its directory was removed. The old content is
    /// then intact, unless the new content had to be copied into the file.
    pub fn commit(self) -> io::Result<()> {
        let Kind::Regular { draft, target } = self.0 else { return Ok(()) };
        match target {
            Target::Named(path) => draft.replace(&path),
            Target::Open(path) => draft.copy_into(&OpenOptions::new().write(true).open(path)?),
            Target::Beneath { root, name } => draft.replace_beneath(&root, &name),
        }
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Special(special) => special.write(bytes),
            Kind::Regular { draft, .. } => draft.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Follows the symbolic links in a path's last component to an existing or new file.
fn resolve(path: &Path) -> io::Result<Target> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let is_dir_path = path.as_os_str().as_bytes().ends_with(b"/");
        let name = path.file_name().filter(|_| !is_dir_path).ok_or(Errno::ISDIR)?;
        let dir = fs::canonicalize(parent(&path))?;
        let full = dir.join(name);
        match fs::read_link(&full) {
            Ok(_) if full.starts_with("/proc") => return Ok(Target::Open(full)),
            Ok(target) => path = dir.join(target),
            Err(_) => return Ok(Target::Named(full)),
        }
    }
    Err(Errno::LOOP.into())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens a directory for the names in it. That needs no permission to read the directory.
fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a directory by a resolved path. Fails if a component has been replaced by a symbolic link
/// since.
fn open_resolved(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // Not available in kernels before 5.6, and forbidden in some containers.
        Err(Errno::NOSYS | Errno::PERM) => open_dir(path),
        opened => Ok(opened?),
    }
}

/// Opens the parent directory of a name beneath `root`, creating missing directories. Each
/// component is opened relative to the previous one and without following links, so no concurrent
/// change can lead outside.
fn open_beneath<'a>(root: &Path, name: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
    let mut parts = Vec::new();
    for part in name.components() {
        let Component::Normal(part) = part else { return Err(not_beneath()) };
        parts.push(part);
    }
    let last = parts.pop().ok_or_else(not_beneath)?;
    let mut dir = open_dir(root)?;
    for part in parts {
        dir = open_or_make(&dir, part)?;
    }
    Ok((dir, last))
}

fn open_or_make(dir: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(dir, name, flags, Mode::empty());
    match open() {
        Err(Errno::NOENT) => match mkdirat(dir, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => Ok(open()?),
            Err(error) => Err(error.into()),
        },
        opened => Ok(opened?),
    }
}

fn not_beneath() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidFilename, "not a name below the directory")
}

/// New content that does not have the target's name yet.
#[derive(Debug)]
struct Draft {
    file: File,
    /// The directory and the temporary name, where a file must have one.
    name: Option<(OwnedFd, OsString)>,
}

impl Draft {
    /// Creates a draft in this directory. `private` means that the target may be private.
    fn new(dir: OwnedFd, private: bool) -> io::Result<Self> {
        // An unnamed file gets its name through `/proc`.
        if Path::new("/proc/self/fd").exists() {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            match openat(&dir, ".", flags, Mode::from_raw_mode(NEW_FILE)) {
                Ok(file) => return Ok(Self::unnamed(file.into())),
                // The errors of file systems without `O_TMPFILE`.
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Self::named(dir, private)
    }

    fn unnamed(file: File) -> Self {
        Self { file, name: None }
    }

    /// Creates a draft with a name, which is removed when the draft is dropped. If the process is
    /// killed first, its lock is released, and the next draft in this directory removes the file.
    fn named(dir: OwnedFd, private: bool) -> io::Result<Self> {
        remove_abandoned_drafts(&dir);
        let mode = Mode::from_raw_mode(if private { 0o600 } else { NEW_FILE });
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = draft_name();
        let file = File::from(openat(&dir, &name, flags, mode)?);
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok(Self { file, name: Some((dir, name)) })
    }

    /// A draft from an existing file, which loses its name.
    fn of(path: &Path) -> io::Result<Self> {
        let (dir, name) = (open_dir(parent(path))?, path.file_name().ok_or_else(not_beneath)?);
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&dir, name, flags, Mode::empty())?);
        Ok(Self { file, name: Some((dir, name.to_owned())) })
    }

    /// Replaces a file that the user has named.
    fn replace(self, path: &Path) -> io::Result<()> {
        let dir = open_resolved(parent(path))?;
        let name = path.file_name().expect("it was resolved");
        let Some(old) = open_old(&dir, name)? else { return self.take_name(&dir, name) };
        if !old.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no longer a regular file"));
        }
        let is_replaced =
            old.metadata()?.nlink() == 1 && self.resemble(&old).is_ok() && self.take_name(&dir, name).is_ok();
        if is_replaced { Ok(()) } else { self.copy_into(&old) }
    }

    /// Replaces the file, link or pipe of this name.
    fn replace_beneath(self, root: &Path, name: &Path) -> io::Result<()> {
        let (dir, name) = open_beneath(root, name)?;
        let old = match open_old(&dir, name) {
            Ok(old) => old.filter(|old| old.metadata().is_ok_and(|old| old.is_file())),
            // A symbolic link; a pipe without a reader or a socket.
            Err(error)
                if [Errno::LOOP, Errno::NXIO]
                    .map(Errno::raw_os_error)
                    .map(Some)
                    .contains(&error.raw_os_error()) =>
            {
                None
            }
            Err(error) => return Err(error),
        };
        let Some(old) = old else { return self.take_name(&dir, name) };
        if self.resemble(&old).is_err() && old.metadata()?.nlink() == 1 {
            return self.copy_into(&old);
        }
        self.take_name(&dir, name)
    }

    /// Gives the draft the owner, group, mode and attributes of the old file.
    fn resemble(&self, old: &File) -> io::Result<()> {
        let (mine, theirs) = (self.file.metadata()?, old.metadata()?);
        if (mine.uid(), mine.gid()) != (theirs.uid(), theirs.gid()) {
            fchown(&self.file, Some(Uid::from_raw(theirs.uid())), Some(Gid::from_raw(theirs.gid())))?;
        }
        fchmod(&self.file, Mode::from_raw_mode(theirs.mode() & 0o1777))?;
        copy_attributes(old, &self.file)
    }

    /// Gives the draft this name, replacing an existing file.
    fn take_name(&self, dir: &OwnedFd, name: &OsStr) -> io::Result<()> {
        if let Some((from, draft)) = &self.name {
            return Ok(renameat(from, draft, dir, name)?);
        }
        match self.link(dir, name) {
            Err(Errno::EXIST) => {}
            linked => return Ok(linked?),
        }
        // No system call links over an existing name. A kill between the next two calls leaves the
        // draft.
        let draft = draft_name();
        let _ = flock(&self.file, FlockOperation::NonBlockingLockExclusive);
        self.link(dir, &draft)?;
        let renamed = renameat(dir, &draft, dir, name);
        if renamed.is_err() {
            let _ = unlinkat(dir, &draft, AtFlags::empty());
        }
        Ok(renamed?)
    }

    fn link(&self, dir: &OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        linkat(CWD, own, dir, name, AtFlags::SYMLINK_FOLLOW)
    }

    /// Copies the content into the old file, and changes nothing else of it but the set-ID bits.
    fn copy_into(mut self, old: &File) -> io::Result<()> {
        let mode = fstat(old)?.st_mode;
        if mode & 0o6000 != 0 {
            // The kernel clears these bits when a process without privileges writes; for root it
            // does not.
            let _ = fchmod(old, Mode::from_raw_mode(mode & 0o1777));
        }
        self.file.rewind()?;
        let copied = io::copy(&mut self.file, &mut &*old)?;
        if fstat(old)?.st_size.cast_unsigned() > copied {
            ftruncate(old, copied)?;
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After `take_name` no file has the temporary name.
        if let Some((dir, name)) = &self.name {
            let _ = unlinkat(dir, name, AtFlags::empty());
        }
    }
}

/// Opens an existing file for writing. Does not wait for the reader of a pipe.
fn open_old(dir: &OwnedFd, name: &OsStr) -> io::Result<Option<File>> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Ok(old) => Ok(Some(old.into())),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Copies the access control list and the `user.` attributes. Attributes in `security.` were
/// granted to the old content and are not copied.
fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    let (theirs, mine) = (attributes(from)?, attributes(to)?);
    for name in mine.iter().filter(|name| !theirs.contains(name)) {
        fremovexattr(to, &**name)?;
    }
    let mut value = vec![0; MAX_ATTRIBUTE];
    for name in &theirs {
        let length = fgetxattr(from, &**name, &mut value[..])?;
        fsetxattr(to, &**name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

/// The names of a file's attributes that [`copy_attributes`] copies.
fn attributes(file: &File) -> io::Result<Vec<Vec<u8>>> {
    let mut names = vec![0; MAX_ATTRIBUTE];
    let length = match flistxattr(file, &mut names[..]) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => 0,
        length => length?,
    };
    let names = names[..length].split(|byte| *byte == 0);
    Ok(names.filter(|name| name.starts_with(b"user.") || *name == ACL).map(<[u8]>::to_vec).collect())
}

fn draft_name() -> OsString {
    temporary::random_name(Path::new(""), DRAFT).into()
}

/// Removes drafts that killed processes have left in a directory, once per directory and process.
fn remove_abandoned_drafts(dir: &OwnedFd) {
    static SEEN: Mutex<Option<HashSet<(u64, u64)>>> = Mutex::new(None);
    let Ok(stat) = fstat(dir) else { return };
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let is_first = seen.get_or_insert_default().insert((stat.st_dev, stat.st_ino));
    drop(seen);
    if is_first {
        temporary::remove_abandoned(Path::new(&format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd())), DRAFT);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::{
        fs::{FileType, getxattr, mknodat, setxattr},
        process::geteuid,
    };

    use super::*;

    struct Scratch(tempfile::TempDir);

    impl Scratch {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// A file with old content.
        fn old(&self, name: &str) -> PathBuf {
            let path = self.at(name);
            fs::write(&path, "old, and longer").unwrap();
            path
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.path()).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn replace(mut replacement: Replacement) {
        replacement.write_all(b"new").unwrap();
        replacement.commit().unwrap();
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_appears_when_it_is_complete_with_the_usual_mode() {
        let scratch = Scratch::new();
        let (path, usual) = (scratch.at("file"), scratch.old("usual"));
        let mut replacement = Replacement::at(&path, &Stop::new()).unwrap();
        replacement.write_all(b"ne").unwrap();
        assert_eq!(scratch.names(), ["usual"], "an unfinished replacement has no name");
        replacement.write_all(b"w").unwrap();
        replacement.commit().unwrap();
        assert_eq!((text(&path), mode(&path)), ("new".to_owned(), mode(&usual)));
        assert_eq!(scratch.names(), ["file", "usual"]);
    }

    #[test]
    fn what_is_dropped_changes_nothing() {
        let scratch = Scratch::new();
        let path = scratch.old("file");
        for begun in
            [Replacement::at(&path, &Stop::new()), Replacement::beneath(scratch.0.path(), Path::new("file"))]
        {
            begun.unwrap().write_all(b"new").unwrap();
            assert_eq!(text(&path), "old, and longer");
            assert_eq!(scratch.names(), ["file"]);
        }
    }

    #[test]
    fn owner_group_and_mode_are_kept_and_set_id_bits_are_not() {
        if !geteuid().is_root() {
            eprintln!("skipped: only root can give a file to another user");
            return;
        }
        let scratch = Scratch::new();
        for other_names in [false, true] {
            let path = scratch.old("file");
            std::os::unix::fs::chown(&path, Some(1000), Some(1001)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o6751)).unwrap();
            if other_names {
                fs::hard_link(&path, scratch.at("other")).unwrap();
            }
            replace(Replacement::at(&path, &Stop::new()).unwrap());
            let there = fs::metadata(&path).unwrap();
            assert_eq!((there.uid(), there.gid(), mode(&path)), (1000, 1001, 0o751), "{other_names}");
            assert_eq!(text(&path), "new");
        }
        assert_eq!(text(&scratch.at("other")), "new");
    }

    #[test]
    fn other_names_of_a_file_show_the_new_content() {
        let scratch = Scratch::new();
        let (path, other) = (scratch.old("file"), scratch.at("other"));
        fs::hard_link(&path, &other).unwrap();
        let old = fs::metadata(&path).unwrap().ino();
        replace(Replacement::at(&path, &Stop::new()).unwrap());
        assert_eq!((text(&path), text(&other)), ("new".to_owned(), "new".to_owned()));
        assert_eq!(fs::metadata(&other).unwrap().ino(), old);
        assert_eq!(scratch.names(), ["file", "other"]);
    }

    #[test]
    fn a_symbolic_link_is_followed_and_stays() {
        let scratch = Scratch::new();
        scratch.old("file");
        symlink("file", scratch.at("link")).unwrap();
        symlink("link", scratch.at("link of a link")).unwrap();
        symlink("not there yet", scratch.at("dangling")).unwrap();
        symlink("loop", scratch.at("loop")).unwrap();
        replace(Replacement::at(&scratch.at("link of a link"), &Stop::new()).unwrap());
        replace(Replacement::at(&scratch.at("dangling"), &Stop::new()).unwrap());
        assert!(fs::symlink_metadata(scratch.at("link")).unwrap().is_symlink());
        assert_eq!(
            (text(&scratch.at("file")), text(&scratch.at("not there yet"))),
            ("new".into(), "new".into())
        );
        assert!(Replacement::at(&scratch.at("loop"), &Stop::new()).is_err());
        assert!(Replacement::at(scratch.0.path(), &Stop::new()).is_err(), "a directory is no file");
        assert!(Replacement::at(&scratch.at("none/file"), &Stop::new()).is_err());
    }

    #[test]
    fn what_is_open_already_or_a_device_is_written_to() {
        let scratch = Scratch::new();
        let path = scratch.old("file");
        let open = OpenOptions::new().write(true).open(&path).unwrap();
        let old = open.metadata().unwrap().ino();
        // `/dev/stdout` is such a link.
        replace(
            Replacement::at(Path::new(&format!("/proc/self/fd/{}", open.as_raw_fd())), &Stop::new()).unwrap(),
        );
        assert_eq!((text(&path), fs::metadata(&path).unwrap().ino()), ("new".to_owned(), old));
        let mut full = Replacement::at(Path::new("/dev/full"), &Stop::new()).unwrap();
        assert_eq!(full.write_all(b"new").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn access_control_lists_and_attributes_are_kept() {
        let scratch = Scratch::new();
        let (path, plain) = (scratch.old("file"), scratch.old("plain"));
        // Version 2, then tag, permissions and user of each entry: the owner, user 1234, the group,
        // the mask, others.
        let entries =
            [(1, 6, u32::MAX), (2, 4, 1234), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            list.extend([tag, 0, permissions, 0]);
            list.extend(id.to_le_bytes());
        }
        let set = |name: &[u8], value: &[u8]| setxattr(&path, name, value, XattrFlags::empty());
        if set(ACL, &list).and_then(|()| set(b"user.note", b"kept")).is_err() {
            eprintln!("skipped: the file system has no access control lists or attributes");
            return;
        }
        replace(Replacement::at(&path, &Stop::new()).unwrap());
        replace(Replacement::at(&plain, &Stop::new()).unwrap());
        let get = |path: &Path, name: &[u8]| {
            let mut value = [0; 256];
            getxattr(path, name, &mut value[..]).map(|length| value[..length].to_vec())
        };
        assert_eq!(get(&path, ACL).unwrap(), list);
        assert_eq!(get(&path, b"user.note").unwrap(), b"kept");
        assert!(get(&plain, ACL).is_err());
        assert_eq!(text(&path), "new");
    }

    /// A directory whose names cannot be listed.
    #[test]
    fn a_directory_needs_not_be_readable() {
        let scratch = Scratch::new();
        scratch.old("file");
        fs::set_permissions(scratch.0.path(), fs::Permissions::from_mode(0o300)).unwrap();
        for name in ["file", "new"] {
            replace(Replacement::at(&scratch.at(name), &Stop::new()).unwrap());
            assert_eq!(text(&scratch.at(name)), "new");
        }
        fs::set_permissions(scratch.0.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(scratch.names(), ["file", "new"]);
    }

    #[test]
    fn a_draft_that_cannot_take_the_name_is_copied() {
        let scratch = Scratch::new();
        let path = scratch.old("file");
        let old = fs::metadata(&path).unwrap().ino();
        // An unlinked file cannot get a name again, and neither can a file of another file system.
        let named = tempfile::NamedTempFile::new().unwrap();
        let mut file = named.reopen().unwrap();
        drop(named);
        file.write_all(b"new").unwrap();
        Draft::unnamed(file).replace(&path.canonicalize().unwrap()).unwrap();
        assert_eq!((text(&path), fs::metadata(&path).unwrap().ino()), ("new".to_owned(), old));
        assert_eq!(scratch.names(), ["file"]);
    }

    #[test]
    fn a_folder_that_becomes_a_link_leads_nowhere() {
        let (scratch, outside) = (Scratch::new(), Scratch::new());
        fs::create_dir(scratch.at("folder")).unwrap();
        let mut replacement = Replacement::at(&scratch.at("folder/file"), &Stop::new()).unwrap();
        replacement.write_all(b"new").unwrap();
        fs::rename(scratch.at("folder"), scratch.at("moved")).unwrap();
        symlink(outside.0.path(), scratch.at("folder")).unwrap();
        assert!(replacement.commit().is_err());
        assert_eq!(outside.names(), [""; 0]);
    }

    /// The name becomes a link to another file: that file must not be written to, and its mode must
    /// not be copied.
    #[test]
    fn a_file_that_becomes_a_link_leads_nowhere() {
        let (scratch, outside) = (Scratch::new(), Scratch::new());
        let (path, precious, usual) = (scratch.at("file"), outside.old("precious"), scratch.old("usual"));
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o640)).unwrap();
        let usual = mode(&usual);
        assert_ne!(usual, 0o640);
        // A target with several hard links would be copied into.
        for other_names in [false, true] {
            if other_names {
                fs::hard_link(&precious, outside.at("other")).unwrap();
            }
            let mut replacement = Replacement::at(&scratch.old("file"), &Stop::new()).unwrap();
            replacement.write_all(b"new").unwrap();
            fs::remove_file(&path).unwrap();
            symlink(&precious, &path).unwrap();
            assert!(replacement.commit().is_err(), "{other_names}");
            assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
            replace(Replacement::beneath(scratch.0.path(), Path::new("file")).unwrap());
            let there = fs::symlink_metadata(&path).unwrap();
            assert!(there.is_file() && there.nlink() == 1);
            assert_eq!((text(&path), mode(&path)), ("new".to_owned(), usual), "{other_names}");
            assert_eq!((text(&precious), mode(&precious)), ("old, and longer".to_owned(), 0o640));
        }
    }

    #[test]
    fn where_a_draft_must_have_a_name_it_is_removed() {
        let scratch = Scratch::new();
        let path = scratch.old("file").canonicalize().unwrap();
        let open = || open_dir(scratch.0.path()).unwrap();
        // As a killed process leaves it: without a lock.
        fs::write(scratch.at(".cc-draft-0123456789abcdef"), "").unwrap();
        let mut draft = Draft::named(open(), true).unwrap();
        assert_eq!(scratch.names().len(), 2, "only the file and the new draft remain: {:?}", scratch.names());
        assert_eq!(temporary::remove_abandoned(scratch.0.path(), DRAFT).len(), 0, "it is in use");
        draft.file.write_all(b"new").unwrap();
        draft.replace(&path).unwrap();
        assert_eq!(text(&path), "new");
        drop(Draft::named(open(), false).unwrap());
        assert_eq!(scratch.names(), ["file"]);
    }

    #[test]
    fn a_directory_that_takes_no_file_is_found_out_and_nothing_is_left() {
        let scratch = Scratch::new();
        Replacement::check_directory(scratch.0.path()).unwrap();
        assert_eq!(scratch.names(), [""; 0]);
        // Not even root can create a file there.
        assert!(Replacement::check_directory(Path::new("/proc/self/fd")).is_err());
        assert!(Replacement::check_directory(&scratch.old("file")).is_err());
    }

    #[test]
    fn a_name_beneath_a_folder_leads_nowhere_else() {
        let (scratch, outside) = (Scratch::new(), Scratch::new());
        let precious = outside.old("precious");
        let root = scratch.at("out");
        fs::create_dir(&root).unwrap();
        symlink(outside.0.path(), root.join("folder")).unwrap();
        symlink(&precious, root.join("link")).unwrap();
        fs::hard_link(&precious, root.join("other")).unwrap();
        mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        for name in ["folder/precious", "../precious", "/precious", "", "folder/../../precious", "."] {
            assert!(Replacement::beneath(&root, Path::new(name)).is_err(), "{name}");
        }
        for name in ["link", "other", "pipe", "sub/deep/new"] {
            replace(Replacement::beneath(&root, Path::new(name)).unwrap());
            assert!(fs::symlink_metadata(root.join(name)).unwrap().is_file(), "{name}");
            assert_eq!(text(&root.join(name)), "new", "{name}");
        }
        assert_eq!(
            (text(&precious), outside.names()),
            ("old, and longer".to_owned(), vec!["precious".to_owned()])
        );
        let from = scratch.old("from");
        Replacement::moved_beneath(&from, &root, Path::new("moved")).unwrap().commit().unwrap();
        assert_eq!((text(&root.join("moved")), from.exists()), ("old, and longer".to_owned(), false));
        assert!(Replacement::moved_beneath(&precious, &root, Path::new("folder/x")).is_err());
        assert!(precious.exists());
    }
}

//! Temporary directories whose files need names because several processes use them.
//!
//! A [`TemporaryDir`] is removed when it is dropped. A process that is killed or aborts runs no
//! destructors. Therefore the owning process holds a lock (`flock`) on each of its directories, and
//! the kernel releases it however the process ends. Before a program creates a directory, it
//! removes those with the same prefix whose lock is free ([`remove_abandoned`]). It removes only
//! entries that have a name of this form, belong to the same user, and are not symbolic links.
//!
//! Files that need no name are created without one (`tempfile::tempfile`, [`crate::replace`]), so
//! nothing is left of them in any case.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File},
    hash::{BuildHasher, RandomState},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{DirBuilderExt, MetadataExt},
        },
    },
    path::{Path, PathBuf},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags, flock, openat},
    process::geteuid,
};

/// The prefixes of all temporary names; 16 hexadecimal digits follow.
const PREFIXES: &[&str] = &["cc-sort-", "cc-wordcount-", "cc-procs-", ".cc-fetch-", ".cc-draft-"];
/// Maximum random names that are tried. A collision is unlikely, so this many in a row have another
/// cause.
const ATTEMPTS: usize = 8;

/// The existing directories of this process.
static OWN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Directories for temporary files, if the one of the environment cannot be used.
const FALLBACKS: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// The directory for temporary files: `preferred`, if files can be created there, otherwise the
/// first directory of the system in which they can.
///
/// If there is none, it is `preferred`, so that the error of a later call names it.
#[must_use]
pub fn usable_dir(preferred: &Path) -> PathBuf {
    let is_usable = |dir: &&Path| try_dir(dir).is_ok();
    let mut dirs = [preferred].into_iter().chain(FALLBACKS.iter().map(Path::new));
    dirs.find(is_usable).unwrap_or(preferred).to_owned()
}

/// Tries to create a file in a directory, of which nothing is left.
///
/// # Errors
///
/// If no file can be created there.
pub fn try_dir(dir: &Path) -> io::Result<()> {
    tempfile::tempfile_in(dir).map(drop)
}

/// A directory that only this user may read. Dropping it removes it with its content.
#[derive(Debug)]
pub struct TemporaryDir {
    path: PathBuf,
    _lock: Lock,
}

impl TemporaryDir {
    /// Creates a directory in `parent` whose name begins with `prefix`. Directories that killed
    /// processes have left there are removed first.
    ///
    /// # Errors
    ///
    /// If no directory can be created in `parent`.
    pub fn new(parent: &Path, prefix: &str) -> io::Result<Self> {
        remove_abandoned(parent, prefix);
        for _ in 0..ATTEMPTS {
            let path = random_name(parent, prefix);
            match Lock::make(&path) {
                Ok(lock) => {
                    own().push(path.clone());
                    return Ok(Self { path, _lock: lock });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The directory's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        remove(&self.path);
        own().retain(|path| *path != self.path);
    }
}

/// A random path in `parent` that begins with `prefix` and has the form that [`remove_abandoned`]
/// recognizes.
#[must_use]
pub fn random_name(parent: &Path, prefix: &str) -> PathBuf {
    // `RandomState` takes its keys from the system's random numbers, so two processes choose
    // different names.
    parent.join(format!("{prefix}{:016x}", RandomState::new().hash_one(process::id())))
}

/// The lock on a directory: as long as it is held, the process that uses the directory is alive.
#[derive(Debug)]
pub struct Lock {
    _dir: OwnedFd,
}

impl Lock {
    /// Creates a directory that only this user may read, and locks it.
    ///
    /// # Errors
    ///
    /// If the name exists, or the directory cannot be created.
    pub fn make(path: &Path) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            DirBuilder::new().mode(0o700).create(path)?;
            // Until the directory is locked, another process may consider it abandoned and lock it.
            // Then `flock` waits until that process has removed it, and the loop tries again.
            let Ok(dir) = open(path) else { continue };
            let locked = flock(&dir, FlockOperation::LockExclusive);
            // On a file system without locks, no directory is ever considered abandoned.
            if locked.is_err() || is_same(&dir, path) {
                return Ok(Self { _dir: dir });
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Whether another user can rename or remove this user's entries in a directory. That is so if the
/// owner is neither this user nor root, or if others may write to it and it is not sticky (as
/// `/tmp` is).
#[must_use]
pub fn is_exposed(dir: &Path) -> bool {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    fs::metadata(dir).is_ok_and(|found| {
        let is_foreign = ![0, geteuid().as_raw()].contains(&found.uid());
        is_foreign || (found.mode() & WRITABLE_BY_OTHERS != 0 && found.mode() & STICKY == 0)
    })
}

/// Removes all directories of this process now, because the process is about to end without
/// dropping them. What other threads or worker processes create meanwhile may remain; the next run
/// removes it.
pub fn remove_all() {
    let paths = own().clone();
    paths.iter().for_each(|path| remove(path));
}

/// Removes the entries of `parent` that begin with `prefix`, belong to this user and are not
/// locked. Returns their paths.
pub fn remove_abandoned(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return vec![] };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let ours = names.filter(|name| has_form(name, prefix)).map(|name| parent.join(name));
    ours.filter(|path| remove_if_abandoned(path).is_ok_and(|removed| removed)).collect()
}

/// Removes everything in a directory that killed programs of this user have left there. Returns the
/// paths.
pub fn clean(dir: &Path) -> Vec<PathBuf> {
    PREFIXES.iter().flat_map(|prefix| remove_abandoned(dir, prefix)).collect()
}

fn own() -> MutexGuard<'static, Vec<PathBuf>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn has_form(name: &OsStr, prefix: &str) -> bool {
    let digits = name.as_bytes().strip_prefix(prefix.as_bytes());
    digits.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Removes an entry if no process holds its lock. Holds the lock during the removal, so that of two
/// processes that clean up, one skips the entry.
fn remove_if_abandoned(path: &Path) -> io::Result<bool> {
    let there = open(path)?;
    let metadata = File::from(there.try_clone()?).metadata()?;
    if metadata.uid() != geteuid().as_raw()
        || flock(&there, FlockOperation::NonBlockingLockExclusive).is_err()
    {
        return Ok(false);
    }
    if !is_same(&there, path) {
        return Ok(false);
    }
    if metadata.is_dir() {
        remove(path);
    } else {
        fs::remove_file(path)?;
    }
    Ok(!path.exists())
}

/// Opens a file or a directory, but not a symbolic link. Does not block: opening a FIFO otherwise
/// could.
fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

/// Whether the path still names the file that is open.
fn is_same(file: &OwnedFd, path: &Path) -> bool {
    let open = rustix::fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
    fs::symlink_metadata(path).is_ok_and(|there| open == Ok((there.dev(), there.ino())))
}

/// Removes a directory in which other processes may still create files.
fn remove(path: &Path) {
    // Fails if another process or thread has just removed or created an entry: try again.
    let _ = (0..4).any(|_| fs::remove_dir_all(path).is_ok() || !path.exists());
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const PREFIX: &str = "cc-test-";

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_is_its_users_alone_and_gone_with_its_owner() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = TemporaryDir::new(scratch.path(), PREFIX).unwrap();
        assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
        fs::create_dir(dir.path().join("sub")).unwrap();
        drop(dir);
        assert_eq!(names(scratch.path()), [""; 0]);
    }

    #[test]
    fn only_what_is_abandoned_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        let (one, two) = (
            TemporaryDir::new(scratch.path(), PREFIX).unwrap(),
            TemporaryDir::new(scratch.path(), PREFIX).unwrap(),
        );
        // As a killed process leaves it: no process holds the lock.
        let left = at("cc-test-0123456789abcdef");
        fs::create_dir_all(left.join("sub")).unwrap();
        fs::write(at("cc-test-0123456789abcde0"), "a file").unwrap();
        // Names of another form: they must not be removed.
        for name in ["cc-test-notes", "cc-test-0123456789abcdeg", "other-0123456789abcdef"] {
            fs::create_dir(at(name)).unwrap();
        }
        symlink(at("cc-test-notes"), at("cc-test-fedcba9876543210")).unwrap();
        let mut removed = remove_abandoned(scratch.path(), PREFIX);
        removed.sort();
        assert_eq!(removed, [at("cc-test-0123456789abcde0"), left]);
        assert!(one.path().exists() && two.path().exists());
        assert_eq!(names(scratch.path()).len(), 6);
        assert_eq!(remove_abandoned(scratch.path(), PREFIX), [""; 0].map(PathBuf::from));
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        assert_eq!(usable_dir(scratch.path()), scratch.path());
        fs::write(scratch.path().join("file"), "").unwrap();
        for missing in ["absent", "file", "file/below"] {
            let dir = usable_dir(&scratch.path().join(missing));
            assert!(FALLBACKS.map(Path::new).contains(&&*dir), "{dir:?}");
        }
        assert_eq!(names(scratch.path()), ["file"]);
    }

    #[test]
    fn all_of_a_process_are_removed_at_once() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = TemporaryDir::new(scratch.path(), PREFIX).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        // `remove_all` would also remove the directories of other tests in this process.
        assert!(own().contains(&dir.path().to_owned()));
        remove(dir.path());
        assert!(!dir.path().exists());
        let path = dir.path().to_owned();
        drop(dir);
        assert!(!own().contains(&path));
    }

    #[test]
    fn a_directory_is_exposed_where_another_user_can_rename_what_is_in_it() {
        let scratch = tempfile::tempdir().unwrap();
        let modes = [(0o700, false), (0o755, false), (0o1777, false), (0o777, true), (0o770, true)];
        for (mode, expected) in modes {
            fs::set_permissions(scratch.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_exposed(scratch.path()), expected, "{mode:o}");
        }
        assert!(!is_exposed(&scratch.path().join("absent")));
    }

    #[test]
    fn what_is_there_is_not_made() {
        let scratch = tempfile::tempdir().unwrap();
        let path = random_name(scratch.path(), PREFIX);
        let lock = Lock::make(&path).unwrap();
        assert_eq!(Lock::make(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(!remove_if_abandoned(&path).unwrap());
        drop(lock);
        assert!(remove_if_abandoned(&path).unwrap());
    }
}

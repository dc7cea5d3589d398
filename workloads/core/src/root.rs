//! The files that a worker may open for tasks from another host, since these tasks name files.

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, open, openat2},
    io::Errno,
};

use crate::stream;

/// The files that tasks may open.
#[derive(Clone, Debug, Default)]
pub enum Files {
    /// None: tasks carry the contents of their files.
    None,
    /// Files beneath a directory. No name and no link leads out of it.
    Beneath(Root),
    /// All files that the process may open.
    #[default]
    All,
}

impl Files {
    /// The files beneath this directory. It stays the same directory even if it is renamed or
    /// replaced.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or the kernel cannot confine names to a directory (`openat2`, since
    /// Linux 5.6).
    pub fn beneath(root: &Path) -> io::Result<Self> {
        Root::new(root).map(Self::Beneath)
    }

    /// Opens a file for reading, without waiting for the other end of a pipe. The kernel checks the
    /// path while it opens the file, so an exchange of directories during the call cannot lead
    /// outside.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        match self {
            Self::All => stream::open(path),
            Self::Beneath(root) => root.open(path),
            Self::None => Err(outside()),
        }
    }
}

/// A directory that names are confined to. Clones share one descriptor.
#[derive(Clone, Debug)]
pub struct Root(Arc<Directory>);

#[derive(Debug)]
struct Directory {
    directory: OwnedFd,
    /// Its canonical path, without symbolic links.
    path: PathBuf,
}

/// Maximum attempts to resolve a path. With `..` in it, the kernel answers `EAGAIN` whenever
/// anything on the system was renamed meanwhile, and a retry usually succeeds.
const MAX_ATTEMPTS: usize = 64;

impl Root {
    fn new(root: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(root)?;
        let directory = open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let root = Self(Arc::new(Directory { directory, path }));
        match root.resolve(Path::new("."), OFlags::PATH) {
            Err(Errno::NOSYS | Errno::PERM) => Err(io::Error::other(
                "this kernel cannot confine names to a directory: openat2, since Linux 5.6, is not allowed or not there",
            )),
            resolved => Ok(resolved.map(|_| root)?),
        }
    }

    /// Opens a path. Only the name relative to the root is computed here; the kernel resolves it
    /// and refuses to leave the root.
    fn open(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        if let Some(name) = self.name(path) {
            match self.resolve(name, flags) {
                Err(Errno::XDEV) => {}
                opened => return Ok(opened?.into()),
            }
        }
        // `path` may reach the root by another name, or an absolute link may lead beneath the root.
        let path = fs::canonicalize(path).map_err(|_| outside())?;
        match self.resolve(self.name(&path).ok_or_else(outside)?, flags) {
            Err(Errno::XDEV) => Err(outside()),
            opened => Ok(opened?.into()),
        }
    }

    /// The path relative to the root, if it begins with the root's path.
    fn name<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let name = path.strip_prefix(&self.0.path).ok()?;
        Some(if name.as_os_str().is_empty() { Path::new(".") } else { name })
    }

    fn resolve(&self, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let resolve = || openat2(&self.0.directory, name, flags | OFlags::CLOEXEC, Mode::empty(), within);
        let mut opened = resolve();
        for _ in 1..MAX_ATTEMPTS {
            if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
            opened = resolve();
        }
        opened
    }
}

fn outside() -> io::Error {
    io::Error::other("Outside of the worker's root")
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        os::unix::fs::symlink,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    use super::*;

    fn read(files: &Files, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        files.open(path)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn nothing_outside_of_the_root_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("root/sub")).unwrap();
        for file in ["secret", "root/file", "root/sub/file"] {
            fs::write(at(file), file).unwrap();
        }
        symlink(at("secret"), at("root/link")).unwrap();
        symlink("../secret", at("root/up-link")).unwrap();
        symlink(dir.path(), at("root/up")).unwrap();
        symlink(at("root/sub/file"), at("root/inside")).unwrap();
        symlink("sub/file", at("root/below")).unwrap();
        symlink("/proc/self/cwd", at("root/magic")).unwrap();
        symlink(at("root"), at("alias")).unwrap();
        let beneath = Files::beneath(&at("alias")).unwrap();
        for (name, file) in [
            ("root/file", "root/file"),
            ("alias/file", "root/file"),
            ("root/sub/../file", "root/file"),
            ("root/../root/sub/file", "root/sub/file"),
            ("root/inside", "root/sub/file"),
            ("root/below", "root/sub/file"),
        ] {
            assert_eq!(read(&beneath, &at(name)).unwrap(), file, "{name}");
        }
        for name in [
            "secret",
            "absent",
            "root/link",
            "root/up-link",
            "root/up/secret",
            "root/../secret",
            "root/..",
            "root/magic/Cargo.toml",
        ] {
            let error = read(&beneath, &at(name)).unwrap_err();
            assert_eq!(error.to_string(), "Outside of the worker's root", "{name}");
        }
        assert_eq!(read(&beneath, &at("root/absent")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(read(&Files::None, &at("root/file")).is_err());
        assert_eq!(read(&Files::All, &at("secret")).unwrap(), "secret");
    }

    #[test]
    fn a_directory_that_is_exchanged_for_a_link_again_and_again_leads_nowhere() {
        const READS: usize = 20_000;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("root/sub")).unwrap();
        fs::create_dir(at("outside")).unwrap();
        fs::write(at("root/sub/file"), "inside").unwrap();
        fs::write(at("outside/file"), "canary").unwrap();
        symlink(at("outside"), at("root/link")).unwrap();
        let files = Files::beneath(&at("root")).unwrap();
        let (is_done, path) = (AtomicBool::new(false), at("root/sub/file"));
        let (mut inside, mut refused) = (0, 0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    let names = (at("root/sub"), at("root/link"));
                    renameat_with(CWD, &names.0, CWD, &names.1, RenameFlags::EXCHANGE).unwrap();
                }
            });
            // Both outcomes must have occurred, or the reads did not race with the exchange.
            while inside + refused < READS || inside == 0 || refused == 0 {
                match read(&files, &path) {
                    Ok(text) => {
                        assert_eq!(text, "inside");
                        inside += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
            is_done.store(true, Ordering::Relaxed);
        });
    }
}

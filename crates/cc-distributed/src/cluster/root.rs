//! Which files a worker opens for others.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use cc_workloads::{Error, Result};

/// What a worker was started to serve.
#[derive(Clone, Debug)]
pub enum Files {
    /// None: tasks bring their contents along.
    None,
    /// Those below this directory, whose path is free of links.
    Below(PathBuf),
    /// All: the worker belongs to the run that started it, and runs in its name.
    All,
}

impl Files {
    /// Those below `root`.
    pub(super) fn below(root: &Path) -> io::Result<Self> {
        fs::canonicalize(root).map(Self::Below)
    }

    /// A guard for a job that sends contents, or `names`, which are relative to `base`. Refuses names where none are
    /// served.
    pub fn guard(&self, names: bool, base: &[u8]) -> Result<Guard> {
        if names && matches!(self, Self::None) {
            let why = "was started without --root: it takes contents, not --shared-fs";
            return Err(Error::Usage(why.to_owned()));
        }
        Ok(Guard { files: self.clone(), base: OsStr::from_bytes(base).into(), last: None })
    }
}

/// Checks one name after the other. Neighbours in a directory are cheap.
pub struct Guard {
    files: Files,
    base: PathBuf,
    /// The directory checked last, and whether it is served.
    last: Option<(PathBuf, bool)>,
}

impl Guard {
    /// Whether this file may be opened, or why not: it is, or a link on the way leads, outside of the root.
    ///
    /// Whoever may change the tree while it is read could put a link in place between this look and the
    /// opening: a root is to be writable only by those who may read what the worker may read.
    pub fn admit(&mut self, name: &[u8]) -> Result<(), String> {
        let path = self.base.join(OsStr::from_bytes(name));
        if self.admits(&path) { Ok(()) } else { Err("Outside of the worker's root".to_owned()) }
    }

    fn admits(&mut self, path: &Path) -> bool {
        let root = match &self.files {
            Files::None => return false,
            Files::Below(root) => root,
            Files::All => return true,
        };
        let is_below = |path: &Path| fs::canonicalize(path).is_ok_and(|path| path.starts_with(root));
        let is_link = fs::symlink_metadata(path).is_ok_and(|file| file.is_symlink());
        let (false, Some(dir), true) = (is_link, path.parent(), path.file_name().is_some()) else {
            return is_below(path);
        };
        match &self.last {
            Some((last, served)) if last == dir => *served,
            _ => {
                let served = is_below(dir);
                self.last = Some((dir.to_owned(), served));
                served
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_of_the_root_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("root/sub")).unwrap();
        for file in ["secret", "root/file", "root/sub/file"] {
            fs::write(at(file), "x").unwrap();
        }
        symlink(at("secret"), at("root/link")).unwrap();
        symlink(dir.path(), at("root/up")).unwrap();
        symlink(at("root/sub/file"), at("root/inside")).unwrap();
        let guard = |files: Files| files.guard(false, dir.path().as_os_str().as_bytes()).unwrap();
        let mut below = guard(Files::below(&at("root")).unwrap());
        for allowed in ["root/file", "root/sub/file", "root/inside", "root/sub/../file", "root/absent"] {
            assert!(below.admit(allowed.as_bytes()).is_ok(), "{allowed}");
        }
        for refused in ["secret", "root/link", "root/up/secret", "root/../secret", "root/.."] {
            assert!(below.admit(refused.as_bytes()).is_err(), "{refused}");
        }
        assert!(guard(Files::None).admit(b"root/file").is_err());
        assert!(Files::None.guard(true, b"").is_err());
        assert!(guard(Files::All).admit(b"secret").is_ok());
    }
}

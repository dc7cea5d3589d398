//! Which files a worker opens for others.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

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

    /// Whether any name may be asked for at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// Checks one name after the other. Neighbours in a directory are cheap.
pub struct Guard {
    files: Files,
    /// The directory checked last, and whether it is served.
    last: Option<(PathBuf, bool)>,
}

impl Guard {
    /// A guard for what `files` allows.
    #[must_use]
    pub fn new(files: &Files) -> Self {
        Self { files: files.clone(), last: None }
    }

    /// Whether this file may be opened: not if it is, or a link on the way leads, outside of the root.
    ///
    /// Whoever may change the tree while it is searched could put a link in place between this look and the
    /// opening: a root is to be writable only by those who may read what the worker may read.
    pub fn admits(&mut self, path: &Path) -> bool {
        let Files::Below(root) = &self.files else { return !self.files.is_none() };
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
        let mut guard = Guard::new(&Files::below(&at("root")).unwrap());
        for allowed in ["root/file", "root/sub/file", "root/inside", "root/sub/../file", "root/absent"] {
            assert!(guard.admits(&at(allowed)), "{allowed}");
        }
        for refused in ["secret", "root/link", "root/up/secret", "root/../secret", "root/.."] {
            assert!(!guard.admits(&at(refused)), "{refused}");
        }
        assert!(!Guard::new(&Files::None).admits(&at("root/file")));
        assert!(Guard::new(&Files::All).admits(&at("secret")));
    }
}

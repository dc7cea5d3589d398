//! The identity of files, which does not depend on their names: device and inode.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata},
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::MetadataExt,
    },
    path::Path,
};

use walkdir::{DirEntry, DirEntryExt};

/// A file or a directory of this machine, by whichever name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The identity of the file with this metadata.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// The identity of the file that a path leads to. `None` if there is no such file.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }
}

/// A regular file that the program writes to while it reads its inputs. It may be one of them, and
/// would then grow with every line that is read from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    id: FileId,
    /// Its name in its directory, if it still has one.
    name: Option<OsString>,
}

impl OutputFile {
    /// The reason why such an input is not read.
    pub const IS_INPUT: &str = "input file is also the output";

    /// The file that standard output is. `None` if that is a terminal, a pipe or a device.
    #[must_use]
    pub fn stdout() -> Option<Self> {
        Self::of(std::io::stdout())
    }

    /// The file that an open descriptor leads to. `None` if that is not a regular file.
    #[must_use]
    pub fn of(file: impl AsFd) -> Option<Self> {
        let file = File::from(file.as_fd().try_clone_to_owned().ok()?);
        let id = FileId::of(&file.metadata().ok().filter(Metadata::is_file)?);
        let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok();
        Some(Self { id, name: path.as_deref().and_then(Path::file_name).map(OsStr::to_owned) })
    }

    /// Whether a file with this metadata is the output.
    #[must_use]
    pub fn is(&self, input: &Metadata) -> bool {
        FileId::of(input) == self.id
    }

    /// Whether an entry of a directory is the output. Makes a system call only if the name or the
    /// inode is that of the output: on some file systems (overlayfs) a directory lists its files
    /// with other inodes than they have.
    #[must_use]
    pub fn is_entry(&self, entry: &DirEntry) -> bool {
        let may_be = entry.ino() == self.id.inode || self.name.as_deref() == Some(entry.file_name());
        may_be && entry.metadata().is_ok_and(|metadata| self.is(&metadata))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use walkdir::WalkDir;

    use super::*;

    #[test]
    fn a_file_is_known_by_each_of_its_names_and_not_by_its_text() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        for name in ["other", "output", "sub/output"] {
            fs::create_dir_all(at("sub")).unwrap();
            fs::write(at(name), "same").unwrap();
        }
        fs::hard_link(at("output"), at("sub/hard")).unwrap();
        symlink("output", at("symbolic")).unwrap();
        let output = OutputFile::of(File::open(at("output")).unwrap()).unwrap();
        let is = |name: &str| output.is(&fs::metadata(at(name)).unwrap());
        assert!(is("output") && is("sub/hard") && is("symbolic") && !is("other") && !is("sub/output"));
        let entries = WalkDir::new(scratch.path()).sort_by_file_name().into_iter().map(Result::unwrap);
        let found: Vec<_> = entries.filter(|entry| output.is_entry(entry)).collect();
        let found: Vec<_> =
            found.iter().map(|entry| entry.path().strip_prefix(scratch.path()).unwrap()).collect();
        assert_eq!(found, [Path::new("output"), Path::new("sub/hard")]);
    }

    #[test]
    fn what_does_not_grow_is_no_output_file() {
        assert!(OutputFile::of(File::open("/dev/null").unwrap()).is_none());
        assert!(OutputFile::of(rustix::pipe::pipe().unwrap().1).is_none());
    }
}

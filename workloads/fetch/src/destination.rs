//! The destination of a body: none, a file that gets its name when it is complete, or a file
//! without a name.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use cc_core::{error::reason, replace::Replacement};
use serde::{Deserialize, Serialize};

use super::failure::Failure;
/// Whether and where a body is saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Keep {
    #[default]
    Nowhere,
    At(PathBuf),
    /// In a file without a name, which is part of the attempt's result.
    Unnamed,
}

/// The destination of a body. A file that is not [kept](Destination::keep) is removed on drop.
pub(super) enum Destination {
    Nowhere,
    File(Replacement),
    Unnamed(File),
}

impl Destination {
    /// Opens the destination.
    pub(super) fn open(keep: &Keep) -> io::Result<Self> {
        let path = match keep {
            Keep::Nowhere => return Ok(Self::Nowhere),
            Keep::Unnamed => return tempfile::tempfile().map(Self::Unnamed),
            Keep::At(path) => path,
        };
        let (dir, name) = split(path);
        Replacement::beneath(dir, name).map(Self::File)
    }

    /// Gives the file its name, replacing an existing file, or returns the file if it has no name.
    pub(super) fn keep(self) -> io::Result<Option<File>> {
        match self {
            Self::Nowhere => Ok(None),
            Self::File(file) => file.commit().map(|()| None),
            Self::Unnamed(file) => Ok(Some(file)),
        }
    }
}

/// Renames a body that another process has saved.
pub(super) fn rename(file: &Path, path: &Path) -> io::Result<()> {
    let (dir, name) = split(path);
    Replacement::moved_beneath(file, dir, name)?.commit()
}

/// The directory in which bodies are saved, and the name in it, which comes from a URL.
fn split(path: &Path) -> (&Path, &Path) {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (dir, path.file_name().unwrap_or_default().as_ref())
}

/// The destination of a body whose bytes another process sends.
pub struct Arriving(Destination);

impl Arriving {
    pub(super) fn new(keep: &Keep) -> Result<Self, Failure> {
        Destination::open(keep).map(Self).map_err(|error| Failure::Keep(reason(&error)))
    }

    /// Takes more bytes.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.0.write_all(bytes).map_err(|error| Failure::Keep(reason(&error)))
    }

    /// Gives the complete file its name.
    pub fn keep(self) -> Result<(), Failure> {
        self.0.keep().map(drop).map_err(|error| Failure::Keep(reason(&error)))
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Nowhere => Ok(bytes.len()),
            Self::File(file) => file.write(bytes),
            Self::Unnamed(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read, Seek},
    };

    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        let mut destination = Destination::open(&Keep::At(path.clone())).unwrap();
        assert!(!path.exists());
        destination.write_all(b"it").unwrap();
        destination.keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"it");
        drop(Destination::open(&Keep::At(path)).unwrap());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_without_a_name_can_be_passed_on() {
        let scratch = tempfile::tempdir().unwrap();
        let mut destination = Destination::open(&Keep::Unnamed).unwrap();
        destination.write_all(b"it").unwrap();
        let mut file = destination.keep().unwrap().unwrap();
        let mut text = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut text).unwrap();
        let path = scratch.path().join("a");
        let mut arriving = Arriving::new(&Keep::At(path.clone())).unwrap();
        arriving.take(&text).unwrap();
        arriving.keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"it");
    }
}

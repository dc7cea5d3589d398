//! Where a body goes: nowhere, or into a file that has its name only when it is whole, if it is to have one.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use cc_core::{error::reason, replace::Replacement};
use serde::{Deserialize, Serialize};

use super::failure::Failure;
/// Whether a body is kept, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Keep {
    #[default]
    Nowhere,
    At(PathBuf),
    /// In a file without a name, for whoever is told what came of the attempt.
    Unnamed,
}

/// Where a body is kept. What is not [kept](Place::keep) is removed when this is dropped.
pub(super) enum Place {
    Nowhere,
    File(Replacement),
    Unnamed(File),
}

impl Place {
    /// A file that will have its path when it is kept, one that never has any, or nowhere.
    pub(super) fn open(keep: &Keep) -> io::Result<Self> {
        let path = match keep {
            Keep::Nowhere => return Ok(Self::Nowhere),
            Keep::Unnamed => return tempfile::tempfile().map(Self::Unnamed),
            Keep::At(path) => path,
        };
        let (folder, name) = split(path);
        Replacement::beneath(folder, name).map(Self::File)
    }

    /// Gives the file its name, which replaces one from another run. One that has none is returned.
    pub(super) fn keep(self) -> io::Result<Option<File>> {
        match self {
            Self::Nowhere => Ok(None),
            Self::File(file) => file.commit().map(|()| None),
            Self::Unnamed(file) => Ok(Some(file)),
        }
    }
}

/// Gives a body that another process has kept in a file the name that it is to have.
pub(super) fn rename(file: &Path, path: &Path) -> io::Result<()> {
    let (folder, name) = split(path);
    Replacement::moved_beneath(file, folder, name)?.commit()
}

/// The folder that bodies are kept in, and the name in it, which a list may have chosen.
fn split(path: &Path) -> (&Path, &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (folder, path.file_name().unwrap_or_default().as_ref())
}

/// A body that somebody else has taken, on its way to where it is to be kept.
pub struct Arriving(Place);

impl Arriving {
    pub(super) fn new(keep: &Keep) -> Result<Self, Failure> {
        Place::open(keep).map(Self).map_err(|error| Failure::Keep(reason(&error)))
    }

    /// Takes more of it.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.0.write_all(bytes).map_err(|error| Failure::Keep(reason(&error)))
    }

    /// It is whole, and gets its name.
    pub fn keep(self) -> Result<(), Failure> {
        self.0.keep().map(drop).map_err(|error| Failure::Keep(reason(&error)))
    }
}

impl Write for Place {
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
        let mut place = Place::open(&Keep::At(path.clone())).unwrap();
        assert!(!path.exists());
        place.write_all(b"it").unwrap();
        place.keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"it");
        drop(Place::open(&Keep::At(path)).unwrap());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_without_a_name_is_whoevers_it_is_given_to() {
        let scratch = tempfile::tempdir().unwrap();
        let mut place = Place::open(&Keep::Unnamed).unwrap();
        place.write_all(b"it").unwrap();
        let mut file = place.keep().unwrap().unwrap();
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

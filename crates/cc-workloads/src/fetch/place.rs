//! Where a body goes: nowhere, or into a file that has its name only when it is whole.

use std::{
    fs::Permissions,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// Where a body is kept. What is not [kept](Place::keep) is removed when this is dropped.
pub(super) enum Place {
    Nowhere,
    File { file: NamedTempFile, path: PathBuf },
}

impl Place {
    /// A file that will have this path, or nowhere.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Self::Nowhere) };
        let folder = path.parent().unwrap_or(Path::new("."));
        // What the user's umask leaves of this: it is a file like any other when it is done.
        let mode = Permissions::from_mode(0o666);
        let file = tempfile::Builder::new().prefix(".fetch-").permissions(mode).tempfile_in(folder)?;
        Ok(Self::File { file, path: path.to_owned() })
    }

    /// Gives the file its name, which replaces one from another run.
    pub(super) fn keep(self) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::File { file, path } => file.persist(path).map(drop).map_err(|failed| failed.error),
        }
    }
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Nowhere => Ok(bytes.len()),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        let mut place = Place::open(Some(&path)).unwrap();
        assert!(!path.exists());
        place.write_all(b"it").unwrap();
        place.keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"it");
        drop(Place::open(Some(&path)).unwrap());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}

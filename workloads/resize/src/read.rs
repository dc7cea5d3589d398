//! Reading an image's file.

use std::{
    ffi::OsStr,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use cc_core::{error::reason, root::Files, trace};
use serde_bytes::ByteBuf;

use super::{Content, MAX_BYTES, Settings, Task};
/// Reads files for those who do not share a file system with them.
#[derive(Clone, Debug)]
pub struct Loader {
    base: PathBuf,
}

impl Loader {
    /// A loader for the tasks of a job with these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { base: settings.base().to_owned() }
    }

    /// Puts the content of its file into the task. A file that cannot be read is reported by whoever does the task.
    #[must_use]
    pub fn load(&mut self, task: Task) -> Task {
        if task.content != Content::File {
            return task;
        }
        let _span = trace::serial("read");
        let mut bytes = Vec::new();
        let content = match read(&task, &self.base, &Files::All, &mut bytes) {
            Ok(()) => Content::Bytes(ByteBuf::from(bytes)),
            Err(why) => Content::Missing(why),
        };
        Task { content, ..task }
    }
}

impl Settings {
    /// The directory that relative names are relative to.
    pub(super) fn base(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.base))
    }
}

/// Reads the task's file into `bytes`; if that is not to be, says why.
pub(super) fn read(task: &Task, base: &Path, files: &Files, bytes: &mut Vec<u8>) -> Result<(), String> {
    let why = |error: io::Error| reason(&error);
    bytes.clear();
    // It was a file when the directory was read. If a FIFO has taken its place, it is opened
    // without waiting for a writer.
    let file = files.open(&base.join(OsStr::from_bytes(&task.source))).map_err(why)?;
    let kind = file.metadata().map_err(why)?;
    if !kind.is_file() && !kind.is_dir() {
        return Err("Not a regular file".to_owned()); // of a directory, reading it says so
    }
    let size = kind.len();
    if size <= MAX_BYTES {
        bytes.reserve_exact(usize::try_from(size).expect("below the limit"));
        file.take(MAX_BYTES + 1).read_to_end(bytes).map_err(why)?;
    }
    let size = size.max(bytes.len() as u64);
    if size > MAX_BYTES {
        return Err(format!("{size} bytes are more than the {MAX_BYTES} that an image may have"));
    }
    Ok(())
}

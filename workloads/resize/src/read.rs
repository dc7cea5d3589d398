//! Reads the file of an image.

use std::{
    ffi::OsStr,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use cc_core::{error::reason, root::Files, trace};
use serde_bytes::ByteBuf;

use super::{Content, MAX_BYTES, Settings, Task};

/// Reads files into tasks, for workers that do not share a file system with this process.
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

    /// Puts the content of the task's file into the task. If the file cannot be read, the task gets
    /// the reason, and the worker that does the task reports it.
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
    /// The directory that relative names refer to.
    pub(super) fn base(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.base))
    }
}

/// Reads the task's file into `bytes`. The error is the reason, for the user.
pub(super) fn read(task: &Task, base: &Path, files: &Files, bytes: &mut Vec<u8>) -> Result<(), String> {
    let why = |error: io::Error| reason(&error);
    bytes.clear();
    // It was a file when the directory was read. If it has been replaced by a FIFO since, `open`
    // does not wait for a writer.
    let file = files.open(&base.join(OsStr::from_bytes(&task.source))).map_err(why)?;
    let metadata = file.metadata().map_err(why)?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err("Not a regular file".to_owned()); // reading a directory fails with its own message
    }
    let size = metadata.len();
    if size <= MAX_BYTES {
        bytes.reserve_exact(usize::try_from(size).expect("below the limit"));
        file.take(MAX_BYTES + 1).read_to_end(bytes).map_err(why)?;
    }
    let size = size.max(bytes.len() as u64);
    if size > MAX_BYTES {
        return Err(format!("{size} bytes are more than the limit of {MAX_BYTES}"));
    }
    Ok(())
}

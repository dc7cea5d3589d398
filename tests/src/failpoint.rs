//! Failpoints as a test uses them: it plans a fault at a point of the work, counts the hits, and
//! can halt a worker there.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::fault::{Action, Fault};

/// A fault's directory. The processes that hit the fault leave files in it, which the test reads.
pub struct Failpoint {
    dir: PathBuf,
    gate: OnceLock<File>,
}

impl Failpoint {
    /// A failpoint whose directory is `name` in the current directory.
    ///
    /// # Panics
    ///
    /// If the directory exists already.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let dir = Path::new(name).to_owned();
        fs::create_dir(&dir).expect("there is no failpoint of this name");
        let dir = dir.canonicalize().expect("it was just made");
        Self { dir, gate: OnceLock::new() }
    }

    /// A failpoint with two FIFOs in its directory. A process that hits the fault writes its id to
    /// the first, which [`Failpoint::reached`] reads. With [`Action::Block`] it then waits at the
    /// second for [`Failpoint::open`].
    #[must_use]
    pub fn halting(name: &str) -> Self {
        let failpoint = Self::new(name);
        fifo(&failpoint.dir.join("reached"));
        fifo(&failpoint.dir.join("gate"));
        failpoint
    }

    /// The fault to put into a plan; see [`Fault`] for the parameters.
    #[must_use]
    pub fn fault(&self, name: &str, from: u64, action: Action, times: u32) -> Fault {
        Fault { name: name.to_owned(), from, action, times, dir: self.dir.clone() }
    }

    /// Waits until a process hits the fault, and returns its id.
    ///
    /// # Panics
    ///
    /// If the failpoint was not made by [`Failpoint::halting`].
    #[must_use]
    pub fn reached(&self) -> u32 {
        loop {
            let pid = fs::read_to_string(self.dir.join("reached")).expect("a halting failpoint has a FIFO");
            // Empty if the process was killed between opening the FIFO and writing to it.
            if !pid.is_empty() {
                return pid.parse().expect("a process has a number");
            }
        }
    }

    /// Opens the gate for good: for the processes that wait there, and for all that come later. The
    /// gate's file is removed, so later ones do not wait, even after the failpoint is dropped.
    ///
    /// # Panics
    ///
    /// If the failpoint was not made by [`Failpoint::halting`].
    pub fn open(&self) {
        let path = self.dir.join("gate");
        let gate = OpenOptions::new().read(true).write(true).open(&path);
        self.gate.set(gate.expect("a halting failpoint has a FIFO")).expect("it is opened once");
        fs::remove_file(path).expect("nothing else removes it");
    }

    /// How often the fault has been hit.
    ///
    /// # Panics
    ///
    /// If its directory is gone.
    #[must_use]
    pub fn hits(&self) -> usize {
        let entries = fs::read_dir(&self.dir).expect("the failpoint's directory is there");
        let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        entries
            .filter(|entry| entry.as_ref().is_ok_and(|e| e.file_name().to_str().is_some_and(is_number)))
            .count()
    }
}

/// Makes a FIFO.
///
/// # Panics
///
/// If it cannot be made.
pub fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO can be made");
}

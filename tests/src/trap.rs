//! Forced points: what shall happen when a certain piece is about to be searched, and being there when it does.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::fault::{Action, Fault};

/// A fault's directory, beside which the test waits.
pub struct Trap {
    dir: PathBuf,
    gate: OnceLock<File>,
}

impl Trap {
    /// A trap that leaves traces below the current directory.
    ///
    /// # Panics
    ///
    /// If there is one of that name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let dir = Path::new(name).to_owned();
        fs::create_dir(&dir).expect("there is no trap of this name");
        let dir = dir.canonicalize().expect("it was just made");
        Self { dir, gate: OnceLock::new() }
    }

    /// A trap that stops whoever runs into it at two FIFOs: one tells [`Trap::reached`], one waits for
    /// [`Trap::open`].
    #[must_use]
    pub fn halting(name: &str) -> Self {
        let trap = Self::new(name);
        fifo(&trap.dir.join("reached"));
        fifo(&trap.dir.join("gate"));
        trap
    }

    /// The fault to put into a plan.
    #[must_use]
    pub fn fault(&self, name: &str, from: u64, action: Action, times: u32) -> Fault {
        Fault { name: name.to_owned(), from, action, times, dir: self.dir.clone() }
    }

    /// Waits until somebody has run into it, and returns who: a process.
    ///
    /// # Panics
    ///
    /// If the trap does not halt anybody.
    #[must_use]
    pub fn reached(&self) -> u32 {
        loop {
            let who = fs::read_to_string(self.dir.join("reached")).expect("a halting trap has a FIFO");
            // Nothing, if it was killed before it could say who it is.
            if !who.is_empty() {
                return who.parse().expect("a process has a number");
            }
        }
    }

    /// Lets everybody through from now on: who waits, and who comes later, even if the trap is gone
    /// by then.
    ///
    /// # Panics
    ///
    /// If the trap does not halt anybody.
    pub fn open(&self) {
        let path = self.dir.join("gate");
        let gate = OpenOptions::new().read(true).write(true).open(&path);
        self.gate.set(gate.expect("a halting trap has a FIFO")).expect("it is opened once");
        fs::remove_file(path).expect("nothing else removes it");
    }

    /// How often it has struck.
    ///
    /// # Panics
    ///
    /// If its directory has gone.
    #[must_use]
    pub fn strikes(&self) -> usize {
        let entries = fs::read_dir(&self.dir).expect("the trap's directory is there");
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

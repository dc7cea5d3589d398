//! Faults that the conformance suite has the kernels carry out, so that no model knows of them.
//!
//! A plan is part of the query and travels with it to wherever the kernel runs. What has struck is recorded as
//! files in a directory, which is what worker processes that come and go have in common.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::Write,
    os::unix::ffi::OsStrExt,
    path::Path,
    process,
};

use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// The faults of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// They are looked at in order.
    pub faults: Vec<Fault>,
}

/// Something that happens when a certain piece is about to be searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The piece belongs to a file whose path ends so.
    pub file: ByteBuf,
    /// It begins at this byte of the file or later.
    pub from: u64,
    /// What happens.
    pub action: Action,
    /// How often at most, over all workers.
    pub times: u32,
    /// A directory of this fault's own. The n-th strike makes the file `n` in it, with the process id. If there
    /// is a FIFO `reached` in it, the process id is written to that too, which waits for the test to read it.
    pub dir: ByteBuf,
}

/// What happens to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// The task panics.
    Panic,
    /// The process aborts.
    Abort,
    /// The process is killed (SIGKILL).
    Kill,
    /// The process is suspended (SIGSTOP).
    Suspend,
    /// The task waits for as long as nobody has the FIFO `gate` in the fault's directory open for writing.
    Block,
    /// Nothing, beyond leaving a trace.
    Note,
}

impl Plan {
    /// Carries out what is planned for this piece.
    pub fn strike(&self, path: &[u8], start: u64) {
        for fault in &self.faults {
            if path.ends_with(&fault.file) && start >= fault.from && fault.has_a_turn() {
                fault.carry_out();
            }
        }
    }
}

impl Fault {
    fn dir(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.dir))
    }

    fn has_a_turn(&self) -> bool {
        let turn =
            |n: u32| OpenOptions::new().write(true).create_new(true).open(self.dir().join(n.to_string()));
        let Some(mut file) = (0..self.times).find_map(|n| turn(n).ok()) else { return false };
        let note =
            |file: &mut File| write!(file, "{}", process::id()).expect("the test's directory takes a note");
        note(&mut file);
        if let Ok(mut reached) = OpenOptions::new().write(true).open(self.dir().join("reached")) {
            note(&mut reached);
        }
        true
    }

    fn carry_out(&self) {
        let signal = |signal| kill_process(getpid(), signal).expect("a process may signal itself");
        match self.action {
            Action::Panic => panic!("planned"),
            Action::Abort => process::abort(),
            Action::Kill => signal(Signal::KILL),
            // Sent to this thread: to the process, another thread may get it, while this one goes on for a moment.
            Action::Suspend => signal_hook::low_level::raise(signal_hook::consts::SIGSTOP)
                .expect("a thread may signal itself"),
            Action::Block => drop(File::open(self.dir().join("gate"))),
            Action::Note => {}
        }
    }
}

//! Faults at the kernels' failpoints. A plan says which fault happens at which failpoint; no model
//! knows of it.
//!
//! A plan is a file. Its name is in an environment variable that all processes of the case inherit.
//! The hook that [`install`] puts into the kernels reads the file at each failpoint. Hits are
//! recorded as files in a directory, because worker processes that come and go share nothing else.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
};

use cc_workloads::failpoint;
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

/// The environment variable that names the file of the plan in force. The file does not exist while
/// no plan is in force.
pub const PLAN: &str = "CC_CONFORMANCE_FAULTS";

/// The faults of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// They are tried in this order.
    faults: Vec<Fault>,
}

/// Something that happens when the work reaches a failpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The end of the failpoint's name; an empty name stands for every failpoint within a task. A
    /// failpoint is named after the path of a file, a URL, or the step: `tile 7`, `shuffle`,
    /// `partition`, `run`, `merge`. The source of tasks is named `source`, that of the merges
    /// `merges`.
    pub name: String,
    /// How far the work has come at least: to this byte of the file, or to the run, merge or
    /// partition of this number.
    pub from: u64,
    /// What happens.
    pub action: Action,
    /// Maximum number of hits, over all workers.
    pub times: u32,
    /// This fault's own directory. The n-th hit, counted from 0, creates the file `n` with the
    /// process id. If the directory has a FIFO `reached`, the id is written to that too, and the
    /// process waits there until the test reads it.
    pub dir: PathBuf,
}

/// The failpoints at which tasks are made. They are not within a task.
const SOURCES: [&[u8]; 2] = [b"source", b"merges"];

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
    /// The task waits until the test has the FIFO `gate` in the fault's directory open for writing.
    Block,
    /// Nothing; the hit is recorded.
    Note,
}

/// Installs the hook that carries out the plan in force at each failpoint of this process. Every
/// process of the suite calls it, worker processes too.
pub fn install() {
    failpoint::install(|name, at| {
        if let Some(plan) = Plan::in_force() {
            plan.hit(name, at);
        }
    });
}

/// A plan in force. Dropping it removes the plan.
#[must_use]
pub struct InForce {
    file: Option<PathBuf>,
}

impl Plan {
    /// Adds a fault.
    pub fn push(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Puts the plan in force, in this process and those that it starts, until the returned guard
    /// is dropped.
    ///
    /// # Panics
    ///
    /// If another plan is in force, or if this process does not run a case.
    pub fn enforce(&self) -> InForce {
        if self.faults.is_empty() {
            return InForce { file: None };
        }
        let file = file().expect("a case's process has a file for its plan");
        assert!(!file.exists(), "one plan at a time");
        let text = serde_json::to_vec(self).expect("a plan is plain data");
        // Written under another name and then renamed, so that no process reads half a plan.
        let temporary = file.with_extension("draft");
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, file))
            .expect("a plan can be written");
        InForce { file: Some(file.to_owned()) }
    }

    /// The plan in force. If there is none, no descriptor is needed to see that: a case may have
    /// used up all descriptors.
    fn in_force() -> Option<Self> {
        let file = file().filter(|file| file.exists())?;
        match fs::read(file) {
            Ok(text) => Some(serde_json::from_slice(&text).expect("a plan is written whole")),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => panic!("the plan cannot be read: {error}"),
        }
    }

    /// Carries out the faults that are planned for this failpoint.
    fn hit(&self, name: &[u8], at: u64) {
        for fault in &self.faults {
            if fault.is_at(name) && at >= fault.from && fault.takes_a_hit() {
                fault.carry_out();
            }
        }
    }
}

impl Drop for InForce {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            fs::remove_file(file).expect("nothing else removes the plan");
        }
    }
}

/// The file of the plan in force.
fn file() -> Option<&'static Path> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    FILE.get_or_init(|| env::var_os(PLAN).map(PathBuf::from)).as_deref()
}

impl Fault {
    fn is_at(&self, name: &[u8]) -> bool {
        name.ends_with(self.name.as_bytes()) && !(self.name.is_empty() && SOURCES.contains(&name))
    }

    /// Claims the next hit, if any is left. Creating a file with `create_new` is atomic, so no two
    /// processes claim the same hit.
    fn takes_a_hit(&self) -> bool {
        let claim =
            |n: u32| OpenOptions::new().write(true).create_new(true).open(self.dir.join(n.to_string()));
        let Some(mut file) = (0..self.times).find_map(|n| claim(n).ok()) else { return false };
        let note =
            |file: &mut File| write!(file, "{}", process::id()).expect("the test's directory takes a note");
        note(&mut file);
        if let Ok(mut reached) = OpenOptions::new().write(true).open(self.dir.join("reached")) {
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
            // Raised for this thread. If the signal went to the process, another thread might take
            // it while this one ran on for a moment.
            Action::Suspend => signal_hook::low_level::raise(signal_hook::consts::SIGSTOP)
                .expect("a thread may signal itself"),
            Action::Block => drop(File::open(self.dir.join("gate"))),
            Action::Note => {}
        }
    }
}

//! Faults that strike within the kernels, at their failpoints, so that no model knows of them.
//!
//! A plan is a file of the case, whose name is in an environment variable that every process of the
//! case inherits. The hook that [`install`] puts into the kernels reads it at each failpoint. What
//! has struck is recorded as files in a directory, which is what worker processes that come and go
//! have in common.

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

/// The environment variable that names the file of the plan in force. There is no such file while
/// no plan is.
pub const PLAN: &str = "CC_CONFORMANCE_FAULTS";

/// The faults of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// They are looked at in order.
    faults: Vec<Fault>,
}

/// Something that happens when a certain piece is about to be searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The failpoint's name ends so; an empty name is that of every failpoint within a task. The
    /// name is the path of a file or a URL, or says what is done: `tile 7`, `shuffle`, `partition`,
    /// `run`, `merge`. What makes the tasks is `source`, what makes those of the merges `merges`.
    pub name: String,
    /// The work has come so far, or farther: to this byte of the file, or to the run, merge or
    /// partition of this number.
    pub from: u64,
    /// What happens.
    pub action: Action,
    /// How often at most, over all workers.
    pub times: u32,
    /// A directory of this fault's own. The n-th strike makes the file `n` in it, with the process
    /// id. If there is a FIFO `reached` in it, the process id is written to that too, which waits
    /// for the test to read it.
    pub dir: PathBuf,
}

/// The failpoints where tasks are made, which are in no task.
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
    /// Nothing, beyond leaving a trace.
    Note,
}

/// Has this process carry out the plan that is in force when it reaches a failpoint. Called in each
/// process of the suite, worker processes included.
pub fn install() {
    failpoint::install(|name, at| {
        if let Some(plan) = Plan::in_force() {
            plan.strike(name, at);
        }
    });
}

/// Takes a plan out of force when it is dropped.
#[must_use]
pub struct InForce {
    file: Option<PathBuf>,
}

impl Plan {
    /// One more fault.
    pub fn push(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Puts the plan in force, in this process and those that it starts, until what is returned is
    /// dropped.
    ///
    /// # Panics
    ///
    /// If another plan is in force, or this is no process of a case.
    pub fn enforce(&self) -> InForce {
        if self.faults.is_empty() {
            return InForce { file: None };
        }
        let file = file().expect("a case's process has a file for its plan");
        assert!(!file.exists(), "one plan at a time");
        let text = serde_json::to_vec(self).expect("a plan is plain data");
        let draft = file.with_extension("draft");
        fs::write(&draft, text).and_then(|()| fs::rename(&draft, file)).expect("a plan can be written");
        InForce { file: Some(file.to_owned()) }
    }

    /// The plan that is in force. Where there is none, no descriptor is needed to see that: a case
    /// may have none left.
    fn in_force() -> Option<Self> {
        let file = file().filter(|file| file.exists())?;
        match fs::read(file) {
            Ok(text) => Some(serde_json::from_slice(&text).expect("a plan is written whole")),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => panic!("the plan cannot be read: {error}"),
        }
    }

    /// Carries out what is planned for this place.
    fn strike(&self, name: &[u8], at: u64) {
        for fault in &self.faults {
            if fault.is_at(name) && at >= fault.from && fault.has_a_turn() {
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

/// Where the plan in force is.
fn file() -> Option<&'static Path> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    FILE.get_or_init(|| env::var_os(PLAN).map(PathBuf::from)).as_deref()
}

impl Fault {
    fn is_at(&self, name: &[u8]) -> bool {
        name.ends_with(self.name.as_bytes()) && !(self.name.is_empty() && SOURCES.contains(&name))
    }

    fn has_a_turn(&self) -> bool {
        let turn =
            |n: u32| OpenOptions::new().write(true).create_new(true).open(self.dir.join(n.to_string()));
        let Some(mut file) = (0..self.times).find_map(|n| turn(n).ok()) else { return false };
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
            // Sent to this thread: to the process, another thread may get it, while this one goes
            // on for a moment.
            Action::Suspend => signal_hook::low_level::raise(signal_hook::consts::SIGSTOP)
                .expect("a thread may signal itself"),
            Action::Block => drop(File::open(self.dir.join("gate"))),
            Action::Note => {}
        }
    }
}

//! Runs each case in a process of its own. So a check finds only what this case leaves behind, an
//! abort ends no other case, and a process that hangs can be described and ended.

use std::{
    env,
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, set_child_subreaper},
};

use crate::{fault, leftovers::Belongings, tree};

/// The environment variable that names the case to run.
const CASE: &str = "CC_CONFORMANCE_CASE";

/// How a case failed.
#[derive(Debug)]
pub enum Failure {
    /// It failed, with its messages.
    Failed(String),
    /// It was still running at the time limit, with what its threads were doing.
    Hung(String),
}

/// The case that this process was started to run.
#[must_use]
pub fn requested() -> Option<String> {
    env::var(CASE).ok()
}

/// Runs a case in this process, which was started for it. Checks that nothing is left behind:
/// neither by `warm_up`, which is a short run of the same model, nor by the case.
pub fn run(warm_up: impl FnOnce(), case: impl FnOnce()) {
    // Orphans of the models' workers become children of this process, and so are seen.
    set_child_subreaper(Some(rustix::process::getpid())).expect("a process may adopt its descendants");
    let at_first = Belongings::now();
    warm_up();
    // A library may keep a descriptor per process, as tokio does for signals, but not one per run.
    at_first.check_all_but_descriptors();
    let before = Belongings::now();
    case();
    before.check();
}

/// Runs the case `name` in a process of its own, with a current directory, a temporary directory
/// and `variables` of its own.
pub fn start(name: &str, variables: &[(&str, &Path)], limit: Duration) -> Result<(), Failure> {
    let dir = tempfile::Builder::new().prefix("cc-").tempdir().expect("a directory can be made");
    let at = |name: &str| dir.path().join(name);
    for name in ["work", "tmp"] {
        fs::create_dir(at(name)).expect("a directory can be made");
    }
    let file = |name: &str| File::create(at(name)).expect("a file can be made");
    let (out, err) = (file("out"), file("err"));
    let mut command = Command::new(env::current_exe().expect("a program knows its name"));
    command.env(CASE, name).env(fault::PLAN, at("faults")).envs(variables.iter().copied());
    command.env("TMPDIR", at("tmp")).current_dir(at("work"));
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let mut child = command.spawn().expect("the test program can be started again");

    let status = wait(&mut child, limit);
    let said = |name: &str| String::from_utf8_lossy(&fs::read(at(name)).unwrap_or_default()).into_owned();
    let Some(status) = status else {
        let doing = end(&mut child);
        return Err(Failure::Hung(format!("{name} hung: not done in {limit:?}\n{doing}{}", said("err"))));
    };
    let out = said("out");
    if status.success() && out.is_empty() {
        return Ok(());
    }
    let signal = status.signal().map_or(String::new(), |signal| format!(" (signal {signal})"));
    let out = if out.is_empty() { out } else { format!("\nand printed, where the output belongs: {out:?}") };
    Err(Failure::Failed(format!("{name}: {status}{signal}\n{}{out}", said("err"))))
}

/// Waits for the process, at most for `limit`.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let handle = pidfd_open(pid(child), PidfdFlags::empty()).expect("a child has a descriptor");
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let left = Timespec::try_from(left).expect("a limit is not that long");
        let ended = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&left));
        if ended.is_ok_and(|ready| ready > 0) {
            return Some(child.wait().expect("a child can be waited for"));
        }
    }
}

/// Ends the process and all its descendants; returns what they were doing.
fn end(child: &mut Child) -> String {
    let doing = tree::describe(child.id());
    let family = tree::family(child.id());
    let _ = kill_process_group(pid(child), Signal::KILL);
    for member in family.into_iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
        let _ = kill_process(member, Signal::KILL);
    }
    let _ = child.wait();
    doing
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// The directory in an environment variable that [`start`] was given.
///
/// # Panics
///
/// If the variable is not set.
#[must_use]
pub fn directory(variable: &str) -> PathBuf {
    env::var_os(variable).expect("the parent set it").into()
}

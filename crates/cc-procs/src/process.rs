//! A child process that is killed and reaped when its Rust value is dropped.

use std::{
    env,
    fmt::Display,
    io,
    process::{self, Child, Command, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
};

use cc_workloads::{Stop, stdio, stop::OnRequest};

/// The environment variable that makes a process a worker; its value is the name of the work.
pub(crate) const WORKER: &str = "CC_PROCS_WORKER";

/// A child process that is killed and reaped when this is dropped. A stop kills it as well, if
/// [`Process::kill_on`] was called.
pub(crate) struct Process {
    child: Arc<Mutex<Option<Child>>>,
    on_stop: Option<OnRequest>,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        Ok(Self { child: Arc::new(Mutex::new(Some(command.spawn()?))), on_stop: None })
    }

    /// Has a stop kill the process.
    pub(crate) fn kill_on(&mut self, stop: &Stop) {
        let child = self.child.clone();
        self.on_stop = Some(stop.on_request(move || kill(&child)));
    }

    /// Kills the process, and does not wait for its end.
    pub(crate) fn kill(&self) {
        kill(&self.child);
    }

    /// Kills the process and reaps it. SIGKILL, since it ends a suspended process as well, and a
    /// worker has nothing to clean up.
    pub(crate) fn end(&self) -> Option<ExitStatus> {
        // Taken out of the reach of `kill`: once a process is reaped, its id may be another's.
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let _ = child.kill();
        child.wait().ok()
    }
}

fn kill(child: &Mutex<Option<Child>>) {
    if let Some(child) = child.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        let _ = child.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// In a process that was started as a worker for the work with this name, calls `run` and then ends
/// the process. In any other process, does nothing.
pub(crate) fn enter_as<E: Display>(name: &str, run: impl FnOnce() -> Result<(), E>) {
    if env::var_os(WORKER).is_none_or(|worker| worker != name) {
        return;
    }
    if let Err(error) = run() {
        // If standard error is closed, the exit status still reports the failure.
        let _ = stdio::say(&format!("{name} worker: {error}\n"));
        process::exit(1);
    }
    process::exit(0);
}

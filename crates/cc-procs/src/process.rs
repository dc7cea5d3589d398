//! A child process, which does not outlive what owns it here.

use std::{
    env,
    fmt::Display,
    io,
    process::{self, Child, Command, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
};

use cc_workloads::{Stop, stdio, stop::OnRequest};

/// The environment variable that makes a process a worker. Its value is the name of the work.
pub(crate) const WORKER: &str = "CC_PROCS_WORKER";

/// A child process that is killed and waited for when this is dropped, and killed as soon as a stop
/// is requested once [`Process::kill_on`] was called.
pub(crate) struct Process {
    child: Arc<Mutex<Option<Child>>>,
    on_stop: Option<OnRequest>,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        Ok(Self { child: Arc::new(Mutex::new(Some(command.spawn()?))), on_stop: None })
    }

    pub(crate) fn kill_on(&mut self, stop: &Stop) {
        let doomed = self.child.clone();
        self.on_stop = Some(stop.on_request(move || {
            // Its end is not waited for here: that is the owner's part.
            if let Some(child) = doomed.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                let _ = child.kill();
            }
        }));
    }

    /// Kills it. That is waited for where it is [ended](Process::end).
    pub(crate) fn kill(&self) {
        if let Some(child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let _ = child.kill();
        }
    }

    /// Kills it, since that reaches a suspended process too, and a worker has nothing to put in
    /// order.
    pub(crate) fn end(&self) -> Option<ExitStatus> {
        // Out of the hook's reach: a process id that was waited for may be another process's.
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let _ = child.kill();
        child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// In a process that was started as a worker for the work of this name, runs it, and ends the
/// process with it.
pub(crate) fn enter_as<E: Display>(name: &str, run: impl FnOnce() -> Result<(), E>) {
    if env::var_os(WORKER).is_none_or(|worker| worker != name) {
        return;
    }
    if let Err(error) = run() {
        let _ = stdio::say(&format!("{name} worker: {error}\n")); // the status says the same
        process::exit(1);
    }
    process::exit(0);
}

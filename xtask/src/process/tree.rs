//! The descendants of this process.
//!
//! This process is their subreaper: if the parent of a descendant ends, the descendant becomes a
//! child of this process. So no descendant of a run can escape.

use std::{
    collections::HashSet,
    fs, io,
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{self, ExitStatus},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, getpgrp, kill_process, pidfd_open, pidfd_send_signal},
};

/// A process that has ended and been waited for.
pub(crate) struct Ended {
    pub pid: u32,
    pub status: ExitStatus,
    /// Processor time of the process and of the children that it has waited for.
    pub cpu: Duration,
    /// The largest resident set of one of these processes, in bytes.
    pub max_rss: u64,
    pub switches: Switches,
}

/// Numbers of context switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    /// Switches because a thread had to wait.
    pub voluntary: u64,
    /// Switches because another thread's turn had come.
    pub involuntary: u64,
}

impl Switches {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            voluntary: self.voluntary + other.voluntary,
            involuntary: self.involuntary + other.involuntary,
        }
    }
}

/// A running descendant.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub pid: u32,
    pub name: String,
    pub threads: u64,
    group: u32,
}

/// Waits for a child that has ended, if there is one. `wait4` returns the resource usage of this
/// child alone. The difference of two `getrusage(RUSAGE_CHILDREN)` would not give its largest
/// resident set.
#[allow(unsafe_code)]
pub(crate) fn reap() -> Option<Ended> {
    let mut status = 0;
    // SAFETY: `rusage` is a C struct of integers, for which all zeros are a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers point to live values of the types that wait4 writes.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let time = |t: libc::timeval| Duration::new(t.tv_sec.unsigned_abs(), t.tv_usec as u32 * 1000);
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    let max_rss = usage.ru_maxrss.unsigned_abs() * 1024;
    let switches =
        Switches { voluntary: usage.ru_nvcsw.unsigned_abs(), involuntary: usage.ru_nivcsw.unsigned_abs() };
    Some(Ended { pid, status: ExitStatus::from_raw(status), cpu, max_rss, switches })
}

/// The processor time of a process so far, including threads that have ended; `None` if the process
/// does not exist.
#[allow(unsafe_code)]
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock = 0;
    // SAFETY: the pointer points to a live value of the type that clock_getcpuclockid writes.
    if unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } != 0 {
        return None;
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: as above; if the process has ended meanwhile, clock_gettime returns an error.
    let read = unsafe { libc::clock_gettime(clock, &raw mut time) } == 0;
    read.then(|| Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32))
}

/// A guard: while it exists, its process is not listed as a descendant.
pub(crate) struct Excluded(u32);

/// Excludes a child from the descendants: it does not belong to any run.
pub(crate) fn exclude(pid: u32) -> Excluded {
    excluded().insert(pid);
    Excluded(pid)
}

impl Drop for Excluded {
    fn drop(&mut self) {
        excluded().remove(&self.0);
    }
}

fn excluded() -> MutexGuard<'static, HashSet<u32>> {
    static EXCLUDED: LazyLock<Mutex<HashSet<u32>>> = LazyLock::new(Mutex::default);
    EXCLUDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running descendants, without those that are excluded.
pub(crate) fn descendants() -> io::Result<Vec<Process>> {
    let mut all = processes()?;
    let excluded = excluded();
    all.retain(|(process, _)| !excluded.contains(&process.pid));
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![process::id()];
    while let Some(parent) = parents.pop() {
        for (process, _) in all.iter().filter(|(_, of)| *of == parent) {
            parents.push(process.pid);
            found.push(process.clone());
        }
    }
    Ok(found)
}

/// All running processes, each with its parent's id. (Not every kernel has `/proc/PID/children`.)
fn processes() -> io::Result<Vec<(Process, u32)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // The process may have ended since the folder was read.
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { continue };
        found.extend(parse(pid, &String::from_utf8_lossy(&stat)));
    }
    Ok(found)
}

/// Parses `PID (NAME) STATE PARENT GROUP …`. The name may contain any characters, so the search is
/// for the last `)`. The number of threads is the 15th field after the group.
fn parse(pid: u32, stat: &str) -> Option<(Process, u32)> {
    let (before, after) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split(' ');
    let has_ended = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let threads = fields.nth(14)?.parse().ok()?;
    (!has_ended).then(|| (Process { pid, name: name.to_owned(), threads, group }, parent))
}

/// Waits until all descendants have ended. Returns those that are still running after `timeout`.
/// Calls `on_end` for each child that has ended.
pub(crate) fn wait_for_all(timeout: Duration, mut on_end: impl FnMut(Ended)) -> io::Result<Vec<Process>> {
    let deadline = Instant::now() + timeout;
    loop {
        while let Some(child) = reap() {
            on_end(child);
        }
        let running = descendants()?;
        let remaining = deadline.saturating_duration_since(Instant::now());
        if running.is_empty() || remaining.is_zero() {
            while let Some(child) = reap() {
                on_end(child);
            }
            return Ok(running);
        }
        // Waiting for one process at a time is enough: the loop ends when the last one has ended.
        if let Some(pidfd) = open(&running[0]) {
            poll_for(&mut [PollFd::new(&pidfd, PollFlags::IN)], remaining)?;
        }
    }
}

/// Interrupts a program as a Ctrl-C in a terminal would: together with all its descendants in this
/// process's group.
pub(crate) fn interrupt(program: Pid) -> io::Result<()> {
    kill_process(program, Signal::INT)?;
    let group = u32::try_from(Pid::as_raw(Some(getpgrp()))).expect("a group has a number");
    let is_other = |process: &Process| Pid::from_raw(process.pid as i32) != Some(program);
    for process in descendants()?.iter().filter(|process| process.group == group && is_other(process)) {
        if let Some(pidfd) = open(process) {
            let _ = pidfd_send_signal(&pidfd, Signal::INT); // it fails if the process has ended
        }
    }
    Ok(())
}

/// Kills all descendants, including those that are started meanwhile, and waits until they have
/// ended. Calls `on_end` for each child that has ended.
pub(crate) fn kill(mut on_end: impl FnMut(Ended)) -> io::Result<()> {
    loop {
        for process in descendants()? {
            if let Some(pidfd) = open(&process) {
                let _ = pidfd_send_signal(&pidfd, Signal::KILL); // it fails if the process has ended
            }
        }
        if wait_for_all(Duration::from_secs(1), &mut on_end)?.is_empty() {
            return Ok(());
        }
    }
}

fn open(process: &Process) -> Option<impl AsFd + use<>> {
    let pid = Pid::from_raw(i32::try_from(process.pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Polls for at most `timeout`. Like `poll` itself, it may return early, after a signal.
pub(crate) fn poll_for(fds: &mut [PollFd<'_>], timeout: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(timeout).expect("a time-out of minutes fits a timespec");
    match poll(fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_look_like_other_fields() {
        let fields = "7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 3 0 12345";
        let (process, parent) = parse(7, &format!("7 (a) R 1 (b) S 42 7 {fields}")).unwrap();
        assert_eq!((process.name.as_str(), parent, process.threads), ("a) R 1 (b", 42, 3));
        assert!(parse(7, "7 (a) Z 42 7").is_none());
    }
}

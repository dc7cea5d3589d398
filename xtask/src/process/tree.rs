//! The processes that descend from this one.
//!
//! This process is their subreaper: one whose parent has ended becomes a child of this one, so that
//! nothing a run leaves behind can hide.

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

/// A process that has been waited for.
pub(crate) struct Ended {
    pub pid: u32,
    pub status: ExitStatus,
    /// Of the process and of all that it has waited for itself.
    pub cpu: Duration,
    /// The largest resident set of one of these, in bytes.
    pub max_rss: u64,
    pub switches: Switches,
}

/// How often a core went on with another thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    /// Because there was nothing to do but wait.
    pub voluntary: u64,
    /// Because another one's turn had come.
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

/// A descendant that runs.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub pid: u32,
    pub name: String,
    pub threads: u64,
    group: u32,
}

/// Waits for any child that has ended. Unlike the difference of two `getrusage(RUSAGE_CHILDREN)`,
/// what `wait4` tells is this child's alone, its largest resident set too.
#[allow(unsafe_code)]
pub(crate) fn reap() -> Option<Ended> {
    let mut status = 0;
    // SAFETY: `rusage` is a C struct of integers, for which zeros are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the types that wait4 writes.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let time = |t: libc::timeval| Duration::new(t.tv_sec.unsigned_abs(), t.tv_usec as u32 * 1000);
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    let max_rss = usage.ru_maxrss.unsigned_abs() * 1024;
    let switches =
        Switches { voluntary: usage.ru_nvcsw.unsigned_abs(), involuntary: usage.ru_nivcsw.unsigned_abs() };
    Some(Ended { pid, status: ExitStatus::from_raw(status), cpu, max_rss, switches })
}

/// What a process has taken of the cores so far, with threads that have ended; nothing if it is no
/// more.
#[allow(unsafe_code)]
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock = 0;
    // SAFETY: the pointer is to a live value of the type that clock_getcpuclockid writes.
    if unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } != 0 {
        return None;
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: as above; a clock that is no more is an error.
    let read = unsafe { libc::clock_gettime(clock, &raw mut time) } == 0;
    read.then(|| Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32))
}

/// A child that is none of a run's, as long as this is there.
pub(crate) struct Spared(u32);

/// Spares a child: it belongs to no run.
pub(crate) fn spare(pid: u32) -> Spared {
    spared().insert(pid);
    Spared(pid)
}

impl Drop for Spared {
    fn drop(&mut self) {
        spared().remove(&self.0);
    }
}

fn spared() -> MutexGuard<'static, HashSet<u32>> {
    static SPARED: LazyLock<Mutex<HashSet<u32>>> = LazyLock::new(Mutex::default);
    SPARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The descendants that have not ended, but for those that are spared.
pub(crate) fn descendants() -> io::Result<Vec<Process>> {
    let mut all = processes()?;
    let spared = spared();
    all.retain(|(process, _)| !spared.contains(&process.pid));
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

/// All processes that have not ended, each with its parent. (`/proc/PID/children` is not in every
/// kernel.)
fn processes() -> io::Result<Vec<(Process, u32)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended meanwhile.
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { continue };
        found.extend(parse(pid, &String::from_utf8_lossy(&stat)));
    }
    Ok(found)
}

/// Reads `PID (NAME) STATE PARENT GROUP …`, where the name may contain anything. The number of
/// threads is the 15th after the group.
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

/// Waits until the last descendant is gone, and returns those that are left at the end of
/// `patience`. What has ended meanwhile is handed to `ended`.
pub(crate) fn gone(patience: Duration, mut ended: impl FnMut(Ended)) -> io::Result<Vec<Process>> {
    let until = Instant::now() + patience;
    loop {
        while let Some(child) = reap() {
            ended(child);
        }
        let left = descendants()?;
        let patience = until.saturating_duration_since(Instant::now());
        if left.is_empty() || patience.is_zero() {
            while let Some(child) = reap() {
                ended(child);
            }
            return Ok(left);
        }
        // One after the other: the last one is what is waited for.
        if let Some(pidfd) = open(&left[0]) {
            poll_for(&mut [PollFd::new(&pidfd, PollFlags::IN)], patience)?;
        }
    }
}

/// Interrupts a program as Ctrl-C in a terminal does: with all that it has started in this
/// process's group.
pub(crate) fn interrupt(program: Pid) -> io::Result<()> {
    kill_process(program, Signal::INT)?;
    let group = u32::try_from(Pid::as_raw(Some(getpgrp()))).expect("a group has a number");
    let is_other = |process: &Process| Pid::from_raw(process.pid as i32) != Some(program);
    for process in descendants()?.iter().filter(|process| process.group == group && is_other(process)) {
        if let Some(pidfd) = open(process) {
            let _ = pidfd_send_signal(&pidfd, Signal::INT); // it has ended by itself
        }
    }
    Ok(())
}

/// Kills the descendants, also those that are started meanwhile, and waits until they are gone.
pub(crate) fn kill(mut ended: impl FnMut(Ended)) -> io::Result<()> {
    loop {
        for process in descendants()? {
            if let Some(pidfd) = open(&process) {
                let _ = pidfd_send_signal(&pidfd, Signal::KILL); // it has ended by itself
            }
        }
        if gone(Duration::from_secs(1), &mut ended)?.is_empty() {
            return Ok(());
        }
    }
}

fn open(process: &Process) -> Option<impl AsFd + use<>> {
    let pid = Pid::from_raw(i32::try_from(process.pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Polls for at most `patience`.
pub(crate) fn poll_for(fds: &mut [PollFd<'_>], patience: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(patience).expect("a time-out is no geological age");
    match poll(fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_the_rest_of_the_line() {
        let rest = "7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 3 0 12345";
        let (process, parent) = parse(7, &format!("7 (a) R 1 (b) S 42 7 {rest}")).unwrap();
        assert_eq!((process.name.as_str(), parent, process.threads), ("a) R 1 (b", 42, 3));
        assert!(parse(7, "7 (a) Z 42 7").is_none());
    }
}

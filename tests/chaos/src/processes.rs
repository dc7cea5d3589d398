//! The processes of a run. They are found by the temporary directory in their environment, which no
//! other run has.

use std::{
    collections::HashSet,
    fs, io,
    path::Path,
    process::{Child, Command},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, set_child_subreaper, waitpid,
    },
};

/// The children for which the thread that started them waits.
static CHILDREN: Mutex<Option<HashSet<u32>>> = Mutex::new(None);

/// Makes orphans of the programs children of this process, independent of their group or session.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Starts a child. [`reap_orphans`] does not wait for it.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut children = CHILDREN.lock().expect("no thread panics while it holds this");
    let child = command.spawn()?;
    children.get_or_insert_default().insert(child.id());
    Ok(child)
}

/// Records that a child has been waited for.
pub(crate) fn forget(child: &Child) {
    let mut children = CHILDREN.lock().expect("no thread panics while it holds this");
    children.get_or_insert_default().remove(&child.id());
}

/// Waits for orphans that have ended; otherwise zombies use up the process ids.
pub(crate) fn reap_orphans() {
    let mut children = CHILDREN.lock().expect("no thread panics while it holds this");
    let children = children.get_or_insert_default();
    let me = getpid().as_raw_nonzero().get().cast_unsigned();
    for pid in numbers() {
        let is_orphan = || stat(pid).is_some_and(|(state, parent)| state == 'Z' && parent == me);
        if !children.contains(&pid) && is_orphan() {
            let _ = waitpid(raw(pid), WaitOptions::NOHANG);
        }
    }
}

/// Whether a child ignores this signal.
pub(crate) fn is_ignored(child: &Child, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal.as_raw() - 1)) != 0
}

/// Waits for the end of a child, and returns whether it came in time.
pub(crate) fn wait_until(child: &Child, deadline: Instant) -> bool {
    // This fails if the child has been waited for, so it has ended.
    let Ok(handle) = pidfd_open(Pid::from_child(child), PidfdFlags::empty()) else { return true };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).expect("a limit is not that long");
        let ended =
            poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0);
        if ended || left.is_zero() {
            return ended;
        }
    }
}

/// The processes with this temporary directory, without zombies.
pub(crate) fn of(temporary: &Path) -> Vec<u32> {
    let marker = format!("TMPDIR={}\0", temporary.display()).into_bytes();
    let has = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(marker.len()).any(|part| part == marker)
    };
    numbers().into_iter().filter(has).collect()
}

/// Describes the processes that are left after `grace`. It polls, because the kernel has no event
/// for the end of a process that is not yet a child of this one.
pub(crate) fn left(temporary: &Path, grace: Duration) -> Vec<String> {
    let deadline = Instant::now() + grace;
    loop {
        let pids = of(temporary);
        if pids.is_empty() || Instant::now() >= deadline {
            return pids.into_iter().map(describe).collect();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Kills all processes of a run, and those that they start meanwhile.
pub(crate) fn kill(temporary: &Path) {
    for _ in 0..100 {
        let pids = of(temporary);
        if pids.is_empty() {
            break;
        }
        for pid in pids {
            signal(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal, unless the process is gone.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

fn raw(pid: u32) -> Option<Pid> {
    Pid::from_raw(pid.cast_signed())
}

fn describe(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    format!("{pid} ({}) {}", stat(pid).map_or('?', |(state, _)| state), line.trim_end())
}

fn numbers() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// A process's state and its parent.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

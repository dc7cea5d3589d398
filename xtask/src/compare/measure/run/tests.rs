use std::thread;

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::process::tree;

use super::*;

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn seconds(n: u64) -> Option<Duration> {
    Some(Duration::from_secs(n))
}

#[test]
fn a_run_is_seen_with_its_status_output_and_report() {
    let report =
        r#"{"workload":"w","model":"m","workers":2,"totals":{"files":1,"bytes":2,"lines":3,"matches":4}}"#;
    let script = format!("echo hello; echo '{report}' > /proc/self/fd/$CC_REPORT_FD; exit 3");
    let seen = run(sh(&script), RunOptions { timeout: seconds(20), ..RunOptions::default() }).unwrap();
    assert_eq!((seen.status.code(), seen.bytes), (Some(3), 6));
    assert_eq!(seen.report.unwrap().totals["lines"], 3);
    assert!(seen.first.unwrap() <= seen.wall);
    assert!(!seen.timed_out && seen.leftovers.is_empty());
}

#[test]
fn the_cpu_time_of_children_counts() {
    let script = "(i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done); true";
    let seen = run(sh(script), RunOptions { timeout: seconds(60), ..RunOptions::default() }).unwrap();
    assert!(seen.cpu > Duration::from_millis(5), "{:?}", seen.cpu);
}

#[test]
fn the_memory_of_a_child_is_seen() {
    // The grandchild holds 64 MiB in one shell variable, says so, and waits for a reader that never
    // comes.
    let script = "(v=$(head -c 67108864 /dev/zero | tr '\\0' x); echo ${#v}; exec sleep 100); true";
    let mut last = 0;
    for patience in [1, 5, 20] {
        let plan = RunOptions { sample: true, timeout: seconds(patience), ..RunOptions::default() };
        let seen = run(sh(script), plan).unwrap();
        last = seen.held.map_or(0, |held| held.bytes);
        if last > 64 << 20 {
            return;
        }
    }
    panic!("saw {last} bytes");
}

#[test]
fn a_run_whose_time_is_out_is_killed_with_its_descendants() {
    // A grandchild in a session of its own; the program itself ignores what can be ignored.
    let scratch = tempfile::NamedTempFile::new().unwrap();
    let path = scratch.path().display();
    let script = format!("trap '' TERM INT HUP; (setsid sleep 1000 & echo $! > {path}); sleep 1000");
    for patience in [1, 5, 20] {
        let seen =
            run(sh(&script), RunOptions { timeout: seconds(patience), ..RunOptions::default() }).unwrap();
        assert!(seen.timed_out);
        // A busy machine may not have come so far as to start it.
        if let Ok(grandchild) = std::fs::read_to_string(scratch.path()).unwrap().trim().parse::<u32>() {
            assert!(!std::fs::exists(format!("/proc/{grandchild}")).unwrap());
            return;
        }
    }
    panic!("the grandchild was never started");
}

#[test]
fn what_outlives_its_program_is_reported_and_killed() {
    let seen =
        run(sh("setsid sleep 1000 & echo"), RunOptions { timeout: seconds(20), ..RunOptions::default() });
    let leftovers = seen.unwrap().leftovers;
    assert!(leftovers.len() == 1 && leftovers[0].starts_with("sleep"), "{leftovers:?}");
}

#[test]
fn an_interruption_is_timed_until_the_last_descendant_is_gone() {
    let interrupt = Some(Duration::from_millis(50));
    let plan = RunOptions { interrupt, timeout: seconds(20), ..RunOptions::default() };
    let seen = run(Command::new("sleep").arg("1000").take(), plan).unwrap();
    assert!(seen.stop.unwrap() < seen.wall && seen.status.code().is_none());
}

#[test]
fn an_interruption_hits_what_a_program_started_in_its_group() {
    // What a script starts in its background ignores the signal, and would pass that on; a handler
    // is not passed on.
    let cancel = Some(Cancel::on_interrupt().unwrap());
    let interrupt = Some(Duration::from_millis(100));
    let plan = RunOptions { interrupt, cancel, timeout: seconds(20), ..RunOptions::default() };
    let seen = run(sh("sleep 1000; true"), plan).unwrap();
    assert!(seen.stop.is_some() && seen.leftovers.is_empty() && !seen.timed_out, "{seen:?}");
}

#[test]
fn a_run_that_nobody_wants_any_more_is_ended_with_its_descendants_and_no_other_begins() {
    let scratch = tempfile::tempdir().unwrap();
    let [pipe, began] = ["pipe", "began"].map(|name| scratch.path().join(name));
    mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
    let cancel = Cancel::new().unwrap();
    let request = thread::spawn({
        let (cancel, pipe) = (cancel.clone(), pipe.clone());
        move || {
            let grandchild = std::fs::read_to_string(pipe).unwrap(); // waits for a writer
            cancel.request();
            grandchild
        }
    });
    let script = format!("sleep 1000 & echo $! > {}; wait", pipe.display());
    let plan = || RunOptions { timeout: seconds(60), cancel: Some(cancel.clone()), ..RunOptions::default() };
    let error = run(sh(&script), plan()).unwrap_err();
    assert_eq!(error.to_string(), CANCELLED);
    let grandchild = request.join().unwrap();
    assert!(!std::fs::exists(format!("/proc/{}", grandchild.trim())).unwrap());
    run(sh(&format!("echo > {}", began.display())), plan()).unwrap_err();
    assert!(!began.exists());
}

#[test]
fn switches_threads_and_processes_are_counted() {
    let script = "for i in 1 2 3; do sleep 1000 & done; wait";
    let mut last = None;
    for patience in [1, 5, 20] {
        let plan = RunOptions { sample: true, timeout: seconds(patience), ..RunOptions::default() };
        let seen = run(sh(script), plan).unwrap();
        last = seen.held;
        if last.is_some_and(|held| (held.processes, held.threads) == (4, 4)) {
            assert!(seen.switches.voluntary >= 4, "{:?}", seen.switches);
            return;
        }
    }
    panic!("saw {last:?}");
}

/// Bytes that are held, in Python: what the program holds is known, but for the interpreters, which
/// are small beside it.
const HELD: u64 = 512 << 20;

/// Python programs that hold them until they are killed.
const HOLDERS: [(&str, &str); 3] = [
    ("one process", "b = b'x' * N; time.sleep(1000)"),
    (
        "four processes",
        "N //= 4\nfor _ in range(3): os.fork() or (b := b'x' * N, time.sleep(1000))\nb = b'x' * N; time.sleep(1000)",
    ),
    (
        "four processes that share it",
        "m = mmap.mmap(-1, N)\n[m.write(b'x' * 2**20) for _ in range(N >> 20)]\nfor _ in range(3): os.fork() or (sum(m[::4096]), time.sleep(1000))\n\
         time.sleep(1000)",
    ),
];

#[test]
fn memory_is_within_ten_percent_of_what_is_held() {
    let has_python = {
        let _alone = alone();
        Command::new("python3").arg("--version").output().is_ok()
    };
    if !has_python {
        eprintln!("skipped: there is no python3");
        return;
    }
    for (name, script) in HOLDERS {
        let script = format!("import mmap, os, time\nN = {HELD}\n{script}");
        let mut off = 0.0;
        // A busy machine may not have come so far as to hold it all.
        let is_near = [1, 5, 20].into_iter().any(|patience| {
            let mut command = Command::new("python3");
            command.args(["-c", &script]);
            let plan = RunOptions { sample: true, timeout: seconds(patience), ..RunOptions::default() };
            let seen = run(command, plan).unwrap().held.map_or(0, |held| held.bytes);
            off = seen as f64 / HELD as f64 - 1.0;
            off.abs() <= 0.1
        });
        eprintln!("{name}: {:+.1} %", off * 100.0);
        assert!(is_near, "{name}: {:+.1} %", off * 100.0);
    }
}

#[test]
fn nothing_outlives_a_run_that_panics() {
    let _alone = alone();
    set_child_subreaper(Some(getpid())).unwrap();
    let panicked = std::panic::catch_unwind(|| {
        let _family = Family;
        drop(Command::new("sleep").arg("1000").spawn().unwrap());
        assert_eq!(tree::descendants().unwrap().len(), 1);
        panic!("planned");
    });
    assert!(panicked.is_err());
    assert!(tree::descendants().unwrap().is_empty());
}

#[test]
fn a_program_reads_what_it_is_given() {
    let scratch = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(scratch.path(), "some text").unwrap();
    let stdin = Some(File::open(scratch.path()).unwrap());
    let seen =
        run(Command::new("cat").take(), RunOptions { stdin, timeout: seconds(20), ..RunOptions::default() });
    assert_eq!(seen.unwrap().bytes, 9);
}

trait Take {
    fn take(&mut self) -> Command;
}

impl Take for Command {
    fn take(&mut self) -> Command {
        std::mem::replace(self, Command::new("true"))
    }
}

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
    let measurement = run(sh(&script), RunOptions { timeout: seconds(20), ..RunOptions::default() }).unwrap();
    assert_eq!((measurement.status.code(), measurement.bytes), (Some(3), 6));
    assert_eq!(measurement.report.unwrap().totals["lines"], 3);
    assert!(measurement.first.unwrap() <= measurement.wall);
    assert!(!measurement.timed_out && measurement.leftovers.is_empty());
}

#[test]
fn the_cpu_time_of_children_counts() {
    let script = "(i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done); true";
    let measurement = run(sh(script), RunOptions { timeout: seconds(60), ..RunOptions::default() }).unwrap();
    assert!(measurement.cpu > Duration::from_millis(5), "{:?}", measurement.cpu);
}

#[test]
fn the_memory_of_a_child_is_seen() {
    // The grandchild has 64 MiB in a shell variable, prints the size, and sleeps.
    let script = "(v=$(head -c 67108864 /dev/zero | tr '\\0' x); echo ${#v}; exec sleep 100); true";
    let mut last = 0;
    for timeout in [1, 5, 20] {
        let options = RunOptions { sample: true, timeout: seconds(timeout), ..RunOptions::default() };
        let measurement = run(sh(script), options).unwrap();
        last = measurement.usage.map_or(0, |usage| usage.bytes);
        if last > 64 << 20 {
            return;
        }
    }
    panic!("saw {last} bytes");
}

#[test]
fn a_run_that_times_out_is_killed_with_its_descendants() {
    // The grandchild has its own session, and the program ignores all signals that can be ignored.
    let scratch = tempfile::NamedTempFile::new().unwrap();
    let path = scratch.path().display();
    let script = format!("trap '' TERM INT HUP; (setsid sleep 1000 & echo $! > {path}); sleep 1000");
    for timeout in [1, 5, 20] {
        let measurement =
            run(sh(&script), RunOptions { timeout: seconds(timeout), ..RunOptions::default() }).unwrap();
        assert!(measurement.timed_out);
        // On a busy machine, the time-out may have expired before the grandchild was started.
        if let Ok(grandchild) = std::fs::read_to_string(scratch.path()).unwrap().trim().parse::<u32>() {
            assert!(!std::fs::exists(format!("/proc/{grandchild}")).unwrap());
            return;
        }
    }
    panic!("the grandchild was never started");
}

#[test]
fn a_process_that_outlives_its_program_is_reported_and_killed() {
    let measurement =
        run(sh("setsid sleep 1000 & echo"), RunOptions { timeout: seconds(20), ..RunOptions::default() });
    let leftovers = measurement.unwrap().leftovers;
    assert!(leftovers.len() == 1 && leftovers[0].starts_with("sleep"), "{leftovers:?}");
}

#[test]
fn an_interruption_is_timed_until_the_last_descendant_has_ended() {
    let interrupt = Some(Duration::from_millis(50));
    let options = RunOptions { interrupt, timeout: seconds(20), ..RunOptions::default() };
    let measurement = run(Command::new("sleep").arg("1000").take(), options).unwrap();
    assert!(measurement.stop.unwrap() < measurement.wall && measurement.status.code().is_none());
}

#[test]
fn an_interruption_reaches_all_processes_of_the_group() {
    // If SIGINT were ignored here (a shell does that for background jobs), the child would inherit
    // that and ignore it as well. `on_interrupt` installs a handler, and a child does not inherit a
    // handler.
    let cancel = Some(Cancel::on_interrupt().unwrap());
    let interrupt = Some(Duration::from_millis(100));
    let options = RunOptions { interrupt, cancel, timeout: seconds(20), ..RunOptions::default() };
    let measurement = run(sh("sleep 1000; true"), options).unwrap();
    assert!(
        measurement.stop.is_some() && measurement.leftovers.is_empty() && !measurement.timed_out,
        "{measurement:?}"
    );
}

#[test]
fn a_cancelled_run_is_killed_with_its_descendants_and_no_other_begins() {
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
    let options =
        || RunOptions { timeout: seconds(60), cancel: Some(cancel.clone()), ..RunOptions::default() };
    let error = run(sh(&script), options()).unwrap_err();
    assert_eq!(error.to_string(), CANCELLED);
    let grandchild = request.join().unwrap();
    assert!(!std::fs::exists(format!("/proc/{}", grandchild.trim())).unwrap());
    run(sh(&format!("echo > {}", began.display())), options()).unwrap_err();
    assert!(!began.exists());
}

#[test]
fn switches_threads_and_processes_are_counted() {
    let script = "for i in 1 2 3; do sleep 1000 & done; wait";
    let mut last = None;
    for timeout in [1, 5, 20] {
        let options = RunOptions { sample: true, timeout: seconds(timeout), ..RunOptions::default() };
        let measurement = run(sh(script), options).unwrap();
        last = measurement.usage;
        if last.is_some_and(|usage| (usage.processes, usage.threads) == (4, 4)) {
            assert!(measurement.switches.voluntary >= 4, "{:?}", measurement.switches);
            return;
        }
    }
    panic!("saw {last:?}");
}

/// Bytes that the Python programs allocate. The interpreters themselves need little compared with
/// this, so the total is known.
const HELD: u64 = 512 << 20;

/// Python programs that keep this memory until they are killed.
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
fn memory_is_measured_to_within_ten_percent() {
    let has_python = {
        let _exclusive = exclusive();
        Command::new("python3").arg("--version").output().is_ok()
    };
    if !has_python {
        eprintln!("skipped: python3 is not installed");
        return;
    }
    for (name, script) in HOLDERS {
        let script = format!("import mmap, os, time\nN = {HELD}\n{script}");
        let mut off = 0.0;
        // On a busy machine, the time-out may have expired before all memory was allocated.
        let is_near = [1, 5, 20].into_iter().any(|timeout| {
            let mut command = Command::new("python3");
            command.args(["-c", &script]);
            let options = RunOptions { sample: true, timeout: seconds(timeout), ..RunOptions::default() };
            let measurement = run(command, options).unwrap().usage.map_or(0, |usage| usage.bytes);
            off = measurement as f64 / HELD as f64 - 1.0;
            off.abs() <= 0.1
        });
        eprintln!("{name}: {:+.1} %", off * 100.0);
        assert!(is_near, "{name}: {:+.1} %", off * 100.0);
    }
}

#[test]
fn nothing_outlives_a_run_that_panics() {
    let _exclusive = exclusive();
    set_child_subreaper(Some(getpid())).unwrap();
    let panicked = std::panic::catch_unwind(|| {
        let _kill_descendants = KillDescendants;
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
    let measurement =
        run(Command::new("cat").take(), RunOptions { stdin, timeout: seconds(20), ..RunOptions::default() });
    assert_eq!(measurement.unwrap().bytes, 9);
}

trait Take {
    fn take(&mut self) -> Command;
}

impl Take for Command {
    fn take(&mut self) -> Command {
        std::mem::replace(self, Command::new("true"))
    }
}

//! Workers that answer wrongly: a coordinator believes none of their lies, and an honest worker
//! finishes the job.
//!
//! An *impostor* uses the real protocol, between a coordinator and an honest standing worker. It
//! passes on the messages of both, except for one lie. A run has many impostors and one honest
//! worker. The honest one delays its answers until every impostor has lied and was cut off: so each
//! impostor gets a task, and the schedule is forced. Afterwards the output is right, every impostor
//! was named and got no second session, and no other file was read or written.
//!
//! No result depends on time. An impostor is believed if it gets tasks after its lie, and cut off
//! if its session ends. The limits on waiting only end a run that hangs, which is then an error.

#![allow(clippy::unwrap_used, clippy::type_complexity, reason = "a test")]

mod impostor;
mod lies;
mod refusal;

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Child, Command, Output, Stdio},
    slice, thread,
    time::{Duration, Instant},
};

use impostor::{Fate, Impostors, Lie, Reached, Report, Role};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cc-distributed");

/// The contents of a file that no task names.
const CANARY: &str = "-----BEGIN PRIVATE KEY----- needle of the coordinator";

/// A PNG of one pixel.
const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\nIDATx\x9cc\0\x01\0\0\
    \x05\0\x01\r\n-\xb4\0\0\0\0IEND\xaeB`\x82";

/// Address space of a coordinator, in KiB. It needs far less, and 32 TiB are far more.
const MEMORY: &str = "3000000";

/// Impostors per run: fewer than the tasks in flight, so that each gets one.
const IMPOSTORS: usize = 20;

/// Maximum seconds of a run. A coordinator that believes a lie may wait forever, which fails the
/// test.
const LONGEST: &str = "90";

/// `--suspect-after` for runs without a silent worker: on a busy machine, late pings must not end a
/// session before its lie.
const NEVER: &str = "120";

/// A directory with inputs, a token and a secret, and an honest worker.
struct Site {
    worker: Worker,
    dir: TempDir,
}

/// A standing worker. It is killed at the end, also when the test fails.
struct Worker {
    child: Child,
    address: String,
}

impl Worker {
    /// Starts a worker in this directory, with the token of this file.
    fn start(dir: &Path, token: &str, address: &str) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["worker", "--token-file", token, "--slots", "2", "--root", "."]);
        command.args(["--listen", address]).current_dir(dir).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep_secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

impl Site {
    fn new() -> Self {
        Self::with_files(100)
    }

    /// A site with this number of files to search.
    fn with_files(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        keep_secret(&at("token"), "sesame-opens-the-door\n");
        keep_secret(&at("wrong"), "barley-opens-no-door\n");
        fs::create_dir_all(at("private")).unwrap();
        fs::write(at("private/key"), CANARY).unwrap();
        fs::create_dir_all(at("tree")).unwrap();
        for n in 0..count {
            let text = format!("hay {n}\na needle {n}\nmore hay\n").repeat(1 + n % 40);
            fs::write(at(&format!("tree/{n:04}")), text).unwrap();
        }
        fs::write(at("large"), "some hay and a needle\nand more hay\n".repeat(35_000)).unwrap();
        let lines = (0..30_000_u32).map(|n| format!("{:010} {n}\n", n.wrapping_mul(2_654_435_761)));
        fs::write(at("lines"), lines.collect::<String>()).unwrap();
        fs::create_dir_all(at("images")).unwrap();
        for out in ["out-lied", "out-honest"] {
            fs::create_dir(at(out)).unwrap();
            symlink(at("private"), at(out).join("link")).unwrap();
        }
        (0..40).for_each(|n| fs::write(at(&format!("images/{n:02}.png")), PIXEL).unwrap());
        Self { worker: Worker::start(dir.path(), "token", "127.0.0.1:0"), dir }
    }

    fn backend(&self) -> &str {
        &self.worker.address
    }

    /// Runs a coordinator with these workers, until it ends.
    fn run(&self, workers: &[String], args: &[&str]) -> Output {
        self.run_within(NEVER, workers, args)
    }

    /// The same, with this `--suspect-after`.
    fn run_within(&self, suspect_after: &str, workers: &[String], args: &[&str]) -> Output {
        let mut command = Command::new("sh");
        let limits = format!("ulimit -v {MEMORY}; exec timeout {LONGEST} \"$0\" \"$@\"");
        command.args(["-c", &limits, PROGRAM]);
        command.args(["--token-file", "token", "--suspect-after", suspect_after, "--workers", "24"]);
        for worker in workers {
            command.args(["--worker", worker]);
        }
        command.args(args).current_dir(self.dir.path()).output().unwrap()
    }

    /// All files below the directory, except those that a run has to write.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(self.dir.path(), &mut files);
        files.retain(|name, _| !name.contains("/out-"));
        files
    }

    /// Tells all these lies to runs with these arguments. `phase` selects the tasks to lie about.
    /// The honest worker answers none of them before all lies of a run were told.
    fn expose(&self, args: &[&str], phase: fn(&[u8]) -> bool, lies: Vec<(String, Lie)>) {
        let truth = self.truth(&with_out(args, "honest"));
        assert!(truth.status.success(), "{}", String::from_utf8_lossy(&truth.stderr));
        let (before, mut lies) = (self.files(), lies);
        while !lies.is_empty() {
            let some = lies.split_off(lies.len().saturating_sub(IMPOSTORS));
            let names: Vec<String> = some.iter().map(|(name, _)| name.clone()).collect();
            let impostors = Impostors::new(self.backend(), some, phase);
            let run = self.run(&impostors.addresses(), &with_out(args, "lied"));
            self.check(&run, &truth, &impostors.end(), &names);
        }
        assert!(self.files() == before, "a file was made or changed");
        let (honest, lied) = (self.out("honest"), self.out("lied"));
        assert!(honest == lied, "other files were written: {:?}", lied.keys());
    }

    /// The output of an honest worker alone.
    fn truth(&self, args: &[&str]) -> Output {
        self.run(&Impostors::new(self.backend(), Vec::new(), ALL).addresses(), args)
    }

    fn check(&self, run: &Output, truth: &Output, reports: &[Report], names: &[String]) {
        let err = String::from_utf8_lossy(&run.stderr);
        for (report, name) in reports.iter().zip(names) {
            let line = format!("{}: gets no more tasks: answered wrongly: ", report.address);
            let is_named = err.contains(&line);
            assert_eq!((report.fate, is_named), (Fate::CutOff, true), "{name}\n{err}");
        }
        for report in reports {
            assert_eq!(report.sessions, 1, "{names:?}");
            assert!(!report.was_late, "{names:?}: the schedule was not kept");
            assert!(!report.has_seen_secret, "{names:?}: a worker was sent the secret");
        }
        assert_eq!(run.status.code(), truth.status.code(), "{names:?}\n{err}");
        assert!(run.stdout == truth.stdout, "{names:?}: another output\n{err}");
        assert!(!err.contains("PRIVATE") && !err.contains("panicked"), "{err}");
    }

    fn out(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let dir = self.dir.path().join(format!("out-{name}"));
        if dir.exists() {
            collect(&dir, &mut files);
        }
        let short = |(path, bytes): (String, Vec<u8>)| (path.rsplit('/').next().unwrap().to_owned(), bytes);
        files.into_iter().map(short).collect()
    }
}

fn collect(dir: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), into);
        } else {
            into.insert(entry.path().display().to_string(), fs::read(entry.path()).unwrap_or_default());
        }
    }
}

/// The arguments, with an output directory for each kind of run.
fn with_out<'a>(args: &[&'a str], run: &'a str) -> Vec<&'a str> {
    args.iter()
        .map(|arg| {
            if *arg != "OUT" {
                arg
            } else if run == "lied" {
                "out-lied"
            } else {
                "out-honest"
            }
        })
        .collect()
}

const ALL: fn(&[u8]) -> bool = |_| true;

#[test]
fn grep_believes_no_answer_that_is_not_of_its_task() {
    // A task is 32 files: each impostor and the honest worker get one, and some are left.
    let site = Site::with_files(32 * (IMPOSTORS + 6));
    let lies = [lies::messages(), lies::payloads(), lies::grep(false)].concat();
    site.expose(&["grep", "-rn", "needle", "tree", "large"], ALL, lies);
    site.expose(&["--shared-fs", "grep", "-rn", "needle", "tree", "large"], ALL, lies::grep(true));
}

#[test]
fn resize_writes_no_file_but_those_of_its_tasks() {
    let site = Site::new();
    let lies = [lies::messages(), lies::payloads(), lies::resize()].concat();
    site.expose(&["resize", "--width", "9", "--enlarge", "--out", "OUT", "images"], ALL, lies);
}

#[test]
fn mandelbrot_takes_no_counts_but_those_of_its_tiles() {
    let lies = [lies::payloads(), lies::mandelbrot()].concat();
    Site::new().expose(&["mandelbrot", "--size", "400x400", "--tile", "8x400"], ALL, lies);
}

#[test]
fn wordcount_has_counts_only_where_its_tasks_say() {
    let site = Site::new();
    // A task is a mebibyte: each impostor and the honest worker get one, and some are left.
    let text = "some hay, and a needle, and hay\n".repeat((IMPOSTORS + 4) << 15);
    fs::write(site.dir.path().join("text"), text).unwrap();
    let lies = [lies::payloads(), lies::count()].concat();
    site.expose(&["wordcount", "-r", "text", "tree"], lies::is_count, lies);
}

#[test]
fn wordcount_has_words_only_of_its_shares() {
    let lies = [lies::payloads(), lies::rank()].concat();
    Site::new().expose(&["wordcount", "-r", "tree", "large"], lies::is_rank, lies);
}

#[test]
fn sort_has_runs_only_of_its_chunks() {
    let site = Site::new();
    let args = ["sort", "-S", "40M", "lines", "large"];
    site.expose(&args, lies::is_chunk, [lies::payloads(), lies::chunk()].concat());
    site.expose(&args, lies::is_merge, [lies::payloads(), lies::merge()].concat());
}

#[test]
fn a_run_with_only_an_impostor_fails_and_names_it() {
    let site = Site::new();
    for (args, lies) in
        [(&["grep", "-r", "needle", "tree"][..], lies::grep(false)), (&["sort", "lines"], lies::chunk())]
    {
        let impostors = Impostors::new(site.backend(), lies.into_iter().take(1).collect(), ALL);
        let liar = &impostors.addresses()[0];
        let begin = Instant::now();
        let run = site.run(slice::from_ref(liar), args);
        let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert_eq!((run.status.code(), &*out), (Some(2), ""), "{err}");
        let why = format!("{}: no worker left: {liar}: answered wrongly: ", args[0]);
        assert!(err.lines().last().is_some_and(|line| line.starts_with(&why)), "{err}");
        assert!(begin.elapsed() < Duration::from_secs(8), "it was noticed late");
    }
}

/// Runs with two workers that store data for each other and are reachable as given, and with more
/// workers.
fn run_partitioned(
    site: &Site,
    args: &[&str],
    reached: [Reached; 2],
    more: &[(&str, Role)],
) -> (Output, Vec<Report>) {
    let mut all = reached.map(|reached| (site.backend(), Role::Sharer(reached))).to_vec();
    all.extend_from_slice(more);
    let workers = Impostors::with_roles(&all);
    let (run, reports) = (site.run(&workers.addresses(), args), workers.end());
    assert!(reports.iter().all(|report| !report.was_late), "{args:?}: there is a task for each");
    (run, reports)
}

const SHUFFLES: [&[&str]; 2] = [
    &["wordcount", "-r", "large", "tree", "large", "lines", "large"],
    &["sort", "-S", "40M", "lines", "large"],
];

/// The coordinator reaches this worker, but other workers do not. So only the worker itself can
/// read its blobs.
#[test]
fn a_task_that_cannot_reach_a_worker_runs_elsewhere() {
    let site = Site::new();
    for args in SHUFFLES {
        let truth = site.truth(args);
        let (run, reports) = run_partitioned(&site, args, [Reached::ByNone, Reached::ByAll], &[]);
        assert_eq!(run.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
        assert!(run.stdout == truth.stdout, "{args:?}: another output");
        assert!(reports[0].refused > 0, "{args:?}: nothing was fetched from it");
    }
}

#[test]
fn two_workers_that_do_not_reach_each_other_end_the_run_and_are_named() {
    let site = Site::new();
    for args in SHUFFLES {
        let (run, reports) = run_partitioned(&site, args, [Reached::ByNone; 2], &[]);
        let err = String::from_utf8_lossy(&run.stderr);
        let names = |one: usize, other: usize| {
            err.contains(&format!("{} cannot fetch from {}", reports[one].address, reports[other].address))
        };
        assert_eq!(run.status.code(), Some(2), "{args:?}: {err}");
        assert!(names(0, 1) || names(1, 0), "{args:?}: {err}");
    }
}

#[test]
fn a_third_worker_that_reaches_both_does_what_the_two_cannot() {
    let site = Site::new();
    let third = Worker::start(site.dir.path(), "token", "127.0.0.1:0");
    let both = [Reached::By(third.child.id()); 2];
    for args in SHUFFLES {
        let truth = site.truth(args);
        let (run, reports) =
            run_partitioned(&site, args, both, &[(&third.address, Role::Sharer(Reached::ByAll))]);
        let err = String::from_utf8_lossy(&run.stderr);
        assert_eq!((run.status.code(), &*err), (Some(0), ""), "{args:?}");
        assert!(run.stdout == truth.stdout, "{args:?}: another output");
        assert!(reports[0].refused + reports[1].refused > 0, "{args:?}: the two are partitioned");
        assert!(reports.iter().all(|report| report.sessions == 1), "{args:?}: no session was lost");
    }
}

/// It answers pings, so it is not suspected. Its tasks are leased to another worker, too.
#[test]
fn a_worker_that_answers_no_task_does_not_hold_up_the_run() {
    let site = Site::new();
    let run = |args: &[&str]| {
        let truth = site.truth(args);
        let all = [Role::Silent, Role::Sharer(Reached::ByAll)].map(|role| (site.backend(), role));
        let workers = Impostors::with_roles(&all);
        let run = site.run_within("1", &workers.addresses(), args);
        assert_eq!(run.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
        assert!(run.stdout == truth.stdout, "{args:?}: another output");
    };
    // In parallel, because each waits until its tasks are overdue.
    thread::scope(|scope| {
        for args in [&["grep", "-rn", "needle", "tree"][..], SHUFFLES[1]] {
            scope.spawn(move || run(args));
        }
    });
}

/// Asserts that all lines are messages of this workload, without control characters.
fn assert_tame(workload: &str, err: &str) {
    let is_message = |line: &str| line.starts_with(&format!("{workload}: "));
    assert!(err.lines().all(is_message), "{err:?}");
    assert!(!err.contains(|char: char| char.is_control() && char != '\n'), "{err:?}");
}

#[test]
fn a_reason_is_one_line_and_names_the_worker_that_gives_it() {
    let site = Site::new();
    for (workload, lie) in lies::reasons() {
        let args: &[&str] = match workload {
            "grep" => &["grep", "needle", "tree/0000"],
            "resize" => &["resize", "--width", "9", "images/00.png"],
            "mandelbrot" => &["mandelbrot", "--size", "9x9", "--tile", "9x9"],
            "wordcount" => &["wordcount", "tree/0000"],
            _ => &["sort", "lines"],
        };
        for (lie, is_named) in [(lies::failure().1, true), (lie, false)] {
            let impostors = Impostors::new(site.backend(), vec![(String::new(), lie)], ALL);
            let liar = &impostors.addresses()[0];
            let run = site.run(slice::from_ref(liar), args);
            let err = String::from_utf8_lossy(&run.stderr);
            let reason = r"why\u{1b}[2J\nforged: line";
            let expected = if is_named { format!("{liar}: {reason}\n") } else { format!("{reason}\n") };
            assert!(err.contains(&expected) && !run.status.success(), "{workload}: {err}");
            assert_tame(workload, &err);
        }
    }
}

/// Guards against the loss of lies by mistake.
#[test]
fn more_than_two_hundred_lies_are_told() {
    let general = 2 * lies::messages().len() + 7 * lies::payloads().len();
    let of_batches = [lies::grep(false), lies::grep(true), lies::resize(), lies::mandelbrot()];
    let of_phases = [lies::count(), lies::rank(), lies::chunk(), lies::merge()];
    let own: usize = of_batches.iter().chain(&of_phases).map(Vec::len).sum();
    assert!(general + own > 200, "{general} in general, {own} of one workload");
}

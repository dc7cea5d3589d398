//! One run: starts a program in a directory of its own, disturbs it, waits for its end, and
//! collects its result.

use std::{
    env,
    fs::{self, File, Permissions},
    io::{self, PipeReader},
    net::SocketAddr,
    os::unix::{fs::FileExt, fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Options,
    control::{self, Class, Control, Plan, Role},
    inputs::{Case, Inputs, OUT, files},
    judge::{Allowed, Expected, RunResult, Verdict, judge},
    kv::{self, Demands},
    processes,
    programs::{Model, Programs},
};

/// Maximum time from a stop to the end of the program, and from there to the end of the processes
/// that it started.
pub(crate) const PROMPT: Duration = Duration::from_secs(2);

/// The programs and inputs of all runs.
pub(crate) struct Lab {
    pub(crate) programs: Programs,
    pub(crate) inputs: Inputs,
    pub(crate) cases: Vec<Case>,
    limit: Duration,
    /// The directory of all runs, which is removed at the end.
    base: TempDir,
}

/// What makes a run fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    Nothing,
    /// Calls fail in the preloaded library.
    Calls(Plan),
    /// A limit of descriptors.
    Nofile(u64),
    /// A limit of threads, under a user who has no other processes.
    Nproc(u64),
    /// A limit of address space, in bytes.
    Memory(u64),
}

impl Fault {
    /// Whether the program cannot clean up, because emptying a directory needs a descriptor.
    fn keeps_from_cleaning_up(self) -> bool {
        matches!(self, Self::Calls(Plan { class: Class::Descriptor, calls: 2.., .. }))
    }
}

/// Where the output of a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// To a file.
    Patient,
    /// To a pipe that is not read, so that it fills.
    Stalled,
    /// To a pipe whose reading end is closed.
    Gone,
}

/// The description of a run.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) number: usize,
    pub(crate) case: &'a Case,
    pub(crate) model: &'a Model,
    pub(crate) fault: Fault,
    pub(crate) reader: Reader,
}

/// What was done to a running program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Disturbed {
    /// The signals that were sent to it.
    pub(crate) signals: [Option<i32>; 2],
    /// Whether it may fail because of the disturbance.
    pub(crate) is_disturbed: bool,
}

/// Disturbs the running program.
pub(crate) type Disturb<'a> = &'a (dyn Fn(&Child, &RunDir) -> Disturbed + Sync);

/// A finished run.
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) result: RunResult,
    /// The number of calls by role and class.
    pub(crate) calls: [[u64; Class::ALL.len()]; Role::ALL.len()],
    /// The command line, for a message.
    pub(crate) line: String,
}

impl Lab {
    /// Makes the inputs, and runs the reference for the expected results.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        processes::adopt_orphans()?;
        let programs = Programs::find(options)?;
        let base = tempfile::Builder::new().prefix("cc-chaos-").tempdir()?;
        // Runs may belong to other users.
        fs::set_permissions(base.path(), Permissions::from_mode(0o755))?;
        fs::create_dir(base.path().join("inputs"))?;
        let inputs = Inputs::make(&base.path().join("inputs"), &programs)?;
        let cases = Inputs::cases();
        let mut lab = Self { programs, inputs, cases, limit: options.limit(), base };
        let expected: Result<Vec<_>> = lab.cases.iter().map(|case| lab.reference(case)).collect();
        for (case, expected) in lab.cases.iter_mut().zip(expected?) {
            case.expected = expected;
        }
        lab.cases.retain(|case| {
            options.workloads.is_empty() || options.workloads.iter().any(|name| name == case.workload)
        });
        Ok(lab)
    }

    fn reference(&self, case: &Case) -> Result<Option<Expected>> {
        if case.workload == "kv" {
            return Ok(None);
        }
        let (number, model) = (usize::MAX, &self.programs.models[0]);
        let run = Run { number, case, model, fault: Fault::Nothing, reader: Reader::Patient };
        let Outcome { verdict, result, line, .. } = self.run(run, &|_, _| Disturbed::default())?;
        let said = String::from_utf8_lossy(&result.stderr);
        anyhow::ensure!(verdict == Verdict::Right && said.is_empty(), "{line}: {verdict}\n{said}");
        let RunResult { stdout, files, .. } = result;
        Ok(Some(Expected { stdout, files, order: case.order(), lines_are_final: case.lines_are_final() }))
    }

    /// Does a run. An error is an error of this program.
    pub(crate) fn run(&self, run: Run, disturb: Disturb) -> Result<Outcome> {
        let run_dir = RunDir::make(self.base.path(), run)?;
        let (mut command, _pipe) = self.command(run, &run_dir)?;
        let line = shown(&command);
        let mut child = processes::spawn(&mut command).with_context(|| line.clone())?;
        let mut result = RunResult::default();
        let disturbed = match run.case.workload {
            "kv" => self.serve(run, &mut child, &run_dir, disturb, &mut result),
            _ => self.wait(&mut child, &run_dir, disturb, &mut result),
        };
        processes::forget(&child);
        run_dir.collect(&mut result)?;
        let allowed = Allowed {
            abort: matches!(run.fault, Fault::Memory(_)),
            signals: disturbed.signals,
            unread: run.reader != Reader::Patient,
            temporary: run.fault.keeps_from_cleaning_up(),
        };
        let verdict = judge(&result, run.case.expected.as_ref(), &run.case.old, allowed);
        let calls = run_dir.calls();
        processes::reap_orphans();
        Ok(Outcome { verdict, result, calls, line })
    }

    /// The command, and the reading end of its output if that is a stalled pipe.
    fn command(&self, run: Run, run_dir: &RunDir) -> Result<(Command, Option<PipeReader>)> {
        let mut command = self.limited(run)?;
        command.args(["--model", &run.model.name, "--workers", "2", run.case.workload]);
        let out = run_dir.out.display().to_string();
        command.args(run.case.args.iter().map(|arg| arg.replace(OUT, &out)));
        command.env("TMPDIR", &run_dir.tmp).env("RUST_BACKTRACE", "0").current_dir(&self.inputs.dir);
        let (stdout, pipe) = run_dir.stdout(run.reader)?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(File::create(&run_dir.stderr)?).process_group(0);
        Ok((command, pipe))
    }

    fn limited(&self, run: Run) -> Result<Command> {
        let program = &run.model.program;
        let limit = |option: &str, value: u64| -> Result<Command> {
            let mut command = Command::new(env::current_exe()?);
            command.arg("exec").args([option, &value.to_string()]);
            Ok(command)
        };
        let mut limited = match run.fault {
            Fault::Nothing | Fault::Calls(_) => {
                let mut command = Command::new(program);
                command.env("LD_PRELOAD", &self.programs.failpoints);
                command.env(control::CONTROL, RunDir::control(self.base.path(), run.number));
                if let Fault::Calls(plan) = run.fault {
                    command.env(control::PLAN, text(plan));
                }
                return Ok(command);
            }
            Fault::Nofile(value) => limit("--nofile", value)?,
            Fault::Memory(value) => limit("--memory", value)?,
            Fault::Nproc(value) => {
                let mut command = limit("--nproc", value)?;
                command.args(["--uid", &(USERS + run.number as u32 % USERS).to_string()]);
                command
            }
        };
        limited.arg("--").arg(program);
        Ok(limited)
    }

    fn wait(
        &self,
        child: &mut Child,
        run_dir: &RunDir,
        disturb: Disturb,
        result: &mut RunResult,
    ) -> Disturbed {
        let disturbed = disturb(child, run_dir);
        let is_stopped = disturbed.signals[0].is_some();
        let (limit, since) = if is_stopped { (PROMPT, " after a stop") } else { (self.limit, "") };
        end(child, limit, since, result);
        disturbed
    }

    fn serve(
        &self,
        run: Run,
        child: &mut Child,
        run_dir: &RunDir,
        disturb: Disturb,
        result: &mut RunResult,
    ) -> Disturbed {
        let Some(address) = run_dir.address(child, Instant::now() + self.limit) else {
            end(child, Duration::ZERO, " before it listens", result);
            return Disturbed::default();
        };
        let disturbed = thread::scope(|scope| {
            let disturbing = scope.spawn(|| disturb(child, run_dir));
            let must_serve = match run.fault {
                Fault::Nothing => true,
                // The call fails in each worker, so also in the replacement of a worker that
                // failed.
                Fault::Calls(plan) => plan.calls == 1 && plan.role != Role::Worker,
                _ => false,
            };
            // The disturbance may come between two requests or end the server, so missing replies
            // are judged only without one.
            let demands = Demands { may_lose: run.model.has_processes(), must_serve };
            let mut replies = RunResult::default();
            kv::talk(address, demands, &mut replies);
            let disturbed = disturbing.join().expect("the disturbing thread does not panic");
            result.wrong = replies.wrong;
            if !disturbed.is_disturbed && !replies.unanswered.is_empty() {
                // If the server ends, its error message is judged instead.
                let has_ended = processes::wait_until(child, Instant::now() + PROMPT);
                result.unanswered = if has_ended { Vec::new() } else { replies.unanswered };
            }
            disturbed
        });
        processes::signal(child.id(), Signal::TERM);
        end(child, PROMPT, " after a stop", result);
        disturbed
    }
}

/// The first id of the users for runs with a limit of threads. Each run has a user of its own, who
/// has no other processes.
const USERS: u32 = 1 << 20;

/// Waits for the end of the program, and kills it at the limit.
fn end(child: &mut Child, limit: Duration, since: &str, result: &mut RunResult) {
    if processes::wait_until(child, Instant::now() + limit) {
        result.status = child.wait().ok();
        return;
    }
    result.hung = format!("not done in {limit:?}{since}");
    processes::signal(child.id(), Signal::TERM);
    if !processes::wait_until(child, Instant::now() + PROMPT) {
        result.hung += ", and did not end after SIGTERM";
    }
    let _ = child.kill();
    let _ = child.wait();
}

pub(crate) fn text(plan: Plan) -> String {
    let Plan { class, role, first, calls } = plan;
    format!("{}:{}:{first}:{calls}", class.name(), role.name())
}

/// The command as a user would type it.
fn shown(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let set = set.filter(|(name, _)| *name != "TMPDIR" && *name != "RUST_BACKTRACE");
    let set = set.map(|(name, value)| format!("{}={}", name.display(), value.display()));
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words = words.map(|word| word.display().to_string());
    set.chain(words).collect::<Vec<_>>().join(" ")
}

/// The directory of a run, which is removed after the run has been judged.
pub(crate) struct RunDir {
    dir: PathBuf,
    tmp: PathBuf,
    out: PathBuf,
    stderr: PathBuf,
    control: PathBuf,
}

impl RunDir {
    fn control(base: &Path, number: usize) -> PathBuf {
        base.join(format!("run-{number}")).join("control")
    }

    fn make(base: &Path, run: Run) -> Result<Self> {
        let control = Self::control(base, run.number);
        let dir = control.parent().context("the file has a parent directory")?.to_owned();
        let at = |name: &str| dir.join(name);
        let run_dir = Self { tmp: at("tmp"), out: at("out"), stderr: at("stderr"), control, dir };
        for dir in [&run_dir.dir, &run_dir.tmp, &run_dir.out] {
            fs::create_dir(dir)?;
            fs::set_permissions(dir, Permissions::from_mode(0o777))?;
        }
        for (name, contents) in &run.case.old {
            fs::write(run_dir.out.join(name), contents)?;
            fs::set_permissions(run_dir.out.join(name), Permissions::from_mode(0o666))?;
        }
        fs::write(&run_dir.control, [0; Control::BYTES])?;
        Ok(run_dir)
    }

    fn stdout(&self, reader: Reader) -> Result<(Stdio, Option<PipeReader>)> {
        if reader == Reader::Patient {
            return Ok((File::create(self.dir.join("stdout"))?.into(), None));
        }
        let (read, write) = io::pipe()?;
        Ok((write.into(), (reader == Reader::Stalled).then_some(read)))
    }

    /// The address that a server prints. It polls, because the output is a file.
    fn address(&self, child: &Child, deadline: Instant) -> Option<SocketAddr> {
        loop {
            let printed = fs::read_to_string(self.dir.join("stdout")).unwrap_or_default();
            let line = printed.split_once('\n').map_or("", |(line, _)| line);
            let address = line.strip_prefix("listening at ").and_then(|address| address.parse().ok());
            let next = Instant::now() + Duration::from_millis(2);
            if address.is_some() || next > deadline || processes::wait_until(child, next) {
                return address;
            }
        }
    }

    /// Steps the wall clock of the run's processes, if they have the library.
    pub(crate) fn set_clock(&self, seconds: i64) -> io::Result<()> {
        File::options().write(true).open(&self.control)?.write_all_at(&seconds.to_ne_bytes(), 0)
    }

    /// The processes of the run.
    pub(crate) fn processes(&self) -> Vec<u32> {
        processes::of(&self.tmp)
    }

    fn calls(&self) -> [[u64; Class::ALL.len()]; Role::ALL.len()] {
        let page = fs::read(&self.control).unwrap_or_default();
        let mut calls = [[0; Class::ALL.len()]; Role::ALL.len()];
        let counts = page.chunks_exact(8).skip(1).map(|bytes| bytes.try_into().map_or(0, u64::from_ne_bytes));
        for (call, count) in calls.as_flattened_mut().iter_mut().zip(counts) {
            *call = count;
        }
        calls
    }

    fn collect(&self, result: &mut RunResult) -> Result<()> {
        result.processes =
            processes::left(&self.tmp, if result.status.is_some() { PROMPT } else { Duration::ZERO });
        processes::kill(&self.tmp);
        result.temporary = files(&self.tmp)?.into_keys().map(|path| path.display().to_string()).collect();
        result.files = files(&self.out)?;
        result.stderr = fs::read(&self.stderr)?;
        let stdout = fs::read(self.dir.join("stdout")).unwrap_or_default();
        result.stdout = replaced(&stdout, self.out.as_os_str().as_encoded_bytes(), OUT.as_bytes());
        Ok(())
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // A directory that cannot be removed now is removed with that of all runs.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let (mut replaced, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = rest.windows(old.len()).position(|part| part == old) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Order;

    /// The verdict on a program with this script, for which `one` is the right output.
    fn letter(script: &str) -> char {
        letter_within(Duration::from_secs(5), script)
    }

    fn letter_within(limit: Duration, script: &str) -> char {
        let base = tempfile::tempdir().unwrap();
        let program = base.path().join("program");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let (stdout, files) = (b"one\n".to_vec(), crate::inputs::Files::new());
        let expected = Expected { stdout, files, order: Order::Same, lines_are_final: true };
        let case = Case {
            workload: "grep",
            args: vec![OUT.to_owned()],
            old: Default::default(),
            expected: Some(expected),
        };
        let model = Model::fake(program);
        let none = PathBuf::from("/nonexistent");
        let lab = Lab {
            programs: Programs { models: Vec::new(), peers: none, failpoints: PathBuf::new() },
            inputs: Inputs { dir: base.path().to_owned(), origin: Command::new("true").spawn().unwrap() },
            cases: Vec::new(),
            limit,
            base,
        };
        let run =
            Run { number: 0, case: &case, model: &model, fault: Fault::Nothing, reader: Reader::Patient };
        lab.run(run, &|_, _| Disturbed::default()).unwrap().verdict.letter()
    }

    #[test]
    fn each_way_to_end_is_told_apart() {
        assert_eq!(letter("echo one"), 'r');
        assert_eq!(letter("echo no space >&2; exit 2"), 'e');
        assert_eq!(letter("echo two"), 'W');
        assert_eq!(letter("exit 2"), 'W');
        assert_eq!(letter("kill -9 $$"), 'W');
        assert_eq!(letter("echo one; echo \"thread 'x' panicked at y.rs\" >&2"), 'P');
        assert_eq!(letter("echo one; touch $TMPDIR/left"), 'L');
        // The arguments are --model fake --workers 2 grep and the output directory.
        assert_eq!(letter("echo one; touch $6/left"), 'L');
        assert_eq!(letter("echo one; sleep 1000 >/dev/null 2>&1 &"), 'L');
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let soon = Duration::from_millis(200);
        assert_eq!(letter_within(soon, "exec sleep 1000"), 'H');
        assert_eq!(letter_within(soon, "trap '' TERM; while :; do sleep 1000; done"), 'H');
    }
}

//! One run: a program is started in a place of its own, disturbed, waited for, and what it leaves
//! is collected.

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
    judge::{Allowed, Expected, Observed, Verdict, judge},
    kv::{self, Demands},
    processes,
    programs::{Model, Programs},
};

/// A run ends within this time after a stop, and what it has started is gone as soon after its end.
pub(crate) const PROMPT: Duration = Duration::from_secs(2);

/// What all runs have in common.
pub(crate) struct Lab {
    pub(crate) programs: Programs,
    pub(crate) inputs: Inputs,
    pub(crate) cases: Vec<Case>,
    limit: Duration,
    /// Removed at the end, with all that is in it.
    base: TempDir,
}

/// What makes a run fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// Nothing does.
    Nothing,
    /// Calls of the library.
    Calls(Plan),
    /// A limit of descriptors.
    Nofile(u64),
    /// A limit of threads, for a user who has no others.
    Nproc(u64),
    /// A limit of address space, in bytes.
    Memory(u64),
}

impl Means {
    /// Whether no descriptor can be had any more, which it takes to empty a directory.
    fn keeps_from_cleaning_up(self) -> bool {
        matches!(self, Self::Calls(Plan { class: Class::Descriptor, calls: 2.., .. }))
    }
}

/// Where the output of a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// To a file.
    Patient,
    /// To a pipe that is full after a while.
    Stalled,
    /// To a pipe that is closed.
    Gone,
}

/// A run to be done.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) number: usize,
    pub(crate) case: &'a Case,
    pub(crate) model: &'a Model,
    pub(crate) means: Means,
    pub(crate) reader: Reader,
}

/// What happened between a run's start and its end, besides its means.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Disturbed {
    /// The signals that it was sent.
    pub(crate) signals: [Option<i32>; 2],
    /// Whether something was done to it that it may fail by.
    pub(crate) is_disturbed: bool,
}

/// Disturbs the running program.
pub(crate) type Disturb<'a> = &'a (dyn Fn(&Child, &Place) -> Disturbed + Sync);

/// A finished run.
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) seen: Observed,
    /// How often each class was called, in each role.
    pub(crate) calls: [[u64; Class::ALL.len()]; Role::ALL.len()],
    /// The command line, for a message.
    pub(crate) line: String,
}

impl Lab {
    /// Makes the inputs, and runs the reference for what is right.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        processes::adopt_orphans()?;
        let programs = Programs::find(options)?;
        let base = tempfile::Builder::new().prefix("cc-chaos-").tempdir()?;
        // A run may be that of another user.
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
        let run = Run { number, case, model, means: Means::Nothing, reader: Reader::Patient };
        let Outcome { verdict, seen, line, .. } = self.run(run, &|_, _| Disturbed::default())?;
        let said = String::from_utf8_lossy(&seen.stderr);
        anyhow::ensure!(verdict == Verdict::Right && said.is_empty(), "{line}: {verdict}\n{said}");
        let Observed { stdout, files, .. } = seen;
        Ok(Some(Expected { stdout, files, order: case.order(), lines_are_final: case.lines_are_final() }))
    }

    /// Does a run. An error is one of this program.
    pub(crate) fn run(&self, run: Run, disturb: Disturb) -> Result<Outcome> {
        let place = Place::make(self.base.path(), run)?;
        let (mut command, _pipe) = self.command(run, &place)?;
        let line = shown(&command);
        let mut child = processes::spawn(&mut command).with_context(|| line.clone())?;
        let mut seen = Observed::default();
        let disturbed = match run.case.workload {
            "kv" => self.serve(run, &mut child, &place, disturb, &mut seen),
            _ => self.wait(&mut child, &place, disturb, &mut seen),
        };
        processes::forget(&child);
        place.collect(&mut seen)?;
        let allowed = Allowed {
            abort: matches!(run.means, Means::Memory(_)),
            signals: disturbed.signals,
            unread: run.reader != Reader::Patient,
            temporary: run.means.keeps_from_cleaning_up(),
        };
        let verdict = judge(&seen, run.case.expected.as_ref(), &run.case.old, allowed);
        let calls = place.calls();
        processes::reap_orphans();
        Ok(Outcome { verdict, seen, calls, line })
    }

    /// The command, and the reading end of its output, if that is a pipe.
    fn command(&self, run: Run, place: &Place) -> Result<(Command, Option<PipeReader>)> {
        let mut command = self.limited(run)?;
        command.args(["--model", &run.model.name, "--workers", "2", run.case.workload]);
        let out = place.out.display().to_string();
        command.args(run.case.args.iter().map(|arg| arg.replace(OUT, &out)));
        command.env("TMPDIR", &place.tmp).env("RUST_BACKTRACE", "0").current_dir(&self.inputs.dir);
        let (stdout, pipe) = place.stdout(run.reader)?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(File::create(&place.stderr)?).process_group(0);
        Ok((command, pipe))
    }

    fn limited(&self, run: Run) -> Result<Command> {
        let program = &run.model.program;
        let limit = |option: &str, value: u64| -> Result<Command> {
            let mut command = Command::new(env::current_exe()?);
            command.arg("exec").args([option, &value.to_string()]);
            Ok(command)
        };
        let mut limited = match run.means {
            Means::Nothing | Means::Calls(_) => {
                let mut command = Command::new(program);
                command.env("LD_PRELOAD", &self.programs.failpoints);
                command.env(control::CONTROL, Place::control(self.base.path(), run.number));
                if let Means::Calls(plan) = run.means {
                    command.env(control::PLAN, text(plan));
                }
                return Ok(command);
            }
            Means::Nofile(value) => limit("--nofile", value)?,
            Means::Memory(value) => limit("--memory", value)?,
            Means::Nproc(value) => {
                let mut command = limit("--nproc", value)?;
                command.args(["--uid", &(USERS + run.number as u32 % USERS).to_string()]);
                command
            }
        };
        limited.arg("--").arg(program);
        Ok(limited)
    }

    fn wait(&self, child: &mut Child, place: &Place, disturb: Disturb, seen: &mut Observed) -> Disturbed {
        let disturbed = disturb(child, place);
        let is_stopped = disturbed.signals[0].is_some();
        let (limit, since) = if is_stopped { (PROMPT, " after a stop") } else { (self.limit, "") };
        end(child, limit, since, seen);
        disturbed
    }

    fn serve(
        &self,
        run: Run,
        child: &mut Child,
        place: &Place,
        disturb: Disturb,
        seen: &mut Observed,
    ) -> Disturbed {
        let Some(address) = place.address(child, Instant::now() + self.limit) else {
            end(child, Duration::ZERO, " before it listens", seen);
            return Disturbed::default();
        };
        let disturbed = thread::scope(|scope| {
            let disturbing = scope.spawn(|| disturb(child, place));
            let must_serve = match run.means {
                Means::Nothing => true,
                // A worker that takes the place of one that has failed has a first call of its own.
                Means::Calls(plan) => plan.calls == 1 && plan.role != Role::Worker,
                _ => false,
            };
            // Whether a disturbance fits between two requests or ends the server, only its clients'
            // values are judged.
            let demands = Demands { may_lose: run.model.has_processes(), must_serve };
            let mut talked = Observed::default();
            kv::talk(address, demands, &mut talked);
            let disturbed = disturbing.join().expect("what disturbs a run does not panic");
            seen.wrong = talked.wrong;
            if !disturbed.is_disturbed && !talked.unanswered.is_empty() {
                // A server that ends says why, and that is judged.
                let has_ended = processes::wait_until(child, Instant::now() + PROMPT);
                seen.unanswered = if has_ended { Vec::new() } else { talked.unanswered };
            }
            disturbed
        });
        processes::signal(child.id(), Signal::TERM);
        end(child, PROMPT, " after a stop", seen);
        disturbed
    }
}

/// The first of the users that run under a limit of threads, each of which has no other process.
const USERS: u32 = 1 << 20;

/// Waits for the end, and makes one if it does not come.
fn end(child: &mut Child, limit: Duration, since: &str, seen: &mut Observed) {
    if processes::wait_until(child, Instant::now() + limit) {
        seen.status = child.wait().ok();
        return;
    }
    seen.hung = format!("not done in {limit:?}{since}");
    processes::signal(child.id(), Signal::TERM);
    if !processes::wait_until(child, Instant::now() + PROMPT) {
        seen.hung += ", and does not heed SIGTERM";
    }
    let _ = child.kill();
    let _ = child.wait();
}

pub(crate) fn text(plan: Plan) -> String {
    let Plan { class, role, first, calls } = plan;
    format!("{}:{}:{first}:{calls}", class.name(), role.name())
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let set = set.filter(|(name, _)| *name != "TMPDIR" && *name != "RUST_BACKTRACE");
    let set = set.map(|(name, value)| format!("{}={}", name.display(), value.display()));
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words = words.map(|word| word.display().to_string());
    set.chain(words).collect::<Vec<_>>().join(" ")
}

/// The directory of a run, which is removed when it is judged.
pub(crate) struct Place {
    dir: PathBuf,
    tmp: PathBuf,
    out: PathBuf,
    stderr: PathBuf,
    control: PathBuf,
}

impl Place {
    fn control(base: &Path, number: usize) -> PathBuf {
        base.join(format!("run-{number}")).join("control")
    }

    fn make(base: &Path, run: Run) -> Result<Self> {
        let control = Self::control(base, run.number);
        let dir = control.parent().context("it lies in the run's directory")?.to_owned();
        let at = |name: &str| dir.join(name);
        let place = Self { tmp: at("tmp"), out: at("out"), stderr: at("stderr"), control, dir };
        for dir in [&place.dir, &place.tmp, &place.out] {
            fs::create_dir(dir)?;
            fs::set_permissions(dir, Permissions::from_mode(0o777))?;
        }
        for (name, contents) in &run.case.old {
            fs::write(place.out.join(name), contents)?;
            fs::set_permissions(place.out.join(name), Permissions::from_mode(0o666))?;
        }
        fs::write(&place.control, [0; Control::BYTES])?;
        Ok(place)
    }

    fn stdout(&self, reader: Reader) -> Result<(Stdio, Option<PipeReader>)> {
        if reader == Reader::Patient {
            return Ok((File::create(self.dir.join("stdout"))?.into(), None));
        }
        let (read, write) = io::pipe()?;
        Ok((write.into(), (reader == Reader::Stalled).then_some(read)))
    }

    /// Where a server listens, when it says so. It looks again and again, since no event tells when
    /// a file has grown.
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

    /// Steps the wall clock of the run's processes, for those that have the library.
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

    fn collect(&self, seen: &mut Observed) -> Result<()> {
        seen.processes =
            processes::left(&self.tmp, if seen.status.is_some() { PROMPT } else { Duration::ZERO });
        processes::kill(&self.tmp);
        seen.temporary = files(&self.tmp)?.into_keys().map(|path| path.display().to_string()).collect();
        seen.files = files(&self.out)?;
        seen.stderr = fs::read(&self.stderr)?;
        let stdout = fs::read(self.dir.join("stdout")).unwrap_or_default();
        seen.stdout = replaced(&stdout, self.out.as_os_str().as_encoded_bytes(), OUT.as_bytes());
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is removed with the directory of all runs.
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

    /// What a run of a program with this script is worth, where `one` is the right output.
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
            Run { number: 0, case: &case, model: &model, means: Means::Nothing, reader: Reader::Patient };
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

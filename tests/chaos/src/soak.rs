//! `soak`: disturbs programs at random times, with signals, workers that die or hang, a clock that
//! steps, readers that stall, and limits.

use std::{
    process::{Child, ExitCode},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use fastrand::Rng;
use rustix::process::Signal;

use crate::{
    Options,
    control::{Class, Plan, Role},
    inputs::Case,
    plan::conclude,
    processes,
    programs::Model,
    run::{Disturbed, Fault, Lab, Outcome, Reader, Run, RunDir},
    table::Table,
};

/// What disturbs a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    Signal,
    TwoSignals,
    KillWorker,
    SuspendWorker,
    SuspendAll,
    StepClock,
    FailCall,
    Limit,
    StallReader,
    CloseOutput,
}

impl Disturbance {
    const ALL: [Self; 10] = [
        Self::Signal,
        Self::TwoSignals,
        Self::KillWorker,
        Self::SuspendWorker,
        Self::SuspendAll,
        Self::StepClock,
        Self::FailCall,
        Self::Limit,
        Self::StallReader,
        Self::CloseOutput,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::TwoSignals => "signals",
            Self::KillWorker => "kill/w",
            Self::SuspendWorker => "suspend/w",
            Self::SuspendAll => "suspend",
            Self::StepClock => "clock",
            Self::FailCall => "call",
            Self::Limit => "limit",
            Self::StallReader => "stalled",
            Self::CloseOutput => "closed",
        }
    }

    /// Whether it applies to this workload in this model.
    fn fits(self, case: &Case, model: &Model) -> bool {
        match self {
            Self::KillWorker | Self::SuspendWorker => model.has_processes(),
            // A server prints one line, its address, which the run must read.
            Self::StallReader | Self::CloseOutput => case.workload != "kv",
            _ => true,
        }
    }

    fn fault(self, random: &mut Rng) -> Fault {
        match self {
            Self::FailCall => {
                let class = Class::ALL[random.usize(..Class::ALL.len())];
                let role = Role::ALL[random.usize(..Role::ALL.len())];
                Fault::Calls(Plan { class, role, first: random.u64(1..40), calls: random.u64(1..4) })
            }
            Self::Limit if random.bool() => Fault::Nofile(random.u64(4..48)),
            Self::Limit => Fault::Memory(random.u64(32..400) << 20),
            _ => Fault::Nothing,
        }
    }

    const fn reader(self) -> Reader {
        match self {
            Self::StallReader => Reader::Stalled,
            Self::CloseOutput => Reader::Gone,
            _ => Reader::Patient,
        }
    }

    /// Waits until a random moment of the run, and disturbs it.
    fn apply(self, child: &Child, run_dir: &RunDir, mut random: Rng) -> Disturbed {
        let pause = Duration::from_micros(random.u64(..200_000));
        if processes::wait_until(child, Instant::now() + pause) {
            return Disturbed::default();
        }
        let is_disturbed = !matches!(self, Self::StepClock | Self::FailCall | Self::Limit);
        let signals = match self {
            Self::Signal => [Some(stop(child, &mut random)), None],
            Self::TwoSignals => {
                let first = stop(child, &mut random);
                let _ = processes::wait_until(
                    child,
                    Instant::now() + Duration::from_micros(random.u64(..20_000)),
                );
                [Some(first), Some(stop(child, &mut random))]
            }
            Self::StallReader => {
                // By then the pipe is full, if the output is large enough.
                let _ = processes::wait_until(child, Instant::now() + Duration::from_millis(300));
                [Some(stop(child, &mut random)), None]
            }
            Self::KillWorker | Self::SuspendWorker | Self::SuspendAll => {
                self.hit(child, run_dir, &mut random);
                [None; 2]
            }
            Self::StepClock => {
                let days = random.i64(-400..400);
                // Without a control page, the clock is not stepped, and the run goes on.
                let _ = run_dir.set_clock(days * 86_400);
                [None; 2]
            }
            Self::FailCall | Self::Limit | Self::CloseOutput => [None; 2],
        };
        Disturbed { signals, is_disturbed }
    }

    /// Kills or suspends processes of the run.
    fn hit(self, child: &Child, run_dir: &RunDir, random: &mut Rng) {
        let mut pids = run_dir.processes();
        if self != Self::SuspendAll {
            pids.retain(|pid| *pid != child.id());
            random.shuffle(&mut pids);
            pids.truncate(1);
        }
        let first = if self == Self::KillWorker { Signal::KILL } else { Signal::STOP };
        pids.iter().for_each(|pid| processes::signal(*pid, first));
        if first == Signal::STOP {
            thread::sleep(Duration::from_millis(random.u64(10..3000)));
            pids.iter().for_each(|pid| processes::signal(*pid, Signal::CONT));
        }
    }
}

fn stop(child: &Child, random: &mut Rng) -> i32 {
    let mut signals = vec![Signal::INT, Signal::TERM, Signal::HUP];
    // `nohup` makes its children ignore SIGHUP.
    signals.retain(|signal| !processes::is_ignored(child, *signal));
    let signal = signals[random.usize(..signals.len())];
    processes::signal(child.id(), signal);
    signal.as_raw()
}

/// Runs the command `soak`.
pub(crate) fn soak(options: &Options, time: Duration) -> Result<ExitCode> {
    let lab = Lab::new(options)?;
    let choices = choices(&lab, options);
    ensure!(!choices.is_empty(), "there is no such workload or model");
    let (deadline, next) = (Instant::now() + time, AtomicUsize::new(0));
    let mut table = Table::default();
    let mut runs = 0;
    thread::scope(|scope| {
        let (done_tx, done_rx) = sync_channel(usize::from(options.jobs));
        for _ in 0..options.jobs {
            let (done_tx, next, choices, lab) = (done_tx.clone(), &next, &choices, &lab);
            scope.spawn(move || {
                while Instant::now() < deadline {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let mut random = Rng::with_seed(options.seed.wrapping_add(number as u64));
                    let (case, model, disturbance) = choices[random.usize(..choices.len())];
                    let (fault, reader) = (disturbance.fault(&mut random), disturbance.reader());
                    let run = Run { number, case, model, fault, reader };
                    let outcome =
                        lab.run(run, &|child, run_dir| disturbance.apply(child, run_dir, random.clone()));
                    if done_tx.send(outcome.map(|outcome| (run, disturbance, outcome))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done_tx);
        for done in done_rx {
            let (run, disturbance, outcome): (Run, Disturbance, Outcome) = done?;
            runs += 1;
            table.add(run.case.workload, &run.model.name, disturbance.name(), &outcome.verdict);
            if outcome.verdict.is_bad() {
                tell(options, run, disturbance, &outcome);
            }
        }
        anyhow::Ok(())
    })?;
    Ok(conclude(&table, runs))
}

/// All combinations of workload, model and disturbance.
fn choices<'a>(lab: &'a Lab, options: &Options) -> Vec<(&'a Case, &'a Model, Disturbance)> {
    let is_wanted = |model: &Model| options.models.is_empty() || options.models.contains(&model.name);
    let mut choices = Vec::new();
    for case in &lab.cases {
        for model in lab.programs.models.iter().filter(|model| model.has(case.workload) && is_wanted(model)) {
            let fitting = Disturbance::ALL.into_iter().filter(|disturbance| disturbance.fits(case, model));
            choices.extend(fitting.map(|disturbance| (case, model, disturbance)));
        }
    }
    choices
}

fn tell(options: &Options, run: Run, disturbance: Disturbance, outcome: &Outcome) {
    let workload = run.case.workload;
    let model = &run.model.name;
    let seed = options.seed;
    println!(
        "run {} of seed {seed}: {workload} {model} {}: {}",
        run.number,
        disturbance.name(),
        outcome.verdict
    );
    println!("    {}", outcome.line);
    println!(
        "    to repeat, at other moments: cc-chaos soak --minutes 1 --workload {workload} --model {model}"
    );
    for line in String::from_utf8_lossy(&outcome.result.stderr).lines().take(4) {
        println!("    | {line}");
    }
}

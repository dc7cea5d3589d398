//! Chooses which call fails, or which limit is set. For each model and workload, it is the first
//! call, one in the middle, and any.

use std::{
    process::ExitCode,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;

use crate::{
    Options,
    control::{Class, Plan, Role},
    inputs::Case,
    judge::Verdict,
    programs::Model,
    run::{Disturbed, Fault, Lab, Outcome, Reader, Run, text},
    table::Table,
};

/// A workload in a model, and one thing that can fail.
#[derive(Clone, Copy)]
struct Cell<'a> {
    case: &'a Case,
    model: &'a Model,
    failure: Failure,
}

/// What can fail.
#[derive(Clone, Copy)]
enum Failure {
    /// A call of a class in a role, with the number of these calls in a run without failures.
    Calls(Class, Role, u64),
    Nofile,
    Nproc,
    Memory,
}

impl Failure {
    /// The name of the column in the table.
    fn name(self) -> String {
        match self {
            Self::Calls(class, Role::Coordinator, _) => class.name().to_owned(),
            Self::Calls(class, Role::Worker, _) => format!("{}/w", class.name()),
            Self::Nofile => "nofile".to_owned(),
            Self::Nproc => "nproc".to_owned(),
            Self::Memory => "memory".to_owned(),
        }
    }

    /// The fault for the `round`-th run of this cell.
    fn fault(self, round: usize, random: &mut Rng) -> Fault {
        match self {
            Self::Calls(class, role, count) => {
                let first = match round % 3 {
                    0 => 1,
                    1 => count / 2 + 1,
                    _ => random.u64(1..=count),
                };
                let calls = if random.bool() { 1 } else { u64::MAX };
                Fault::Calls(Plan { class, role, first, calls })
            }
            Self::Nofile => Fault::Nofile(random.u64(4..48)),
            Self::Nproc => Fault::Nproc(random.u64(1..12)),
            // With less memory, the loader has no room for the program, and the kernel kills it.
            Self::Memory => Fault::Memory(random.u64(32..400) << 20),
        }
    }
}

/// Runs the command `failpoints`.
pub(crate) fn failpoints(
    options: &Options,
    runs: usize,
    only: Option<usize>,
    plan: Option<&str>,
) -> Result<ExitCode> {
    let lab = Lab::new(options)?;
    let cells = cells(&lab, options)?;
    println!("seed {}, {} workloads × models × failures", options.seed, cells.len());
    let plan =
        plan.map(|text| Plan::parse(text).context("--plan is not CLASS:ROLE:FIRST:CALLS")).transpose()?;
    let numbers = only.map_or(0..runs, |number| number..number + 1);
    let next = AtomicUsize::new(numbers.start);
    let mut table = Table::default();
    thread::scope(|scope| {
        let (done_tx, done_rx) = sync_channel(usize::from(options.jobs));
        for _ in 0..options.jobs {
            let (done_tx, next, numbers, cells, lab) = (done_tx.clone(), &next, &numbers, &cells, &lab);
            scope.spawn(move || {
                let take =
                    || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| numbers.contains(number));
                while let Some(number) = take() {
                    if !one(lab, cells, number, options.seed, plan, &done_tx) {
                        return;
                    }
                }
            });
        }
        drop(done_tx);
        for done in done_rx {
            let (cell, number, fault, outcome): (Cell, usize, Fault, Outcome) = done?;
            table.add(cell.case.workload, &cell.model.name, &cell.failure.name(), &outcome.verdict);
            if outcome.verdict.is_bad() || only.is_some() {
                tell(options, cell, number, fault, &outcome);
            }
        }
        anyhow::Ok(())
    })?;
    Ok(conclude(&table, numbers.len()))
}

type Done<'a> = Result<(Cell<'a>, usize, Fault, Outcome)>;

/// Does a run, and returns whether its result was taken.
fn one<'a>(
    lab: &Lab,
    cells: &[Cell<'a>],
    number: usize,
    seed: u64,
    plan: Option<Plan>,
    done_tx: &SyncSender<Done<'a>>,
) -> bool {
    let cell = cells[number % cells.len()];
    let mut random = Rng::with_seed(seed.wrapping_add(number as u64));
    let fault = cell.failure.fault(number / cells.len(), &mut random);
    let fault = plan.map_or(fault, Fault::Calls);
    let run = Run { number, case: cell.case, model: cell.model, fault, reader: Reader::Patient };
    let outcome = lab.run(run, &|_, _| Disturbed::default());
    done_tx.send(outcome.map(|outcome| (cell, number, fault, outcome))).is_ok()
}

/// Prints the table, and returns the exit status.
pub(crate) fn conclude(table: &Table, runs: usize) -> ExitCode {
    print!("{}", table.print());
    println!("{runs} runs, {} bad", table.bad());
    if table.bad() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(options: &Options, cell: Cell, number: usize, fault: Fault, outcome: &Outcome) {
    let Cell { case, model, failure } = cell;
    println!("run {number}: {} {} {}: {}", case.workload, model.name, failure.name(), outcome.verdict);
    println!("    {}", outcome.line);
    let mut again = format!("failpoints --seed {} --run {number}", options.seed);
    for name in &options.workloads {
        again += &format!(" --workload {name}");
    }
    for name in &options.models {
        again += &format!(" --model {name}");
    }
    if let Fault::Calls(plan) = fault {
        again += &format!(" --plan {}", text(plan));
    }
    println!("    to repeat: cc-chaos {again}");
    for line in String::from_utf8_lossy(&outcome.result.stderr).lines().take(4) {
        println!("    | {line}");
    }
}

/// Every possible failure in each model and workload, in random order. A run without failures
/// counts the calls.
fn cells<'a>(lab: &'a Lab, options: &Options) -> Result<Vec<Cell<'a>>> {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("nproc: skipped, because only root can run programs as users without other processes");
    }
    let mut cells = Vec::new();
    let is_wanted = |model: &Model| options.models.is_empty() || options.models.contains(&model.name);
    for (nth, case) in lab.cases.iter().enumerate() {
        for model in lab.programs.models.iter().filter(|model| model.has(case.workload) && is_wanted(model)) {
            let run =
                Run { number: usize::MAX - nth, case, model, fault: Fault::Nothing, reader: Reader::Patient };
            let Outcome { verdict, calls, line, result, .. } = lab.run(run, &|_, _| Disturbed::default())?;
            let said = String::from_utf8_lossy(&result.stderr);
            ensure!(verdict == Verdict::Right, "a run without failures: {line}: {verdict}\n{said}");
            let with = |failure| Cell { case, model, failure };
            for (role, counts) in Role::ALL.into_iter().zip(calls) {
                let counted = Class::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0);
                cells.extend(counted.map(|(class, count)| with(Failure::Calls(class, role, count))));
            }
            cells.extend([Failure::Nofile, Failure::Memory].map(with));
            cells.extend(is_root.then(|| with(Failure::Nproc)));
        }
    }
    ensure!(!cells.is_empty(), "there is no such workload or model");
    Rng::with_seed(options.seed).shuffle(&mut cells);
    Ok(cells)
}

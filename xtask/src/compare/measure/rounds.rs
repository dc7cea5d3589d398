//! The rounds: first everything is checked, then what is right is measured.

use std::{
    cell::Cell,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use cc_core::{Ctx, report::Totals};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    compare::{
        measure::{
            clients::Clients,
            expected::Expected,
            origin::Origin,
            purpose::Purpose,
            run::{Measurement, RunOptions, crashed, run},
            state::{State, Turn},
            work::Work,
        },
        plan::{
            command::{Invocation, Request},
            effort::Effort,
            entrant::Entrant,
        },
        result::{Drift, Kind, Phase, Row, Sample, Scaling, Subject, seconds},
        stats::{
            drift::drift,
            paired::{Groups, Paired, tell_apart},
            scaling::scaling,
        },
    },
    process::cancel::Cancel,
};

/// A run that is interrupted takes about this part of an ordinary one, with what it takes to stop.
const STOPPED: f64 = 0.6;
/// Runs that are shorter cannot be interrupted in the middle.
const STOPPABLE: f64 = 0.2;

/// What came of it.
pub(crate) struct Measured {
    pub rows: Vec<Row>,
    pub totals: Totals,
    pub rounds: usize,
    /// How many it would take to tell any two models apart that differ by
    /// [`WORTH`](crate::compare::stats::paired::WORTH).
    pub rounds_to_tell: Option<usize>,
    pub drift: Option<Drift>,
    pub scaling: Vec<Scaling>,
    /// Whether it was interrupted.
    pub partial: bool,
}

/// Checks and measures the entrants, of whom the first is the reference. What was measured before
/// an interruption is handed over.
pub(crate) fn measure(entrants: &[Entrant], work: &Work<'_>, effort: &Effort) -> Result<Measured> {
    let states = entrants.iter().map(State::new).collect();
    let progress = ProgressBar::no_length();
    progress.set_style(ProgressStyle::with_template("{spinner} {prefix} {msg}")?);
    let (began, runs) = (Instant::now(), Cell::new(0));
    let mut rounds = Rounds { states, work, effort, progress, expected: Vec::new(), began, runs };
    let checked = rounds.check();
    if rounds.is_cancelled() {
        bail!("interrupted before anything was measured");
    }
    checked?;
    work.origin.map(Origin::take_time).transpose()?;
    rounds.time();
    rounds.memory();
    rounds.stop();
    rounds.empty();
    rounds.service();
    rounds.trace();
    rounds.progress.finish_and_clear();
    let _ = fs::remove_dir_all(rounds.scratch()); // nothing was needed there
    Ok(rounds.measured())
}

pub(crate) struct Rounds<'a> {
    pub states: Vec<State<'a>>,
    pub work: &'a Work<'a>,
    effort: &'a Effort,
    pub progress: ProgressBar,
    /// What the reference did for each query.
    pub expected: Vec<Expected>,
    began: Instant,
    /// How many there have been.
    runs: Cell<usize>,
}

impl Rounds<'_> {
    /// The timed rounds.
    fn time(&mut self) {
        let counts = |state: &&State| {
            state.is_right() && !state.entrant.slow && self.has_time(state.entrant, Phase::Time)
        };
        let ideal = self.work.origin.map_or(0.0, |origin| origin.waiting().ideal_s);
        let timed: Vec<f64> =
            self.states.iter().filter(counts).map(|state| state.samples[0].wall_s.max(ideal)).collect();
        let round = timed.iter().sum::<f64>().max(1e-3);
        let count =
            self.effort.timed_rounds(round, seconds(self.began.elapsed()), self.later(timed.len(), round));
        self.rounds(Phase::Time, count, |_| Some(RunOptions::default()));
    }

    /// About how long one round of each later phase takes, if a round of all `programs` takes
    /// `round` seconds.
    fn later(&self, programs: usize, round: f64) -> f64 {
        let services = self.work.clients.map_or(0.0, |clients| clients.extra_s() * programs as f64);
        let stopped = if self.work.clients.is_some() { 0.0 } else { STOPPED * round };
        round + stopped + services
    }

    fn memory(&mut self) {
        let plan = |_: &State| Some(RunOptions { sample: true, ..RunOptions::default() });
        self.rounds(Phase::Memory, self.effort.memory_rounds, plan);
    }

    /// Interrupts each run at half its median time.
    fn stop(&mut self) {
        // A service has been told to stop at the end of every run.
        if self.work.clients.is_some() {
            return;
        }
        let plan = |state: &State| {
            let median = state.median(Phase::Time, |sample| Some(sample.wall_s))?;
            let interrupt = Some(Duration::from_secs_f64(median / 2.0));
            (median >= STOPPABLE).then(|| RunOptions { interrupt, ..RunOptions::default() })
        };
        self.rounds(Phase::Stop, self.effort.stop_rounds, plan);
    }

    /// The same job with nothing to do.
    fn empty(&mut self) {
        self.rounds(Phase::Empty, self.effort.empty_rounds, |_| Some(RunOptions::default()));
    }

    /// All that is measured of a service beside the load.
    fn service(&mut self) {
        if self.work.clients.is_some() {
            self.rounds(Phase::Service, self.effort.service_rounds, |_| Some(RunOptions::default()));
        }
    }

    fn rounds(&mut self, phase: Phase, count: usize, plan: impl Fn(&State) -> Option<RunOptions>) {
        let name = match phase {
            Phase::Check => "checking",
            Phase::Time => "timing",
            Phase::Memory => "sampling memory",
            Phase::Stop => "stopping",
            Phase::Empty => "starting",
            Phase::Trace => "tracing",
            Phase::Service => "asking",
        };
        let mut last = Duration::ZERO;
        for round in 0..count {
            let began = self.began.elapsed();
            if self.effort.is_enough(phase, round) && began + last > self.effort.limit {
                break;
            }
            self.progress.set_prefix(format!("{name}, round {} of {count}:", round + 1));
            let order: Vec<usize> = (0..self.states.len()).collect();
            // There and back: what gets slower while a round goes on does so for every row alike.
            let order = if round % 2 == 0 { order } else { order.into_iter().rev().collect() };
            for at in order {
                let state = &self.states[at];
                let takes_part = state.is_right()
                    && state.entrant.takes_part(phase, round)
                    && self.has_time(state.entrant, phase);
                let Some(plan) = plan(state).filter(|_| takes_part) else { continue };
                let sample = self.sample(state.entrant, phase, round, plan);
                if self.is_cancelled() {
                    return;
                }
                self.states[at].samples.push(sample);
            }
            last = self.began.elapsed() - began;
        }
    }

    /// Whether a run ends soon enough to be timed: one after the other, the reference waits for
    /// each request.
    fn has_time(&self, entrant: &Entrant, phase: Phase) -> bool {
        let waits = matches!(phase, Phase::Time | Phase::Memory | Phase::Stop);
        self.work.origin.is_none() || entrant.kind != Kind::Reference || !waits
    }

    fn sample(&self, entrant: &Entrant, phase: Phase, round: usize, plan: RunOptions) -> Sample {
        let input = self.work.input;
        let subject = if phase == Phase::Empty { &input.empty } else { &input.measured };
        let turn = self.turn(phase, round);
        let ran = match self.work.clients {
            Some(clients) if phase == Phase::Service => self.asked(clients, entrant, 0, Purpose::Extra, plan),
            _ => self.run(entrant, 0, subject, plan),
        };
        let seen = match ran {
            Ok(seen) => seen,
            Err(error) => return Sample::failed(turn, format!("{error:#}")),
        };
        let mut sample = Sample::new(turn, &seen);
        sample.failure = crashed(&seen).or_else(|| match phase {
            Phase::Time | Phase::Memory => self.unlike(entrant, 0, &seen),
            Phase::Stop if entrant.kind != Kind::Tool => not_stopped(&seen),
            _ => None,
        });
        sample
    }

    /// The next run's place among all.
    pub(crate) fn turn(&self, phase: Phase, round: usize) -> Turn {
        let at = self.runs.replace(self.runs.get() + 1);
        Turn { at, start_s: seconds(self.began.elapsed()), phase, round }
    }

    pub(crate) fn run(
        &self,
        entrant: &Entrant,
        nth: usize,
        subject: &Subject,
        plan: RunOptions,
    ) -> Result<Measurement> {
        self.progress.set_message(entrant.label.clone());
        self.progress.tick();
        let request = Request { query: &self.work.queries[nth], subject };
        if let Some(clients) = self.work.clients {
            let purpose = match nth {
                _ if subject.is_empty => Purpose::Start,
                0 => Purpose::Load,
                _ => Purpose::Talk,
            };
            return self.asked(clients, entrant, nth, purpose, plan);
        }
        let Invocation { command, stdin } = entrant.call.command(request, &self.scratch())?;
        let (timeout, cancel) = (Some(self.effort.timeout), self.work.cancel.cloned());
        run(command, RunOptions { stdin, timeout, cancel, ..plan })
    }

    fn asked(
        &self,
        clients: &Clients,
        entrant: &Entrant,
        nth: usize,
        purpose: Purpose,
        plan: RunOptions,
    ) -> Result<Measurement> {
        self.progress.set_message(entrant.label.clone());
        self.progress.tick();
        let (timeout, cancel) = (Some(self.effort.timeout), self.work.cancel.cloned());
        let query = &self.work.queries[nth];
        self.serve(clients, entrant, query, purpose, RunOptions { timeout, cancel, ..plan })
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.work.cancel.is_some_and(Cancel::is_requested)
    }

    /// The folder for what a run needs and what it writes.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.work.kept.join("scratch")
    }

    /// Which rows can be told apart: tools are not compared with each other, and a row without
    /// times with no other.
    fn with_free_port(&self, times: &[Vec<(usize, f64)>]) -> Groups {
        let is_ranked = |at: &usize| self.states[*at].entrant.kind != Kind::Tool && !times[*at].is_empty();
        let ranked: Vec<usize> = (0..times.len()).filter(is_ranked).collect();
        let groups = tell_apart(&ranked.iter().map(|at| times[*at].clone()).collect::<Vec<_>>());
        let mut letters = vec![String::new(); times.len()];
        ranked.into_iter().zip(groups.letters).for_each(|(at, own)| letters[at] = own);
        Groups { letters, ..groups }
    }

    /// The rows, and what they say together.
    fn measured(self) -> Measured {
        let times: Vec<_> = self.states.iter().map(State::times).collect();
        let Groups { letters, rounds: rounds_to_tell } = self.with_free_port(&times);
        let longest = self.longest_traced();
        let rows: Vec<Row> = self
            .states
            .iter()
            .zip(&times)
            .zip(letters)
            .map(|((state, own), letters)| {
                let speedup = Paired::of(&times[0], own).ratio();
                state.row(speedup, letters, self.work, longest)
            })
            .collect();
        let lasting: Vec<_> = times.iter().filter(|times| times.len() > 1).cloned().collect();
        Measured {
            scaling: scaling(&rows, &times, Ctx::available_workers()),
            rows,
            totals: self.expected.first().map(|expected| expected.totals.clone()).unwrap_or_default(),
            rounds: times.iter().flatten().map(|(round, _)| round + 1).max().unwrap_or(0),
            rounds_to_tell,
            drift: drift(&lasting),
            partial: self.is_cancelled(),
        }
    }
}

/// A run that is interrupted says so, unless it was done before.
fn not_stopped(seen: &Measurement) -> Option<String> {
    let is_done = seen.stop.is_none() || seen.report.is_some();
    (seen.status.code() != Some(130) && !is_done).then(|| format!("{} after SIGINT", seen.status))
}

#[cfg(test)]
mod tests;

//! The rounds: first all programs are checked, then those with the right output are measured.

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
            state::{RunId, State},
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

/// Estimated duration of an interrupted run, as a fraction of an ordinary one: half of it, and the
/// time to stop.
const STOPPED: f64 = 0.6;
/// Minimum duration in seconds of a run that can be interrupted at half of its time.
const STOPPABLE: f64 = 0.2;

/// The result of all rounds.
pub(crate) struct Measured {
    pub rows: Vec<Row>,
    pub totals: Totals,
    pub rounds: usize,
    /// Number of rounds that would find a difference of
    /// [`MIN_DIFFERENCE`](crate::compare::stats::paired::MIN_DIFFERENCE) between any two models.
    pub rounds_to_tell: Option<usize>,
    pub drift: Option<Drift>,
    pub scaling: Vec<Scaling>,
    /// Whether it was interrupted.
    pub partial: bool,
}

/// Checks and measures the entrants, the first of which is the reference. After an interruption,
/// returns what has been measured so far.
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
    work.origin.map(Origin::set_latency).transpose()?;
    rounds.time();
    rounds.memory();
    rounds.stop();
    rounds.empty();
    rounds.service();
    rounds.trace();
    rounds.progress.finish_and_clear();
    let _ = fs::remove_dir_all(rounds.scratch()); // it does not exist if no run needed it
    Ok(rounds.measured())
}

pub(crate) struct Rounds<'a> {
    pub states: Vec<State<'a>>,
    pub work: &'a Work<'a>,
    effort: &'a Effort,
    pub progress: ProgressBar,
    /// The reference's result for each query.
    pub expected: Vec<Expected>,
    began: Instant,
    /// The number of runs so far.
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

    /// Estimated time in seconds of one round of each later phase, if a timed round of all
    /// `programs` takes `round` seconds.
    fn later(&self, programs: usize, round: f64) -> f64 {
        let services = self.work.clients.map_or(0.0, |clients| clients.extra_s() * programs as f64);
        let stopped = if self.work.clients.is_some() { 0.0 } else { STOPPED * round };
        round + stopped + services
    }

    fn memory(&mut self) {
        let options = |_: &State| Some(RunOptions { sample: true, ..RunOptions::default() });
        self.rounds(Phase::Memory, self.effort.memory_rounds, options);
    }

    /// Interrupts each run at half of its median time.
    fn stop(&mut self) {
        // A service is stopped at the end of every run, so its stop time is known.
        if self.work.clients.is_some() {
            return;
        }
        let options = |state: &State| {
            let median = state.median(Phase::Time, |sample| Some(sample.wall_s))?;
            let interrupt = Some(Duration::from_secs_f64(median / 2.0));
            (median >= STOPPABLE).then(|| RunOptions { interrupt, ..RunOptions::default() })
        };
        self.rounds(Phase::Stop, self.effort.stop_rounds, options);
    }

    /// The same job with an empty input.
    fn empty(&mut self) {
        self.rounds(Phase::Empty, self.effort.empty_rounds, |_| Some(RunOptions::default()));
    }

    /// Measurements of a service other than the load.
    fn service(&mut self) {
        if self.work.clients.is_some() {
            self.rounds(Phase::Service, self.effort.service_rounds, |_| Some(RunOptions::default()));
        }
    }

    fn rounds(&mut self, phase: Phase, count: usize, options: impl Fn(&State) -> Option<RunOptions>) {
        let name = match phase {
            Phase::Check => "checking",
            Phase::Time => "timing",
            Phase::Memory => "sampling memory",
            Phase::Stop => "stopping",
            Phase::Empty => "starting",
            Phase::Trace => "tracing",
            Phase::Service => "measuring other loads",
        };
        let mut last = Duration::ZERO;
        for round in 0..count {
            let began = self.began.elapsed();
            if self.effort.is_enough(phase, round) && began + last > self.effort.limit {
                break;
            }
            self.progress.set_prefix(format!("{name}, round {} of {count}:", round + 1));
            let order: Vec<usize> = (0..self.states.len()).collect();
            // Every second round runs in reverse order: a machine that becomes slower during a
            // round then slows all rows alike.
            let order = if round % 2 == 0 { order } else { order.into_iter().rev().collect() };
            for at in order {
                let state = &self.states[at];
                let takes_part = state.is_right()
                    && state.entrant.takes_part(phase, round)
                    && self.has_time(state.entrant, phase);
                let Some(options) = options(state).filter(|_| takes_part) else { continue };
                let sample = self.sample(state.entrant, phase, round, options);
                if self.is_cancelled() {
                    return;
                }
                self.states[at].samples.push(sample);
            }
            last = self.began.elapsed() - began;
        }
    }

    /// Whether a run is short enough for this phase. If all programs only wait, the reference is
    /// too slow, because it waits for one request after the other.
    fn has_time(&self, entrant: &Entrant, phase: Phase) -> bool {
        let waits = matches!(phase, Phase::Time | Phase::Memory | Phase::Stop);
        self.work.origin.is_none() || entrant.kind != Kind::Reference || !waits
    }

    fn sample(&self, entrant: &Entrant, phase: Phase, round: usize, options: RunOptions) -> Sample {
        let input = self.work.input;
        let subject = if phase == Phase::Empty { &input.empty } else { &input.measured };
        let id = self.next_run(phase, round);
        let ran = match self.work.clients {
            Some(clients) if phase == Phase::Service => {
                self.run_with_clients(clients, entrant, 0, Purpose::Extra, options)
            }
            _ => self.run(entrant, 0, subject, options),
        };
        let measurement = match ran {
            Ok(measurement) => measurement,
            Err(error) => return Sample::failed(id, format!("{error:#}")),
        };
        let mut sample = Sample::new(id, &measurement);
        sample.failure = crashed(&measurement).or_else(|| match phase {
            Phase::Time | Phase::Memory => self.unlike(entrant, 0, &measurement),
            Phase::Stop if entrant.kind != Kind::Tool => not_stopped(&measurement),
            _ => None,
        });
        sample
    }

    /// Numbers the next run.
    pub(crate) fn next_run(&self, phase: Phase, round: usize) -> RunId {
        let at = self.runs.replace(self.runs.get() + 1);
        RunId { at, start_s: seconds(self.began.elapsed()), phase, round }
    }

    pub(crate) fn run(
        &self,
        entrant: &Entrant,
        nth: usize,
        subject: &Subject,
        options: RunOptions,
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
            return self.run_with_clients(clients, entrant, nth, purpose, options);
        }
        let Invocation { command, stdin } = entrant.call.command(request, &self.scratch())?;
        let (timeout, cancel) = (Some(self.effort.timeout), self.work.cancel.cloned());
        run(command, RunOptions { stdin, timeout, cancel, ..options })
    }

    fn run_with_clients(
        &self,
        clients: &Clients,
        entrant: &Entrant,
        nth: usize,
        purpose: Purpose,
        options: RunOptions,
    ) -> Result<Measurement> {
        self.progress.set_message(entrant.label.clone());
        self.progress.tick();
        let (timeout, cancel) = (Some(self.effort.timeout), self.work.cancel.cloned());
        let query = &self.work.queries[nth];
        self.serve(clients, entrant, query, purpose, RunOptions { timeout, cancel, ..options })
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.work.cancel.is_some_and(Cancel::is_requested)
    }

    /// The folder for temporary files of a run.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.work.output_dir.join("scratch")
    }

    /// Which rows can be told apart. Tools and rows without times are not tested.
    fn groups(&self, times: &[Vec<(usize, f64)>]) -> Groups {
        let is_ranked = |at: &usize| self.states[*at].entrant.kind != Kind::Tool && !times[*at].is_empty();
        let ranked: Vec<usize> = (0..times.len()).filter(is_ranked).collect();
        let groups = tell_apart(&ranked.iter().map(|at| times[*at].clone()).collect::<Vec<_>>());
        let mut letters = vec![String::new(); times.len()];
        ranked.into_iter().zip(groups.letters).for_each(|(at, own)| letters[at] = own);
        Groups { letters, ..groups }
    }

    /// The rows, and the results of all rows together.
    fn measured(self) -> Measured {
        let times: Vec<_> = self.states.iter().map(State::times).collect();
        let Groups { letters, rounds: rounds_to_tell } = self.groups(&times);
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

/// The failure of a run that was interrupted: its exit status is not 130, although it had not ended
/// before the signal.
fn not_stopped(measurement: &Measurement) -> Option<String> {
    let is_done = measurement.stop.is_none() || measurement.report.is_some();
    (measurement.status.code() != Some(130) && !is_done)
        .then(|| format!("{} after SIGINT", measurement.status))
}

#[cfg(test)]
mod tests;

//! The rounds: first everything is checked, then what is right is measured.

use std::{
    cell::Cell,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use cc_workloads::{Ctx, report::Totals};
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    call::{Call, Called, Request},
    cancel::Cancel,
    check::Order,
    checking::Expected,
    code::Code,
    drift::{Drift, drift},
    input::{Input, Subject},
    json::{Kind, Phase, Row, Sample, seconds},
    origin::Origin,
    paired::{Paired, Told, tell_apart},
    query::Query,
    rows::{State, Turn},
    run::{Plan, Seen, run},
    scaling::{Scaling, scaling},
    service::{Clients, Purpose},
    trace::Traces,
};

/// A model or a tool that takes part.
#[derive(Clone)]
pub(crate) struct Entrant {
    pub name: String,
    pub label: String,
    pub mechanism: String,
    pub kind: Kind,
    pub call: Call,
    pub order: Order,
    pub code: Option<Code>,
    pub workers: NonZeroUsize,
    pub oversubscribed: bool,
    /// Whether one timed run must do.
    pub slow: bool,
}

impl Entrant {
    /// What no other is called.
    pub(super) fn id(&self) -> String {
        self.label.split(" (").next().unwrap_or_default().to_owned()
    }

    /// Whether it takes part in this round. A tool's memory and its stop are looked at once: it is not ranked.
    fn takes_part(&self, phase: Phase, round: usize) -> bool {
        match phase {
            Phase::Check | Phase::Empty => true,
            Phase::Time => round == 0 || !self.slow,
            Phase::Memory | Phase::Stop => !self.slow && (round == 0 || self.kind != Kind::Tool),
            Phase::Trace | Phase::Service => !self.slow,
        }
    }
}

/// What all of them do.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    /// The first is measured, all are checked.
    pub queries: &'a [Query],
    pub input: &'a Input,
    /// The totals that need not agree.
    pub own_totals: &'a [String],
    /// Whether there is no output before the end.
    pub prints_at_end: bool,
    /// The folder for outputs.
    pub kept: &'a Path,
    /// Where the models' traces go, if they are wanted.
    pub traces: Option<&'a Traces>,
    /// Who asks, if it is a service.
    pub clients: Option<&'a Clients>,
    /// What is asked, if all wait for that.
    pub origin: Option<&'a Origin>,
    /// What ends it before its time.
    pub cancel: Option<&'a Cancel>,
}

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Timed rounds; by default as many as fit into `limit`.
    pub rounds: Option<NonZeroUsize>,
    /// The fewest and the most timed rounds, unless `rounds` is given.
    pub at_least: usize,
    pub at_most: usize,
    /// How long the check and all phases may take. The first round of each phase, and `at_least` timed rounds,
    /// are measured even if it takes longer.
    pub limit: Duration,
    pub memory_rounds: usize,
    pub stop_rounds: usize,
    pub empty_rounds: usize,
    /// Of a service: those in which it is asked in other ways than by the load.
    pub service_rounds: usize,
    pub timeout: Duration,
}

/// A run that is interrupted takes about this part of an ordinary one, with what it takes to stop.
const STOPPED: f64 = 0.6;
impl Effort {
    /// How many timed rounds there are, if one takes `round` seconds, `spent` seconds are gone, and what comes
    /// after these rounds takes `later`.
    fn timed_rounds(&self, round: f64, spent: f64, later: f64) -> usize {
        let fit = ((seconds(self.limit) - spent - later) / round).max(0.0) as usize;
        self.rounds.map_or(fit.clamp(self.at_least, self.at_most), NonZeroUsize::get)
    }

    /// Whether a phase may end before this round because the time is up.
    fn is_enough(&self, phase: Phase, round: usize) -> bool {
        match phase {
            Phase::Time => self.rounds.is_none() && round >= self.at_least,
            // One that was asked for its rounds has them all.
            _ => self.rounds.is_none() && round >= 1,
        }
    }
}

/// Runs that are shorter cannot be interrupted in the middle.
const STOPPABLE: f64 = 0.2;

/// What came of it.
pub(crate) struct Measured {
    pub rows: Vec<Row>,
    pub totals: Totals,
    pub rounds: usize,
    /// How many it would take to tell any two models apart that differ by [`WORTH`](super::paired::WORTH).
    pub rounds_to_tell: Option<usize>,
    pub drift: Option<Drift>,
    pub scaling: Vec<Scaling>,
    /// Whether it was interrupted.
    pub partial: bool,
}

/// Checks and measures the entrants, of whom the first is the reference. What was measured before an interruption is
/// handed over.
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

pub(super) struct Rounds<'a> {
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
        self.rounds(Phase::Time, count, |_| Some(Plan::default()));
    }

    /// About how long one round of each later phase takes, if a round of all `programs` takes `round` seconds.
    fn later(&self, programs: usize, round: f64) -> f64 {
        let services = self.work.clients.map_or(0.0, |clients| clients.extra_s() * programs as f64);
        let stopped = if self.work.clients.is_some() { 0.0 } else { STOPPED * round };
        round + stopped + services
    }

    fn memory(&mut self) {
        let plan = |_: &State| Some(Plan { sample: true, ..Plan::default() });
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
            (median >= STOPPABLE).then(|| Plan { interrupt, ..Plan::default() })
        };
        self.rounds(Phase::Stop, self.effort.stop_rounds, plan);
    }

    /// The same job with nothing to do.
    fn empty(&mut self) {
        self.rounds(Phase::Empty, self.effort.empty_rounds, |_| Some(Plan::default()));
    }

    /// All that is measured of a service beside the load.
    fn service(&mut self) {
        if self.work.clients.is_some() {
            self.rounds(Phase::Service, self.effort.service_rounds, |_| Some(Plan::default()));
        }
    }

    fn rounds(&mut self, phase: Phase, count: usize, plan: impl Fn(&State) -> Option<Plan>) {
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

    /// Whether a run ends before somebody loses patience: one after the other, the reference waits for each request.
    fn has_time(&self, entrant: &Entrant, phase: Phase) -> bool {
        let waits = matches!(phase, Phase::Time | Phase::Memory | Phase::Stop);
        self.work.origin.is_none() || entrant.kind != Kind::Reference || !waits
    }

    fn sample(&self, entrant: &Entrant, phase: Phase, round: usize, plan: Plan) -> Sample {
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
    pub(super) fn turn(&self, phase: Phase, round: usize) -> Turn {
        let at = self.runs.replace(self.runs.get() + 1);
        Turn { at, start_s: seconds(self.began.elapsed()), phase, round }
    }

    pub(super) fn run(&self, entrant: &Entrant, nth: usize, subject: &Subject, plan: Plan) -> Result<Seen> {
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
        let Called { command, stdin } = entrant.call.command(request, &self.scratch())?;
        let (timeout, cancel) = (Some(self.effort.timeout), self.work.cancel.cloned());
        run(command, Plan { stdin, timeout, cancel, ..plan })
    }

    fn asked(
        &self,
        clients: &Clients,
        entrant: &Entrant,
        nth: usize,
        purpose: Purpose,
        plan: Plan,
    ) -> Result<Seen> {
        self.progress.set_message(entrant.label.clone());
        self.progress.tick();
        let (timeout, cancel) = (Some(self.effort.timeout), self.work.cancel.cloned());
        let query = &self.work.queries[nth];
        self.serve(clients, entrant, query, purpose, Plan { timeout, cancel, ..plan })
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.work.cancel.is_some_and(Cancel::is_requested)
    }

    /// The folder for what a run needs and what it writes.
    pub(super) fn scratch(&self) -> PathBuf {
        self.work.kept.join("scratch")
    }

    /// Which rows can be told apart: tools are not compared with each other, and who has no times with nobody.
    fn told(&self, times: &[Vec<(usize, f64)>]) -> Told {
        let is_ranked = |at: &usize| self.states[*at].entrant.kind != Kind::Tool && !times[*at].is_empty();
        let ranked: Vec<usize> = (0..times.len()).filter(is_ranked).collect();
        let told = tell_apart(&ranked.iter().map(|at| times[*at].clone()).collect::<Vec<_>>());
        let mut letters = vec![String::new(); times.len()];
        ranked.into_iter().zip(told.letters).for_each(|(at, own)| letters[at] = own);
        Told { letters, ..told }
    }

    /// The rows, and what they say together.
    fn measured(self) -> Measured {
        let times: Vec<_> = self.states.iter().map(State::times).collect();
        let Told { letters, rounds: rounds_to_tell } = self.told(&times);
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

/// Why a run did not go through.
pub(crate) fn crashed(seen: &Seen) -> Option<String> {
    if seen.timed_out {
        return Some(format!("timed out after {:.0} s", seconds(seen.wall)));
    }
    (!seen.leftovers.is_empty()).then(|| format!("left behind: {}", seen.leftovers.join(", ")))
}

/// A run that is interrupted says so, unless it was done before.
fn not_stopped(seen: &Seen) -> Option<String> {
    let is_done = seen.stop.is_none() || seen.report.is_some();
    (seen.status.code() != Some(130) && !is_done).then(|| format!("{} after SIGINT", seen.status))
}

#[cfg(test)]
mod tests;

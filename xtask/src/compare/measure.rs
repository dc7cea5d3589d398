//! The rounds: first everything is checked, then what is right is measured.

use std::{
    fs::{self, File},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use cc_workloads::report::Totals;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    call::{Call, Called, Request},
    check::{self, Order},
    code::Code,
    input::{Input, Subject},
    json::{Kind, Phase, Row, Sample, Verdict, seconds},
    paired::{Paired, tell_apart},
    query::Query,
    run::{Plan, Seen, run},
    stats::{self, Estimate},
};

/// A model or a tool that takes part.
pub(crate) struct Entrant {
    pub name: String,
    pub label: String,
    pub mechanism: String,
    pub kind: Kind,
    pub call: Call,
    pub order: Order,
    pub code: Option<Code>,
    pub oversubscribed: bool,
    /// Whether one timed run must do.
    pub slow: bool,
}

impl Entrant {
    /// Whether it takes part in this round.
    fn takes_part(&self, phase: Phase, round: usize) -> bool {
        !self.slow
            || match phase {
                Phase::Check | Phase::Empty => true,
                Phase::Time => round == 0,
                Phase::Memory | Phase::Stop => false,
            }
    }
}

/// What all of them do.
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
}

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Timed rounds; by default as many as fit into `budget`.
    pub rounds: Option<NonZeroUsize>,
    pub budget: Duration,
    pub memory_rounds: usize,
    pub stop_rounds: usize,
    pub empty_rounds: usize,
    pub timeout: Duration,
}

/// The fewest and the most timed rounds, if nobody says how many.
const ROUNDS: (usize, usize) = (5, 25);
/// Runs that are shorter cannot be interrupted in the middle.
const STOPPABLE: f64 = 0.2;

/// What came of it.
pub(crate) struct Measured {
    pub rows: Vec<Row>,
    pub totals: Totals,
    pub rounds: usize,
    /// How many it would take to tell any two models apart that differ by [`WORTH`](super::paired::WORTH).
    pub rounds_to_tell: Option<usize>,
}

/// Checks and measures the entrants, of whom the first is the reference.
pub(crate) fn measure(entrants: &[Entrant], work: &Work<'_>, effort: &Effort) -> Result<Measured> {
    let states = entrants.iter().map(State::new).collect();
    let progress = ProgressBar::no_length();
    progress.set_style(ProgressStyle::with_template("{spinner} {prefix} {msg}")?);
    let mut rounds = Rounds { states, work, effort, progress, expected: Vec::new() };
    rounds.check()?;
    let count = rounds.time();
    rounds.memory();
    rounds.stop();
    rounds.empty();
    rounds.progress.finish_and_clear();
    let _ = fs::remove_dir_all(rounds.scratch()); // nothing was needed there
    let totals = rounds.expected.first().and_then(|expected| expected.totals.clone()).unwrap_or_default();
    let (rows, rounds_to_tell) = rounds.rows();
    Ok(Measured { rows, totals, rounds: count, rounds_to_tell })
}

struct Rounds<'a> {
    states: Vec<State<'a>>,
    work: &'a Work<'a>,
    effort: &'a Effort,
    progress: ProgressBar,
    /// What the reference did for each query.
    expected: Vec<Expected>,
}

struct State<'a> {
    entrant: &'a Entrant,
    verdict: Verdict,
    samples: Vec<Sample>,
}

struct Expected {
    status: ExitStatus,
    totals: Option<Totals>,
    bytes: u64,
}

impl Rounds<'_> {
    /// One round for each query, whose outputs are kept and compared. It warms up, too.
    fn check(&mut self) -> Result<()> {
        for (nth, query) in self.work.queries.iter().enumerate() {
            let folder = self.work.kept.join(&query.name);
            fs::create_dir_all(&folder)?;
            for at in 0..self.states.len() {
                let is_asked = nth == 0 || self.states[at].entrant.call.takes_query();
                if is_asked && self.states[at].is_right() {
                    self.check_one(at, nth, &folder)?;
                }
            }
            if self.states.iter().all(|state| !matches!(state.verdict, Verdict::Differs { .. })) {
                fs::remove_dir_all(&folder)?;
            }
        }
        Ok(())
    }

    fn check_one(&mut self, at: usize, nth: usize, folder: &Path) -> Result<()> {
        let entrant = self.states[at].entrant;
        self.progress.set_prefix(format!("checking {}:", self.work.queries[nth].name));
        let file = |name: &str, kind: &str| folder.join(format!("{}.{kind}", name.replace(' ', "_")));
        let (out, err) = (file(&entrant.name, "out"), file(&entrant.name, "err"));
        let keep = Some((File::create(&out)?, File::create(&err)?));
        let subject = if nth == 0 { &self.work.input.measured } else { &self.work.input.checked };
        let ran = self.run(entrant, nth, subject, Plan { keep, ..Plan::default() });
        let mut seen = match ran {
            Ok(seen) => seen,
            Err(error) if entrant.kind == Kind::Reference => return Err(error),
            Err(error) => {
                self.states[at].fail(Sample::failed(Phase::Check, nth, format!("{error:#}")));
                return Ok(());
            }
        };
        seen.bytes = fs::metadata(&out)?.len();
        if entrant.kind == Kind::Reference {
            self.expect(&seen, nth, &out, &err)?;
        }
        let unlike = self.unlike(entrant, nth, &seen);
        let mut sample = Sample::new(Phase::Check, nth, &seen);
        sample.failure = crashed(&seen).or_else(|| self.wrote_nothing(entrant));
        if sample.failure.is_some() {
            self.states[at].fail(sample);
            return Ok(());
        }
        self.states[at].samples.push(sample);
        if entrant.kind == Kind::Reference {
            return Ok(());
        }

        let reference = &self.states[0].entrant.name;
        let (expected, messages) = (file(reference, "out"), file(reference, "err"));
        let name = &self.work.queries[nth].name;
        let differs = |what: &str, difference, paths: [&PathBuf; 2]| Verdict::Differs {
            what: format!("{name}: {what}"),
            difference,
            kept: paths.map(|path| path.display().to_string()).into(),
        };
        let output = match entrant.kind {
            Kind::Tool => check::lines(&expected, &messages, &out, entrant.order)?,
            _ => check::same(&expected, &out, entrant.order)?,
        };
        let said = match entrant.kind {
            Kind::Tool => None,
            _ => check::same(&messages, &err, entrant.order)?,
        };
        let state = &mut self.states[at];
        if output.is_some() {
            state.verdict = differs("the output", output, [&expected, &out]);
        } else if said.is_some() {
            state.verdict = differs("the messages", said, [&messages, &err]);
        } else if let Some(unlike) = unlike {
            state.verdict = differs(&unlike, None, [&expected, &out]);
        } else {
            fs::remove_file(out)?;
            fs::remove_file(err)?;
        }
        Ok(())
    }

    /// All that can be said of a tool whose output is its own.
    fn wrote_nothing(&self, entrant: &Entrant) -> Option<String> {
        let out = self.scratch().join("out");
        let is_empty = || fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
        (entrant.call.writes() && is_empty()).then(|| "it wrote nothing".to_owned())
    }

    /// Takes the reference's run as what the others are compared with.
    fn expect(&mut self, seen: &Seen, nth: usize, out: &Path, messages: &Path) -> Result<()> {
        if let Some(failure) = crashed(seen) {
            bail!("the reference failed: {failure}");
        }
        let Some(report) = &seen.report else {
            bail!("the reference failed: {}", fs::read_to_string(messages)?.trim());
        };
        if let Some(output) = self.work.input.output.as_ref().filter(|_| nth == 0) {
            let found = fs::read_to_string(out)?;
            ensure!(found.trim_end() == output, "the reference printed {found:?}, not {output:?}");
        }
        let totals = self.counted(nth, &report.totals);
        self.expected.push(Expected { status: seen.status, totals: Some(totals), bytes: seen.bytes });
        Ok(())
    }

    /// In what a run that went through is unlike the reference's.
    fn unlike(&self, entrant: &Entrant, nth: usize, seen: &Seen) -> Option<String> {
        let expected = &self.expected[nth];
        if entrant.order == Order::Unchecked {
            return None;
        }
        if seen.status != expected.status {
            return Some(format!("{}, not {}", seen.status, expected.status));
        }
        if entrant.kind == Kind::Tool {
            return None;
        }
        let Some(report) = &seen.report else { return Some("no report".to_owned()) };
        let totals = self.counted(nth, &report.totals);
        let wanted = expected.totals.clone().unwrap_or_default();
        if totals != wanted {
            return Some(format!("totals {}, not {}", shown(&totals), shown(&wanted)));
        }
        if seen.bytes != expected.bytes {
            return Some(format!("{} bytes of output, not {}", seen.bytes, expected.bytes));
        }
        None
    }

    /// The totals that have to agree.
    fn counted(&self, nth: usize, totals: &Totals) -> Totals {
        let mut totals = totals.clone();
        totals.retain(|name, _| !self.work.own_totals.contains(name));
        if !self.work.queries[nth].reads_everything() {
            totals.remove("bytes");
        }
        totals
    }

    /// The timed rounds, A B C A B C. Returns how many.
    fn time(&mut self) -> usize {
        let counts = |state: &&State| state.is_right() && !state.entrant.slow;
        let one = self.states.iter().filter(counts).map(|state| state.samples[0].wall_s);
        let fit = seconds(self.effort.budget) / one.sum::<f64>().max(1e-3);
        let count = self.effort.rounds.map_or((fit as usize).clamp(ROUNDS.0, ROUNDS.1), NonZeroUsize::get);
        self.rounds(Phase::Time, count, |_| Some(Plan::default()));
        count
    }

    fn memory(&mut self) {
        let plan = |_: &State| Some(Plan { sample: true, ..Plan::default() });
        self.rounds(Phase::Memory, self.effort.memory_rounds, plan);
    }

    /// Interrupts each run at half its median time.
    fn stop(&mut self) {
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

    fn rounds(&mut self, phase: Phase, count: usize, plan: impl Fn(&State) -> Option<Plan>) {
        let name = match phase {
            Phase::Check => "checking",
            Phase::Time => "timing",
            Phase::Memory => "sampling memory",
            Phase::Stop => "stopping",
            Phase::Empty => "starting",
        };
        for round in 0..count {
            self.progress.set_prefix(format!("{name}, round {} of {count}:", round + 1));
            let order: Vec<usize> = (0..self.states.len()).collect();
            // There and back: what gets slower while a round goes on does so for every row alike.
            let order = if round % 2 == 0 { order } else { order.into_iter().rev().collect() };
            for at in order {
                let state = &self.states[at];
                let takes_part = state.is_right() && state.entrant.takes_part(phase, round);
                let Some(plan) = plan(state).filter(|_| takes_part) else { continue };
                let sample = self.sample(self.states[at].entrant, phase, round, plan);
                self.states[at].samples.push(sample);
            }
        }
    }

    fn sample(&self, entrant: &Entrant, phase: Phase, round: usize, plan: Plan) -> Sample {
        let input = self.work.input;
        let subject = if phase == Phase::Empty { &input.empty } else { &input.measured };
        let seen = match self.run(entrant, 0, subject, plan) {
            Ok(seen) => seen,
            Err(error) => return Sample::failed(phase, round, format!("{error:#}")),
        };
        let mut sample = Sample::new(phase, round, &seen);
        sample.failure = crashed(&seen).or_else(|| match phase {
            Phase::Time | Phase::Memory => self.unlike(entrant, 0, &seen),
            Phase::Stop if entrant.kind != Kind::Tool => not_stopped(&seen),
            _ => None,
        });
        sample
    }

    fn run(&self, entrant: &Entrant, nth: usize, subject: &Subject, plan: Plan) -> Result<Seen> {
        self.progress.set_message(entrant.label.clone());
        self.progress.tick();
        let request = Request { query: &self.work.queries[nth], subject };
        let Called { command, stdin } = entrant.call.command(request, &self.scratch())?;
        run(command, Plan { stdin, timeout: Some(self.effort.timeout), ..plan })
    }

    /// The folder for what a run needs and what it writes.
    fn scratch(&self) -> PathBuf {
        self.work.kept.join("scratch")
    }

    /// The rows, and how many rounds it would take to tell them all apart. Tools are not compared with each other.
    fn rows(&self) -> (Vec<Row>, Option<usize>) {
        let times: Vec<_> = self.states.iter().map(State::times).collect();
        let ranked = self.states.iter().take_while(|state| state.entrant.kind != Kind::Tool).count();
        let told = tell_apart(&times[..ranked]);
        let letters = told.letters.into_iter().chain(std::iter::repeat(String::new()));
        let rows = self.states.iter().zip(&times).zip(letters).map(|((state, own), letters)| {
            let speedup = Paired::of(&times[0], own).ratio();
            state.row(speedup, letters, self.work)
        });
        (rows.collect(), told.rounds)
    }
}

impl<'a> State<'a> {
    fn new(entrant: &'a Entrant) -> Self {
        let verdict = match entrant.kind {
            Kind::Reference => Verdict::Reference,
            _ if entrant.order == Order::Unchecked => Verdict::Own,
            Kind::Model | Kind::Tool => Verdict::Same,
        };
        Self { entrant, verdict, samples: Vec::new() }
    }

    fn is_right(&self) -> bool {
        matches!(self.verdict, Verdict::Reference | Verdict::Same | Verdict::Own)
    }

    /// Its run for the check did not go through: there is nothing to measure.
    fn fail(&mut self, sample: Sample) {
        self.verdict = Verdict::Failed;
        self.samples.push(sample);
    }

    /// What the good runs of a phase measured.
    fn good<T>(&self, phase: Phase, what: impl Fn(&Sample) -> Option<T>) -> Vec<T> {
        let good = self.samples.iter().filter(|sample| sample.phase == phase && sample.failure.is_none());
        good.filter_map(what).collect()
    }

    fn median(&self, phase: Phase, what: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        stats::median(&self.good(phase, what))
    }

    /// The good rounds' times.
    fn times(&self) -> Vec<(usize, f64)> {
        self.good(Phase::Time, |sample| Some((sample.round, sample.wall_s)))
    }

    fn row(&self, speedup: Option<Estimate>, letters: String, work: &Work<'_>) -> Row {
        let entrant = self.entrant;
        let wall = stats::estimate(&self.good(Phase::Time, |sample| Some(sample.wall_s)));
        let cpu = self.median(Phase::Time, |sample| Some(sample.cpu_s));
        let sampled = self.good(Phase::Memory, |sample| sample.memory_bytes).into_iter().max();
        let max_rss = || self.good(Phase::Memory, |sample| Some(sample.max_rss_bytes)).into_iter().max();
        let failed = |sample: &Sample| {
            Some(format!("{:?} round {}: {}", sample.phase, sample.round + 1, sample.failure.as_ref()?))
        };
        let request = Request { query: &work.queries[0], subject: &work.input.measured };
        Row {
            name: entrant.name.clone(),
            label: entrant.label.clone(),
            mechanism: entrant.mechanism.clone(),
            kind: entrant.kind,
            command: entrant.call.shown(request),
            verdict: self.verdict.clone(),
            any_order: entrant.order == Order::Any,
            wall_s: wall,
            speedup,
            letters,
            cpu_s: cpu,
            cores: cpu.zip(wall).map(|(cpu, wall)| cpu / wall.median),
            memory_bytes: sampled.or_else(max_rss),
            memory_is_max_rss: sampled.is_none(),
            first_s: self.median(Phase::Time, |sample| sample.first_s.filter(|_| !work.prints_at_end)),
            stop_s: self.median(Phase::Stop, |sample| sample.stop_s),
            empty_s: self.median(Phase::Empty, |sample| Some(sample.wall_s)),
            code: entrant.code,
            oversubscribed: entrant.oversubscribed,
            runs: self.samples.len(),
            failures: self.samples.iter().filter_map(failed).collect(),
            samples: self.samples.clone(),
        }
    }
}

impl Sample {
    fn new(phase: Phase, round: usize, seen: &Seen) -> Self {
        Self {
            phase,
            round,
            wall_s: seconds(seen.wall),
            cpu_s: seconds(seen.cpu),
            first_s: seen.first.map(seconds),
            stop_s: seen.stop.map(seconds),
            memory_bytes: seen.memory,
            max_rss_bytes: seen.max_rss,
            status: seen.status.to_string(),
            totals: seen.report.as_ref().map(|report| report.totals.clone()),
            failure: None,
        }
    }

    fn failed(phase: Phase, round: usize, why: String) -> Self {
        Self {
            phase,
            round,
            wall_s: 0.0,
            cpu_s: 0.0,
            first_s: None,
            stop_s: None,
            memory_bytes: None,
            max_rss_bytes: 0,
            status: String::new(),
            totals: None,
            failure: Some(why),
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

/// Totals as a message has them.
fn shown(totals: &Totals) -> String {
    let each: Vec<String> = totals.iter().map(|(name, n)| format!("{n} {name}")).collect();
    each.join(", ")
}

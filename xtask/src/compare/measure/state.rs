//! The runs of a program, and the row that they make.

use std::time::Duration;

use crate::compare::{
    measure::{origin::Origin, run::Measurement, trace::Traced, work::Work},
    plan::{command::Request, entrant::Entrant, order::Order},
    result::{Estimate, Kind, Phase, Row, Sample, Served, Verdict, seconds},
    stats::{estimate, outliers::outliers},
};

/// A program, and its runs so far.
pub(crate) struct State<'a> {
    pub entrant: &'a Entrant,
    pub verdict: Verdict,
    pub samples: Vec<Sample>,
    pub traced: Option<Traced>,
}

/// Which run it is: its number in the order of execution, its start, phase and round.
#[derive(Clone, Copy)]
pub(crate) struct RunId {
    pub at: usize,
    pub start_s: f64,
    pub phase: Phase,
    pub round: usize,
}

impl<'a> State<'a> {
    pub(crate) fn new(entrant: &'a Entrant) -> Self {
        let verdict = match entrant.kind {
            Kind::Reference => Verdict::Reference,
            _ if entrant.order == Order::Unchecked => Verdict::Own,
            Kind::Model | Kind::Tool => Verdict::Same,
        };
        Self { entrant, verdict, samples: Vec::new(), traced: None }
    }

    /// Whether the output was right, or could not be compared.
    pub(crate) fn is_right(&self) -> bool {
        matches!(self.verdict, Verdict::Reference | Verdict::Same | Verdict::Own)
    }

    /// Marks the program as failed, because its run in the check failed: it is not measured.
    pub(crate) fn fail(&mut self, sample: Sample) {
        self.verdict = Verdict::Failed;
        self.samples.push(sample);
    }

    /// The values of a phase's successful runs.
    fn good<T>(&self, phase: Phase, what: impl Fn(&Sample) -> Option<T>) -> Vec<T> {
        let good = self.samples.iter().filter(|sample| sample.phase == phase && sample.failure.is_none());
        good.filter_map(what).collect()
    }

    pub(crate) fn median(&self, phase: Phase, what: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        estimate::median(&self.good(phase, what))
    }

    /// The clients' measurements of the successful runs.
    fn served(&self) -> Vec<Served> {
        let phases = [Phase::Time, Phase::Service];
        phases.into_iter().flat_map(|phase| self.good(phase, |sample| sample.service)).collect()
    }

    /// The rounds and times of the successful timed runs.
    pub(crate) fn times(&self) -> Vec<(usize, f64)> {
        self.good(Phase::Time, |sample| Some((sample.round, sample.wall_s)))
    }

    /// The program's row. `longest` is the time of the longest traced run of all programs.
    pub(crate) fn row(
        &self,
        speedup: Option<Estimate>,
        letters: String,
        work: &Work<'_>,
        longest: Duration,
    ) -> Row {
        let entrant = self.entrant;
        let wall = estimate::estimate(&self.good(Phase::Time, |sample| Some(sample.wall_s)));
        let cpu = self.median(Phase::Time, |sample| Some(sample.cpu_s));
        let peak = |what: fn(&Sample) -> Option<u64>| self.good(Phase::Memory, what).into_iter().max();
        let switches =
            |what: fn(&Sample) -> u64| self.median(Phase::Time, |sample| Some(what(sample) as f64));
        let sampled = peak(|sample| sample.memory_bytes);
        let max_rss = || peak(|sample| Some(sample.max_rss_bytes));
        let failed = |sample: &Sample| {
            Some(format!("{:?} round {}: {}", sample.phase, sample.round + 1, sample.failure.as_ref()?))
        };
        let memory_bytes = sampled.or_else(max_rss);
        let waiting = work.origin.map(Origin::waiting).filter(|_| sampled.is_some());
        let ideal = work.origin.map(|origin| origin.waiting().ideal_s);
        let request = Request { query: &work.queries[0], subject: &work.input.measured };
        Row {
            name: entrant.name.clone(),
            label: entrant.label.clone(),
            mechanism: entrant.mechanism.clone(),
            kind: entrant.kind,
            workers: entrant.workers,
            command: entrant.call.shown(request),
            verdict: self.verdict.clone(),
            any_order: entrant.order == Order::Any,
            wall_s: wall,
            speedup,
            letters,
            cpu_s: cpu,
            cores: cpu.zip(wall).map(|(cpu, wall)| cpu / wall.median),
            memory_bytes,
            memory_is_max_rss: sampled.is_none(),
            first_s: self.median(Phase::Time, |sample| sample.first_s.filter(|_| !work.prints_at_end)),
            // A service has no stop phase; it is stopped at the end of every run.
            stop_s: self
                .median(Phase::Stop, |sample| sample.stop_s)
                .or_else(|| self.median(Phase::Time, |sample| sample.stop_s)),
            empty_s: self.median(Phase::Empty, |sample| Some(sample.wall_s)),
            voluntary_switches: switches(|sample| sample.voluntary_switches),
            involuntary_switches: switches(|sample| sample.involuntary_switches),
            threads: peak(|sample| sample.threads),
            processes: peak(|sample| sample.processes),
            code: entrant.code,
            service: Served::medians(&self.served()),
            of_ideal: wall.zip(ideal).map(|(wall, ideal)| wall.median / ideal),
            waiting_bytes: memory_bytes.zip(waiting).map(|(bytes, it)| bytes as f64 / it.at_once as f64),
            oversubscribed: entrant.oversubscribed,
            runs: self.samples.len(),
            failures: self.samples.iter().filter_map(failed).collect(),
            outliers: outliers(&self.times()),
            timeline: self.traced.as_ref().map(|traced| traced.timeline(longest)),
            samples: self.samples.clone(),
        }
    }
}

impl Sample {
    pub(crate) fn new(id: RunId, measurement: &Measurement) -> Self {
        Self {
            wall_s: seconds(measurement.wall),
            cpu_s: seconds(measurement.cpu),
            first_s: measurement.first.map(seconds),
            stop_s: measurement.stop.map(seconds),
            memory_bytes: measurement.usage.map(|usage| usage.bytes),
            max_rss_bytes: measurement.max_rss,
            voluntary_switches: measurement.switches.voluntary,
            involuntary_switches: measurement.switches.involuntary,
            threads: measurement.usage.map(|usage| usage.threads),
            processes: measurement.usage.map(|usage| usage.processes),
            status: measurement.status.to_string(),
            service: measurement.served,
            totals: measurement.report.as_ref().map(|report| report.totals.clone()),
            ..Self::at(id)
        }
    }

    pub(crate) fn failed(id: RunId, why: String) -> Self {
        Self { failure: Some(why), ..Self::at(id) }
    }

    fn at(RunId { at, start_s, phase, round }: RunId) -> Self {
        Self { at, start_s, phase, round, ..Self::default() }
    }
}

//! The last round: each model runs once more and records the spans of its kernels. Tools record no
//! spans.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::compare::{
    measure::{
        rounds::Rounds,
        run::{Measurement, RunOptions, crashed},
        state::State,
        trace::{Traced, Traces, traced_run::Run},
    },
    plan::entrant::Entrant,
    result::{Kind, Phase, Sample},
};

impl Rounds<'_> {
    /// Traces each model with the right output once. A failure counts as a failed run, like any
    /// other.
    pub(crate) fn trace(&mut self) {
        let Some(traces) = self.work.traces else { return };
        self.progress.set_prefix("tracing:");
        for at in 0..self.states.len() {
            let State { entrant, .. } = self.states[at];
            if !self.states[at].is_right() || entrant.kind == Kind::Tool {
                continue;
            }
            let id = self.next_run(Phase::Trace, 0);
            let traced = self.trace_one(entrant, traces);
            if self.is_cancelled() {
                return;
            }
            let state = &mut self.states[at];
            match traced {
                Ok((measurement, traced)) => {
                    state.samples.push(Sample::new(id, &measurement));
                    state.traced = Some(traced);
                }
                Err(error) => state.samples.push(Sample::failed(id, format!("{error:#}"))),
            }
        }
    }

    fn trace_one(&self, entrant: &Entrant, traces: &Traces) -> Result<(Measurement, Traced)> {
        let folder = Traces::empty(&self.scratch())?;
        let options = RunOptions { trace: Some(folder.clone()), ..RunOptions::default() };
        let measurement = self.run(entrant, 0, &self.work.input.measured, options)?;
        if let Some(why) = crashed(&measurement).or_else(|| self.unlike(entrant, 0, &measurement)) {
            bail!(why);
        }
        let name = &entrant.id();
        let run = Run {
            name,
            started_ns: measurement.started_ns,
            wall: measurement.wall,
            workers: entrant.workers,
        };
        let traced = traces.take(&folder, run)?;
        Ok((measurement, traced))
    }

    /// The time of the longest traced run, which is the length of the common axis.
    pub(crate) fn longest_traced(&self) -> Duration {
        let walls = self.states.iter().filter_map(|state| state.traced.as_ref()).map(Traced::wall);
        walls.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::compare::measure::{
        fixtures::{self, Fixture},
        rounds::{Measured, measure},
        work::Work,
    };

    /// A script that writes a span, if the run is traced.
    fn spans(part: &str) -> String {
        let at = 1_000_000_000_000_000_000_u64;
        let span = |from: u64, to: u64| {
            format!(
                r#"{{"record":"span","thread":1,"name":"work","part":"{part}","start_ns":{},"end_ns":{}}}"#,
                at + from,
                at + to
            )
        };
        format!("if [ -n \"$CC_TRACE\" ]; then echo '{}' > \"$CC_TRACE/$$.jsonl\"; fi", span(0, 1000))
    }

    /// Measures a reference and these entrants, with traces.
    fn measured(fixture: &Fixture, entrants: Vec<Entrant>) -> Measured {
        let reference = Entrant { kind: Kind::Reference, ..fixture.first("reference", &spans("kernel")) };
        let all: Vec<Entrant> = [reference].into_iter().chain(entrants).collect();
        let traces = Traces { folder: fixture.path("trace"), workload: "w".to_owned() };
        measure(&all, &Work { traces: Some(&traces), ..fixture.work() }, &fixtures::effort()).unwrap()
    }

    #[test]
    fn each_model_is_traced_once_and_a_tool_is_not() {
        let fixture = Fixture::new();
        // This tool would write spans if tools were traced.
        let tool = Entrant { kind: Kind::Tool, ..fixture.first("tool", &spans("kernel")) };
        let found = measured(&fixture, vec![fixture.first("model ×2", &spans("kernel")), tool]);
        let traced = |row: usize| {
            let samples = found.rows[row].samples.iter();
            samples.filter(|sample| sample.phase == Phase::Trace && sample.failure.is_none()).count()
        };
        assert_eq!([traced(0), traced(1), traced(2)], [1, 1, 0]);
        let timeline = found.rows[1].timeline.as_ref().unwrap();
        assert_eq!(timeline.file, fixture.path("trace/w-model-x2.json").display().to_string());
        assert!(fs::read_to_string(&timeline.file).unwrap().contains("\"traceEvents\""));
        assert_eq!(timeline.lanes.len(), 1);
        assert!(timeline.lanes[0].works && found.rows[2].timeline.is_none());
        assert!(!fixture.path("scratch").exists());
    }

    #[test]
    fn a_failure_of_a_traced_run_is_reported_and_the_others_go_on() {
        let fixture = Fixture::new();
        let crash = fixture.first("crash", "[ -z \"$CC_TRACE\" ] || kill -SEGV $$");
        let found =
            measured(&fixture, vec![crash, fixture.right("silent"), fixture.first("fine", &spans("kernel"))]);
        assert_eq!(found.rows[1].failures.len(), 1);
        assert!(
            found.rows[1].failures[0].starts_with("Trace round 1: signal: 11"),
            "{:?}",
            found.rows[1].failures
        );
        assert_eq!(found.rows[2].failures, ["Trace round 1: no kernel wrote a span"]);
        assert!(found.rows[1].timeline.is_none() && found.rows[1].wall_s.is_some());
        assert!(found.rows[3].failures.is_empty() && found.rows[3].timeline.is_some());
    }
}

//! The check round: each program's output is compared with the reference's.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Result, bail, ensure};
use cc_core::report::Totals;

use crate::compare::{
    measure::{
        expected::Expected,
        outputs,
        rounds::Rounds,
        run::{Measurement, RunOptions, crashed},
        server,
    },
    plan::{entrant::Entrant, order::Order},
    result::{Kind, Phase, Sample, Verdict},
};

impl Rounds<'_> {
    /// Runs every query once and compares the outputs. These runs also warm up the caches.
    pub(crate) fn check(&mut self) -> Result<()> {
        for (nth, query) in self.work.queries.iter().enumerate() {
            let folder = self.work.output_dir.join(&query.name);
            fs::create_dir_all(&folder)?;
            for at in 0..self.states.len() {
                let is_asked =
                    nth == 0 || self.work.clients.is_some() || self.states[at].entrant.call.takes_query();
                if self.is_cancelled() {
                    return Ok(());
                }
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
        let (out, err) = (file(&entrant.id(), "out"), file(&entrant.id(), "err"));
        let keep = Some((File::create(&out)?, server::readable(&err)?));
        let subject = if nth == 0 { &self.work.input.measured } else { &self.work.input.checked };
        let id = self.next_run(Phase::Check, nth);
        let ran = self.run(entrant, nth, subject, RunOptions { keep, ..RunOptions::default() });
        let mut measurement = match ran {
            Ok(measurement) => measurement,
            Err(error) if entrant.kind == Kind::Reference => return Err(error),
            Err(error) => {
                self.states[at].fail(Sample::failed(id, format!("{error:#}")));
                return Ok(());
            }
        };
        measurement.bytes = fs::metadata(&out)?.len();
        if entrant.kind == Kind::Reference {
            self.expect(&measurement, nth, &out, &err)?;
        }
        let unlike = self.unlike(entrant, nth, &measurement);
        let mut sample = Sample::new(id, &measurement);
        sample.failure = crashed(&measurement).or_else(|| self.wrote_nothing(entrant));
        if sample.failure.is_some() {
            self.states[at].fail(sample);
            return Ok(());
        }
        self.states[at].samples.push(sample);
        if entrant.kind == Kind::Reference {
            return Ok(());
        }

        let reference = &self.states[0].entrant.id();
        let (expected, messages) = (file(reference, "out"), file(reference, "err"));
        let name = &self.work.queries[nth].name;
        let differs = |what: &str, difference, paths: [&PathBuf; 2]| Verdict::Differs {
            what: format!("{name}: {what}"),
            difference,
            kept: paths.map(|path| path.display().to_string()).into(),
        };
        let output = match entrant.kind {
            Kind::Tool => outputs::lines(&expected, &messages, &out, entrant.order)?,
            _ => outputs::same(&expected, &out, entrant.order)?,
        };
        let messages_differ = match entrant.kind {
            Kind::Tool => None,
            _ => outputs::same(&messages, &err, entrant.order)?,
        };
        let state = &mut self.states[at];
        if output.is_some() {
            state.verdict = differs("the output", output, [&expected, &out]);
        } else if messages_differ.is_some() {
            state.verdict = differs("the messages", messages_differ, [&messages, &err]);
        } else if let Some(unlike) = unlike {
            state.verdict = differs(&unlike, None, [&expected, &out]);
        } else {
            fs::remove_file(out)?;
            fs::remove_file(err)?;
        }
        Ok(())
    }

    /// The failure of a program that should write to a folder, but wrote nothing. For a tool whose
    /// output is not compared, this is the only check.
    fn wrote_nothing(&self, entrant: &Entrant) -> Option<String> {
        let out = self.scratch().join("out");
        let is_empty = || fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
        (entrant.call.writes() && is_empty()).then(|| "it wrote nothing".to_owned())
    }

    /// Records the reference's result, with which all others are compared.
    fn expect(&mut self, measurement: &Measurement, nth: usize, out: &Path, messages: &Path) -> Result<()> {
        if let Some(failure) = crashed(measurement) {
            bail!("the reference failed: {failure}");
        }
        let Some(report) = &measurement.report else {
            bail!("the reference failed: {}", fs::read_to_string(messages)?.trim());
        };
        if let Some(output) = self.work.input.output.as_ref().filter(|_| nth == 0) {
            let found = fs::read_to_string(out)?;
            ensure!(found.trim_end() == output, "the reference printed {found:?}, not {output:?}");
        }
        let totals = self.counted(nth, &report.totals);
        self.expected.push(Expected { status: measurement.status, totals, bytes: measurement.bytes });
        Ok(())
    }

    /// How a completed run differs from the reference's: exit status, totals, or number of bytes.
    pub(crate) fn unlike(&self, entrant: &Entrant, nth: usize, measurement: &Measurement) -> Option<String> {
        let expected = &self.expected[nth];
        if entrant.order == Order::Unchecked {
            return None;
        }
        if measurement.status != expected.status {
            return Some(format!("{}, not {}", measurement.status, expected.status));
        }
        if entrant.kind == Kind::Tool {
            return None;
        }
        let Some(report) = &measurement.report else { return Some("no report".to_owned()) };
        let totals = self.counted(nth, &report.totals);
        let wanted = &expected.totals;
        if totals != *wanted {
            return Some(format!("totals {}, not {}", shown(&totals), shown(wanted)));
        }
        if self.work.clients.is_none() && measurement.bytes != expected.bytes {
            return Some(format!("{} bytes of output, not {}", measurement.bytes, expected.bytes));
        }
        None
    }

    /// The totals that must agree.
    fn counted(&self, nth: usize, totals: &Totals) -> Totals {
        let mut totals = totals.clone();
        totals.retain(|name, _| !self.work.own_totals.contains(name));
        if !self.work.queries[nth].reads_everything {
            totals.remove("bytes");
        }
        totals
    }
}

/// Totals as text for a message.
fn shown(totals: &Totals) -> String {
    let each: Vec<String> = totals.iter().map(|(name, n)| format!("{n} {name}")).collect();
    each.join(", ")
}

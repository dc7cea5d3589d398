//! The round before all others: each program's output is kept and compared with the reference's.

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
    /// One round for each query, whose outputs are kept and compared. It warms up, too.
    pub(crate) fn check(&mut self) -> Result<()> {
        for (nth, query) in self.work.queries.iter().enumerate() {
            let folder = self.work.kept.join(&query.name);
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
        let turn = self.turn(Phase::Check, nth);
        let ran = self.run(entrant, nth, subject, RunOptions { keep, ..RunOptions::default() });
        let mut seen = match ran {
            Ok(seen) => seen,
            Err(error) if entrant.kind == Kind::Reference => return Err(error),
            Err(error) => {
                self.states[at].fail(Sample::failed(turn, format!("{error:#}")));
                return Ok(());
            }
        };
        seen.bytes = fs::metadata(&out)?.len();
        if entrant.kind == Kind::Reference {
            self.expect(&seen, nth, &out, &err)?;
        }
        let unlike = self.unlike(entrant, nth, &seen);
        let mut sample = Sample::new(turn, &seen);
        sample.failure = crashed(&seen).or_else(|| self.wrote_nothing(entrant));
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
        let said = match entrant.kind {
            Kind::Tool => None,
            _ => outputs::same(&messages, &err, entrant.order)?,
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
    fn expect(&mut self, seen: &Measurement, nth: usize, out: &Path, messages: &Path) -> Result<()> {
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
        self.expected.push(Expected { status: seen.status, totals, bytes: seen.bytes });
        Ok(())
    }

    /// In what a run that went through is unlike the reference's.
    pub(crate) fn unlike(&self, entrant: &Entrant, nth: usize, seen: &Measurement) -> Option<String> {
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
        let wanted = &expected.totals;
        if totals != *wanted {
            return Some(format!("totals {}, not {}", shown(&totals), shown(wanted)));
        }
        if self.work.clients.is_none() && seen.bytes != expected.bytes {
            return Some(format!("{} bytes of output, not {}", seen.bytes, expected.bytes));
        }
        None
    }

    /// The totals that have to agree.
    fn counted(&self, nth: usize, totals: &Totals) -> Totals {
        let mut totals = totals.clone();
        totals.retain(|name, _| !self.work.own_totals.contains(name));
        if !self.work.queries[nth].reads_everything {
            totals.remove("bytes");
        }
        totals
    }
}

/// Totals as a message has them.
fn shown(totals: &Totals) -> String {
    let each: Vec<String> = totals.iter().map(|(name, n)| format!("{n} {name}")).collect();
    each.join(", ")
}

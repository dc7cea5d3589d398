//! `--baseline FILE`: compares this result with an earlier one, to find out what a change to the
//! code has cost.
//!
//! The rounds of two results are not pairs: they were measured at different times, possibly on
//! different machines. So the times of each row are compared as two independent samples (Welch's
//! t-test of their logarithms). Holm's procedure limits the family-wise error rate: of 100
//! comparisons without any difference, at most five report one. A change of the machine affects all
//! rows, and shows in the reference's row.

use std::{fs, num::NonZeroUsize, path::Path};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::compare::{
    result::{Against, Change, Comparison, Phase, Row, SCHEMA},
    stats::paired::{LEVEL, significant},
    words::percent,
};

/// The fields of an earlier result that are used here.
#[derive(Deserialize)]
pub(crate) struct Earlier {
    workload: String,
    time: String,
    commit: Option<String>,
    query: String,
    machine: EarlierMachine,
    input: EarlierInput,
    rows: Vec<EarlierRow>,
}

#[derive(Deserialize)]
struct EarlierMachine {
    cores: NonZeroUsize,
    cpu: String,
    kernel: String,
}

#[derive(Deserialize)]
struct EarlierInput {
    name: String,
}

#[derive(Deserialize)]
struct EarlierRow {
    name: String,
    workers: NonZeroUsize,
    samples: Vec<EarlierSample>,
}

#[derive(Deserialize)]
struct EarlierSample {
    phase: String,
    wall_s: f64,
    failure: Option<String>,
}

/// Reads a file that `--json` has written: one result, or several.
pub(crate) fn load(path: &Path) -> Result<Vec<Earlier>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let message = || format!("{} is not a result of cargo xtask compare", path.display());
    let file = match serde_json::from_str(&text).with_context(message)? {
        Value::Array(many) => many,
        one => vec![one],
    };
    file.into_iter().map(|one| Earlier::read(one).with_context(message)).collect()
}

/// The changes since the earlier result of the same workload, if there is one.
pub(crate) fn against(comparison: &Comparison, earlier: &[Earlier], file: &Path) -> Option<Against> {
    let earlier = earlier.iter().find(|earlier| earlier.workload == comparison.workload)?;
    let mut changes: Vec<Change> =
        comparison.rows.iter().filter_map(|row| change(row, earlier.row(row)?)).collect();
    let ps: Vec<f64> = changes.iter().map(|change| change.p).collect();
    let claimed = significant(&ps, LEVEL);
    changes.iter_mut().zip(claimed).for_each(|(change, claimed)| change.differs = claimed);
    Some(Against {
        file: file.display().to_string(),
        time: earlier.time.clone(),
        commit: earlier.commit.clone(),
        unlike: earlier.unlike(comparison),
        rows: changes,
    })
}

impl Earlier {
    fn read(result: Value) -> Result<Self> {
        let schema = result.get("schema").and_then(Value::as_u64).context("it has no schema")?;
        ensure!(schema == u64::from(SCHEMA), "its schema is {schema}, but this program reads {SCHEMA}");
        Ok(serde_json::from_value(result)?)
    }

    fn row(&self, row: &Row) -> Option<&EarlierRow> {
        self.rows.iter().find(|earlier| earlier.name == row.name && earlier.workers == row.workers)
    }

    fn unlike(&self, Comparison { query, input, machine, .. }: &Comparison) -> Vec<String> {
        let cores = [self.machine.cores, machine.cores].map(|cores| cores.to_string());
        let both = [
            ("query", &self.query, query),
            ("input", &self.input.name, &input.name),
            ("processor", &self.machine.cpu, &machine.cpu),
            ("number of cores", &cores[0], &cores[1]),
            ("kernel", &self.machine.kernel, &machine.kernel),
        ];
        let unlike = both.into_iter().filter(|(_, before, now)| before != now);
        unlike.map(|(what, before, now)| format!("the {what} was {before}, now {now}")).collect()
    }
}

fn change(row: &Row, earlier: &EarlierRow) -> Option<Change> {
    let now = row.samples.iter().filter(|sample| sample.phase == Phase::Time && sample.failure.is_none());
    let now: Vec<f64> = now.map(|sample| sample.wall_s.ln()).collect();
    let before = earlier.samples.iter().filter(|sample| sample.phase == "time" && sample.failure.is_none());
    let before: Vec<f64> = before.map(|sample| sample.wall_s.ln()).collect();
    let Welch { difference, error, p, t } = Welch::of(&now, &before)?;
    Some(Change {
        name: row.name.clone(),
        label: row.shown().to_owned(),
        workers: row.workers,
        differs: false,
        p,
        ratio: difference.exp(),
        low: (difference - t * error).exp(),
        high: (difference + t * error).exp(),
    })
}

/// Welch's t-test of two independent samples.
struct Welch {
    /// The difference of the means.
    difference: f64,
    /// Its standard error.
    error: f64,
    /// The two-sided p-value: the probability of a difference at least as large if there is none.
    p: f64,
    /// Half of the width of the 95 % interval, in standard errors.
    t: f64,
}

impl Welch {
    fn of(one: &[f64], other: &[f64]) -> Option<Self> {
        let [(mean, square, degrees), (other_mean, other_square, other_degrees)] =
            [moments(one)?, moments(other)?];
        let (difference, error) = (mean - other_mean, (square + other_square).sqrt());
        if error == 0.0 {
            let p = if difference == 0.0 { 1.0 } else { 0.0 };
            return Some(Self { difference, error, p, t: 0.0 });
        }
        let all = error.powi(4) / (square.powi(2) / degrees + other_square.powi(2) / other_degrees);
        let t = StudentsT::new(0.0, 1.0, all).ok()?;
        let p = 2.0 * t.sf((difference / error).abs());
        Some(Self { difference, error, p, t: t.inverse_cdf(1.0 - LEVEL / 2.0) })
    }
}

/// The mean, the square of its standard error, and the degrees of freedom. `None` if there are
/// fewer than two values.
fn moments(sample: &[f64]) -> Option<(f64, f64, f64)> {
    let count = sample.len() as f64;
    let degrees = sample.len().checked_sub(1).filter(|degrees| *degrees > 0)? as f64;
    let mean = sample.iter().sum::<f64>() / count;
    let squares: f64 = sample.iter().map(|value| (value - mean).powi(2)).sum();
    Some((mean, squares / degrees / count, degrees))
}

impl Against {
    /// Whether a row is slower by more than this fraction: the whole interval must lie above it.
    pub(crate) fn is_slower_by(&self, part: f64) -> bool {
        self.rows.iter().any(|row| row.differs && row.low > 1.0 + part)
    }

    /// The cells of the table, one row per change.
    pub(crate) fn cells(&self) -> Vec<Vec<String>> {
        let head = ["since then", "", "by", "95 %", "p"].map(str::to_owned).to_vec();
        [head].into_iter().chain(self.rows.iter().map(Change::cells)).collect()
    }

    /// A description of the baseline, and what else differs from it.
    pub(crate) fn notes(&self) -> Vec<String> {
        let commit = self.commit.as_ref().map(|commit| format!(", commit {commit}")).unwrap_or_default();
        let what = format!("{}: {}{commit}; time now / time then (Welch's test, Holm)", self.file, self.time);
        [what].into_iter().chain(self.unlike.iter().map(|unlike| format!("note: {unlike}"))).collect()
    }
}

impl Change {
    fn cells(&self) -> Vec<String> {
        let verdict = match self {
            Self { differs: false, .. } => "no difference",
            Self { ratio, .. } if *ratio > 1.0 => "slower",
            _ => "faster",
        };
        let by = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
        let interval = format!("{} to {}", by(self.low), by(self.high));
        vec![self.label.clone(), verdict.to_owned(), by(self.ratio), interval, p(self.p)]
    }
}

/// A p-value with three decimals; below 0.001 only that bound.
fn p(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// Parses a percentage: `5%` is 0.05.
pub(crate) fn percentage(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end();
    let number: f64 = number.parse().map_err(|_| "expected a percentage such as 5%".to_owned())?;
    if number < 0.0 || !number.is_finite() {
        return Err(format!("{} is not a valid limit", percent(number / 100.0)));
    }
    Ok(number / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{
        result::{Sample, example},
        show::json,
    };

    /// The example with all times multiplied by `ratio`.
    fn comparison(ratio: f64) -> Comparison {
        let mut comparison = example::comparison();
        for (nth, row) in comparison.rows.iter_mut().enumerate() {
            let time = |round: usize| ratio * (1.0 + nth as f64) * (1.0 + 0.01 * (round % 3) as f64);
            let sample =
                |round| Sample { phase: Phase::Time, round, wall_s: time(round), ..Sample::default() };
            row.samples = (0..9).map(sample).collect();
        }
        comparison
    }

    fn compared(now: &Comparison, before: &Comparison) -> Against {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("before.json");
        json::write(&[before], &path).unwrap();
        against(now, &load(&path).unwrap(), Path::new("before.json")).unwrap()
    }

    #[test]
    fn equal_results_have_no_difference() {
        let against = compared(&comparison(1.0), &comparison(1.0));
        assert!(against.rows.iter().all(|row| !row.differs && row.low < 1.0 && row.high > 1.0));
        assert!(!against.is_slower_by(0.0) && against.unlike.is_empty());
    }

    #[test]
    fn a_row_is_slower_only_if_its_whole_interval_is_above_the_limit() {
        let against = compared(&comparison(1.06), &comparison(1.0));
        let row = &against.rows[1];
        assert!(row.differs && row.low > 1.05 && row.high > 1.06, "{row:?}");
        assert!(against.is_slower_by(0.05) && !against.is_slower_by(0.06));
        let faster = compared(&comparison(0.9), &comparison(1.0));
        assert!(faster.rows[0].differs && !faster.is_slower_by(0.0));
        assert_eq!([&faster.cells()[1][1], &against.cells()[1][1]], ["faster", "slower"]);
    }

    #[test]
    fn other_differences_are_reported() {
        let mut before = comparison(1.0);
        before.machine.cpu = "Another CPU".to_owned();
        before.query = "-rc x".to_owned();
        let notes = compared(&comparison(1.0), &before).notes().join("; ");
        assert!(notes.contains("the query was -rc x, now -rn 'a b'"), "{notes}");
        assert!(notes.contains("the processor was Another CPU, now Example CPU"), "{notes}");
    }

    #[test]
    fn another_workload_or_file_is_no_baseline() {
        let mut before = comparison(1.0);
        before.workload = "sort".to_owned();
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("before.json");
        json::write(&before, &path).unwrap();
        assert!(against(&comparison(1.0), &load(&path).unwrap(), &path).is_none());
        for (text, why) in [("{}", "no schema"), ("[{\"schema\": 99}]", "is 99"), ("no", "is not a result")] {
            fs::write(&path, text).unwrap();
            let error = format!("{:#}", load(&path).err().unwrap());
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn welchs_test_agrees_with_a_published_example() {
        // Example 1 of Wikipedia's "Welch's t-test": t = -2.46, p = 0.021.
        let one = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4];
        let other =
            [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4];
        let welch = Welch::of(&one, &other).unwrap();
        let statistic = welch.difference / welch.error;
        assert!((statistic + 2.46).abs() < 0.01, "{statistic}");
        assert!((welch.p - 0.021).abs() < 0.001, "{}", welch.p);
    }

    #[test]
    fn percentages_are_read() {
        assert_eq!(["5%", "5 %", "0.5"].map(|text| percentage(text).unwrap()), [0.05, 0.05, 0.005]);
        assert!(percentage("much").is_err() && percentage("-5%").is_err());
    }
}

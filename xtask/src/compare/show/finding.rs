//! The result of one workload, whichever kind it is, and the outcome that follows from it.

use serde::Serialize;

use crate::{
    compare::{
        measure::aa_test::AaTest,
        outcome::Outcome,
        plan::args::Args,
        result::{Comparison, Row, Verdict, granularity::GranularityResult},
        show::{notes, table},
    },
    out,
};

/// The result of one workload.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Finding {
    Comparison(Box<Comparison>),
    Granularity(Box<GranularityResult>),
    AaTest(Box<AaTest>),
}

impl Finding {
    pub(crate) fn comparison(&self) -> Option<&Comparison> {
        match self {
            Self::Comparison(comparison) => Some(comparison),
            Self::Granularity(_) | Self::AaTest(_) => None,
        }
    }

    /// Prints the table, and the failures on standard error.
    pub(crate) fn show(&self, args: &Args) -> Outcome {
        let (table, failures, outcome) = match self {
            Self::AaTest(test) => (test.text(), Vec::new(), Outcome::Agree),
            Self::Granularity(sweep) => (sweep.text(), sweep.failures(), sweep.outcome()),
            Self::Comparison(found) if args.markdown => {
                (table::markdown(found), notes::failures(found), found.outcome(args.fail_on))
            }
            Self::Comparison(found) => {
                (table::text(found, table::width()), notes::failures(found), found.outcome(args.fail_on))
            }
        };
        if !args.is_piped() {
            out::print(format_args!("{table}\n"));
        }
        failures.iter().for_each(|failure| out::say(format_args!("{failure}\n")));
        outcome
    }
}

impl Comparison {
    fn outcome(&self, fail_on: Option<f64>) -> Outcome {
        let is_slower = |part| self.baseline.as_ref().is_some_and(|against| against.is_slower_by(part));
        let differs = |row: &Row| matches!(row.verdict, Verdict::Differs { .. });
        let failed = |row: &Row| !row.failures.is_empty();
        match &self.rows {
            rows if rows.iter().any(differs) => Outcome::Differ,
            rows if rows.iter().any(failed) => Outcome::Failed,
            _ if fail_on.is_some_and(is_slower) => Outcome::Slower,
            _ => Outcome::Agree,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::result::example;

    #[test]
    fn the_worst_of_all_workloads_counts() {
        let mut row = example::comparison();
        row.rows.truncate(4);
        let outcome = |comparison: &Comparison| comparison.outcome(Some(0.05));
        assert_eq!(outcome(&row), Outcome::Slower);
        row.rows[1].failures.push("Time round 1: signal: 11".to_owned());
        assert_eq!(outcome(&row), Outcome::Failed);
        assert_eq!(outcome(&example::comparison()), Outcome::Differ);
        let worst = [Outcome::Differ, Outcome::Failed, Outcome::Slower, Outcome::Agree].into_iter().max();
        assert_eq!(worst, Some(Outcome::Differ));
        assert_eq!([Outcome::Differ, Outcome::Failed, Outcome::Slower].map(Outcome::code), [3, 5, 6]);
    }

    #[test]
    fn a_slower_row_fails_only_with_fail_on() {
        let mut comparison = example::comparison();
        comparison.rows.truncate(4);
        assert_eq!(comparison.outcome(None), Outcome::Agree);
        assert_eq!(comparison.outcome(Some(0.07)), Outcome::Agree);
        assert_eq!(comparison.outcome(Some(0.05)), Outcome::Slower);
    }
}

//! `--aa N`: compares a program with itself, N times. Every difference that is found is a false
//! positive. Their number shows how far the machine and the statistics can be trusted.

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    compare::{
        measure::{rounds::measure, work::Work},
        plan::{effort::Effort, entrant::Entrant},
        result::{Estimate, Kind, Machine},
        stats::{estimate, paired::LEVEL},
        words::{percent, plural},
    },
    process::cancel::Cancel,
};

/// The result of an A/A test.
#[derive(Serialize)]
pub(crate) struct AaTest {
    pub workload: String,
    pub command: String,
    pub machine: Machine,
    /// The name of the program.
    pub name: String,
    pub rounds: usize,
    pub comparisons: Vec<Once>,
    /// Whether it was interrupted.
    pub partial: bool,
}

/// One comparison of the program with itself.
#[derive(Serialize)]
pub(crate) struct Once {
    /// Whether a difference was found.
    pub different: bool,
    /// The ratio of both times in the same round.
    pub ratio: Estimate,
}

/// Default number of rounds per comparison.
const ROUNDS: usize = 7;

/// Compares the entrant with itself `count` times, in timed rounds only.
pub(crate) fn aa_test(
    entrant: &Entrant,
    work: &Work<'_>,
    effort: &Effort,
    count: usize,
) -> Result<Vec<Once>> {
    let one = Entrant { kind: Kind::Reference, slow: false, ..entrant.clone() };
    let label = format!("{} again", entrant.label);
    let other = Entrant { kind: Kind::Model, label, slow: false, ..entrant.clone() };
    let work = Work { queries: &work.queries[..1], ..*work };
    let rounds = effort.rounds.or(std::num::NonZeroUsize::new(ROUNDS));
    let effort =
        Effort { rounds, memory_rounds: 0, stop_rounds: 0, empty_rounds: 0, service_rounds: 0, ..*effort };
    let both = [one, other];
    let mut all = Vec::new();
    while all.len() < count && !work.cancel.is_some_and(Cancel::is_requested) {
        let measured = measure(&both, &work, &effort)?;
        let row = &measured.rows[1];
        let ratio = row.speedup.with_context(|| format!("{}: {}", row.name, row.failures.join("; ")))?;
        all.push(Once { different: row.letters.is_empty(), ratio });
    }
    Ok(all)
}

impl AaTest {
    pub(crate) fn text(&self) -> String {
        let Self { workload, name, comparisons, rounds, machine, command, .. } = self;
        let error = |once: &Once| (once.ratio.median - 1.0).abs();
        let errors: Vec<f64> = comparisons.iter().map(error).collect();
        let different = comparisons.iter().filter(|once| once.different).count();
        let largest = errors.iter().copied().fold(0.0, f64::max);
        let partial = if self.partial { "PARTIAL  interrupted\n" } else { "" };
        format!(
            "{workload}: {name} compared with itself, {}, {} each\n\n\
             {partial}different {different} of {}, although there is no difference; {} are expected by chance\n\
             error     of the ratio: median {}, maximum {}\n\
             machine   {}\n\
             command   {command}",
            plural(comparisons.len(), "comparison"),
            plural(*rounds, "round"),
            comparisons.len(),
            percent(LEVEL),
            percent(estimate::median(&errors).unwrap_or(0.0)),
            percent(largest),
            machine.shown()
        )
    }

    /// The number of rounds per comparison.
    pub(crate) fn rounds(effort: &Effort) -> usize {
        effort.rounds.map_or(ROUNDS, std::num::NonZeroUsize::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::measure::fixtures;

    #[test]
    fn a_program_is_compared_with_itself_n_times() {
        let fixture = fixtures::Fixture::new();
        let found = aa_test(&fixture.right("itself"), &fixture.work(), &fixtures::effort(), 3).unwrap();
        assert_eq!(found.len(), 3);
        let test = AaTest {
            workload: "w".to_owned(),
            command: "c".to_owned(),
            machine: Machine::this(),
            name: "itself".to_owned(),
            rounds: 2,
            comparisons: found,
            partial: false,
        };
        assert!(test.text().starts_with("w: itself compared with itself, 3 comparisons, 2 rounds each\n"));
    }
}

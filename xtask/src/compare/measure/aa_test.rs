//! `--aa N`: a program against itself, many times. A difference that is found is an error, and
//! errors are counted: it is how far the machine and the statistics can be trusted.

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

/// What came of it.
#[derive(Serialize)]
pub(crate) struct AaTest {
    pub workload: String,
    pub command: String,
    pub machine: Machine,
    /// The program.
    pub name: String,
    pub rounds: usize,
    pub comparisons: Vec<Once>,
    /// Whether it was interrupted.
    pub partial: bool,
}

/// One comparison of the program with itself.
#[derive(Serialize)]
pub(crate) struct Once {
    /// Whether the two were called different.
    pub different: bool,
    /// The time of the one by that of the other, in the same round.
    pub ratio: Estimate,
}

/// How many rounds each comparison has by default.
const ROUNDS: usize = 7;

/// Compares the entrant with itself `count` times. Only timed rounds are of interest.
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
        let off = |once: &Once| (once.ratio.median - 1.0).abs();
        let offs: Vec<f64> = comparisons.iter().map(off).collect();
        let different = comparisons.iter().filter(|once| once.different).count();
        let most = offs.iter().copied().fold(0.0, f64::max);
        let partial = if self.partial { "PARTIAL  interrupted\n" } else { "" };
        format!(
            "{workload}: {name} against itself, {}, {} each\n\n\
             {partial}different {different} of {}, where there is no difference; {} of them would be by chance\n\
             off       by {} in the median, by {} at most\n\
             machine   {}\n\
             command   {command}",
            plural(comparisons.len(), "comparison"),
            plural(*rounds, "round"),
            comparisons.len(),
            percent(LEVEL),
            percent(estimate::median(&offs).unwrap_or(0.0)),
            percent(most),
            machine.shown()
        )
    }

    /// How many rounds each comparison has.
    pub(crate) fn rounds(effort: &Effort) -> usize {
        effort.rounds.map_or(ROUNDS, std::num::NonZeroUsize::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::measure::fixtures;

    #[test]
    fn a_program_is_compared_with_itself_so_many_times() {
        let place = fixtures::Place::new();
        let found = aa_test(&place.right("itself"), &place.work(), &fixtures::effort(), 3).unwrap();
        assert_eq!(found.len(), 3);
        let again = AaTest {
            workload: "w".to_owned(),
            command: "c".to_owned(),
            machine: Machine::this(),
            name: "itself".to_owned(),
            rounds: 2,
            comparisons: found,
            partial: false,
        };
        assert!(again.text().starts_with("w: itself against itself, 3 comparisons, 2 rounds each\n"));
    }
}

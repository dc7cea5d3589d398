//! Whether two rows differ, and how many rounds it takes to find that out.
//!
//! Two rows are compared round by round. A cause that slows a whole round (another tenant of the
//! machine, the processor's clock rate) affects both times, and their ratio stays the same. Ratios
//! multiply, so their logarithms are averaged and tested.

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

use crate::compare::{result::Estimate, stats::estimate};

/// The smallest difference that a comparison should find, as a fraction.
pub(crate) const MIN_DIFFERENCE: f64 = 0.03;

/// KillDescendants-wise significance level: the probability that any difference is claimed in a
/// table whose rows do not differ.
pub(crate) const LEVEL: f64 = 0.05;

/// Statistical power: the probability to find a difference that exists.
const POWER: f64 = 0.8;

/// Maximum number of rounds that is ever recommended; more would take too long to be useful.
const MAX_ROUNDS: usize = 10_000;

/// The logarithms of the ratios of two rows' times, one per round.
pub(crate) struct Paired {
    logs: Vec<f64>,
}

impl Paired {
    /// Pairs the rounds that both rows have. A round is a number, and a time in seconds.
    pub(crate) fn of(one: &[(usize, f64)], other: &[(usize, f64)]) -> Self {
        let partner = |round| other.iter().find(|(number, _)| *number == round).map(|(_, time)| *time);
        let logs = one.iter().filter_map(|(round, time)| Some((time / partner(*round)?).ln()));
        Self { logs: logs.filter(|log| log.is_finite()).collect() }
    }

    /// The median of the ratios, and its 95 % interval by bootstrap.
    pub(crate) fn ratio(&self) -> Option<Estimate> {
        let ratios: Vec<f64> = self.logs.iter().map(|log| log.exp()).collect();
        estimate::estimate(&ratios)
    }

    /// The two-sided p-value of Student's paired t-test: the probability of a difference at least
    /// as large if there is none. It is 1 after a single round.
    pub(crate) fn p(&self) -> f64 {
        let (mean, deviation) = self.moments();
        let Some(t) = self.distribution() else { return 1.0 };
        if deviation == 0.0 {
            return if mean == 0.0 { 1.0 } else { 0.0 };
        }
        let statistic = mean.abs() * (self.logs.len() as f64).sqrt() / deviation;
        2.0 * t.sf(statistic)
    }

    /// The number of rounds that finds a difference of this fraction, at this level, with the
    /// probability [`POWER`]. `None` if there are too few rounds to estimate it, or it would be
    /// more than [`MAX_ROUNDS`].
    ///
    /// The standard deviation of these rounds may underestimate the true one, so its upper
    /// confidence limit of 80 % is used (R. H. Browne, "On the use of a pilot sample for sample
    /// size determination", 1995).
    pub(crate) fn rounds_for(&self, difference: f64, level: f64) -> Option<usize> {
        let degrees = self.logs.len().checked_sub(1).filter(|degrees| *degrees > 0)? as f64;
        let chi = ChiSquared::new(degrees).ok()?.inverse_cdf(1.0 - POWER);
        let deviation = self.moments().1 * (degrees / chi).sqrt();
        let effect = difference.ln_1p() / deviation;
        let suffices = |rounds: usize| {
            let t = StudentsT::new(0.0, 1.0, (rounds - 1) as f64).expect("there is more than one round");
            let needed = t.inverse_cdf(1.0 - level / 2.0) + t.inverse_cdf(POWER);
            needed <= effect * (rounds as f64).sqrt()
        };
        // If a number of rounds suffices, so does every larger one: binary search finds the
        // smallest.
        if !suffices(MAX_ROUNDS) {
            return None;
        }
        let (mut low, mut high) = (1, MAX_ROUNDS);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if suffices(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }

    fn distribution(&self) -> Option<StudentsT> {
        let degrees = self.logs.len().checked_sub(1).filter(|degrees| *degrees > 0)?;
        StudentsT::new(0.0, 1.0, degrees as f64).ok()
    }

    /// The mean and the standard deviation.
    fn moments(&self) -> (f64, f64) {
        let count = self.logs.len() as f64;
        let mean = self.logs.iter().sum::<f64>() / count;
        let squares: f64 = self.logs.iter().map(|log| (log - mean).powi(2)).sum();
        (mean, (squares / (count - 1.0).max(1.0)).sqrt())
    }
}

/// Which differences are significant, by their p-values, so that the family-wise error rate is at
/// most `level` (Holm's procedure).
pub(crate) fn significant(ps: &[f64], level: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|one, other| ps[*one].total_cmp(&ps[*other]));
    let mut claimed = vec![false; ps.len()];
    for (nth, pair) in order.into_iter().enumerate() {
        if ps[pair] > level / (ps.len() - nth) as f64 {
            break;
        }
        claimed[pair] = true;
    }
    claimed
}

/// The groups of rows that cannot be told apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Groups {
    /// The letters of each row: two rows that share a letter cannot be told apart. (This is a
    /// compact letter display: each letter stands for a maximal group of rows of which no two
    /// differ.)
    pub letters: Vec<String>,
    /// The number of rounds that finds a difference of [`MIN_DIFFERENCE`] between any two rows;
    /// `None` if it cannot be estimated.
    pub rounds: Option<usize>,
}

/// Tests every pair of rows. A row has numbers of rounds, and times in seconds.
pub(crate) fn tell_apart(rows: &[Vec<(usize, f64)>]) -> Groups {
    let pairs: Vec<(usize, usize)> =
        (0..rows.len()).flat_map(|one| (one + 1..rows.len()).map(move |other| (one, other))).collect();
    let paired: Vec<Paired> =
        pairs.iter().map(|(one, other)| Paired::of(&rows[*one], &rows[*other])).collect();
    let ps: Vec<f64> = paired.iter().map(Paired::p).collect();
    let differ = significant(&ps, LEVEL);
    let differs = |one: usize, other: usize| {
        let pair = (one.min(other), one.max(other));
        pairs.iter().position(|candidate| *candidate == pair).is_some_and(|at| differ[at])
    };
    // Holm's procedure tests the smallest p-value at this level. It is the strictest one, so it
    // holds for every pair, regardless of the other p-values.
    let level = LEVEL / pairs.len().max(1) as f64;
    let rounds = paired.iter().map(|pair| pair.rounds_for(MIN_DIFFERENCE, level));
    let rounds: Option<Vec<usize>> = rounds.collect();
    Groups {
        letters: letters(rows.len(), differs),
        rounds: rounds.and_then(|rounds| rounds.into_iter().max()),
    }
}

/// One letter for each maximal group of at least two rows of which no two differ.
fn letters(rows: usize, differs: impl Fn(usize, usize) -> bool) -> Vec<String> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for row in 0..rows {
        // Each group with this row added, without the rows that it differs from.
        let with_row = |group: &Vec<usize>| {
            let fits = group.iter().copied().filter(|other| !differs(*other, row));
            fits.chain([row]).collect::<Vec<_>>()
        };
        let mut more: Vec<Vec<usize>> = groups.iter().map(with_row).chain([vec![row]]).collect();
        groups.append(&mut more);
        let all = groups.clone();
        let is_part = |one: &[usize], other: &[usize]| one.iter().all(|row| other.contains(row));
        let mut nth = 0;
        groups.retain(|group| {
            nth += 1;
            !all.iter()
                .enumerate()
                .any(|(at, other)| is_part(group, other) && (other.len() > group.len() || at < nth - 1))
        });
    }
    groups.retain(|group| group.len() > 1);
    groups.sort();
    let letter = |nth: usize| char::from(b'a' + (nth % 26) as u8);
    let of = |row: usize| {
        let within = groups.iter().enumerate().filter(|(_, group)| group.contains(&row));
        within.map(|(nth, _)| letter(nth)).collect()
    };
    (0..rows).map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use fastrand::Rng;

    use super::*;

    /// A simulated machine: some rounds are slow as a whole, each time has a small error, and a few
    /// times have a large one.
    struct Machine(Rng);

    impl Machine {
        fn normal(&mut self) -> f64 {
            (-2.0 * (1.0 - self.0.f64()).ln()).sqrt() * (TAU * self.0.f64()).cos()
        }

        fn time(&mut self, true_time: f64, round: f64) -> f64 {
            let disturbed = if self.0.u8(..100) == 0 { 1.1 } else { 1.0 };
            true_time * round * disturbed * (0.02 * self.normal()).exp()
        }

        /// `count` rounds of two rows, of which the first takes `ratio` times as long.
        fn rounds(&mut self, ratio: f64, count: usize) -> Paired {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            for nth in 0..count {
                let round = (0.1 * self.normal()).exp();
                one.push((nth, self.time(ratio, round)));
                other.push((nth, self.time(1.0, round)));
            }
            Paired::of(&one, &other)
        }
    }

    fn paired(logs: &[f64]) -> Paired {
        Paired { logs: logs.to_vec() }
    }

    #[test]
    fn the_t_test_agrees_with_published_values() {
        // Student's sleep data, the differences: t = 4.0621 with 9 degrees of freedom, p =
        // 0.002833.
        let differences = paired(&[1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]);
        assert!((differences.p() - 0.002_833).abs() < 1e-6, "{}", differences.p());
        assert_eq!(paired(&[1.0]).p(), 1.0);
        assert_eq!(paired(&[]).p(), 1.0);
        assert_eq!(paired(&[0.0, 0.0]).p(), 1.0);
        assert_eq!(paired(&[0.5, 0.5]).p(), 0.0);
    }

    #[test]
    fn rounds_are_paired_by_their_numbers() {
        let paired = Paired::of(&[(0, 2.0), (1, 3.0), (3, 8.0)], &[(1, 1.5), (2, 9.0), (3, 4.0)]);
        assert_eq!(paired.logs, [2.0_f64.ln(), 2.0_f64.ln()]);
        assert_eq!(paired.ratio().map(|ratio| (ratio.low, ratio.high)), Some((2.0, 2.0)));
    }

    #[test]
    fn holm_finds_at_least_what_bonferroni_finds() {
        assert_eq!(significant(&[0.01, 0.04, 0.03, 0.005], 0.05), [true, false, false, true]);
        assert_eq!(significant(&[0.02, 0.02], 0.05), [true, true]);
        assert_eq!(significant(&[0.026, 0.04], 0.05), [false, false]);
        assert!(significant(&[], 0.05).is_empty());
    }

    #[test]
    fn equal_rows_are_rarely_called_different() {
        let mut machine = Machine(Rng::with_seed(1));
        for count in [5, 7, 15] {
            let claims = (0..2000).filter(|_| machine.rounds(1.0, count).p() <= LEVEL).count();
            assert!(claims <= 130, "{claims} of 2000 with {count} rounds");
        }
    }

    #[test]
    fn a_difference_is_found_with_the_recommended_number_of_rounds() {
        let mut machine = Machine(Rng::with_seed(2));
        for (pilot, level) in [(5, LEVEL), (10, LEVEL), (10, LEVEL / 28.0)] {
            let found = (0..500).filter(|_| {
                let rounds = machine
                    .rounds(1.0, pilot)
                    .rounds_for(MIN_DIFFERENCE, level)
                    .expect("there are enough rounds");
                machine.rounds(1.0 + MIN_DIFFERENCE, rounds).p() <= level
            });
            let found = found.count();
            assert!(found >= 400, "{found} of 500 after {pilot} rounds, at {level}");
        }
    }

    #[test]
    fn too_few_rounds_give_no_recommendation() {
        assert_eq!(paired(&[0.1]).rounds_for(MIN_DIFFERENCE, LEVEL), None);
        assert_eq!(paired(&[9.0, -9.0, 9.0]).rounds_for(MIN_DIFFERENCE, LEVEL), None);
        assert_eq!(paired(&[0.1, 0.1, 0.1]).rounds_for(MIN_DIFFERENCE, LEVEL), Some(2));
    }

    #[test]
    fn rows_that_cannot_be_told_apart_share_a_letter() {
        // Each row differs from those that are at least two positions away.
        let far = |one: usize, other: usize| one.abs_diff(other) > 1;
        assert_eq!(letters(4, far), ["a", "ab", "bc", "c"]);
        assert_eq!(letters(3, |_, _| false), ["a", "a", "a"]);
        assert_eq!(letters(3, |_, _| true), ["", "", ""]);
        assert_eq!(letters(4, |one, other| (one < 2) != (other < 2)), ["a", "a", "b", "b"]);
        assert!(letters(0, far).is_empty());
    }

    #[test]
    fn a_table_of_equal_rows_and_a_slower_one() {
        let mut machine = Machine(Rng::with_seed(3));
        let mut rows = vec![Vec::new(); 4];
        for round in 0..15 {
            let all = (0.1 * machine.normal()).exp();
            for (row, time) in rows.iter_mut().zip([1.0, 1.0, 1.0, 1.3]) {
                row.push((round, machine.time(time, all)));
            }
        }
        let groups = tell_apart(&rows);
        assert_eq!(groups.letters, ["a", "a", "a", ""]);
        assert!(groups.rounds.is_some_and(|rounds| (5..200).contains(&rounds)), "{groups:?}");
        assert_eq!(tell_apart(&rows[..1]), Groups { letters: vec![String::new()], rounds: None });
    }

    #[test]
    fn in_a_table_of_equal_rows_a_difference_is_rarely_found() {
        let mut machine = Machine(Rng::with_seed(4));
        let claims = (0..500).filter(|_| {
            let mut rows = vec![Vec::new(); 6];
            for round in 0..7 {
                let all = (0.1 * machine.normal()).exp();
                rows.iter_mut().for_each(|row| row.push((round, machine.time(1.0, all))));
            }
            tell_apart(&rows).letters != ["a"; 6]
        });
        let claims = claims.count();
        assert!(claims <= 40, "{claims} of 500 tables");
    }
}

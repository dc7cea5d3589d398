//! Whether one row takes longer than another, and how many rounds it takes to tell.
//!
//! Two rows are compared round by round. What makes a whole round slow (another tenant, the clock
//! of the processor) is in both times and leaves their ratio as it is. Ratios multiply, so it is
//! their logarithms that are averaged and tested.

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

use crate::compare::{result::Estimate, stats::estimate};

/// A difference that is worth knowing of.
pub(crate) const WORTH: f64 = 0.03;

/// So often a difference is claimed where there is none, among all pairs of a table.
pub(crate) const LEVEL: f64 = 0.05;

/// So often a difference that is there is to be found.
const POWER: f64 = 0.8;

/// More rounds than these are never asked for.
const MOST: usize = 10_000;

/// The times of one row relative to another's, round by round.
pub(crate) struct Paired {
    logs: Vec<f64>,
}

impl Paired {
    /// Of the rounds that both have gone through. A round is a number, and a time in seconds.
    pub(crate) fn of(one: &[(usize, f64)], other: &[(usize, f64)]) -> Self {
        let partner = |round| other.iter().find(|(number, _)| *number == round).map(|(_, time)| *time);
        let logs = one.iter().filter_map(|(round, time)| Some((time / partner(*round)?).ln()));
        Self { logs: logs.filter(|log| log.is_finite()).collect() }
    }

    /// How many times as long the one takes: the median of the ratios, and its 95 % interval by
    /// bootstrap.
    pub(crate) fn ratio(&self) -> Option<Estimate> {
        let ratios: Vec<f64> = self.logs.iter().map(|log| log.exp()).collect();
        estimate::estimate(&ratios)
    }

    /// How likely a difference as large as this one is where there is none: Student's t-test of
    /// paired samples, two-sided. Nothing is unlikely after a single round.
    pub(crate) fn p(&self) -> f64 {
        let (mean, deviation) = self.moments();
        let Some(t) = self.distribution() else { return 1.0 };
        if deviation == 0.0 {
            return if mean == 0.0 { 1.0 } else { 0.0 };
        }
        let statistic = mean.abs() * (self.logs.len() as f64).sqrt() / deviation;
        2.0 * t.sf(statistic)
    }

    /// How many rounds it takes to find a difference of so much, at this level, in four of five
    /// comparisons. None if these are too few to say, or it would take thousands.
    ///
    /// The deviation that was seen may be smaller than it really is. Its upper limit of 80 % takes
    /// its place (R. H. Browne, "On the use of a pilot sample for sample size determination",
    /// 1995).
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
        // It gets easier with every round, so the least number can be halved towards.
        if !suffices(MOST) {
            return None;
        }
        let (mut low, mut high) = (1, MOST);
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

    /// Mean, and standard deviation.
    fn moments(&self) -> (f64, f64) {
        let count = self.logs.len() as f64;
        let mean = self.logs.iter().sum::<f64>() / count;
        let squares: f64 = self.logs.iter().map(|log| (log - mean).powi(2)).sum();
        (mean, (squares / (count - 1.0).max(1.0)).sqrt())
    }
}

/// Which of these differences may be claimed so that none is wrong, at this level, of all together
/// (Holm's procedure).
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

/// What a table says of which rows can be told apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Groups {
    /// For each row its letters: two that have one in common cannot be told apart. (A compact
    /// letter display; a letter is a largest group of rows of which no two differ.)
    pub letters: Vec<String>,
    /// How many rounds it takes to tell any two rows apart whose times differ by [`WORTH`]. None if
    /// it cannot be said.
    pub rounds: Option<usize>,
}

/// Compares each row with every other. A row is its rounds, by number, and its times in seconds.
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
    // The first to be claimed has to be the least likely one: that is the level for each if nothing
    // is known of the others.
    let level = LEVEL / pairs.len().max(1) as f64;
    let rounds = paired.iter().map(|pair| pair.rounds_for(WORTH, level));
    let rounds: Option<Vec<usize>> = rounds.collect();
    Groups {
        letters: letters(rows.len(), differs),
        rounds: rounds.and_then(|rounds| rounds.into_iter().max()),
    }
}

/// A letter for each largest group of rows of which no two differ, and which are more than one.
fn letters(rows: usize, differs: impl Fn(usize, usize) -> bool) -> Vec<String> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for row in 0..rows {
        // Each group with this row in it, without those that it differs from.
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

    /// Rounds on a machine as they are: some are slow as a whole, each time is a little off, and
    /// now and then one is far off.
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
    fn the_test_gives_the_answers_of_the_tables() {
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
    fn holm_claims_what_bonferroni_does_and_then_some() {
        assert_eq!(significant(&[0.01, 0.04, 0.03, 0.005], 0.05), [true, false, false, true]);
        assert_eq!(significant(&[0.02, 0.02], 0.05), [true, true]);
        assert_eq!(significant(&[0.026, 0.04], 0.05), [false, false]);
        assert!(significant(&[], 0.05).is_empty());
    }

    #[test]
    fn equal_rows_are_seldom_called_different() {
        let mut machine = Machine(Rng::with_seed(1));
        for count in [5, 7, 15] {
            let claims = (0..2000).filter(|_| machine.rounds(1.0, count).p() <= LEVEL).count();
            assert!(claims <= 130, "{claims} of 2000 with {count} rounds");
        }
    }

    #[test]
    fn a_difference_is_found_with_the_number_of_rounds_that_was_said() {
        let mut machine = Machine(Rng::with_seed(2));
        for (pilot, level) in [(5, LEVEL), (10, LEVEL), (10, LEVEL / 28.0)] {
            let found = (0..500).filter(|_| {
                let rounds = machine.rounds(1.0, pilot).rounds_for(WORTH, level).expect("it can be said");
                machine.rounds(1.0 + WORTH, rounds).p() <= level
            });
            let found = found.count();
            assert!(found >= 400, "{found} of 500 after {pilot} rounds, at {level}");
        }
    }

    #[test]
    fn too_few_rounds_say_nothing_of_how_many_it_takes() {
        assert_eq!(paired(&[0.1]).rounds_for(WORTH, LEVEL), None);
        assert_eq!(paired(&[9.0, -9.0, 9.0]).rounds_for(WORTH, LEVEL), None);
        assert_eq!(paired(&[0.1, 0.1, 0.1]).rounds_for(WORTH, LEVEL), Some(2));
    }

    #[test]
    fn rows_that_cannot_be_told_apart_have_a_letter_in_common() {
        // Each differs from those that are two or more places away.
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
        let told = tell_apart(&rows);
        assert_eq!(told.letters, ["a", "a", "a", ""]);
        assert!(told.rounds.is_some_and(|rounds| (5..200).contains(&rounds)), "{told:?}");
        assert_eq!(tell_apart(&rows[..1]), Groups { letters: vec![String::new()], rounds: None });
    }

    #[test]
    fn of_a_table_of_equal_rows_seldom_a_pair_is_called_different() {
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

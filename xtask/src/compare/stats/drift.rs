//! Drift: whether the machine became slower or faster over the rounds.

use crate::compare::{result::Drift, stats::estimate};

/// Significance level: the probability to report a drift if there is none.
const LEVEL: f64 = 0.05;
/// Number of random permutations of the rounds for the test.
const SHUFFLES: usize = 5000;

/// The drift of these rows; each has numbers of rounds, and times in seconds. `None` for fewer than
/// four rounds: they have so few permutations that none is significant.
///
/// A round's level is the mean of the logarithms of its times, from each of which the mean of its
/// own row is subtracted. A row without a time in some round therefore does not distort the levels.
pub(crate) fn drift(rows: &[Vec<(usize, f64)>]) -> Option<Drift> {
    let levels = levels(rows);
    if levels.len() < 4 {
        return None;
    }
    let p = p(&levels);
    let rounds = (levels.len() - 1) as f64;
    let change = (slope(&levels)? * rounds).exp_m1();
    Some(Drift { change, p, found: p <= LEVEL })
}

fn levels(rows: &[Vec<(usize, f64)>]) -> Vec<f64> {
    let rounds = rows.iter().flatten().map(|(round, _)| round + 1).max().unwrap_or(0);
    let mut all = vec![Vec::new(); rounds];
    for row in rows {
        let mean = row.iter().map(|(_, time)| time.ln()).sum::<f64>() / row.len() as f64;
        row.iter().for_each(|(round, time)| all[*round].push(time.ln() - mean));
    }
    let mean = |round: &Vec<f64>| round.iter().sum::<f64>() / round.len() as f64;
    all.iter().filter(|round| !round.is_empty()).map(mean).collect()
}

/// The Theil-Sen slope: the median of the slopes between any two rounds.
fn slope(levels: &[f64]) -> Option<f64> {
    let slopes = pairs(levels.len()).map(|(one, other)| (levels[other] - levels[one]) / (other - one) as f64);
    estimate::median(&slopes.collect::<Vec<_>>())
}

/// The p-value of the Mann-Kendall test: the fraction of random orders with a trend that is at
/// least as strong.
fn p(levels: &[f64]) -> f64 {
    // A fixed seed, so that the same rounds always give the same result.
    let mut rng = fastrand::Rng::with_seed(95);
    let seen = trend(levels);
    let mut shuffled = levels.to_vec();
    let as_strong = (0..SHUFFLES).filter(|_| {
        rng.shuffle(&mut shuffled);
        trend(&shuffled) >= seen
    });
    (as_strong.count() + 1) as f64 / (SHUFFLES + 1) as f64
}

/// The absolute value of Kendall's S: the number of pairs of rounds that rise minus the number of
/// pairs that fall.
fn trend(levels: &[f64]) -> i64 {
    let sign = |(one, other): (usize, usize)| match levels[other].total_cmp(&levels[one]) {
        std::cmp::Ordering::Less => -1,
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Greater => 1,
    };
    pairs(levels.len()).map(sign).sum::<i64>().abs()
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |one| (one + 1..count).map(move |other| (one, other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, per_round: f64, noise: f64, rng: &mut fastrand::Rng) -> Vec<Vec<(usize, f64)>> {
        let mut time = |round: usize| (1.0 + per_round * round as f64) * (1.0 + noise * (rng.f64() - 0.5));
        (0..4).map(|_| (0..count).map(|round| (round, time(round))).collect()).collect()
    }

    #[test]
    fn a_drift_is_found() {
        let mut rng = fastrand::Rng::with_seed(1);
        let found = drift(&rows(10, 0.01, 0.02, &mut rng)).unwrap();
        assert!(found.found && (0.06..0.12).contains(&found.change), "{found:?}");
        let faster = drift(&rows(10, -0.01, 0.02, &mut rng)).unwrap();
        assert!(faster.found && faster.change < 0.0, "{faster:?}");
    }

    #[test]
    fn a_steady_machine_rarely_gives_a_drift() {
        let mut rng = fastrand::Rng::with_seed(2);
        let claims = (0..200).filter(|_| drift(&rows(7, 0.0, 0.1, &mut rng)).unwrap().found).count();
        assert!(claims <= 20, "{claims} of 200");
    }

    #[test]
    fn neither_one_slow_round_nor_a_missing_one_is_a_drift() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut rows = rows(9, 0.0, 0.01, &mut rng);
        rows.iter_mut().for_each(|row| row[4].1 *= 3.0);
        assert!(!drift(&rows).unwrap().found);
        rows[0].remove(6);
        assert!(!drift(&rows).unwrap().found);
    }

    #[test]
    fn too_few_rounds_give_no_result() {
        assert_eq!(drift(&[vec![(0, 1.0), (1, 2.0), (2, 3.0)]]), None);
        assert_eq!(drift(&[]), None);
    }

    #[test]
    fn the_test_agrees_with_known_values() {
        // Kendall's S of seven rounds that rise all the way is 21; 2 of 5040 orders are as strong.
        let levels: Vec<f64> = (0..7).map(f64::from).collect();
        assert_eq!(trend(&levels), 21);
        assert!(p(&levels) < 0.003, "{}", p(&levels));
        assert_eq!(slope(&levels), Some(1.0));
    }
}

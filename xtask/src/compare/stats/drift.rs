//! Whether the machine became slower or faster while the rounds went by.

use crate::compare::{result::Drift, stats::estimate};

/// A drift is claimed where there is none no more often than this.
const LEVEL: f64 = 0.05;
/// How often the rounds are shuffled.
const SHUFFLES: usize = 5000;

/// The drift of these rows: rounds, by number, and times in seconds. None from fewer than four
/// rounds, of which no order is seldom.
///
/// A round's level is the mean of its rows' logarithms, each without its own row's mean, so that a
/// row which lacks a round changes nothing.
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

/// The median of the slopes between any two rounds.
fn slope(levels: &[f64]) -> Option<f64> {
    let slopes = pairs(levels.len()).map(|(one, other)| (levels[other] - levels[one]) / (other - one) as f64);
    estimate::median(&slopes.collect::<Vec<_>>())
}

fn p(levels: &[f64]) -> f64 {
    // A fixed seed: the same rounds always give the same answer.
    let mut rng = fastrand::Rng::with_seed(95);
    let seen = trend(levels);
    let mut shuffled = levels.to_vec();
    let as_strong = (0..SHUFFLES).filter(|_| {
        rng.shuffle(&mut shuffled);
        trend(&shuffled) >= seen
    });
    (as_strong.count() + 1) as f64 / (SHUFFLES + 1) as f64
}

/// How far the pairs of rounds that rise outnumber those that fall, or the other way round
/// (Kendall's S).
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
    fn a_machine_that_becomes_slower_is_seen() {
        let mut rng = fastrand::Rng::with_seed(1);
        let found = drift(&rows(10, 0.01, 0.02, &mut rng)).unwrap();
        assert!(found.found && (0.06..0.12).contains(&found.change), "{found:?}");
        let faster = drift(&rows(10, -0.01, 0.02, &mut rng)).unwrap();
        assert!(faster.found && faster.change < 0.0, "{faster:?}");
    }

    #[test]
    fn a_steady_machine_is_seldom_said_to_drift() {
        let mut rng = fastrand::Rng::with_seed(2);
        let claims = (0..200).filter(|_| drift(&rows(7, 0.0, 0.1, &mut rng)).unwrap().found).count();
        assert!(claims <= 20, "{claims} of 200");
    }

    #[test]
    fn one_slow_round_is_no_trend_and_a_missing_one_changes_nothing() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut rows = rows(9, 0.0, 0.01, &mut rng);
        rows.iter_mut().for_each(|row| row[4].1 *= 3.0);
        assert!(!drift(&rows).unwrap().found);
        rows[0].remove(6);
        assert!(!drift(&rows).unwrap().found);
    }

    #[test]
    fn few_rounds_say_nothing() {
        assert_eq!(drift(&[vec![(0, 1.0), (1, 2.0), (2, 3.0)]]), None);
        assert_eq!(drift(&[]), None);
    }

    #[test]
    fn the_answers_of_a_table() {
        // Kendall's S of seven rounds that rise all the way is 21; 2 of 5040 orders are as strong.
        let levels: Vec<f64> = (0..7).map(f64::from).collect();
        assert_eq!(trend(&levels), 21);
        assert!(p(&levels) < 0.003, "{}", p(&levels));
        assert_eq!(slope(&levels), Some(1.0));
    }
}

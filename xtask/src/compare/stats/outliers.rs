//! Rounds that took far longer, or far less long, than the others of their row.
//!
//! They are named and stay in: the medians hardly feel them, and a figure without them would be a
//! wish.

use statrs::statistics::{Data, OrderStatistics};

use crate::compare::result::Outlier;

/// Tukey's fences: how far beyond the quartiles, in distances of these ("Exploratory Data
/// Analysis", 1977).
const INNER: f64 = 1.5;
const OUTER: f64 = 3.0;
/// A tenth of a percent is never far, however well the others agree.
const NEGLIGIBLE: f64 = 1e-3;

/// The outliers among the rounds, by number, and their times in seconds. Among fewer than five none
/// can be told.
pub(crate) fn outliers(times: &[(usize, f64)]) -> Vec<Outlier> {
    if times.len() < 5 {
        return Vec::new();
    }
    let mut data = Data::new(times.iter().map(|(_, time)| *time).collect::<Vec<_>>());
    let (low, high) = (data.lower_quartile(), data.upper_quartile());
    let distance = (high - low).max(data.median() * NEGLIGIBLE);
    let beyond = |time: f64, fence: f64| time < low - fence * distance || time > high + fence * distance;
    let outside = times.iter().filter(|(_, time)| beyond(*time, INNER));
    outside.map(|(round, time)| Outlier { round: *round, wall_s: *time, far: beyond(*time, OUTER) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(times: &[f64]) -> Vec<(usize, f64)> {
        times.iter().copied().enumerate().collect()
    }

    #[test]
    fn a_round_far_off_is_named() {
        let found = outliers(&rounds(&[1.0, 1.01, 0.99, 1.02, 5.0, 1.0, 0.98]));
        assert_eq!(found, [Outlier { round: 4, wall_s: 5.0, far: true }]);
        let found = outliers(&rounds(&[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 2.4]));
        assert_eq!(found.iter().map(|one| (one.round, one.far)).collect::<Vec<_>>(), [(6, false)]);
    }

    #[test]
    fn times_that_agree_or_are_few_have_none() {
        assert!(outliers(&rounds(&[1.0; 9])).is_empty());
        assert!(outliers(&rounds(&[1.0, 1.0, 1.0, 1.0, 1.0005])).is_empty());
        assert!(outliers(&rounds(&[1.0, 1.0, 1.0, 9.0])).is_empty());
        assert!(outliers(&[]).is_empty());
    }
}

//! Outliers: rounds that took far more or far less time than the others of their row.
//!
//! They are reported, but not removed: the median hardly depends on them, and removing measurements
//! would bias the figures.

use statrs::statistics::{Data, OrderStatistics};

use crate::compare::result::Outlier;

/// Tukey's fences: their distance from the quartiles, in multiples of the interquartile range
/// ("Exploratory Data Analysis", 1977).
const INNER: f64 = 1.5;
const OUTER: f64 = 3.0;
/// Minimum interquartile range, as a fraction of the median: if all other times are nearly equal, a
/// difference of a tenth of a percent is still not an outlier.
const NEGLIGIBLE: f64 = 1e-3;

/// The outliers among these rounds, which have numbers and times in seconds. Fewer than five rounds
/// have none.
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
    fn a_round_with_a_very_different_time_is_an_outlier() {
        let found = outliers(&rounds(&[1.0, 1.01, 0.99, 1.02, 5.0, 1.0, 0.98]));
        assert_eq!(found, [Outlier { round: 4, wall_s: 5.0, far: true }]);
        let found = outliers(&rounds(&[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 2.4]));
        assert_eq!(found.iter().map(|one| (one.round, one.far)).collect::<Vec<_>>(), [(6, false)]);
    }

    #[test]
    fn similar_times_or_few_rounds_have_no_outliers() {
        assert!(outliers(&rounds(&[1.0; 9])).is_empty());
        assert!(outliers(&rounds(&[1.0, 1.0, 1.0, 1.0, 1.0005])).is_empty());
        assert!(outliers(&rounds(&[1.0, 1.0, 1.0, 9.0])).is_empty());
        assert!(outliers(&[]).is_empty());
    }
}

//! Medians and their confidence intervals.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::compare::result::Estimate;

impl Estimate {
    /// Whether there is an interval: a single sample has none.
    pub(crate) fn has_interval(&self) -> bool {
        self.low < self.high
    }
}

/// Number of bootstrap resamples.
const RESAMPLES: usize = 5000;
/// Probability that the interval does not contain the true median.
const ALPHA: f64 = 0.05;

/// The median of the samples, and its 95 % interval by bootstrap: the range of the medians of
/// resamples, which are drawn from the samples with replacement. The bootstrap assumes no
/// particular distribution; run times do not follow a standard one.
///
/// With few samples, the central 95 % of these medians are too narrow an interval, just as an
/// interval from the normal distribution is narrower than one from Student's t. The expanded
/// percentile interval corrects this: it uses a larger fraction of the medians (T. Hesterberg,
/// "What Teachers Should Know about the Bootstrap", 2015).
pub(crate) fn estimate(samples: &[f64]) -> Option<Estimate> {
    let median = median(samples)?;
    // A fixed seed, so that the same samples always give the same interval.
    let mut rng = fastrand::Rng::with_seed(95);
    let mut draw = || {
        let drawn: Vec<f64> = samples.iter().map(|_| samples[rng.usize(..samples.len())]).collect();
        self::median(&drawn).expect("there is at least one sample")
    };
    let mut medians: Vec<f64> = (0..RESAMPLES).map(|_| draw()).collect();
    medians.sort_by(f64::total_cmp);
    let tail = (RESAMPLES as f64 * tail(samples.len())) as usize;
    Some(Estimate { median, low: medians[tail], high: medians[RESAMPLES - 1 - tail] })
}

/// The fraction of the medians that lie below the interval.
fn tail(samples: usize) -> f64 {
    let count = samples as f64;
    let Ok(t) = StudentsT::new(0.0, 1.0, count - 1.0) else { return 0.0 };
    let z = t.inverse_cdf(ALPHA / 2.0) * (count / (count - 1.0)).sqrt();
    Normal::standard().cdf(z)
}

/// The middle sample, or the mean of the two in the middle.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_no_samples() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(estimate(&[]), None);
    }

    #[test]
    fn equal_samples_give_an_interval_without_width() {
        assert_eq!(estimate(&[5.0; 9]), Some(Estimate { median: 5.0, low: 5.0, high: 5.0 }));
    }

    #[test]
    fn the_interval_of_known_data() {
        // For 1..=101 the median's 95 % interval is, by order statistics, about the 41st to the
        // 61st sample.
        let samples: Vec<f64> = (1..=101).map(f64::from).collect();
        let Estimate { median, low, high } = estimate(&samples).unwrap();
        assert_eq!(median, 51.0);
        assert!((39.0..=43.0).contains(&low) && (59.0..=63.0).contains(&high), "{low} {high}");
    }

    #[test]
    fn the_interval_contains_the_true_median_in_95_of_100_cases() {
        let mut rng = fastrand::Rng::with_seed(5);
        for count in [5, 7, 10, 25] {
            // The sum of twelve uniform numbers is approximately normal.
            let mut sample = || (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
            let holds = (0..200).filter(|_| {
                let samples: Vec<f64> = (0..count).map(|_| sample()).collect();
                estimate(&samples).is_some_and(|it| it.low <= 0.0 && 0.0 <= it.high)
            });
            let holds = holds.count();
            assert!(holds >= 184, "{holds} of 200 with {count} samples");
        }
    }

    #[test]
    fn one_outlier_changes_neither_the_median_nor_the_interval() {
        let mut samples = vec![1.0; 20];
        samples.push(1000.0);
        assert_eq!(estimate(&samples).unwrap().high, 1.0);
    }
}

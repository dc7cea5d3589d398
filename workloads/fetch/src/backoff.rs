//! The wait before a retry: exponential backoff with full jitter, so that requests that failed
//! together are not retried together (AWS Architecture Blog, "Exponential Backoff And Jitter",
//! 2015).

use std::time::Duration;

/// Maximum wait after the first failure. It doubles with each further failure.
const FIRST_MAX: Duration = Duration::from_millis(250);
const MAX: Duration = Duration::from_secs(30);

/// The wait for this resource after this many failures. The same seed gives the same waits.
pub(super) fn wait(seed: u64, index: usize, failures: u32) -> Duration {
    let most = FIRST_MAX.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(MAX);
    let stream = seed ^ (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(failures) << 56;
    most.mul_f64(fastrand::Rng::with_seed(stream).f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_limit_and_are_spread_evenly() {
        for (failures, most) in [(1, 0.25), (2, 0.5), (3, 1.0), (8, 30.0), (u32::MAX, 30.0)] {
            let waits: Vec<f64> = (0..2000).map(|index| wait(7, index, failures).as_secs_f64()).collect();
            assert!(waits.iter().all(|wait| (0.0..=most).contains(wait)));
            let mean = waits.iter().sum::<f64>() / 2000.0;
            assert!((mean / most - 0.5).abs() < 0.05, "after {failures}: {mean}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_waits() {
        assert_eq!(wait(1, 2, 3), wait(1, 2, 3));
        assert_ne!(wait(1, 2, 3), wait(2, 2, 3));
    }
}

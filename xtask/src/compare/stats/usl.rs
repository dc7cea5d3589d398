//! The Universal Scalability Law: how contention and coherency limit the gain from more workers
//! (N. J. Gunther, "Guerrilla Capacity Planning", 2007).

use crate::compare::result::Usl;

/// Minimum number of different counts for a fit. The law has three parameters, so it fits any three
/// counts exactly, and four are hardly a test.
pub(crate) const COUNTS: usize = 5;

impl Usl {
    /// Fits the law to throughputs by number of workers. `None` for fewer than [`COUNTS`] counts.
    ///
    /// `n / throughput` is linear in the three parameters, so linear least squares give the
    /// solution. The squares are those of relative errors.
    pub(crate) fn fit(points: &[(usize, f64)]) -> Option<Self> {
        let mut counts: Vec<usize> = points.iter().map(|(count, _)| *count).collect();
        counts.sort_unstable();
        counts.dedup();
        if counts.len() < COUNTS {
            return None;
        }
        let mut normal = [[0.0; 4]; 3];
        for (count, throughput) in points {
            let n = *count as f64;
            let value = n / throughput;
            let row = [1.0, n - 1.0, n * (n - 1.0)].map(|term| term / value);
            for (i, line) in normal.iter_mut().enumerate() {
                for (j, cell) in line.iter_mut().enumerate() {
                    *cell += row[i] * if j < 3 { row[j] } else { 1.0 };
                }
            }
        }
        let [one, contention, coherency] = solve(normal)?;
        let mut usl =
            Self { rate: 1.0 / one, contention: contention / one, coherency: coherency / one, error: 0.0 };
        let off = points.iter().map(|(count, throughput)| (usl.at(*count) / throughput - 1.0).powi(2));
        usl.error = (off.sum::<f64>() / points.len() as f64).sqrt();
        Some(usl)
    }

    /// The throughput that the law predicts for this number of workers.
    pub(crate) fn at(&self, count: usize) -> f64 {
        let n = count as f64;
        self.rate * n / (1.0 + self.contention * (n - 1.0) + self.coherency * n * (n - 1.0))
    }
}

/// Solves three linear equations by Gauss-Jordan elimination. The last number of each line is the
/// right-hand side.
fn solve(mut lines: [[f64; 4]; 3]) -> Option<[f64; 3]> {
    for at in 0..3 {
        let pivot = (at..3).max_by(|one, other| lines[*one][at].abs().total_cmp(&lines[*other][at].abs()))?;
        lines.swap(at, pivot);
        if lines[at][at].abs() < 1e-12 {
            return None;
        }
        for other in (0..3).filter(|other| *other != at) {
            let factor = lines[other][at] / lines[at][at];
            let line = lines[at];
            lines[other].iter_mut().zip(line).for_each(|(cell, above)| *cell -= factor * above);
        }
    }
    Some([0, 1, 2].map(|at| lines[at][3] / lines[at][at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_finds_the_parameters_of_exact_points() {
        let law = Usl { rate: 12.0, contention: 0.03, coherency: 0.000_5, error: 0.0 };
        let points: Vec<_> = [1, 2, 4, 8, 16, 32].map(|n| (n, law.at(n))).to_vec();
        let fitted = Usl::fit(&points).unwrap();
        for (one, other) in [
            (fitted.rate, law.rate),
            (fitted.contention, law.contention),
            (fitted.coherency, law.coherency),
            (fitted.error, 0.0),
        ] {
            assert!((one - other).abs() < 1e-6, "{fitted:?}");
        }
    }

    #[test]
    fn noise_is_in_the_error() {
        let law = Usl { rate: 1.0, contention: 0.05, coherency: 0.001, error: 0.0 };
        let off = [1.02, 0.97, 1.01, 0.99, 1.03, 0.98];
        let points: Vec<_> =
            [1, 2, 3, 4, 6, 8].into_iter().zip(off).map(|(n, off)| (n, law.at(n) * off)).collect();
        let fitted = Usl::fit(&points).unwrap();
        assert!((0.005..0.03).contains(&fitted.error), "{fitted:?}");
        assert!((fitted.contention - law.contention).abs() < 0.1, "{fitted:?}");
    }

    #[test]
    fn too_few_counts_give_no_fit() {
        let points = [(1, 1.0), (2, 1.9), (4, 3.5), (8, 6.0)];
        assert_eq!(Usl::fit(&points), None);
        assert_eq!(Usl::fit(&[points[0]; 9]), None);
    }
}

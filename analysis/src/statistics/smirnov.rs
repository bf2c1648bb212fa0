//! The two-sample test of Kolmogorov and Smirnov: could two samples come from the same distribution?
//!
//! The p-value is exact for small samples, by counting the lattice paths that reach the distance (Hodges
//! 1957), and Smirnov's limit (1939) for large ones. With ties both are upper bounds of the true one.

use super::summary::Distribution;

/// Largest product of sample sizes for which the p-value is exact; R has the same limit.
const EXACT_LIMIT: u64 = 10_000;

/// Result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoSample {
    /// Largest difference of the two distribution functions, 0 to 1.
    pub distance: f64,
    /// Probability of a distance as large or larger, if the distributions are equal.
    pub p_value: f64,
    /// Whether the p-value is exact (but for ties).
    pub exact: bool,
}

/// Compares two samples, two-sided.
#[must_use]
pub fn kolmogorov_smirnov(first: &[f64], second: &[f64]) -> Option<TwoSample> {
    let (first, second) = (Distribution::new(first)?, Distribution::new(second)?);
    let (a, b) = (first.sorted(), second.sorted());
    let (n, m) = (a.len() as u64, b.len() as u64);
    // The distance times n m, an integer.
    let (mut i, mut j, mut largest) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        let at = a[i].min(b[j]);
        i += a[i..].partition_point(|&sample| sample <= at);
        j += b[j..].partition_point(|&sample| sample <= at);
        largest = largest.max((i as u64 * m).abs_diff(j as u64 * n));
    }
    let distance = largest as f64 / (n as f64 * m as f64);
    let exact = n.saturating_mul(m) <= EXACT_LIMIT;
    let p_value = if exact {
        exact_tail(largest, n, m)
    } else {
        let (n, m) = (n as f64, m as f64);
        limit_tail(distance * (n * m / (n + m)).sqrt())
    };
    Some(TwoSample { distance, p_value, exact })
}

/// The probability that a random order of `n` and `m` samples reaches a distance of `largest / (n m)`.
/// The walk steps along one sample or the other; mass that reaches the distance is taken out and counted.
fn exact_tail(largest: u64, n: u64, m: u64) -> f64 {
    if largest == 0 {
        return 1.0;
    }
    let reaches = |i: u64, j: u64| (i * m).abs_diff(j * n) >= largest;
    let mut reached = 0.0;
    let mut row = vec![0.0; m as usize + 1];
    row[0] = 1.0;
    for i in 0..=n {
        let mut from_left = 0.0;
        for j in 0..=m {
            // `row[j]` holds what comes from i - 1.
            let mut mass = row[j as usize] + from_left;
            if reaches(i, j) {
                reached += mass;
                mass = 0.0;
            }
            let left = (n - i + m - j) as f64;
            let along_second = if left > 0.0 { (m - j) as f64 / left } else { 0.0 };
            from_left = mass * along_second;
            row[j as usize] = if left > 0.0 { mass * ((n - i) as f64 / left) } else { 0.0 };
        }
    }
    f64::min(reached, 1.0)
}

/// The limit of the tail at `x = distance * sqrt(n m / (n + m))`: `2 sum (-1)^(k-1) exp(-2 k^2 x^2)`, or
/// for small `x` the form of it that converges there (Marsaglia, Tsang and Wang 2003).
#[must_use]
pub fn limit_tail(x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let mut sum = 0.0;
    if x < 1.0 {
        let factor = core::f64::consts::PI * core::f64::consts::PI / (8.0 * x * x);
        for k in (1..20).step_by(2) {
            sum += libm::exp(-f64::from(k * k) * factor);
        }
        return 1.0 - (2.0 * core::f64::consts::PI).sqrt() / x * sum;
    }
    for k in 1..20 {
        let term = libm::exp(-2.0 * f64::from(k * k) * x * x);
        sum += if k % 2 == 1 { term } else { -term };
    }
    2.0 * sum
}

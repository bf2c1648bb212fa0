//! Student's t distribution, and confidence intervals for a mean from few runs.
//!
//! The tail probability is half the regularised incomplete beta function of `nu / (nu + t^2)` with
//! parameters `nu/2` and `1/2` (Abramowitz and Stegun 26.7.1), computed from its continued fraction (DLMF
//! 8.17.22, evaluated by the method of Lentz as modified by Thompson and Barnett 1986). Quantiles are
//! found by bisection down to neighbouring floating-point numbers.

use super::{Interval, summary};

/// Mean of a sample with its precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Number of samples.
    pub count: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of the samples (n - 1).
    pub standard_deviation: f64,
    /// Half the width of the confidence interval of the mean.
    pub half_width: f64,
}

impl Estimate {
    /// The confidence interval of the mean.
    #[must_use]
    pub fn interval(&self) -> Interval {
        Interval { low: self.mean - self.half_width, high: self.mean + self.half_width }
    }
}

/// The mean with the confidence interval of Student (1908), `mean +- t s / sqrt(n)`, for independent
/// samples from a distribution near the normal. `level` is between 0 and 1, usually 0.95. Needs two
/// samples.
#[must_use]
pub fn estimate(samples: &[f64], level: f64) -> Option<Estimate> {
    if !(level > 0.0 && level < 1.0) {
        return None;
    }
    let standard_deviation = summary::standard_deviation(samples)?;
    let count = samples.len();
    let t = upper_point((1.0 - level) / 2.0, (count - 1) as f64)?;
    let half_width = t * standard_deviation / (count as f64).sqrt();
    Some(Estimate { count, mean: summary::mean(samples)?, standard_deviation, half_width })
}

/// The confidence interval of the difference of two means, first minus second, with unequal variances (Welch
/// 1947, degrees of freedom of Satterthwaite). It has no width if neither sample varies.
#[must_use]
pub fn difference(first: &Estimate, second: &Estimate, level: f64) -> Option<Interval> {
    if !(level > 0.0 && level < 1.0) {
        return None;
    }
    let variance = |of: &Estimate| of.standard_deviation * of.standard_deviation / of.count as f64;
    let (a, b) = (variance(first), variance(second));
    let between = first.mean - second.mean;
    let sum = a + b;
    if sum <= 0.0 {
        return Some(Interval { low: between, high: between });
    }
    let weight = |part: f64, of: &Estimate| part * part / (of.count as f64 - 1.0);
    let degrees = sum * sum / (weight(a, first) + weight(b, second));
    let half_width = upper_point((1.0 - level) / 2.0, degrees)? * sum.sqrt();
    Some(Interval { low: between - half_width, high: between + half_width })
}

/// The quantile of order `p`, above 0 and below 1, of the t distribution with `degrees` of freedom, above 0.
#[must_use]
pub fn quantile(p: f64, degrees: f64) -> Option<f64> {
    if !(p > 0.0 && p < 1.0) {
        None
    } else if p < 0.5 {
        upper_point(p, degrees).map(|t| -t)
    } else {
        upper_point(1.0 - p, degrees)
    }
}

/// The distribution function of t with `degrees` of freedom, above 0.
#[must_use]
pub fn cdf(t: f64, degrees: f64) -> Option<f64> {
    if t.is_nan() || !valid(degrees) {
        return None;
    }
    let tail = upper_tail(t.abs(), degrees);
    Some(if t > 0.0 { 1.0 - tail } else { tail })
}

fn valid(degrees: f64) -> bool {
    degrees > 0.0 && degrees.is_finite()
}

/// The t that is exceeded with probability `tail`, at most 1/2.
fn upper_point(tail: f64, degrees: f64) -> Option<f64> {
    if !(valid(degrees) && tail > 0.0 && tail <= 0.5) {
        return None;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while upper_tail(high, degrees) > tail {
        low = high;
        high *= 2.0;
        if high > 1e150 {
            return None;
        }
    }
    loop {
        let middle = low + 0.5 * (high - low);
        if middle <= low || middle >= high {
            return Some(middle);
        }
        if upper_tail(middle, degrees) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// The probability that T exceeds `t`, 0 or more: `I_x(nu/2, 1/2) / 2` with `x = nu / (nu + t^2)`.
fn upper_tail(t: f64, degrees: f64) -> f64 {
    let (square, half) = (t * t, degrees / 2.0);
    // x and 1 - x, each without cancellation
    let (x, y) = (degrees / (degrees + square), square / (degrees + square));
    if y <= 0.0 {
        return 0.5;
    }
    if x <= 0.0 {
        return 0.0;
    }
    let log_x = if x > 0.5 { libm::log1p(-y) } else { libm::log(x) };
    let log_front = log_gamma_step(half) - 0.5 * libm::log(core::f64::consts::PI);
    let front = libm::exp(log_front + half * log_x + 0.5 * libm::log(y));
    // The fraction converges fast below the mean of the distribution; above it, the complement does.
    if x < (half + 1.0) / (half + 2.5) {
        0.5 * front * beta_fraction(half, 0.5, x) / half
    } else {
        0.5 - front * beta_fraction(0.5, half, y)
    }
}

/// The logarithm of `gamma(a + 1/2) / gamma(a)`. From 20 on by its asymptotic series (DLMF 5.11.13),
/// where the difference of two large logarithms would lose digits.
fn log_gamma_step(a: f64) -> f64 {
    if a < 20.0 {
        return libm::lgamma(a + 0.5) - libm::lgamma(a);
    }
    let r = 1.0 / a;
    let s = r * r;
    0.5 * libm::log(a) - r * (1.0 / 8.0 - s * (1.0 / 192.0 - s * (1.0 / 640.0 - s * (17.0 / 14_336.0))))
}

/// The continued fraction of DLMF 8.17.22.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guarded = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / guarded(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    // About sqrt(max(a, b)) terms are needed.
    for m in 1..100_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / guarded(1.0 + term * d);
            c = guarded(1.0 + term / c);
            change = d * c;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-16 {
            break;
        }
    }
    fraction
}

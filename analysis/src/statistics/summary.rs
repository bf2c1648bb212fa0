//! Location, spread and quantiles of one sample.

use super::usable;

/// The arithmetic mean.
#[must_use]
pub fn mean(samples: &[f64]) -> Option<f64> {
    if !usable(samples) {
        return None;
    }
    let rough = samples.iter().sum::<f64>() / samples.len() as f64;
    // A second pass takes back the rounding of the first.
    let rest = samples.iter().map(|sample| sample - rough).sum::<f64>() / samples.len() as f64;
    Some(rough + rest)
}

/// The unbiased variance, with n - 1 in the denominator (corrected two-pass algorithm, Chan, Golub and
/// LeVeque 1983, equation 1.7). Needs two samples.
#[must_use]
pub fn variance(samples: &[f64]) -> Option<f64> {
    let centre = mean(samples)?;
    if samples.len() < 2 {
        return None;
    }
    let (mut squares, mut rest) = (0.0, 0.0);
    for sample in samples {
        let off = sample - centre;
        squares += off * off;
        rest += off;
    }
    let count = samples.len() as f64;
    Some(((squares - rest * rest / count) / (count - 1.0)).max(0.0))
}

/// The square root of [`variance`].
#[must_use]
pub fn standard_deviation(samples: &[f64]) -> Option<f64> {
    variance(samples).map(f64::sqrt)
}

/// The quantile of order `p` in `[0, 1]`, interpolated between order statistics: type 7 of Hyndman and Fan
/// (1996), the default of R and NumPy.
#[must_use]
pub fn quantile(samples: &[f64], p: f64) -> Option<f64> {
    Distribution::new(samples)?.quantile(p)
}

/// The quantile of order 1/2.
#[must_use]
pub fn median(samples: &[f64]) -> Option<f64> {
    quantile(samples, 0.5)
}

/// A sample put in order: quantiles, and the empirical distribution function.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    sorted: Vec<f64>,
}

impl Distribution {
    /// The distribution of these samples.
    #[must_use]
    pub fn new(samples: &[f64]) -> Option<Self> {
        usable(samples).then(|| {
            let mut sorted = samples.to_vec();
            sorted.sort_by(f64::total_cmp);
            Self { sorted }
        })
    }

    /// The samples in order.
    #[must_use]
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// As [`quantile`]; `None` if `p` is outside `[0, 1]`.
    #[must_use]
    pub fn quantile(&self, p: f64) -> Option<f64> {
        if !(0.0..=1.0).contains(&p) {
            return None;
        }
        let position = (self.sorted.len() - 1) as f64 * p;
        let below = position.floor();
        // At most the last index, because p is at most 1.
        let index = below as usize;
        let (low, high) = (self.sorted[index], self.sorted[(index + 1).min(self.sorted.len() - 1)]);
        Some(low + (position - below) * (high - low))
    }

    /// The part of the samples that is at most `x`, 0 to 1.
    #[must_use]
    pub fn cdf(&self, x: f64) -> f64 {
        self.sorted.partition_point(|&sample| sample <= x) as f64 / self.sorted.len() as f64
    }

    /// The steps of the distribution function: each different sample, and the part at most that large.
    pub fn steps(&self) -> impl Iterator<Item = (f64, f64)> {
        let count = self.sorted.len();
        self.sorted
            .iter()
            .enumerate()
            .filter(move |&(index, sample)| self.sorted.get(index + 1).is_none_or(|next| next > sample))
            .map(move |(index, &sample)| (sample, (index + 1) as f64 / count as f64))
    }
}

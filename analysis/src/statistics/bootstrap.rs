//! The bootstrap (Efron 1979): how much a statistic varies, from samples drawn again out of the sample, where
//! no normal distribution may be assumed or the statistic is not a mean.

use sim_core::random::Stream;

use super::{Interval, summary, usable};

/// What resampling found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// The statistic of the sample itself.
    pub value: f64,
    /// Standard deviation of the statistic over the resamples.
    pub standard_error: f64,
    /// The percentile interval (Efron and Tibshirani 1993, chapter 13).
    pub interval: Interval,
}

/// Resamples `samples` with replacement `resamples` times, 2 or more (1000 and more for an interval).
/// `level` is between 0 and 1. The numbers come from `stream`, so the same seed gives the same interval.
/// `None` also if the statistic of any resample is not finite.
pub fn bootstrap(
    samples: &[f64],
    mut statistic: impl FnMut(&[f64]) -> f64,
    resamples: usize,
    level: f64,
    stream: &mut Stream,
) -> Option<Bootstrap> {
    if !usable(samples) || resamples < 2 || !(level > 0.0 && level < 1.0) {
        return None;
    }
    let value = statistic(samples);
    let mut resample = samples.to_vec();
    let replicates: Vec<_> = (0..resamples)
        .map(|_| {
            for slot in &mut resample {
                // Below the length.
                *slot = samples[stream.below(samples.len() as u64) as usize];
            }
            statistic(&resample)
        })
        .collect();
    let distribution = summary::Distribution::new(&replicates)?;
    let outside = (1.0 - level) / 2.0;
    let interval =
        Interval { low: distribution.quantile(outside)?, high: distribution.quantile(1.0 - outside)? };
    let standard_error = summary::standard_deviation(&replicates)?;
    value.is_finite().then_some(Bootstrap { value, standard_error, interval })
}

//! Statistics of repeated runs and of rates: means with confidence intervals ([`student`],
//! [`mod@bootstrap`]), quantiles and distributions ([`summary`]), comparison of two samples
//! ([`smirnov`]) and measures of fairness ([`fairness`]).
//!
//! All functions are pure, use no mathematics of the platform and give the same bits everywhere. Samples
//! may be in any order. What has no answer, as the mean of nothing or any figure of a sample with a value
//! that is not finite, is `None`.

pub mod bootstrap;
pub mod fairness;
pub mod smirnov;
pub mod student;
pub mod summary;

pub use bootstrap::{Bootstrap, bootstrap};
pub use fairness::{
    aggregation_benefit, convergence_time, friendliness, jain_index, normalised_jain_index, throughput_ratio,
};
pub use smirnov::{TwoSample, kolmogorov_smirnov};
pub use student::{Estimate, difference, estimate};
pub use summary::{Distribution, mean, median, quantile, standard_deviation, variance};

/// An interval of real numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether `value` lies in the interval, ends included.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// Whether there are samples, and numbers only.
fn usable(samples: &[f64]) -> bool {
    !samples.is_empty() && samples.iter().all(|sample| sample.is_finite())
}

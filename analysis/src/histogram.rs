//! Quantiles of many samples in little memory: a histogram whose buckets are 1/512 of their value wide.
//!
//! Values below 512 are exact, all others to 0.2 %. Memory grows with the number of different buckets, some
//! hundreds for the round-trip times of a connection, not with the number of samples.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts of values by size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: BTreeMap<u32, u64>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

/// What is told of a distribution, in the unit of its samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Number of samples.
    pub n: u64,
    /// Smallest.
    pub min: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Largest.
    pub max: f64,
}

/// Bits of a value that tell its bucket.
const PRECISION: u32 = 9;

impl Histogram {
    /// Adds a sample.
    pub fn add(&mut self, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        self.sum += u128::from(value);
        *self.buckets.entry(bucket(value)).or_insert(0) += 1;
    }

    /// Number of samples.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The sample of which a part `q` (0 to 1) is smaller; `None` without samples.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let rank = (q * self.count as f64) as u64;
        let rank = rank.min(self.count.checked_sub(1)?);
        let mut before = 0;
        for (&bucket, &count) in &self.buckets {
            before += count;
            if before > rank {
                return Some(middle(bucket).clamp(self.min, self.max));
            }
        }
        None
    }

    /// The quantiles, each value divided by `unit`; `None` without samples.
    #[must_use]
    pub fn quantiles(&self, unit: f64) -> Option<Quantiles> {
        let at = |q: f64| self.quantile(q).map(|value| value as f64 / unit);
        Some(Quantiles {
            n: self.count,
            min: self.min as f64 / unit,
            mean: self.sum as f64 / self.count as f64 / unit,
            median: at(0.5)?,
            p95: at(0.95)?,
            max: self.max as f64 / unit,
        })
    }

    /// Points of the cumulative distribution: value divided by `unit`, part of the samples up to it. The first
    /// is the smallest value, with no part.
    #[must_use]
    pub fn distribution(&self, unit: f64) -> Vec<(f64, f64)> {
        let mut before = 0;
        let mut points = Vec::with_capacity(self.buckets.len() + 1);
        if self.count > 0 {
            points.push((self.min as f64 / unit, 0.0));
        }
        for (&bucket, &count) in &self.buckets {
            before += count;
            let value = middle(bucket).clamp(self.min, self.max);
            points.push((value as f64 / unit, before as f64 / self.count as f64));
        }
        points
    }
}

fn bucket(value: u64) -> u32 {
    let bits = u64::BITS - value.leading_zeros();
    let shift = bits.saturating_sub(PRECISION + 1);
    (shift << PRECISION) + (value >> shift) as u32
}

/// The middle of the values of a bucket.
fn middle(bucket: u32) -> u64 {
    let shift = (bucket >> PRECISION).saturating_sub(1);
    let mantissa = u64::from(bucket - (shift << PRECISION));
    (mantissa << shift) + ((1u64 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_values_to_a_part_in_512() {
        for value in
            (0..2000).chain((11..63).flat_map(|bits| [(1u64 << bits) - 1, 1 << bits, (1 << bits) + 12_345]))
        {
            let middle = middle(bucket(value));
            assert!(middle.abs_diff(value) * 512 <= value, "{value}: {middle}");
            if value < 512 {
                assert_eq!(middle, value);
            }
        }
        assert!((0..100_000).map(bucket).is_sorted());
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_list() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantiles(1.0), None);
        for value in (1..=400).rev() {
            histogram.add(value);
        }
        let quantiles = histogram.quantiles(1.0).unwrap();
        assert_eq!(
            (quantiles.min, quantiles.median, quantiles.p95, quantiles.max),
            (1.0, 201.0, 381.0, 400.0)
        );
        assert_eq!(quantiles.mean, 200.5);
        let steps = histogram.distribution(1.0);
        assert_eq!((steps.first(), steps.last()), (Some(&(1.0, 0.0)), Some(&(400.0, 1.0))));
    }
}

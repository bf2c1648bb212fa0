//! Sizes and rates as types, so that no bare integer crosses an interface.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, AddAssign, Sub};

use crate::time::Duration;

const NANOS_PER_SEC: u128 = 1_000_000_000;

/// A size in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Add for Bytes {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

/// Zero if `other` is larger.
impl Sub for Bytes {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

/// A rate in bits per second. There is no type for bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// A rate of `bits_per_second`, `None` if zero.
    #[must_use]
    pub const fn from_bps(bits_per_second: u64) -> Option<Self> {
        match NonZeroU64::new(bits_per_second) {
            Some(rate) => Some(Self(rate)),
            None => None,
        }
    }

    /// Bits per second.
    #[must_use]
    pub const fn as_bps(self) -> u64 {
        self.0.get()
    }

    /// Time to put `size` on the wire. `residue` carries the part below one nanosecond to the next
    /// packet (in units of `1 / rate` nanoseconds), so a long train keeps the configured rate exactly.
    #[must_use]
    pub fn tx_time(self, size: Bytes, residue: &mut u64) -> Duration {
        let rate = self.0.get();
        // 64 bits suffice for every frame below 2 GiB.
        let bits = size.0.checked_mul(8 * NANOS_PER_SEC as u64);
        if let Some(total) = bits.and_then(|bits| bits.checked_add(*residue)) {
            *residue = total % rate;
            return Duration::from_nanos(total / rate);
        }
        let total = u128::from(size.0) * 8 * NANOS_PER_SEC + u128::from(*residue);
        *residue = (total % u128::from(rate)) as u64;
        Duration::from_nanos((total / u128::from(rate)) as u64)
    }

    /// Bytes carried in `span`, rounded down: with the round-trip time, the bandwidth-delay product.
    #[must_use]
    pub fn bytes_in(self, span: Duration) -> Bytes {
        let bits = u128::from(self.0.get()) * u128::from(span.as_nanos()) / NANOS_PER_SEC;
        Bytes((bits / 8) as u64)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bps = self.0.get();
        for (unit, scale) in [("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1_000)] {
            if bps >= scale && bps.is_multiple_of(scale) {
                return write!(f, "{} {unit}", bps / scale);
            }
        }
        write!(f, "{bps} bit/s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_train_keeps_the_exact_rate() {
        let rate = Rate::from_bps(7_000_000).unwrap();
        let mut residue = 0;
        let mut total = Duration::ZERO;
        for _ in 0..7_000 {
            total += rate.tx_time(Bytes(1_000), &mut residue);
        }
        assert_eq!(total, Duration::from_secs(8));
        assert_eq!(residue, 0);
    }

    #[test]
    fn bandwidth_delay_product() {
        let rate = Rate::from_bps(10_000_000).unwrap();
        assert_eq!(rate.bytes_in(Duration::from_millis(40)), Bytes(50_000));
    }
}

//! Rate limits of ICMP errors as in Linux (`icmp_ratelimit`, `icmp_ratemask`, `icmp_msgs_per_sec`,
//! `icmp_msgs_burst` and their IPv6 counterparts): a token bucket for each destination and one for all.
//! Echo answers and "fragmentation needed" are never limited.
//!
//! Left out: the random part Linux takes from the global bucket, and the longer credit of IPv6
//! destinations behind wide prefixes.

use std::net::IpAddr;

use rustc_hash::FxHashMap;
use sim_core::{Duration, Instant};

use super::icmp::IcmpError;

/// Configuration of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpLimits {
    /// Least mean time between two errors to one destination (Linux 1 s); zero for no limit.
    pub interval: Duration,
    /// Errors all destinations together may get in a second (Linux 1000); 0 for no limit.
    pub per_second: u32,
    /// Errors that may leave back to back (Linux 50).
    pub burst: u32,
}

impl Default for IcmpLimits {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), per_second: 1000, burst: 50 }
    }
}

/// Errors to one destination that may leave back to back (`XRLIM_BURST_FACTOR`).
const DESTINATION_BURST: u64 = 6;

/// The buckets. Credit is counted in nanoseconds.
#[derive(Clone, Debug)]
pub struct IcmpLimiter {
    limits: IcmpLimits,
    all: Bucket,
    destinations: FxHashMap<IpAddr, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    credit: u64,
    filled: Instant,
}

impl Bucket {
    /// Takes `cost` if the bucket, filled since the last time up to `depth`, holds it.
    fn take(&mut self, now: Instant, cost: u64, depth: u64) -> bool {
        let gained = now.saturating_since(self.filled).as_nanos();
        self.credit = self.credit.saturating_add(gained).min(depth);
        self.filled = now;
        match self.credit.checked_sub(cost) {
            Some(rest) => {
                self.credit = rest;
                true
            }
            None => false,
        }
    }
}

impl IcmpLimiter {
    /// Full buckets.
    #[must_use]
    pub fn new(limits: IcmpLimits) -> Self {
        let all = Bucket { credit: u64::MAX, filled: Instant::ZERO };
        Self { limits, all, destinations: FxHashMap::default() }
    }

    /// Whether this error may be sent to `destination` now; if so it is counted.
    pub fn allows(&mut self, now: Instant, kind: IcmpError, destination: IpAddr) -> bool {
        let Self { limits: IcmpLimits { interval, per_second, burst }, all, destinations } = self;
        if matches!(kind, IcmpError::TooBig(_)) {
            return true;
        }
        if let Some(cost) = Duration::from_secs(1).as_nanos().checked_div(u64::from(*per_second))
            && !all.take(now, cost, cost.saturating_mul(u64::from(*burst)))
        {
            return false;
        }
        let cost = interval.as_nanos();
        if cost == 0 {
            return true;
        }
        let depth = cost.saturating_mul(DESTINATION_BURST);
        destinations
            .entry(destination)
            .or_insert(Bucket { credit: depth, filled: now })
            .take(now, cost, depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(n)
    }

    // NET-07
    #[test]
    fn one_destination_gets_six_errors_at_once_and_then_one_a_second() {
        let mut limiter = IcmpLimiter::new(IcmpLimits::default());
        let destination = "10.0.0.1".parse().unwrap();
        let allowed = |limiter: &mut IcmpLimiter, at: Instant| {
            (0..20).filter(|_| limiter.allows(at, IcmpError::NetUnreachable, destination)).count()
        };
        assert_eq!(allowed(&mut limiter, second(5)), 6);
        assert_eq!(allowed(&mut limiter, second(6)), 1);
        assert_eq!(allowed(&mut limiter, second(8)), 2);
        assert_eq!(allowed(&mut limiter, second(100)), 6);
    }

    #[test]
    fn all_destinations_share_a_burst_of_fifty() {
        let mut limiter = IcmpLimiter::new(IcmpLimits::default());
        let mut allowed = |at: Instant, count: u32| {
            (0..count)
                .filter(|n| limiter.allows(at, IcmpError::TimeExceeded, IpAddr::V4((0x0a00_0000 + n).into())))
                .count()
        };
        assert_eq!(allowed(second(1), 200), 50);
        assert_eq!(allowed(second(1) + Duration::from_millis(10), 200), 10);
    }

    #[test]
    fn path_mtu_discovery_is_never_limited() {
        let limits = IcmpLimits { interval: Duration::from_secs(1), per_second: 1, burst: 1 };
        let mut limiter = IcmpLimiter::new(limits);
        let destination = "2001:db8::1".parse().unwrap();
        assert!((0..100).all(|_| limiter.allows(second(1), IcmpError::TooBig(1280), destination)));
        assert!(limiter.allows(second(1), IcmpError::TimeExceeded, destination));
        assert!(!limiter.allows(second(1), IcmpError::TimeExceeded, destination));
    }
}

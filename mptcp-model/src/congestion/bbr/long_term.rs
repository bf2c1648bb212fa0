//! The rate of a policer: a path that loses a fifth and more of the segments over several rounds, twice at about the
//! same rate of delivery, has a token bucket, and is used at that rate for 48 rounds without probing.

use sim_core::Instant;

use super::{RateSample, UNIT, bytes_per_second};

/// Rounds of one interval of sampling, at least, and four times that at most.
const INTERVAL_ROUNDS: u32 = 4;
/// Losses over deliveries of a policed interval, in 1/256.
const LOSS_THRESHOLD: u64 = 50;
/// Intervals agree if their rates differ by no more than an eighth, or by this many bytes per second.
const ALLOWED_DIFFERENCE: u64 = 4000 / 8;
/// Rounds for which the rate is used.
const USED_ROUNDS: u32 = 48;

/// What happened to the rate of the policer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// There is one now.
    Found,
    /// It was used long enough: probe again.
    Expired,
}

/// Sampling of losses and deliveries over intervals that begin and end with a loss.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LongTerm {
    /// Rate of the last interval, 0 without one.
    rate: u64,
    in_use: bool,
    sampling: bool,
    rounds: u32,
    /// Totals and time when the interval began.
    delivered: u64,
    lost: u64,
    began_at: Instant,
}

impl LongTerm {
    /// The rate of the policer, if one was found.
    pub(super) const fn rate(&self) -> Option<u64> {
        if self.in_use { Some(self.rate) } else { None }
    }

    fn begin_interval(&mut self, sample: &RateSample) {
        self.began_at = sample.delivered_at;
        self.delivered = sample.total_delivered;
        self.lost = sample.total_lost;
        self.rounds = 0;
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// An ACK with this sample; `probing` is whether the flow is in its cycle of probes.
    pub(super) fn update(&mut self, sample: &RateSample, round_start: bool, probing: bool) -> Change {
        if self.in_use {
            if probing && round_start {
                self.rounds += 1;
                if self.rounds >= USED_ROUNDS {
                    self.reset();
                    return Change::Expired;
                }
            }
            return Change::None;
        }
        if !self.sampling {
            if sample.losses == 0 {
                return Change::None;
            }
            self.begin_interval(sample);
            self.sampling = true;
        }
        if sample.app_limited {
            self.reset();
            return Change::None;
        }
        self.rounds += u32::from(round_start);
        if self.rounds < INTERVAL_ROUNDS {
            return Change::None;
        }
        if self.rounds > 4 * INTERVAL_ROUNDS {
            self.reset();
            return Change::None;
        }
        if sample.losses == 0 {
            return Change::None;
        }
        let lost = sample.total_lost.saturating_sub(self.lost);
        let delivered = sample.total_delivered.saturating_sub(self.delivered);
        if delivered == 0 || lost << 8 < LOSS_THRESHOLD * delivered {
            return Change::None;
        }
        let millis = sample.delivered_at.saturating_since(self.began_at).as_nanos() / 1_000_000;
        if millis == 0 {
            return Change::None;
        }
        self.interval_done(delivered * UNIT / (millis * 1000), sample)
    }

    fn interval_done(&mut self, rate: u64, sample: &RateSample) -> Change {
        if self.rate > 0 {
            let difference = rate.abs_diff(self.rate);
            if difference * 8 <= self.rate
                || bytes_per_second(difference, 256, sample.mss) <= ALLOWED_DIFFERENCE
            {
                self.rate = u64::midpoint(rate, self.rate);
                self.in_use = true;
                self.rounds = 0;
                return Change::Found;
            }
        }
        self.rate = rate;
        self.begin_interval(sample);
        Change::None
    }
}

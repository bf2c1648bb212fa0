//! How many segments more than the estimated rate explains are acknowledged at once, where receivers or links collect
//! ACKs: the largest excess of the last five to ten rounds widens the window, so that sending goes on meanwhile.

use sim_core::{Duration, Instant};

use super::{AckEvent, RateSample, segments_in};

/// Rounds after which the older of the two maxima is dropped.
const WINDOW_ROUNDS: u32 = 5;
/// Segments of an epoch after which a new one begins.
const EPOCH_LIMIT: u64 = 1 << 20;
/// The window grows by no more than is sent in this time.
const MOST: Duration = Duration::from_millis(100);

/// The excess of acknowledgments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aggregation {
    epoch_start: Instant,
    epoch_acked: u64,
    /// Largest excess of this window of rounds and the one before.
    largest: [u32; 2],
    current: usize,
    rounds: u32,
}

impl Aggregation {
    /// Begins a new epoch.
    pub(super) fn restart(&mut self, now: Instant) {
        self.epoch_start = now;
        self.epoch_acked = 0;
    }

    /// An ACK; `rate` is the estimated rate.
    pub(super) fn update(
        &mut self,
        ack: &AckEvent,
        sample: &RateSample,
        rate: u64,
        round_start: bool,
        cwnd: u32,
    ) {
        if ack.delivered == 0 || sample.interval.is_none() {
            return;
        }
        if round_start {
            self.rounds += 1;
            if self.rounds >= WINDOW_ROUNDS {
                self.rounds = 0;
                self.current ^= 1;
                self.largest[self.current] = 0;
            }
        }
        let delivered = u64::from(ack.delivered);
        let mut expected = segments_in(rate, sample.delivered_at.saturating_since(self.epoch_start));
        if self.epoch_acked <= expected || self.epoch_acked + delivered >= EPOCH_LIMIT {
            self.restart(sample.delivered_at);
            expected = 0;
        }
        self.epoch_acked += delivered;
        // At most the window, so it fits.
        let excess = (self.epoch_acked - expected).min(u64::from(cwnd)) as u32;
        self.largest[self.current] = self.largest[self.current].max(excess);
    }

    /// Segments to add to the window.
    pub(super) fn allowance(&self, rate: u64) -> u32 {
        let most = segments_in(rate, MOST).min(u64::from(u32::MAX)) as u32;
        self.largest[0].max(self.largest[1]).min(most)
    }
}

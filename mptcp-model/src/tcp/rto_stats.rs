//! What `TCP_INFO` tells of retransmission timeouts: how many, in how many episodes, and how long these took
//! (`tcp_update_rto_stats`, `tcp_update_rto_time`).

use sim_core::{Duration, Instant};

/// Timeouts of a flow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RtoStats {
    /// Timeouts after which something was sent again.
    pub(crate) total: u64,
    /// Episodes, the present one included.
    pub(crate) episodes: u64,
    time: Duration,
    since: Option<Instant>,
}

impl RtoStats {
    /// A timeout; `first` of those without progress in between.
    pub(super) fn expired(&mut self, now: Instant, first: bool) {
        self.total += 1;
        if first {
            self.episodes += 1;
            self.since = Some(now);
        }
    }

    /// What was lost is repaired.
    pub(super) fn repaired(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.time += now.saturating_since(since);
        }
    }

    /// How long all episodes took.
    pub(crate) fn time(&self, now: Instant) -> Duration {
        self.since.map_or(self.time, |since| self.time + now.saturating_since(since))
    }
}

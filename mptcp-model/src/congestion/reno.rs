//! NewReno as `tcp_reno` in Linux counts it (RFC 5681 with appropriate byte counting, RFC 3465, in
//! units of segments): slow start up to the threshold, what an ACK has left over goes into linear
//! growth, halving on loss. A flow that does not fill its window does not grow it (RFC 7661).
//!
//! The two growth rules are functions, because every other algorithm here builds on them. Loss
//! recovery itself (fast recovery, PRR) belongs to the sender.

use sim_core::Instant;

use super::{AckEvent, Cause, CongestionControl, PathView, Window};

/// Reno halves, but never below two segments.
const MIN_SSTHRESH: u32 = 2;

/// Grows by `acked` segments up to the slow-start threshold and returns the segments not used.
pub fn slow_start(window: &mut Window, acked: u32) -> u32 {
    let grown = window.cwnd.saturating_add(acked).min(window.ssthresh).max(window.cwnd);
    let left = acked - (grown - window.cwnd);
    window.cwnd = grown.min(window.clamp).max(1);
    left
}

/// Grows by one segment for every `every` segments acknowledged, keeping the rest in `cwnd_cnt`.
pub fn additive_increase(window: &mut Window, every: u32, acked: u32) {
    let every = every.max(1);
    // `every` may have become smaller since the last ACK: do not jump by several segments then.
    if window.cwnd_cnt >= every {
        window.cwnd_cnt = 0;
        window.cwnd = window.cwnd.saturating_add(1);
    }
    window.cwnd_cnt = window.cwnd_cnt.saturating_add(acked);
    if window.cwnd_cnt >= every {
        let steps = window.cwnd_cnt / every;
        window.cwnd_cnt -= steps * every;
        window.cwnd = window.cwnd.saturating_add(steps);
    }
    window.cwnd = window.cwnd.min(window.clamp).max(1);
}

/// The threshold after a loss: half the window, at least 2 segments.
#[must_use]
pub fn halved(window: &Window) -> u32 {
    (window.cwnd / 2).max(MIN_SSTHRESH)
}

/// One Reno step for one ACK.
pub(super) fn grow(window: &mut Window, ack: &AckEvent) {
    if !ack.cwnd_limited || ack.delivered == 0 {
        return;
    }
    let mut acked = ack.delivered;
    if window.in_slow_start() {
        acked = slow_start(window, acked);
        if acked == 0 {
            return;
        }
    }
    additive_increase(window, window.cwnd, acked);
}

/// The `reno` algorithm; it has no state beyond the window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reno;

impl CongestionControl for Reno {
    fn name(&self) -> &'static str {
        "reno"
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, _me: usize, _paths: &[PathView]) {
        grow(window, ack);
    }

    fn ssthresh(
        &mut self,
        window: &Window,
        _cause: Cause,
        _now: Instant,
        _me: usize,
        _paths: &[PathView],
    ) -> u32 {
        halved(window)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ack, window};
    use super::*;

    #[test]
    fn slow_start_stops_at_the_threshold_and_the_rest_counts_for_avoidance() {
        let mut flow = window(9, 10);
        Reno.on_ack(&mut flow, &ack(4), 0, &[]);
        assert_eq!((flow.cwnd, flow.cwnd_cnt), (10, 3));
    }

    #[test]
    fn avoidance_grows_by_one_segment_per_window() {
        let mut flow = window(10, 10);
        for _ in 0..5 {
            Reno.on_ack(&mut flow, &ack(2), 0, &[]);
        }
        assert_eq!((flow.cwnd, flow.cwnd_cnt), (11, 0));
    }

    // CC-10
    #[test]
    fn a_flow_that_does_not_fill_its_window_does_not_grow_it() {
        let mut flow = window(10, 100);
        Reno.on_ack(&mut flow, &AckEvent { cwnd_limited: false, ..ack(2) }, 0, &[]);
        assert_eq!(flow, window(10, 100));
    }

    #[test]
    fn loss_halves_down_to_two_segments() {
        for (cwnd, expected) in [(68, 34), (5, 2), (3, 2), (1, 2)] {
            assert_eq!(Reno.ssthresh(&window(cwnd, 1), Cause::Loss, Instant::ZERO, 0, &[]), expected);
        }
    }

    #[test]
    fn growth_stops_at_the_clamp() {
        let mut flow = Window { clamp: 12, ..window(10, Window::INFINITE_SSTHRESH) };
        Reno.on_ack(&mut flow, &ack(10), 0, &[]);
        assert_eq!(flow.cwnd, 12);
    }

    /// Windows of a Linux 6.18 sender sampled every 100 ms after a loss on a 10 Mbit/s, 40 ms path
    /// with a queue of one bandwidth-delay product: the link gives one segment each 1.2112 ms.
    #[test]
    fn growth_after_a_loss_follows_a_linux_sender() {
        const LINUX: [u32; 12] = [34, 36, 38, 40, 42, 44, 46, 48, 50, 51, 53, 54];
        let mut flow = window(34, 34);
        let mut acks = 0_u32;
        for (sample, &expected) in LINUX.iter().enumerate() {
            while f64::from(acks) * 2.0 * 1.2112 < sample as f64 * 100.0 {
                Reno.on_ack(&mut flow, &ack(2), 0, &[]);
                acks += 1;
            }
            assert!(flow.cwnd.abs_diff(expected) <= 1, "sample {sample}: {} for {expected}", flow.cwnd);
        }
    }
}

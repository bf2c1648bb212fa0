//! Vegas (Brakmo and Peterson, JSAC 1995) in the form Linux gives it: once per round trip the window is compared
//! with what the path carries without queues. Fewer than `alpha` queued segments let it grow by one, more
//! than `beta` make it shrink by one, and more than `gamma` end slow start. The round-trip time of a round is its
//! smallest sample, so that delayed ACKs and bursts do not count as queues. On loss it halves like Reno, and
//! outside the `Open` state, or with fewer than three samples in a round, it is Reno.
//!
//! Each subflow is on its own; the coupled form is [`wvegas`](super::wvegas). The paper's finer retransmission
//! timer is left out, as in Linux.

use sim_core::{Duration, Instant};

use super::{AckEvent, CaState, Cause, CongestionControl, PathView, Window, reno};

/// Rounds with fewer samples take a Reno step.
const MIN_SAMPLES: u32 = 3;
/// Smallest window in segments.
const MIN_CWND: u32 = 2;

/// Parameters of [`Vegas`]; the default is that of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Fewer queued segments let the window grow. Default 2.
    pub alpha: u32,
    /// More queued segments make it shrink. Default 4; a value below `alpha` counts as `alpha`.
    pub beta: u32,
    /// More queued segments end slow start. Default 1.
    pub gamma: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { alpha: 2, beta: 4, gamma: 1 }
    }
}

/// The `vegas` algorithm of one flow.
#[derive(Clone, Copy, Debug)]
pub struct Vegas {
    config: Config,
    /// Off outside `Open`.
    active: bool,
    /// Smallest sample ever.
    base_rtt: Duration,
    /// Smallest sample of this round.
    min_rtt: Duration,
    samples: u32,
    /// Whether the window limited sending at any ACK of this round.
    limited: bool,
    /// End of the round as a stream offset.
    end_of_round: u64,
}

impl Default for Vegas {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Vegas {
    /// A flow with these parameters.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            active: true,
            base_rtt: Duration::MAX,
            min_rtt: Duration::MAX,
            samples: 0,
            limited: false,
            end_of_round: 0,
        }
    }

    fn end_round(&self, window: &mut Window, ack: &AckEvent) {
        let base = u128::from(self.base_rtt.as_nanos()).max(1);
        let rtt = u128::from(self.min_rtt.as_nanos()).max(1);
        let cwnd = u128::from(window.cwnd);
        // Both are at most the window times the growth of the round-trip time.
        let target = (cwnd * base / rtt) as u32;
        let queued = u32::try_from(cwnd * (rtt - base) / base).unwrap_or(u32::MAX);
        if window.in_slow_start() {
            if queued > self.config.gamma {
                window.cwnd = window.cwnd.min(target + 1);
                window.ssthresh = below(window);
            } else if ack.cwnd_limited {
                reno::slow_start(window, ack.delivered);
            }
        } else if queued > self.config.beta.max(self.config.alpha) {
            window.cwnd = window.cwnd.saturating_sub(1);
            window.ssthresh = below(window);
        } else if queued < self.config.alpha && self.limited {
            window.cwnd = window.cwnd.saturating_add(1);
        }
        window.cwnd = window.cwnd.min(window.clamp).max(MIN_CWND.min(window.clamp));
        window.ssthresh = window.ssthresh.max(window.cwnd / 2 + window.cwnd / 4);
    }
}

/// The threshold one below the window, unless it is lower already.
pub(super) fn below(window: &Window) -> u32 {
    window.ssthresh.min(window.cwnd.saturating_sub(1))
}

impl CongestionControl for Vegas {
    fn name(&self) -> &'static str {
        "vegas"
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, _me: usize, _paths: &[PathView]) {
        if !self.active {
            return reno::grow(window, ack);
        }
        self.limited |= ack.cwnd_limited;
        if ack.snd_una > self.end_of_round {
            self.end_of_round = ack.snd_nxt;
            if self.samples < MIN_SAMPLES {
                reno::grow(window, ack);
            } else {
                self.end_round(window, ack);
            }
            self.min_rtt = Duration::MAX;
            self.samples = 0;
            self.limited = false;
        } else if window.in_slow_start() && ack.cwnd_limited {
            reno::slow_start(window, ack.delivered);
        }
    }

    fn on_rtt_sample(&mut self, _window: &mut Window, _ack: &AckEvent, rtt: Duration) {
        self.base_rtt = self.base_rtt.min(rtt);
        self.min_rtt = self.min_rtt.min(rtt);
        self.samples += 1;
    }

    fn ssthresh(
        &mut self,
        window: &Window,
        _cause: Cause,
        _now: Instant,
        _me: usize,
        _paths: &[PathView],
    ) -> u32 {
        reno::halved(window)
    }

    fn on_state_change(&mut self, _window: &mut Window, _old: CaState, new: CaState) {
        self.active = new == CaState::Open;
        self.min_rtt = Duration::MAX;
        self.samples = 0;
    }

    /// After idling the base delay is measured anew.
    fn on_cwnd_restart(&mut self, _window: &mut Window, _now: Instant) {
        *self = Self { end_of_round: self.end_of_round, ..Self::new(self.config) };
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ack, window};
    use super::*;

    fn settled() -> Vegas {
        Vegas { base_rtt: Duration::from_millis(100), ..Vegas::default() }
    }

    /// One round of ACKs with these round-trip times, the last of which ends it.
    fn round(flow: &mut Vegas, window: &mut Window, rtts: &[u64]) {
        for (index, &rtt) in rtts.iter().enumerate() {
            let snd_una = flow.end_of_round + u64::from(index + 1 == rtts.len());
            let event = AckEvent { snd_una, snd_nxt: snd_una + 100, ..ack(1) };
            flow.on_rtt_sample(window, &event, Duration::from_millis(rtt));
            flow.on_ack(window, &event, 0, &[]);
        }
    }

    #[test]
    fn the_window_rests_between_alpha_and_beta_queued_segments() {
        // 40 segments over 100 ms: 104 ms hold 1.6 in queues, 108 ms 3.2, 112 ms 4.8, 113 ms 5.2.
        for (rtt, expected) in [(104, 41), (108, 40), (112, 40), (113, 39)] {
            let (mut flow, mut own) = (settled(), window(40, 20));
            round(&mut flow, &mut own, &[rtt; 4]);
            assert_eq!(own.cwnd, expected, "{rtt} ms");
        }
    }

    #[test]
    fn a_window_that_filled_up_at_any_ack_of_the_round_may_grow() {
        for (limited, expected) in [([false; 4], 40), ([false, true, false, false], 41)] {
            let (mut flow, mut own) = (settled(), window(40, 20));
            for (index, cwnd_limited) in limited.into_iter().enumerate() {
                let snd_una = flow.end_of_round + u64::from(index == 3);
                let event = AckEvent { snd_una, snd_nxt: 100, cwnd_limited, ..ack(1) };
                flow.on_rtt_sample(&mut own, &event, Duration::from_millis(100));
                flow.on_ack(&mut own, &event, 0, &[]);
            }
            assert_eq!(own.cwnd, expected);
        }
    }

    #[test]
    fn one_short_sample_speaks_for_the_round() {
        let (mut flow, mut own) = (settled(), window(40, 20));
        round(&mut flow, &mut own, &[150, 101, 150]);
        assert_eq!(own.cwnd, 41);
    }

    #[test]
    fn slow_start_ends_when_more_than_gamma_segments_queue() {
        let (mut flow, mut own) = (settled(), window(40, Window::INFINITE_SSTHRESH));
        round(&mut flow, &mut own, &[125; 3]);
        // Two ACKs of slow start, then 42 * 100 / 125 + 1.
        assert_eq!((own.cwnd, own.ssthresh), (34, 33));
    }

    #[test]
    fn few_samples_and_other_states_are_reno() {
        let (mut flow, mut own) = (settled(), window(40, 20));
        round(&mut flow, &mut own, &[300; 2]);
        assert_eq!((own.cwnd, own.cwnd_cnt), (40, 1));
        flow.on_state_change(&mut own, CaState::Open, CaState::Disorder);
        for _ in 0..39 {
            flow.on_ack(&mut own, &ack(1), 0, &[]);
        }
        assert_eq!(own.cwnd, 41);
        flow.on_state_change(&mut own, CaState::Disorder, CaState::Open);
        assert_eq!((flow.active, flow.base_rtt), (true, Duration::from_millis(100)));
        flow.on_cwnd_restart(&mut own, Instant::ZERO);
        assert_eq!(flow.base_rtt, Duration::MAX);
    }
}

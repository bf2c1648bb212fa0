//! Balia, the balanced linked adaptation (Peng, Walid, Hwang, Low, ToN 2016;
//! draft-walid-mptcp-congestion-control). With `x = w/rtt` and `A = max(x) / x`, a subflow grows by
//! `x / (rtt * (sum x)^2) * (1 + A)/2 * (4 + A)/5` per acknowledged segment and gives up
//! `w/2 * min(A, 1.5)` on loss. Slow start is Reno's.
//!
//! The integer mode reproduces the out-of-tree kernel: rates in bytes per second, shifted down by 5
//! bits while the largest exceeds 2^25, an integer A in the decrease, growth counted in ACKs. As there, a subflow
//! computes both steps when its own window grows, at the end of a reduction and after a change of state of any
//! subflow, and keeps them in between: neither the growth of others nor a new round-trip time changes them. There
//! one subflow takes note of a change of state, the first to grow after it; here each does.

use sim_core::Instant;

use super::coupling::{self, Arithmetic, Credit, Fingerprint};
use super::{AckEvent, CaState, Cause, CongestionControl, PathView, Window, reno};

/// Rates above this are scaled down, so that their products fit.
const RATE_LIMIT: u64 = 1 << 25;
const RATE_SHIFT: u32 = 5;

/// Rate of `own`, the largest rate and the sum of all.
fn rates(own: &PathView, paths: &[PathView]) -> (f64, f64, f64) {
    let rate = |path: &PathView| coupling::bytes(path) / coupling::rtt(path);
    let (mut largest, mut sum) = (0.0_f64, 0.0_f64);
    for path in paths.iter().filter(|path| coupling::usable(path)) {
        let rate = rate(path);
        largest = largest.max(rate);
        sum += rate;
    }
    (rate(own), largest, sum)
}

fn coupled_increase(own: &PathView, paths: &[PathView]) -> f64 {
    let (rate, largest, sum) = rates(own, paths);
    let a = largest / rate;
    let share = rate / sum;
    // x / (rtt * sum^2) = share^2 / w
    share * share / f64::from(coupling::segments(own)) * ((1.0 + a) / 2.0) * ((4.0 + a) / 5.0)
}

fn coupled_after_loss(cwnd: u32, own: &PathView, paths: &[PathView]) -> f64 {
    let (rate, largest, _) = rates(own, paths);
    f64::from(cwnd) * (1.0 - (largest / rate).min(1.5) / 2.0)
}

/// Segments of growth of subflow `me` for one acknowledged segment in congestion avoidance.
#[must_use]
pub fn increase(me: usize, paths: &[PathView]) -> f64 {
    coupling::coupled(me, paths).map_or_else(
        || paths.get(me).map_or(0.0, |own| 1.0 / f64::from(own.cwnd.max(1))),
        |own| coupled_increase(own, paths),
    )
}

/// The window of subflow `me` after a loss, in segments and not yet rounded.
#[must_use]
pub fn after_loss(me: usize, paths: &[PathView]) -> f64 {
    let half = paths.get(me).map_or(0.0, |own| f64::from(own.cwnd) / 2.0);
    coupling::coupled(me, paths).map_or(half, |own| coupled_after_loss(own.cwnd, own, paths))
}

/// ACKs for one segment of growth, and segments given up on loss, of subflow `me` with a window of `cwnd`, in the
/// kernel's integers.
pub(super) fn linux_steps(cwnd: u32, me: usize, paths: &[PathView]) -> (u32, u32) {
    let (mut own_rate, mut largest, mut sum) = (0_u64, 0_u64, 0_u64);
    for (index, path) in paths.iter().enumerate().filter(|(_, path)| coupling::usable(path)) {
        let segments = if index == me { cwnd } else { path.cwnd };
        let octets = u64::from(path.mss) * u64::from(segments);
        let rate = octets * 8_000_000 / coupling::srtt_eighth_micros(path).max(1);
        if index == me {
            own_rate = rate;
        }
        largest = largest.max(rate);
        sum = sum.saturating_add(rate);
    }
    let quotient = largest / own_rate.max(1);
    while largest > RATE_LIMIT {
        largest >>= RATE_SHIFT;
        own_rate >>= RATE_SHIFT;
        sum >>= RATE_SHIFT;
    }
    let sum = u128::from(sum);
    let (largest, own_rate) = (u128::from(largest), u128::from(own_rate));
    let threshold =
        sum * sum * 10 / (own_rate + largest).max(1) * u128::from(cwnd) / (4 * own_rate + largest).max(1);
    let threshold = u32::try_from(threshold).unwrap_or(u32::MAX);
    let decrease = u64::from(cwnd / 2) * quotient.saturating_mul(1024).min(1536) / 1024;
    // The decrease is at most 3/4 of a window that fits.
    (if threshold == 0 { cwnd } else { threshold }, decrease as u32)
}

/// The `balia` algorithm of one subflow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Balia {
    arithmetic: Arithmetic,
    credit: Credit,
    /// ACKs for one segment of growth and segments given up on loss, if they were computed.
    linux_steps: Option<(u32, u32)>,
    /// They are computed anew with the next ACK that can grow the window.
    stale: bool,
    computed_in: Fingerprint,
}

impl Balia {
    /// A flow with this arithmetic.
    #[must_use]
    pub fn new(arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..Self::default() }
    }

    fn on_ack_linux(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]) {
        if coupling::coupled(me, paths).is_none() {
            if coupling::linux_past_slow_start(window, ack) {
                coupling::linux_count_ack(window, window.cwnd);
            }
            return;
        }
        if !ack.cwnd_limited || ack.delivered == 0 {
            return;
        }
        let before = window.cwnd;
        let grows = coupling::linux_past_slow_start(window, ack);
        let states = Fingerprint::of_states(paths);
        let changed = states != self.computed_in;
        if !grows || changed || self.stale || self.linux_steps.is_none() {
            self.compute(window, me, paths);
            self.computed_in = states;
        }
        if let Some((threshold, _)) = self.linux_steps.filter(|_| grows) {
            coupling::linux_count_ack(window, threshold);
            if window.cwnd != before {
                self.compute(window, me, paths);
            }
        }
    }

    fn compute(&mut self, window: &Window, me: usize, paths: &[PathView]) {
        self.linux_steps = Some(linux_steps(window.cwnd, me, paths));
        self.stale = false;
    }
}

impl CongestionControl for Balia {
    fn name(&self) -> &'static str {
        "balia"
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]) {
        match self.arithmetic {
            Arithmetic::Exact => {
                coupling::grow(window, &mut self.credit, ack, me, paths, coupled_increase);
            }
            Arithmetic::Linux => self.on_ack_linux(window, ack, me, paths),
        }
    }

    /// May leave 1 segment, as the kernel does; alone it is Reno's, at least 2.
    fn ssthresh(
        &mut self,
        window: &Window,
        _cause: Cause,
        _now: Instant,
        me: usize,
        paths: &[PathView],
    ) -> u32 {
        self.credit.clear();
        let Some(own) = coupling::coupled(me, paths) else {
            return reno::halved(window);
        };
        let left = match self.arithmetic {
            Arithmetic::Exact => coupled_after_loss(window.cwnd, own, paths) as u32,
            Arithmetic::Linux => {
                let (_, decrease) = self.linux_steps.unwrap_or_else(|| linux_steps(window.cwnd, me, paths));
                window.cwnd.saturating_sub(decrease)
            }
        };
        left.max(1)
    }

    /// A reduction that ends, and a timeout (`CA_EVENT_COMPLETE_CWR`, `CA_EVENT_LOSS`).
    fn on_state_change(&mut self, _window: &mut Window, old: CaState, new: CaState) {
        self.stale |= matches!(old, CaState::Recovery | CaState::Cwr) || new == CaState::Loss;
    }

    fn is_coupled(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ack, assert_close, path, window};
    use super::*;

    const FLOWS: [[(u32, u64); 2]; 3] =
        [[(10, 100), (10, 100)], [(10, 50), (10, 100)], [(10, 50), (40, 200)]];

    // CC-06
    #[test]
    fn increases_and_decreases_match_the_worked_examples() {
        let increases = [[0.025, 0.025], [0.044_444, 0.02], [0.025, 0.006_25]];
        let left = [[5.0, 5.0], [5.0, 2.5], [5.0, 20.0]];
        for (case, flows) in FLOWS.into_iter().enumerate() {
            let paths = flows.map(|(cwnd, rtt)| path(cwnd, rtt));
            for me in 0..2 {
                assert_close(increase(me, &paths), increases[case][me]);
                assert_close(after_loss(me, &paths), left[case][me]);
            }
        }
    }

    // CC-06
    #[test]
    fn kernel_integers_match_the_worked_examples() {
        let expected = [[(40, 5), (40, 5)], [(22, 5), (50, 7)], [(40, 5), (160, 20)]];
        for (flows, expected) in FLOWS.into_iter().zip(expected) {
            let paths = flows.map(|(cwnd, rtt)| path(cwnd, rtt));
            for me in 0..2 {
                assert_eq!(linux_steps(paths[me].cwnd, me, &paths), expected[me]);
            }
        }
    }

    // CC-06
    #[test]
    fn rates_of_a_gigabit_are_scaled_down_without_changing_the_result_much() {
        let paths = [path(8000, 100), path(8000, 100)];
        let (threshold, decrease) = linux_steps(8000, 0, &paths);
        assert!((31_900..=32_100).contains(&threshold), "{threshold}");
        assert_eq!(decrease, 4000);
    }

    // CC-06
    #[test]
    fn a_slow_subflow_may_fall_to_one_segment() {
        let paths = [path(100, 10), path(2, 100)];
        for (arithmetic, expected) in [(Arithmetic::Exact, 1), (Arithmetic::Linux, 1)] {
            let left = Balia::new(arithmetic).ssthresh(&window(2, 2), Cause::Loss, Instant::ZERO, 1, &paths);
            assert_eq!(left, expected);
        }
    }

    // CC-06
    #[test]
    fn kernel_keeps_its_steps_while_only_others_grow() {
        let (mut balia, mut flow) = (Balia::new(Arithmetic::Linux), window(10, 10));
        balia.on_ack(&mut flow, &ack(1), 0, &[path(10, 100), path(10, 100)]);
        // The other one is nine times as fast by now: three quarters would be given up.
        let later = [path(10, 100), path(90, 100)];
        for _ in 1..40 {
            balia.on_ack(&mut flow, &ack(1), 0, &later);
        }
        assert_eq!(balia.ssthresh(&flow, Cause::Loss, Instant::ZERO, 0, &later), 5);
        balia.on_ack(&mut flow, &ack(1), 0, &later);
        assert_eq!(flow.cwnd, 11);
        assert_eq!(balia.ssthresh(&flow, Cause::Loss, Instant::ZERO, 0, &later), 4);
    }

    #[test]
    fn kernel_needs_one_ack_more_than_its_threshold() {
        let paths = [path(10, 100), path(10, 100)];
        let (mut balia, mut flow) = (Balia::new(Arithmetic::Linux), window(10, 10));
        for _ in 0..40 {
            balia.on_ack(&mut flow, &ack(1), 0, &paths);
        }
        assert_eq!(flow.cwnd, 10);
        balia.on_ack(&mut flow, &ack(1), 0, &paths);
        assert_eq!(flow.cwnd, 11);
    }
}

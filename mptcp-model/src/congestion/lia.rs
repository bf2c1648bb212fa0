//! LIA, the "linked increases" of RFC 6356: in congestion avoidance a subflow grows by
//! `min(alpha * acked * mss / total, acked * mss / cwnd)` with
//! `alpha = total * max(w / rtt^2) / (sum(w / rtt))^2`, so that the connection takes as much as one TCP
//! on its best path. Slow start and the reaction to loss are Reno's.
//!
//! By default alpha is computed exactly on every ACK; the RFC allows once per window. The integer modes
//! reproduce the out-of-tree kernel, which counts ACKs instead of segments and loses precision (where it loses
//! all, the initial subflow passes for the best, being the last in the kernel's list); the kernel keeps one alpha per connection, here each flow keeps its own and renews it when any window
//! of the connection changes.

use sim_core::Instant;

use super::coupling::{self, Credit, Fingerprint};
use super::{AckEvent, Cause, CongestionControl, PathView, Window, reno};

/// The arithmetic of LIA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LiaArithmetic {
    /// RFC 6356 in floating point, counting segments.
    #[default]
    Exact,
    /// Integers of the out-of-tree kernel with round-trip times in 1/8 ms (before v0.90), counting ACKs.
    Linux,
    /// The same with round-trip times in 1/8 microsecond (v0.90 and later): `(w << 32) / srtt^2` is 0
    /// above about 8 ms, and then the initial subflow passes for the best one.
    LinuxMicros,
}

impl LiaArithmetic {
    /// A smoothed round-trip time in the kernel's unit, at least 1.
    fn srtt(self, path: &PathView) -> u64 {
        let eighths = coupling::srtt_eighth_micros(path);
        if self == Self::Linux { (eighths / 1000).max(1) } else { eighths.max(1) }
    }
}

/// The aggressiveness factor of RFC 6356, section 2; `None` if no subflow has a round-trip sample.
#[must_use]
pub fn alpha(paths: &[PathView]) -> Option<f64> {
    let (total, factor) = sums(paths)?;
    Some(total * factor)
}

/// The sum of all windows in bytes, and alpha divided by it.
fn sums(paths: &[PathView]) -> Option<(f64, f64)> {
    let (mut total, mut best, mut rate) = (0.0_f64, 0.0_f64, 0.0_f64);
    for path in paths.iter().filter(|path| coupling::usable(path)) {
        let per_rtt = 1.0 / coupling::rtt(path);
        let window = coupling::bytes(path);
        let throughput = window * per_rtt;
        total += window;
        rate += throughput;
        best = best.max(throughput * per_rtt);
    }
    (rate > 0.0).then(|| (total, best / (rate * rate)))
}

/// Segments of growth of subflow `me` for one acknowledged segment in congestion avoidance: at most
/// `1 / cwnd`, which is Reno's.
#[must_use]
pub fn increase(me: usize, paths: &[PathView]) -> f64 {
    coupling::coupled(me, paths).map_or_else(
        || paths.get(me).map_or(0.0, |own| 1.0 / f64::from(own.cwnd.max(1))),
        |own| coupled_increase(own, paths),
    )
}

fn coupled_increase(own: &PathView, paths: &[PathView]) -> f64 {
    let cap = 1.0 / f64::from(coupling::segments(own));
    sums(paths).map_or(cap, |(_, factor)| (factor * f64::from(own.mss.max(1))).min(cap))
}

/// The alpha of the out-of-tree kernel, already divided by the total window and scaled by 2^12; at least 1. Of
/// equally good subflows it takes the last one of `paths`, which the kernel has in its list with the
/// newest first.
#[must_use]
pub fn linux_alpha(arithmetic: LiaArithmetic, paths: &[PathView]) -> u64 {
    linux_alpha_in_order(arithmetic, || paths.iter())
}

fn linux_alpha_in_order<'a, I>(arithmetic: LiaArithmetic, paths: impl Fn() -> I) -> u64
where
    I: Iterator<Item = &'a PathView>,
{
    let usable = || paths().filter(|path| coupling::usable(path));
    let mut best = (0_u64, 1_u64, 1_u64);
    for path in usable() {
        let srtt = arithmetic.srtt(path);
        let merit = u64::try_from((u128::from(path.cwnd) << 32) / (u128::from(srtt) * u128::from(srtt)))
            .unwrap_or(u64::MAX);
        if merit >= best.0 {
            best = (merit, u64::from(path.cwnd), srtt);
        }
    }
    let (_, cwnd, best_srtt) = best;
    let sum: u128 = usable()
        .map(|path| (u128::from(path.cwnd) << 10) * u128::from(best_srtt) / u128::from(arithmetic.srtt(path)))
        .sum();
    let alpha = (u128::from(cwnd) << 32) / sum.saturating_mul(sum).max(1);
    u64::try_from(alpha).unwrap_or(u64::MAX).max(1)
}

/// ACKs the out-of-tree kernel counts before it adds a segment to a window of `cwnd`.
#[must_use]
pub fn linux_threshold(alpha: u64, cwnd: u32) -> u32 {
    u32::try_from((1 << 12) / alpha.max(1)).unwrap_or(u32::MAX).max(cwnd)
}

/// The `lia` algorithm of one subflow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lia {
    arithmetic: LiaArithmetic,
    credit: Credit,
    linux_alpha: u64,
    computed_from: Fingerprint,
}

impl Lia {
    /// A flow with this arithmetic.
    #[must_use]
    pub fn new(arithmetic: LiaArithmetic) -> Self {
        Self { arithmetic, ..Self::default() }
    }

    fn on_ack_linux(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]) {
        if !coupling::linux_past_slow_start(window, ack) {
            return;
        }
        let threshold = if coupling::coupled(me, paths).is_some() {
            let now = Fingerprint::of(paths);
            if now != self.computed_from {
                self.linux_alpha = linux_alpha_in_order(self.arithmetic, || paths.iter().rev());
                self.computed_from = now;
            }
            linux_threshold(self.linux_alpha, window.cwnd)
        } else {
            window.cwnd
        };
        coupling::linux_count_ack(window, threshold);
    }
}

impl CongestionControl for Lia {
    fn name(&self) -> &'static str {
        "lia"
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]) {
        if self.arithmetic == LiaArithmetic::Exact {
            coupling::grow(window, &mut self.credit, ack, me, paths, coupled_increase);
        } else {
            self.on_ack_linux(window, ack, me, paths);
        }
    }

    fn ssthresh(
        &mut self,
        window: &Window,
        _cause: Cause,
        _now: Instant,
        _me: usize,
        _paths: &[PathView],
    ) -> u32 {
        self.credit.clear();
        self.computed_from = Fingerprint::default();
        reno::halved(window)
    }

    fn is_coupled(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::CaState;
    use super::super::tests::{ack, assert_close, path, window};
    use super::*;

    // CC-01
    #[test]
    fn increases_match_the_worked_examples() {
        let cases = [
            ([(10, 100), (10, 100)], 0.5, [0.025, 0.025]),
            ([(10, 50), (10, 100)], 0.888_889, [0.044_444, 0.044_444]),
            ([(10, 50), (40, 200)], 1.25, [0.025, 0.025]),
            ([(1, 10), (100, 500)], 11.222_222, [0.111_111, 0.01]),
        ];
        for (flows, expected_alpha, expected) in cases {
            let paths = flows.map(|(cwnd, rtt)| path(cwnd, rtt));
            assert_close(alpha(&paths).unwrap_or(0.0), expected_alpha);
            for (me, expected) in expected.into_iter().enumerate() {
                assert_close(increase(me, &paths), expected);
            }
        }
    }

    // CC-01
    #[test]
    fn growth_per_round_trip_matches_the_worked_example() {
        let paths = [path(10, 100), path(10, 100)];
        let (mut lia, mut flow) = (Lia::default(), window(10, 10));
        let acks = (0..).take_while(|_| {
            lia.on_ack(&mut flow, &ack(1), 0, &paths);
            flow.cwnd == 10
        });
        assert_eq!(acks.count() + 1, 40, "0.25 segments per round trip of 10 ACKs");
    }

    // CC-02
    #[test]
    fn kernel_threshold_of_two_equal_flows_is_40_acks() {
        let paths = [path(10, 100), path(10, 100)];
        let alpha = linux_alpha(LiaArithmetic::Linux, &paths);
        assert_eq!((alpha, linux_threshold(alpha, 10)), (102, 40));
    }

    // CC-02
    #[test]
    fn kernel_with_microseconds_takes_the_last_path_for_the_best() {
        let paths = [path(10, 50), path(10, 100)];
        assert_eq!(linux_threshold(linux_alpha(LiaArithmetic::LinuxMicros, &paths), 10), 91);
        assert_eq!(linux_threshold(linux_alpha(LiaArithmetic::Linux, &paths), 10), 22);
    }

    // CC-02: where the rounding makes all equal, the alpha of the connection is that of its initial subflow.
    #[test]
    fn kernel_with_microseconds_grows_by_the_window_of_the_initial_subflow() {
        // (4 + 12)^2 / 4 = 64 ACKs for one segment of growth; by the window of the better path it would be 21.
        let paths = [path(4, 100), path(12, 100)];
        let (mut lia, mut flow) = (Lia::new(LiaArithmetic::LinuxMicros), window(12, 12));
        let acks = (0..).take_while(|_| {
            lia.on_ack(&mut flow, &ack(1), 1, &paths);
            flow.cwnd == 12
        });
        assert_eq!(acks.count(), 64);
    }

    // CC-02
    #[test]
    fn kernel_counts_acks_and_needs_one_more_than_the_threshold() {
        let paths = [path(10, 100), path(10, 100)];
        let (mut lia, mut flow) = (Lia::new(LiaArithmetic::Linux), window(10, 10));
        for _ in 0..40 {
            lia.on_ack(&mut flow, &ack(2), 0, &paths);
        }
        assert_eq!((flow.cwnd, flow.cwnd_cnt), (10, 40));
        lia.on_ack(&mut flow, &ack(2), 0, &paths);
        assert_eq!((flow.cwnd, flow.cwnd_cnt), (11, 0));
    }

    #[test]
    fn a_subflow_in_fast_recovery_counts_with_its_threshold() {
        let recovering = PathView { cwnd: 30, ssthresh: 10, state: CaState::Recovery, ..path(30, 100) };
        assert_close(increase(0, &[path(10, 100), recovering]), 0.025);
    }

    #[test]
    fn a_subflow_without_round_trip_sample_is_not_counted() {
        let silent = path(10, 0);
        assert_close(increase(0, &[path(10, 100), silent, path(10, 100)]), 0.025);
        assert_close(increase(0, &[path(10, 100), silent]), 0.1);
    }

    // CC-09
    #[test]
    fn slow_start_is_not_coupled() {
        let paths = [path(10, 100), path(10, 100)];
        for arithmetic in [LiaArithmetic::Exact, LiaArithmetic::Linux] {
            let mut flow = window(10, Window::INFINITE_SSTHRESH);
            Lia::new(arithmetic).on_ack(&mut flow, &ack(2), 0, &paths);
            assert_eq!(flow.cwnd, 12);
        }
    }
}

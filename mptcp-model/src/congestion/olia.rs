//! OLIA, the opportunistic linked increases (Khalili et al., CoNEXT 2012;
//! draft-khalili-mptcp-congestion-control): growth of `w/rtt^2 / (sum(w/rtt))^2 + a/w` per acknowledged
//! segment. The second term moves windows from the paths with the largest one (M) to the best paths that
//! have a small one (B without M), where best means the largest `l / rtt^2` and `l` is the larger of the
//! bytes acknowledged since the last loss and between the last two. Slow start and halving are Reno's.
//!
//! The sender keeps the byte counts of `l` ([`PathView`]) and does not count the loss of a
//! retransmission as a new one. The integer mode reproduces the out-of-tree kernel, which counts ACKs.

use sim_core::Instant;

use super::coupling::{self, Arithmetic, Credit};
use super::{AckEvent, Cause, CongestionControl, PathView, Window, reno};

/// Scale of the kernel's growth counter.
const SCALE: u32 = 10;

/// The share `a` of one subflow: `+1/parts`, `-1/parts` or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shift {
    Gains(u32),
    Gives(u32),
    Nothing,
}

/// Whether `a` is strictly better than `b`: compares `l / rtt^2` without division.
fn better(a: &PathView, b: &PathView) -> bool {
    merit(a, b) > merit(b, a)
}

/// `l` of one path times `rtt^2` of the other, in bytes times square microseconds.
fn merit(of: &PathView, other: &PathView) -> u128 {
    let rtt = u128::from(other.srtt.as_nanos() / 1000).max(1);
    let bytes = u128::from(of.acked_since_loss.max(of.acked_between_losses));
    bytes.saturating_mul(rtt.saturating_mul(rtt))
}

/// The sets B and M and with them the share of subflow `own`.
fn shift(own: &PathView, paths: &[PathView]) -> Shift {
    let usable = || paths.iter().filter(|path| coupling::usable(path));
    let largest = usable().map(coupling::segments).max().unwrap_or(0);
    let mut best = own;
    for path in usable() {
        if better(path, best) {
            best = path;
        }
    }
    let in_m = |path: &PathView| coupling::segments(path) == largest;
    let collects = |path: &PathView| !in_m(path) && !better(best, path);
    let (mut flows, mut collecting, mut with_largest) = (0_u32, 0_u32, 0_u32);
    for path in usable() {
        flows += 1;
        collecting += u32::from(collects(path));
        with_largest += u32::from(in_m(path));
    }
    if collecting == 0 {
        Shift::Nothing
    } else if in_m(own) {
        Shift::Gives(flows * with_largest)
    } else if collects(own) {
        Shift::Gains(flows * collecting)
    } else {
        Shift::Nothing
    }
}

/// Segments of growth (or, if negative, shrinking) of subflow `own` for one acknowledged segment.
fn coupled_increase(own: &PathView, paths: &[PathView]) -> f64 {
    let rate: f64 = paths
        .iter()
        .filter(|path| coupling::usable(path))
        .map(|path| coupling::bytes(path) / coupling::rtt(path))
        .sum();
    let share = coupling::bytes(own) / coupling::rtt(own) / rate;
    let a = match shift(own, paths) {
        Shift::Gains(parts) => 1.0 / f64::from(parts),
        Shift::Gives(parts) => -1.0 / f64::from(parts),
        Shift::Nothing => 0.0,
    };
    // w/rtt^2 / (sum w/rtt)^2 = share^2 / w
    (share * share + a) / f64::from(coupling::segments(own))
}

/// Segments of growth of subflow `me` for one acknowledged segment in congestion avoidance.
#[must_use]
pub fn increase(me: usize, paths: &[PathView]) -> f64 {
    coupling::coupled(me, paths).map_or_else(
        || paths.get(me).map_or(0.0, |own| 1.0 / f64::from(own.cwnd.max(1))),
        |own| coupled_increase(own, paths),
    )
}

/// What the out-of-tree kernel adds to its counter for one ACK, scaled by 2^10.
fn linux_increase(own: &PathView, paths: &[PathView]) -> i64 {
    let scaled = |path: &PathView| u128::from(coupling::segments(path)) << SCALE;
    let own_srtt = u128::from(coupling::srtt_eighth_micros(own));
    let sum: u128 = 1 + paths
        .iter()
        .filter(|path| coupling::usable(path))
        .map(|path| scaled(path) * own_srtt / u128::from(coupling::srtt_eighth_micros(path).max(1)))
        .sum::<u128>();
    let rate = sum.saturating_mul(sum);
    let square = scaled(own).saturating_mul(scaled(own));
    let (parts, negative, numerator) = match shift(own, paths) {
        Shift::Nothing => (1, false, square),
        Shift::Gains(parts) => (parts, false, rate.saturating_add(square.saturating_mul(u128::from(parts)))),
        Shift::Gives(parts) => {
            let grown = square.saturating_mul(u128::from(parts));
            (parts, grown < rate, grown.abs_diff(rate))
        }
    };
    let denominator =
        rate.saturating_mul(u128::from(parts)).saturating_mul(u128::from(coupling::segments(own))).max(1);
    let step = i64::try_from(numerator.saturating_mul(1 << SCALE) / denominator).unwrap_or(i64::MAX);
    if negative { -step } else { step }
}

/// The `olia` algorithm of one subflow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Olia {
    arithmetic: Arithmetic,
    credit: Credit,
    linux_credit: i64,
}

impl Olia {
    /// A flow with this arithmetic.
    #[must_use]
    pub fn new(arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..Self::default() }
    }

    fn on_ack_linux(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]) {
        const ONE: i64 = (1 << SCALE) - 1;
        let Some(own) = coupling::coupled(me, paths) else {
            return reno::grow(window, ack);
        };
        if !coupling::linux_past_slow_start(window, ack) {
            return;
        }
        self.linux_credit = self.linux_credit.saturating_add(linux_increase(own, paths));
        if self.linux_credit >= ONE {
            window.cwnd = window.cwnd.saturating_add(1).min(window.clamp).max(1);
            self.linux_credit = 0;
        } else if self.linux_credit <= -ONE {
            window.cwnd = window.cwnd.saturating_sub(1).max(1);
            self.linux_credit = 0;
        }
    }
}

impl CongestionControl for Olia {
    fn name(&self) -> &'static str {
        "olia"
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]) {
        match self.arithmetic {
            Arithmetic::Exact => {
                coupling::grow(window, &mut self.credit, ack, me, paths, coupled_increase);
            }
            Arithmetic::Linux => self.on_ack_linux(window, ack, me, paths),
        }
    }

    /// Half the window. The draft lets a subflow that has others beside it fall to 1 segment; the kernel,
    /// and with it the integer mode, stops at 2.
    fn ssthresh(
        &mut self,
        window: &Window,
        _cause: Cause,
        _now: Instant,
        me: usize,
        paths: &[PathView],
    ) -> u32 {
        self.credit.clear();
        if self.arithmetic == Arithmetic::Exact && coupling::coupled(me, paths).is_some() {
            (window.cwnd / 2).max(1)
        } else {
            reno::halved(window)
        }
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

    fn with_bytes(cwnd: u32, rtt: u64, packets: u64) -> PathView {
        PathView { acked_since_loss: packets * 1448, ..path(cwnd, rtt) }
    }

    // CC-04
    #[test]
    fn increases_match_the_worked_examples() {
        let cases = [
            ([(10, 100), (10, 100)], [0.025, 0.025]),
            ([(20, 100), (10, 400)], [-0.002_778, 0.061_111]),
            ([(20, 400), (10, 100)], [0.022_222, 0.011_111]),
        ];
        for (flows, expected) in cases {
            let paths = flows.map(|(cwnd, packets)| with_bytes(cwnd, 100, packets));
            for (me, expected) in expected.into_iter().enumerate() {
                assert_close(increase(me, &paths), expected);
            }
        }
    }

    // CC-04
    #[test]
    fn the_best_path_is_the_one_with_the_longest_loss_free_run_of_the_last_two() {
        let before = PathView { acked_between_losses: 400 * 1448, ..path(10, 100) };
        assert_close(increase(1, &[with_bytes(20, 100, 100), before]), 0.061_111);
    }

    // CC-04
    #[test]
    fn shares_are_one_nth_divided_among_the_paths_of_a_set() {
        let paths = [
            with_bytes(20, 100, 10),
            with_bytes(20, 100, 10),
            with_bytes(10, 100, 90),
            with_bytes(5, 100, 20),
        ];
        let shares: Vec<_> = paths.iter().map(|own| shift(own, &paths)).collect();
        assert_eq!(shares, [Shift::Gives(8), Shift::Gives(8), Shift::Gains(4), Shift::Nothing]);
    }

    // CC-05
    #[test]
    fn a_window_that_gives_can_shrink_by_one_but_not_below_one() {
        let paths = [with_bytes(20, 100, 100), with_bytes(19, 20, 400)];
        for arithmetic in [Arithmetic::Exact, Arithmetic::Linux] {
            let (mut olia, mut flow) = (Olia::new(arithmetic), window(20, 2));
            for _ in 0..60 {
                olia.on_ack(&mut flow, &ack(1), 0, &paths);
            }
            assert_eq!(flow.cwnd, 19, "{arithmetic:?}");
            flow = window(1, 1);
            for _ in 0..600 {
                olia.on_ack(&mut flow, &ack(1), 0, &paths);
            }
            assert_eq!(flow.cwnd, 1, "{arithmetic:?}");
        }
    }

    // CC-05
    #[test]
    fn a_subflow_in_recovery_counts_with_its_threshold() {
        let recovering = PathView { ssthresh: 10, state: CaState::Recovery, ..with_bytes(30, 100, 100) };
        assert_close(increase(0, &[with_bytes(10, 100, 100), recovering]), 0.025);
    }

    proptest::proptest! {
        // CC-12: the sum of the kernel loses up to one unit of its scale for each path, and the step one.
        #[test]
        fn kernel_steps_are_the_equation_within_the_units_of_its_scale(
            flows in proptest::collection::vec((2_u32..400, 5_u64..400, 0_u64..5000), 2..6),
        ) {
            let paths: Vec<_> =
                flows.into_iter().map(|(cwnd, rtt, packets)| with_bytes(cwnd, rtt, packets)).collect();
            for me in 0..paths.len() {
                let exact = increase(me, &paths) * 1024.0;
                let linux = linux_increase(&paths[me], &paths) as f64;
                proptest::prop_assert!((exact - linux).abs() < 2.0, "path {me}: {exact} and {linux}");
            }
        }
    }
}

//! ECF, earliest completion first (Lim et al., CoNEXT 2017), as the out-of-tree kernel has it (`mptcp_ecf.c`): the
//! default scheduler there, but a slower subflow is left alone if what waits in the send buffer completes
//! earlier by waiting for the fastest one. A quarter of hysteresis keeps a decision to wait.

use super::lowest_rtt::{faster_than, lowest_rtt, one_segment};
use super::{Fill, Pick, Request, Scheduler, SchedulerView};

/// Hysteresis: one part in this many (beta).
const BETA_PARTS: u128 = 4;

/// Scheduler state.
#[derive(Debug, Default)]
pub struct Ecf {
    waiting: bool,
}

impl Ecf {
    /// Whether to wait for `fast` rather than to use `slow`.
    fn waits(&mut self, fast: &SchedulerView, slow: &SchedulerView, unassigned: u64) -> bool {
        let octets = |path: &SchedulerView| u128::from(path.cwnd) * u128::from(slow.mss);
        let (fast_window, slow_window) = (octets(fast), octets(slow));
        let (fast_rtt, slow_rtt) = (u128::from(fast.srtt.as_nanos()), u128::from(slow.srtt.as_nanos()));
        let margin = u128::from(fast.rttvar.max(slow.rttvar).as_nanos());
        let left = u128::from(unassigned);
        let at_fast = fast_rtt * (left.max(fast_window) + fast_window);
        let at_slow = fast_window * (slow_rtt + margin);
        let parts = BETA_PARTS + u128::from(self.waiting);
        if BETA_PARTS * at_fast >= parts * at_slow {
            self.waiting = false;
            return false;
        }
        // Sooner on the fast one, unless the slow one is done within two of its round trips.
        if slow_rtt * left.max(slow_window) >= slow_window * (2 * fast_rtt + margin) {
            self.waiting = true;
            return true;
        }
        false
    }
}

impl Scheduler for Ecf {
    fn name(&self) -> &'static str {
        "ecf"
    }

    fn pick(&mut self, request: &Request, paths: &[SchedulerView]) -> Option<Pick> {
        let best = lowest_rtt(paths)?;
        if let Some(fast) = faster_than(best, paths) {
            // SCHED-11
            let assigned: u64 = paths.iter().map(|path| path.queued).sum();
            if self.waits(fast, best, request.queued.saturating_sub(assigned)) {
                return None;
            }
        }
        Some(one_segment(best, request))
    }

    fn is_opportunistic(&self) -> bool {
        true
    }

    fn fill(&self) -> Fill {
        Fill::Half
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::Duration;

    fn path(index: usize, srtt: u64, cwnd_room: u32) -> SchedulerView {
        SchedulerView { srtt: Duration::from_millis(srtt), cwnd_room, ..super::super::tests::path(index) }
    }

    fn pick(scheduler: &mut Ecf, queued: u64, paths: &[SchedulerView]) -> Option<usize> {
        let request = Request { queued, ..Request::with_window(1 << 20) };
        scheduler.pick(&request, paths).map(|pick| pick.index)
    }

    #[test]
    fn little_data_waits_for_the_fast_subflow_and_much_does_not() {
        // SCHED-11: two round trips of 20 ms against one of 100 ms.
        let paths = [path(1, 100, 10), path(0, 20, 0)];
        assert_eq!(pick(&mut Ecf::default(), 10_000, &paths), None);
        // 200 000 octets take fourteen round trips of ten segments.
        assert_eq!(pick(&mut Ecf::default(), 200_000, &paths), Some(1));
        assert_eq!(pick(&mut Ecf::default(), 10_000, &[path(1, 30, 10), path(0, 20, 0)]), Some(1));
    }

    #[test]
    fn a_decision_to_wait_is_kept_a_quarter_longer() {
        // SCHED-11: 4 (left + w) against (4 or 5) w 100 / 20.
        let paths = [path(1, 100, 10), path(0, 20, 0)];
        let between = 14_280 * 9 / 2;
        assert_eq!(pick(&mut Ecf::default(), between, &paths), Some(1));
        let mut scheduler = Ecf::default();
        assert_eq!(pick(&mut scheduler, 10_000, &paths), None);
        assert_eq!(pick(&mut scheduler, between, &paths), None);
    }
}

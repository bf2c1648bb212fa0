//! BLEST (Ferlin et al., IFIP Networking 2016), as the out-of-tree kernel has it (`mptcp_blest.c`): the default
//! scheduler there, but a slower subflow is left alone if what it would hold keeps the fastest one from filling
//! the send window meanwhile. The estimate is scaled by lambda, which retransmissions raise and their absence
//! lowers, once per least round-trip time of the slower subflow.

use sim_core::{Duration, Instant};

use super::lowest_rtt::{faster_than, lowest_rtt, one_segment};
use super::{Fill, Pick, Request, Scheduler, SchedulerView};
use crate::congestion::Window;

/// Lambda in thousandths: first value, bounds, steps.
const LAMBDA: i32 = 1200;
const LAMBDA_MIN: i32 = 1000;
const LAMBDA_MAX: i32 = 1300;
const LAMBDA_GOOD: i32 = 10;
const LAMBDA_BAD: i32 = 40;

/// Least and largest smoothed round-trip time seen on a subflow.
#[derive(Clone, Copy, Debug)]
struct Range {
    least: Duration,
    most: Duration,
}

/// Scheduler state.
#[derive(Debug)]
pub struct Blest {
    lambda: i32,
    updated: Instant,
    /// Retransmissions at that time.
    retransmissions: u64,
    ranges: Vec<Option<Range>>,
}

impl Default for Blest {
    fn default() -> Self {
        Self { lambda: LAMBDA, updated: Instant::ZERO, retransmissions: 0, ranges: Vec::new() }
    }
}

impl Blest {
    fn observe(&mut self, path: &SchedulerView) {
        if self.ranges.len() <= path.index {
            self.ranges.resize(path.index + 1, None);
        }
        let range = self.ranges[path.index].get_or_insert(Range { least: path.srtt, most: path.srtt });
        range.least = range.least.min(path.srtt);
        range.most = range.most.max(path.srtt);
    }

    fn range(&self, path: &SchedulerView) -> Range {
        let known = self.ranges.get(path.index).copied().flatten();
        known.unwrap_or(Range { least: path.srtt, most: path.srtt })
    }

    fn update_lambda(&mut self, slow: &SchedulerView, request: &Request) {
        if request.now.saturating_since(self.updated) < self.range(slow).least {
            return;
        }
        let again = std::mem::replace(&mut self.retransmissions, request.retransmissions);
        let step = if request.retransmissions != again { LAMBDA_BAD } else { -LAMBDA_GOOD };
        self.lambda = (self.lambda + step).clamp(LAMBDA_MIN, LAMBDA_MAX);
        self.updated = request.now;
    }

    /// How long one more segment stays on `path`.
    fn linger(&self, path: &SchedulerView) -> Duration {
        let range = self.range(path);
        let in_flight = path.in_flight + 1;
        let estimate = if in_flight >= path.cwnd {
            range.most
        } else {
            range.least + range.most.saturating_sub(range.least) * u64::from(in_flight) / u64::from(path.cwnd)
        };
        estimate.max(path.srtt)
    }

    /// Octets that `path` will send within `time`, were it Reno.
    fn estimate(&self, path: &SchedulerView, time: Duration) -> u64 {
        let range = self.range(path);
        let average = (range.least + range.most) / 2;
        let rounds = time.as_nanos().checked_div(average.as_nanos()).map_or(1, |rounds| rounds + 1);
        let segments = if path.ssthresh >= Window::INFINITE_SSTHRESH {
            u64::from(path.cwnd) * ((1 << rounds.min(16)) - 1)
        } else {
            let window = u64::from(path.cwnd.max(path.ssthresh.saturating_add(1)));
            (window + (rounds - 1) / 2) * rounds
        };
        segments * u64::from(path.mss) * self.lambda as u64 / 1000
    }
}

impl Scheduler for Blest {
    fn name(&self) -> &'static str {
        "blest"
    }

    fn pick(&mut self, request: &Request, paths: &[SchedulerView]) -> Option<Pick> {
        paths.iter().for_each(|path| self.observe(path));
        let best = lowest_rtt(paths)?;
        if let Some(fast) = faster_than(best, paths) {
            // SCHED-10
            self.update_lambda(best, request);
            let wanted = self.estimate(fast, self.linger(best));
            let held = u64::from(request.segment) + best.outstanding;
            if wanted > request.connection_window.saturating_sub(held) {
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

    fn path(index: usize, srtt: u64, cwnd_room: u32) -> SchedulerView {
        let in_flight = 10 - cwnd_room;
        SchedulerView {
            srtt: Duration::from_millis(srtt),
            cwnd_room,
            in_flight,
            ssthresh: 8,
            outstanding: u64::from(in_flight) * 1428,
            ..super::super::tests::path(index)
        }
    }

    fn pick(window: u64, paths: &[SchedulerView]) -> Option<usize> {
        let request = Request { segment: 1428, ..Request::with_window(window) };
        Blest::default().pick(&request, paths).map(|pick| pick.index)
    }

    #[test]
    fn a_slower_subflow_serves_while_the_window_has_room_for_both() {
        // SCHED-10: in 100 ms the fast one sends three windows of about 11 segments, times 1.2.
        let paths = [path(1, 100, 10), path(0, 40, 0)];
        let needed = (10 + 1) * 3 * 1428 * 12 / 10 + 1428;
        assert_eq!(pick(needed + 1428, &paths), Some(1));
        assert_eq!(pick(needed - 5 * 1428, &paths), None);
        assert_eq!(
            pick(2000, &[path(1, 100, 10), path(0, 40, 1)]),
            Some(0),
            "the fastest is never held back"
        );
    }

    #[test]
    fn lambda_rises_with_retransmissions_and_falls_without() {
        // SCHED-10
        let mut scheduler = Blest::default();
        let paths = [path(1, 100, 10), path(0, 40, 0)];
        let mut request = Request { segment: 1428, ..Request::with_window(1 << 20) };
        for round in 1..=3 {
            request.now = Instant::from_nanos(round * 100_000_000);
            let _ = scheduler.pick(&request, &paths);
        }
        assert_eq!(scheduler.lambda, LAMBDA - 3 * LAMBDA_GOOD);
        request.retransmissions = 1;
        let _ = scheduler.pick(&request, &paths);
        assert_eq!(scheduler.lambda, LAMBDA - 3 * LAMBDA_GOOD, "once per round-trip time");
        request.now = Instant::from_nanos(400_000_000);
        let _ = scheduler.pick(&request, &paths);
        assert_eq!(scheduler.lambda, LAMBDA - 3 * LAMBDA_GOOD + LAMBDA_BAD);
    }
}

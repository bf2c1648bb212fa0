//! `roundrobin` of the out-of-tree kernel with its defaults (`num_segments` 1, `cwnd_limited`): subflows take
//! turns, a segment each, among those whose congestion window has room. The backup flag has no effect, as
//! there.

use super::{Pick, Scheduler, SchedulerView};

/// Whose turn it was.
#[derive(Debug, Default)]
pub struct RoundRobin {
    last: Option<usize>,
}

impl Scheduler for RoundRobin {
    fn name(&self) -> &'static str {
        "roundrobin"
    }

    fn pick(&mut self, window: u64, paths: &[SchedulerView]) -> Option<Pick> {
        let usable = |path: &&SchedulerView| !path.in_loss && path.cwnd_room > 0 && path.has_memory;
        let after = |path: &&SchedulerView| self.last.is_none_or(|last| path.index > last);
        let next = paths.iter().filter(usable).find(after).or_else(|| paths.iter().find(usable))?;
        let burst = u64::from(next.mss).min(window) as u32;
        if burst > 0 {
            self.last = Some(next.index);
        }
        Some(Pick { index: next.index, burst, exact: true })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::path;
    use super::*;

    #[test]
    fn subflows_take_turns() {
        // SCHED-02
        let mut scheduler = RoundRobin::default();
        let paths = [path(0), path(1), path(2)];
        let mut turn =
            |paths: &[SchedulerView]| scheduler.pick(1 << 20, paths).map(|pick| (pick.index, pick.burst));
        let turns: Vec<_> = (0..4).map(|_| turn(&paths)).collect();
        assert_eq!(turns, [Some((0, 1428)), Some((1, 1428)), Some((2, 1428)), Some((0, 1428))]);
        let full = SchedulerView { cwnd_room: 0, ..path(1) };
        assert_eq!(turn(&[path(0), full, path(2)]), Some((2, 1428)), "a full window is passed over");
        assert_eq!(turn(&[full]), None);
    }

    #[test]
    fn a_closed_window_costs_no_turn() {
        let mut scheduler = RoundRobin::default();
        let paths = [path(0), path(1)];
        assert_eq!(scheduler.pick(0, &paths).map(|pick| pick.index), Some(0));
        assert_eq!(scheduler.pick(100, &paths).map(|pick| (pick.index, pick.burst)), Some((0, 100)));
    }
}

//! `roundrobin` of the out-of-tree kernel with its defaults (`num_segments` 1, `cwnd_limited`): subflows take
//! turns, a segment each, among those whose congestion window has room. The backup flag has no effect, as
//! there.

use super::{Fill, Pick, Request, Scheduler, SchedulerView};

/// Whose turn it was.
#[derive(Debug, Default)]
pub struct RoundRobin {
    /// Subflows that had their turn in this round.
    served: Vec<bool>,
}

impl RoundRobin {
    fn had_turn(&self, index: usize) -> bool {
        self.served.get(index).copied().unwrap_or(false)
    }

    fn note(&mut self, index: usize, served: bool) {
        if self.served.len() <= index {
            self.served.resize(index + 1, false);
        }
        self.served[index] = served;
    }
}

impl Scheduler for RoundRobin {
    fn name(&self) -> &'static str {
        "roundrobin"
    }

    fn pick(&mut self, request: &Request, paths: &[SchedulerView]) -> Option<Pick> {
        let usable = |path: &&SchedulerView| path.has_room() && !path.potentially_failed;
        // What is sent again prefers subflows that have not carried it (SCHED-02); the oldest first.
        let again = paths.iter().any(|path| path.used);
        let oldest_first = |path: &&SchedulerView| path.index;
        let next = if again {
            let unused = paths.iter().filter(usable).filter(|path| !path.used).min_by_key(oldest_first);
            unused.or_else(|| paths.iter().filter(usable).min_by_key(oldest_first))?
        } else {
            if paths.iter().filter(usable).all(|path| self.had_turn(path.index)) {
                // The round is over for those that could go on.
                paths.iter().filter(usable).for_each(|path| self.note(path.index, false));
            }
            paths.iter().filter(usable).filter(|path| !self.had_turn(path.index)).min_by_key(oldest_first)?
        };
        let burst = u64::from(next.mss).min(request.window) as u32;
        if burst > 0 && !again {
            self.note(next.index, true);
        }
        Some(Pick { index: next.index, burst, exact: true, fills: false })
    }

    fn fill(&self) -> Fill {
        Fill::OneMore
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::path;
    use super::*;

    fn turn(scheduler: &mut RoundRobin, window: u64, paths: &[SchedulerView]) -> Option<(usize, u32)> {
        scheduler.pick(&Request::with_window(window), paths).map(|pick| (pick.index, pick.burst))
    }

    #[test]
    fn subflows_take_turns() {
        // SCHED-08
        let mut scheduler = RoundRobin::default();
        let paths = [path(2), path(1), path(0)];
        let turns: Vec<_> = (0..4).map(|_| turn(&mut scheduler, 1 << 20, &paths)).collect();
        assert_eq!(turns, [Some((0, 1428)), Some((1, 1428)), Some((2, 1428)), Some((0, 1428))]);
        let full = SchedulerView { cwnd_room: 0, ..path(1) };
        let paths = [path(2), full, path(0)];
        assert_eq!(turn(&mut scheduler, 1 << 20, &paths), Some((2, 1428)), "a full window is passed over");
        assert_eq!(turn(&mut scheduler, 1 << 20, &[full]), None);
        let failed = SchedulerView { potentially_failed: true, ..path(0) };
        assert_eq!(turn(&mut scheduler, 1 << 20, &[failed, path(2)]), Some((2, 1428)));
    }

    #[test]
    fn a_closed_window_costs_no_turn() {
        let mut scheduler = RoundRobin::default();
        let paths = [path(0), path(1)];
        assert_eq!(turn(&mut scheduler, 0, &paths), Some((0, 0)));
        assert_eq!(turn(&mut scheduler, 100, &paths), Some((0, 100)));
    }

    #[test]
    fn what_is_sent_again_goes_where_it_has_not_been() {
        // SCHED-02
        let mut scheduler = RoundRobin::default();
        let used = SchedulerView { used: true, ..path(0) };
        assert_eq!(turn(&mut scheduler, 1 << 20, &[path(1), used]), Some((1, 1428)));
        assert_eq!(turn(&mut scheduler, 1 << 20, &[used]), Some((0, 1428)));
    }
}

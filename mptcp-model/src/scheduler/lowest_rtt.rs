//! The default scheduler of the out-of-tree kernel: the lowest smoothed RTT among the subflows whose
//! congestion window has room; one segment at a time. Backups serve only while no other subflow exists.

use super::{Pick, Scheduler, SchedulerView};

/// The scheduler; it has no state.
#[derive(Debug, Default)]
pub struct LowestRtt;

impl Scheduler for LowestRtt {
    fn name(&self) -> &'static str {
        "minrtt"
    }

    fn pick(&mut self, window: u64, paths: &[SchedulerView]) -> Option<Pick> {
        let active = paths.iter().any(|path| !path.backup && !path.in_loss);
        // Ties go to the first in the list (SCHED-16).
        let best = paths
            .iter()
            .filter(|path| path.backup != active && !path.in_loss && path.cwnd_room > 0 && path.has_memory)
            .min_by_key(|path| path.srtt)?;
        let burst = u64::from(best.mss).min(window) as u32;
        Some(Pick { index: best.index, burst, exact: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::Duration;

    fn path(index: usize, srtt: u64, cwnd_room: u32) -> SchedulerView {
        SchedulerView {
            index,
            backup: false,
            queued: 0,
            has_memory: true,
            pacing_rate: 1,
            srtt: Duration::from_millis(srtt),
            cwnd_room,
            mss: 1428,
            in_loss: false,
        }
    }

    #[test]
    fn the_lowest_rtt_with_window_is_chosen() {
        // SCHED-01
        let pick = |paths: &[SchedulerView]| LowestRtt.pick(1 << 20, paths).map(|pick| pick.index);
        assert_eq!(pick(&[path(0, 60, 5), path(1, 20, 5)]), Some(1));
        assert_eq!(pick(&[path(0, 60, 5), path(1, 20, 0)]), Some(0));
        assert_eq!(pick(&[path(0, 60, 0), path(1, 20, 0)]), None);
        assert_eq!(pick(&[path(0, 20, 1), path(1, 20, 1)]), Some(0), "SCHED-16");
    }

    #[test]
    fn backups_wait_while_a_regular_subflow_lives() {
        // PRIO-03
        let backup = SchedulerView { backup: true, ..path(1, 10, 5) };
        assert_eq!(LowestRtt.pick(1 << 20, &[path(0, 60, 0), backup]), None);
        assert_eq!(LowestRtt.pick(1 << 20, &[backup]).map(|pick| pick.index), Some(1));
    }
}

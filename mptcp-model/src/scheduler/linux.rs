//! The default scheduler of upstream Linux (6.18): the subflow whose send buffer would drain first at
//! its pacing rate, given up to 64 KiB at a time. Backup subflows serve only while no other is active.

use super::{Pick, Request, Scheduler, SchedulerView};

/// `MPTCP_SEND_BURST_SIZE`: 64 KiB less room for the headers.
const BURST: u32 = 65_536 - 20 - 40 - 40 - 8;

/// Scheduler state: the smoothed pacing rate of each subflow.
#[derive(Debug, Default)]
pub struct LinuxDefault {
    /// Average rate by subflow index, weighted by the bytes sent at each; 0 is unknown.
    average: Vec<u64>,
}

impl LinuxDefault {
    fn linger(&mut self, path: &SchedulerView) -> Option<u128> {
        if self.average.len() <= path.index {
            self.average.resize(path.index + 1, 0);
        }
        let pace = &mut self.average[path.index];
        if *pace == 0 {
            *pace = path.pacing_rate;
        }
        (*pace > 0).then(|| (u128::from(path.queued) << 32) / u128::from(*pace))
    }
}

impl Scheduler for LinuxDefault {
    fn name(&self) -> &'static str {
        "default"
    }

    fn pick(&mut self, request: &Request, paths: &[SchedulerView]) -> Option<Pick> {
        let active = paths.iter().any(|path| !path.backup);
        let mut best: Option<(u128, &SchedulerView)> = None;
        for path in paths.iter().filter(|path| path.backup != active) {
            let Some(linger) = self.linger(path) else { continue };
            if best.is_none_or(|(least, _)| linger < least) {
                best = Some((linger, path));
            }
        }
        let (_, path) = best?;
        if !path.has_memory {
            return None;
        }
        let burst = u64::from(BURST).min(request.window);
        if burst > 0 {
            let pace = &mut self.average[path.index];
            let sum = u128::from(*pace) * u128::from(path.queued)
                + u128::from(path.pacing_rate) * u128::from(burst);
            *pace = (sum / u128::from(burst + path.queued)) as u64;
        }
        Some(Pick { index: path.index, burst: burst as u32, exact: false, fills: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(index: usize, queued: u64, pacing_rate: u64) -> SchedulerView {
        SchedulerView { queued, pacing_rate, mss: 1424, ..super::super::tests::path(index) }
    }

    #[test]
    fn the_buffer_that_drains_first_is_chosen() {
        // SCHED-12
        let mut scheduler = LinuxDefault::default();
        let paths = [path(0, 60_000, 1_000_000), path(1, 20_000, 1_000_000)];
        assert_eq!(scheduler.pick(&Request::with_window(1 << 20), &paths).map(|pick| pick.index), Some(1));
        let paths = [path(0, 60_000, 8_000_000), path(1, 20_000, 1_000_000)];
        let mut scheduler = LinuxDefault::default();
        assert_eq!(scheduler.pick(&Request::with_window(1 << 20), &paths).map(|pick| pick.index), Some(0));
    }

    #[test]
    fn equal_subflows_are_chosen_in_list_order() {
        // SCHED-16
        let mut scheduler = LinuxDefault::default();
        let paths = [path(0, 0, 1_000_000), path(1, 0, 2_000_000)];
        assert_eq!(scheduler.pick(&Request::with_window(1 << 20), &paths).map(|pick| pick.index), Some(0));
    }

    #[test]
    fn a_backup_serves_only_while_no_other_subflow_is_active() {
        // PRIO-03, SCHED-12
        let mut scheduler = LinuxDefault::default();
        let backup = SchedulerView { backup: true, ..path(1, 0, 1_000_000) };
        let paths = [path(0, 900_000, 1_000_000), backup];
        assert_eq!(scheduler.pick(&Request::with_window(1 << 20), &paths).map(|pick| pick.index), Some(0));
        assert_eq!(
            scheduler.pick(&Request::with_window(1 << 20), &paths[1..]).map(|pick| pick.index),
            Some(1)
        );
    }

    #[test]
    fn a_full_send_buffer_stops_the_connection() {
        let mut scheduler = LinuxDefault::default();
        let full = SchedulerView { has_memory: false, ..path(0, 90_000, 1_000_000) };
        assert_eq!(scheduler.pick(&Request::with_window(1 << 20), &[full]), None);
    }

    #[test]
    fn a_burst_is_64_kib_less_headers_or_what_the_window_leaves() {
        let mut scheduler = LinuxDefault::default();
        let paths = [path(0, 0, 1_000_000)];
        assert_eq!(
            scheduler.pick(&Request::with_window(1 << 20), &paths).map(|pick| pick.burst),
            Some(65_428)
        );
        assert_eq!(scheduler.pick(&Request::with_window(1000), &paths).map(|pick| pick.burst), Some(1000));
    }
}

//! The default scheduler of the out-of-tree kernel: the lowest smoothed RTT among the subflows whose
//! congestion window has room, as many segments as that takes, and no segment twice on a subflow while another has not
//! carried it (`mptcp_sched.c`). Backups serve only while no other subflow can. Of equal ones the first in the
//! slice is taken, which is the newest in the lists of that kernel.

use super::{Fill, Pick, Request, Scheduler, SchedulerView};

/// The scheduler; it has no state.
#[derive(Debug, Default)]
pub struct LowestRtt;

/// What a search found.
#[derive(Clone, Copy, Debug)]
struct Found<'a> {
    best: Option<&'a SchedulerView>,
    /// There is a subflow that has not carried the segment, though it may be busy: the answer stands.
    settled: bool,
}

fn search(paths: &[SchedulerView], backup: bool, forget: bool) -> Found<'_> {
    let (mut best, mut unused_found): (Option<&SchedulerView>, bool) = (None, false);
    for path in paths.iter().filter(|path| path.backup == backup && !path.potentially_failed) {
        let unused = forget || !path.used;
        if unused_found && !unused {
            continue;
        }
        if !path.has_room() {
            unused_found |= unused;
            continue;
        }
        if unused && !std::mem::replace(&mut unused_found, true) {
            // What carried it already does not compete.
            best = None;
        }
        if best.is_none_or(|best| path.srtt < best.srtt) {
            best = Some(path);
        }
    }
    Found { best, settled: unused_found }
}

/// The subflow that the default scheduler would take (SCHED-01, SCHED-02).
#[inline]
pub(super) fn lowest_rtt(paths: &[SchedulerView]) -> Option<&SchedulerView> {
    let fresh = |path: &SchedulerView| !(path.backup | path.potentially_failed | path.used);
    let (mut best, mut settled): (Option<&SchedulerView>, bool) = (None, false);
    for path in paths.iter().filter(|path| fresh(path)) {
        settled = true;
        if path.has_room() && best.is_none_or(|best| path.srtt < best.srtt) {
            best = Some(path);
        }
    }
    if settled { best } else { lowest_rtt_of_all(paths) }
}

/// The same where no regular subflow is left that has not carried the segment.
#[cold]
fn lowest_rtt_of_all(paths: &[SchedulerView]) -> Option<&SchedulerView> {
    for forget in [false, true] {
        let regular = search(paths, false, forget);
        if regular.settled {
            return regular.best;
        }
        let backup = search(paths, true, forget);
        if backup.settled {
            return backup.best;
        }
    }
    None
}

/// The fastest subflow, with room or without, if it is another than `best`: the one to wait for.
pub(super) fn faster_than<'a>(best: &SchedulerView, paths: &'a [SchedulerView]) -> Option<&'a SchedulerView> {
    let fastest = paths.iter().filter(|path| !path.srtt.is_zero()).min_by_key(|path| path.srtt);
    fastest.filter(|fast| fast.index != best.index)
}

/// One segment on `path`.
pub(super) fn one_segment(path: &SchedulerView, request: &Request) -> Pick {
    let burst = u64::from(path.mss).min(request.window) as u32;
    Pick { index: path.index, burst, exact: true, fills: false }
}

/// Segments on `path` as long as it stays the choice, which is until its window is full; one, where its buffer may be full
/// before.
fn segments(path: &SchedulerView, paths: &[SchedulerView], request: &Request) -> Pick {
    /// More than the buffers of a segment take besides its octets.
    const OVERHEAD: u64 = 4096;
    let (room, mss) = (u64::from(path.cwnd_room), u64::from(path.mss));
    let all = path.memory_room > room * (mss + OVERHEAD);
    let wanted = if all { room * mss } else { mss };
    let burst = wanted.min(request.window).min(u64::from(u32::MAX));
    let fills =
        all && burst == wanted && !paths.iter().any(|other| other.has_room() && other.index != path.index);
    Pick { index: path.index, burst: burst as u32, exact: true, fills }
}

impl Scheduler for LowestRtt {
    fn name(&self) -> &'static str {
        "minrtt"
    }

    fn pick(&mut self, request: &Request, paths: &[SchedulerView]) -> Option<Pick> {
        lowest_rtt(paths).map(|path| segments(path, paths, request))
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

    fn pick(paths: &[SchedulerView]) -> Option<usize> {
        LowestRtt.pick(&Request::with_window(1 << 20), paths).map(|pick| pick.index)
    }

    #[test]
    fn the_lowest_rtt_with_window_is_chosen() {
        // SCHED-01
        assert_eq!(pick(&[path(0, 60, 5), path(1, 20, 5)]), Some(1));
        assert_eq!(pick(&[path(0, 60, 5), path(1, 20, 0)]), Some(0));
        assert_eq!(pick(&[path(0, 60, 0), path(1, 20, 0)]), None);
        assert_eq!(pick(&[path(0, 20, 1), path(1, 20, 1)]), Some(0), "SCHED-16");
    }

    #[test]
    fn only_a_choice_that_leaves_no_room_anywhere_is_the_last() {
        let fills = |window, paths: &[SchedulerView]| {
            LowestRtt.pick(&Request::with_window(window), paths).is_some_and(|pick| pick.fills)
        };
        let (fast, full, slow) = (path(0, 20, 5), path(1, 60, 0), path(1, 60, 5));
        assert!(fills(1 << 20, &[fast, full]));
        assert!(!fills(1 << 20, &[fast, slow]), "the slower one is next");
        assert!(!fills(2000, &[fast, full]), "the window lets less go");
        let small = SchedulerView { memory_room: 9000, ..fast };
        assert!(!fills(1 << 20, &[small, full]), "the buffer may be full before");
    }

    #[test]
    fn backups_wait_while_a_regular_subflow_can_serve() {
        // PRIO-03, PRIO-04
        let backup = SchedulerView { backup: true, ..path(1, 10, 5) };
        assert_eq!(pick(&[path(0, 60, 0), backup]), None);
        assert_eq!(pick(&[backup]), Some(1));
        let failed = SchedulerView { potentially_failed: true, ..path(0, 60, 5) };
        assert_eq!(pick(&[failed, backup]), Some(1));
        assert_eq!(pick(&[failed]), None);
    }

    #[test]
    fn a_segment_goes_where_it_has_not_been_or_waits_for_room_there() {
        // SCHED-02
        let used = SchedulerView { used: true, ..path(0, 20, 5) };
        assert_eq!(pick(&[used, path(1, 60, 5)]), Some(1));
        assert_eq!(pick(&[path(1, 60, 5), used]), Some(1));
        assert_eq!(pick(&[path(1, 60, 0), used]), None);
        assert_eq!(pick(&[used]), Some(0), "all have carried it");
    }

    #[test]
    fn an_unconfirmed_subflow_takes_only_what_follows() {
        // SCHED-04
        let behind = SchedulerView { out_of_order: true, ..path(0, 20, 5) };
        assert_eq!(pick(&[behind, path(1, 60, 5)]), Some(1));
    }
}

//! COUPLED, the fully coupled algorithm (Kelly and Voice 2005; Han et al. 2006; in windows: Wischik et al.,
//! NSDI 2011): every subflow grows by `1 / w_total` per acknowledged segment and gives up `w_total / 2` on
//! loss, but keeps one segment. All traffic goes to the paths with the least loss; it ignores differences of
//! round-trip time and is known to flap and to get stuck at a window of 1. A baseline of the literature.

use sim_core::Instant;

use super::coupling::{self, Credit};
use super::{AckEvent, Cause, CongestionControl, PathView, Window, reno};

/// The `coupled` algorithm of one subflow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coupled {
    credit: Credit,
}

/// All windows together, in bytes.
fn total(paths: &[PathView]) -> f64 {
    paths.iter().filter(|path| coupling::usable(path)).map(coupling::bytes).sum()
}

/// Segments of growth of subflow `own` for one acknowledged segment.
pub(super) fn increase(own: &PathView, paths: &[PathView]) -> f64 {
    f64::from(own.mss.max(1)) / total(paths)
}

/// The window of `own`, now `cwnd`, after a loss, in segments.
pub(super) fn after_loss(cwnd: u32, own: &PathView, paths: &[PathView]) -> f64 {
    (f64::from(cwnd) - total(paths) / (2.0 * f64::from(own.mss.max(1)))).max(1.0)
}

impl CongestionControl for Coupled {
    fn name(&self) -> &'static str {
        "coupled"
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]) {
        coupling::grow(window, &mut self.credit, ack, me, paths, increase);
    }

    fn ssthresh(
        &mut self,
        window: &Window,
        _cause: Cause,
        _now: Instant,
        me: usize,
        paths: &[PathView],
    ) -> u32 {
        self.credit.clear();
        coupling::coupled(me, paths)
            .map_or_else(|| reno::halved(window), |own| after_loss(window.cwnd, own, paths) as u32)
    }

    fn is_coupled(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, path, window};
    use super::*;

    #[test]
    fn growth_and_loss_count_the_total_window() {
        let paths = [path(30, 50), path(10, 200)];
        assert_close(increase(&paths[0], &paths), 0.025);
        let mut flow = Coupled::default();
        assert_eq!(flow.ssthresh(&window(30, 30), Cause::Loss, Instant::ZERO, 0, &paths), 10);
        assert_eq!(flow.ssthresh(&window(10, 10), Cause::Loss, Instant::ZERO, 1, &paths), 1);
    }

    #[test]
    fn alone_it_halves_like_reno() {
        assert_eq!(Coupled::default().ssthresh(&window(30, 30), Cause::Loss, Instant::ZERO, 0, &[]), 15);
    }
}

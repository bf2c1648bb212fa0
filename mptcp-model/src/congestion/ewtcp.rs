//! EWTCP, "equally weighted TCP" (Honda et al., PFLDNeT 2009, in the form of Wischik et al., NSDI 2011):
//! each of n subflows grows by `(1/n^2) / w` per acknowledged segment and halves on loss, which makes it
//! 1/n of a TCP. There is no coupling beyond the count, so traffic does not move off congested paths.
//! A baseline of the literature; the adaptive weights of the first paper are left out.

use sim_core::Instant;

use super::coupling::{self, Credit};
use super::{AckEvent, Cause, CongestionControl, PathView, Window, reno};

/// The `ewtcp` algorithm of one subflow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ewtcp {
    credit: Credit,
}

/// Segments of growth of subflow `own` for one acknowledged segment.
pub(super) fn increase(own: &PathView, paths: &[PathView]) -> f64 {
    let flows = f64::from(coupling::count(paths).max(1));
    1.0 / (flows * flows * f64::from(coupling::segments(own)))
}

impl CongestionControl for Ewtcp {
    fn name(&self) -> &'static str {
        "ewtcp"
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]) {
        coupling::grow(window, &mut self.credit, ack, me, paths, increase);
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
        reno::halved(window)
    }

    fn is_coupled(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_close, path};
    use super::*;

    #[test]
    fn each_of_two_flows_grows_a_quarter_as_fast_as_reno() {
        let paths = [path(10, 50), path(40, 200)];
        assert_close(increase(&paths[0], &paths), 0.025);
        assert_close(increase(&paths[1], &paths), 0.006_25);
    }
}

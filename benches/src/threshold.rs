//! A congestion control with a slow-start threshold of its own for each subflow, as the `ssthresh` metric
//! of a route would set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mptcp_model::congestion::{
    AckEvent, CaState, Cause, CongestionControl, Parameters, PathView, Window, create,
};
use mptcp_model::mptcp::CongestionFactory;
use sim_core::{Duration, Instant};

#[derive(Debug)]
struct Threshold {
    inner: Box<dyn CongestionControl>,
    segments: u32,
}

impl CongestionControl for Threshold {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn on_established(&mut self, now: Instant, window: &mut Window, path: &PathView) {
        window.ssthresh = self.segments;
        self.inner.on_established(now, window, path);
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]) {
        self.inner.on_ack(window, ack, me, paths);
    }

    fn on_rtt_sample(&mut self, window: &mut Window, ack: &AckEvent, rtt: Duration) {
        self.inner.on_rtt_sample(window, ack, rtt);
    }

    fn ssthresh(
        &mut self,
        window: &Window,
        cause: Cause,
        now: Instant,
        me: usize,
        paths: &[PathView],
    ) -> u32 {
        self.inner.ssthresh(window, cause, now, me, paths)
    }

    fn on_state_change(&mut self, window: &mut Window, old: CaState, new: CaState) {
        self.inner.on_state_change(window, old, new);
    }

    fn undo_cwnd(&mut self, window: &Window, prior: u32) -> u32 {
        self.inner.undo_cwnd(window, prior)
    }

    fn on_transmit_start(&mut self, window: &mut Window, now: Instant, idle: Duration) {
        self.inner.on_transmit_start(window, now, idle);
    }

    fn on_cwnd_restart(&mut self, window: &mut Window, now: Instant) {
        self.inner.on_cwnd_restart(window, now);
    }

    fn is_coupled(&self) -> bool {
        self.inner.is_coupled()
    }

    fn pacing_rate(&self) -> Option<u64> {
        self.inner.pacing_rate()
    }
}

/// Makes the congestion control `name`.
pub(crate) fn plain(name: &'static str) -> CongestionFactory {
    Arc::new(move || create(name, &Parameters::new()).expect("a congestion control without parameters"))
}

/// Makes the congestion control `name` for one connection whose subflows begin with these thresholds, in
/// segments.
pub(crate) fn with_thresholds(name: &'static str, thresholds: &'static [u32]) -> CongestionFactory {
    let make = plain(name);
    // The connection makes one that belongs to no subflow before all others.
    let made = AtomicUsize::new(0);
    Arc::new(move || {
        let number = made.fetch_add(1, Ordering::Relaxed).saturating_sub(1);
        let segments = thresholds.get(number).copied().unwrap_or(Window::INFINITE_SSTHRESH);
        Box::new(Threshold { inner: make(), segments })
    })
}

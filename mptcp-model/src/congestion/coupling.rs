//! What the coupled algorithms share: which subflows count, the window each one stands for, growth in
//! fractions of a segment, and the counting of ACKs as the out-of-tree Linux MPTCP kernel does it.

use super::{AckEvent, CaState, PathView, Window, reno};

/// How an algorithm computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// The published equations in floating point; growth counts acknowledged segments.
    #[default]
    Exact,
    /// The integers of the out-of-tree kernel (v0.8x to v0.96): scaled, rounded down, and growth
    /// counts ACKs, so that delayed ACKs halve it.
    Linux,
}

/// The integer modes hold the smoothed round-trip time in units of 1/8 microsecond.
pub(super) fn srtt_eighth_micros(path: &PathView) -> u64 {
    path.srtt.as_nanos() / 125
}

/// Whether the subflow takes part: it must have a round-trip sample.
pub(super) fn usable(path: &PathView) -> bool {
    !path.srtt.is_zero()
}

/// The window a subflow stands for, in segments. In fast recovery that is its threshold, as RFC 6356
/// has it, because the window itself is inflated or on its way down.
pub(super) fn segments(path: &PathView) -> u32 {
    let recovering = matches!(path.state, CaState::Recovery | CaState::Cwr);
    if recovering && path.ssthresh < Window::INFINITE_SSTHRESH {
        path.ssthresh.max(1)
    } else {
        path.cwnd.max(1)
    }
}

/// [`segments`] in bytes.
pub(super) fn bytes(path: &PathView) -> f64 {
    f64::from(segments(path)) * f64::from(path.mss.max(1))
}

/// Round-trip time in nanoseconds; every formula is homogeneous in time, so the unit cancels.
pub(super) fn rtt(path: &PathView) -> f64 {
    path.srtt.as_nanos() as f64
}

/// The subflow `me`, if coupling means anything for it: it and at least one other are usable.
pub(super) fn coupled(me: usize, paths: &[PathView]) -> Option<&PathView> {
    let own = paths.get(me).filter(|path| usable(path))?;
    (paths.iter().filter(|path| usable(path)).nth(1).is_some()).then_some(own)
}

/// Number of usable subflows.
pub(super) fn count(paths: &[PathView]) -> u32 {
    paths.iter().filter(|path| usable(path)).count() as u32
}

/// Growth below one segment, carried to the next ACK.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Credit(f64);

impl Credit {
    /// Sums of 1/w must reach 1 after w ACKs in spite of rounding.
    const ROUNDING: f64 = 1e-9;

    /// Changes the window by `amount` segments, whole segments at a time, between 1 and the clamp.
    pub(super) fn apply(&mut self, window: &mut Window, amount: f64) {
        self.0 += amount;
        if self.0 >= 1.0 - Self::ROUNDING {
            let steps = (self.0 + Self::ROUNDING) as u32;
            self.0 -= f64::from(steps);
            window.cwnd = window.cwnd.saturating_add(steps).min(window.clamp).max(1);
        } else if self.0 <= -1.0 + Self::ROUNDING {
            self.0 += 1.0;
            window.cwnd = (window.cwnd - 1).max(1);
        }
    }

    /// Forgets the fraction, at a loss.
    pub(super) fn clear(&mut self) {
        self.0 = 0.0;
    }
}

/// Exact growth for one ACK: slow start as in Reno, then `increase` segments per acknowledged segment.
/// A flow with no other to couple with is plain Reno.
pub(super) fn grow(
    window: &mut Window,
    credit: &mut Credit,
    ack: &AckEvent,
    me: usize,
    paths: &[PathView],
    increase: impl FnOnce(&PathView, &[PathView]) -> f64,
) {
    let Some(own) = coupled(me, paths) else {
        return reno::grow(window, ack);
    };
    if !ack.cwnd_limited || ack.delivered == 0 {
        return;
    }
    let mut acked = ack.delivered;
    if window.in_slow_start() {
        acked = reno::slow_start(window, acked);
        if acked == 0 {
            return;
        }
    }
    credit.apply(window, f64::from(acked) * increase(own, paths));
}

/// Slow start of the out-of-tree kernel: what an ACK has left over is dropped. Returns whether the ACK
/// counts for congestion avoidance.
pub(super) fn linux_past_slow_start(window: &mut Window, ack: &AckEvent) -> bool {
    if !ack.cwnd_limited || ack.delivered == 0 {
        return false;
    }
    if window.in_slow_start() {
        reno::slow_start(window, ack.delivered);
        return false;
    }
    true
}

/// The out-of-tree kernel's counter: compares before it counts, so one segment of growth takes
/// `threshold` + 1 ACKs.
pub(super) fn linux_count_ack(window: &mut Window, threshold: u32) {
    if window.cwnd_cnt >= threshold {
        window.cwnd = window.cwnd.saturating_add(1).min(window.clamp).max(1);
        window.cwnd_cnt = 0;
    } else {
        window.cwnd_cnt += 1;
    }
}

/// Remembers what a cached result was computed from. LIA in the kernel recomputes on every change of a window, Balia
/// on changes of state, neither on those of a round-trip time; an order-dependent sum tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint of these windows; never the default one.
    pub(super) fn of(paths: &[PathView]) -> Self {
        Self(paths.iter().filter(|path| usable(path)).fold(1, |sum: u64, path| {
            sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(path.cwnd)).wrapping_add(1) | 1 << 63
        }))
    }

    /// The fingerprint of the states of these subflows; never the default one.
    pub(super) fn of_states(paths: &[PathView]) -> Self {
        Self(paths.iter().filter(|path| usable(path)).fold(1, |sum: u64, path| {
            sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(path.state as u64 + 1) | 1 << 63
        }))
    }
}

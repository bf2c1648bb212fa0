//! What kept a flow from sending more while it had something to send (`tcp_chrono_start`): the times
//! `tcpi_busy_time`, `tcpi_rwnd_limited` and `tcpi_sndbuf_limited`, in the milliseconds of Linux.

use sim_core::Instant;

/// What limits a flow; the later ones go before the earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    /// Nothing to send, or to be acknowledged.
    #[default]
    Idle,
    /// The network.
    Busy,
    /// The window of the peer.
    Window,
    /// The send buffer: it is full, and all of it was sent.
    Buffer,
}

/// Times spent under each limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chrono {
    limit: Limit,
    since: u64,
    spent: [u64; 4],
}

const fn millis(at: Instant) -> u64 {
    at.as_nanos() / 1_000_000
}

impl Chrono {
    /// `limit` applies, besides those before it.
    #[inline]
    pub(super) fn start(&mut self, now: Instant, limit: Limit) {
        if limit > self.limit {
            self.turn(now, limit);
        }
    }

    /// `limit` does not apply any more.
    #[inline]
    pub(super) fn stop(&mut self, now: Instant, limit: Limit) {
        if limit == self.limit {
            self.turn(now, Limit::Busy);
        }
    }

    /// Everything was acknowledged.
    #[inline]
    pub(super) fn rest(&mut self, now: Instant) {
        self.turn(now, Limit::Idle);
    }

    fn turn(&mut self, now: Instant, limit: Limit) {
        self.spent[self.limit as usize] += millis(now).saturating_sub(self.since);
        self.since = millis(now);
        self.limit = limit;
    }

    pub(crate) fn limit(&self) -> Limit {
        self.limit
    }

    /// Milliseconds under a limit so far; those of [`Limit::Busy`] include the others.
    pub(crate) fn total(&self, now: Instant, limit: Limit) -> u64 {
        let mut spent = self.spent;
        spent[self.limit as usize] += millis(now).saturating_sub(self.since);
        match limit {
            Limit::Busy => spent[1..].iter().sum(),
            limit => spent[limit as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_flow_is_busy_whatever_else_limits_it() {
        // TCP-24
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut chrono = Chrono::default();
        chrono.start(at(5), Limit::Busy);
        chrono.start(at(10), Limit::Window);
        chrono.start(at(12), Limit::Busy);
        chrono.stop(at(30), Limit::Window);
        chrono.rest(at(35));
        let totals = [Limit::Busy, Limit::Window, Limit::Buffer].map(|limit| chrono.total(at(90), limit));
        assert_eq!(totals, [30, 20, 0]);
    }
}

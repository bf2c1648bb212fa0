//! Networks that swallow SYNs with MP_CAPABLE while others pass (`net/mptcp/ctrl.c`): after such a connection,
//! active opens of the host go without the option for a while.

use sim_core::{Duration, Instant};

use super::{Host, SocketId};

/// The wait doubles no more often than this.
const DOUBLINGS_MAX: u32 = 6;

/// What a host knows of its network.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Blackhole {
    /// Connections in a row that came about only without MP_CAPABLE.
    times: u32,
    /// When the last one did.
    last: Instant,
}

impl Blackhole {
    /// Whether a connection opened now should not offer MPTCP; `timeout` is the first wait.
    fn is_expected(self, now: Instant, timeout: Duration) -> bool {
        self.times > 0 && now < self.last + timeout * (1 << (self.times - 1).min(DOUBLINGS_MAX))
    }
}

impl Host {
    /// Whether active opens go without MP_CAPABLE.
    pub(super) fn expects_blackhole(&self, now: Instant, timeout: Duration) -> bool {
        self.blackhole.is_expected(now, timeout)
    }

    /// A connection learnt something: if that is whether MP_CAPABLE passes, remember it.
    pub(super) fn note_blackhole(&mut self, now: Instant, socket: SocketId) {
        let Some(connection) = self.connection_mut(socket) else { return };
        let configured = connection.blackhole_timeout();
        match connection.take_blackholed() {
            Some(true) if !configured.is_zero() => {
                self.blackhole.times = self.blackhole.times.saturating_add(1);
                self.blackhole.last = now;
                self.stats.blackholes += 1;
            }
            Some(false) => self.blackhole.times = 0,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_64_times() {
        // TIME-08
        let hour = Duration::from_secs(3600);
        let after = |times: u32, hours: u64| {
            let start = Instant::from_nanos(5);
            Blackhole { times, last: start }.is_expected(start + hour * hours, hour)
        };
        assert!(!after(0, 0));
        for (times, hours) in [(1, 1), (2, 2), (3, 4), (7, 64), (8, 64), (100, 64)] {
            assert!(after(times, hours - 1) && !after(times, hours), "{times} events, {hours} h");
        }
    }
}

//! Probes of an idle connection (RFC 9293, section 3.8.4), as Linux sends them: a segment without data before
//! the window, first after `idle`, then every `interval`; a connection that answers none of them is reset.
//!
//! An established flow has no other use for the timer of its state, which therefore serves.

use sim_core::{Duration, Instant};

use super::{Flow, Forced, OutputDue, TcpState};
use crate::path_manager::CloseReason;

/// A timer that is due expires on the next tick.
const LEAST: Duration = Duration::from_micros(1);

impl Flow {
    /// The idle time begins, if there are to be probes. One that runs counts from the last segment that came
    /// (`tcp_sock_set_keepidle_locked`).
    pub(crate) fn start_keepalive(&mut self, now: Instant) {
        self.keepalive_probes = 0;
        let silent = match self.state_timer {
            Some(_) => now.saturating_since(self.received_at),
            None => Duration::ZERO,
        };
        self.state_timer = self
            .config
            .keepalive
            .map(|settings| self.config.expiry(now, settings.idle.saturating_sub(silent).max(LEAST)));
    }

    /// Whether probes go on though this end has closed: the application still holds the socket.
    pub(crate) fn probes_idle(&self) -> bool {
        self.config.keepalive.is_some()
            && !self.orphaned
            && matches!(
                self.state,
                TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing | TcpState::LastAck
            )
    }

    /// The timer expired (`tcp_keepalive_timer`). Returns whether the flow ended.
    pub(crate) fn keepalive_timeout(&mut self, now: Instant) -> bool {
        let Some(settings) = self.config.keepalive else { return false };
        let silent = now.saturating_since(self.received_at);
        let next = if !self.queue.is_empty() {
            // What is outstanding has its own timer.
            settings.idle
        } else if silent < settings.idle {
            self.keepalive_probes = 0;
            settings.idle - silent
        } else {
            let user_timeout = self.config.user_timeout;
            let given_up = if user_timeout.is_zero() {
                self.keepalive_probes >= settings.probes
            } else {
                silent >= user_timeout && self.keepalive_probes > 0
            };
            if given_up {
                let seq = self.snd_nxt;
                self.finish(CloseReason::TimedOut);
                self.due.add(OutputDue::RESET);
                self.reset_seq = seq;
                return true;
            }
            self.keepalive_probes += 1;
            self.force(Forced::Probe);
            settings.interval
        };
        self.state_timer = Some(self.config.expiry(now, next.max(LEAST)));
        false
    }
}

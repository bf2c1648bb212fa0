//! Whether the congestion window limits what is sent (RFC 7661, RFC 2861), and what idling makes of the window (RFC 5681,
//! section 4.1).

use sim_core::Instant;

use super::chrono::Limit;
use super::{Flow, OutputDue};
use crate::congestion::CaState;

impl Flow {
    pub(super) fn cwnd_limited(&mut self, now: Instant) {
        self.is_cwnd_limited = true;
        self.max_packets_out = self.max_packets_out.max(self.queue.packets_out());
        self.cwnd_usage_seq = self.snd_nxt;
        self.cwnd_used = 0;
        self.cwnd_stamp = now;
        self.due.clear(OutputDue::VALIDATE);
    }

    /// After a round of sending: did the window limit it (`tcp_cwnd_validate`, RFC 7661)?
    pub(super) fn validate_window(&mut self, now: Instant) {
        let out = self.queue.packets_out();
        let limited = self.queue.in_flight() >= self.window.cwnd;
        let more = out > self.max_packets_out;
        let tells =
            if self.config.usage_by_flight { more } else { limited || (!self.is_cwnd_limited && more) };
        if self.snd_una >= self.cwnd_usage_seq || tells {
            self.is_cwnd_limited = limited;
            self.max_packets_out = out;
            self.cwnd_usage_seq = self.snd_nxt;
        }
        if self.was_cwnd_limited() {
            self.cwnd_used = 0;
            self.cwnd_stamp = now;
        } else {
            self.cwnd_used = self.cwnd_used.max(out);
            let idle = now.saturating_since(self.cwnd_stamp);
            if self.config.slow_start_after_idle && idle >= self.rtt.rto() && !self.by_rate {
                self.application_limited(now);
            }
            if self.wants_space && self.queue.unsent.is_empty() {
                self.chrono.start(now, Limit::Buffer);
            }
        }
    }

    /// RFC 2861: an application-limited flow keeps what it used (`tcp_cwnd_application_limited`), unless the
    /// application waits for room in the send buffer.
    fn application_limited(&mut self, now: Instant) {
        if self.ca_state == CaState::Open && !self.wants_space {
            let used = self.cwnd_used.max(self.config.initial_cwnd);
            if used < self.window.cwnd {
                let cwnd = self.window.cwnd;
                self.window.ssthresh = self.window.ssthresh.max(cwnd / 2 + cwnd / 4);
                self.window.cwnd = u32::midpoint(cwnd, used);
            }
            self.cwnd_used = 0;
        }
        self.cwnd_stamp = now;
    }

    /// Data is written with nothing outstanding (`tcp_slow_start_after_idle_check`, RFC 5681, section 4.1).
    pub(super) fn resume_after_idle(&mut self, now: Instant) {
        let idle = now.saturating_since(self.last_send);
        let rto = self.rtt.rto();
        let kept = self.subordinate || self.by_rate;
        if !self.config.slow_start_after_idle || idle <= rto || self.snd_una <= 1 || kept {
            return;
        }
        let mut cwnd = self.window.cwnd;
        let restart = self.config.initial_cwnd.min(cwnd);
        self.window.ssthresh = self.window.ssthresh.max(cwnd / 2 + cwnd / 4);
        let mut left = idle - rto;
        loop {
            cwnd >>= 1;
            if cwnd <= restart || left < rto {
                break;
            }
            left -= rto;
        }
        self.window.cwnd = cwnd.max(restart);
        self.cwnd_stamp = now;
        self.cwnd_used = 0;
    }
}

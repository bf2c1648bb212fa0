//! What limits the sender besides recovery: whether the window was used, the pacing rate, the send window with its
//! probes, and the send buffer.

use sim_core::Instant;

use super::{Flow, XmitTimer};

impl Flow {
    /// `tcp_is_cwnd_limited`.
    pub(super) fn was_cwnd_limited(&self) -> bool {
        let fed = self.window.cwnd < 2 * self.max_packets_out;
        if self.config.usage_by_flight && self.window.in_slow_start() {
            return fed;
        }
        self.is_cwnd_limited || (self.window.in_slow_start() && fed)
    }

    /// Rate at which the flow would pace: twice the window per RTT in slow start, 1.2 times later
    /// (`tcp_update_pacing_rate`), in bytes per second.
    pub(crate) fn update_pacing_rate(&mut self) {
        if self.by_rate
            && let Some(rate) = self.cc.pacing_rate()
        {
            self.pacing_rate = rate;
            return;
        }
        let mss = u64::from(self.mss_now(0));
        let percent = if self.window.cwnd < self.window.ssthresh / 2 { 200 } else { 120 };
        let cwnd = u64::from(self.window.cwnd.max(self.queue.packets_out()));
        let bytes = mss * percent * cwnd * 10_000 * 8;
        let srtt = u64::from(self.rtt.srtt_us8());
        self.pacing_rate = bytes.checked_div(srtt).unwrap_or(bytes);
    }

    pub(super) fn ack_probe(&mut self, now: Instant) {
        if let Some((_, XmitTimer::Persist)) = self.xmit_timer {
            self.retries = 0;
            if self.window_allows_next() {
                self.rtt.reset_backoff();
                self.xmit_timer = None;
            } else {
                self.arm_persist(now);
            }
        }
    }

    pub(super) fn window_opened(&mut self) {
        if let Some((_, XmitTimer::Persist)) = self.xmit_timer
            && self.window_allows_next()
        {
            self.rtt.reset_backoff();
            self.xmit_timer = None;
        }
    }

    /// Whether the send window lets the next chunk begin.
    pub(crate) fn window_allows_next(&self) -> bool {
        let window_end = self.snd_una + self.snd_wnd;
        match self.queue.unsent.front() {
            Some(chunk) => chunk.start + u64::from(chunk.len.min(self.mss_now(0))) <= window_end,
            None => !self.fin_waits() || self.snd_nxt < window_end,
        }
    }

    pub(crate) fn can_send_new(&self) -> bool {
        !self.queue.unsent.is_empty() && self.snd_una + self.snd_wnd > self.snd_nxt
    }

    pub(crate) fn sndbuf_max(&self) -> u64 {
        u64::from(self.config.wmem[2])
    }

    /// Send buffer for twice the window (`tcp_sndbuf_expand`).
    pub(crate) fn wanted_sndbuf(&self) -> u64 {
        const HEADER: u64 = 256;
        const SHARED_INFO: u64 = 320;
        const SK_BUFF: u64 = 256;
        let data = u64::from(self.segment_mss) + HEADER + SHARED_INFO;
        let per_segment = data.next_power_of_two() + SK_BUFF;
        let segments = self.window.cwnd.max(10).max(self.reordering + 1);
        // `bbr_sndbuf_expand`: a window of two products in flight, and a half more on its way there.
        let factor = if self.by_rate { 3 } else { 2 };
        factor * u64::from(segments) * per_segment
    }

    /// After an ACK and what it let go: a sender that waits for room and does not fill its window gets a
    /// larger buffer (`tcp_new_space`, `tcp_should_expand_sndbuf`), and does not count as limited by its application.
    /// Linux 6.18 looks after the first burst: what `SO_SNDBUF` tells grows with an ACK that lets a second one go, too.
    pub(crate) fn expand_sndbuf(&mut self, now: Instant) {
        let bursts = std::mem::take(&mut self.bursts);
        if self.wants_space && (bursts > 1 || self.queue.in_flight() < self.window.cwnd) {
            self.cwnd_stamp = now;
            let most = self.sndbuf_max();
            if self.sndbuf >= most {
                return;
            }
            let wanted = self.wanted_sndbuf().min(most);
            if wanted > self.sndbuf {
                self.sndbuf = wanted;
                self.sndbuf_grew = true;
            }
        }
    }
}

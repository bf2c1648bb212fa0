//! When an ACK leaves: at once, delayed, quick or compressed, as in Linux, and with the answer or the reading of an
//! application.

use sim_core::{Duration, Instant};

use super::{MAX_QUICKACKS, ReceiveSpace, Receiver};
use crate::config::TcpConfig;
use crate::tcp::{Flow, TcpState};

const ATO_MIN: Duration = Duration::from_millis(40);

impl Receiver {
    pub(crate) fn cancel_timers(&mut self) {
        self.delack = None;
        self.compressed = None;
        self.ack_scheduled = false;
        self.ack_now = false;
    }

    /// The earlier deadline; [`Instant::FAR_FUTURE`] is none.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        let delack = self.delack.unwrap_or(Instant::FAR_FUTURE);
        delack.min(self.compressed.unwrap_or(Instant::FAR_FUTURE))
    }

    /// Whether either is due before `at`.
    #[inline]
    pub(crate) fn is_due_before(&self, at: Instant) -> bool {
        self.delack.is_some_and(|due| due < at) || self.compressed.is_some_and(|due| due < at)
    }

    /// Whether data waits for an ACK that is not yet due ([`Flow::check_ack`] decides).
    pub(crate) const fn may_delay_ack(&self) -> bool {
        self.ack_scheduled && !self.ack_now
    }

    /// When data arrived last.
    pub(crate) const fn last_data(&self) -> Instant {
        self.last_data
    }

    pub(super) fn quickacks_wanted(&mut self, most: u8) {
        let count = (self.rcv_wnd / (2 * u64::from(self.rcv_mss))).max(2).min(u64::from(most)) as u8;
        self.quick = self.quick.max(count);
    }

    pub(crate) fn enter_quickack(&mut self, most: u8) {
        // The first data asks for all there may be, whatever else it means.
        self.quickacks_wanted(if self.ato.is_zero() { MAX_QUICKACKS } else { most });
        self.pingpong = false;
        self.ato = ATO_MIN;
    }

    pub(super) fn in_quickack(&self) -> bool {
        self.quick > 0 && !self.pingpong
    }

    /// Data is about to leave: the conversation is interactive (`tcp_event_data_sent`).
    pub(crate) fn note_data_sent(&mut self, now: Instant) {
        if self.ack_scheduled_or_recent(now) {
            self.pingpong = true;
        }
    }

    pub(super) fn ack_scheduled_or_recent(&self, now: Instant) -> bool {
        !self.ato.is_zero() && now.saturating_since(self.last_data) < self.ato
    }

    /// An ACK left: counters start anew (`tcp_event_ack_sent`).
    #[inline(always)]
    pub(crate) fn note_ack_sent(&mut self) {
        // Later kernels count only those for new data (`tcp_dec_quickack_mode`).
        if self.ack_scheduled || self.fixed_ratio {
            self.quick = self.quick.saturating_sub(1);
        }
        self.ack_now = false;
        self.ack_scheduled = false;
        self.pushed = 0;
        self.delack = None;
        self.compressed = None;
        self.compressed_count = 0;
        self.dsack = None;
        self.flushed = None;
    }

    /// What a segment says of the size of all of them, and of the share of memory that is payload
    /// (`tcp_measure_rcv_mss`).
    #[inline(always)]
    pub(super) fn measure_mss(&mut self, len: u32, truesize: u32, psh: bool) {
        if len >= self.rcv_mss {
            if len != self.rcv_mss && !self.fixed_ratio {
                let ratio = ((u64::from(len) << 8) / u64::from(truesize)).max(1) as u32;
                if ratio != self.scaling_ratio {
                    self.scaling_ratio = ratio;
                    self.set_window_clamp();
                }
            }
            self.rcv_mss = len.min(self.advmss);
            if psh && !self.fixed_ratio {
                self.pushed |= 1;
            }
        } else if psh {
            self.pushed = if self.pushed & 1 != 0 { 3 } else { 1 };
        }
    }

    /// Data arrived in order (`tcp_event_data_recv`).
    #[inline(always)]
    pub(super) fn note_data(&mut self, now: Instant, len: u32, truesize: u32, psh: bool, rto: Duration) {
        self.ack_scheduled = true;
        self.measure_mss(len, truesize, psh);
        self.measure_window(now);
        if self.ato.is_zero() {
            self.quickacks_wanted(MAX_QUICKACKS);
            self.ato = ATO_MIN;
        } else {
            let gap = now.saturating_since(self.last_data);
            if gap <= ATO_MIN / 2 {
                self.ato = self.ato / 2 + ATO_MIN / 2;
            } else if gap < self.ato {
                self.ato = (self.ato / 2 + gap).min(rto);
            } else if gap > rto {
                self.quickacks_wanted(MAX_QUICKACKS);
            }
        }
        self.last_data = now;
    }

    /// The segment size of the peer before any came (`tcp_initialize_rcv_mss`).
    pub(crate) fn guess_mss(&mut self, mss: u32) {
        let hint = self.advmss.min(mss).min(u32::try_from(self.rcv_wnd / 2).unwrap_or(u32::MAX));
        self.rcv_mss = hint.clamp(88, 536);
    }

    /// Timeout of delayed ACKs (`icsk_ack.ato`).
    pub(crate) const fn ato(&self) -> Duration {
        self.ato
    }

    /// Estimate of the segment size of the peer (`icsk_ack.rcv_mss`).
    pub(crate) const fn rcv_mss(&self) -> u32 {
        self.rcv_mss
    }

    /// Whether reading by the application should send an ACK at once (`tcp_cleanup_rbuf`).
    pub(crate) fn ack_on_read(&self, all_read: bool) -> bool {
        self.ack_scheduled
            && (self.rcv_nxt - self.rcv_wup > u64::from(self.rcv_mss)
                || (all_read && (self.pushed & 2 != 0 || (self.pushed & 1 != 0 && !self.pingpong))))
    }

    pub(super) fn acknowledge_out_of_order(
        &mut self,
        now: Instant,
        config: &TcpConfig,
        sack_ok: bool,
        srtt: Duration,
    ) {
        if !sack_ok || self.compressed_count >= config.comp_sack_segments {
            self.ack_now = true;
            return;
        }
        if self.dup_acks_at != self.rcv_nxt {
            self.dup_acks_at = self.rcv_nxt;
            self.dup_acks = 0;
        }
        // The first three duplicate ACKs leave at once, later ones are compressed (`tcp_ack_snd_check`).
        if self.dup_acks < 3 {
            self.dup_acks += 1;
            self.ack_now = true;
            return;
        }
        self.compressed_count += 1;
        if self.compressed.is_some() {
            return;
        }
        let rtt = if self.rtt_us8 > 0 && self.rtt() < srtt { self.rtt() } else { srtt };
        let rtt = if rtt.is_zero() { self.rtt() } else { rtt };
        self.compressed = Some(now + config.comp_sack_delay.min(rtt / 20) + config.comp_sack_slack);
    }

    pub(super) fn delay_ack(&mut self, now: Instant, config: &TcpConfig, srtt: Duration) {
        let mut ato = self.ato;
        if ato > config.delack_min {
            let mut most = if self.pingpong || self.pushed & 1 != 0 {
                config.delack_max
            } else {
                Duration::from_millis(500)
            };
            if !srtt.is_zero() {
                most = most.min(srtt.max(config.delack_min));
            }
            ato = ato.min(most);
        }
        ato = ato.min(config.delack_max);
        match self.delack {
            Some(at) if at <= now + ato / 4 => self.ack_now = true,
            // A timer never expires before its time: most that run are not put forward.
            Some(at) if at <= now + ato => {}
            Some(at) => self.delack = Some(at.min(config.expiry(now, ato))),
            None => self.delack = Some(config.expiry(now, ato)),
        }
    }

    /// A timer of the receiver may have expired.
    pub(crate) fn handle_timeout(&mut self, now: Instant, rto: Duration) {
        if self.compressed.is_some_and(|at| at <= now) {
            self.compressed = None;
            if self.compressed_count > 0 {
                self.ack_now = true;
            }
        }
        if self.delack.is_some_and(|at| at <= now) {
            self.delack = None;
            if self.ack_scheduled {
                if self.pingpong {
                    self.pingpong = false;
                    self.ato = ATO_MIN;
                } else {
                    self.ato = (self.ato * 2).min(rto);
                }
                self.ack_now = true;
            }
        }
    }

    /// The ACK due waits for what the application sends in answer.
    pub(crate) fn expect_answer(&mut self) {
        self.pingpong = true;
        self.ack_scheduled = true;
    }

    /// The sender asks for an ACK at once.
    pub(crate) fn ack_immediately(&mut self) {
        self.ack_now = true;
    }
}

impl Flow {
    /// Decide whether the data received is acknowledged now or later (`__tcp_ack_snd_check`): the second full
    /// segment is, if nothing waits to be read (`copied`) or the window in `space` still grows.
    #[inline(always)]
    pub(crate) fn check_ack(
        &mut self,
        now: Instant,
        space: impl FnOnce(&Receiver) -> ReceiveSpace,
        copied: bool,
    ) {
        let recv = &mut self.recv;
        if !recv.ack_scheduled || recv.ack_now {
            return;
        }
        let more_than_one = recv.rcv_nxt - recv.rcv_wup > u64::from(recv.rcv_mss);
        let opens = |recv: &Receiver| recv.new_window(space(recv), self.rcv_wscale) >= recv.rcv_wnd;
        if recv.in_quickack() || (more_than_one && (copied || opens(recv))) {
            recv.ack_now = true;
            return;
        }
        let srtt = self.rtt.srtt();
        if recv.ranges.is_empty() {
            recv.delay_ack(now, &self.config, srtt);
        } else {
            recv.acknowledge_out_of_order(now, &self.config, self.sack_ok, srtt);
        }
    }

    /// Whether ACKs wait for what is sent in answer (`inet_csk_in_pingpong_mode`).
    pub(crate) const fn is_interactive(&self) -> bool {
        self.recv.pingpong
    }

    /// `TCP_QUICKACK`
    pub(crate) fn set_quickack(&mut self, on: bool) {
        self.recv.pingpong = !on;
        if on && self.recv.ack_scheduled {
            self.recv.ack_now = true;
        }
    }

    /// An ACK is due because the application read (`tcp_cleanup_rbuf`): data was pushed, or the window
    /// doubled.
    #[inline(always)]
    pub(crate) fn ack_after_read(&mut self, all_read: bool, space: ReceiveSpace) {
        if self.state == TcpState::Closed {
            return;
        }
        if self.recv.ack_on_read(all_read) {
            self.recv.ack_now = true;
            return;
        }
        let current = self.recv.receive_window();
        if 2 * current <= self.recv.window_clamp {
            let new = self.recv.new_window(space, self.rcv_wscale);
            if new > 0 && new >= 2 * current {
                self.recv.ack_now = true;
            }
        }
    }
}

//! Acknowledgments and what follows from them, in the order Linux does it (`tcp_ack`): the recovery states, fast
//! retransmit with PRR (RFC 6937), the retransmission timeout, the growth of the window. Without SACK, three
//! duplicate ACKs mark the first segment lost (RFC 6582). What SACK says stands in `scoreboard`, what time says in
//! `rack`, the undoing of what was not needed in `undo`.

use sim_core::{Duration, Instant};

use super::input::{Outcome, Surroundings};
use super::sendq::SegFlags;
use super::{Flow, Forced, OutputDue, Repair, XmitTimer};
use crate::congestion::{AckEvent, CaState, Cause, PathView, RateSample, Window};
use crate::wire::TcpSegment;
use crate::wire::options::ParsedOptions;

/// Tally of one acknowledgment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Segments cumulatively or selectively acknowledged for the first time.
    pub(super) delivered: u32,
    /// Bytes of payload cumulatively acknowledged.
    pub(super) bytes: u64,
    pub(super) una_advanced: bool,
    pub(super) data_acked: bool,
    pub(super) data_sacked: bool,
    /// A segment never retransmitted was newly (s)acked.
    pub(super) orig_acked: bool,
    pub(super) retrans_acked: bool,
    pub(super) window_update: bool,
    pub(super) dsack: bool,
    pub(super) echo_congestion: bool,
    pub(super) lost_retrans: bool,
    pub(super) set_timer: bool,
    pub(super) fin_acked: bool,
    /// Send times of the first and last never-retransmitted segments acked.
    pub(super) first_acked: Option<Instant>,
    pub(super) last_acked: Option<Instant>,
    pub(super) first_sacked: Option<Instant>,
    pub(super) last_sacked: Option<Instant>,
    /// The duplicate is that of a tail loss probe.
    pub(super) dsack_of_probe: bool,
    /// Lowest segment that was newly sacked below the highest SACK: reordering.
    pub(super) sack_low: u64,
    /// Lowest segment newly acked that was neither sacked nor sent twice.
    pub(super) acked_low: Option<u64>,
    /// Echoed timestamp on this host's clock.
    pub(super) echo: Option<u32>,
}

/// Bound of the degree of reordering in segments (`tcp_max_reordering`).
pub(super) const MAX_REORDERING: u32 = 300;

impl Flow {
    /// Process the acknowledgment of a segment (`tcp_ack`). Returns false if the segment must be dropped.
    pub(crate) fn handle_ack(
        &mut self,
        around: &Surroundings<'_>,
        segment: &TcpSegment,
        options: &ParsedOptions,
        seq: u64,
        outcome: &mut Outcome,
    ) -> bool {
        let now = around.now;
        let ack = segment.ack.to_offset(self.params.iss, self.snd_una);
        if ack > self.snd_nxt as i64 {
            // Acknowledges what was never sent (RFC 9293, section 3.10.7.4).
            self.answer_invalid(now, false);
            return false;
        }
        if ack < self.snd_una as i64 {
            // RFC 5961, section 5.2: too old means blind injection.
            if (ack as i128) < self.snd_una as i128 - self.max_window as i128 {
                self.answer_invalid(now, false);
                return false;
            }
            if self.sack_ok && !options.sack.is_empty() {
                let mut tally = Tally::default();
                self.take_sacks(now, options, ack, self.snd_una, &mut tally);
                self.fast_retransmit_alert(now, self.snd_una, false, &mut tally, around);
            }
            return true;
        }
        let ack = ack as u64;
        if ack == self.snd_una && !segment.payload.is_empty() && self.takes_fast_path(segment) {
            self.rack.advanced = false;
            self.snd_wl1 = seq;
            return true;
        }
        if ack == self.snd_una && self.has_nothing_to_learn(options) {
            // The usual case where data only arrives.
            self.soft_error = None;
            self.rack.advanced = false;
            self.last_ack_received = now;
            self.update_window(segment, seq, ack, ack, &mut Tally::default());
            return true;
        }
        let echo = options.timestamps.filter(|_| self.ts_ok).map(|(_, ecr)| ecr);
        let echo = echo.map(|ecr| ecr.wrapping_sub(self.params.ts_offset));
        let mut tally = Tally { echo, echo_congestion: self.echoes_congestion(segment), ..Tally::default() };
        let prior_una = self.snd_una;
        let prior_in_flight = self.queue.in_flight();
        let prior_lost = self.queue.lost_total;
        self.rack.advanced = false;
        self.last_ack_received = now;

        let prior_sack = self.highest_sack();
        self.soft_error = None;
        self.update_window(segment, seq, ack, prior_una, &mut tally);
        if ack > prior_una {
            tally.una_advanced = true;
            self.snd_una = ack;
            self.retries = 0;
        }
        if self.sack_ok && !options.sack.is_empty() {
            self.take_sacks(now, options, ack as i64, prior_una, &mut tally);
        }
        let had_out = self.queue.packets_out();
        if tally.una_advanced {
            self.clean_queue(now, prior_una, &mut tally);
            outcome.acked = true;
            self.stats.bytes_acked += tally.bytes;
            self.acked_since_loss += tally.bytes;
        }
        self.sample_rtt(now, options, &mut tally);
        if let Some(low) = tally.acked_low.filter(|low| self.sack_ok && *low < prior_sack) {
            // A hole was filled by the original.
            self.note_reordering(low);
        }
        self.delivered += u64::from(tally.delivered);
        if tally.echo_congestion {
            self.delivered_ce += u64::from(tally.delivered);
        }
        if self.ecn.by_marks {
            self.cc.on_delivered(self.delivered, self.delivered_ce, self.snd_una, self.snd_nxt);
        }
        self.update_reo_wnd(tally.data_acked || tally.data_sacked);
        if self.snd_una == self.snd_nxt && self.fin_sent {
            self.fin_acked(now);
            tally.fin_acked = true;
        }
        if had_out == 0 {
            // Nothing was outstanding: at most a window update; a probe may be answered, or what was sent
            // twice is told.
            if tally.dsack {
                self.fast_retransmit_alert(now, prior_una, false, &mut tally, around);
            }
            self.ack_probe(now);
            if self.tlp_high_seq != 0 {
                self.process_tlp_ack(now, ack, &tally, around);
            }
            if tally.window_update {
                self.window_opened();
            }
            return true;
        }
        if self.tlp_high_seq != 0 {
            self.process_tlp_ack(now, ack, &tally, around);
        }
        let carries = !segment.payload.is_empty() || segment.flags.fin();
        let not_dup = carries || tally.window_update || tally.una_advanced;
        let alert = tally.data_sacked || tally.dsack || tally.echo_congestion;
        let dup_ack = !not_dup && !tally.dsack;
        if !not_dup || alert || self.ca_state != CaState::Open {
            self.fast_retransmit_alert(now, prior_una, dup_ack, &mut tally, around);
        }
        if tally.set_timer {
            self.set_xmit_timer(now);
        }
        // No more than are outstanding; a flow that has ended just now has forgotten all.
        let lost = self.queue.lost_total.saturating_sub(prior_lost) as u32;
        self.control_congestion(now, prior_in_flight, lost, &tally, around);
        if tally.window_update || tally.una_advanced {
            self.window_opened();
        }
        self.due.add(OutputDue::SPACE);
        true
    }

    /// Whether an ACK of what was acknowledged already can tell no more than a window.
    fn has_nothing_to_learn(&self, options: &ParsedOptions) -> bool {
        self.queue.sent.is_empty() && options.sack.is_empty() && !self.fin_sent && self.xmit_timer.is_none()
    }

    #[inline]
    fn update_window(&mut self, segment: &TcpSegment, seq: u64, ack: u64, prior_una: u64, tally: &mut Tally) {
        let window = u64::from(segment.window) << self.snd_wscale;
        // RFC 9293, section 3.10.7.4, with the correction of Linux for equal sequence numbers.
        if ack > prior_una
            || seq > self.snd_wl1
            || (seq == self.snd_wl1 && (window > self.snd_wnd || window == 0))
        {
            self.snd_wl1 = seq;
            tally.window_update = true;
            self.wnd_shared = false;
            if window != self.snd_wnd {
                self.snd_wnd = window;
                if self.queue.sent.is_empty() && !self.queue.unsent.is_empty() {
                    self.resume_after_idle(self.last_ack_received);
                }
                if self.mtu_probe.is_some() && window > self.max_window {
                    self.sync_mss();
                }
                self.max_window = self.max_window.max(window);
            }
        }
    }

    fn identify_loss(&mut self, now: Instant, tally: &mut Tally) {
        if self.queue.sent.is_empty() {
            return;
        }
        if !self.sack_ok {
            self.newreno_mark_lost(tally.una_advanced);
            return;
        }
        if !self.rack.advanced {
            return;
        }
        let retrans = self.queue.retrans_out;
        if let Some(wait) = self.rack_detect_loss(now) {
            self.xmit_timer = Some((self.config.expiry(now, wait), XmitTimer::Reorder));
            tally.set_timer = false;
        }
        if self.queue.retrans_out < retrans {
            tally.lost_retrans = true;
        }
        self.rack.advanced = false;
    }

    /// Without SACK, each duplicate ACK stands for a segment delivered (`tcp_add_reno_sack`), as far as there
    /// are any besides those lost (`tcp_limit_reno_sacked`).
    pub(super) fn add_reno_sack(&mut self, dup_ack: bool, tally: &mut Tally) {
        if self.sack_ok || !dup_ack {
            return;
        }
        let out = self.queue.packets_out();
        if self.queue.sacked_out + self.queue.lost_out.max(1).min(out) < out {
            self.queue.sacked_out += 1;
            self.delivered += 1;
            tally.delivered += 1;
        } else {
            // More duplicates than segments that could have caused them (`tcp_check_reno_reordering`).
            self.reordering = out.min(MAX_REORDERING);
            self.reord_seen += 1;
        }
    }

    /// Progress says nothing of what is missing behind it (`tcp_reset_reno_sack`).
    pub(super) const fn reset_reno_sack(&mut self) {
        if !self.sack_ok {
            self.queue.sacked_out = 0;
        }
    }

    fn newreno_mark_lost(&mut self, una_advanced: bool) {
        let enough = self.queue.sacked_out >= self.reordering;
        let partial = self.ca_state == CaState::Recovery && una_advanced;
        if (self.ca_state < CaState::Recovery && enough) || partial {
            self.queue.mark_lost(0);
        }
    }

    fn fast_retransmit_alert(
        &mut self,
        now: Instant,
        prior_una: u64,
        dup_ack: bool,
        tally: &mut Tally,
        around: &Surroundings<'_>,
    ) {
        if self.queue.sent.is_empty() {
            self.queue.sacked_out = 0;
        }
        if tally.echo_congestion {
            // The reduction is required, and not undone.
            self.prior_ssthresh = 0;
        }
        if self.check_sack_reneging(now, tally) {
            return;
        }
        if self.ca_state == CaState::Open {
            self.retrans_stamp = None;
        } else if self.snd_una >= self.high_seq {
            match self.ca_state {
                CaState::Cwr if self.snd_una != self.high_seq => {
                    self.end_reduction(now);
                    self.set_ca_state(CaState::Open);
                }
                CaState::Recovery => {
                    if !self.sack_ok {
                        self.queue.sacked_out = 0;
                    }
                    if self.try_undo_recovery(now, tally) {
                        return;
                    }
                    self.end_reduction(now);
                }
                _ => {}
            }
        }
        match self.ca_state {
            CaState::Recovery => {
                if !tally.una_advanced {
                    self.add_reno_sack(dup_ack, tally);
                } else if self.try_undo_partial(now, prior_una, tally) {
                    return;
                }
                if self.try_undo_dsack() {
                    self.try_to_open();
                }
                self.identify_loss(now, tally);
                if self.ca_state != CaState::Recovery {
                    if self.queue.lost_out == 0 {
                        return;
                    }
                    self.enter_recovery(now, tally.echo_congestion, around.me, around.paths);
                }
            }
            CaState::Loss => {
                self.process_loss(now, dup_ack, tally);
                self.identify_loss(now, tally);
                if !(self.ca_state == CaState::Open || tally.lost_retrans) {
                    return;
                }
                self.disordered(now, tally, dup_ack, around);
                return;
            }
            _ => {
                self.disordered(now, tally, dup_ack, around);
                return;
            }
        }
        self.repair_by(Repair::Lost);
    }

    fn disordered(&mut self, now: Instant, tally: &mut Tally, dup_ack: bool, around: &Surroundings<'_>) {
        if tally.una_advanced {
            self.reset_reno_sack();
        }
        self.add_reno_sack(dup_ack, tally);
        if self.ca_state <= CaState::Disorder {
            self.try_undo_dsack();
        }
        self.identify_loss(now, tally);
        if self.queue.lost_out == 0 {
            self.enter_cwr(now, tally, around.me, around.paths);
            self.try_to_open();
            return;
        }
        if self.mtu_probe.is_some() && self.ca_state < CaState::Cwr && self.probe_failed() {
            return;
        }
        self.enter_recovery(now, tally.echo_congestion, around.me, around.paths);
        self.repair_by(Repair::Lost);
    }

    pub(super) fn enter_recovery(&mut self, now: Instant, echo: bool, me: usize, paths: &[PathView]) {
        self.stats.recoveries += 1;
        self.prior_ssthresh = 0;
        self.init_undo();
        if !matches!(self.ca_state, CaState::Cwr | CaState::Recovery) {
            if !echo {
                self.prior_ssthresh = self.current_ssthresh();
            }
            self.init_reduction(now, Cause::Loss, me, paths);
        }
        self.set_ca_state(CaState::Recovery);
    }

    /// The retransmission timer expired (`tcp_enter_loss`).
    pub(crate) fn enter_loss(&mut self, now: Instant, me: usize, paths: &[PathView]) {
        let new_recovery = self.ca_state < CaState::Recovery;
        let allowance = self.rack.rtt;
        let reneged = self.queue.sent.front().is_some_and(|seg| seg.flags.has(SegFlags::SACKED));
        for index in 0..self.queue.sent.len() {
            if reneged {
                let seg = &mut self.queue.sent[index];
                if seg.flags.has(SegFlags::SACKED) {
                    seg.flags.0 &= !SegFlags::SACKED;
                    self.queue.sacked_out -= 1;
                }
            } else if self.sack_ok && index > 0 {
                // Sent too recently to be called lost.
                let age = now.saturating_since(self.queue.sent[index].sent_at);
                if age < allowance {
                    continue;
                }
            }
            self.queue.mark_lost(index);
        }
        if !self.sack_ok {
            self.queue.sacked_out = 0;
        }
        self.queue.retransmit_hint = self.snd_una;
        if self.ca_state <= CaState::Disorder
            || self.high_seq <= self.snd_una
            || (self.ca_state == CaState::Loss && self.retries == 0)
        {
            self.prior_ssthresh = self.current_ssthresh();
            self.prior_cwnd = self.window.cwnd;
            self.window.ssthresh = self.cc.ssthresh(&self.window, Cause::Timeout, now, me, paths);
            self.note_loss_episode();
            self.init_undo();
        }
        self.window.cwnd = self.queue.in_flight() + 1;
        self.window.cwnd_cnt = 0;
        if self.ca_state <= CaState::Disorder && self.queue.sacked_out >= self.reordering {
            self.reordering = self.reordering.min(self.config.reordering);
        }
        self.set_ca_state(CaState::Loss);
        self.high_seq = self.snd_nxt;
        self.tlp_high_seq = 0;
        self.queue_cwr();
        self.frto = self.config.frto && (new_recovery || self.retries > 0);
    }

    pub(super) fn note_loss_episode(&mut self) {
        self.acked_between_losses = self.acked_since_loss;
        self.acked_since_loss = 0;
    }

    pub(super) fn init_reduction(&mut self, now: Instant, cause: Cause, me: usize, paths: &[PathView]) {
        self.high_seq = self.snd_nxt;
        self.tlp_high_seq = 0;
        self.queue_cwr();
        self.window.cwnd_cnt = 0;
        self.prior_cwnd = self.window.cwnd;
        self.prr_delivered = 0;
        self.prr_out = 0;
        self.window.ssthresh = self.cc.ssthresh(&self.window, cause, now, me, paths);
        self.note_loss_episode();
    }

    pub(super) fn end_reduction(&mut self, now: Instant) {
        if !self.by_rate
            && self.window.ssthresh < Window::INFINITE_SSTHRESH
            && (self.ca_state == CaState::Cwr || self.undo_marker != 0)
        {
            self.window.cwnd = self.window.ssthresh;
            self.cwnd_stamp = now;
        }
    }

    /// Proportional rate reduction (RFC 6937 with the slow-start bound of Linux).
    pub(super) fn prr_reduce(&mut self, delivered: u32, lost: u32, tally: &Tally) {
        if delivered == 0 || self.prior_cwnd == 0 {
            return;
        }
        let in_flight = i64::from(self.queue.in_flight());
        let ssthresh = i64::from(self.window.ssthresh);
        let delta = ssthresh - in_flight;
        self.prr_delivered += delivered;
        let (prr_delivered, prr_out) = (i64::from(self.prr_delivered), i64::from(self.prr_out));
        let mut send = if delta < 0 {
            let prior = i64::from(self.prior_cwnd);
            (ssthresh * prr_delivered + prior - 1) / prior - prr_out
        } else if self.config.prr_conserves {
            let delivered = i64::from(delivered);
            if tally.retrans_acked && !tally.lost_retrans {
                ((prr_delivered - prr_out).max(delivered) + 1).min(delta)
            } else {
                delivered.min(delta)
            }
        } else {
            let mut send = (prr_delivered - prr_out).max(i64::from(delivered));
            if tally.una_advanced && lost == 0 {
                send += 1;
            }
            send.min(delta)
        };
        send = send.max(i64::from(self.prr_out == 0));
        self.window.cwnd = (in_flight + send).max(1) as u32;
    }

    pub(super) fn set_ca_state(&mut self, state: CaState) {
        let old = self.ca_state;
        self.cc.on_state_change(&mut self.window, old, state);
        if old == CaState::Loss && state != old {
            self.rto_stats.repaired(self.received_at);
        }
        self.ca_state = state;
    }

    /// Threshold to return to (`tcp_current_ssthresh`).
    pub(super) fn current_ssthresh(&self) -> u32 {
        if matches!(self.ca_state, CaState::Cwr | CaState::Recovery) {
            self.window.ssthresh
        } else {
            self.window.ssthresh.max(self.window.cwnd / 2 + self.window.cwnd / 4)
        }
    }

    fn try_to_open(&mut self) {
        if self.queue.retrans_out == 0 {
            self.retrans_stamp = None;
        }
        if self.ca_state != CaState::Cwr {
            self.try_keep_open();
        }
    }

    pub(super) fn try_keep_open(&mut self) {
        let left_out = self.queue.sacked_out + self.queue.lost_out > 0 || self.queue.retrans_out > 0;
        let state = if left_out { CaState::Disorder } else { CaState::Open };
        if self.ca_state != state {
            self.set_ca_state(state);
            self.high_seq = self.snd_nxt;
        }
    }

    fn control_congestion(
        &mut self,
        now: Instant,
        prior_in_flight: u32,
        lost: u32,
        tally: &Tally,
        around: &Surroundings<'_>,
    ) {
        let event = AckEvent {
            now,
            delivered: tally.delivered,
            acked: tally.delivered,
            rtt: tally.last_acked.map(|at| now.saturating_since(at)),
            prior_in_flight,
            in_flight: self.queue.in_flight(),
            cwnd_limited: self.was_cwnd_limited(),
            state: self.ca_state,
            snd_nxt: self.snd_nxt,
            snd_una: self.snd_una,
        };
        if let Some(rtt) = event.rtt {
            self.cc.on_rtt_sample(&mut self.window, &event, rtt);
        }
        if let Some(rate) = self.rate.as_mut().filter(|_| !self.by_rate) {
            let min_rtt = self.rtt.min_rtt().unwrap_or(Duration::ZERO);
            rate.sample(now, tally.delivered, self.delivered, min_rtt);
        }
        if self.by_rate {
            self.control_by_rate(&event, lost, tally);
        } else if matches!(self.ca_state, CaState::Cwr | CaState::Recovery) {
            self.prr_reduce(tally.delivered, lost, tally);
        } else if tally.data_acked || (self.reordering > self.config.reordering && tally.data_sacked) {
            self.cc.on_ack(&mut self.window, &event, around.me, around.paths);
            self.cwnd_stamp = now;
        }
        self.update_pacing_rate();
    }

    /// Whether the flow repairs a timeout and should be given no more data. Without SACK it stays in `Loss`
    /// until data is acknowledged that was sent afterwards (RFC 6582, section 3.2), so then it needs some.
    #[must_use]
    pub fn in_loss(&self) -> bool {
        self.ca_state == CaState::Loss && (self.sack_ok || self.snd_una != self.high_seq)
    }

    /// What is lost, or new data, leaves for an acknowledgment that was taken.
    pub(super) fn repair_by(&mut self, repair: Repair) {
        self.repair = repair;
        self.due.add(OutputDue::REPAIR);
    }

    pub(crate) fn force(&mut self, forced: Forced) {
        self.forced = forced;
        self.due.add(OutputDue::FORCED);
    }

    /// Hands the ACK and what it says of the path to an algorithm that controls by it.
    fn control_by_rate(&mut self, event: &AckEvent, losses: u32, tally: &Tally) {
        let min_rtt = self.rtt.min_rtt().unwrap_or(Duration::ZERO);
        let mss = self.mss_now(0);
        let Some(rate) = &mut self.rate else { return };
        let delivery = rate.sample(event.now, event.delivered, self.delivered, min_rtt);
        let sample = RateSample {
            prior_delivered: delivery.prior_delivered,
            delivered: delivery.delivered,
            interval: delivery.interval,
            app_limited: delivery.app_limited,
            losses,
            // The ACK of a single small segment after which nothing came (`FLAG_ACK_MAYBE_DELAYED`).
            ack_delayed: event.delivered == 1
                && tally.bytes < u64::from(mss)
                && delivery.delivered == 1
                && !tally.data_sacked,
            total_delivered: self.delivered,
            total_lost: self.queue.lost_total,
            delivered_at: rate.delivered_at,
            next_send: self.pace_until,
            srtt: self.rtt.srtt(),
            mss,
        };
        if self.cc.control(&mut self.window, event, &sample) {
            rate.limited(self.delivered + u64::from(event.in_flight));
        }
    }
}

//! Acknowledgments and loss recovery: SACK processing (RFC 2018, RFC 2883), RACK-TLP (RFC 8985), the
//! recovery states with PRR (RFC 6937), F-RTO (RFC 5682) and the undoing of spurious reductions by
//! timestamps (RFC 3522) and DSACK (RFC 3708), in the order Linux does it. Without SACK, three duplicate
//! ACKs mark the first segment lost (RFC 6582).

use sim_core::{Duration, Instant};

use super::input::{Outcome, Surroundings};
use super::sendq::SegFlags;
use super::{Flow, Forced, Rexmit, XmitTimer};
use crate::congestion::{AckEvent, CaState, Cause, PathView, RateSample, Window};
use crate::wire::options::ParsedOptions;
use crate::wire::{Seq, TcpSegment};

/// Tally of one acknowledgment.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Segments cumulatively or selectively acknowledged for the first time.
    delivered: u32,
    /// Bytes of payload cumulatively acknowledged.
    bytes: u64,
    una_advanced: bool,
    data_acked: bool,
    data_sacked: bool,
    /// A segment never retransmitted was newly (s)acked.
    orig_acked: bool,
    retrans_acked: bool,
    window_update: bool,
    dsack: bool,
    lost_retrans: bool,
    set_timer: bool,
    fin_acked: bool,
    /// Send times of the first and last never-retransmitted segments acked.
    first_acked: Option<Instant>,
    last_acked: Option<Instant>,
    first_sacked: Option<Instant>,
    last_sacked: Option<Instant>,
    /// A segment below the highest SACK was newly (s)acked: reordering.
    reordered_at: Option<u64>,
    /// Echoed timestamp on this host's clock.
    echo: Option<u32>,
}

impl super::Rack {
    /// Whether the newest delivered segment was sent after this one (RFC 8985, section 6.2 step 2).
    fn sent_after(&self, sent_at: Instant, order: u32) -> bool {
        self.xmit_time > sent_at
            || (self.xmit_time == sent_at && self.order.wrapping_sub(order).cast_signed() > 0)
    }

    fn sent_before(&self, sent_at: Instant, order: u32) -> bool {
        self.xmit_time < sent_at
            || (self.xmit_time == sent_at && self.order.wrapping_sub(order).cast_signed() < 0)
    }
}

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
            self.recv.ack_immediately();
            return false;
        }
        if ack < self.snd_una as i64 {
            // RFC 5961, section 5.2: too old means blind injection.
            if (ack as i128) < self.snd_una as i128 - self.max_window as i128 {
                self.recv.ack_immediately();
                return false;
            }
            self.take_sacks(now, options, &mut Tally::default());
            return true;
        }
        let ack = ack as u64;
        if ack == self.snd_una && self.has_nothing_to_learn(options) {
            // The usual case where data only arrives.
            self.rack.advanced = false;
            self.last_ack_received = now;
            self.update_window(segment, seq, ack, ack, &mut Tally::default());
            return true;
        }
        let echo = options.timestamps.filter(|_| self.ts_ok).map(|(_, ecr)| ecr);
        let echo = echo.map(|ecr| ecr.wrapping_sub(self.params.ts_offset));
        let mut tally = Tally { echo, ..Tally::default() };
        let prior_una = self.snd_una;
        let prior_in_flight = self.queue.in_flight();
        let prior_lost = self.queue.lost_total;
        self.rack.advanced = false;
        self.last_ack_received = now;

        self.update_window(segment, seq, ack, prior_una, &mut tally);
        if self.sack_ok && (!options.sack.is_empty()) {
            self.take_sacks(now, options, &mut tally);
        }
        let had_out = self.queue.packets_out();
        if ack > prior_una {
            tally.una_advanced = true;
            self.snd_una = ack;
            self.retries = 0;
            self.clean_queue(now, prior_una, &mut tally);
            outcome.acked = true;
            self.stats.bytes_acked += tally.bytes;
            self.acked_since_loss += tally.bytes;
        }
        self.sample_rtt(now, options, &mut tally);
        if let Some(at) = tally.reordered_at {
            self.note_reordering(at);
        }
        self.delivered += u64::from(tally.delivered);
        self.update_reo_wnd(tally.dsack);
        if self.snd_una == self.snd_nxt && self.fin_sent {
            self.fin_acked(now);
            tally.fin_acked = true;
        }
        if had_out == 0 {
            // Nothing was outstanding: at most a window update; a probe may be answered.
            self.ack_probe(now);
            if tally.window_update {
                self.window_opened();
            }
            return true;
        }
        if self.tlp_high_seq != 0 {
            self.process_tlp_ack(now, ack, &tally, around);
        }
        let not_dup = !segment.payload.is_empty() || tally.window_update || tally.una_advanced;
        let alert = tally.data_sacked || tally.dsack;
        let dup_ack = !not_dup && !tally.dsack;
        if !not_dup || alert || self.ca_state != CaState::Open {
            self.fast_retransmit_alert(now, dup_ack, &mut tally, around);
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
        self.space_check_due = true;
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
        if ack > prior_una || seq > self.snd_wl1 || (seq == self.snd_wl1 && window > self.snd_wnd) {
            self.snd_wl1 = seq;
            if window != self.snd_wnd {
                tally.window_update = true;
                self.snd_wnd = window;
                self.max_window = self.max_window.max(window);
            }
        }
    }

    /// Mark what SACK blocks report (`tcp_sacktag_write_queue`).
    fn take_sacks(&mut self, now: Instant, options: &ParsedOptions, tally: &mut Tally) {
        let iss = self.params.iss;
        let una = self.snd_una;
        let offset = |seq: Seq| seq.to_offset(iss, una);
        for (i, (left, right)) in options.sack.iter().enumerate() {
            let (left, right) = (offset(left), offset(right));
            if i == 0 {
                let ack = self.snd_una as i64;
                let second = options.sack.iter().nth(1).map(|(l, r)| (offset(l), offset(r)));
                let inside = second.is_some_and(|(l, r)| l <= left && right <= r);
                if right <= ack || inside {
                    // RFC 2883: a duplicate was received.
                    tally.dsack = true;
                    self.stats.dsacks += 1;
                    if self.undo_retrans > 0 && right as u64 > self.undo_marker {
                        self.undo_retrans -= 1;
                    }
                    continue;
                }
            }
            if left >= right || right > self.snd_nxt as i64 || left < self.snd_una as i64 {
                continue;
            }
            self.mark_sacked(now, left as u64, right as u64, tally);
        }
    }

    fn mark_sacked(&mut self, now: Instant, left: u64, right: u64, tally: &mut Tally) {
        let mut index = self.queue.sent.partition_point(|seg| seg.start < left);
        let highest_before = self.queue.highest_sacked;
        while index < self.queue.sent.len() {
            let seg = &mut self.queue.sent[index];
            if seg.end() > right {
                break;
            }
            index += 1;
            if seg.flags.has(SegFlags::SACKED) {
                continue;
            }
            seg.flags.0 |= SegFlags::SACKED;
            let (start, end, sent_at, order, flags) =
                (seg.start, seg.end(), seg.sent_at, seg.order, seg.flags);
            if flags.has(SegFlags::LOST) {
                seg.flags.0 &= !SegFlags::LOST;
                self.queue.lost_out -= 1;
            }
            if flags.has(SegFlags::RETRANS) {
                seg.flags.0 &= !SegFlags::RETRANS;
                self.queue.retrans_out -= 1;
            } else if !flags.has(SegFlags::EVER_RETRANS) {
                if start < highest_before && tally.reordered_at.is_none_or(|at| start < at) {
                    tally.reordered_at = Some(start);
                }
                if end <= self.high_seq {
                    tally.orig_acked = true;
                }
                tally.first_sacked.get_or_insert(sent_at);
                tally.last_sacked = Some(sent_at);
            }
            self.queue.sacked_out += 1;
            self.queue.highest_sacked = self.queue.highest_sacked.max(end);
            tally.delivered += 1;
            tally.data_sacked = true;
            self.advance_rack(now, order, sent_at, flags.has(SegFlags::EVER_RETRANS));
            if let Some(rate) = &mut self.rate {
                rate.acknowledged(order);
            }
        }
    }

    /// Remove what is cumulatively acknowledged (`tcp_clean_rtx_queue`).
    fn clean_queue(&mut self, now: Instant, prior_una: u64, tally: &mut Tally) {
        while let Some(front) = self.queue.sent.front_mut() {
            let end = front.end();
            if end > self.snd_una {
                if front.start < self.snd_una && front.len > 0 {
                    // A part of the segment: a middlebox split it.
                    let cut = self.snd_una - front.start;
                    tally.bytes += cut;
                    front.start += cut;
                    front.len -= cut as u16;
                    tally.data_acked = true;
                }
                break;
            }
            let seg = *front;
            self.queue.sent.pop_front();
            tally.bytes += u64::from(seg.payload());
            tally.data_acked = true;
            tally.set_timer = true;
            if seg.flags.has(SegFlags::RETRANS) {
                self.queue.retrans_out -= 1;
            }
            if seg.flags.has(SegFlags::EVER_RETRANS) {
                tally.retrans_acked = true;
            } else if !seg.flags.has(SegFlags::SACKED) {
                tally.first_acked.get_or_insert(seg.sent_at);
                tally.last_acked = Some(seg.sent_at);
                if seg.start < self.queue.highest_sacked && tally.reordered_at.is_none_or(|a| seg.start < a) {
                    tally.reordered_at = Some(seg.start);
                }
                if end <= self.high_seq {
                    tally.orig_acked = true;
                }
            }
            if seg.flags.has(SegFlags::SACKED) {
                self.queue.sacked_out -= 1;
            } else {
                tally.delivered += 1;
                self.advance_rack(now, seg.order, seg.sent_at, seg.flags.has(SegFlags::EVER_RETRANS));
                if let Some(rate) = &mut self.rate {
                    rate.acknowledged(seg.order);
                }
            }
            if seg.flags.has(SegFlags::LOST) {
                self.queue.lost_out -= 1;
            }
        }
        let una = self.snd_una;
        self.queue.retransmit_hint = self.queue.retransmit_hint.max(una);
        self.queue.rack_hint = self.queue.rack_hint.max(una);
        if self.queue.sent.is_empty() {
            self.queue.retransmitted.clear();
        }
        if !self.sack_ok && prior_una < una {
            // Duplicate ACKs counted so far are covered (`tcp_reset_reno_sack`).
            self.queue.sacked_out = 0;
        }
    }

    fn sample_rtt(&mut self, now: Instant, options: &ParsedOptions, tally: &mut Tally) {
        let since = |at: Instant| now.saturating_since(at);
        let seq_rtt = tally.first_acked.filter(|_| !tally.retrans_acked).map(since);
        let sack_rtt = tally.first_sacked.map(since);
        let cc_rtt = tally.last_acked.filter(|_| !tally.retrans_acked).or(tally.last_sacked).map(since);
        if let (Some(sacked), Some(head)) = (tally.first_sacked, self.queue.sent.front())
            && sacked > head.sent_at
        {
            // The SACKed data was sent after the head: the head's timer starts anew.
            tally.set_timer = true;
        }
        let sample = seq_rtt.or(sack_rtt).or_else(|| {
            let (_, ecr) = options.timestamps.filter(|_| self.ts_ok && tally.una_advanced)?;
            self.ts_sample(now, ecr)
        });
        if let Some(rtt) = cc_rtt {
            self.rtt.sample_min(now, rtt);
        }
        if let Some(rtt) = sample {
            self.rtt.sample(rtt, self.snd_una, self.snd_nxt);
        }
        tally.last_acked = cc_rtt.map(|rtt| now - rtt);
    }

    pub(super) fn advance_rack(&mut self, now: Instant, order: u32, sent_at: Instant, retransmitted: bool) {
        let rtt = now.saturating_since(sent_at);
        if retransmitted && self.rtt.min_rtt().is_some_and(|min| rtt < min) {
            return;
        }
        self.rack.advanced = true;
        self.rack.rtt = rtt;
        if self.rack.sent_before(sent_at, order) {
            self.rack.xmit_time = sent_at;
            self.rack.order = order;
        }
    }

    fn note_reordering(&mut self, lowest: u64) {
        let mss = u64::from(self.mss_now(0)).max(1);
        let metric = self.queue.highest_sacked.saturating_sub(lowest);
        if metric > u64::from(self.reordering) * mss {
            self.reordering = (metric.div_ceil(mss) as u32).min(300);
        }
        self.reord_seen = true;
    }

    /// RFC 8985, section 6.2 step 4: widen the window after a DSACK, narrow it after 16 recoveries.
    fn update_reo_wnd(&mut self, dsack: bool) {
        let rack = &mut self.rack;
        if dsack && self.delivered > rack.last_delivered {
            rack.reo_wnd_steps = (rack.reo_wnd_steps + 1).min(255);
            rack.reo_wnd_persist = 16;
            rack.last_delivered = self.delivered + u64::from(self.queue.packets_out());
        }
    }

    fn reo_wnd(&self) -> Duration {
        if !self.reord_seen
            && (self.ca_state >= CaState::Recovery || self.queue.sacked_out >= self.reordering)
        {
            return Duration::ZERO;
        }
        let min = self.rtt.min_rtt().unwrap_or(Duration::ZERO);
        (min * u64::from(self.rack.reo_wnd_steps) / 4).min(self.rtt.srtt())
    }

    /// Mark segments lost that were sent sufficiently before one that was delivered
    /// (`tcp_rack_detect_loss`). Returns how long until the next one would be.
    fn rack_detect_loss(&mut self, now: Instant) -> Option<Duration> {
        let allowance = self.rack.rtt + self.reo_wnd();
        let rack = self.rack;
        let mut wait = None;
        // Original transmissions stand in the order of their sending.
        let mut index = self.queue.sent.partition_point(|seg| seg.start < self.queue.rack_hint);
        while index < self.queue.sent.len() {
            let seg = &self.queue.sent[index];
            let open = !seg.flags.has(SegFlags::SACKED | SegFlags::LOST | SegFlags::EVER_RETRANS);
            if open {
                if !rack.sent_after(seg.sent_at, seg.order) {
                    break;
                }
                let age = now.saturating_since(seg.sent_at);
                if age >= allowance {
                    self.queue.mark_lost(index);
                } else {
                    wait = Some(allowance - age);
                    break;
                }
            }
            self.queue.rack_hint = self.queue.sent[index].end();
            index += 1;
        }
        // Retransmissions stand in the order of theirs.
        while let Some(&(start, order)) = self.queue.retransmitted.front() {
            let index = self.queue.sent.partition_point(|seg| seg.start < start);
            let current = self.queue.sent.get(index).is_some_and(|seg| {
                seg.start == start && seg.order == order && seg.flags.has(SegFlags::RETRANS)
            });
            if current {
                let sent_at = self.queue.sent[index].sent_at;
                if !rack.sent_after(sent_at, order) {
                    break;
                }
                let age = now.saturating_since(sent_at);
                if age < allowance {
                    let left = allowance - age;
                    wait = Some(wait.map_or(left, |other: Duration| other.max(left)));
                    break;
                }
                self.queue.mark_lost(index);
            }
            self.queue.retransmitted.pop_front();
        }
        wait
    }

    fn identify_loss(&mut self, now: Instant, tally: &mut Tally, dup_ack: bool) {
        if self.queue.sent.is_empty() {
            return;
        }
        if !self.sack_ok {
            self.newreno_mark_lost(dup_ack, tally.una_advanced);
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

    fn newreno_mark_lost(&mut self, dup_ack: bool, una_advanced: bool) {
        let out = self.queue.packets_out();
        if dup_ack && self.queue.sacked_out + 1 < out {
            self.queue.sacked_out += 1;
        }
        let enough = self.queue.sacked_out >= self.reordering.min(out.saturating_sub(1)).max(1);
        let partial = self.ca_state == CaState::Recovery && una_advanced;
        if (self.ca_state < CaState::Recovery && enough) || partial {
            self.queue.mark_lost(0);
        }
    }

    /// The reordering timer fired: look again (`tcp_rack_reo_timeout`).
    pub(crate) fn reorder_timeout(&mut self, now: Instant, me: usize, paths: &[PathView]) {
        let prior = self.queue.in_flight();
        let wait = self.rack_detect_loss(now);
        if prior != self.queue.in_flight() {
            if self.ca_state != CaState::Recovery {
                self.enter_recovery(now, me, paths);
                // A timer, not an ACK, started the episode: the window follows the flight.
                if self.rate.is_none() {
                    self.prr_reduce(1, 0, false);
                }
            }
            self.rexmit = Rexmit::Lost;
        }
        match wait {
            Some(wait) => {
                self.xmit_timer = Some((self.config.expiry(now, wait), XmitTimer::Reorder));
            }
            None => self.rearm_rto(now),
        }
    }

    fn fast_retransmit_alert(
        &mut self,
        now: Instant,
        dup_ack: bool,
        tally: &mut Tally,
        around: &Surroundings<'_>,
    ) {
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
                if tally.una_advanced && self.try_undo_partial(now, tally) {
                    return;
                }
                if self.try_undo_dsack() {
                    self.try_to_open();
                }
                self.identify_loss(now, tally, dup_ack);
                if self.ca_state != CaState::Recovery {
                    if self.queue.lost_out == 0 {
                        return;
                    }
                    self.enter_recovery(now, around.me, around.paths);
                }
            }
            CaState::Loss => {
                self.process_loss(now, dup_ack, tally);
                self.identify_loss(now, tally, dup_ack);
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
        self.rexmit = Rexmit::Lost;
    }

    fn disordered(&mut self, now: Instant, tally: &mut Tally, dup_ack: bool, around: &Surroundings<'_>) {
        if self.ca_state <= CaState::Disorder {
            self.try_undo_dsack();
        }
        self.identify_loss(now, tally, dup_ack);
        if self.queue.lost_out == 0 {
            self.try_to_open();
            return;
        }
        self.enter_recovery(now, around.me, around.paths);
        self.rexmit = Rexmit::Lost;
    }

    fn enter_recovery(&mut self, now: Instant, me: usize, paths: &[PathView]) {
        self.stats.recoveries += 1;
        self.prior_ssthresh = 0;
        self.init_undo();
        if !matches!(self.ca_state, CaState::Cwr | CaState::Recovery) {
            self.prior_ssthresh = self.current_ssthresh();
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
        self.frto = self.config.frto && (new_recovery || self.retries > 0);
    }

    fn note_loss_episode(&mut self) {
        self.acked_between_losses = self.acked_since_loss;
        self.acked_since_loss = 0;
    }

    fn init_undo(&mut self) {
        self.undo_marker = self.snd_una;
        let probes = u32::from(self.tlp_high_seq != 0 && self.tlp_retrans);
        let out = self.queue.retrans_out + probes;
        self.undo_retrans = if out > 0 { out as i32 } else { -1 };
    }

    fn init_reduction(&mut self, now: Instant, cause: Cause, me: usize, paths: &[PathView]) {
        self.high_seq = self.snd_nxt;
        self.tlp_high_seq = 0;
        self.window.cwnd_cnt = 0;
        self.prior_cwnd = self.window.cwnd;
        self.prr_delivered = 0;
        self.prr_out = 0;
        self.window.ssthresh = self.cc.ssthresh(&self.window, cause, now, me, paths);
        self.note_loss_episode();
    }

    fn end_reduction(&mut self, now: Instant) {
        if self.rate.is_none()
            && self.window.ssthresh < Window::INFINITE_SSTHRESH
            && (self.ca_state == CaState::Cwr || self.undo_marker != 0)
        {
            self.window.cwnd = self.window.ssthresh;
            self.cwnd_stamp = now;
        }
    }

    /// Proportional rate reduction (RFC 6937 with the slow-start bound of Linux).
    fn prr_reduce(&mut self, delivered: u32, lost: u32, una_advanced: bool) {
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
        } else {
            let mut send = (prr_delivered - prr_out).max(i64::from(delivered));
            if una_advanced && lost == 0 {
                send += 1;
            }
            send.min(delta)
        };
        send = send.max(i64::from(self.prr_out == 0));
        self.window.cwnd = (in_flight + send).max(1) as u32;
    }

    fn set_ca_state(&mut self, state: CaState) {
        let old = self.ca_state;
        self.cc.on_state_change(&mut self.window, old, state);
        self.ca_state = state;
    }

    /// Threshold to return to (`tcp_current_ssthresh`).
    fn current_ssthresh(&self) -> u32 {
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

    fn try_keep_open(&mut self) {
        let left_out = self.queue.sacked_out + self.queue.lost_out > 0 || self.queue.retrans_out > 0;
        let state = if left_out { CaState::Disorder } else { CaState::Open };
        if self.ca_state != state {
            self.set_ca_state(state);
            self.high_seq = self.snd_nxt;
        }
    }

    /// Whether the ACK answers a segment sent before the first retransmission (Eifel, RFC 3522).
    fn answered_original(&self, tally: &Tally) -> bool {
        let (Some(stamp), Some(echo)) = (self.retrans_stamp, tally.echo) else { return false };
        echo.wrapping_sub(self.ts_clock(stamp)).cast_signed() < 0
    }

    fn may_undo(&self, tally: &Tally) -> bool {
        self.undo_marker != 0 && (self.undo_retrans == 0 || self.answered_original(tally))
    }

    fn undo(&mut self, now: Instant, unmark: bool) {
        if unmark {
            for index in 0..self.queue.sent.len() {
                let seg = &mut self.queue.sent[index];
                seg.flags.0 &= !SegFlags::LOST;
            }
            self.queue.lost_out = 0;
        }
        if self.prior_ssthresh != 0 {
            self.window.cwnd = self.cc.undo_cwnd(&self.window, self.prior_cwnd);
            self.window.ssthresh = self.window.ssthresh.max(self.prior_ssthresh);
        }
        self.cwnd_stamp = now;
        self.undo_marker = 0;
        self.rack.advanced = true;
        self.stats.undone += 1;
    }

    /// Recovery is complete; was it needed? Returns whether the state is kept until `high_seq` is passed.
    fn try_undo_recovery(&mut self, now: Instant, tally: &Tally) -> bool {
        if self.may_undo(tally) {
            self.undo(now, false);
        } else if self.rack.reo_wnd_persist > 0 {
            self.rack.reo_wnd_persist -= 1;
            if self.rack.reo_wnd_persist == 0 {
                self.rack.reo_wnd_steps = 1;
            }
        }
        if self.snd_una == self.high_seq && !self.sack_ok {
            // Hold the state until above high_seq, to avoid false fast retransmits (RFC 6582, section 4).
            return true;
        }
        self.set_ca_state(CaState::Open);
        false
    }

    fn try_undo_partial(&mut self, now: Instant, tally: &Tally) -> bool {
        if self.undo_marker != 0 && self.answered_original(tally) {
            self.reord_seen = true;
            if self.queue.retrans_out > 0 {
                return true;
            }
            self.undo(now, true);
            self.try_keep_open();
        }
        false
    }

    fn try_undo_dsack(&mut self) -> bool {
        if self.undo_marker != 0 && self.undo_retrans == 0 {
            let stamp = self.cwnd_stamp;
            self.undo(stamp, false);
            return true;
        }
        false
    }

    fn try_undo_loss(&mut self, now: Instant, frto_undo: bool, tally: &Tally) -> bool {
        if !frto_undo && !self.may_undo(tally) {
            return false;
        }
        self.undo(now, true);
        self.retries = 0;
        self.rtt.reset_backoff();
        if frto_undo || self.sack_ok {
            self.set_ca_state(CaState::Open);
            self.retrans_stamp = None;
        }
        true
    }

    /// In `Loss`: F-RTO decides whether the timeout was spurious (`tcp_process_loss`).
    fn process_loss(&mut self, now: Instant, dup_ack: bool, tally: &Tally) {
        let recovered = self.snd_una >= self.high_seq;
        if tally.una_advanced && self.try_undo_loss(now, false, tally) {
            return;
        }
        if self.frto {
            if tally.orig_acked && self.try_undo_loss(now, true, tally) {
                return;
            }
            if self.snd_nxt > self.high_seq {
                if tally.data_sacked || dup_ack {
                    self.frto = false;
                }
            } else if tally.una_advanced && !recovered {
                self.high_seq = self.snd_nxt;
                if self.can_send_new() {
                    // Step 2b: try new data.
                    self.rexmit = Rexmit::None;
                    return;
                }
                self.frto = false;
            }
        }
        if recovered {
            self.try_undo_recovery(now, tally);
            return;
        }
        self.rexmit = Rexmit::Lost;
    }

    fn check_sack_reneging(&mut self, now: Instant, tally: &mut Tally) -> bool {
        let reneged =
            tally.una_advanced && self.queue.sent.front().is_some_and(|seg| seg.flags.has(SegFlags::SACKED));
        if reneged {
            let delay = (self.rtt.srtt() / 2).max(Duration::from_millis(10));
            self.xmit_timer = Some((self.config.expiry(now, delay), XmitTimer::Retransmit));
            tally.set_timer = false;
        }
        reneged
    }

    fn process_tlp_ack(&mut self, now: Instant, ack: u64, tally: &Tally, around: &Surroundings<'_>) {
        if ack < self.tlp_high_seq {
            return;
        }
        if !self.tlp_retrans || tally.dsack {
            self.tlp_high_seq = 0;
        } else if ack > self.tlp_high_seq {
            // The probe repaired a loss: reduce once (RFC 8985, section 7.4).
            self.init_reduction(now, Cause::Loss, around.me, around.paths);
            self.set_ca_state(CaState::Cwr);
            self.end_reduction(now);
            self.try_keep_open();
        } else if !tally.una_advanced && !tally.data_sacked && !tally.window_update {
            self.tlp_high_seq = 0;
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
        if self.rate.is_some() {
            self.control_by_rate(&event, lost, tally);
        } else if matches!(self.ca_state, CaState::Cwr | CaState::Recovery) {
            self.prr_reduce(tally.delivered, lost, tally.una_advanced);
        } else if tally.data_acked || (self.reordering > self.config.reordering && tally.delivered > 0) {
            self.cc.on_ack(&mut self.window, &event, around.me, around.paths);
        }
        self.update_pacing_rate();
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

    /// `tcp_is_cwnd_limited`.
    pub(super) fn was_cwnd_limited(&self) -> bool {
        self.is_cwnd_limited || (self.window.in_slow_start() && self.window.cwnd < 2 * self.max_packets_out)
    }

    /// Rate at which the flow would pace: twice the window per RTT in slow start, 1.2 times later
    /// (`tcp_update_pacing_rate`), in bytes per second.
    pub(crate) fn update_pacing_rate(&mut self) {
        if let Some(rate) = self.cc.pacing_rate() {
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

    fn ack_probe(&mut self, now: Instant) {
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
        self.queue.unsent.front().is_none_or(|chunk| {
            let len = u64::from(chunk.len.min(self.mss_now(0)));
            chunk.start + len <= self.snd_una + self.snd_wnd
        })
    }

    pub(crate) fn can_send_new(&self) -> bool {
        !self.queue.unsent.is_empty() && self.snd_una + self.snd_wnd > self.snd_nxt
    }

    // Buffers.

    pub(crate) fn sndbuf_max(&self) -> u64 {
        u64::from(self.config.wmem[2])
    }

    /// Send buffer for twice the window (`tcp_sndbuf_expand`).
    pub(crate) fn wanted_sndbuf(&self) -> u64 {
        const HEADER: u64 = 256;
        const SHARED_INFO: u64 = 320;
        const SK_BUFF: u64 = 256;
        let data = u64::from(self.peer_mss.min(self.params.mss)) + HEADER + SHARED_INFO;
        let per_segment = data.next_power_of_two() + SK_BUFF;
        let segments = self.window.cwnd.max(10).max(self.reordering + 1);
        // `bbr_sndbuf_expand`: a window of two products in flight, and a half more on its way there.
        let factor = if self.rate.is_some() { 3 } else { 2 };
        factor * u64::from(segments) * per_segment
    }

    /// After an ACK and what it let go: a sender that waits for room and does not fill its window gets a
    /// larger buffer (`tcp_new_space`, `tcp_should_expand_sndbuf`).
    pub(crate) fn expand_sndbuf(&mut self) {
        if self.wants_space && self.queue.in_flight() < self.window.cwnd {
            let wanted = self.wanted_sndbuf().min(self.sndbuf_max());
            if wanted > self.sndbuf {
                self.sndbuf = wanted;
                self.sndbuf_grew = true;
            }
        }
    }

    /// Whether the flow repairs a timeout and should be given no more data. Without SACK it stays in `Loss`
    /// until data is acknowledged that was sent afterwards (RFC 6582, section 3.2), so then it needs some.
    #[must_use]
    pub fn in_loss(&self) -> bool {
        self.ca_state == CaState::Loss && (self.sack_ok || self.snd_una != self.high_seq)
    }

    pub(crate) fn force(&mut self, forced: Forced) {
        self.forced = Some(forced);
    }
}

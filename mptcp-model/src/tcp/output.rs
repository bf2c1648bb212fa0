//! Deciding what to send next: resets and handshakes, retransmissions, new data by the rules of `burst`, probes and ACKs.

use sim_core::Instant;

use super::chrono::Limit;
use super::sendq::{Mapping, Resent, SegFlags, TxSeg};
use super::{Flow, Forced, OutputDue, Plan, PlanKind, Polled, Push, Repair, TcpState, XmitTimer};
use crate::congestion::CaState;
use crate::path_manager::CloseReason;
use crate::wire::TcpFlags;

impl Flow {
    /// Whether half the largest window was written since PSH was set last (`forced_push`).
    pub(crate) const fn push_is_due(&self) -> bool {
        self.queue.write_end > self.queue.pushed + (self.max_window >> 1)
    }

    /// Whether the last burst left completely.
    pub(crate) const fn burst_is_over(&self) -> bool {
        self.burst_end <= self.snd_nxt
    }

    /// What leaves of new data while more of it is written (`tcp_push_one`, `__tcp_push_pending_frames`).
    pub(crate) fn poll_push(&mut self, now: Instant, mss: u32, push: Push, plan: &mut Plan) -> bool {
        if !self.may_send() || (self.paced && self.pace_until > now) {
            return false;
        }
        self.note_busy(now);
        let leaves = self.new_data(now, mss, push, plan);
        if leaves && plan.len > 0 {
            self.note_data(now);
        }
        leaves
    }

    /// What leaves while an acknowledgment is looked at, before the data that came with it (`tcp_xmit_recovery`).
    pub(crate) fn poll_recovery(&mut self, now: Instant, mss: u32, plan: &mut Plan) -> bool {
        if !self.due.has(OutputDue::REPAIR) || !self.may_send() || (self.paced && self.pace_until > now) {
            return false;
        }
        let leaves = self.recover(now, mss, plan);
        if leaves && plan.len > 0 {
            self.note_data(now);
        }
        leaves
    }

    /// What recovery sends next; it is over if that is nothing.
    fn recover(&mut self, now: Instant, mss: u32, plan: &mut Plan) -> bool {
        let leaves = if self.repair == Repair::NewData {
            self.new_data(now, mss, Push::Forced, plan)
        } else {
            give(self.retransmit_lost(now, mss), plan)
        };
        if !leaves {
            self.recovery_is_over();
        }
        leaves
    }

    fn recovery_is_over(&mut self) {
        self.due.clear(OutputDue::REPAIR);
        self.rexmit_left = 0;
    }

    fn note_busy(&mut self, now: Instant) {
        if self.chrono.limit() == Limit::Idle && !self.queue.unsent.is_empty() {
            self.chrono.start(now, Limit::Busy);
        }
    }

    /// Data leaves, which may answer what was received (`tcp_event_data_sent`).
    #[inline]
    pub(super) fn note_data(&mut self, now: Instant) {
        self.recv.note_data_sent(now);
        self.last_send = now;
    }

    /// The end of a write: the last segment queued carries PSH (`tcp_mark_push`).
    pub fn mark_push(&mut self) {
        self.due.add(OutputDue::PUSH);
        if let Some(tail) = self.queue.unsent.back_mut() {
            tail.push = true;
        }
        self.queue.pushed = self.queue.write_end;
    }

    /// No more data will be written: a FIN follows what is queued.
    pub fn close_send(&mut self) {
        self.due.add(OutputDue::PUSH);
        match self.state {
            TcpState::Established | TcpState::SynReceived | TcpState::SynSent => self.fin_wanted = true,
            TcpState::CloseWait => self.fin_wanted = true,
            _ => {}
        }
    }

    /// Reset the connection: a RST is due, nothing else will follow.
    pub fn abort(&mut self) {
        if matches!(self.state, TcpState::Closed) {
            return;
        }
        if self.state != TcpState::SynSent {
            self.due.add(OutputDue::RESET);
            self.reset_seq = self.acceptable_seq();
        }
    }

    /// Reset the connection in answer to a segment with an acknowledgment for `seq`
    /// (RFC 9293, section 3.10.7.1): the RST carries none of its own.
    pub(crate) const fn answer_with_reset(&mut self, seq: u64) {
        self.due.add(OutputDue::RESET);
        self.reset_bare = true;
        self.reset_seq = seq;
    }

    /// Whether there is nothing that [`poll_send`](Self::poll_send) could do.
    #[inline]
    pub(crate) fn is_at_rest(&self) -> bool {
        !(self.recv.ack_now | self.due.any())
    }

    /// Whether an acknowledgment is due and nothing else, which becomes the plan.
    #[inline]
    pub(crate) fn poll_bare_ack(&mut self, plan: &mut Plan) -> bool {
        if self.due.any() || self.state != TcpState::Established {
            return false;
        }
        *plan = self.bare_ack();
        std::mem::take(&mut self.recv.ack_now)
    }

    /// The next segment to send, if any, which becomes the `plan`. `mss` is the payload that fits a full segment.
    #[inline(never)]
    pub(crate) fn poll_send(&mut self, now: Instant, mss: u32, plan: &mut Plan) -> Polled {
        if self.due.has(OutputDue::URGENT) && self.poll_urgent(now, plan) {
            return Polled::Segment;
        }
        if self.state == TcpState::Closed {
            return Polled::Nothing;
        }
        if self.may_send() {
            match self.poll_data(now, mss, plan) {
                Polled::Nothing => {}
                Polled::Burst => {
                    self.note_data(now);
                    return Polled::Burst;
                }
                polled => {
                    if plan.len > 0 {
                        self.note_data(now);
                    }
                    return polled;
                }
            }
        }
        if !std::mem::take(&mut self.recv.ack_now) || !self.may_answer() {
            return Polled::Nothing;
        }
        *plan = self.bare_ack();
        Polled::Last
    }

    /// Whether what was received can be acknowledged already.
    fn may_answer(&self) -> bool {
        !matches!(self.state, TcpState::SynSent | TcpState::SynReceived) || self.answers_fast_open()
    }

    /// What goes before all data: a reset, a handshake, an ACK of its own.
    #[cold]
    fn poll_urgent(&mut self, now: Instant, plan: &mut Plan) -> bool {
        if self.due.take(OutputDue::RESET) {
            let flags = if self.reset_bare { TcpFlags::RST } else { TcpFlags::RST.with(TcpFlags::ACK) };
            *plan = self.plain(PlanKind::Reset, self.reset_seq, flags);
            return true;
        }
        if self.state == TcpState::Closed {
            return false;
        }
        if self.due.has(OutputDue::HANDSHAKE) {
            *plan = self.handshake(now);
            return true;
        }
        if self.due.take(OutputDue::BARE_ACK) && self.is_synchronized() {
            self.due.set(OutputDue::BARE_ACK, std::mem::take(&mut self.ack_besides));
            *plan = self.bare_ack();
            return true;
        }
        false
    }

    pub(super) fn plain(&self, kind: PlanKind, start: u64, flags: TcpFlags) -> Plan {
        Plan {
            kind,
            start,
            len: 0,
            map: Mapping::default(),
            flags,
            burst_start: start,
            retransmission: false,
        }
    }

    /// An ACK that leaves now, whatever is due.
    pub(crate) fn bare_ack(&self) -> Plan {
        self.plain(PlanKind::Ack, self.acceptable_seq(), TcpFlags::ACK)
    }

    /// The number of a segment that carries none: that of the next octet, unless the peer has taken back so much of its
    /// window that it would lie beyond (`tcp_acceptable_seq`).
    #[inline]
    fn acceptable_seq(&self) -> u64 {
        let window_end = self.snd_una + self.snd_wnd;
        let shrunk = self.snd_nxt.saturating_sub(window_end);
        if shrunk == 0 || self.scales && shrunk < 1 << self.rcv_wscale { self.snd_nxt } else { window_end }
    }

    /// The reset left: nothing follows, unless it answered a wrong acknowledgment during the handshake, which goes
    /// on (RFC 9293, sections 3.10.7.3 and 3.10.7.4).
    pub(crate) fn reset_sent(&mut self) {
        self.due.clear(OutputDue::RESET);
        let answered = std::mem::take(&mut self.reset_bare);
        if answered && matches!(self.state, TcpState::SynSent | TcpState::SynReceived) {
            return;
        }
        if self.state != TcpState::Closed {
            self.finish(CloseReason::Normal);
        }
    }

    fn handshake(&mut self, now: Instant) -> Plan {
        self.due.clear(OutputDue::HANDSHAKE);
        let (kind, flags) = if self.state == TcpState::SynSent {
            (PlanKind::Syn, TcpFlags::SYN)
        } else {
            (PlanKind::SynAck, TcpFlags::SYN.with(TcpFlags::ACK))
        };
        let retransmission = self.snd_nxt > 0;
        if retransmission {
            self.stats.retransmitted += 1;
            self.retrans_stamp.get_or_insert(now);
            if let Some(first) = self.queue.sent.front_mut() {
                first.flags.0 |= SegFlags::EVER_RETRANS;
                first.sent_at = now;
            }
            if self.state == TcpState::SynSent {
                // What may have been the reason for the loss is left out (RFC 7413, section 4.2.2).
                self.fast_open.option = None;
            }
        } else {
            let order = self.queue.next_order();
            self.queue.sent.push_back(TxSeg {
                start: 0,
                sent_at: now,
                map: Mapping::default(),
                order,
                len: 0,
                flags: SegFlags(SegFlags::SYN),
            });
            self.snd_nxt = 1;
            self.burst_end = 1;
            if kind == PlanKind::Syn {
                self.record_syn_data(now);
            }
        }
        if self.xmit_timer.is_none() {
            self.arm_rto(now);
        }
        let len = if retransmission || kind != PlanKind::Syn { 0 } else { self.fast_open.octets };
        Plan { retransmission, len, ..self.plain(kind, 0, flags) }
    }

    #[inline(always)]
    fn poll_data(&mut self, now: Instant, mss: u32, plan: &mut Plan) -> Polled {
        self.note_busy(now);
        if self.due.take(OutputDue::FORCED) && self.send_forced(self.forced, now, mss, plan) {
            return Polled::Segment;
        }
        let held = self.pace_until > now && self.paced;
        if self.due.has(OutputDue::REPAIR) {
            if held {
                self.recovery_is_over();
            } else if self.recover(now, mss, plan) {
                return Polled::Segment;
            }
        }
        // What could not leave waits for an event that may change that.
        let has_new = self.due.has(OutputDue::PUSH) && (!self.queue.unsent.is_empty() || self.fin_wanted);
        if held {
            if has_new || self.queue.lost_out > self.queue.retrans_out {
                self.pace_timer = self.pace_until;
            }
        } else if has_new {
            match self.begin_data(now, mss, Push::Pending, plan) {
                Polled::Nothing => {}
                polled => return polled,
            }
        }
        let due = self.due;
        self.due.clear(OutputDue::LOOKS);
        if !std::mem::take(&mut self.window_limited) {
            self.chrono.stop(now, Limit::Window);
        }
        if due.has(OutputDue::VALIDATE) {
            self.validate_window(now);
        }
        if due.has(OutputDue::SPACE) {
            self.expand_sndbuf(now);
            if !self.wants_space {
                self.chrono.stop(now, Limit::Buffer);
            }
        }
        Polled::Nothing
    }

    /// What a timer demands.
    #[cold]
    fn send_forced(&mut self, forced: Forced, now: Instant, mss: u32, plan: &mut Plan) -> bool {
        match forced {
            Forced::Head => {
                let room = self.room_again(0).unwrap_or(u32::MAX);
                self.stretch_segment(0, mss);
                self.cut_segment(0, mss.min(room));
                self.collapse_into(0, mss);
                give(self.retransmit(now, 0), plan)
            }
            Forced::Tail => {
                let tail = self.cut_tail(mss);
                let leaves = give(tail.and_then(|index| self.resend(now, index)), plan);
                if leaves {
                    self.rearm_after_probe(now);
                }
                leaves
            }
            Forced::New => {
                let leaves = self.new_data(now, mss, Push::Probe, plan);
                if leaves {
                    self.rearm_after_probe(now);
                }
                leaves
            }
            Forced::Probe => {
                *plan = self.window_probe(now, mss);
                true
            }
        }
    }

    /// The next lost segment, if the window has room (`tcp_xmit_retransmit_queue`).
    fn retransmit_lost(&mut self, now: Instant, mss: u32) -> Option<Plan> {
        if self.queue.retrans_out >= self.queue.lost_out || self.queue.in_flight() >= self.window.cwnd {
            return None;
        }
        let hint = self.queue.retransmit_hint;
        let mut index = self.queue.sent.partition_point(|seg| seg.start < hint);
        while let Some(seg) = self.queue.sent.get(index) {
            let wanted =
                seg.flags.has(SegFlags::LOST) && !seg.flags.has(SegFlags::SACKED | SegFlags::RETRANS);
            if wanted {
                let room = self.room_again(index)?;
                self.stretch_segment(index, mss);
                self.cut_segment(index, mss.min(room));
                self.collapse_into(index, mss);
                let next = self.queue.sent[index].end();
                let ends_burst = self.advance_rexmit_burst(index, mss);
                let mut plan = self.retransmit(now, index);
                if let Some(plan) = &mut plan
                    && ends_burst
                {
                    plan.flags = plan.flags.with(TcpFlags::PSH);
                }
                self.queue.retransmit_hint = next;
                if matches!(self.ca_state, CaState::Cwr | CaState::Recovery) {
                    self.prr_out += 1;
                }
                let reordering = matches!(self.xmit_timer, Some((_, XmitTimer::Reorder)));
                if index == 0 && !reordering {
                    self.arm_rto(now);
                }
                return plan;
            }
            index += 1;
        }
        self.queue.retransmit_hint = self.snd_nxt;
        None
    }

    /// How much of a segment may be sent again: nothing that lies beyond a window which was taken back, but for the
    /// first, which then probes it (`__tcp_retransmit_skb`).
    pub(super) fn room_again(&self, index: usize) -> Option<u32> {
        let start = self.queue.sent.get(index)?.start;
        let room = (self.snd_una + self.snd_wnd).saturating_sub(start.max(self.snd_una));
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        match room {
            0 if start > self.snd_una => None,
            0 => Some(u32::MAX),
            room => Some(room),
        }
    }

    /// Lost segments that were handed down together are retransmitted together, as far as the window allows
    /// (`tcp_retransmit_skb`). Returns whether the segment ends such a burst of several.
    fn advance_rexmit_burst(&mut self, index: usize, mss: u32) -> bool {
        if self.rexmit_left > 0 {
            self.rexmit_left -= 1;
            return self.rexmit_left == 0;
        }
        let room = self.window.cwnd.saturating_sub(self.queue.in_flight());
        let most = room.min(self.burst_segments(mss)).max(1) as usize;
        let open = |seg: &TxSeg| {
            seg.flags.has(SegFlags::LOST) && !seg.flags.has(SegFlags::SACKED | SegFlags::RETRANS)
        };
        let mut last = index;
        while self.queue.sent[last].flags.has(SegFlags::MORE)
            && self.queue.sent.get(last + 1).is_some_and(open)
        {
            if last + 1 - index == most {
                self.queue.end_buffer(last);
                break;
            }
            last += 1;
        }
        self.rexmit_left = (last - index) as u32;
        false
    }

    fn retransmit(&mut self, now: Instant, index: usize) -> Option<Plan> {
        let plan = self.resend(now, index)?;
        let seg = self.queue.sent.get_mut(index)?;
        if !seg.flags.has(SegFlags::RETRANS) {
            seg.flags.0 |= SegFlags::RETRANS;
            self.queue.retrans_out += 1;
        }
        self.retrans_stamp.get_or_insert(now);
        self.undo_retrans = self.undo_retrans.max(0) + 1;
        Some(plan)
    }

    /// Send a segment again, which a loss probe does without more (`__tcp_retransmit_skb`).
    fn resend(&mut self, now: Instant, index: usize) -> Option<Plan> {
        let una = self.snd_una;
        let order = self.queue.next_order();
        let seg = self.queue.sent.get_mut(index)?;
        if seg.start < una && seg.len > 0 {
            let cut = (una - seg.start).min(seg.len.into());
            seg.start += cut;
            seg.len -= cut as u16;
        }
        let before = seg.order;
        seg.flags.0 |= SegFlags::EVER_RETRANS;
        seg.sent_at = now;
        seg.order = order;
        let seg = *seg;
        if self.watch.is_some() {
            self.note_resent(now, &seg);
        }
        if let Some(search) = &mut self.mtu_probe {
            search.give_up();
        }
        let rank = self.queue.rank.unwrap_or(order);
        self.queue.retransmitted.push_back(Resent { start: seg.start, order, rank });
        self.queue.retransmitted_to = self.queue.retransmitted_to.max(seg.end());
        self.stats.retransmitted += 1;
        self.stats.bytes_retrans += u64::from(seg.payload());
        let mut flags = TcpFlags::ACK;
        if seg.flags.has(SegFlags::PSH) {
            flags = flags.with(TcpFlags::PSH);
        }
        if seg.flags.has(SegFlags::FIN) {
            flags = flags.with(TcpFlags::FIN);
        }
        self.count_data(seg.payload());
        if let Some(rate) = &mut self.rate {
            rate.superseded(before);
            rate.sent(now, order, false, self.delivered);
        }
        self.pace(now, u64::from(seg.payload()));
        Some(Plan {
            kind: PlanKind::Data,
            start: seg.start,
            len: seg.payload(),
            map: seg.map,
            flags,
            burst_start: seg.start,
            retransmission: true,
        })
    }

    pub(super) fn count_data(&mut self, len: u32) {
        if len > 0 {
            self.stats.data_segs_out += 1;
            self.stats.bytes_sent += u64::from(len);
        }
    }

    /// The header of a segment with an ACK leaves.
    pub(crate) fn note_sent(&mut self, kind: PlanKind) {
        // The SYN/ACK of a passive open leaves before there is a socket to count it, and an answer by reset without one.
        let bare = (kind == PlanKind::SynAck && self.passive) || (kind == PlanKind::Reset && self.reset_bare);
        self.stats.segs_out += u64::from(!bare);
        if kind != PlanKind::Syn {
            self.recv.note_ack_sent();
        }
    }
}

/// Makes `found`, if it is something, the plan.
fn give(found: Option<Plan>, plan: &mut Plan) -> bool {
    if let Some(found) = found {
        *plan = found;
    }
    found.is_some()
}

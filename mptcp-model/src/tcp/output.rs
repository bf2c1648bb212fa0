//! Deciding what to send next (`tcp_write_xmit`): retransmissions, new data in bursts as segmentation
//! offload would hand them down, limited by the congestion window, the send window, Nagle's algorithm in
//! the variant of Minshall, and the rule to defer a small burst; then FIN, probes and ACKs.

use sim_core::{Duration, Instant};

use super::chrono::Limit;
use super::mtu_probe::Verdict;
use super::sendq::{Chunk, Mapping, Resent, SegFlags, TxSeg};
use super::{Flow, Forced, Plan, PlanKind, Push, Rexmit, TcpState, XmitTimer};
use crate::congestion::CaState;
use crate::path_manager::CloseReason;
use crate::wire::TcpFlags;

impl Flow {
    /// Accept `len` octets of data under `map` as a chunk of their own.
    pub fn append(&mut self, len: u32, map: Mapping) {
        self.note_application_limit();
        self.push_small = false;
        self.push_due = true;
        self.queue.append(len, map);
    }

    /// New data finds less than a segment waiting and room in the window (`tcp_rate_check_app_limited`).
    fn note_application_limit(&mut self) {
        let Some(rate) = &mut self.rate else { return };
        let waiting = self.queue.write_end - self.snd_nxt.min(self.queue.write_end);
        let mss = u64::from(self.peer_mss.min(self.params.mss));
        if waiting < mss
            && self.queue.in_flight() < self.window.cwnd
            && self.queue.lost_out <= self.queue.retrans_out
        {
            rate.limited(self.delivered + u64::from(self.queue.in_flight()));
        }
    }

    /// Room left in the chunk at the tail of the queue for data that continues mapping and stream
    /// (`mptcp_skb_can_collapse_to`), given the size goal.
    /// `None` if it cannot be continued at all.
    #[must_use]
    pub fn tail_room(&self, data: u64, size_goal: u32) -> Option<u32> {
        let tail = self.queue.unsent.back()?;
        let continues =
            tail.map.len > 0 && tail.map.data + u64::from(tail.map.len) == data && !self.is_sealed(tail);
        continues.then(|| size_goal.saturating_sub(tail.len))
    }

    /// A chunk whose first segments left keeps its mapping.
    fn is_sealed(&self, chunk: &Chunk) -> bool {
        chunk.start != chunk.map.start || self.burst_end > chunk.start
    }

    /// Append to the chunk at the tail; the caller checked [`tail_room`](Self::tail_room).
    pub fn extend_tail(&mut self, len: u32, sum: u16) {
        self.note_application_limit();
        self.push_due = true;
        if let Some(tail) = self.queue.unsent.back_mut() {
            tail.len += len;
            if tail.map.len > 0 {
                tail.push = false;
                tail.map.len += len;
                tail.map.sum = sum;
            }
            self.queue.write_end += u64::from(len);
        }
    }

    /// What was said to end with PSH goes on: another write begins.
    pub(crate) fn reopen_tail(&mut self) {
        if let Some(tail) = self.queue.unsent.back_mut() {
            tail.push = false;
        }
    }

    /// Mapping of the chunk at the tail.
    #[must_use]
    pub fn tail_map(&self) -> Option<Mapping> {
        self.queue.unsent.back().map(|chunk| chunk.map)
    }

    /// Room in the tail of a plain stream.
    #[must_use]
    pub fn plain_tail_room(&self, size_goal: u32) -> u32 {
        match self.queue.unsent.back() {
            Some(tail) if tail.map.len == 0 && self.burst_end <= tail.start => {
                size_goal.saturating_sub(tail.len)
            }
            _ => 0,
        }
    }

    /// Whether nothing of the chunk at the tail has left; such chunks tell where they began.
    pub(crate) fn is_tail_whole(&self) -> bool {
        self.queue.unsent.back().is_some_and(|tail| tail.start == tail.map.start)
    }

    /// Whether half the largest window was written since PSH was set last (`forced_push`).
    pub(crate) const fn push_is_due(&self) -> bool {
        self.queue.write_end > self.queue.pushed + (self.max_window >> 1)
    }

    /// Whether the last burst left completely.
    pub(crate) const fn burst_is_over(&self) -> bool {
        self.burst_end <= self.snd_nxt
    }

    /// What leaves of new data while more of it is written (`tcp_push_one`, `__tcp_push_pending_frames`).
    pub(crate) fn poll_push(&mut self, now: Instant, mss: u32, push: Push) -> Option<Plan> {
        if !self.may_send() || (self.paced && self.pace_until > now) {
            return None;
        }
        self.note_busy(now);
        let plan = self.new_data(now, mss, push)?;
        self.note_data(now, &plan);
        Some(plan)
    }

    /// What leaves while an acknowledgment is looked at, before the data that came with it (`tcp_xmit_recovery`).
    pub(crate) fn poll_recovery(&mut self, now: Instant, mss: u32) -> Option<Plan> {
        if self.rexmit == Rexmit::None || !self.may_send() || (self.paced && self.pace_until > now) {
            return None;
        }
        let plan = match self.rexmit {
            Rexmit::New => self.new_data(now, mss, Push::Forced),
            _ => self.retransmit_lost(now, mss),
        };
        match &plan {
            Some(plan) => self.note_data(now, plan),
            None => self.recovery_is_over(),
        }
        plan
    }

    fn recovery_is_over(&mut self) {
        self.rexmit = Rexmit::None;
        self.rexmit_left = 0;
    }

    fn note_busy(&mut self, now: Instant) {
        if self.chrono.limit() == Limit::Idle && !self.queue.unsent.is_empty() {
            self.chrono.start(now, Limit::Busy);
        }
    }

    /// A segment leaves that answers what was received, if it carries data (`tcp_event_data_sent`).
    fn note_data(&mut self, now: Instant, plan: &Plan) {
        if plan.len > 0 {
            self.recv.note_data_sent(now);
            self.last_send = now;
        }
    }

    /// The end of a write: the last segment queued carries PSH (`tcp_mark_push`).
    pub fn mark_push(&mut self) {
        self.push_due = true;
        if let Some(tail) = self.queue.unsent.back_mut() {
            tail.push = true;
        }
        self.queue.pushed = self.queue.write_end;
    }

    /// No more data will be written: a FIN follows what is queued.
    pub fn close_send(&mut self) {
        self.push_due = true;
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
            self.reset_due = true;
            self.reset_seq = self.acceptable_seq();
        }
    }

    /// Reset the connection in answer to a segment with an acknowledgment for `seq`
    /// (RFC 9293, section 3.10.7.1): the RST carries none of its own.
    pub(crate) const fn answer_with_reset(&mut self, seq: u64) {
        self.reset_due = true;
        self.reset_bare = true;
        self.reset_seq = seq;
    }

    /// Whether there is nothing that [`poll_send`](Self::poll_send) could do.
    #[inline]
    pub(crate) fn is_at_rest(&self) -> bool {
        // Without branches: each is nearly always false.
        let due = self.recv.ack_now
            | self.bare_ack_due
            | self.handshake_due
            | self.reset_due
            | self.validate_due
            | self.space_check_due
            | self.push_due
            | self.forced.is_some()
            | (self.rexmit != Rexmit::None);
        !due
    }

    /// The next segment to send, if any. `mss` is the payload that fits a full segment.
    pub fn poll_send(&mut self, now: Instant, mss: u32) -> Option<Plan> {
        if self.reset_due {
            self.reset_due = false;
            let flags = if self.reset_bare { TcpFlags::RST } else { TcpFlags::RST.with(TcpFlags::ACK) };
            return Some(self.plain(PlanKind::Reset, self.reset_seq, flags));
        }
        if self.state == TcpState::Closed {
            return None;
        }
        if self.handshake_due {
            return Some(self.handshake(now));
        }
        if std::mem::take(&mut self.bare_ack_due) && self.is_synchronized() {
            self.bare_ack_due = std::mem::take(&mut self.ack_besides);
            return Some(self.bare_ack());
        }
        if self.may_send()
            && let Some(plan) = self.poll_data(now, mss)
        {
            self.note_data(now, &plan);
            return Some(plan);
        }
        if self.recv.ack_now
            && (self.answers_fast_open() || !matches!(self.state, TcpState::SynSent | TcpState::SynReceived))
        {
            self.recv.ack_now = false;
            return Some(self.bare_ack());
        }
        self.recv.ack_now = false;
        None
    }

    fn plain(&self, kind: PlanKind, start: u64, flags: TcpFlags) -> Plan {
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
        self.reset_due = false;
        let answered = std::mem::take(&mut self.reset_bare);
        if answered && matches!(self.state, TcpState::SynSent | TcpState::SynReceived) {
            return;
        }
        if self.state != TcpState::Closed {
            self.finish(CloseReason::Normal);
        }
    }

    fn handshake(&mut self, now: Instant) -> Plan {
        self.handshake_due = false;
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
    fn poll_data(&mut self, now: Instant, mss: u32) -> Option<Plan> {
        self.note_busy(now);
        match self.forced.take() {
            Some(Forced::Head) => {
                self.stretch_segment(0, mss);
                self.cut_segment(0, mss);
                self.collapse_into(0, mss);
                if let Some(plan) = self.retransmit(now, 0) {
                    return Some(plan);
                }
            }
            Some(Forced::Tail) => {
                let tail = self.cut_tail(mss);
                if let Some(plan) = tail.and_then(|index| self.resend(now, index)) {
                    self.rearm_after_probe(now);
                    return Some(plan);
                }
            }
            Some(Forced::New) => {
                if let Some(plan) = self.new_data(now, mss, Push::Probe) {
                    self.rearm_after_probe(now);
                    return Some(plan);
                }
            }
            Some(Forced::Probe) => return Some(self.window_probe(now, mss)),
            None => {}
        }
        let held = self.pace_until > now && self.paced;
        if self.rexmit != Rexmit::None {
            if self.rexmit == Rexmit::Lost
                && !held
                && let Some(plan) = self.retransmit_lost(now, mss)
            {
                return Some(plan);
            }
            self.recovery_is_over();
        }
        // What could not leave waits for an event that may change that.
        let has_new = self.push_due && (!self.queue.unsent.is_empty() || self.fin_wanted);
        if held {
            if has_new || self.queue.lost_out > self.queue.retrans_out {
                self.pace_timer = self.pace_until;
            }
        } else if has_new && let Some(plan) = self.new_data(now, mss, Push::Pending) {
            return Some(plan);
        }
        self.push_due = false;
        if !std::mem::take(&mut self.window_limited) {
            self.chrono.stop(now, Limit::Window);
        }
        if self.validate_due {
            self.validate_due = false;
            self.validate_window(now);
        }
        if std::mem::take(&mut self.space_check_due) {
            self.expand_sndbuf(now);
            if !self.wants_space {
                self.chrono.stop(now, Limit::Buffer);
            }
        }
        None
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
                self.stretch_segment(index, mss);
                self.cut_segment(index, mss);
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
            let cut = una - seg.start;
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

    /// Segments of one burst: what the pacing rate sends in a millisecond, but not fewer than set
    /// (`tcp_tso_autosize`).
    fn burst_segments(&self, mss: u32) -> u32 {
        let gso = u64::from(self.config.gso_max);
        let mut bytes = self.pacing_rate >> 10;
        let shift = self.rtt.min_rtt().unwrap_or(Duration::MAX).as_micros() >> 9;
        if shift < 32 {
            bytes += gso >> shift;
        }
        let floor = if self.by_rate { self.cc.burst_floor() } else { self.config.min_burst };
        (bytes.min(gso) as u32 / mss).max(floor)
    }

    /// A burst of `bytes` left: when the next may follow (`tcp_update_skb_after_send`). The first ten segments
    /// are free, and a burst that came late shortens the wait by up to a half.
    #[inline]
    fn pace(&mut self, now: Instant, bytes: u64) {
        if !self.paced || self.pacing_rate == u64::MAX || self.stats.data_segs_out < 10 {
            return;
        }
        let wait = bytes.saturating_mul(1_000_000_000) / self.pacing_rate.max(1);
        let late = now.saturating_since(self.pace_until).as_nanos();
        self.pace_until = self.pace_until.max(now) + Duration::from_nanos(wait - late.min(wait / 2));
    }

    #[inline]
    fn new_data(&mut self, now: Instant, mss: u32, push: Push) -> Option<Plan> {
        if self.burst_end <= self.snd_nxt {
            let Some(&chunk) = self.queue.unsent.front() else {
                let has_room = self.config.fin_is_free || self.queue.in_flight() < self.window.cwnd;
                if !self.fin_waits() || !(has_room || push == Push::Probe) {
                    return None;
                }
                if !self.window_allows_next() {
                    self.blocked_by_window(now);
                    return None;
                }
                return Some(self.bare_fin(now));
            };
            if self.mtu_probe.is_some() && matches!(push, Push::Pending | Push::Forced) {
                match self.probe_mtu(now) {
                    Verdict::Probe(plan) => return Some(plan),
                    Verdict::Wait => return None,
                    Verdict::Usual => {}
                }
            }
            if !self.begin_burst(now, mss, push, &chunk) {
                return None;
            }
        }
        Some(self.next_of_burst(now, mss))
    }

    /// Decide how much of the next chunk leaves at once; false if nothing does.
    #[inline(always)]
    fn begin_burst(&mut self, now: Instant, mss: u32, push: Push, chunk: &Chunk) -> bool {
        let probe = push == Push::Probe;
        // A FIN or a full chunk lets small segments go.
        let nagle = push == Push::Pending && !self.fin_wanted;
        if self.queue.sent.is_empty() {
            self.resume_after_idle(now);
        }
        let quota = match self.window.cwnd.saturating_sub(self.queue.in_flight()) {
            0 if probe => 1,
            0 => {
                if !self.config.usage_by_flight {
                    self.cwnd_limited(now);
                }
                return false;
            }
            // At least two bursts are in flight, for the clock of ACKs (`tcp_cwnd_test`).
            room => room.min((self.window.cwnd >> 1).max(1)),
        };
        let most = if probe | self.ecn.urgent { 1 } else { self.burst_segments(mss).min(quota) };
        let chunk = self.grow_first_chunk(chunk, most.saturating_mul(mss));
        let window_end = self.snd_una + self.snd_wnd;
        let is_last = self.queue.unsent.len() == 1;
        // A FIN that goes along needs room too.
        let fin = u64::from(is_last & self.fin_wanted & (chunk.len <= mss));
        if chunk.start + u64::from(chunk.len.min(mss)) + fin > window_end {
            self.window_limited = true;
            self.chrono.start(now, Limit::Window);
            self.blocked_by_window(now);
            return false;
        }
        let limit = if chunk.len <= mss {
            if nagle && is_last && self.nagle_holds(chunk.len < mss) {
                self.blocked_by_window(now);
                return false;
            }
            chunk.len
        } else {
            if matches!(push, Push::Pending | Push::Forced)
                && self.defers(now, &chunk, is_last, most, quota, mss)
            {
                return false;
            }
            self.split_point(&chunk, nagle, is_last, most, mss, window_end)
        };
        if limit == 0 {
            return false;
        }
        self.bursts += u32::from(self.space_check_due);
        self.burst_start = chunk.start;
        self.burst_end = chunk.start + u64::from(limit);
        // Offloaded bursts of several segments end with PSH (`__tcp_transmit_skb`).
        self.burst_push = limit > mss || (limit == chunk.len && chunk.push);
        if self.watch.is_some() {
            self.note_burst(now, mss);
        }
        true
    }

    /// The first chunk, with what a full burst lacks taken from the second (`tcp_grow_skb`, Linux 6.9). Data with
    /// mappings stays apart.
    fn grow_first_chunk(&mut self, chunk: &Chunk, wanted: u32) -> Chunk {
        let unsent = &mut self.queue.unsent;
        let apart = chunk.map.len > 0 || self.chunks_apart;
        if chunk.len >= wanted || apart || unsent.len() < 2 || !self.config.grows_bursts {
            return *chunk;
        }
        let moved = (wanted - chunk.len).min(unsent[1].len);
        if let Some(watch) = &mut self.watch {
            let (start, end) = (chunk.start, unsent[1].start + u64::from(unsent[1].len));
            if watch.separates(start, unsent[1].start, end) {
                return *chunk;
            }
            if moved == unsent[1].len {
                watch.merge_keys(start, end);
            }
        }
        let (next, next_push) = (unsent[1].len - moved, unsent[1].push);
        if next == 0 {
            unsent.remove(1);
        } else {
            unsent[1].len = next;
            unsent[1].start += u64::from(moved);
        }
        let first = &mut unsent[0];
        first.len += moved;
        first.push |= next == 0 && next_push;
        *first
    }

    /// How much of a chunk to hand down (`tcp_mss_split_point`).
    fn split_point(
        &self,
        chunk: &Chunk,
        nagle: bool,
        is_last: bool,
        segments: u32,
        mss: u32,
        window_end: u64,
    ) -> u32 {
        let window = (window_end - chunk.start).min(u64::from(u32::MAX)) as u32;
        let most = mss.saturating_mul(segments);
        let needed = chunk.len.min(window);
        if most <= needed {
            return most;
        }
        let partial = needed % mss;
        // What ends a chunk that others follow goes along.
        let nagle = nagle && (is_last || needed < chunk.len);
        if nagle && self.nagle_holds(partial != 0) && needed > partial {
            return needed - partial;
        }
        needed
    }

    /// Nagle as modified by Minshall: a small segment waits for an earlier small one. A corked one waits for
    /// more data, until the persist timer sends it.
    fn nagle_holds(&self, partial: bool) -> bool {
        partial
            && !self.subordinate
            && !self.push_small
            && !self.ecn.urgent
            && (self.config.cork
                || self.config.nagle
                    && !self.queue.sent.is_empty()
                    && self.snd_sml > self.snd_una
                    && self.snd_sml <= self.snd_nxt)
    }

    /// Wait for a larger burst (`tcp_tso_should_defer`)?
    #[inline(always)]
    fn defers(
        &mut self,
        now: Instant,
        chunk: &Chunk,
        is_last: bool,
        segments: u32,
        quota: u32,
        mss: u32,
    ) -> bool {
        if self.ca_state >= CaState::Recovery {
            return false;
        }
        if now.saturating_since(self.last_send.max(self.pace_until)) >= Duration::from_millis(1) {
            return false;
        }
        let send_window = self.snd_una + self.snd_wnd - chunk.start;
        let most = self.burst_segments(mss).max(segments);
        let mss = self.mss_cache();
        let cong_window = u64::from(quota) * u64::from(mss);
        let limit = send_window.min(cong_window);
        if limit >= u64::from(most) * u64::from(mss) {
            return false;
        }
        if !is_last && limit >= u64::from(chunk.len) {
            return false;
        }
        let third = self.snd_wnd.min(u64::from(self.window.cwnd) * u64::from(mss)) / 3;
        if limit >= third {
            return false;
        }
        let Some(head) = self.queue.sent.front() else { return false };
        let srtt = self.rtt.srtt();
        let most = if self.config.defers_briefly { Duration::from_millis(1) } else { Duration::MAX };
        if head.sent_at + srtt > now + (srtt / 2).min(most) {
            return false;
        }
        if cong_window < send_window {
            if cong_window <= u64::from(chunk.len) {
                self.is_cwnd_limited = true;
                self.cwnd_limited(now);
            }
        } else if send_window <= u64::from(chunk.len) {
            self.window_limited = true;
            self.chrono.start(now, Limit::Window);
            return true;
        }
        // A FIN or an end of record will not be followed by more.
        let end = chunk.start + u64::from(chunk.len);
        let ends_record = self.watch.as_ref().is_some_and(|watch| watch.ends_record(end));
        !(ends_record || is_last && self.fin_wanted)
    }

    #[inline(always)]
    pub(super) fn next_of_burst(&mut self, now: Instant, mss: u32) -> Plan {
        let left = self.burst_end - self.snd_nxt;
        let start = self.snd_nxt;
        let Some(chunk) = self.queue.unsent.front_mut() else {
            unreachable!("a burst lies within the first unsent chunk")
        };
        let len = left.min(u64::from(mss)).min(u64::from(chunk.len)) as u32;
        let map = chunk.map;
        chunk.start += u64::from(len);
        chunk.len -= len;
        let (chunk_done, chunk_push) = (chunk.len == 0, chunk.push);
        if chunk_done {
            self.queue.unsent.pop_front();
        }
        let burst_done = u64::from(len) == left;
        let mut flags = SegFlags(0);
        let mut tcp = TcpFlags::ACK;
        if burst_done && self.burst_push {
            tcp = tcp.with(TcpFlags::PSH);
            // That of a burst which ends no write is not repeated with its segments.
            if chunk_done && chunk_push {
                flags.0 |= SegFlags::PSH;
            }
        }
        if !burst_done {
            flags.0 |= SegFlags::MORE;
            self.queue.shared += 1;
        }
        let with_fin = chunk_done && burst_done && self.queue.unsent.is_empty() && self.fin_wanted;
        if with_fin {
            flags.0 |= SegFlags::FIN;
            tcp = tcp.with(TcpFlags::FIN);
            self.send_fin();
        }
        let order = self.queue.next_order();
        self.record(now, TxSeg { start, sent_at: now, map, order, len: len as u16, flags });
        if len < mss {
            self.snd_sml = start + u64::from(len);
        }
        if burst_done {
            self.pace(now, self.burst_end - self.burst_start);
        }
        Plan {
            kind: PlanKind::Data,
            start,
            len,
            map,
            flags: tcp,
            burst_start: self.burst_start,
            retransmission: false,
        }
    }

    /// Whether the FIN is all that is left to send.
    pub(super) fn fin_waits(&self) -> bool {
        self.fin_wanted && !self.fin_sent && self.snd_nxt >= self.queue.write_end
    }

    fn bare_fin(&mut self, now: Instant) -> Plan {
        let start = self.snd_nxt;
        self.send_fin();
        let order = self.queue.next_order();
        let flags = SegFlags(SegFlags::FIN);
        self.record(now, TxSeg { start, sent_at: now, map: Mapping::default(), order, len: 0, flags });
        self.burst_end = self.snd_nxt;
        self.plain(PlanKind::Data, start, TcpFlags::FIN.with(TcpFlags::ACK))
    }

    fn send_fin(&mut self) {
        self.fin_sent = true;
        self.state = match self.state {
            TcpState::CloseWait if self.fins_cross => TcpState::Closing,
            TcpState::CloseWait => TcpState::LastAck,
            _ => TcpState::FinWait1,
        };
    }

    /// A segment leaves for the first time.
    #[inline(always)]
    fn record(&mut self, now: Instant, seg: TxSeg) {
        let was_idle = self.queue.sent.is_empty();
        if let Some(rate) = &mut self.rate {
            rate.sent(now, seg.order, was_idle, self.delivered);
        }
        self.snd_nxt = seg.end();
        self.count_data(seg.payload());
        if matches!(self.ca_state, CaState::Cwr | CaState::Recovery) {
            self.prr_out += 1;
        }
        self.queue.sent.push_back(seg);
        self.validate_due = true;
        let probe_pending = matches!(self.xmit_timer, Some((_, XmitTimer::LossProbe)));
        // Of the segments of one instant, the third and later ones find the probe as they would set it.
        if probe_pending
            && self.queue.packets_out() > 2
            && self.xmit_timer.is_some_and(|(at, _)| self.probe_armed == (now, at))
        {
            return;
        }
        if was_idle || probe_pending || self.xmit_timer.is_none() {
            // A burst of new data restarts the probe timer (`tcp_event_new_data_sent`).
            if !self.schedule_loss_probe(now, false) && (was_idle || self.xmit_timer.is_none()) {
                self.rearm_rto(now);
            }
        } else if matches!(self.xmit_timer, Some((_, XmitTimer::Retransmit))) {
            self.schedule_loss_probe(now, false);
        }
        if let Some((at, XmitTimer::LossProbe)) = self.xmit_timer
            && self.queue.packets_out() > 1
        {
            self.probe_armed = (now, at);
        }
    }

    fn cwnd_limited(&mut self, now: Instant) {
        self.is_cwnd_limited = true;
        self.max_packets_out = self.max_packets_out.max(self.queue.packets_out());
        self.cwnd_usage_seq = self.snd_nxt;
        self.cwnd_used = 0;
        self.cwnd_stamp = now;
        self.validate_due = false;
    }

    /// After a round of sending: did the window limit it (`tcp_cwnd_validate`, RFC 7661)?
    fn validate_window(&mut self, now: Instant) {
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

    /// Sending resumes with nothing outstanding (`tcp_slow_start_after_idle_check`, RFC 5681, section 4.1).
    fn resume_after_idle(&mut self, now: Instant) {
        let idle = now.saturating_since(self.last_send);
        self.cc.on_transmit_start(&mut self.window, now, idle);
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
        self.last_send = now;
    }

    /// Nothing outstanding will call again: the persist timer does.
    fn blocked_by_window(&mut self, now: Instant) {
        if self.queue.sent.is_empty() && self.xmit_timer.is_none() {
            self.arm_persist(now);
        }
    }

    /// What the persist timer sends (`tcp_write_wakeup`): as much as a window smaller than a segment allows
    /// (RFC 9293, section 3.8.6.2.1), or a probe of a closed one.
    fn window_probe(&mut self, now: Instant, mss: u32) -> Plan {
        let room = (self.snd_una + self.snd_wnd).saturating_sub(self.snd_nxt);
        if let Some(chunk) = self.queue.unsent.front()
            && room > 0
        {
            let limit = u64::from(chunk.len.min(mss)).min(room);
            self.burst_start = chunk.start;
            self.burst_end = chunk.start + limit;
            self.burst_push = true;
            if self.watch.is_some() {
                self.note_burst(now, mss);
            }
            return self.next_of_burst(now, mss);
        }
        if self.probes_urgent() {
            self.force(Forced::Probe);
            return self.plain(PlanKind::Probe, self.snd_una, TcpFlags::ACK);
        }
        self.plain(PlanKind::Probe, self.snd_una.saturating_sub(1), TcpFlags::ACK)
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

//! New data leaves in bursts, as segmentation offload would hand them down (`tcp_write_xmit`): limited by the congestion window, the
//! send window, Nagle's algorithm in the variant of Minshall, and the rule to defer a small burst; then the FIN.

use sim_core::{Duration, Instant};

use super::chrono::Limit;
use super::mtu_probe::Verdict;
use super::sendq::{Mapping, SegFlags, TxSeg};
use super::{Flow, Forced, OutputDue, Plan, PlanKind, Polled, Push, TcpState, XmitTimer};
use crate::congestion::CaState;
use crate::wire::TcpFlags;

impl Flow {
    /// Segments of one burst: what the pacing rate sends in a millisecond, but not fewer than set
    /// (`tcp_tso_autosize`).
    pub(super) fn burst_segments(&self, mss: u32) -> u32 {
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
    pub(super) fn pace(&mut self, now: Instant, bytes: u64) {
        if !self.paced || self.pacing_rate == u64::MAX || self.stats.data_segs_out < 10 {
            return;
        }
        let wait = bytes.saturating_mul(1_000_000_000) / self.pacing_rate.max(1);
        let late = now.saturating_since(self.pace_until).as_nanos();
        self.pace_until = self.pace_until.max(now) + Duration::from_nanos(wait - late.min(wait / 2));
    }

    /// New data, or the FIN, if it may leave: one segment.
    pub(super) fn new_data(&mut self, now: Instant, mss: u32, push: Push, plan: &mut Plan) -> bool {
        match self.begin_data(now, mss, push, plan) {
            Polled::Nothing => false,
            Polled::Burst => {
                self.next_of_burst(now, mss, plan);
                true
            }
            Polled::Segment | Polled::Last => true,
        }
    }

    /// New data, or the FIN, if it may leave: a burst, or what becomes the plan.
    #[inline(always)]
    pub(super) fn begin_data(&mut self, now: Instant, mss: u32, push: Push, plan: &mut Plan) -> Polled {
        if self.burst_end > self.snd_nxt {
            return Polled::Burst;
        }
        if self.queue.unsent.is_empty() {
            return self.begin_fin(now, push, plan);
        }
        if self.mtu_probe.is_some() && matches!(push, Push::Pending | Push::Forced) {
            match self.probe_mtu(now) {
                Verdict::Probe(probe) => {
                    *plan = probe;
                    return Polled::Segment;
                }
                Verdict::Wait => return Polled::Nothing,
                Verdict::Usual => {}
            }
        }
        if self.begin_burst(now, mss, push) { Polled::Burst } else { Polled::Nothing }
    }

    /// The FIN, if it may leave alone.
    #[cold]
    fn begin_fin(&mut self, now: Instant, push: Push, plan: &mut Plan) -> Polled {
        let has_room = self.config.fin_is_free || self.queue.in_flight() < self.window.cwnd;
        if !self.fin_waits() || !(has_room || push == Push::Probe) {
            return Polled::Nothing;
        }
        if !self.window_allows_next() {
            self.blocked_by_window(now);
            return Polled::Nothing;
        }
        *plan = self.bare_fin(now);
        Polled::Segment
    }

    /// Decide how much of the next chunk leaves at once; false if nothing does.
    #[inline(always)]
    fn begin_burst(&mut self, now: Instant, mss: u32, push: Push) -> bool {
        let probe = push == Push::Probe;
        // A FIN or a full chunk lets small segments go.
        let nagle = push == Push::Pending && !self.fin_wanted;
        let resumes = self.queue.sent.is_empty();
        if std::mem::take(&mut self.idle_check_due) && resumes {
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
        let goal = self.burst_segments(mss);
        let most = if probe | self.ecn.urgent { 1 } else { goal.min(quota) };
        let wanted = most.saturating_mul(mss);
        let Some(chunk) = self.queue.unsent.front() else { return false };
        let (start, mut len) = (chunk.start, chunk.len);
        if len < wanted && !self.chunks_apart && chunk.map.len == 0 && self.queue.unsent.len() > 1 {
            len = self.grow_first_chunk(wanted);
        }
        let window_end = self.snd_una + self.snd_wnd;
        let is_last = self.queue.unsent.len() == 1;
        // A FIN that goes along needs room too.
        let fin = u64::from(is_last & self.fin_wanted & (len <= mss));
        if start + u64::from(len.min(mss)) + fin > window_end {
            self.window_limited = true;
            self.chrono.start(now, Limit::Window);
            self.blocked_by_window(now);
            return false;
        }
        let limit = if len <= mss {
            if nagle && is_last && len < mss && self.nagle_holds() {
                self.blocked_by_window(now);
                return false;
            }
            len
        } else {
            if matches!(push, Push::Pending | Push::Forced)
                && self.defers(now, (start, len), is_last, goal.max(most), quota)
            {
                return false;
            }
            self.split_point((start, len), nagle, is_last, most, mss, window_end)
        };
        if limit == 0 {
            return false;
        }
        if resumes {
            self.cc.on_transmit_start(&mut self.window, now, now.saturating_since(self.last_send));
        }
        self.bursts += u32::from(self.due.has(OutputDue::SPACE));
        self.burst_start = start;
        self.burst_end = start + u64::from(limit);
        // Offloaded bursts of several segments end with PSH (`__tcp_transmit_skb`).
        self.burst_push =
            limit > mss || (limit == len && self.queue.unsent.front().is_some_and(|chunk| chunk.push));
        if self.watch.is_some() {
            self.note_burst(now, mss);
        }
        true
    }

    /// What a full burst lacks is taken from the second chunk (`tcp_grow_skb`, Linux 6.9). Data with mappings stays apart.
    /// Returns the octets of the first chunk.
    #[inline(never)]
    fn grow_first_chunk(&mut self, wanted: u32) -> u32 {
        let unsent = &mut self.queue.unsent;
        let (start, len) = (unsent[0].start, unsent[0].len);
        if !self.config.grows_bursts {
            return len;
        }
        let moved = (wanted - len).min(unsent[1].len);
        if let Some(watch) = &mut self.watch {
            let end = unsent[1].start + u64::from(unsent[1].len);
            if watch.separates(start, unsent[1].start, end) {
                return len;
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
        first.len
    }

    /// How much to hand down of a chunk that begins at `start` and has `len` octets (`tcp_mss_split_point`).
    fn split_point(
        &self,
        (start, len): (u64, u32),
        nagle: bool,
        is_last: bool,
        segments: u32,
        mss: u32,
        window_end: u64,
    ) -> u32 {
        let window = (window_end - start).min(u64::from(u32::MAX)) as u32;
        let most = mss.saturating_mul(segments);
        let needed = len.min(window);
        if most <= needed {
            return most;
        }
        // What ends a chunk that others follow goes along.
        if nagle && (is_last || needed < len) && self.nagle_holds() {
            let partial = needed % mss;
            if needed > partial {
                return needed - partial;
            }
        }
        needed
    }

    /// Nagle as modified by Minshall: a small segment waits for an earlier small one. A corked one waits for
    /// more data, until the persist timer sends it.
    fn nagle_holds(&self) -> bool {
        !self.subordinate
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
        (start, len): (u64, u32),
        is_last: bool,
        most: u32,
        quota: u32,
    ) -> bool {
        if self.ca_state >= CaState::Recovery {
            return false;
        }
        if now.saturating_since(self.last_send.max(self.pace_until)) >= Duration::from_millis(1) {
            return false;
        }
        let send_window = self.snd_una + self.snd_wnd - start;
        let mss = self.mss_cache();
        let cong_window = u64::from(quota) * u64::from(mss);
        let limit = send_window.min(cong_window);
        if limit >= u64::from(most) * u64::from(mss) {
            return false;
        }
        if !is_last && limit >= u64::from(len) {
            return false;
        }
        let third = self.snd_wnd.min(u64::from(self.window.cwnd) * u64::from(mss)) / 3;
        if limit >= third {
            return false;
        }
        let Some(head) = self.queue.sent.front() else { return false };
        let srtt = self.rtt.srtt();
        let wait = if self.config.defers_briefly { Duration::from_millis(1) } else { Duration::MAX };
        if head.sent_at + srtt > now + (srtt / 2).min(wait) {
            return false;
        }
        if cong_window < send_window {
            if cong_window <= u64::from(len) {
                self.is_cwnd_limited = true;
                self.cwnd_limited(now);
            }
        } else if send_window <= u64::from(len) {
            self.window_limited = true;
            self.chrono.start(now, Limit::Window);
            return true;
        }
        // A FIN or an end of record will not be followed by more.
        let end = start + u64::from(len);
        let ends_record = self.watch.as_ref().is_some_and(|watch| watch.ends_record(end));
        !(ends_record || is_last && self.fin_wanted)
    }

    /// Whether a segment that just left belongs to a burst with more to come.
    #[inline(always)]
    pub(crate) fn goes_on_after(&self, plan: &Plan) -> bool {
        self.burst_end > self.snd_nxt
            && plan.kind == PlanKind::Data
            && !plan.retransmission
            && plan.start + u64::from(plan.len) == self.snd_nxt
    }

    /// The next segment of a burst that has begun; nothing is asked again between them.
    #[inline]
    pub(crate) fn next_of_burst(&mut self, now: Instant, mss: u32, plan: &mut Plan) {
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
        let with_fin = self.fin_wanted && chunk_done && burst_done && self.queue.unsent.is_empty();
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
        *plan = Plan {
            kind: PlanKind::Data,
            start,
            len,
            map,
            flags: tcp,
            burst_start: self.burst_start,
            retransmission: false,
        };
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
        self.due.add(OutputDue::VALIDATE);
        if seg.flags.has(SegFlags::MORE) && !was_idle {
            // The last of the burst sets the timer as this one would.
            return;
        }
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

    /// Nothing outstanding will call again: the persist timer does.
    fn blocked_by_window(&mut self, now: Instant) {
        if self.queue.sent.is_empty() && self.xmit_timer.is_none() {
            self.arm_persist(now);
        }
    }

    /// What the persist timer sends (`tcp_write_wakeup`): as much as a window smaller than a segment allows
    /// (RFC 9293, section 3.8.6.2.1), or a probe of a closed one.
    pub(super) fn window_probe(&mut self, now: Instant, mss: u32) -> Plan {
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
            let mut plan = Plan::NONE;
            self.next_of_burst(now, mss, &mut plan);
            return plan;
        }
        if self.probes_urgent() {
            self.force(Forced::Probe);
            return self.plain(PlanKind::Probe, self.snd_una, TcpFlags::ACK);
        }
        self.plain(PlanKind::Probe, self.snd_una.saturating_sub(1), TcpFlags::ACK)
    }
}

//! The short way for the two segments that are nearly all there are (header prediction, as in
//! `tcp_rcv_established`): the next data in order at a host that only receives, and an acknowledgment of
//! new data while nothing is lost, marked or closing. What they do is what `input`, `recovery` and `receive`
//! do with them, less every step that these conditions make void; any other segment takes the long way.

use sim_core::Instant;

use super::receive::{ReceiveSpace, truesize, truesize_of};
use super::{Flow, OutputDue, TcpState};
use crate::congestion::{AckEvent, CaState, PathView};
use crate::wire::{Seq, TcpFlags, TcpSegment};

impl Flow {
    /// Whether the segment is next, acceptable, and of a peer in the middle of the conversation.
    #[inline(always)]
    fn is_next(&self, segment: &TcpSegment, val: u32) -> bool {
        self.config.header_prediction
            && self.ts_ok
            && !self.ecn.by_marks
            && self.continues(segment)
            && val.wrapping_sub(self.recv.ts_recent).cast_signed() >= 0
    }

    /// Whether the segment is an ordinary one and the next of an established flow.
    #[inline(always)]
    fn continues(&self, segment: &TcpSegment) -> bool {
        let recv = &self.recv;
        self.state == TcpState::Established
            && segment.flags.without(TcpFlags::PSH) == TcpFlags::ACK
            && segment.seq == Seq::from_offset(recv.irs, recv.rcv_nxt)
            && recv.fin_at.is_none()
    }

    /// Whether `len` octets of data are the next, within the window, for a flow that has nothing outstanding.
    #[inline(always)]
    fn predicts_data(&self, segment: &TcpSegment, val: u32, len: u32) -> bool {
        self.is_next(segment, val)
            && u64::from(len) <= self.recv.receive_window()
            && !self.recv.has_holes()
            && segment.ack == self.snd_seq(self.snd_una)
            && u64::from(segment.window) << self.snd_wscale == self.snd_wnd
            && self.queue.sent.is_empty()
            && self.xmit_timer.is_none()
            && !self.fin_sent
    }

    /// Takes the `len` octets of data of a segment with usual options, which are the owner's to deliver to a buffer with
    /// this `space`. Returns the memory they take; `None`, and nothing done, if they are not predicted.
    #[inline(never)]
    pub(crate) fn take_predicted_data(
        &mut self,
        now: Instant,
        segment: &TcpSegment,
        len: u32,
        space: ReceiveSpace,
    ) -> Option<u32> {
        let (val, ecr) = segment.options.usual_timestamps();
        if !self.predicts_data(segment, val, len) {
            return None;
        }
        let truesize = truesize(self.config.frame_memory, segment.options.len() as u32, len);
        self.stats.segs_in += 1;
        self.stats.data_segs_in += 1;
        self.stats.bytes_received += u64::from(len);
        self.received_at = now;
        self.last_ack_received = now;
        self.rack.advanced = false;
        let (clock, rto) = (self.ts_clock(now), self.rtt.rto());
        let recv = &mut self.recv;
        let start = recv.rcv_nxt;
        if start == recv.rcv_wup {
            recv.ts_recent = val;
        }
        recv.measure_rtt(clock, ecr.wrapping_sub(self.params.ts_offset), len);
        self.snd_wl1 = self.snd_wl1.max(start);
        recv.rcv_nxt += u64::from(len);
        recv.note_in_order(now, len, truesize, segment.flags.psh(), rto, space);
        Some(truesize)
    }

    /// Whether the header prediction of Linux takes this segment: after a bare acknowledgment it does not ask whether an
    /// ACK of its own is due, and data it queues before it looks at the acknowledgment (`tcp_rcv_established`).
    pub(crate) fn is_predicted(&self, segment: &TcpSegment) -> bool {
        self.continues(segment)
            && u64::from(segment.window) << self.snd_wscale == self.snd_wnd
            && segment.options.len() == usize::from(self.timestamp_octets())
            && !self.recv.has_holes()
    }

    /// Whether a segment with data is taken without a look at its ACK, if that is no news: one that is expected, and for
    /// which the socket has memory at hand, of the last page it was given (`tcp_rcv_established`).
    pub(crate) fn takes_fast_path(&self, segment: &TcpSegment) -> bool {
        const PAGE: u64 = 4096;
        let charged = self.recv.unread_truesize + self.queue.memory(self.snd_una);
        let at_hand = charged.next_multiple_of(PAGE) - charged;
        u64::from(truesize_of(self.config.frame_memory, segment)) <= at_hand && self.is_predicted(segment)
    }

    /// The window of the last acknowledgment; what the connection shared with the flow was granted already.
    #[inline(always)]
    pub(crate) const fn granted_window(&self) -> u64 {
        if self.wnd_shared { 0 } else { self.snd_wnd }
    }

    /// Whether this, which carries no data, acknowledges new data up to `ack`, and nothing outstanding was ever lost,
    /// selectively acknowledged or sent twice.
    #[inline(always)]
    fn predicts_ack(&self, segment: &TcpSegment, val: u32, ack: i64) -> bool {
        let queue = &self.queue;
        self.is_next(segment, val)
            && ack > self.snd_una as i64
            && ack <= self.snd_nxt as i64
            && self.ca_state == CaState::Open
            && self.rate.is_none()
            && self.sack_ok
            && self.tlp_high_seq == 0
            && !self.fin_sent
            && queue.lost_out == 0
            && queue.highest_sacked <= self.snd_una
            && queue.retransmitted_to <= self.snd_una
            && queue.sent.front().is_some_and(|first| first.end() <= ack as u64)
    }

    /// Takes the acknowledgment of a segment without data and with usual options; false, and nothing done, if it is not
    /// predicted. The flow is number `me` of `paths`.
    #[inline(never)]
    pub(crate) fn take_predicted_ack(
        &mut self,
        now: Instant,
        segment: &TcpSegment,
        me: usize,
        paths: &[PathView],
    ) -> bool {
        let (val, _) = segment.options.usual_timestamps();
        let ack = segment.ack.to_offset(self.params.iss, self.snd_una);
        if !self.predicts_ack(segment, val, ack) {
            return false;
        }
        let ack = ack as u64;
        let start = self.recv.rcv_nxt;
        let prior_in_flight = self.queue.packets_out();
        self.due.add(OutputDue::PUSH);
        self.stats.segs_in += 1;
        self.received_at = now;
        self.last_ack_received = now;
        if start == self.recv.rcv_wup {
            self.recv.ts_recent = val;
        }
        self.snd_wl1 = start;
        let window = u64::from(segment.window) << self.snd_wscale;
        self.snd_wnd = window;
        self.wnd_shared = false;
        self.max_window = self.max_window.max(window);
        self.snd_una = ack;
        self.retries = 0;

        // The first segment is acknowledged as a whole.
        let Some(first) = self.queue.pop_sent() else { return true };
        let (mut last, mut delivered, mut bytes) = (first, 1, u64::from(first.payload()));
        while let Some(front) = self.queue.sent.front_mut() {
            if front.end() > ack {
                if front.start < ack {
                    // A part of the segment: a middlebox split it.
                    let cut = ack - front.start;
                    bytes += cut;
                    front.start += cut;
                    front.len -= cut as u16;
                }
                break;
            }
            bytes += u64::from(front.payload());
            delivered += 1;
            (last.sent_at, last.order) = (front.sent_at, front.order);
            self.queue.pop_sent();
        }
        self.queue.retransmit_hint = self.queue.retransmit_hint.max(ack);
        self.queue.rack_hint = self.queue.rack_hint.max(ack);
        if self.queue.sent.is_empty() {
            self.queue.retransmitted.clear();
            if self.queue.unsent.is_empty() {
                self.chrono.rest(now);
            }
        }
        self.stats.bytes_acked += bytes;
        self.acked_since_loss += bytes;
        self.delivered += u64::from(delivered);

        let rtt = now.saturating_since(last.sent_at);
        self.advance_rack(now, last.order, last.sent_at, false);
        self.rtt.sample_min(now, rtt);
        self.rtt.sample(now.saturating_since(first.sent_at), self.snd_una, self.snd_nxt);
        self.set_xmit_timer(now);
        let event = AckEvent {
            now,
            delivered,
            acked: delivered,
            rtt: Some(rtt),
            prior_in_flight,
            in_flight: self.queue.packets_out(),
            cwnd_limited: self.was_cwnd_limited(),
            state: CaState::Open,
            snd_nxt: self.snd_nxt,
            snd_una: ack,
        };
        self.cc.on_rtt_sample(&mut self.window, &event, rtt);
        self.cc.on_ack(&mut self.window, &event, me, paths);
        self.cwnd_stamp = now;
        self.update_pacing_rate();
        self.window_opened();
        self.due.add(OutputDue::SPACE);
        true
    }
}

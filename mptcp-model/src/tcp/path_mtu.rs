//! What a flow does when an ICMP error says that its segments are too long for the path (RFC 1191, section 6.5;
//! `tcp_sync_mss` and `tcp_simple_retransmit`): smaller segments from now on, and those outstanding that were too
//! long are sent again at once, cut up, without a reduction of the window.

use super::sendq::{SegFlags, TxSeg};
use super::{Flow, Repair, TcpState};
use crate::congestion::CaState;
use crate::wire::Seq;

impl Flow {
    /// Whether `seq`, which an ICMP error quotes, was sent and not acknowledged (RFC 5927, section 4.1).
    pub(crate) fn is_outstanding(&self, seq: Seq) -> bool {
        let offset = seq.to_offset(self.params.iss, self.snd_una);
        (self.snd_una as i64..=self.snd_nxt as i64).contains(&offset)
    }

    /// Largest packet for the path, as far as known.
    pub(crate) const fn path_mtu(&self) -> u16 {
        let headers = if self.params.local.is_ipv4() { 40 } else { 60 };
        let mss = if self.path_mss < self.link_mss { self.path_mss } else { self.link_mss };
        mss + headers
    }

    /// The path lets no segment through that is longer than `mss` octets, TCP options included.
    pub(crate) fn limit_mss(&mut self, mss: u16) {
        if matches!(self.state, TcpState::SynReceived | TcpState::TimeWait | TcpState::Closed)
            || !self.config.path_mtu_discovery
            || mss >= self.path_mss.min(self.link_mss)
        {
            return;
        }
        self.path_mss = mss;
        self.set_peer_mss(self.peer_mss.min(mss));
        let headers = if self.params.local.is_ipv4() { 40 } else { 60 };
        if let Some(search) = &mut self.mtu_probe {
            search.limit(mss + headers);
        }
        if self.state != TcpState::SynSent {
            self.repeat_too_long();
        }
    }

    pub(super) fn repeat_too_long(&mut self) {
        let most = self.mss_now(0);
        let lost = self.queue.lost_out;
        let mut index = 0;
        while index < self.queue.sent.len() {
            if self.queue.sent[index].payload() > most {
                index = self.cut_burst(index, most);
            } else {
                index += 1;
            }
        }
        if self.queue.lost_out > lost {
            self.repeat_without_congestion();
        }
    }

    /// Data of a SYN that its SYN/ACK did not acknowledge leaves again, in segments that the peer takes
    /// (`tcp_rcv_fastopen_synack`).
    pub(super) fn repeat_syn_data(&mut self) {
        let (most, una) = (self.mss_now(0), self.snd_una);
        if let Some(first) = self.queue.sent.front_mut() {
            let taken = una.saturating_sub(first.start).min(first.len.into());
            first.start += taken;
            first.len -= taken as u16;
        }
        let mut index = 0;
        while index < self.queue.sent.len() {
            index = self.cut_burst(index, most);
        }
        self.repeat_without_congestion();
    }

    /// What is marked as lost leaves again, and the window stays (`tcp_non_congestion_loss_retransmit`).
    fn repeat_without_congestion(&mut self) {
        if self.ca_state != CaState::Loss {
            self.high_seq = self.snd_nxt;
            self.window.ssthresh = self.current_ssthresh();
            self.prior_ssthresh = 0;
            self.undo_marker = 0;
            self.set_ca_state(CaState::Loss);
        }
        self.repair_by(Repair::Lost);
    }

    /// Marks the segments lost that were handed down together with the one at `index`, which is too long, and
    /// cuts them anew. Returns the index behind them.
    fn cut_burst(&mut self, index: usize, most: u32) -> usize {
        let alike = |seg: &TxSeg| seg.flags.0 & !(SegFlags::MORE | SegFlags::PSH | SegFlags::FIN);
        let first = alike(&self.queue.sent[index]);
        let mut end = index + 1;
        while self.queue.sent[end - 1].flags.has(SegFlags::MORE)
            && self.queue.sent.get(end).is_some_and(|seg| alike(seg) == first)
        {
            end += 1;
        }
        // One buffer again: the segments after the first lend it their octets.
        let last = self.queue.sent[end - 1];
        let total = last.start + u64::from(last.payload()) - self.queue.sent[index].start;
        for seen in index..end {
            self.queue.mark_lost(seen);
        }
        if total.div_ceil(u64::from(most)) < (end - index) as u64 {
            return end;
        }
        let mut at = index;
        let mut left = total;
        let mut start = self.queue.sent[index].start;
        while left > 0 {
            let len = left.min(u64::from(most)) as u16;
            left -= u64::from(len);
            let mut piece = TxSeg { start, len, ..self.queue.sent[index.min(at)] };
            piece.flags = self.queue.sent[index].flags;
            piece.flags.0 &= !(SegFlags::PSH | SegFlags::FIN | SegFlags::MORE);
            piece.flags.0 |= if left > 0 {
                SegFlags::MORE
            } else {
                last.flags.0 & (SegFlags::PSH | SegFlags::FIN | SegFlags::MORE)
            };
            start += u64::from(len);
            if at < end {
                self.queue.sent[at] = piece;
            } else {
                self.queue.sent.insert(at, piece);
                self.queue.shared += 1;
                self.queue.lost_out += u32::from(piece.flags.has(SegFlags::LOST));
                self.queue.sacked_out += u32::from(piece.flags.has(SegFlags::SACKED));
            }
            at += 1;
        }
        at
    }

    /// What a loss probe sends again: of the last burst what is beyond whole segments, `most` octets each but for the
    /// last (`tcp_send_loss_probe`). Returns its index.
    pub(super) fn cut_tail(&mut self, most: u32) -> Option<usize> {
        let sent = &mut self.queue.sent;
        let last = sent.len().checked_sub(1)?;
        let earlier = (0..last).rev().take_while(|at| sent[*at].flags.has(SegFlags::MORE)).count();
        let boundary = sent[last - earlier].start + earlier as u64 * u64::from(most);
        let shift = sent[last].start.saturating_sub(boundary);
        if shift > 0 && last > 0 && shift < u64::from(sent[last - 1].len) {
            // The options have grown since.
            sent[last - 1].len -= shift as u16;
            sent[last].start -= shift;
            sent[last].len += shift as u16;
        }
        self.cut_segment(last, most);
        Some(last)
    }

    /// Cuts a segment that is sent again so that its first part has `most` octets (`tcp_fragment`).
    pub(super) fn cut_segment(&mut self, index: usize, most: u32) {
        let Some(seg) = self.queue.sent.get_mut(index) else { return };
        if seg.payload() <= most || most == 0 {
            return;
        }
        let first = most as u16;
        let judged = SegFlags::SACKED | SegFlags::LOST | SegFlags::RETRANS | SegFlags::EVER_RETRANS;
        let (start, len, map, flags) = (seg.start, seg.len, seg.map, seg.flags);
        if flags.has(SegFlags::MORE)
            && let Some(next) = self.queue.sent.get_mut(index + 1)
            && next.map == map
            && next.flags.0 & judged == flags.0 & judged
        {
            // They are one buffer, which is cut anew.
            next.start = start + u64::from(first);
            next.len += len - first;
            self.queue.sent[index].len = first;
            return;
        }
        let Some(seg) = self.queue.sent.get_mut(index) else { return };
        let rest = TxSeg { start: seg.start + u64::from(first), len: seg.len - first, ..*seg };
        seg.len = first;
        seg.flags.0 &= !(SegFlags::FIN | SegFlags::PSH);
        seg.flags.0 |= SegFlags::MORE;
        let flags = seg.flags;
        self.queue.sent.insert(index + 1, rest);
        self.queue.shared += 1;
        self.queue.lost_out += u32::from(flags.has(SegFlags::LOST));
        self.queue.retrans_out += u32::from(flags.has(SegFlags::RETRANS));
        self.queue.sacked_out += u32::from(flags.has(SegFlags::SACKED));
        if flags.has(SegFlags::EVER_RETRANS) {
            self.queue.judge_again(self.snd_una);
        }
    }
}

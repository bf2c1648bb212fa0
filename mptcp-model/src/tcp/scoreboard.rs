//! What an acknowledgment says of the segments sent: SACK blocks and duplicates (RFC 2018, RFC 2883), what is
//! acknowledged for good, the round-trip samples that follow, and a receiver that takes back what it reported.

use sim_core::{Duration, Instant};

use super::recovery::Tally;
use super::sendq::SegFlags;
use super::{Flow, XmitTimer};
use crate::congestion::CaState;
use crate::wire::Seq;
use crate::wire::options::ParsedOptions;

/// A SACK block as stream offsets.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    left: i64,
    right: i64,
    duplicate: bool,
}

impl Flow {
    /// The highest offset that SACK reported, or what is acknowledged when nothing above it is
    /// (`tcp_highest_sack_seq`).
    pub(super) fn highest_sack(&self) -> u64 {
        if self.queue.sacked_out == 0 { self.snd_una } else { self.queue.highest_sacked }
    }

    /// Mark what SACK blocks report (`tcp_sacktag_write_queue`), on a segment that acknowledges `ack` while
    /// everything up to `prior_una` was acknowledged before.
    pub(super) fn take_sacks(
        &mut self,
        now: Instant,
        options: &ParsedOptions,
        ack: i64,
        prior_una: u64,
        tally: &mut Tally,
    ) {
        let (iss, una) = (self.params.iss, self.snd_una);
        let offset = |seq: Seq| seq.to_offset(iss, una);
        let mut blocks = [Block::default(); 4];
        let mut count = 0;
        for (block, (left, right)) in blocks.iter_mut().zip(options.sack.iter()) {
            *block = Block { left: offset(left), right: offset(right), duplicate: false };
            count += 1;
        }
        if self.queue.sacked_out == 0 {
            self.queue.highest_sacked = una;
        }
        if let Some(first) = blocks[..count].first().copied() {
            let second = blocks[..count].get(1).copied();
            blocks[0].duplicate = self.take_dsack(first, second, ack, prior_una, tally);
        }
        if self.queue.sent.is_empty() {
            return;
        }
        let mut valid = 0;
        for index in 0..count {
            let block = blocks[index];
            if self.is_valid(block) && block.right > prior_una as i64 {
                blocks[valid] = block;
                valid += 1;
            }
        }
        blocks[..valid].sort_unstable_by_key(|block| block.left);
        tally.sack_low = self.snd_nxt;
        for &block in &blocks[..valid] {
            self.mark_sacked(now, block, tally);
        }
        if self.ca_state != CaState::Loss || self.undo_marker != 0 {
            self.note_reordering(tally.sack_low);
        }
    }

    /// Whether the first block reports data that came twice (RFC 2883; `tcp_check_dsack`).
    fn take_dsack(
        &mut self,
        first: Block,
        second: Option<Block>,
        ack: i64,
        prior_una: u64,
        tally: &mut Tally,
    ) -> bool {
        let inside = second.is_some_and(|second| second.left <= first.left && first.right <= second.right);
        if first.left >= ack && !inside {
            return false;
        }
        let mss = u64::from(self.mss_now(0)).max(1);
        let len = (first.right - first.left).max(0) as u64;
        if len == 0 || len > self.max_window {
            return false;
        }
        let segments = if len > mss { len.div_ceil(mss) as u32 } else { 1 };
        let answers_probe = len <= mss && self.tlp_high_seq != 0 && self.tlp_high_seq as i64 == first.right;
        self.stats.dsacks += u64::from(segments);
        if self.stats.dsacks > self.stats.retransmitted {
            // More than was ever sent twice: the network repeated it.
            return false;
        }
        if self.reord_seen > 0 && !answers_probe {
            self.rack.dsack_seen = true;
        }
        tally.dsack = true;
        tally.dsack_of_probe |= answers_probe;
        // What was sent for nothing was delivered, too.
        tally.delivered += segments;
        if self.undo_marker != 0
            && self.undo_retrans > 0
            && first.right <= prior_una as i64
            && first.right > self.undo_marker as i64
        {
            self.undo_retrans = (self.undo_retrans - segments.cast_signed()).max(0);
        }
        true
    }

    /// Whether a block can be believed (`tcp_is_sackblock_valid`).
    fn is_valid(&self, block: Block) -> bool {
        let (una, nxt, marker) = (self.snd_una as i64, self.snd_nxt as i64, self.undo_marker as i64);
        let Block { left, right, duplicate } = block;
        if right > nxt || left >= right || left >= nxt {
            return false;
        }
        if left > una {
            return true;
        }
        if !duplicate || marker == 0 || right > una {
            return false;
        }
        left >= marker || (right > marker && left >= right - self.max_window as i64)
    }

    /// Mark the segments that lie in one block (`tcp_sacktag_one`).
    fn mark_sacked(&mut self, now: Instant, block: Block, tally: &mut Tally) {
        let (left, right) = (block.left.max(0) as u64, block.right.max(0) as u64);
        let mut index = self.queue.sent.partition_point(|seg| seg.start < left);
        let mut news = None;
        while index < self.queue.sent.len() {
            let highest = self.highest_sack();
            let seg = &mut self.queue.sent[index];
            if seg.end() > right {
                break;
            }
            index += 1;
            let (start, end, sent_at, order, flags) =
                (seg.start, seg.end(), seg.sent_at, seg.order, seg.flags);
            if block.duplicate && flags.has(SegFlags::RETRANS | SegFlags::EVER_RETRANS) {
                if self.undo_marker != 0 && self.undo_retrans > 0 && end > self.undo_marker {
                    self.undo_retrans -= 1;
                }
                if flags.has(SegFlags::SACKED) {
                    tally.sack_low = tally.sack_low.min(start);
                }
            }
            if end <= self.snd_una {
                continue;
            }
            if !flags.has(SegFlags::SACKED) {
                seg.flags.0 |= SegFlags::SACKED;
                news = Some((news.map_or(index - 1, |(first, _)| first), index));
                if flags.has(SegFlags::LOST) {
                    seg.flags.0 &= !SegFlags::LOST;
                    self.queue.lost_out -= 1;
                }
                if flags.has(SegFlags::RETRANS) {
                    seg.flags.0 &= !SegFlags::RETRANS;
                    self.queue.retrans_out -= 1;
                } else if !flags.has(SegFlags::EVER_RETRANS) {
                    if start < highest {
                        tally.sack_low = tally.sack_low.min(start);
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
        if let Some((first, end)) = news {
            self.queue.merge_reported(first, end);
        }
    }

    /// Remove what is cumulatively acknowledged (`tcp_clean_rtx_queue`).
    pub(super) fn clean_queue(&mut self, now: Instant, prior_una: u64, tally: &mut Tally) {
        while let Some(front) = self.queue.sent.front_mut() {
            let end = front.end();
            if end > self.snd_una {
                if front.start < self.snd_una && front.len > 0 {
                    // A part of the segment: a middlebox split it.
                    let cut = self.snd_una - front.start;
                    tally.bytes += cut;
                    front.start += cut;
                    front.len -= cut as u16;
                }
                break;
            }
            let seg = *front;
            self.queue.pop_sent();
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
                tally.acked_low.get_or_insert(seg.start);
                if end <= self.high_seq {
                    tally.orig_acked = true;
                }
            }
            if seg.flags.has(SegFlags::SACKED) {
                self.queue.sacked_out -= 1;
            } else {
                tally.delivered += 1;
                // The echo may tell that the original was delivered (`tcp_skb_spurious_retrans`).
                let retransmitted = seg.flags.has(SegFlags::EVER_RETRANS);
                let of_original = |echo: u32| echo.wrapping_sub(self.ts_clock(seg.sent_at)).cast_signed() < 0;
                if !(retransmitted && tally.echo.is_some_and(of_original)) {
                    self.advance_rack(now, seg.order, seg.sent_at, retransmitted);
                }
                if let Some(rate) = &mut self.rate {
                    rate.acknowledged(seg.order);
                }
            }
            if !seg.flags.has(SegFlags::MORE)
                && let Some(watch) = &mut self.watch
            {
                watch.buffer_freed(now, end);
            }
            if seg.flags.has(SegFlags::LOST) {
                self.queue.lost_out -= 1;
            }
        }
        let una = self.snd_una;
        if self.mtu_probe.is_some() {
            self.check_probe_success(now);
        }
        if self.watch.is_some() {
            self.note_acknowledged(now);
        }
        self.queue.retransmit_hint = self.queue.retransmit_hint.max(una);
        self.queue.rack_hint = self.queue.rack_hint.max(una);
        if self.queue.sent.is_empty() {
            self.queue.retransmitted.clear();
            if self.queue.unsent.is_empty() {
                self.chrono.rest(now);
            }
        }
        if !self.sack_ok && prior_una < una && tally.delivered > 0 {
            // One segment was the hole, the others had their duplicate ACKs (`tcp_remove_reno_sacks`).
            let acked = tally.delivered;
            tally.delivered = acked.saturating_sub(self.queue.sacked_out).max(1);
            self.queue.sacked_out = self.queue.sacked_out.saturating_sub(acked - 1);
        }
        if !self.sack_ok && tally.retrans_acked {
            // Without SACK nothing tells that it was the original (`FLAG_ORIG_SACK_ACKED`).
            tally.orig_acked = false;
        }
    }

    pub(super) fn sample_rtt(&mut self, now: Instant, options: &ParsedOptions, tally: &mut Tally) {
        let since = |at: Instant| now.saturating_since(at);
        let seq_rtt = tally.first_acked.filter(|_| !tally.retrans_acked).map(since);
        let sack_rtt = tally.first_sacked.map(since);
        // That of the segment reported last, by either kind of acknowledgment.
        let mut cc_rtt = tally.last_sacked.or(tally.last_acked.filter(|_| !tally.retrans_acked)).map(since);
        let mut sample = seq_rtt.or(sack_rtt);
        if sample.is_none() && tally.data_acked {
            let echoed = options.timestamps.filter(|_| self.ts_ok);
            sample = echoed.and_then(|(_, ecr)| self.ts_sample(now, ecr));
            cc_rtt = sample;
        }
        if let (Some(sacked), Some(head), false) =
            (tally.first_sacked, self.queue.sent.front(), tally.data_acked)
            && sacked < head.sent_at
        {
            // The head was sent again since: its timer starts anew.
            tally.set_timer = true;
        }
        if let Some(rtt) = cc_rtt {
            self.rtt.sample_min(now, rtt);
        }
        if let Some(rtt) = sample {
            self.rtt.sample(rtt, self.snd_una, self.snd_nxt);
        }
        tally.last_acked = cc_rtt.map(|rtt| now - rtt);
    }

    pub(super) fn check_sack_reneging(&mut self, now: Instant, tally: &mut Tally) -> bool {
        let reneged =
            tally.una_advanced && self.queue.sent.front().is_some_and(|seg| seg.flags.has(SegFlags::SACKED));
        if reneged {
            let delay = (self.rtt.srtt() / 2).max(Duration::from_millis(10));
            self.xmit_timer = Some((self.config.expiry(now, delay), XmitTimer::Retransmit));
            tally.set_timer = false;
        }
        reneged
    }
}

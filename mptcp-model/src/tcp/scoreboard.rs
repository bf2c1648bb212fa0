//! What an acknowledgment says of the segments sent: SACK blocks and duplicates (RFC 2018, RFC 2883), what is
//! acknowledged for good, the round-trip samples that follow, and a receiver that takes back what it reported.

use sim_core::{Duration, Instant};
use smallvec::SmallVec;

use super::recovery::Tally;
use super::sendq::SegFlags;
use super::{Flow, XmitTimer};
use crate::congestion::CaState;
use crate::wire::Seq;
use crate::wire::options::ParsedOptions;

impl Flow {
    /// Mark what SACK blocks report (`tcp_sacktag_write_queue`).
    pub(super) fn take_sacks(&mut self, now: Instant, options: &ParsedOptions, tally: &mut Tally) {
        let iss = self.params.iss;
        let una = self.snd_una;
        let offset = |seq: Seq| seq.to_offset(iss, una);
        let mut blocks: SmallVec<[(u64, u64); 4]> = SmallVec::new();
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
            blocks.push((left as u64, right as u64));
        }
        // The newest block comes first; lower ones are not late for it.
        blocks.sort_unstable();
        let mut reordered = None;
        for (left, right) in blocks {
            self.mark_sacked(now, left, right, tally, &mut reordered);
        }
        if let Some(at) = reordered
            && (self.ca_state != CaState::Loss || self.undo_marker != 0)
        {
            self.note_reordering(at);
        }
    }

    /// End of the highest segment selectively acknowledged (`tcp_highest_sack_seq`).
    pub(super) const fn highest_sack(&self) -> u64 {
        if self.queue.sacked_out > 0 { self.queue.highest_sacked } else { self.snd_una }
    }

    /// `reordered` is the first segment newly reported below one that was before, and sent but once.
    fn mark_sacked(
        &mut self,
        now: Instant,
        left: u64,
        right: u64,
        tally: &mut Tally,
        reordered: &mut Option<u64>,
    ) {
        let mut index = self.queue.sent.partition_point(|seg| seg.start < left);
        let highest_before = self.highest_sack();
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
                if start < highest_before {
                    reordered.get_or_insert(start);
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

    /// Remove what is cumulatively acknowledged (`tcp_clean_rtx_queue`). Before this acknowledgment everything up to
    /// `prior_fack` was reported; a segment below, sent but once, was late.
    pub(super) fn clean_queue(&mut self, now: Instant, prior_una: u64, prior_fack: u64, tally: &mut Tally) {
        let mut reordered = None;
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
                if seg.start < prior_fack {
                    reordered.get_or_insert(seg.start);
                }
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
            if seg.flags.has(SegFlags::LOST) {
                self.queue.lost_out -= 1;
            }
        }
        if let Some(at) = reordered.filter(|_| self.sack_ok) {
            self.note_reordering(at);
        }
        let una = self.snd_una;
        self.queue.retransmit_hint = self.queue.retransmit_hint.max(una);
        self.queue.rack_hint = self.queue.rack_hint.max(una);
        if self.queue.sent.is_empty() {
            self.queue.retransmitted.clear();
        }
        if !self.sack_ok && prior_una < una && tally.delivered > 0 {
            // One segment was the hole, the others had their duplicate ACKs (`tcp_remove_reno_sacks`).
            let acked = tally.delivered;
            tally.delivered = acked.saturating_sub(self.queue.sacked_out).max(1);
            self.queue.sacked_out = self.queue.sacked_out.saturating_sub(acked - 1);
        }
    }

    pub(super) fn sample_rtt(&mut self, now: Instant, options: &ParsedOptions, tally: &mut Tally) {
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

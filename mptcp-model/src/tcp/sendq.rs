//! The send queue of a flow: chunks not yet sent, and one record for each segment sent and not yet
//! acknowledged (the SACK scoreboard). A chunk never mixes two data sequence mappings, and a segment
//! never crosses a chunk (RFC 8684, section 3.3.1; DSS-27).

use std::collections::VecDeque;

use sim_core::Instant;

/// A data sequence mapping: `len` octets from position `data` of the connection's stream travel from
/// stream offset `start` of the subflow on. Position 0 has the data sequence number IDSN + 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Position of the first octet in the connection's stream.
    pub data: u64,
    /// Subflow stream offset of the first octet (the relative subflow sequence number, not wrapped).
    pub start: u64,
    /// Number of octets; 0 means that there is no mapping (plain TCP).
    pub len: u32,
    /// Folded sum over the octets, where checksums are in use.
    pub sum: u16,
}

/// Octets accepted for sending and not yet sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    pub(crate) start: u64,
    pub(crate) len: u32,
    pub(crate) map: Mapping,
    /// The last segment of the chunk carries PSH.
    pub(crate) push: bool,
}

/// State of a sent segment on the scoreboard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegFlags(pub(crate) u8);

impl SegFlags {
    pub(crate) const SACKED: u8 = 1;
    pub(crate) const LOST: u8 = 2;
    /// Retransmitted and the retransmission not known lost.
    pub(crate) const RETRANS: u8 = 4;
    pub(crate) const EVER_RETRANS: u8 = 8;
    pub(crate) const FIN: u8 = 16;
    pub(crate) const PSH: u8 = 32;
    pub(crate) const SYN: u8 = 64;
    /// The next segment lies in the same buffer: it was handed down with this one, or both were reported and
    /// their buffers merged.
    pub(crate) const MORE: u8 = 128;

    pub(crate) const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }
}

/// One segment sent and not yet cumulatively acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TxSeg {
    pub(crate) start: u64,
    pub(crate) sent_at: Instant,
    pub(crate) map: Mapping,
    /// Position of the last transmission among all of the flow: orders those of one instant.
    pub(crate) order: u32,
    pub(crate) len: u16,
    pub(crate) flags: SegFlags,
}

impl TxSeg {
    /// Octets of payload.
    pub(crate) const fn payload(&self) -> u32 {
        self.len as u32
    }

    /// Sequence space used: payload plus SYN or FIN.
    pub(crate) const fn end(&self) -> u64 {
        self.start + self.len as u64 + self.flags.has(SegFlags::FIN | SegFlags::SYN) as u64
    }
}

/// Truesize overhead of one socket buffer of the sender: descriptor, shared info and the header room, as `ss -m` shows
/// it on Linux 6.18.
const SKB_OVERHEAD: u64 = 832;

/// A segment retransmitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resent {
    pub(crate) start: u64,
    /// Of its last transmission.
    pub(crate) order: u32,
    /// The order it passes for: of segments sent while one acknowledgment was looked at, those higher in the
    /// stream count as the later ones (`tcp_skb_sent_after`), even if the retransmission followed them.
    pub(crate) rank: u32,
}

/// Chunks and scoreboard of one flow.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    pub(crate) unsent: VecDeque<Chunk>,
    pub(crate) sent: VecDeque<TxSeg>,
    /// Segments of `sent` that share a buffer with the next one.
    pub(crate) shared: u32,
    /// Offset after the last octet accepted (`write_seq`).
    pub(crate) write_end: u64,
    /// Offset after the last octet that was given PSH (`pushed_seq`).
    pub(crate) pushed: u64,
    pub(crate) sacked_out: u32,
    pub(crate) lost_out: u32,
    /// Segments marked lost so far (`tp->lost`).
    pub(crate) lost_total: u64,
    pub(crate) retrans_out: u32,
    /// First segment that may be marked lost and not retransmitted (`retransmit_skb_hint`).
    pub(crate) retransmit_hint: u64,
    /// Offset after the highest selectively acknowledged octet.
    pub(crate) highest_sacked: u64,
    /// Segments retransmitted, in the order of their last transmission.
    pub(crate) retransmitted: VecDeque<Resent>,
    /// Where retransmissions stand for RACK if not where they left.
    pub(crate) rank: Option<u32>,
    /// Offset after the last octet ever retransmitted.
    pub(crate) retransmitted_to: u64,
    /// Transmissions so far.
    pub(crate) transmissions: u32,
    /// Everything before this offset has been looked at by RACK as an original transmission.
    pub(crate) rack_hint: u64,
}

impl SendQueue {
    pub(crate) fn packets_out(&self) -> u32 {
        self.sent.len() as u32
    }

    /// Segments in flight (`tcp_packets_in_flight`).
    pub(crate) fn in_flight(&self) -> u32 {
        (self.packets_out() + self.retrans_out).saturating_sub(self.sacked_out + self.lost_out)
    }

    /// Accept `len` octets as a chunk of their own.
    #[inline(always)]
    pub(crate) fn append(&mut self, len: u32, map: Mapping) {
        self.unsent.push_back(Chunk { start: self.write_end, len, map, push: false });
        self.write_end += u64::from(len);
    }

    /// Number of the next transmission.
    pub(crate) fn next_order(&mut self) -> u32 {
        self.transmissions = self.transmissions.wrapping_add(1);
        self.transmissions
    }

    /// Retransmissions from now on pass for earlier than what else leaves from now on.
    pub(crate) const fn rank_below(&mut self) {
        self.rank = Some(self.transmissions);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unsent.is_empty() && self.sent.is_empty()
    }

    /// Memory charged to the send buffer in bytes (`sk_wmem_queued`): data plus an overhead for each
    /// buffer.
    #[inline]
    pub(crate) fn memory(&self, snd_una: u64) -> u64 {
        let data = self.write_end - snd_una.min(self.write_end);
        let buffers = self.unsent.len() + self.sent.len() - self.shared as usize;
        data + buffers as u64 * SKB_OVERHEAD
    }

    /// Takes the first segment sent from the queue.
    #[inline]
    pub(crate) fn pop_sent(&mut self) -> Option<TxSeg> {
        let seg = self.sent.pop_front()?;
        self.shared -= u32::from(seg.flags.has(SegFlags::MORE));
        Some(seg)
    }

    /// The buffer of segment `index` ends with it.
    pub(crate) fn end_buffer(&mut self, index: usize) {
        self.shared -= u32::from(self.sent[index].flags.has(SegFlags::MORE));
        self.sent[index].flags.0 &= !SegFlags::MORE;
    }

    /// Segments from `first` to before `end` were reported: their buffers part from those of others, and neighbours
    /// of one mapping share theirs (`tcp_shift_skb_data`).
    pub(crate) fn merge_reported(&mut self, first: usize, end: usize) {
        for index in first.saturating_sub(1)..end.min(self.sent.len().saturating_sub(1)) {
            let (seg, next) = (&self.sent[index], &self.sent[index + 1]);
            let (sacked, next_sacked) = (seg.flags.has(SegFlags::SACKED), next.flags.has(SegFlags::SACKED));
            if seg.flags.has(SegFlags::MORE) {
                if sacked != next_sacked {
                    self.end_buffer(index);
                }
            } else if sacked && next_sacked && seg.map == next.map && seg.len == next.len {
                self.sent[index].flags.0 |= SegFlags::MORE;
                self.shared += 1;
            }
        }
    }

    /// No segment counts as lost any more: all that are not selectively acknowledged are in flight again, and
    /// RACK looks at each anew, the retransmitted ones in the order of their last transmission.
    pub(crate) fn judge_again(&mut self, snd_una: u64) {
        self.rack_hint = snd_una;
        let again = |seg: &&TxSeg| seg.flags.has(SegFlags::EVER_RETRANS) && !seg.flags.has(SegFlags::SACKED);
        let resent = |seg: &TxSeg| Resent { start: seg.start, order: seg.order, rank: seg.order };
        let mut open: Vec<_> = self.sent.iter().filter(again).map(resent).collect();
        open.sort_unstable_by(|a, b| a.order.wrapping_sub(b.order).cast_signed().cmp(&0));
        self.retransmitted = open.into();
    }

    /// Mark segment `index` lost (`tcp_mark_skb_lost`). Returns whether it was news.
    pub(crate) fn mark_lost(&mut self, index: usize) -> bool {
        let seg = &mut self.sent[index];
        if seg.flags.has(SegFlags::SACKED) {
            return false;
        }
        let news = if seg.flags.has(SegFlags::LOST) {
            if !seg.flags.has(SegFlags::RETRANS) {
                return false;
            }
            // The retransmission was lost as well.
            seg.flags.0 &= !SegFlags::RETRANS;
            self.retrans_out -= 1;
            true
        } else {
            seg.flags.0 |= SegFlags::LOST;
            self.lost_out += 1;
            if seg.flags.has(SegFlags::RETRANS) {
                seg.flags.0 &= !SegFlags::RETRANS;
                self.retrans_out -= 1;
            }
            true
        };
        self.lost_total += u64::from(news);
        self.retransmit_hint = self.retransmit_hint.min(self.sent[index].start);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(queue: &mut SendQueue, flags: u8) {
        let order = queue.next_order();
        let start = queue.write_end;
        queue.write_end += 1000;
        queue.shared += u32::from(flags & SegFlags::MORE != 0);
        queue.sent.push_back(TxSeg {
            start,
            sent_at: Instant::ZERO,
            map: Mapping::default(),
            order,
            len: 1000,
            flags: SegFlags(flags),
        });
    }

    #[test]
    fn each_burst_is_charged_a_buffer_and_reported_neighbours_share_one() {
        // SCHED-12: Linux 6.18 (`ss -m`) charges 832 octets a buffer besides the data.
        let mut queue = SendQueue::default();
        for flags in [SegFlags::MORE, 0, SegFlags::MORE, 0, SegFlags::MORE, 0] {
            sent(&mut queue, flags);
        }
        queue.append(5000, Mapping::default());
        assert_eq!(queue.memory(0), 11_000 + 4 * 832);
        // The middle of three bursts is cut where the report begins and ends.
        for index in [1, 2] {
            queue.sent[index].flags.0 |= SegFlags::SACKED;
        }
        queue.merge_reported(1, 3);
        assert_eq!(queue.memory(0), 11_000 + 5 * 832);
        for index in [3, 4, 5] {
            queue.sent[index].flags.0 |= SegFlags::SACKED;
        }
        queue.merge_reported(3, 6);
        assert_eq!(queue.memory(0), 11_000 + 3 * 832);
        while queue.pop_sent().is_some() {}
        assert_eq!((queue.shared, queue.memory(6000)), (0, 5000 + 832));
    }

    #[test]
    fn after_an_undo_every_segment_is_judged_anew_in_the_order_of_its_last_transmission() {
        // TCP-06, TCP-10: a probe repeated the tail, a timeout called all of it lost, and was undone.
        let mut queue = SendQueue { rack_hint: 4000, ..SendQueue::default() };
        for index in 0..4_u64 {
            let order = queue.next_order();
            queue.sent.push_back(TxSeg {
                start: index * 1000,
                sent_at: Instant::ZERO,
                map: Mapping::default(),
                order,
                len: 1000,
                flags: SegFlags::default(),
            });
        }
        for (index, flags) in [(3, SegFlags::EVER_RETRANS), (0, SegFlags::EVER_RETRANS | SegFlags::RETRANS)] {
            let order = queue.next_order();
            queue.sent[index].order = order;
            queue.sent[index].flags = SegFlags(flags);
        }
        queue.sent[1].flags = SegFlags(SegFlags::EVER_RETRANS | SegFlags::SACKED);
        queue.judge_again(500);
        assert_eq!(queue.rack_hint, 500);
        let expected = [(3000, 5), (0, 6)].map(|(start, order)| Resent { start, order, rank: order });
        assert_eq!(queue.retransmitted, expected);
    }
}

//! Small segments that are sent again are put together if they fill no segment (`tcp_retrans_try_collapse`), so that a
//! FIN rides on the last data.
//!
//! Only segments that were handed down alone, and that continue each other in one mapping or without any, are.

use super::Flow;
use super::sendq::SegFlags;

impl Flow {
    /// Adds to the segment at `index`, which is about to be sent again, those behind it for which `most` octets
    /// have room.
    pub(super) fn collapse_into(&mut self, index: usize, most: u32) {
        let alone = |flow: &Self, at: usize| {
            let before = at.checked_sub(1).and_then(|before| flow.queue.sent.get(before));
            let seg = flow.queue.sent.get(at)?;
            let chained = seg.flags.has(SegFlags::MORE | SegFlags::SACKED | SegFlags::SYN)
                || before.is_some_and(|before| before.flags.has(SegFlags::MORE));
            (!chained).then_some(*seg)
        };
        let window_end = self.snd_una + self.snd_wnd;
        while let (Some(seg), Some(next)) = (alone(self, index), alone(self, index + 1)) {
            let room = seg.payload() + next.payload() <= most && seg.payload() < most;
            let continues = next.len == 0 || (seg.map == next.map && seg.len > 0);
            if !room || !continues || next.end() > window_end || seg.flags.has(SegFlags::FIN) {
                return;
            }
            if let Some(watch) = &mut self.watch {
                if watch.separates(seg.start, next.start, next.end()) {
                    return;
                }
                watch.merge_keys(seg.start, next.end());
            }
            self.queue.sent.remove(index + 1);
            self.queue.lost_out -= u32::from(next.flags.has(SegFlags::LOST));
            self.queue.retrans_out -= u32::from(next.flags.has(SegFlags::RETRANS));
            let grown = &mut self.queue.sent[index];
            grown.len += next.len;
            grown.flags.0 |= next.flags.0 & (SegFlags::FIN | SegFlags::PSH | SegFlags::EVER_RETRANS);
        }
    }

    /// Cuts the buffer of several segments that begins at `index`, and goes again for the first time, anew if segments
    /// may be longer by now (`tcp_set_skb_tso_segs`). The others follow as each goes.
    pub(super) fn stretch_segment(&mut self, index: usize, most: u32) {
        const JUDGED: u8 = SegFlags::SACKED | SegFlags::LOST | SegFlags::RETRANS | SegFlags::EVER_RETRANS;
        while let (Some(&seg), Some(&next)) = (self.queue.sent.get(index), self.queue.sent.get(index + 1)) {
            let shares = seg.flags.has(SegFlags::MORE)
                && seg.map == next.map
                && seg.flags.0 & JUDGED == next.flags.0 & JUDGED
                && !seg.flags.has(SegFlags::EVER_RETRANS)
                && seg.start >= self.snd_una;
            let room = most.saturating_sub(seg.payload()).min(next.payload()) as u16;
            if !shares || room == 0 {
                return;
            }
            let queue = &mut self.queue;
            queue.sent[index].len += room;
            if room < next.len {
                queue.sent[index + 1].start += u64::from(room);
                queue.sent[index + 1].len -= room;
                return;
            }
            queue.sent.remove(index + 1);
            queue.shared -= 1;
            queue.lost_out -= u32::from(next.flags.has(SegFlags::LOST));
            let grown = &mut queue.sent[index].flags;
            grown.0 &= !SegFlags::MORE;
            grown.0 |= next.flags.0 & (SegFlags::MORE | SegFlags::FIN | SegFlags::PSH);
        }
    }
}

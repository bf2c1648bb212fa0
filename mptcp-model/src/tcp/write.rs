//! The tail of the send queue: what the owner of a flow adds to it, and how much fits before another chunk begins.

use super::sendq::{Chunk, Mapping};
use super::{Flow, OutputDue};

impl Flow {
    /// Accept `len` octets of data under `map` as a chunk of their own.
    #[inline(always)]
    pub fn append(&mut self, len: u32, map: Mapping) {
        self.note_application_limit();
        self.push_small = false;
        self.due.add(OutputDue::PUSH);
        self.idle_check_due = true;
        self.queue.append(len, map);
    }

    /// New data finds less than a segment waiting and room in the window (`tcp_rate_check_app_limited`).
    fn note_application_limit(&mut self) {
        let Some(rate) = &mut self.rate else { return };
        let waiting = self.queue.write_end - self.snd_nxt.min(self.queue.write_end);
        let mss = u64::from(self.segment_mss);
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
        self.due.add(OutputDue::PUSH);
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
}

//! What waits out of order, and how it is reported: SACK blocks, newest first, and what came twice (RFC 2018,
//! RFC 2883).

use super::{Arrival, MAX_QUICKACKS, Receiver, trim_front};
use crate::wire::{SackBlocks, Seq};

impl Receiver {
    /// Where the highest block that is reported ends.
    pub(crate) fn highest_sack(&self) -> Option<i64> {
        self.sacks[..self.num_sacks].iter().map(|(_, end)| *end as i64).max()
    }

    /// SACK blocks for the next ACK, at most `most`.
    pub(crate) fn sack_blocks(&self, most: usize) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        if let Some(flushed) = &self.flushed {
            flushed.iter().take(most).all(|(start, end)| blocks.push(start, end));
            return blocks;
        }
        let wire = |offset| Seq::from_offset(self.irs, offset);
        let dsack = self.dsack.iter().copied();
        let mut all = dsack.chain(self.sacks[..self.num_sacks].iter().copied()).take(most);
        all.all(|(start, end)| blocks.push(wire(start), wire(end)));
        blocks
    }

    /// The next ACK reports a duplicate (RFC 2883).
    pub(crate) fn note_duplicate(&mut self, start: u64, end: u64) {
        self.report_duplicate(start, end);
        self.enter_quickack(MAX_QUICKACKS);
    }

    /// The next ACK tells of a duplicate, unless that is turned off (`tcp_dsack_set`).
    pub(super) fn report_duplicate(&mut self, start: u64, end: u64) {
        if self.reports_duplicates {
            self.dsack = Some((start, end));
        }
    }

    /// As [`report_duplicate`](Self::report_duplicate), together with what is to be told already (`tcp_dsack_extend`).
    fn report_further_duplicate(&mut self, from: u64, to: u64) {
        match self.dsack {
            Some((low, high)) if from <= high && low <= to => {
                self.dsack = Some((low.min(from), high.max(to)));
            }
            _ => self.report_duplicate(from, to),
        }
    }

    pub(crate) fn has_sacks(&self) -> bool {
        self.num_sacks > 0 || self.dsack.is_some()
    }

    /// A segment arrived beyond a hole (`tcp_sack_new_ofo_skb`): the block that grew, or a new one, goes first
    /// (RFC 2018, section 4). What is held back of an ACK leaves before that if the list gets long.
    pub(super) fn note_sack(&mut self, start: u64, end: u64) {
        let touches = |block: &(u64, u64), of: (u64, u64)| of.0 <= block.1 && block.0 <= of.1;
        let held = &self.sacks[..self.num_sacks];
        let place = held.iter().position(|block| touches(block, (start, end)));
        if self.compressed_count > 0 && place.unwrap_or(self.num_sacks) >= self.blocks_expected {
            self.flushed = Some(self.sack_blocks(4));
            self.compressed = None;
            self.compressed_count = 0;
            self.ack_now = true;
        }
        let mut first =
            place.map_or((start, end), |at| (self.sacks[at].0.min(start), self.sacks[at].1.max(end)));
        let (mut others, mut kept) = ([(0, 0); 4], 0);
        for (at, block) in self.sacks[..self.num_sacks].iter().enumerate() {
            if Some(at) == place {
                continue;
            }
            if touches(block, first) {
                first = (first.0.min(block.0), first.1.max(block.1));
            } else if kept < 3 {
                others[kept] = *block;
                kept += 1;
            }
        }
        self.sacks[0] = first;
        self.sacks[1..=kept].copy_from_slice(&others[..kept]);
        self.num_sacks = kept + 1;
    }

    pub(super) fn drop_old_sacks(&mut self) {
        let mut kept = 0;
        for i in 0..self.num_sacks {
            if self.sacks[i].1 > self.rcv_nxt {
                self.sacks[kept] = self.sacks[i];
                kept += 1;
            }
        }
        self.num_sacks = kept;
    }

    /// Queue data beyond a hole. Returns false if nothing of it is new.
    pub(super) fn insert_out_of_order(&mut self, arrival: Arrival) -> bool {
        let (mut start, mut end) = (arrival.start, arrival.end());
        let (first, last) = (start, end);
        // Ranges are sorted and disjoint; most arrivals touch the last one.
        let at = self.ranges.partition_point(|&(_, e)| e < start);
        let mut stop = at;
        while stop < self.ranges.len() && self.ranges[stop].0 <= end {
            stop += 1;
        }
        if stop > at && self.ranges[at].0 <= start && end <= self.ranges[at].1 {
            self.report_duplicate(start, end);
            self.note_sack(start, end);
            return false;
        }
        self.note_overlap(start, end);
        if stop > at {
            start = start.min(self.ranges[at].0);
            end = end.max(self.ranges[stop - 1].1);
            self.ranges[at] = (start, end);
            self.ranges.drain(at + 1..stop);
        } else {
            self.ranges.insert(at, (start, end));
        }
        self.note_sack(first, last);
        self.ooo_bytes += u64::from(arrival.payload.len());
        let index = self.ooo.partition_point(|other| other.start <= arrival.start);
        self.ooo.insert(index, arrival);
        true
    }

    /// A segment out of order repeats parts of others (`tcp_data_queue_ofo`): the end of the one before, or all of
    /// one that it covers, or the start of the next.
    pub(super) fn note_overlap(&mut self, start: u64, end: u64) {
        let next = self.ooo.partition_point(|other| other.start <= start);
        if let Some(before) = next.checked_sub(1).and_then(|index| self.ooo.get(index))
            && before.end() > start
        {
            let covered = before.start == start;
            self.report_duplicate(start, if covered { before.end() } else { before.end().min(end) });
        }
        let mut index = next;
        while let Some((from, to)) = self.ooo.get(index).map(|other| (other.start, other.end().min(end)))
            && from < end
        {
            self.report_further_duplicate(from, to);
            index += 1;
        }
    }

    /// A FIN at `at`, on a segment that began at `start`, arrived beyond a hole: it is reported as data is.
    pub(crate) fn note_fin_out_of_order(&mut self, start: u64, at: u64) {
        let (mut start, mut end) = (start, at + 1);
        self.ranges.retain(|&(s, e)| {
            let touches = s <= end && start <= e;
            if touches {
                (start, end) = (start.min(s), end.max(e));
            }
            !touches
        });
        let index = self.ranges.partition_point(|&(s, _)| s < start);
        self.ranges.insert(index, (start, end));
        self.note_sack(start, end);
        self.ack_scheduled = true;
    }

    /// What is in order now needs no report.
    pub(crate) fn drop_old_ranges(&mut self) {
        let nxt = self.rcv_nxt;
        self.ranges.retain(|&(_, end)| end > nxt);
        self.drop_old_sacks();
    }

    /// The next piece of queued data that is now in order, trimmed to what is new.
    pub(super) fn pop_in_order(&mut self) -> Option<Arrival> {
        while let Some(front) = self.ooo.front() {
            if front.start > self.rcv_nxt {
                return None;
            }
            let mut arrival = self.ooo.pop_front()?;
            self.ooo_bytes -= u64::from(arrival.payload.len());
            if arrival.start < self.rcv_nxt {
                // What came in order came twice (`tcp_ofo_queue`).
                self.report_further_duplicate(arrival.start, arrival.end().min(self.rcv_nxt));
            }
            if arrival.end() <= self.rcv_nxt {
                continue;
            }
            trim_front(&mut arrival, self.rcv_nxt);
            return Some(arrival);
        }
        None
    }

    /// Whether data waits behind a hole.
    #[inline]
    pub(crate) fn has_holes(&self) -> bool {
        !self.ranges.is_empty()
    }
}

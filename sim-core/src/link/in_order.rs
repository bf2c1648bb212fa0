//! The inside of a direction that keeps the order of its frames and whose delay is not random. When a
//! frame enters, its departure and arrival are known; it costs one event, its arrival. Which frames
//! still wait is found out when somebody asks.

use super::serializer::Serializer;
use super::stats::Backlog;
use crate::pool::NO_SLOT;
use crate::ring::Ring;
use crate::time::{Duration, Instant};
use crate::units::Bytes;

/// Frames waiting, in transmission and on the wire, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct InOrder {
    frames: Ring<Frame>,
    /// How many of `frames`, the last ones, had not begun transmission at the last look, and their bytes.
    waiting: u32,
    waiting_bytes: u64,
    /// Latest arrival so far: after a cut of the delay the frames before may arrive later.
    latest: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    start: Instant,
    arrival: Instant,
    /// [`NO_SLOT`] if lost.
    parcel: u32,
    len: u32,
}

/// What has become of a frame that was to enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// It is the only one, and arrives then.
    Alone(Instant),
    /// Others are before it.
    Behind,
    /// It has not entered.
    Not,
}

impl InOrder {
    /// How many of the frames have begun transmission, as of the last look.
    #[inline(always)]
    const fn begun(&self) -> usize {
        self.frames.len() - self.waiting as usize
    }

    /// Lets frames whose transmission has begun leave the waiting room.
    #[inline(always)]
    pub(super) fn catch_up(&mut self, now: Instant) {
        while let Some(frame) = self.frames.get(self.begun()) {
            if frame.start > now {
                break;
            }
            self.waiting_bytes -= u64::from(frame.len);
            self.waiting -= 1;
        }
    }

    /// What waits, as of the last [`catch_up`](Self::catch_up).
    #[inline(always)]
    pub(super) const fn backlog(&self) -> Backlog {
        Backlog { packets: self.waiting, bytes: Bytes(self.waiting_bytes) }
    }

    /// Length of the frame that began last, as of the last [`catch_up`](Self::catch_up).
    pub(super) fn last_begun_len(&self) -> u32 {
        self.begun().checked_sub(1).and_then(|last| self.frames.get(last)).map_or(0, |frame| frame.len)
    }

    /// Whether another frame takes no new memory.
    #[inline(always)]
    pub(super) const fn has_room(&self) -> bool {
        self.frames.has_room()
    }

    /// Adds a frame behind the others. Returns its arrival if it is the only one.
    pub(super) fn push(
        &mut self,
        now: Instant,
        serializer: &mut Serializer,
        delay: Duration,
        frame: (u32, u32),
    ) -> Option<Instant> {
        let any = Backlog { packets: u32::MAX, bytes: Bytes(u64::MAX) };
        match self.push_within(any, now, serializer, delay, frame) {
            Entered::Alone(arrival) => Some(arrival),
            Entered::Behind | Entered::Not => None,
        }
    }

    /// Adds a frame, a parcel and its length, behind the others if what waits with it is not more than `most`. Frames
    /// that have begun since the last look count as waiting.
    #[inline(always)]
    pub(super) fn push_within(
        &mut self,
        most: Backlog,
        now: Instant,
        serializer: &mut Serializer,
        delay: Duration,
        (parcel, len): (u32, u32),
    ) -> Entered {
        let busy_until = serializer.busy_until();
        let start = if busy_until > now {
            let bytes = self.waiting_bytes + u64::from(len);
            if self.waiting >= most.packets || bytes > most.bytes.0 {
                return Entered::Not;
            }
            self.waiting += 1;
            self.waiting_bytes = bytes;
            busy_until
        } else {
            // All before it have begun.
            self.waiting = 0;
            self.waiting_bytes = 0;
            serializer.begin_train(now)
        };
        serializer.transmit_from(start, len);
        let arrival = self.latest.max(serializer.busy_until() + delay);
        self.latest = arrival;
        let only = self.frames.is_empty();
        self.frames.push_back(Frame { start, arrival, parcel, len });
        if only { Entered::Alone(arrival) } else { Entered::Behind }
    }

    /// Removes the first frame, whose arrival has come: its parcel, [`NO_SLOT`] if lost, and its length. With it the next
    /// arrival and its parcel.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> (u32, u32, Option<(Instant, u32)>) {
        let Some(frame) = self.frames.pop_front() else { return (NO_SLOT, 0, None) };
        // Nobody may have looked since it began.
        if self.waiting as usize > self.frames.len() {
            self.waiting -= 1;
            self.waiting_bytes -= u64::from(frame.len);
        }
        (frame.parcel, frame.len, self.frames.front().map(|next| (next.arrival, next.parcel)))
    }

    /// The next arrival.
    #[inline(always)]
    pub(super) fn next(&self) -> Option<Instant> {
        self.frames.front().map(|frame| frame.arrival)
    }

    /// Packets inside, lost ones not counted.
    pub(super) fn packets(&self) -> usize {
        self.frames.iter().filter(|frame| frame.parcel != NO_SLOT).count()
    }

    /// Plans the waiting frames again after the rate has changed. The first of them begins when it was
    /// to begin, as the frame in transmission ends as it began.
    pub(super) fn replan_transmission(&mut self, serializer: &mut Serializer, delay: Duration) {
        let mut index = self.begun();
        let Some(first) = self.frames.get(index) else { return };
        let begin = first.start;
        serializer.rewind_to(begin);
        while let Some(frame) = self.frames.get_mut(index) {
            frame.start = serializer.transmit(begin, frame.len);
            index += 1;
        }
        self.replan_arrival(serializer, delay);
    }

    /// Plans the arrival of the waiting frames again: each ends when the next begins.
    pub(super) fn replan_arrival(&mut self, serializer: &Serializer, delay: Duration) {
        let begun = self.begun();
        self.latest = match begun.checked_sub(1) {
            Some(last) => self.frames.get(last).map_or(Instant::ZERO, |frame| frame.arrival),
            None => Instant::ZERO,
        };
        for index in begun..self.frames.len() {
            let end = self.frames.get(index + 1).map_or(serializer.busy_until(), |next| next.start);
            let Some(frame) = self.frames.get_mut(index) else { break };
            self.latest = self.latest.max(end + delay);
            frame.arrival = self.latest;
        }
    }
}

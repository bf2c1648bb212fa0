//! The inside of a direction that keeps the order of its frames and whose delay is not random. When a
//! frame enters, its departure and arrival are known; it costs one event, its arrival. Which frames
//! still wait is found out when somebody asks.

use std::collections::VecDeque;

use super::serializer::Serializer;
use super::stats::Backlog;
use crate::pool::NO_SLOT;
use crate::time::{Duration, Instant};
use crate::units::Bytes;

/// Frames waiting, in transmission and on the wire, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct InOrder {
    frames: VecDeque<Frame>,
    /// How many of `frames` have begun transmission, as of the last look.
    begun: usize,
    /// Bytes of the others.
    waiting: u64,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    start: Instant,
    arrival: Instant,
    /// [`NO_SLOT`] if lost.
    parcel: u32,
    len: u32,
}

impl InOrder {
    /// Lets frames whose transmission has begun leave the waiting room.
    #[inline]
    pub(super) fn catch_up(&mut self, now: Instant) {
        while let Some(frame) = self.frames.get(self.begun) {
            if frame.start > now {
                break;
            }
            self.waiting -= u64::from(frame.len);
            self.begun += 1;
        }
    }

    /// What waits, as of the last [`catch_up`](Self::catch_up).
    #[inline]
    pub(super) fn backlog(&self) -> Backlog {
        Backlog { packets: (self.frames.len() - self.begun) as u32, bytes: Bytes(self.waiting) }
    }

    /// Length of the frame that began last, as of the last [`catch_up`](Self::catch_up).
    pub(super) fn last_begun_len(&self) -> u32 {
        self.begun.checked_sub(1).and_then(|last| self.frames.get(last)).map_or(0, |frame| frame.len)
    }

    /// Adds a frame behind the others. Returns its arrival if it is the only one.
    #[inline]
    pub(super) fn push(
        &mut self,
        now: Instant,
        serializer: &mut Serializer,
        delay: Duration,
        parcel: u32,
        len: u32,
    ) -> Option<Instant> {
        let start = serializer.transmit(now, len);
        let mut arrival = serializer.busy_until() + delay;
        let only = match self.frames.back() {
            // After a cut of the delay the frames before may arrive later.
            Some(before) => {
                arrival = arrival.max(before.arrival);
                false
            }
            None => true,
        };
        if start <= now {
            self.begun += 1;
        } else {
            self.waiting += u64::from(len);
        }
        self.frames.push_back(Frame { start, arrival, parcel, len });
        only.then_some(arrival)
    }

    /// Removes the first frame, whose arrival has come: its parcel, unless lost, and its length.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(u32, u32)> {
        let frame = self.frames.pop_front()?;
        match self.begun.checked_sub(1) {
            Some(begun) => self.begun = begun,
            None => self.waiting -= u64::from(frame.len),
        }
        if self.frames.is_empty() {
            // Begin again at the first place: a link that is rarely busy uses few cache lines.
            self.frames.clear();
        }
        Some((frame.parcel, frame.len))
    }

    /// The next arrival.
    #[inline]
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
        let Some(first) = self.frames.get(self.begun) else { return };
        let begin = first.start;
        serializer.rewind_to(begin);
        for frame in self.frames.range_mut(self.begun..) {
            frame.start = serializer.transmit(begin, frame.len);
        }
        self.replan_arrival(serializer, delay);
    }

    /// Plans the arrival of the waiting frames again: each ends when the next begins.
    pub(super) fn replan_arrival(&mut self, serializer: &Serializer, delay: Duration) {
        let mut latest = match self.begun.checked_sub(1) {
            Some(last) => self.frames.get(last).map_or(Instant::ZERO, |frame| frame.arrival),
            None => Instant::ZERO,
        };
        for index in self.begun..self.frames.len() {
            let end = self.frames.get(index + 1).map_or(serializer.busy_until(), |next| next.start);
            latest = latest.max(end + delay);
            self.frames[index].arrival = latest;
        }
    }
}

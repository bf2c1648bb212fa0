//! The inside of a direction with random delay or copies. Frames wait in a queue, are taken from it
//! when their transmission begins, and are on the wire until they arrive, in order of arrival: up to
//! two events a frame.

use core::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::impairment::Impairments;
use super::serializer::Serializer;
use super::stats::Backlog;
use crate::pool::NO_SLOT;
use crate::time::{Duration, Instant};
use crate::units::Bytes;

/// Frames waiting, and frames in transmission or on the wire.
#[derive(Clone, Debug, Default)]
pub(super) struct Staged {
    queue: VecDeque<Waiting>,
    waiting: u64,
    flights: BinaryHeap<Reverse<Flight>>,
    /// Frames and copies put on the wire so far.
    launched: u64,
    /// Latest arrival of a frame put on the wire so far.
    latest: Instant,
    last_begun_len: u32,
    reorders: bool,
    /// When the direction next has something to do, as entered in the agenda.
    armed: Option<Instant>,
}

/// A frame that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// [`NO_SLOT`] if lost.
    pub(super) parcel: u32,
    /// A copy that arrives as well, or [`NO_SLOT`].
    pub(super) copy: u32,
    pub(super) len: u32,
}

/// The order of fields is the order of arrival: by instant, then as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    arrival: Instant,
    launched: u64,
    parcel: u32,
    len: u32,
}

impl Staged {
    pub(super) fn new(reorders: bool) -> Self {
        Self { reorders, ..Self::default() }
    }

    /// Begins each transmission that is due.
    pub(super) fn catch_up(
        &mut self,
        now: Instant,
        serializer: &mut Serializer,
        delay: Duration,
        impairments: &mut Impairments,
    ) {
        while serializer.busy_until() <= now {
            let Some(frame) = self.queue.pop_front() else { break };
            self.waiting -= u64::from(frame.len);
            // It has been ready since the transmitter became free.
            let ready = serializer.busy_until();
            self.begin(ready, frame, serializer, delay, impairments);
        }
    }

    /// Adds a frame behind the others; [`catch_up`](Self::catch_up) has been called for this instant.
    pub(super) fn push(
        &mut self,
        now: Instant,
        frame: Waiting,
        serializer: &mut Serializer,
        delay: Duration,
        impairments: &mut Impairments,
    ) {
        if self.queue.is_empty() && serializer.busy_until() <= now {
            self.begin(now, frame, serializer, delay, impairments);
        } else {
            self.waiting += u64::from(frame.len);
            self.queue.push_back(frame);
        }
    }

    fn begin(
        &mut self,
        now: Instant,
        frame: Waiting,
        serializer: &mut Serializer,
        delay: Duration,
        impairments: &mut Impairments,
    ) {
        serializer.transmit(now, frame.len);
        self.last_begun_len = frame.len;
        if frame.parcel == NO_SLOT {
            // A lost frame keeps its place in the order, as it does in a direction without jitter.
            self.latest = self.latest.max(serializer.busy_until() + delay);
        }
        for parcel in [frame.parcel, frame.copy] {
            if parcel == NO_SLOT {
                continue;
            }
            let mut arrival = serializer.busy_until() + delay + impairments.jitter();
            if !self.reorders {
                arrival = arrival.max(self.latest);
            }
            self.latest = self.latest.max(arrival);
            self.flights.push(Reverse(Flight { arrival, launched: self.launched, parcel, len: frame.len }));
            self.launched += 1;
        }
    }

    /// Acts at a wake-up: the parcel of the frame that arrives, [`NO_SLOT`] if none does, its length, and the next
    /// wake-up.
    #[inline(never)]
    pub(super) fn act(
        &mut self,
        now: Instant,
        serializer: &mut Serializer,
        delay: Duration,
        impairments: &mut Impairments,
    ) -> (u32, u32, Option<Instant>) {
        self.catch_up(now, serializer, delay, impairments);
        let (parcel, len) = self.pop(now).unwrap_or((NO_SLOT, 0));
        self.rearm(serializer);
        (parcel, len, self.next(serializer))
    }

    /// Takes a frame off the wire whose arrival has come: its parcel and length.
    fn pop(&mut self, now: Instant) -> Option<(u32, u32)> {
        if self.flights.peek()?.0.arrival > now {
            return None;
        }
        self.flights.pop().map(|Reverse(flight)| (flight.parcel, flight.len))
    }

    /// The next arrival or beginning of a transmission.
    fn next(&self, serializer: &Serializer) -> Option<Instant> {
        let arrival = self.flights.peek().map(|flight| flight.0.arrival);
        let begin = (!self.queue.is_empty()).then_some(serializer.busy_until());
        match (arrival, begin) {
            (Some(arrival), Some(begin)) => Some(arrival.min(begin)),
            (arrival, begin) => arrival.or(begin),
        }
    }

    /// As [`next`](Self::next), if it differs from what was told last.
    pub(super) fn rearm(&mut self, serializer: &Serializer) -> Option<Instant> {
        let next = self.next(serializer);
        let before = core::mem::replace(&mut self.armed, next);
        next.filter(|_| next != before)
    }

    pub(super) fn backlog(&self) -> Backlog {
        Backlog { packets: self.queue.len() as u32, bytes: Bytes(self.waiting) }
    }

    pub(super) const fn last_begun_len(&self) -> u32 {
        self.last_begun_len
    }

    pub(super) fn packets(&self) -> usize {
        let waiting: usize = self
            .queue
            .iter()
            .map(|frame| usize::from(frame.parcel != NO_SLOT) + usize::from(frame.copy != NO_SLOT))
            .sum();
        waiting + self.flights.len()
    }
}

//! An application-level gateway: it changes the length of payload (an address in the control
//! connection of FTP) and keeps sequence and acknowledgment numbers consistent on both sides, as the
//! sequence adjustment of Linux's connection tracking does. MPTCP mappings, which count relative
//! subflow sequence numbers, it does not know.
//!
//! Left out: any real protocol; the box adds or cuts octets at the end of the segments its filter
//! chooses. A segment that grows may exceed the MTU.

use bytes::Bytes;
use rustc_hash::FxHashMap;
use sim_core::Instant;

use super::flow::{FlowKey, segment, segment_mut, shifted};
use super::{Direction, Matcher, Middlebox, Output, Verdict};
use crate::wire::{Packet, Payload, SackBlocks, Seq, TcpOption, TcpOptions, TcpSegment};

/// A box that changes the length of payload.
#[derive(Debug)]
pub struct Gateway {
    matcher: Matcher,
    growth: i32,
    flows: FxHashMap<FlowKey, [Edits; 2]>,
}

/// The changes made in one direction of a flow, in order of sequence numbers.
#[derive(Clone, Debug, Default)]
struct Edits {
    /// Growth of what has been forgotten.
    base: i32,
    list: Vec<Edit>,
}

#[derive(Clone, Copy, Debug)]
struct Edit {
    /// Sender's sequence number after the last octet changed.
    at: Seq,
    /// Octets added before `at`, or cut if negative.
    growth: i32,
}

/// Changes remembered for retransmissions and acknowledgments.
const REMEMBERED: usize = 32;

/// What added octets are.
const FILLER: u8 = b'+';

impl Gateway {
    /// Adds `growth` octets at the end of the payload of what `matcher` chooses; cuts them if negative,
    /// but never all of the payload.
    #[must_use]
    pub fn new(matcher: Matcher, growth: i32) -> Self {
        Self { matcher, growth, flows: FxHashMap::default() }
    }
}

impl Middlebox for Gateway {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        mut packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let chosen = self.matcher.matches(now, direction, &packet);
        let mut changed = false;
        if let (Some(flow), Some(before)) = (FlowKey::of(&packet, direction), segment(&packet)) {
            let edits_here = chosen && !before.payload.is_empty() && !before.flags.syn();
            if before.flags.syn() && !before.flags.ack() {
                self.flows.remove(&flow);
            }
            if edits_here || self.flows.contains_key(&flow) {
                let both = self.flows.entry(flow).or_default();
                if edits_here {
                    both[direction.index()].note(before, self.growth);
                }
                if let Some(segment) = segment_mut(&mut packet) {
                    changed = both[direction.index()].apply(segment);
                    changed |= both[direction.reverse().index()].apply_to_acks(segment);
                }
            }
        }
        out.push(Output::now(direction, packet));
        if changed { Verdict::Changed } else { Verdict::Passed }
    }
}

impl Edits {
    /// Remembers a change at the end of a segment, unless it lies before one that was made already.
    fn note(&mut self, segment: &TcpSegment, growth: i32) {
        let len = segment.payload.len();
        let at = segment.seq.wrapping_add(len);
        // Cuts of neighbouring segments must not overlap, so a cut leaves an octet.
        let growth = growth.max(1 - len.cast_signed());
        if growth == 0 || self.list.last().is_some_and(|last| segment.seq.before(last.at)) {
            return;
        }
        self.list.push(Edit { at, growth });
        if self.list.len() > REMEMBERED {
            self.base += self.list.remove(0).growth;
        }
    }

    /// Where the receiver counts what the sender counts as `seq`.
    fn map(&self, seq: Seq) -> Seq {
        let moved = self.list.iter().fold(self.base, |moved, edit| {
            moved
                + if edit.growth > 0 {
                    if seq.before(edit.at) { 0 } else { edit.growth }
                } else {
                    let into = seq.distance_from(shifted(edit.at, edit.growth)).cast_signed();
                    -into.clamp(0, -edit.growth)
                }
        });
        shifted(seq, moved)
    }

    /// The last number of the sender that the receiver counts as `ack` or before: an octet the box
    /// added is not acknowledged before all of them are.
    fn unmap(&self, ack: Seq) -> Seq {
        self.list.iter().fold(shifted(ack, -self.base), |ack, edit| {
            if edit.growth > 0 {
                if ack.before(edit.at) {
                    ack
                } else if ack.before(shifted(edit.at, edit.growth)) {
                    shifted(edit.at, -1)
                } else {
                    shifted(ack, -edit.growth)
                }
            } else if ack.before(shifted(edit.at, edit.growth)) {
                ack
            } else {
                shifted(ack, -edit.growth)
            }
        })
    }

    /// Changes a segment of this direction, first sent or sent again.
    fn apply(&self, segment: &mut TcpSegment) -> bool {
        if self.list.is_empty() {
            return false;
        }
        let (start, len) = (segment.seq, segment.payload.len());
        let end = start.wrapping_add(len);
        let touched = self.list.iter().any(|edit| {
            let first = shifted(edit.at, edit.growth.min(0));
            start.before(edit.at) && !end.before(first)
        });
        if touched && len > 0 {
            let mut octets = Vec::new();
            segment.payload.write_to(&mut octets);
            for edit in self.list.iter().rev() {
                let into = edit.at.distance_from(start).cast_signed();
                if edit.growth > 0 {
                    if into > 0 && into <= len.cast_signed() {
                        let at = into as usize;
                        octets.splice(at..at, core::iter::repeat_n(FILLER, edit.growth as usize));
                    }
                } else {
                    let bound = |at: i32| at.clamp(0, len.cast_signed()) as usize;
                    octets.drain(bound(into + edit.growth)..bound(into));
                }
            }
            segment.payload = Payload::from(Bytes::from(octets));
        }
        segment.seq = self.map(start);
        touched || segment.seq != start
    }

    /// Changes the acknowledgments of a segment of the other direction.
    fn apply_to_acks(&self, segment: &mut TcpSegment) -> bool {
        if self.list.is_empty() || !segment.flags.ack() {
            return false;
        }
        let before = segment.ack;
        segment.ack = self.unmap(before);
        let moved = map_sack(&mut segment.options, |seq| self.unmap(seq));
        moved || segment.ack != before
    }
}

/// Applies `map` to both edges of every SACK block; whether there were any.
pub(super) fn map_sack(options: &mut TcpOptions, map: impl Fn(Seq) -> Seq) -> bool {
    const SACK: u8 = 5;
    if !options.positions().any(|span| span.kind == SACK) {
        return false;
    }
    let mut mapped = TcpOptions::new();
    for option in options.iter() {
        let option = match option {
            TcpOption::Sack(blocks) => {
                let mut moved = SackBlocks::new();
                for (left, right) in blocks.iter() {
                    let _fits = moved.push(map(left), map(right));
                }
                TcpOption::Sack(moved)
            }
            other => other,
        };
        // Every option has the length it had.
        let _fits = mapped.push(&option);
    }
    *options = mapped;
    true
}

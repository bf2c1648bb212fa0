//! A performance-enhancing proxy (RFC 3135) that acknowledges data before the receiver has it and
//! passes it on later. It does not retransmit: what is lost behind it, TCP believes delivered and only
//! the DATA_ACK of MPTCP misses.

use rustc_hash::FxHashMap;
use sim_core::{Duration, Instant};

use super::flow::{FlowKey, answer, segment, segment_mut, seq_end};
use super::{Direction, Matcher, Middlebox, Output, Verdict};
use crate::wire::{Packet, Seq, TcpFlags, TcpOptions, TcpSegment};

/// Acknowledges chosen data on behalf of the receiver.
#[derive(Debug)]
pub struct ProactiveAcker {
    matcher: Matcher,
    delay: Duration,
    flows: FxHashMap<FlowKey, [End; 2]>,
}

/// What is known of the end that sends in one direction.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    /// The number after the last data in order.
    next: Option<Seq>,
    /// Window as last announced, unscaled.
    window: u16,
    /// Its last timestamp.
    timestamp: Option<u32>,
    /// Whether anything but a SYN has come from it.
    established: bool,
}

impl ProactiveAcker {
    /// Acknowledges what `matcher` chooses at once and passes it on `delay` later.
    #[must_use]
    pub fn new(matcher: Matcher, delay: Duration) -> Self {
        Self { matcher, delay, flows: FxHashMap::default() }
    }
}

impl Middlebox for ProactiveAcker {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let chosen = self.matcher.matches(now, direction, &packet);
        let (Some(flow), Some(segment)) = (FlowKey::of(&packet, direction), segment(&packet)) else {
            out.push(Output::now(direction, packet));
            return Verdict::Passed;
        };
        let ends = self.flows.entry(flow).or_default();
        let in_order = ends[direction.index()].observe(segment);
        let delay = if chosen && !segment.payload.is_empty() { self.delay } else { Duration::ZERO };
        let receiver = ends[direction.reverse().index()];
        let early = (chosen && in_order && !segment.payload.is_empty())
            .then(|| acknowledge(&packet, segment, &receiver))
            .flatten();
        out.push(Output { direction, delay, packet });
        out.extend(early.map(|ack| Output::now(direction.reverse(), ack)));
        Verdict::Passed
    }
}

impl End {
    /// Takes note of a segment; whether it is the next in order.
    fn observe(&mut self, segment: &TcpSegment) -> bool {
        if segment.flags.rst() {
            return false;
        }
        let end = seq_end(segment);
        let in_order = segment.flags.syn() || self.next.is_none_or(|next| next == segment.seq);
        if in_order {
            self.next = Some(end);
        }
        self.window = segment.window;
        self.timestamp = segment.options.parse_all().timestamps.map(|(val, _)| val).or(self.timestamp);
        self.established |= !segment.flags.syn();
        in_order
    }
}

/// The receiver's acknowledgment of `segment`; none before the window of the receiver is known.
fn acknowledge(packet: &Packet, segment: &TcpSegment, receiver: &End) -> Option<Packet> {
    let timestamps = segment.options.parse_all().timestamps;
    if !receiver.established {
        return None;
    }
    let mut ack = answer(packet, segment.ack, seq_end(segment), TcpFlags::ACK)?;
    let forged = segment_mut(&mut ack)?;
    forged.window = receiver.window;
    if let (Some((val, _)), Some(own)) = (timestamps, receiver.timestamp) {
        let mut options = TcpOptions::new();
        let _fits = options.push_nop() && options.push_nop() && options.push_timestamps(own, val);
        forged.options = options;
    }
    Some(ack)
}

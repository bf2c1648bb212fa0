//! A box that merges adjacent data segments of a flow, as a proxy or a receive-offload engine in the
//! path does, and keeps the options of only one of them (RFC 8684, section 3.3: mappings are lost).

use std::collections::BTreeMap;

use sim_core::{Duration, Instant};

use super::flow::{FlowKey, joined, segment, segment_mut, seq_end};
use super::{Direction, Matcher, Middlebox, Output, Verdict};
use crate::wire::{Packet, TcpFlags};

/// Whose options a merged segment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsFrom {
    /// Those of the first segment.
    First,
    /// Those of the last segment.
    Last,
}

/// Merges chosen segments.
#[derive(Debug)]
pub struct Coalescer {
    matcher: Matcher,
    max: u32,
    wait: Duration,
    options: OptionsFrom,
    held: BTreeMap<(FlowKey, Direction), Held>,
}

#[derive(Debug)]
struct Held {
    packet: Packet,
    until: Instant,
}

impl Coalescer {
    /// Merges what `matcher` chooses up to `max` octets of payload, holding a segment for at most
    /// `wait`.
    #[must_use]
    pub const fn new(matcher: Matcher, max: u32, wait: Duration, options: OptionsFrom) -> Self {
        Self { matcher, max, wait, options, held: BTreeMap::new() }
    }

    fn can_merge(&self, held: &Held, packet: &Packet) -> bool {
        let (Some(first), Some(next)) = (segment(&held.packet), segment(packet)) else { return false };
        next.seq == seq_end(first)
            && !first.flags.fin()
            && first.payload.len() + next.payload.len() <= self.max
            && held.packet.ip.ecn == packet.ip.ecn
    }

    /// Appends `packet` to `held`.
    fn merge(&self, held: &mut Held, packet: &Packet) {
        let (Some(first), Some(next)) = (segment_mut(&mut held.packet), segment(packet)) else { return };
        first.payload = joined(&first.payload, &next.payload);
        first.flags = first.flags.with(TcpFlags(next.flags.0 & (TcpFlags::FIN.0 | TcpFlags::PSH.0)));
        first.ack = next.ack;
        first.window = next.window;
        if self.options == OptionsFrom::Last {
            first.options = next.options;
        }
    }
}

impl Middlebox for Coalescer {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let chosen = self.matcher.matches(now, direction, &packet);
        let Some(flow) = FlowKey::of(&packet, direction) else {
            out.push(Output::now(direction, packet));
            return Verdict::Passed;
        };
        let key = (flow, direction);
        let is_data = segment(&packet).is_some_and(|segment| {
            !segment.payload.is_empty() && !segment.flags.intersects(TcpFlags::SYN.with(TcpFlags::RST))
        });
        if let Some(mut held) = self.held.remove(&key) {
            if chosen && is_data && self.can_merge(&held, &packet) {
                self.merge(&mut held, &packet);
                self.held.insert(key, held);
                return Verdict::Held;
            }
            out.push(Output::now(direction, held.packet));
        }
        if chosen && is_data {
            self.held.insert(key, Held { packet, until: now + self.wait });
            return Verdict::Held;
        }
        out.push(Output::now(direction, packet));
        Verdict::Passed
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.held.values().map(|held| held.until).min()
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.held.retain(|(_, direction), held| {
            let due = held.until <= now;
            if due {
                out.push(Output::now(*direction, held.packet.clone()));
            }
            !due
        });
    }
}

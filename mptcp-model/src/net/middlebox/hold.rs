//! A box that passes data on in order only, as an inspecting firewall or a resequencing link does: what
//! comes after a hole waits until the hole is filled, or for a limited time. Old bytes pass.

use std::collections::BTreeMap;

use sim_core::{Duration, Instant};

use super::flow::{FlowKey, segment, seq_end, seq_len};
use super::{Direction, Matcher, Middlebox, Output, Verdict};
use crate::wire::{Packet, Seq};

/// Holds back what comes after a hole.
#[derive(Debug)]
pub struct Resequencer {
    matcher: Matcher,
    wait: Duration,
    flows: BTreeMap<(FlowKey, Direction), Lane>,
}

/// One direction of a flow.
#[derive(Debug)]
struct Lane {
    /// The number after the last in order.
    next: Seq,
    /// What waits, in order of arrival.
    held: Vec<Packet>,
    /// When the oldest has waited long enough.
    until: Instant,
}

/// Packets held for one direction of a flow before all are let go.
const MOST_HELD: usize = 1024;

impl Resequencer {
    /// Holds what `matcher` chooses for at most `wait`.
    #[must_use]
    pub const fn new(matcher: Matcher, wait: Duration) -> Self {
        Self { matcher, wait, flows: BTreeMap::new() }
    }
}

impl Middlebox for Resequencer {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let chosen = self.matcher.matches(now, direction, &packet);
        let (Some(flow), Some(arrived)) = (FlowKey::of(&packet, direction), segment(&packet)) else {
            out.push(Output::now(direction, packet));
            return Verdict::Passed;
        };
        let (seq, end) = (arrived.seq, seq_end(arrived));
        if seq_len(arrived) == 0 || arrived.flags.rst() {
            out.push(Output::now(direction, packet));
            return Verdict::Passed;
        }
        let is_syn = arrived.flags.syn();
        let lane = self.flows.entry((flow, direction)).or_insert_with(|| Lane {
            next: seq,
            held: Vec::new(),
            until: Instant::FAR_FUTURE,
        });
        if is_syn {
            lane.next = end;
        }
        if chosen && !is_syn && lane.next.before(seq) {
            if lane.held.is_empty() {
                lane.until = now + self.wait;
            }
            lane.held.push(packet);
            if lane.held.len() > MOST_HELD {
                lane.give_up(direction, out);
            }
            return Verdict::Held;
        }
        out.push(Output::now(direction, packet));
        if lane.next.before(end) {
            lane.next = end;
            lane.release(direction, out);
        }
        Verdict::Passed
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.flows.values().filter(|lane| !lane.held.is_empty()).map(|lane| lane.until).min()
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        for ((_, direction), lane) in &mut self.flows {
            if !lane.held.is_empty() && lane.until <= now {
                lane.give_up(*direction, out);
            }
        }
    }
}

impl Lane {
    /// Lets go what is in order now.
    fn release(&mut self, direction: Direction, out: &mut Vec<Output>) {
        while let Some(at) = self
            .held
            .iter()
            .position(|packet| segment(packet).is_none_or(|segment| !self.next.before(segment.seq)))
        {
            let packet = self.held.remove(at);
            self.pass(direction, packet, out);
        }
    }

    /// Lets go everything, hole or not.
    fn give_up(&mut self, direction: Direction, out: &mut Vec<Output>) {
        for packet in core::mem::take(&mut self.held) {
            self.pass(direction, packet, out);
        }
    }

    fn pass(&mut self, direction: Direction, packet: Packet, out: &mut Vec<Output>) {
        if let Some(end) = segment(&packet).map(seq_end)
            && self.next.before(end)
        {
            self.next = end;
        }
        out.push(Output::now(direction, packet));
    }
}

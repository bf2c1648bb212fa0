//! Boxes in a row. A forward packet meets the first box first, a backward packet the last.

use std::collections::{BTreeMap, VecDeque};

use sim_core::{Duration, Instant};

use super::{Counters, Direction, Middlebox, Output, Verdict};
use crate::wire::Packet;

/// Several boxes in front of a link.
///
/// After each call ask [`poll_timeout`](Self::poll_timeout) again. What leaves, leaves at once: delays
/// that boxes ask for pass inside the chain.
#[derive(Debug, Default)]
pub struct Chain {
    boxes: Vec<Slot>,
    /// Packets on their way between boxes at this instant.
    moving: VecDeque<Moving>,
    outputs: Vec<Output>,
    /// Packets that go on later, in order of time and then of arrival.
    delayed: BTreeMap<(Instant, u64), Moving>,
    order: u64,
    /// Packets dropped by all boxes.
    dropped: u64,
}

#[derive(Debug)]
struct Slot {
    name: String,
    element: Box<dyn Middlebox>,
    counters: Counters,
    /// Packets dropped, by reason.
    drops: BTreeMap<&'static str, u64>,
}

/// A packet in the gap before box number `gap`.
#[derive(Debug)]
struct Moving {
    gap: usize,
    direction: Direction,
    packet: Packet,
}

impl Chain {
    /// No boxes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a box on the far side.
    pub fn push(&mut self, name: impl Into<String>, element: Box<dyn Middlebox>) {
        self.boxes.push(Slot {
            name: name.into(),
            element,
            counters: Counters::default(),
            drops: BTreeMap::new(),
        });
    }

    /// Number of boxes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.boxes.len()
    }

    /// Whether there are no boxes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.boxes.is_empty()
    }

    /// The boxes by name, from the near side to the far side, with what they did.
    pub fn counters(&self) -> impl Iterator<Item = (&str, &Counters)> {
        self.boxes.iter().map(|slot| (slot.name.as_str(), &slot.counters))
    }

    /// Why the box called `name` dropped packets, and how many.
    pub fn drops(&self, name: &str) -> impl Iterator<Item = (&'static str, u64)> {
        let slot = self.boxes.iter().find(|slot| slot.name == name);
        slot.into_iter().flat_map(|slot| slot.drops.iter().map(|(reason, count)| (*reason, *count)))
    }

    /// Packets dropped by all boxes together.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The boxes themselves, by name and in the same order.
    pub fn elements(&self) -> impl Iterator<Item = (&str, &dyn Middlebox)> {
        self.boxes.iter().map(|slot| (slot.name.as_str(), &*slot.element))
    }

    /// Takes a packet and appends what leaves the chain.
    pub fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: Packet,
        out: &mut Vec<(Direction, Packet)>,
    ) {
        let gap = match direction {
            Direction::Forward => 0,
            Direction::Backward => self.boxes.len(),
        };
        self.moving.push_back(Moving { gap, direction, packet });
        self.drain(now, out);
    }

    /// When a box or a delayed packet is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let boxes = self.boxes.iter().filter_map(|slot| slot.element.poll_timeout());
        boxes.chain(self.delayed.keys().next().map(|key| key.0)).min()
    }

    /// Appends what leaves because of the time; harmless when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<(Direction, Packet)>) {
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            let moving = entry.remove();
            self.moving.push_back(moving);
            self.drain(now, out);
        }
        for index in 0..self.boxes.len() {
            let slot = &mut self.boxes[index];
            if slot.element.poll_timeout().is_some_and(|at| at <= now) {
                slot.element.handle_timeout(now, &mut self.outputs);
                slot.counters.released += self.outputs.len() as u64;
                self.distribute(now, index);
                self.drain(now, out);
            }
        }
    }

    fn drain(&mut self, now: Instant, out: &mut Vec<(Direction, Packet)>) {
        while let Some(Moving { gap, direction, packet }) = self.moving.pop_front() {
            let index = match direction {
                Direction::Forward => Some(gap).filter(|index| *index < self.boxes.len()),
                Direction::Backward => gap.checked_sub(1),
            };
            let Some(index) = index else {
                out.push((direction, packet));
                continue;
            };
            let Slot { element, counters, drops, .. } = &mut self.boxes[index];
            let verdict = element.handle(now, direction, packet, &mut self.outputs);
            counters.seen += 1;
            let on_top = self.outputs.len() as u64;
            let (counter, own) = match verdict {
                Verdict::Passed => (&mut counters.passed, 1),
                Verdict::Changed => (&mut counters.changed, 1),
                Verdict::Dropped(reason) => {
                    *drops.entry(reason).or_default() += 1;
                    self.dropped += 1;
                    (&mut counters.dropped, 0)
                }
                Verdict::Held => (&mut counters.held, 0),
            };
            *counter += 1;
            counters.released += on_top.saturating_sub(own);
            self.distribute(now, index);
        }
    }

    /// Sends what box `index` has put out on its way.
    fn distribute(&mut self, now: Instant, index: usize) {
        for Output { direction, delay, packet } in self.outputs.drain(..) {
            let gap = match direction {
                Direction::Forward => index + 1,
                Direction::Backward => index,
            };
            let moving = Moving { gap, direction, packet };
            if delay == Duration::ZERO {
                self.moving.push_back(moving);
            } else {
                self.order += 1;
                self.delayed.insert((now + delay, self.order), moving);
            }
        }
    }
}

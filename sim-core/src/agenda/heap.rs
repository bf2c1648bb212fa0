//! The agenda as an indexed heap of four children a node.

use super::entry::{NEVER, actor_of, entry, instant_of, is_never};
use super::sorted::{self, Sorted};
use super::{ActorId, Agenda};
use crate::time::Instant;

/// An indexed 4-ary heap; the smallest entry is at the root. As long as all actors have small numbers, a sorted list.
#[derive(Clone, Debug)]
pub struct HeapAgenda {
    /// In use as long as the heap has no positions.
    few: Sorted,
    /// The heap, and behind it [`PADDING`] entries later than all, so that a node has four children or none.
    entries: Vec<u128>,
    /// Where the entry of each actor is, [`ABSENT`] if it has none.
    positions: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;
const PADDING: usize = 3;

impl HeapAgenda {
    #[inline(always)]
    const fn is_small(&self) -> bool {
        self.positions.is_empty()
    }

    #[inline(always)]
    fn put(&mut self, at: usize, entry: u128) {
        self.entries[at] = entry;
        self.positions[actor_of(entry).0 as usize] = at as u32;
    }

    /// Places `entry` at `hole` or above.
    #[inline]
    fn rise(&mut self, mut hole: usize, entry: u128) {
        while hole > 0 {
            let parent = (hole - 1) / 4;
            let above = self.entries[parent];
            if entry > above {
                break;
            }
            self.put(hole, above);
            hole = parent;
        }
        self.put(hole, entry);
    }

    /// Places `entry` at `hole` or below.
    #[inline(never)]
    fn sink(&mut self, mut hole: usize, entry: u128) {
        loop {
            let first = 4 * hole + 1;
            let Some(&[a, b, c, d]) = self.entries.get(first..).and_then(<[u128]>::first_chunk) else {
                break;
            };
            // Three selections without a branch: which child is least is a coin toss.
            let (left, least_left) = if b < a { (1, b) } else { (0, a) };
            let (right, least_right) = if d < c { (3, d) } else { (2, c) };
            let (child, least) =
                if least_right < least_left { (right, least_right) } else { (left, least_left) };
            if entry <= least {
                break;
            }
            self.put(hole, least);
            hole = first + child;
        }
        self.put(hole, entry);
    }

    /// Gives an actor a position, and with it all below. The entries of a sorted list are a heap.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, actor: ActorId) {
        assert!(actor.0 < ActorId::LIMIT, "actor number {} exceeds 24 bits", actor.0);
        let was_small = self.is_small();
        self.positions.resize(actor.0 as usize + 1, ABSENT);
        if was_small {
            self.entries = self.few.entries().to_vec();
            self.entries.extend([NEVER; PADDING]);
            for place in 0..self.len() {
                self.put(place, self.entries[place]);
            }
        }
    }

    #[inline(never)]
    fn set_in_heap(&mut self, actor: ActorId, entry: u128) {
        if actor.0 as usize >= self.positions.len() {
            self.make_room(actor);
        }
        let position = self.positions[actor.0 as usize];
        match self.entries.get(position as usize) {
            Some(&old) if entry < old => self.rise(position as usize, entry),
            Some(_) => self.sink(position as usize, entry),
            None => {
                let end = self.len();
                self.entries.push(NEVER);
                self.rise(end, entry);
            }
        }
    }

    #[inline(never)]
    fn clear_in_heap(&mut self, actor: ActorId) {
        let Some(position) = self.positions.get_mut(actor.0 as usize) else { return };
        let hole = *position as usize;
        let Some(&removed) = self.entries.get(hole) else { return };
        *position = ABSENT;
        let end = self.len() - 1;
        let last = std::mem::replace(&mut self.entries[end], NEVER);
        self.entries.pop();
        if hole == end {
            return;
        }
        if last < removed {
            self.rise(hole, last);
        } else {
            self.sink(hole, last);
        }
    }
}

impl Default for HeapAgenda {
    fn default() -> Self {
        Self { few: Sorted::EMPTY, entries: Vec::new(), positions: Vec::new() }
    }
}

impl Agenda for HeapAgenda {
    #[inline]
    fn set(&mut self, actor: ActorId, at: Instant, order: u64) {
        let entry = entry(actor, at, order);
        if self.is_small() && actor.0 < sorted::ACTORS {
            self.few.set(entry);
        } else {
            self.set_in_heap(actor, entry);
        }
    }

    #[inline(always)]
    fn set_first(&mut self, actor: ActorId, at: Instant, order: u64) {
        debug_assert_eq!(self.peek().map(|(_, first)| first), Some(actor));
        // What comes next is never before what has come.
        let entry = entry(actor, at, order);
        if self.is_small() {
            self.few.set_first(entry);
        } else {
            self.sink(0, entry);
        }
    }

    #[inline]
    fn clear(&mut self, actor: ActorId) {
        if self.is_small() {
            self.few.clear(actor);
        } else {
            self.clear_in_heap(actor);
        }
    }

    #[inline(always)]
    fn peek(&self) -> Option<(Instant, ActorId)> {
        let first = if self.is_small() { self.few.first() } else { self.entries[0] };
        (!is_never(first)).then_some((instant_of(first), actor_of(first)))
    }

    #[inline]
    fn len(&self) -> usize {
        if self.is_small() { self.few.entries().len() } else { self.entries.len() - PADDING }
    }
}

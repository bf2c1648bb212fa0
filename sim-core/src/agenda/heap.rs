//! The agenda as an indexed heap of four children a node.

use super::{ActorId, Agenda};
use crate::time::Instant;

/// An indexed 4-ary heap. An entry is one `u128`: instant (64 bits), order (40), actor (24); the
/// smallest is at the root.
#[derive(Clone, Debug)]
pub struct HeapAgenda {
    /// The heap, and behind it [`PADDING`] entries later than all, so that a node has four children or none.
    entries: Vec<u128>,
    /// Where the entry of each actor is, [`ABSENT`] if it has none.
    positions: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;
const PADDING: usize = 3;
const NEVER: u128 = u128::MAX;
const ACTOR_BITS: u32 = ActorId::LIMIT.trailing_zeros();
const ORDER_BITS: u32 = 64 - ACTOR_BITS;

const fn entry(actor: ActorId, at: Instant, order: u64) -> u128 {
    debug_assert!(order >> ORDER_BITS == 0, "the order exceeds 40 bits");
    let low = order << ACTOR_BITS | actor.0 as u64;
    (at.as_nanos() as u128) << 64 | low as u128
}

const fn actor_of(entry: u128) -> usize {
    (entry as u32 & (ActorId::LIMIT - 1)) as usize
}

impl HeapAgenda {
    #[inline(always)]
    fn put(&mut self, at: usize, entry: u128) {
        self.entries[at] = entry;
        self.positions[actor_of(entry)] = at as u32;
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
    #[inline]
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

    #[cold]
    fn make_room(&mut self, actor: ActorId) {
        assert!(actor.0 < ActorId::LIMIT, "actor number {} exceeds 24 bits", actor.0);
        self.positions.resize(actor.0 as usize + 1, ABSENT);
    }
}

impl Default for HeapAgenda {
    fn default() -> Self {
        Self { entries: vec![NEVER; PADDING], positions: Vec::new() }
    }
}

impl Agenda for HeapAgenda {
    #[inline]
    fn set(&mut self, actor: ActorId, at: Instant, order: u64) {
        let entry = entry(actor, at, order);
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

    #[inline]
    fn set_first(&mut self, actor: ActorId, at: Instant, order: u64) {
        debug_assert_eq!(self.peek().map(|(_, first)| first), Some(actor));
        // What comes next is never before what has come.
        self.sink(0, entry(actor, at, order));
    }

    #[inline]
    fn clear(&mut self, actor: ActorId) {
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

    #[inline]
    fn peek(&self) -> Option<(Instant, ActorId)> {
        let &first = self.entries[..self.len()].first()?;
        Some((Instant::from_nanos((first >> 64) as u64), ActorId(actor_of(first) as u32)))
    }

    #[inline]
    fn len(&self) -> usize {
        self.entries.len() - PADDING
    }
}

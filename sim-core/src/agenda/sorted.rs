//! The agenda of a small network: all entries in order. What is set anew moves behind those that come earlier, which
//! are one or two in most cases, where a heap compares all children of the root at least.

use super::ActorId;
use super::entry::{NEVER, actor_of};

/// Actor numbers are below this; so many entries are moved at most.
pub(super) const ACTORS: u32 = 24;

/// At most one entry of each actor, the first one first, then [`NEVER`].
#[derive(Clone, Debug)]
pub(super) struct Sorted {
    entries: [u128; ACTORS as usize + 1],
    len: usize,
}

impl Sorted {
    pub(super) const EMPTY: Self = Self { entries: [NEVER; ACTORS as usize + 1], len: 0 };

    pub(super) fn entries(&self) -> &[u128] {
        &self.entries[..self.len]
    }

    /// [`NEVER`] if there is no entry.
    #[inline(always)]
    pub(super) const fn first(&self) -> u128 {
        self.entries[0]
    }

    /// Sets the entry of an actor.
    #[inline(never)]
    pub(super) fn set(&mut self, entry: u128) {
        let place = self.place(actor_of(entry));
        if place == self.len {
            self.len += 1;
        }
        if entry < self.entries[place] {
            self.rise(place, entry);
        } else {
            self.sink(place, entry);
        }
    }

    /// As [`set`](Self::set), for the actor whose entry is the first.
    #[inline(always)]
    pub(super) fn set_first(&mut self, entry: u128) {
        self.sink(0, entry);
    }

    /// Removes the entry of an actor, if any.
    #[inline(never)]
    pub(super) fn clear(&mut self, actor: ActorId) {
        let place = self.place(actor);
        if place < self.len {
            self.sink(place, NEVER);
            self.len -= 1;
        }
    }

    /// Where the entry of an actor is; behind the last one if it has none.
    #[inline(always)]
    fn place(&self, actor: ActorId) -> usize {
        self.entries().iter().position(|&entry| actor_of(entry) == actor).unwrap_or(self.len)
    }

    /// Places `entry` at `place` or before.
    #[inline(always)]
    fn rise(&mut self, mut place: usize, entry: u128) {
        while let Some(before) = place.checked_sub(1)
            && entry < self.entries[before]
        {
            self.entries[place] = self.entries[before];
            place = before;
        }
        self.entries[place] = entry;
    }

    /// Places `entry` at `place` or behind.
    #[inline(always)]
    fn sink(&mut self, place: usize, entry: u128) {
        let Some((mut hole, behind)) = self.entries[..self.len][place..].split_first_mut() else { return };
        for next in behind {
            if *next >= entry {
                break;
            }
            *hole = *next;
            hole = next;
        }
        *hole = entry;
    }
}

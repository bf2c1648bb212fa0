//! The agenda: when each actor is to act next. An actor (a node or a direction of a link) has at most
//! one entry, so the agenda is as large as the number of busy actors, not of packets in flight.
//!
//! Two implementations answer alike. [`QueueAgenda`] is the `priority-queue` crate, the obvious
//! indexed heap. [`HeapAgenda`] is the default: it keeps time, order and actor in one integer, so a
//! comparison reads no second table, and a small network has a sorted list instead of a heap.

mod entry;
mod heap;
mod queue;
mod sorted;
#[cfg(test)]
mod tests;

use crate::time::Instant;

pub use heap::HeapAgenda;
pub use queue::QueueAgenda;

/// An actor, as the agenda knows it: a small number below [`ActorId::LIMIT`], dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(pub u32);

impl ActorId {
    /// Actor numbers are below this.
    pub const LIMIT: u32 = 1 << 24;
}

/// When each actor is to act next: earlier first, then by `order`.
pub trait Agenda: Default {
    /// Enters `actor` at instant `at`, replacing its earlier entry. `order` decides between entries of
    /// the same instant, lower first; the caller gives each entry a number of its own below 2^40 - 1
    /// (more than any run sets).
    fn set(&mut self, actor: ActorId, at: Instant, order: u64);

    /// As [`set`](Self::set), for the actor whose entry is the first.
    #[inline]
    fn set_first(&mut self, actor: ActorId, at: Instant, order: u64) {
        self.set(actor, at, order);
    }

    /// Removes the entry of `actor`, if any.
    fn clear(&mut self, actor: ActorId);

    /// The first entry.
    fn peek(&self) -> Option<(Instant, ActorId)>;

    /// The number of entries.
    fn len(&self) -> usize;

    /// Whether there is no entry.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

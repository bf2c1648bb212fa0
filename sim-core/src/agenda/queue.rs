//! The agenda on the `priority-queue` crate.

use core::cmp::Reverse;
use core::hash::{BuildHasherDefault, Hasher};

use priority_queue::PriorityQueue;

use super::{ActorId, Agenda};
use crate::time::Instant;

/// An agenda on the `priority-queue` crate, with the actor number as its own hash.
#[derive(Clone, Debug, Default)]
pub struct QueueAgenda {
    entries: PriorityQueue<ActorId, Reverse<(Instant, u64)>, BuildHasherDefault<Identity>>,
}

impl Agenda for QueueAgenda {
    #[inline]
    fn set(&mut self, actor: ActorId, at: Instant, order: u64) {
        let key = Reverse((at, order));
        if self.entries.change_priority(&actor, key).is_none() {
            self.entries.push(actor, key);
        }
    }

    #[inline]
    fn clear(&mut self, actor: ActorId) {
        self.entries.remove(&actor);
    }

    #[inline]
    fn peek(&self) -> Option<(Instant, ActorId)> {
        self.entries.peek().map(|(&actor, &Reverse((at, _)))| (at, actor))
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Small dense numbers need no hashing; the multiplication spreads them over the upper bits, from
/// which the table takes its tags.
#[derive(Clone, Copy, Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = u64::from(number).wrapping_mul(1 << 57 | 1);
    }
}

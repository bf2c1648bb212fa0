//! The pool in which packets live: a slab with a free list. In steady state no packet costs an
//! allocation, a new one is written where it will lie, and a hop moves four octets instead of the packet.

use crate::link::Upcoming;
use crate::packet::Packet;

/// A move-only handle to a packet in the pool.
///
/// Whoever has it must pass it on: [`Context::forward`](crate::Context::forward),
/// [`Context::take`](crate::Context::take), [`Context::release`](crate::Context::release) or
/// [`Context::discard`](crate::Context::discard). A node
/// may keep it, for example in a queue of its own. One that is let go otherwise leaves its packet in
/// the pool, which shows as [`Simulation::packets_alive`](crate::Simulation::packets_alive) above
/// [`Simulation::packets_in_flight`](crate::Simulation::packets_in_flight).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a parcel must be forwarded, taken or discarded; its packet stays in the pool otherwise"]
pub struct Parcel(u32);

impl Parcel {
    /// The slot number, giving up the handle: for storage inside a link.
    pub(crate) const fn into_slot(self) -> u32 {
        self.0
    }

    /// The handle again. `slot` must come from [`Parcel::into_slot`], once.
    pub(crate) const fn from_slot(slot: u32) -> Self {
        Self(slot)
    }
}

/// No slot.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// Aligned to cache lines: packets that stay long in the network are no longer in the cache when they arrive.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Slot<P>(P);

/// The slab. A packet that has left lies in its slot until another is written over it.
#[derive(Clone, Debug)]
pub(crate) struct Pool<P> {
    slots: Vec<Slot<P>>,
    /// Slots whose packets have left.
    free: Vec<u32>,
}

impl<P: Packet> Pool<P> {
    /// Reads all of a packet that will arrive soon: some time passed since it was sent, and others took its place in the
    /// cache.
    #[inline(always)]
    pub(crate) fn look_at(&self, slot: u32) -> Upcoming {
        Upcoming { slot, digest: self.slots[slot as usize].0.digest() }
    }

    /// As [`look_at`](Self::look_at), where nothing was sent since.
    #[inline(never)]
    pub(crate) fn look_at_new(&self, slot: u32) -> Upcoming {
        self.look_at(slot)
    }
}

impl<P> Pool<P> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// Packets in the pool.
    pub(crate) const fn alive(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Slots ever used at the same time.
    pub(crate) const fn slots(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    pub(crate) fn insert(&mut self, packet: P) -> Parcel {
        let Some(slot) = self.free.pop() else { return self.grow(|| packet) };
        self.slots[slot as usize].0 = packet;
        Parcel(slot)
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, make: impl FnOnce() -> P) -> Parcel {
        let slot = self.slots.len() as u32;
        assert!(slot != NO_SLOT, "more than 2^32 - 1 packets alive");
        self.slots.push(Slot(make()));
        Parcel(slot)
    }

    /// A packet to be written over: one that has left, or what `make` makes.
    #[inline(always)]
    pub(crate) fn recycle(&mut self, make: impl FnOnce() -> P) -> Parcel {
        match self.free.pop() {
            Some(slot) => Parcel(slot),
            None => self.grow(make),
        }
    }

    #[inline(always)]
    pub(crate) fn get(&self, parcel: &Parcel) -> &P {
        &self.slots[parcel.0 as usize].0
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, parcel: &Parcel) -> &mut P {
        &mut self.slots[parcel.0 as usize].0
    }

    /// Lets a packet go where it lies.
    #[inline(always)]
    pub(crate) fn release(&mut self, parcel: Parcel) {
        self.free.push(parcel.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_slots_are_used_again_before_the_pool_grows() {
        let mut pool = Pool::new();
        let first = pool.insert('a');
        let second = pool.insert('b');
        pool.release(first);
        let third = pool.insert('c');
        assert_eq!((*pool.get(&second), *pool.get(&third)), ('b', 'c'));
        assert_eq!((pool.alive(), pool.slots()), (2, 2));
        *pool.get_mut(&second) = 'd';
        assert_eq!(*pool.get(&second), 'd');
        pool.release(second);
        pool.release(third);
        assert_eq!((pool.alive(), pool.slots()), (0, 2));
    }

    #[test]
    fn a_packet_that_has_left_is_written_over_where_it_lies() {
        let mut pool = Pool::new();
        let released = pool.insert('a');
        pool.release(released);
        let again = pool.recycle(|| 'x');
        let grown = pool.recycle(|| 'z');
        assert_eq!((*pool.get(&again), *pool.get(&grown)), ('a', 'z'));
        assert_eq!((pool.alive(), pool.slots()), (2, 2));
    }
}

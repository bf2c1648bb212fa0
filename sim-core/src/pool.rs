//! The pool in which packets live: a slab with a free list. In steady state no packet costs an
//! allocation, and a hop moves four octets instead of the packet.

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
enum Slot<P> {
    Used(P),
    Free { next: u32 },
}

/// The slab.
#[derive(Clone, Debug)]
pub(crate) struct Pool<P> {
    slots: Vec<Slot<P>>,
    free: u32,
    alive: usize,
}

impl<P> Pool<P> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: NO_SLOT, alive: 0 }
    }

    /// Packets in the pool.
    pub(crate) const fn alive(&self) -> usize {
        self.alive
    }

    /// Slots ever used at the same time.
    pub(crate) const fn slots(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    pub(crate) fn insert(&mut self, packet: P) -> Parcel {
        self.alive += 1;
        let slot = self.free;
        if let Some(place) = self.slots.get_mut(slot as usize) {
            if let Slot::Free { next } = *place {
                self.free = next;
            }
            *place = Slot::Used(packet);
            return Parcel(slot);
        }
        let slot = self.slots.len() as u32;
        assert!(slot != NO_SLOT, "more than 2^32 - 1 packets alive");
        self.slots.push(Slot::Used(packet));
        Parcel(slot)
    }

    #[inline]
    pub(crate) fn get(&self, parcel: &Parcel) -> &P {
        match &self.slots[parcel.0 as usize] {
            Slot::Used(packet) => packet,
            Slot::Free { .. } => panic!("a parcel refers to a live packet"),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, parcel: &Parcel) -> &mut P {
        match &mut self.slots[parcel.0 as usize] {
            Slot::Used(packet) => packet,
            Slot::Free { .. } => panic!("a parcel refers to a live packet"),
        }
    }

    /// Drops a packet where it lies.
    #[inline]
    pub(crate) fn release(&mut self, parcel: Parcel) {
        let place = &mut self.slots[parcel.0 as usize];
        assert!(matches!(place, Slot::Used(_)), "a parcel refers to a live packet");
        *place = Slot::Free { next: self.free };
        self.free = parcel.0;
        self.alive -= 1;
    }

    #[inline]
    pub(crate) fn remove(&mut self, parcel: Parcel) -> P {
        let place = &mut self.slots[parcel.0 as usize];
        match core::mem::replace(place, Slot::Free { next: self.free }) {
            Slot::Used(packet) => {
                self.free = parcel.0;
                self.alive -= 1;
                packet
            }
            Slot::Free { .. } => panic!("a parcel refers to a live packet"),
        }
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
        assert_eq!(pool.remove(first), 'a');
        let third = pool.insert('c');
        assert_eq!((*pool.get(&second), *pool.get(&third)), ('b', 'c'));
        assert_eq!((pool.alive(), pool.slots()), (2, 2));
        *pool.get_mut(&second) = 'd';
        assert_eq!(pool.remove(second), 'd');
        assert_eq!(pool.remove(third), 'c');
        assert_eq!((pool.alive(), pool.slots()), (0, 2));
    }
}

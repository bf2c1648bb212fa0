//! The pool in which packets live: a slab with a free list. In steady state no packet costs an
//! allocation, a new one is written where it will lie, and a hop moves four octets instead of the packet.

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
struct Slot<P>(Option<P>);

/// The slab.
#[derive(Clone, Debug)]
pub(crate) struct Pool<P> {
    slots: Vec<Slot<P>>,
    /// Slots whose packets have reached their destination. A packet released lies there until another is written
    /// over it.
    free: Vec<u32>,
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
        let Some(slot) = self.free.pop() else { return self.grow(packet) };
        self.slots[slot as usize].0 = Some(packet);
        Parcel(slot)
    }

    #[cold]
    fn grow(&mut self, packet: P) -> Parcel {
        let slot = self.slots.len() as u32;
        assert!(slot != NO_SLOT, "more than 2^32 - 1 packets alive");
        self.slots.push(Slot(Some(packet)));
        Parcel(slot)
    }

    /// A packet to be written over: one that was released, or what `make` makes.
    #[inline]
    pub(crate) fn recycle(&mut self, make: impl FnOnce() -> P) -> Parcel {
        let Some(slot) = self.free.pop() else { return self.grow(make()) };
        self.slots[slot as usize].0.get_or_insert_with(make);
        Parcel(slot)
    }

    #[inline]
    pub(crate) fn get(&self, parcel: &Parcel) -> &P {
        self.slots[parcel.0 as usize].0.as_ref().expect("a parcel refers to a packet")
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, parcel: &Parcel) -> &mut P {
        self.slots[parcel.0 as usize].0.as_mut().expect("a parcel refers to a packet")
    }

    /// Drops a packet where it lies.
    #[inline]
    pub(crate) fn release(&mut self, parcel: Parcel) {
        self.free.push(parcel.0);
    }

    #[inline]
    pub(crate) fn remove(&mut self, parcel: Parcel) -> P {
        self.free.push(parcel.0);
        self.slots[parcel.0 as usize].0.take().expect("a parcel refers to a packet")
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

    #[test]
    fn a_released_packet_is_written_over_where_it_lies_and_a_removed_one_is_made_anew() {
        let mut pool = Pool::new();
        let released = pool.insert('a');
        pool.release(released);
        let again = pool.recycle(|| 'x');
        assert_eq!(*pool.get(&again), 'a');
        assert_eq!(pool.remove(again), 'a');
        let made = pool.recycle(|| 'y');
        let grown = pool.recycle(|| 'z');
        assert_eq!((*pool.get(&made), *pool.get(&grown)), ('y', 'z'));
        assert_eq!((pool.alive(), pool.slots()), (2, 2));
    }
}

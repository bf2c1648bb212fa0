//! What a node can do while it handles an event, and the state of the simulation that it does it to.

use crate::agenda::ActorId;
use crate::digest::RunDigest;
use crate::link::{Admission, Entered, LinkDirection, Upcoming};
use crate::node::{NodeId, PortId};
use crate::observer::{DropReason, Observer, Place};
use crate::packet::Packet;
use crate::pool::{NO_SLOT, Parcel, Pool};
use crate::time::Instant;

/// The engine as a node sees it while it handles an event.
#[derive(Debug)]
pub struct Context<'a, P, O> {
    pub(crate) core: &'a mut Core<P, O>,
    pub(crate) node: NodeId,
}

impl<P: Packet, O: Observer<P>> Context<'_, P, O> {
    /// The present instant.
    #[must_use]
    #[inline]
    pub const fn now(&self) -> Instant {
        self.core.now
    }

    /// The node that handles the event.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The packet in `parcel`.
    ///
    /// # Panics
    ///
    /// If the parcel is of another simulation, here and below.
    #[must_use]
    #[inline]
    pub fn packet(&self, parcel: &Parcel) -> &P {
        self.core.pool.get(parcel)
    }

    /// The packet in `parcel`, to change it.
    #[must_use]
    #[inline]
    pub fn packet_mut(&mut self, parcel: &Parcel) -> &mut P {
        self.core.pool.get_mut(parcel)
    }

    /// Takes the packet of a parcel that has reached its destination.
    #[inline]
    pub fn take(&mut self, parcel: Parcel) -> P {
        let packet = self.core.pool.get(&parcel).clone();
        self.core.pool.release(parcel);
        packet
    }

    /// Drops a packet that has reached its destination, without moving it.
    #[inline(always)]
    pub fn release(&mut self, parcel: Parcel) {
        self.core.pool.release(parcel);
    }

    /// A packet to be written over before it is sent: an old one that nobody needs any more, or, if there is none, what
    /// `make` makes.
    #[inline(always)]
    pub fn recycle(&mut self, make: impl FnOnce() -> P) -> Parcel {
        self.core.pool.recycle(make)
    }

    /// Puts a packet into the pool without sending it.
    pub fn hold(&mut self, packet: P) -> Parcel {
        self.core.pool.insert(packet)
    }

    /// Sends a new packet out of `port`. One that the node does not have drops it.
    #[inline(always)]
    pub fn send(&mut self, port: PortId, packet: P) {
        let parcel = self.core.pool.insert(packet);
        self.core.offer(self.node, port, parcel);
    }

    /// Sends a packet on out of `port`. One that the node does not have drops it.
    #[inline]
    pub fn forward(&mut self, port: PortId, parcel: Parcel) {
        self.core.offer(self.node, port, parcel);
    }

    /// Drops a packet.
    pub fn discard(&mut self, parcel: Parcel, reason: DropReason) {
        self.core.discard(Place::Node(self.node), reason, parcel);
    }

    /// Sets the node's one wake-up, replacing the earlier one; an instant in the past is now, and
    /// `None` is no wake-up. Setting it often to a later instant is nearly free.
    #[inline(always)]
    pub fn set_wakeup(&mut self, at: Option<Instant>) {
        self.core.set_wakeup(self.node, at);
    }

    /// The wake-up as set.
    #[must_use]
    pub fn wakeup(&self) -> Option<Instant> {
        let wanted = self.core.wakeups[self.node.0 as usize].wanted;
        (wanted != Instant::FAR_FUTURE).then_some(wanted)
    }

    /// Whether the node has that port and the link takes frames sent out of it.
    #[must_use]
    pub fn port_up(&self, port: PortId) -> bool {
        self.core.egress(self.node, port).is_some_and(|index| self.core.directions[index].is_up())
    }

    /// The number of ports of the node.
    #[must_use]
    pub fn ports(&self) -> usize {
        self.core.ports[self.node.0 as usize].len()
    }
}

/// The state of a simulation, but for its nodes and agenda. What nodes do to the agenda is noted in
/// `touched` and entered when they have returned.
#[derive(Debug)]
pub(crate) struct Core<P, O> {
    pub(crate) now: Instant,
    pub(crate) pool: Pool<P>,
    pub(crate) directions: Vec<LinkDirection>,
    /// The direction behind each port of each node.
    pub(crate) ports: Vec<Vec<u32>>,
    pub(crate) wakeups: Vec<Wakeup>,
    pub(crate) touched: Vec<Touched>,
    /// Wake-ups set so far.
    pub(crate) order: u64,
    pub(crate) digest: RunDigest,
    pub(crate) observer: O,
}

/// The wake-up of a node. The agenda may have an earlier one, from before the node put it off; when
/// that comes, the engine enters the wanted one without calling the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wakeup {
    /// [`Instant::FAR_FUTURE`] is none, here and below.
    pub(crate) wanted: Instant,
    /// Place of the wanted wake-up among those of the same instant.
    pub(crate) order: u64,
    /// As in the agenda.
    pub(crate) armed: Instant,
}

impl Wakeup {
    pub(crate) const NONE: Self = Self { wanted: Instant::FAR_FUTURE, order: 0, armed: Instant::FAR_FUTURE };
}

/// An entry to be made in the agenda.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touched {
    pub(crate) actor: ActorId,
    pub(crate) at: Instant,
    pub(crate) order: u64,
}

/// The number of a node among all actors: even, above 0, which is the timetable's.
pub(crate) const fn node_actor(node: NodeId) -> ActorId {
    ActorId(2 * node.0 + 2)
}

/// The number of a direction of a link among all actors: odd.
pub(crate) const fn direction_actor(direction: usize) -> ActorId {
    ActorId(2 * direction as u32 + 1)
}

impl<P: Packet, O: Observer<P>> Core<P, O> {
    #[inline]
    pub(crate) fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    #[inline(always)]
    fn egress(&self, node: NodeId, port: PortId) -> Option<usize> {
        let direction = self.ports.get(node.0 as usize)?.get(usize::from(port.0))?;
        Some(*direction as usize)
    }

    /// Not inlined: the places that send are far apart, and what runs for each packet must stay in the cache.
    #[inline(never)]
    fn offer(&mut self, node: NodeId, port: PortId, parcel: Parcel) {
        let now = self.now;
        let packet = self.pool.get(&parcel);
        let Some(index) = self.egress(node, port) else {
            return self.discard(Place::Node(node), DropReason::NoSuchPort, parcel);
        };
        let direction = &mut self.directions[index];
        if O::ACTIVE {
            self.observer.sent(now, node, port, packet);
        }
        let len = direction.frame_len(packet);
        let slot = parcel.into_slot();
        match direction.enter_calmly(now, len, slot) {
            Entered::Behind => {}
            Entered::Alone(at) => {
                direction.upcoming = self.pool.look_at_new(slot);
                self.touch(direction_actor(index), at);
            }
            Entered::Not => self.offer_with_care(index, len, Parcel::from_slot(slot)),
        }
    }

    /// The rest of [`offer`](Self::offer) where a packet may be marked, refused, lost or doubled.
    #[inline(never)]
    fn offer_with_care(&mut self, index: usize, len: u32, parcel: Parcel) {
        let now = self.now;
        let direction = &mut self.directions[index];
        if direction.marks(now) {
            let packet = self.pool.get_mut(&parcel);
            if packet.ecn_capable() {
                direction.stats.marked += 1;
                packet.mark_ce();
            }
        }
        let woken = match direction.admit(now, len, self.pool.get(&parcel)) {
            Ok(Admission::Arrives) => direction.enter(now, len, parcel.into_slot(), NO_SLOT),
            Ok(Admission::ArrivesTwice) => {
                let copy = self.pool.get(&parcel).clone();
                let copy = self.pool.insert(copy);
                direction.enter(now, len, parcel.into_slot(), copy.into_slot())
            }
            Ok(Admission::Lost(reason)) => {
                let woken = direction.enter(now, len, NO_SLOT, NO_SLOT);
                self.refuse(index, reason, parcel);
                woken
            }
            Err(reason) => return self.refuse(index, reason, parcel),
        };
        if let Some(at) = woken {
            self.directions[index].upcoming = Upcoming::NONE;
            self.touch(direction_actor(index), at);
        }
    }

    /// Not inlined, for most frames find others in front of them and wake nobody.
    #[inline(never)]
    pub(crate) fn touch(&mut self, actor: ActorId, at: Instant) {
        let order = self.next_order();
        self.touched.push(Touched { actor, at, order });
    }

    /// Drops a packet on a link.
    #[inline(never)]
    fn refuse(&mut self, index: usize, reason: DropReason, parcel: Parcel) {
        let direction = &mut self.directions[index];
        direction.count(reason);
        let place = Place::Link(direction.link, direction.direction);
        self.discard(place, reason, parcel);
    }

    #[inline(never)]
    pub(crate) fn discard(&mut self, place: Place, reason: DropReason, parcel: Parcel) {
        if O::ACTIVE {
            self.observer.dropped(self.now, place, reason, self.pool.get(&parcel));
        }
        self.pool.release(parcel);
    }

    #[inline]
    pub(crate) fn set_wakeup(&mut self, node: NodeId, at: Option<Instant>) {
        let at = at.map_or(Instant::FAR_FUTURE, |at| at.max(self.now));
        let wakeup = &mut self.wakeups[node.0 as usize];
        if at == wakeup.wanted {
            return;
        }
        self.order += 1;
        wakeup.wanted = at;
        wakeup.order = self.order;
        // A later one is entered when the earlier comes.
        if at <= wakeup.armed && at != Instant::FAR_FUTURE {
            wakeup.armed = at;
            self.touched.push(Touched { actor: node_actor(node), at, order: self.order });
        }
    }
}

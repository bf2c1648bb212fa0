//! The way of a packet from its connection to the interface that it leaves by. A packet is written where it will lie: a copy
//! would wait until each field is stored.

use smallvec::SmallVec;

use super::HostStats;
use super::routing::Routing;
use crate::mptcp::Outlet;
use crate::net::InterfaceId;
use crate::wire::{IpHeader, Packet};

/// Where the packets of a host go.
pub trait Egress {
    /// A packet to be written over, whatever it was. It leaves with [`commit`](Self::commit).
    fn place(&mut self) -> &mut Packet;

    /// The packet is written, and leaves by `interface`.
    fn commit(&mut self, interface: InterfaceId);

    /// The packet is written, and leaves by none.
    fn discard(&mut self);
}

/// Hands each packet on with its interface.
pub(super) struct Handover<F> {
    packet: Packet,
    hand_on: F,
}

impl<F: FnMut(InterfaceId, Packet)> Handover<F> {
    pub(super) fn new(hand_on: F) -> Self {
        Self { packet: Packet::blank(), hand_on }
    }
}

impl<F: FnMut(InterfaceId, Packet)> Egress for Handover<F> {
    fn place(&mut self) -> &mut Packet {
        &mut self.packet
    }

    fn commit(&mut self, interface: InterfaceId) {
        let packet = std::mem::replace(&mut self.packet, Packet::blank());
        (self.hand_on)(interface, packet);
    }

    fn discard(&mut self) {}
}

/// The interface that a packet with this header leaves by.
pub(super) fn interface_for(routing: &Routing, header: &IpHeader) -> Option<InterfaceId> {
    let decision = routing.lookup(Some(header.src), header.dst).ok()?;
    Some(decision.interface)
}

/// Interface by subflow.
pub(super) type Routes = SmallVec<[Option<InterfaceId>; 4]>;

/// The outlet of a connection. It does not depend on where the packets of the host go, so that there is one way of sending.
pub(super) struct Routed<'a> {
    pub(super) routing: &'a Routing,
    /// Remembered until routes change.
    pub(super) routes: &'a mut Routes,
    pub(super) stats: &'a mut HostStats,
    pub(super) out: &'a mut dyn Egress,
}

impl Routed<'_> {
    #[cold]
    fn find(&mut self, subflow: usize) -> Option<InterfaceId> {
        let interface = interface_for(self.routing, &self.out.place().ip)?;
        if self.routes.len() <= subflow {
            self.routes.resize(subflow + 1, None);
        }
        self.routes[subflow] = Some(interface);
        Some(interface)
    }
}

impl Outlet for Routed<'_> {
    #[inline]
    fn place(&mut self) -> &mut Packet {
        self.out.place()
    }

    #[inline]
    fn commit(&mut self, subflow: usize) {
        let known = self.routes.get(subflow).copied().flatten();
        match known.or_else(|| self.find(subflow)) {
            Some(interface) => {
                self.stats.out_packets += 1;
                self.out.commit(interface);
            }
            None => {
                self.stats.out_no_routes += 1;
                self.out.discard();
            }
        }
    }
}

//! The way of a packet from its connection to the interface that it leaves by: sockets with something to send take turns,
//! behind what was made before. A packet is written where it will lie: a copy would wait until each field is stored.

use sim_core::Instant;

use super::routing::Routing;
use super::{Host, HostStats, Kind, Socket, SocketId};
use crate::mptcp::Outlet;
use crate::net::InterfaceId;
use crate::wire::{IpHeader, Packet};

/// Where the packets of a host go.
pub(super) trait Egress {
    /// A packet, which `write` makes of whatever it was, leaves by the interface that `way` finds, if any.
    fn send(&mut self, write: impl FnOnce(&mut Packet), way: impl FnOnce(&Packet) -> Option<InterfaceId>);
}

/// Packets that were made before it was their turn to leave, in order. Those that left stay to be written over.
#[derive(Debug)]
pub(super) struct Outbox {
    slots: Vec<(InterfaceId, Packet)>,
    /// The first that waits.
    first: usize,
    /// Behind the last that waits; 0 if none does.
    end: usize,
}

impl Outbox {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), first: 0, end: 0 }
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.end == 0
    }

    pub(super) fn push(&mut self, interface: InterfaceId, packet: Packet) {
        self.send(|place| *place = packet, |_| Some(interface));
    }

    pub(super) fn pop(&mut self) -> Option<(InterfaceId, Packet)> {
        if self.is_empty() {
            return None;
        }
        let (interface, packet) = &mut self.slots[self.first];
        let popped = (*interface, core::mem::replace(packet, Packet::blank()));
        self.first += 1;
        if self.first == self.end {
            (self.first, self.end) = (0, 0);
        }
        Some(popped)
    }

    /// Gives all to `out`.
    pub(super) fn empty_into(&mut self, out: &mut impl Egress) {
        for (interface, packet) in &mut self.slots[self.first..self.end] {
            out.send(|place| core::mem::swap(place, packet), |_| Some(*interface));
        }
        (self.first, self.end) = (0, 0);
    }
}

impl Egress for Outbox {
    #[inline(always)]
    fn send(&mut self, write: impl FnOnce(&mut Packet), way: impl FnOnce(&Packet) -> Option<InterfaceId>) {
        if self.end == self.slots.len() {
            self.slots.push((InterfaceId::LOOPBACK, Packet::blank()));
        }
        let (leaves_by, packet) = &mut self.slots[self.end];
        write(packet);
        if let Some(interface) = way(packet) {
            *leaves_by = interface;
            self.end += 1;
        }
    }
}

/// The interface that a packet with this header leaves by.
pub(super) fn interface_for(routing: &Routing, header: &IpHeader) -> Option<InterfaceId> {
    let decision = routing.lookup(Some(header.src), header.dst).ok()?;
    Some(decision.interface)
}

/// Interface by subflow.
pub(super) type Routes = Vec<Option<InterfaceId>>;

/// The outlet of a connection.
pub(super) struct Routed<'a, E> {
    pub(super) routing: &'a Routing,
    /// Remembered until routes change.
    pub(super) routes: &'a mut Routes,
    pub(super) stats: &'a mut HostStats,
    pub(super) out: &'a mut E,
}

impl<E: Egress> Outlet for Routed<'_, E> {
    #[inline(always)]
    fn send(&mut self, subflow: usize, write: impl FnOnce(&mut Packet)) {
        let Self { routing, routes, stats, out } = self;
        out.send(write, |packet| {
            let Some(&Some(interface)) = routes.get(subflow) else {
                return first_way(routing, routes, stats, subflow, packet);
            };
            stats.out_packets += 1;
            Some(interface)
        });
    }
}

/// The way of the first packet of a subflow.
#[cold]
#[inline(never)]
fn first_way(
    routing: &Routing,
    routes: &mut Routes,
    stats: &mut HostStats,
    subflow: usize,
    packet: &Packet,
) -> Option<InterfaceId> {
    let Some(interface) = interface_for(routing, &packet.ip) else {
        stats.out_no_routes += 1;
        return None;
    };
    if routes.len() <= subflow {
        routes.resize(subflow + 1, None);
    }
    routes[subflow] = Some(interface);
    stats.out_packets += 1;
    Some(interface)
}

impl Socket {
    /// Gives what is to be sent to `out`. Returns whether nothing else is to be looked at.
    #[inline]
    pub(super) fn transmit<E: Egress>(
        &mut self,
        now: Instant,
        routing: &Routing,
        stats: &mut HostStats,
        out: &mut E,
    ) -> bool {
        let Kind::Connection(connection) = &mut self.kind else { return true };
        let routes = &mut self.routes;
        if connection.has_left() {
            connection.hand_over_left(&mut Routed { routing, routes, stats, out });
        }
        connection.transmit(now, &mut Routed { routing, routes, stats, out });
        connection.is_settled(self.armed)
    }
}

impl Host {
    /// The next packet to send, and the interface it leaves by.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(InterfaceId, Packet)> {
        if self.outbox.is_empty() {
            while let Some(socket) = self.active.pop_front() {
                let entry = &mut self.sockets[socket.0 as usize];
                entry.queued = false;
                if !entry.transmit(now, &self.routing, &mut self.stats, &mut self.outbox) {
                    self.settle(now, socket);
                }
            }
        }
        self.outbox.pop()
    }

    /// Gives every packet that is due to `out`, after [those that wait](Self::empty_outbox).
    #[inline]
    pub(super) fn transmit(&mut self, now: Instant, out: &mut impl Egress) {
        while let Some(socket) = self.active.pop_front() {
            let entry = &mut self.sockets[socket.0 as usize];
            entry.queued = false;
            if !entry.transmit(now, &self.routing, &mut self.stats, out) {
                self.settle(now, socket);
            }
        }
    }

    /// Gives what was made before it was its turn to `out`.
    #[inline(never)]
    pub(super) fn empty_outbox(&mut self, out: &mut impl Egress) {
        self.outbox.empty_into(out);
    }

    /// A socket has nothing more to send: note its events, its wish for path actions and its timer.
    #[inline(never)]
    pub(super) fn settle(&mut self, now: Instant, socket: SocketId) {
        let Some(entry) = self.sockets.get_mut(socket.0 as usize) else { return };
        let Kind::Connection(connection) = &entry.kind else { return };
        if connection.has_events() || connection.has_path_actions() {
            self.collect_events(socket);
            self.run_path_actions(now, socket);
        }
        let Some(entry) = self.sockets.get_mut(socket.0 as usize) else { return };
        let Kind::Connection(connection) = &mut entry.kind else { return };
        if let Some(next) = connection.poll_timeout() {
            self.arm(socket, next);
        } else if connection.is_finished() {
            self.release(socket);
        }
    }

    /// Whether there may be packets to give.
    #[inline]
    pub(super) const fn has_packets(&self) -> bool {
        !(self.active.is_empty() & self.outbox.is_empty())
    }

    /// Whether some wait in the outbox.
    #[inline]
    pub(super) const fn has_waiting(&self) -> bool {
        !self.outbox.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(id: u16) -> Packet {
        let mut packet = Packet::blank();
        packet.ip.id = id;
        packet
    }

    #[test]
    fn packets_leave_the_outbox_in_the_order_they_came() {
        let mut outbox = Outbox::new();
        for id in 1..=4 {
            outbox.push(InterfaceId(id), packet(id));
        }
        assert_eq!(outbox.pop(), Some((InterfaceId(1), packet(1))));
        let mut rest = Outbox::new();
        outbox.empty_into(&mut rest);
        assert!(outbox.is_empty() && outbox.pop().is_none());
        outbox.push(InterfaceId(5), packet(5));
        outbox.empty_into(&mut rest);
        for id in 2..=5 {
            assert_eq!(rest.pop(), Some((InterfaceId(id), packet(id))));
        }
        assert!(rest.is_empty() && rest.pop().is_none());
    }
}

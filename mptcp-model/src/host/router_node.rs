//! A router as a node of a simulation, with the boxes that stand at its interfaces.
//!
//! A packet that arrives at an interface with boxes goes through them before the router sees it, as through the
//! prerouting hooks of Linux; one that leaves goes through them last, as through postrouting. What a box answers or
//! forges goes on from where the box stands: towards the router, which routes it, or into the link. Left out: boxes
//! at interfaces of end hosts; observers are not told of packets that a box had held and the next one drops, only
//! its counters are.

use std::collections::VecDeque;

use sim_core::{Context, DropReason, Observer, Parcel, PortId};

use crate::net::middlebox::{Chain, Direction};
use crate::net::{InterfaceId, Router, Verdict};
use crate::wire::Packet;

/// A router as a node: ports are its interfaces, in order.
#[derive(Debug)]
pub struct RouterNode {
    /// The router.
    pub router: Router,
    /// Name.
    pub name: String,
    /// The boxes at each interface, as far as there are any; their near side is the router.
    chains: Vec<Chain>,
    /// Packets that the router has to route, with the interface they came by.
    arrived: VecDeque<(PortId, Packet)>,
    outputs: Vec<(Direction, Packet)>,
}

impl RouterNode {
    /// A router without boxes.
    #[must_use]
    pub const fn new(router: Router, name: String) -> Self {
        Self { router, name, chains: Vec::new(), arrived: VecDeque::new(), outputs: Vec::new() }
    }

    /// The boxes at an interface, to add one: the first stands next to the router.
    pub fn chain_mut(&mut self, interface: InterfaceId) -> &mut Chain {
        let index = usize::from(interface.0);
        if self.chains.len() <= index {
            self.chains.resize_with(index + 1, Chain::new);
        }
        &mut self.chains[index]
    }

    /// The boxes at an interface.
    #[must_use]
    pub fn chain(&self, interface: InterfaceId) -> Option<&Chain> {
        self.chains.get(usize::from(interface.0))
    }

    pub(super) fn handle<O: Observer<Packet>>(
        &mut self,
        ctx: &mut Context<'_, Packet, O>,
        port: PortId,
        parcel: Parcel,
    ) {
        if self.chains.is_empty() {
            return self.route(ctx, port, parcel);
        }
        let packet = ctx.take(parcel);
        self.pass(ctx, port, Direction::Backward, packet);
        self.finish(ctx);
    }

    /// A router without boxes hands the packet on where it lies.
    fn route<O: Observer<Packet>>(&mut self, ctx: &mut Context<'_, Packet, O>, port: PortId, parcel: Parcel) {
        let now = ctx.now();
        match self.router.handle(now, InterfaceId(port.0), ctx.packet_mut(&parcel)) {
            Verdict::Forward(interface) => ctx.forward(PortId(interface.0), parcel),
            Verdict::Deliver => ctx.release(parcel),
            Verdict::Reply(interface, reply) => {
                ctx.discard(parcel, DropReason::NoRoute);
                ctx.send(PortId(interface.0), *reply);
            }
            Verdict::Drop(_) => ctx.discard(parcel, DropReason::Filter),
        }
    }

    /// A box or a packet that a box delays is due.
    pub(super) fn wake<O: Observer<Packet>>(&mut self, ctx: &mut Context<'_, Packet, O>) {
        let now = ctx.now();
        for index in 0..self.chains.len() {
            if self.chains[index].poll_timeout().is_some_and(|at| at <= now) {
                self.chains[index].handle_timeout(now, &mut self.outputs);
                self.distribute(ctx, PortId(index as u16));
            }
        }
        self.finish(ctx);
    }

    /// Sends a packet through the boxes at a port, if there are any.
    fn pass<O: Observer<Packet>>(
        &mut self,
        ctx: &mut Context<'_, Packet, O>,
        port: PortId,
        direction: Direction,
        packet: Packet,
    ) {
        match self.chains.get_mut(usize::from(port.0)).filter(|chain| !chain.is_empty()) {
            None => self.outputs.push((direction, packet)),
            Some(chain) => {
                let dropped = chain.dropped();
                let copy = O::ACTIVE.then(|| packet.clone());
                chain.handle(ctx.now(), direction, packet, &mut self.outputs);
                // What observers are shown is the packet as it came to the boxes.
                if let Some(copy) = copy.filter(|_| chain.dropped() > dropped) {
                    let parcel = ctx.hold(copy);
                    ctx.discard(parcel, DropReason::Filter);
                }
            }
        }
        self.distribute(ctx, port);
    }

    /// Takes what left the boxes at a port to where it goes.
    fn distribute<O: Observer<Packet>>(&mut self, ctx: &mut Context<'_, Packet, O>, port: PortId) {
        for (direction, packet) in self.outputs.drain(..) {
            match direction {
                Direction::Forward => ctx.send(port, packet),
                Direction::Backward => self.arrived.push_back((port, packet)),
            }
        }
    }

    /// Routes what is left, and sets the wake-up. Every packet that is routed again has lost a hop, so this ends.
    fn finish<O: Observer<Packet>>(&mut self, ctx: &mut Context<'_, Packet, O>) {
        let now = ctx.now();
        while let Some((port, mut packet)) = self.arrived.pop_front() {
            match self.router.handle(now, InterfaceId(port.0), &mut packet) {
                Verdict::Forward(interface) => {
                    self.pass(ctx, PortId(interface.0), Direction::Forward, packet);
                }
                Verdict::Deliver => {}
                Verdict::Reply(interface, reply) => {
                    let parcel = ctx.hold(packet);
                    ctx.discard(parcel, DropReason::NoRoute);
                    self.pass(ctx, PortId(interface.0), Direction::Forward, *reply);
                }
                Verdict::Drop(_) => {
                    let parcel = ctx.hold(packet);
                    ctx.discard(parcel, DropReason::Filter);
                }
            }
        }
        ctx.set_wakeup(self.chains.iter().filter_map(Chain::poll_timeout).min());
    }
}

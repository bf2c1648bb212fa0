//! Nodes: whatever receives packets and has timers. Hosts, routers, middleboxes and traffic sources
//! are nodes.

use crate::context::Context;
use crate::observer::Observer;
use crate::packet::Packet;
use crate::pool::Parcel;

/// A node of a simulation, numbered from 0 in order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// A port of a node, numbered from 0 in order of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

/// The behaviour of a node. A simulation of several kinds of node uses an enum of them.
pub trait Node<P: Packet> {
    /// A packet has arrived at `port`. The parcel must be forwarded, taken, discarded or kept.
    fn handle_packet<O: Observer<P>>(&mut self, ctx: &mut Context<'_, P, O>, port: PortId, parcel: Parcel);

    /// The instant last given to [`Context::set_wakeup`] has come. No further wake-up is set at this
    /// point.
    fn handle_wakeup<O: Observer<P>>(&mut self, ctx: &mut Context<'_, P, O>);

    /// The link at `port` has gone up or down ([`Context::port_up`] tells which); a node with no
    /// interest in it does nothing.
    fn handle_link_change<O: Observer<P>>(&mut self, ctx: &mut Context<'_, P, O>, port: PortId) {
        let _ = (ctx, port);
    }
}

//! Observers: what watches a run without taking part in it, such as a capture. The unit type is the
//! observer that sees nothing and costs nothing.

use crate::link::{Direction, LinkId};
use crate::node::{NodeId, PortId};
use crate::time::Instant;

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The queue of the link was full.
    QueueFull,
    /// Lost at random on the link.
    RandomLoss,
    /// Lost on the link by configuration: a listed frame, or every n-th.
    LossList,
    /// The link was down.
    LinkDown,
    /// Dropped by active queue management.
    Aqm,
    /// Longer than the next link carries, and not to be fragmented.
    TooBig,
    /// No route to the destination.
    NoRoute,
    /// Time to live, or hop limit, used up.
    TtlExpired,
    /// Dropped by a firewall, NAT or other middlebox.
    Filter,
    /// Bad checksum.
    Checksum,
    /// Not understood by the node, or nobody there wants it.
    Unwanted,
    /// Sent to a port that the node does not have.
    NoSuchPort,
}

impl DropReason {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [Self; 12] = [
        Self::QueueFull,
        Self::RandomLoss,
        Self::LossList,
        Self::LinkDown,
        Self::Aqm,
        Self::TooBig,
        Self::NoRoute,
        Self::TtlExpired,
        Self::Filter,
        Self::Checksum,
        Self::Unwanted,
        Self::NoSuchPort,
    ];
}

/// Where a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In a node.
    Node(NodeId),
    /// On a link, or in the queue before it.
    Link(LinkId, Direction),
}

/// Watches packets at the ports of all nodes.
pub trait Observer<P> {
    /// Whether there is anything to see; the engine makes no calls if false.
    const ACTIVE: bool = true;

    /// The node hands a packet to the link, before the queue: what a capture at the sender's
    /// interface shows. A packet refused by the queue is sent and then dropped at the same instant.
    fn sent(&mut self, at: Instant, node: NodeId, port: PortId, packet: &P) {
        let _ = (at, node, port, packet);
    }

    /// The link delivers a packet to the node.
    fn received(&mut self, at: Instant, node: NodeId, port: PortId, packet: &P) {
        let _ = (at, node, port, packet);
    }

    /// A packet goes no further. Losses on a link are told when the frame enters the link, as its
    /// fate is decided then.
    fn dropped(&mut self, at: Instant, place: Place, reason: DropReason, packet: &P) {
        let _ = (at, place, reason, packet);
    }
}

impl<P> Observer<P> for () {
    const ACTIVE: bool = false;
}

/// Passes each call to its parts.
macro_rules! forward_to {
    ($self:ident, $($part:expr),+) => {
        fn sent(&mut $self, at: Instant, node: NodeId, port: PortId, packet: &P) {
            $($part.sent(at, node, port, packet);)+
        }

        fn received(&mut $self, at: Instant, node: NodeId, port: PortId, packet: &P) {
            $($part.received(at, node, port, packet);)+
        }

        fn dropped(&mut $self, at: Instant, place: Place, reason: DropReason, packet: &P) {
            $($part.dropped(at, place, reason, packet);)+
        }
    };
}

impl<P, A: Observer<P>> Observer<P> for (A,) {
    const ACTIVE: bool = A::ACTIVE;
    forward_to!(self, self.0);
}

impl<P, A: Observer<P>, B: Observer<P>> Observer<P> for (A, B) {
    const ACTIVE: bool = A::ACTIVE || B::ACTIVE;
    forward_to!(self, self.0, self.1);
}

impl<P, A: Observer<P>, B: Observer<P>, C: Observer<P>> Observer<P> for (A, B, C) {
    const ACTIVE: bool = A::ACTIVE || B::ACTIVE || C::ACTIVE;
    forward_to!(self, self.0, self.1, self.2);
}

impl<P, A: Observer<P> + ?Sized> Observer<P> for &mut A {
    const ACTIVE: bool = A::ACTIVE;
    forward_to!(self, (**self));
}

impl<P, A: Observer<P>> Observer<P> for Box<A> {
    const ACTIVE: bool = A::ACTIVE;
    forward_to!(self, (**self));
}

impl<P, A: Observer<P>> Observer<P> for Option<A> {
    const ACTIVE: bool = A::ACTIVE;

    fn sent(&mut self, at: Instant, node: NodeId, port: PortId, packet: &P) {
        if let Some(part) = self {
            part.sent(at, node, port, packet);
        }
    }

    fn received(&mut self, at: Instant, node: NodeId, port: PortId, packet: &P) {
        if let Some(part) = self {
            part.received(at, node, port, packet);
        }
    }

    fn dropped(&mut self, at: Instant, place: Place, reason: DropReason, packet: &P) {
        if let Some(part) = self {
            part.dropped(at, place, reason, packet);
        }
    }
}

impl<P, A: Observer<P>> Observer<P> for Vec<A> {
    const ACTIVE: bool = A::ACTIVE;

    fn sent(&mut self, at: Instant, node: NodeId, port: PortId, packet: &P) {
        for part in self {
            part.sent(at, node, port, packet);
        }
    }

    fn received(&mut self, at: Instant, node: NodeId, port: PortId, packet: &P) {
        for part in self {
            part.received(at, node, port, packet);
        }
    }

    fn dropped(&mut self, at: Instant, place: Place, reason: DropReason, packet: &P) {
        for part in self {
            part.dropped(at, place, reason, packet);
        }
    }
}

//! What the engine asks of a packet. Everything else about it is the business of the nodes.

use core::fmt::Debug;

/// A packet as links and queues see it.
pub trait Packet: Clone + Debug {
    /// Octets at network level, for example the total length of an IP packet. A link adds the
    /// overhead of its frames ([`DirectionConfig::overhead`](crate::DirectionConfig::overhead)).
    fn wire_len(&self) -> u32;

    /// A number equal for all packets of one flow in one direction; for fair queues and ECMP.
    fn flow_hash(&self) -> u64;

    /// Whether a queue may mark the packet instead of dropping it (RFC 3168).
    fn ecn_capable(&self) -> bool;

    /// Marks the packet as having met congestion (CE).
    fn mark_ce(&mut self);

    /// A cheap hash that covers what matters of the packet; part of the run's digest.
    fn digest(&self) -> u64;

    /// Whether [`Loss::SplitMix`](crate::Loss::SplitMix) makes a draw for this packet.
    fn shows_loss_draw(&self) -> bool {
        true
    }
}

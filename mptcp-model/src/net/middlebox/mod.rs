//! Middleboxes: elements on a path that change, drop, delay, answer or forge packets, as the surveys
//! of Honda et al. (IMC 2011) and Hesmans et al. (HotMiddlebox 2013) found them, and as RFC 6182
//! section 7 and RFC 8684 section 7 fear them.
//!
//! A box is a function from one packet to any number of packets with some state of its own; boxes
//! form a [`Chain`] in front of a link. Most act on the packets a [`Filter`] selects; the interface is
//! selected by where the chain stands. Packets are structs, so lengths and checksums are always
//! repaired: a box that leaves a TCP checksum wrong would only be another way to lose the packet.
//!
//! Left out: proxies that end TCP connections and open others, normalisers that remember payload, load
//! balancers (a matter of routing), and boxes that inject payload of their own.

use core::fmt;

use sim_core::{Duration, Instant};

use crate::wire::Packet;

pub mod add_addr;
pub mod alg;
pub mod chain;
pub mod coalesce;
pub mod drop;
pub mod filter;
pub mod firewall;
pub mod flow;
pub mod handshake;
pub mod header;
pub mod hold;
pub mod isn;
pub mod options;
pub mod payload;
pub mod proactive_ack;
pub mod registry;
pub mod reset;
pub mod reversed;
pub mod split;
pub mod syn_proxy;
#[cfg(test)]
mod tests;
pub mod window;

pub use chain::Chain;
pub use filter::{Filter, Kinds, Matcher};
pub use flow::FlowKey;

/// Which way a packet travels through a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the near side to the far side: out of a home, a NAT, a firewall.
    Forward,
    /// From the far side to the near side.
    Backward,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::Forward => Self::Backward,
            Self::Backward => Self::Forward,
        }
    }

    /// 0 or 1, for state kept by direction.
    #[must_use]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// A packet leaving a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Which way it leaves.
    pub direction: Direction,
    /// How much later than it was handed over.
    pub delay: Duration,
    /// The packet.
    pub packet: Packet,
}

impl Output {
    /// A packet that leaves at once.
    #[must_use]
    pub const fn now(direction: Direction, packet: Packet) -> Self {
        Self { direction, delay: Duration::ZERO, packet }
    }
}

/// What became of a packet. Packets a box makes on its own come on top of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It leaves as it came.
    Passed,
    /// It leaves changed, perhaps in several pieces.
    Changed,
    /// It is gone, for this reason: one word, or several joined by underscores.
    Dropped(&'static str),
    /// It is kept for later.
    Held,
}

/// One box.
pub trait Middlebox: fmt::Debug {
    /// Takes a packet that travels in `direction` and appends what leaves.
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict;

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, if at all.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Appends what leaves because of the time; harmless when nothing is due.
    fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        let _ = (now, out);
    }

    /// What the box counts of its own, by name, beyond the [`Counters`] of every box.
    fn details(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// What a box did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came in.
    pub seen: u64,
    /// Packets that left as they came.
    pub passed: u64,
    /// Packets that left changed.
    pub changed: u64,
    /// Packets that did not leave.
    pub dropped: u64,
    /// Packets kept for later.
    pub held: u64,
    /// Packets that left on top of those that came in and passed or were changed: answers, forgeries,
    /// second pieces, and what had been held.
    pub released: u64,
}

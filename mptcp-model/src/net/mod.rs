//! Network elements that read headers: prefixes, longest-prefix match, ICMP, the router, NAT,
//! middleboxes and the firewall.

pub mod icmp;
pub mod icmp_limit;
pub mod lpm;
pub mod middlebox;
pub mod nat;
pub mod prefix;
pub mod router;

pub use lpm::LpmTable;
pub use prefix::{InterfaceAddress, Prefix, PrefixError};
pub use router::{DropReason, Router, RouterConfig, Verdict};

/// Number of an interface within its node, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub u16);

impl InterfaceId {
    /// Delivery within the node.
    pub const LOOPBACK: Self = Self(u16::MAX);
}

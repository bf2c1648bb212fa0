//! The digest of a run: one number that differs, for all practical purposes, if any packet was
//! delivered at another time, elsewhere, in another order or with other contents. One
//! multiplication a packet; not cryptographic.

use crate::node::{NodeId, PortId};
use crate::time::Instant;

/// Words with no structure: the fractional parts of the square roots of 2 and 3.
const BEGIN: u64 = 0x6a09_e667_f3bc_c909;
const KEY: u64 = 0xbb67_ae85_84ca_a73b;

/// The digest so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunDigest {
    state: u64,
}

impl RunDigest {
    /// Of no packet.
    pub(crate) const EMPTY: Self = Self { state: BEGIN };

    /// Adds a delivered packet, by its own digest.
    #[inline(always)]
    pub(crate) fn add(&mut self, at: Instant, node: NodeId, port: PortId, packet: u64) {
        let place = u64::from(node.0) << 24 ^ u64::from(port.0) << 48;
        // Each half of the product depends on both factors.
        let product = u128::from(self.state ^ at.as_nanos()) * u128::from(packet ^ place ^ KEY);
        self.state = product as u64 ^ (product >> 64) as u64;
    }

    pub(crate) const fn value(self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(deliveries: &[(u64, u32, u16, u64)]) -> u64 {
        let mut digest = RunDigest::EMPTY;
        for &(at, node, port, packet) in deliveries {
            digest.add(Instant::from_nanos(at), NodeId(node), PortId(port), packet);
        }
        digest.value()
    }

    #[test]
    fn each_part_of_a_delivery_and_the_order_count() {
        let base = digest_of(&[(1, 0, 0, 7), (2, 0, 0, 7)]);
        for other in [
            &[(1, 0, 0, 7), (3, 0, 0, 7)][..],
            &[(1, 1, 0, 7), (2, 0, 0, 7)],
            &[(1, 0, 1, 7), (2, 0, 0, 7)],
            &[(1, 0, 0, 8), (2, 0, 0, 7)],
            &[(2, 0, 0, 7), (1, 0, 0, 7)],
            &[(1, 0, 0, 7)],
        ] {
            assert_ne!(digest_of(other), base, "{other:?}");
        }
    }
}

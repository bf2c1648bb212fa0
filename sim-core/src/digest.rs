//! The digest of a run: one number that differs, for all practical purposes, if any packet was
//! delivered at another time, elsewhere, in another order or with other contents. A few
//! multiplications a packet; not cryptographic.

use crate::node::{NodeId, PortId};
use crate::time::Instant;

/// Odd constants with no structure: the fractional parts of the square roots of 2, 3, 5 and 7.
const FACTORS: [u64; 4] =
    [0x6a09_e667_f3bc_c909, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1];

/// The digest so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunDigest {
    state: u64,
}

impl RunDigest {
    /// Adds a delivered packet.
    #[inline]
    pub(crate) fn add(&mut self, at: Instant, node: NodeId, port: PortId, packet: u64) {
        let place = u64::from(node.0) << 16 | u64::from(port.0);
        // The three products do not wait for each other; only the last one is on the critical path.
        let delivery = at.as_nanos().wrapping_mul(FACTORS[0])
            ^ place.wrapping_add(1).wrapping_mul(FACTORS[1]).rotate_left(21)
            ^ packet.wrapping_mul(FACTORS[2]).rotate_left(42);
        let mixed = (self.state.rotate_left(23) ^ delivery).wrapping_mul(FACTORS[3]);
        self.state = mixed ^ mixed >> 32;
    }

    pub(crate) const fn value(self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(deliveries: &[(u64, u32, u16, u64)]) -> u64 {
        let mut digest = RunDigest::default();
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

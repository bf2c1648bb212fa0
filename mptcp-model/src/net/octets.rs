//! The one place where ICMP generation asks for the length and the octets of a packet.

use crate::wire::Packet;

/// Octets on the wire from the IP header on.
#[inline]
pub(super) fn wire_len(packet: &Packet) -> usize {
    packet.wire_len()
}

/// The packet as on the wire.
pub(super) fn octets(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::with_capacity(packet.wire_len());
    packet.emit(&mut out);
    out
}

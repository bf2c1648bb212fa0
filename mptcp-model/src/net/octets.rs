//! The one place where ICMP generation asks for the length and the octets of a packet.
//!
//! Quotes hold the IP header and the first eight octets after it, which is what RFC 792 asks for and
//! all a receiver needs to find its socket.

use std::net::IpAddr;

use crate::wire::{Body, Packet};

/// Octets on the wire from the IP header on.
#[inline]
pub(super) fn wire_len(packet: &Packet) -> usize {
    let ip = if packet.ip.src.is_ipv4() { 20 } else { 40 };
    ip + body_len(packet)
}

fn body_len(packet: &Packet) -> usize {
    match &packet.body {
        Body::Tcp(segment) => 20 + segment.payload.len() as usize,
        Body::Udp(datagram) => 8 + datagram.payload.len() as usize,
        Body::Icmp(message) => 8 + message.data.len(),
        Body::Other { payload, .. } => payload.len() as usize,
    }
}

/// The beginning of the packet as on the wire.
pub(super) fn octets(packet: &Packet) -> Vec<u8> {
    let ip = &packet.ip;
    let protocol = match &packet.body {
        Body::Tcp(_) => 6,
        Body::Udp(_) => 17,
        Body::Icmp(_) if ip.src.is_ipv4() => 1,
        Body::Icmp(_) => 58,
        Body::Other { protocol, .. } => *protocol,
    };
    let traffic_class = (ip.dscp << 2) | ip.ecn as u8;
    let mut out = Vec::with_capacity(48);
    match (ip.src, ip.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            out.extend_from_slice(&[0x45, traffic_class]);
            out.extend_from_slice(&(wire_len(packet) as u16).to_be_bytes());
            out.extend_from_slice(&ip.id.to_be_bytes());
            out.extend_from_slice(&[if ip.dont_fragment { 0x40 } else { 0 }, 0, ip.ttl, protocol, 0, 0]);
            out.extend_from_slice(&src.octets());
            out.extend_from_slice(&dst.octets());
            let checksum = checksum(&out);
            out[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        (src, dst) => {
            let word = 6 << 28 | u32::from(traffic_class) << 20 | ip.flow_label;
            out.extend_from_slice(&word.to_be_bytes());
            out.extend_from_slice(&(body_len(packet) as u16).to_be_bytes());
            out.extend_from_slice(&[protocol, ip.ttl]);
            for address in [src, dst] {
                if let IpAddr::V6(address) = address {
                    out.extend_from_slice(&address.octets());
                }
            }
        }
    }
    match &packet.body {
        Body::Tcp(segment) => {
            out.extend_from_slice(&segment.src_port.to_be_bytes());
            out.extend_from_slice(&segment.dst_port.to_be_bytes());
            out.extend_from_slice(&segment.seq.0.to_be_bytes());
        }
        Body::Udp(datagram) => {
            out.extend_from_slice(&datagram.src_port.to_be_bytes());
            out.extend_from_slice(&datagram.dst_port.to_be_bytes());
            out.extend_from_slice(&(body_len(packet) as u16).to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        }
        Body::Icmp(message) => {
            out.extend_from_slice(&[message.kind, message.code, 0, 0]);
            out.extend_from_slice(&message.rest.to_be_bytes());
        }
        Body::Other { .. } => {}
    }
    out
}

/// RFC 1071.
fn checksum(header: &[u8]) -> u16 {
    let sum: u32 = header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

//! What the analysis sees of a packet: addresses, the TCP header, the option octets and the length of
//! the payload, whether it comes from a capture (possibly cut after the headers) or from the
//! simulator.
//!
//! Left out: fragments other than the first, and reassembly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mptcp_model::wire::{Body, Packet, Seq, TcpFlags};

/// One IP packet.
#[derive(Clone, Copy, Debug)]
pub struct PacketView<'a> {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// What it carries.
    pub transport: Transport<'a>,
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// A TCP segment.
    Tcp(SegmentView<'a>),
    /// An ICMP message, or an ICMPv6 error.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Anything else, or a header that was cut.
    Other,
}

/// One TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct SegmentView<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: Seq,
    /// Acknowledgment number.
    pub ack: Seq,
    /// Flags.
    pub flags: TcpFlags,
    /// Window, unscaled.
    pub window: u16,
    /// Option octets as captured.
    pub options: &'a [u8],
    /// Octets of payload on the wire.
    pub payload_len: u32,
    /// What was captured of the payload; nothing of a simulated packet that was never written.
    pub payload: &'a [u8],
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;

impl<'a> PacketView<'a> {
    /// Reads the headers of an IP packet of which `octets` were captured and which was `wire_len`
    /// octets long. `None` if the IP header is cut or impossible; a TCP header that is cut, or of a length
    /// that cannot be, makes [`Transport::Other`].
    #[must_use]
    pub fn parse(octets: &'a [u8], wire_len: u32) -> Option<Self> {
        match octets.first()? >> 4 {
            4 => Self::parse_v4(octets, wire_len),
            6 => Self::parse_v6(octets, wire_len),
            _ => None,
        }
    }

    fn parse_v4(octets: &'a [u8], wire_len: u32) -> Option<Self> {
        let header = octets.first_chunk::<20>()?;
        let header_len = usize::from(header[0] & 15) * 4;
        if header_len < 20 {
            return None;
        }
        let total = u16::from_be_bytes([header[2], header[3]]);
        // Segmentation offload leaves 0 for what does not fit 16 bits.
        let total = if total == 0 { wire_len } else { u32::from(total) };
        if total < header_len as u32 {
            return None;
        }
        let fragment_offset = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
        let body = octets.get(header_len..).unwrap_or_default();
        let body_len = total.saturating_sub(header_len as u32);
        let transport =
            if fragment_offset == 0 { Transport::parse(header[9], body, body_len) } else { Transport::Other };
        Some(Self {
            src: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
            dst: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
            transport,
        })
    }

    fn parse_v6(octets: &'a [u8], wire_len: u32) -> Option<Self> {
        let header = octets.first_chunk::<40>()?;
        let address = |at: usize| -> Option<IpAddr> {
            let octets: [u8; 16] = header[at..at + 16].try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        };
        let payload_len = u32::from(u16::from_be_bytes([header[4], header[5]]));
        let mut rest_len = if payload_len == 0 { wire_len.saturating_sub(40) } else { payload_len };
        let mut next = header[6];
        let mut rest = &octets[40..];
        loop {
            // Hop-by-hop options, routing, destination options, first fragment.
            let len = match (next, rest.first_chunk::<4>()) {
                (0 | 43 | 60, Some(extension)) => (usize::from(extension[1]) + 1) * 8,
                (44, Some(extension)) if u16::from_be_bytes([extension[2], extension[3]]) & 0xfff8 == 0 => 8,
                _ => break,
            };
            next = rest[0];
            rest = rest.get(len..).unwrap_or_default();
            rest_len = rest_len.saturating_sub(len as u32);
        }
        Some(Self { src: address(8)?, dst: address(24)?, transport: Transport::parse(next, rest, rest_len) })
    }
}

impl<'a> Transport<'a> {
    fn parse(protocol: u8, body: &'a [u8], body_len: u32) -> Self {
        match (protocol, body) {
            (TCP, _) => SegmentView::parse(body, body_len).map_or(Self::Other, Self::Tcp),
            (ICMP, &[kind, code, ..]) => Self::Icmp { kind, code },
            // Types from 128 on are queries and neighbour discovery.
            (ICMPV6, &[kind, code, ..]) if kind < 128 => Self::Icmp { kind, code },
            _ => Self::Other,
        }
    }
}

impl<'a> SegmentView<'a> {
    fn parse(octets: &'a [u8], wire_len: u32) -> Option<Self> {
        let header = octets.first_chunk::<20>()?;
        let word16 = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let word32 =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let header_len = usize::from(header[12] >> 4) * 4;
        if header_len < 20 || header_len as u32 > wire_len {
            return None;
        }
        Some(Self {
            src_port: word16(0),
            dst_port: word16(2),
            seq: Seq(word32(4)),
            ack: Seq(word32(8)),
            flags: TcpFlags(word16(12) & 0x1ff),
            window: word16(14),
            options: &octets[20..header_len.min(octets.len())],
            payload_len: wire_len - header_len as u32,
            payload: captured_payload(octets, header_len, wire_len),
        })
    }
}

/// The payload as far as it was captured, without octets behind the end of the IP packet.
fn captured_payload(octets: &[u8], header_len: usize, wire_len: u32) -> &[u8] {
    let end = octets.len().min(wire_len as usize);
    octets.get(header_len..end).unwrap_or_default()
}

impl<'a> From<&'a Packet> for PacketView<'a> {
    fn from(packet: &'a Packet) -> Self {
        let transport = match &packet.body {
            Body::Tcp(segment) => Transport::Tcp(SegmentView {
                src_port: segment.src_port,
                dst_port: segment.dst_port,
                seq: segment.seq,
                ack: segment.ack,
                flags: segment.flags,
                window: segment.window,
                options: segment.options.as_bytes(),
                payload_len: segment.payload.len(),
                payload: &[],
            }),
            Body::Icmp(message) if packet.ip.src.is_ipv4() || message.kind < 128 => {
                Transport::Icmp { kind: message.kind, code: message.code }
            }
            Body::Icmp(_) | Body::Udp(_) | Body::Other { .. } => Transport::Other,
        };
        Self { src: packet.ip.src, dst: packet.ip.dst, transport }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TCP header without options, data offset 5.
    const TCP_HEADER: [u8; 20] = [0, 80, 1, 0, 0, 0, 0, 7, 0, 0, 0, 9, 0x50, 0x10, 2, 0, 0, 0, 0, 0];

    fn v4(total: u16, fragment: u16, body: &[u8]) -> Vec<u8> {
        let mut octets = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        octets[2..4].copy_from_slice(&total.to_be_bytes());
        octets[6..8].copy_from_slice(&fragment.to_be_bytes());
        octets.extend_from_slice(body);
        octets
    }

    fn v6(payload_len: u16, next: u8, body: &[u8]) -> Vec<u8> {
        let mut octets = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        octets[4..6].copy_from_slice(&payload_len.to_be_bytes());
        octets.extend([[0xfd; 16], [0xfe; 16]].concat());
        octets.extend_from_slice(body);
        octets
    }

    fn payload_len(octets: &[u8], wire_len: u32) -> Option<u32> {
        match PacketView::parse(octets, wire_len)?.transport {
            Transport::Tcp(segment) => Some(segment.payload_len),
            _ => None,
        }
    }

    #[test]
    fn payload_length_is_that_on_the_wire_not_that_captured() {
        assert_eq!(payload_len(&v4(1500, 0, &TCP_HEADER), 1500), Some(1460));
        // Padding of short Ethernet frames does not count, offloaded segments do.
        assert_eq!(payload_len(&v4(40, 0, &TCP_HEADER), 46), Some(0));
        assert_eq!(payload_len(&v4(0, 0, &TCP_HEADER), 65_600), Some(65_560));
        assert_eq!(payload_len(&v6(1000, 6, &TCP_HEADER), 1040), Some(980));
    }

    #[test]
    fn extension_headers_are_skipped_and_later_fragments_ignored() {
        let hop_by_hop = [&[6, 0, 0, 0, 0, 0, 0, 0][..], &TCP_HEADER].concat();
        assert_eq!(payload_len(&v6(128, 0, &hop_by_hop), 168), Some(100));
        let first = [&[6, 0, 0, 1, 0, 0, 0, 0][..], &TCP_HEADER].concat();
        assert_eq!(payload_len(&v6(128, 44, &first), 168), Some(100));
        let later = [&[6, 0, 0, 9, 0, 0, 0, 0][..], &TCP_HEADER].concat();
        assert_eq!(payload_len(&v6(128, 44, &later), 168), None);
        assert_eq!(payload_len(&v4(1500, 0x00b9, &TCP_HEADER), 1500), None);
    }

    #[test]
    fn cut_headers_are_no_segment() {
        let (v4, v6) = (v4(40, 0, &TCP_HEADER), v6(20, 6, &TCP_HEADER));
        for len in 0..v4.len() {
            assert_eq!(payload_len(&v4[..len], 40), None);
        }
        for len in 0..v6.len() {
            assert_eq!(payload_len(&v6[..len], 60), None);
        }
    }
}

//! Octets from packets, with every length and checksum.
//!
//! A length that does not fit its 16-bit field is sent as 0, as Linux does for packets larger than
//! any wire takes. Reserved bits are sent as zero.

use std::net::IpAddr;

use super::checksum::{Sum, pseudo_header};
use super::field;
use super::packet::{Body, IcmpMessage, IpHeader, Packet, TcpFlags, TcpSegment, UdpDatagram, protocol};

/// The longest headers: IPv6 and TCP with 40 octets of options.
const MAX_HEADERS: usize = 40 + 60;

impl Packet {
    /// Octets on the wire from the IP header on.
    #[must_use]
    #[inline]
    pub fn wire_len(&self) -> usize {
        self.ip.wire_len() + self.body.wire_len()
    }

    /// Appends the packet, from its IP header on.
    pub fn emit(&self, out: &mut Vec<u8>) {
        self.emit_headers(out, usize::MAX);
    }

    /// Appends the headers and at most the first `max_payload` octets of the payload, as a capture
    /// with a short snap length keeps them. Lengths and checksums are those of the whole packet. The
    /// data of an ICMP message counts as payload.
    pub fn emit_headers(&self, out: &mut Vec<u8>, max_payload: usize) {
        let mut buffer = [0; MAX_HEADERS];
        let (ip, upper) = buffer.split_at_mut(self.ip.wire_len());
        emit_ip(&self.ip, self.body.protocol(self.ip.is_ipv4()), self.body.wire_len(), ip);
        let upper_len = match &self.body {
            Body::Tcp(segment) => emit_tcp(&self.ip, segment, upper),
            Body::Udp(datagram) => emit_udp(&self.ip, datagram, upper),
            Body::Icmp(message) => emit_icmp(&self.ip, message, upper),
            Body::Other { .. } => 0,
        };
        out.extend_from_slice(&buffer[..self.ip.wire_len() + upper_len]);
        match &self.body {
            Body::Tcp(TcpSegment { payload, .. })
            | Body::Udp(UdpDatagram { payload, .. })
            | Body::Other { payload, .. } => payload.write_prefix_to(out, max_payload),
            Body::Icmp(message) => {
                out.extend_from_slice(&message.data[..max_payload.min(message.data.len())]);
            }
        }
    }
}

impl IpHeader {
    /// Octets on the wire: 20 or 40.
    #[must_use]
    #[inline]
    pub const fn wire_len(&self) -> usize {
        if self.is_ipv4() { 20 } else { 40 }
    }
}

impl Body {
    /// Octets after the IP header.
    #[must_use]
    #[inline(always)]
    pub fn wire_len(&self) -> usize {
        match self {
            Self::Tcp(segment) => segment.header_len() + segment.payload.len() as usize,
            _ => self.len_without_tcp(),
        }
    }

    /// Not inlined, for it would make a table of the bodies and a jump through it for each packet.
    #[inline(never)]
    fn len_without_tcp(&self) -> usize {
        match self {
            Self::Tcp(_) => 0,
            Self::Udp(datagram) => 8 + datagram.payload.len() as usize,
            Self::Icmp(message) => 8 + message.data.len(),
            Self::Other { payload, .. } => payload.len() as usize,
        }
    }

    /// The IP protocol number, or next header.
    #[must_use]
    #[inline]
    pub const fn protocol(&self, is_ipv4: bool) -> u8 {
        match self {
            Self::Tcp(_) => protocol::TCP,
            Self::Udp(_) => protocol::UDP,
            Self::Icmp(_) if is_ipv4 => protocol::ICMP,
            Self::Icmp(_) => protocol::ICMPV6,
            Self::Other { protocol, .. } => *protocol,
        }
    }
}

impl TcpSegment {
    /// Octets of the TCP header: 20 to 60, a multiple of 4.
    #[must_use]
    #[inline]
    pub const fn header_len(&self) -> usize {
        20 + ((self.options.len() + 3) & !3)
    }
}

/// `out` is the IP header alone.
#[inline]
fn emit_ip(ip: &IpHeader, protocol: u8, body_len: usize, out: &mut [u8]) {
    let traffic_class = (ip.dscp << 2) | ip.ecn as u8;
    if let (IpAddr::V4(src), IpAddr::V4(dst)) = (ip.src, ip.dst)
        && let Some(out) = out.first_chunk_mut::<20>()
    {
        let first = 0x4500 | u16::from(traffic_class);
        let len = length_field(20 + body_len);
        let fragment = if ip.dont_fragment { 0x4000 } else { 0 };
        let hops = u16::from_be_bytes([ip.ttl, protocol]);
        let sum = u64::from(first) + u64::from(len) + u64::from(ip.id) + fragment + u64::from(hops);
        let sum = sum + u64::from(src.to_bits()) + u64::from(dst.to_bits());
        field::put16(out, 0, first);
        field::put16(out, 2, len);
        field::put16(out, 4, ip.id);
        field::put16(out, 6, fragment as u16);
        field::put16(out, 8, hops);
        field::put16(out, 10, Sum::from_partial(sum).checksum());
        field::put32(out, 12, src.to_bits());
        field::put32(out, 16, dst.to_bits());
    } else if let Some(out) = out.first_chunk_mut::<40>() {
        let first = (6 << 28) | (u32::from(traffic_class) << 20) | (ip.flow_label & 0x000f_ffff);
        field::put32(out, 0, first);
        field::put16(out, 4, length_field(body_len));
        out[6] = protocol;
        out[7] = ip.ttl;
        for (at, address) in [(8, ip.src), (24, ip.dst)] {
            let octets = match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            out[at..at + 16].copy_from_slice(&octets);
        }
    }
}

/// Writes the TCP header, with what lies after it up to 60 octets, and returns its length.
#[inline]
fn emit_tcp(ip: &IpHeader, segment: &TcpSegment, out: &mut [u8]) -> usize {
    let len = segment.header_len();
    let offset_and_flags = ((len as u16 / 4) << 12) | (segment.flags.0 & TcpFlags::MASK);
    let ports = (u32::from(segment.src_port) << 16) | u32::from(segment.dst_port);
    let (options, options_sum) = segment.options.padded();
    let payload_len = segment.payload.len() as usize;
    let sum = pseudo_header(ip.src, ip.dst, protocol::TCP, len + payload_len)
        + u64::from(ports)
        + u64::from(segment.seq.0)
        + u64::from(segment.ack.0)
        + u64::from(offset_and_flags)
        + u64::from(segment.window)
        + u64::from(segment.urgent)
        + u64::from(options_sum)
        + u64::from(segment.payload.sum());
    let out = &mut out[..60];
    field::put32(out, 0, ports);
    field::put32(out, 4, segment.seq.0);
    field::put32(out, 8, segment.ack.0);
    field::put16(out, 12, offset_and_flags);
    field::put16(out, 14, segment.window);
    field::put16(out, 16, Sum::from_partial(sum).checksum());
    field::put16(out, 18, segment.urgent);
    out[20..].copy_from_slice(&options);
    len
}

/// Writes the UDP header and returns its length.
fn emit_udp(ip: &IpHeader, datagram: &UdpDatagram, out: &mut [u8]) -> usize {
    let out = &mut out[..8];
    let payload_len = datagram.payload.len() as usize;
    field::put16(out, 0, datagram.src_port);
    field::put16(out, 2, datagram.dst_port);
    field::put16(out, 4, length_field(8 + payload_len));
    let checksum = transport_sum(ip, protocol::UDP, out, payload_len).payload(&datagram.payload).checksum();
    // RFC 768: 0 means that there is no checksum, so a checksum of 0 is sent as all ones.
    field::put16(out, 6, if checksum == 0 { 0xffff } else { checksum });
    8
}

/// Writes the first 8 octets of the message and returns 8.
fn emit_icmp(ip: &IpHeader, message: &IcmpMessage, out: &mut [u8]) -> usize {
    let out = &mut out[..8];
    out[0] = message.kind;
    out[1] = message.code;
    field::put32(out, 4, message.rest);
    let sum = if ip.is_ipv4() {
        Sum::of(out)
    } else {
        transport_sum(ip, protocol::ICMPV6, out, message.data.len())
    };
    field::put16(out, 2, sum.octets(&message.data).checksum());
    8
}

/// The sum of the pseudo-header and of a header of even length whose checksum field is 0.
#[inline]
fn transport_sum(ip: &IpHeader, protocol: u8, header: &[u8], payload_len: usize) -> Sum {
    Sum::from_partial(pseudo_header(ip.src, ip.dst, protocol, header.len() + payload_len)).octets(header)
}

#[inline]
fn length_field(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(0)
}

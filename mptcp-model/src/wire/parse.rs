//! Packets from octets.
//!
//! Left out, and reported as an error of its own: IPv4 options, fragments of either family, IPv6
//! extension headers, jumbograms. Ignored as every receiver does: reserved bits, octets after the
//! end of the IP packet (Ethernet padding) or of the UDP datagram. Checksums are not looked at by
//! [`Packet::parse`] but by [`verify_checksums`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use super::checksum::{Sum, pseudo_header};
use super::field;
use super::options::TcpOptions;
use super::packet::{Body, Ecn, IcmpMessage, IpHeader, Packet, TcpFlags, TcpSegment, UdpDatagram, protocol};
use super::payload::Payload;
use super::seq::Seq;

/// Why octets are not a packet this model knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Fewer octets than a header needs or announces.
    #[error("{layer} needs {need} octets, {have} are there")]
    Truncated {
        /// Header that is cut.
        layer: &'static str,
        /// Octets needed.
        need: usize,
        /// Octets present.
        have: usize,
    },
    /// A length field that contradicts its own header.
    #[error("{layer} says its length is {len}, which is impossible")]
    Length {
        /// Header with the field.
        layer: &'static str,
        /// The length in octets.
        len: usize,
    },
    /// Neither IPv4 nor IPv6.
    #[error("IP version {0}, expected 4 or 6")]
    IpVersion(u8),
    /// IPv4 options are not modelled.
    #[error("IPv4 header with options")]
    Ipv4Options,
    /// Fragments are not modelled.
    #[error("fragment of an IP packet")]
    Fragment,
    /// IPv6 extension headers are not modelled.
    #[error("IPv6 extension header {0}")]
    Ipv6Extension(u8),
    /// A checksum is wrong ([`verify_checksums`] only).
    #[error("wrong {0} checksum")]
    Checksum(&'static str),
}

impl Packet {
    /// Reads a packet from its IP header on. Its payload is [`Payload::Literal`], or empty.
    ///
    /// # Errors
    ///
    /// If the octets are fewer than the IP header says, or see [`WireError`].
    pub fn parse(octets: &[u8]) -> Result<Self, WireError> {
        let parts = IpParts::split(octets)?;
        if parts.missing > 0 {
            let have = octets.len();
            return Err(WireError::Truncated { layer: "IP packet", need: have + parts.missing, have });
        }
        Ok(Self { ip: parts.ip, body: parts.body()? })
    }

    /// Reads a packet of which a capture may have kept only the beginning. Also returns how many
    /// octets are missing at its end; the payload is what is there.
    ///
    /// # Errors
    ///
    /// If a header is cut; or see [`WireError`].
    pub fn parse_captured(octets: &[u8]) -> Result<(Self, usize), WireError> {
        let parts = IpParts::split(octets)?;
        Ok((Self { ip: parts.ip, body: parts.body()? }, parts.missing))
    }
}

/// Checks every checksum of a whole packet, from its IP header on. A UDP checksum of 0 over IPv4
/// means there is none.
///
/// # Errors
///
/// [`WireError::Checksum`] names the first wrong one; other errors as [`Packet::parse`].
pub fn verify_checksums(octets: &[u8]) -> Result<(), WireError> {
    let parts = IpParts::split(octets)?;
    if parts.missing > 0 {
        let have = octets.len();
        return Err(WireError::Truncated { layer: "IP packet", need: have + parts.missing, have });
    }
    parts.body()?;
    if parts.ip.is_ipv4() && Sum::of(&octets[..20]).checksum() != 0 {
        return Err(WireError::Checksum("IPv4"));
    }
    let (layer, upper, pseudo) = match (parts.protocol, parts.ip.is_ipv4()) {
        (protocol::TCP, _) => ("TCP", parts.upper, true),
        (protocol::UDP, is_ipv4) => {
            if is_ipv4 && field::be16(parts.upper, 6) == 0 {
                return Ok(());
            }
            ("UDP", &parts.upper[..usize::from(field::be16(parts.upper, 4))], true)
        }
        (protocol::ICMP, true) => ("ICMP", parts.upper, false),
        (protocol::ICMPV6, false) => ("ICMPv6", parts.upper, true),
        _ => return Ok(()),
    };
    let mut sum = Sum::new();
    if pseudo {
        let IpHeader { src, dst, .. } = parts.ip;
        sum = Sum::from_partial(pseudo_header(src, dst, parts.protocol, upper.len()));
    }
    if sum.octets(upper).checksum() != 0 { Err(WireError::Checksum(layer)) } else { Ok(()) }
}

/// A packet divided at the end of its IP header.
struct IpParts<'a> {
    ip: IpHeader,
    protocol: u8,
    /// What follows the IP header, up to the end of the packet or of what is there of it.
    upper: &'a [u8],
    /// Octets the IP header announces that are not there.
    missing: usize,
}

impl<'a> IpParts<'a> {
    #[inline]
    fn split(octets: &'a [u8]) -> Result<Self, WireError> {
        match octets.first().map(|first| first >> 4) {
            Some(4) => Self::split_v4(octets),
            Some(6) => Self::split_v6(octets),
            Some(version) => Err(WireError::IpVersion(version)),
            None => Err(WireError::Truncated { layer: "IP header", need: 1, have: 0 }),
        }
    }

    #[inline]
    fn split_v4(octets: &'a [u8]) -> Result<Self, WireError> {
        let header = head::<20>(octets, "IPv4 header")?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        if header_len < 20 {
            return Err(WireError::Length { layer: "IPv4 header", len: header_len });
        }
        if header_len > 20 {
            return Err(WireError::Ipv4Options);
        }
        let len = usize::from(field::be16(header, 2));
        if len < 20 {
            return Err(WireError::Length { layer: "IPv4 packet", len });
        }
        let fragment = field::be16(header, 6);
        if fragment & 0x3fff != 0 {
            return Err(WireError::Fragment);
        }
        let ip = IpHeader {
            src: IpAddr::V4(Ipv4Addr::from_bits(field::be32(header, 12))),
            dst: IpAddr::V4(Ipv4Addr::from_bits(field::be32(header, 16))),
            ttl: header[8],
            dscp: header[1] >> 2,
            ecn: Ecn::from_bits(header[1]),
            dont_fragment: fragment & 0x4000 != 0,
            id: field::be16(header, 4),
            flow_label: 0,
        };
        let end = len.min(octets.len());
        Ok(Self { ip, protocol: header[9], upper: &octets[20..end], missing: len - end })
    }

    #[inline]
    fn split_v6(octets: &'a [u8]) -> Result<Self, WireError> {
        let header = head::<40>(octets, "IPv6 header")?;
        let first = field::be32(header, 0);
        let protocol = header[6];
        match protocol {
            44 => return Err(WireError::Fragment),
            0 | 43 | 51 | 60 | 135 | 139 | 140 => return Err(WireError::Ipv6Extension(protocol)),
            _ => {}
        }
        let ip = IpHeader {
            src: IpAddr::V6(v6_address(header, 8)),
            dst: IpAddr::V6(v6_address(header, 24)),
            ttl: header[7],
            dscp: (first >> 22) as u8 & 0x3f,
            ecn: Ecn::from_bits((first >> 20) as u8),
            dont_fragment: true,
            id: 0,
            flow_label: first & 0x000f_ffff,
        };
        let len = 40 + usize::from(field::be16(header, 4));
        let end = len.min(octets.len());
        Ok(Self { ip, protocol, upper: &octets[40..end], missing: len - end })
    }

    #[inline]
    fn body(&self) -> Result<Body, WireError> {
        let upper = self.upper;
        match (self.protocol, self.ip.is_ipv4()) {
            (protocol::TCP, _) => parse_tcp(upper).map(Body::Tcp),
            (protocol::UDP, _) => parse_udp(upper, self.missing).map(Body::Udp),
            (protocol::ICMP, true) => parse_icmp(upper, "ICMP header"),
            (protocol::ICMPV6, false) => parse_icmp(upper, "ICMPv6 header"),
            (protocol, _) => Ok(Body::Other { protocol, payload: upper.into() }),
        }
    }
}

#[inline]
fn parse_tcp(octets: &[u8]) -> Result<TcpSegment, WireError> {
    let header = head::<20>(octets, "TCP header")?;
    let header_len = usize::from(header[12] >> 4) * 4;
    if header_len < 20 {
        return Err(WireError::Length { layer: "TCP header", len: header_len });
    }
    let truncated = WireError::Truncated { layer: "TCP header", need: header_len, have: octets.len() };
    let options = octets.get(20..header_len).and_then(TcpOptions::from_bytes).ok_or(truncated)?;
    Ok(TcpSegment {
        src_port: field::be16(header, 0),
        dst_port: field::be16(header, 2),
        seq: Seq(field::be32(header, 4)),
        ack: Seq(field::be32(header, 8)),
        flags: TcpFlags(field::be16(header, 12) & TcpFlags::MASK),
        window: field::be16(header, 14),
        urgent: field::be16(header, 18),
        options,
        payload: payload(&octets[header_len..]),
    })
}

/// `missing` octets after the end of `octets` are not there.
fn parse_udp(octets: &[u8], missing: usize) -> Result<UdpDatagram, WireError> {
    let header = head::<8>(octets, "UDP header")?;
    let len = usize::from(field::be16(header, 4));
    if len < 8 || len > octets.len() + missing {
        return Err(WireError::Length { layer: "UDP header", len });
    }
    Ok(UdpDatagram {
        src_port: field::be16(header, 0),
        dst_port: field::be16(header, 2),
        payload: payload(&octets[8..len.min(octets.len())]),
    })
}

fn parse_icmp(octets: &[u8], layer: &'static str) -> Result<Body, WireError> {
    let header = head::<8>(octets, layer)?;
    Ok(Body::Icmp(Box::new(IcmpMessage {
        kind: header[0],
        code: header[1],
        rest: field::be32(header, 4),
        data: Bytes::copy_from_slice(&octets[8..]),
    })))
}

#[inline]
fn payload(octets: &[u8]) -> Payload {
    if octets.is_empty() { Payload::Empty } else { octets.into() }
}

#[inline]
fn head<'a, const N: usize>(octets: &'a [u8], layer: &'static str) -> Result<&'a [u8; N], WireError> {
    octets.first_chunk().ok_or(WireError::Truncated { layer, need: N, have: octets.len() })
}

#[inline]
fn v6_address(header: &[u8; 40], at: usize) -> Ipv6Addr {
    let high = u128::from(field::be64(header, at));
    let low = u128::from(field::be64(header, at + 8));
    Ipv6Addr::from_bits((high << 64) | low)
}

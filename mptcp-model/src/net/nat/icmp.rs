//! The packet quoted in an ICMP error, with its addresses and checksums (RFC 5508, section 4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;

use super::Protocol;
use crate::wire::{Body, Packet, Sum};

/// Whether this is an ICMP error.
pub(super) fn is_error(packet: &Packet) -> bool {
    match &packet.body {
        Body::Icmp(message) if packet.ip.is_ipv4() => matches!(message.kind, 3 | 4 | 5 | 11 | 12),
        Body::Icmp(message) => message.kind < 128,
        _ => false,
    }
}

/// Whether this is an echo request or its answer.
pub(super) fn is_echo(packet: &Packet) -> bool {
    match &packet.body {
        Body::Icmp(message) if packet.ip.is_ipv4() => matches!(message.kind, 0 | 8),
        Body::Icmp(message) => matches!(message.kind, 128 | 129),
        _ => false,
    }
}

/// The beginning of a packet.
#[derive(Clone, Debug)]
pub(super) struct Quote {
    octets: Vec<u8>,
    /// Length of the IP header: 20 or 40.
    header: usize,
    pub(super) protocol: Protocol,
    /// Of an echo the identifier is the port of both ends' mappings: that of the source, and 0.
    pub(super) src: SocketAddr,
    pub(super) dst: SocketAddr,
}

impl Quote {
    /// Reads a quote; `None` if it is too short or of a protocol without ports.
    pub(super) fn of(data: &Bytes, is_ipv4: bool) -> Option<Self> {
        let header = if is_ipv4 { 20 } else { 40 };
        let ip = data.get(..header)?;
        let upper = data.get(header..header + 8)?;
        let number = if is_ipv4 { ip[9] } else { ip[6] };
        if is_ipv4 && ip[0] != 0x45 {
            return None;
        }
        let ports = [be16(upper, 0), be16(upper, 2)];
        let (protocol, [src_port, dst_port]) = match (number, upper[0]) {
            (6, _) => (Protocol::Tcp, ports),
            (17, _) => (Protocol::Udp, ports),
            (1, 8) | (58, 128) => (Protocol::Echo, [be16(upper, 4), 0]),
            (1, 0) | (58, 129) => (Protocol::Echo, [0, be16(upper, 4)]),
            _ => return None,
        };
        let (src, dst) = if is_ipv4 { (v4(ip, 12)?, v4(ip, 16)?) } else { (v6(ip, 8)?, v6(ip, 24)?) };
        Some(Self {
            octets: data.to_vec(),
            header,
            protocol,
            src: SocketAddr::new(src, src_port),
            dst: SocketAddr::new(dst, dst_port),
        })
    }

    /// Puts another source into the quote.
    pub(super) fn replace_src(&mut self, new: SocketAddr) {
        let at = if self.header == 20 { 12 } else { 8 };
        self.replace(at, 0, self.src, new);
        self.src = new;
    }

    /// Puts another destination into the quote.
    pub(super) fn replace_dst(&mut self, new: SocketAddr) {
        let at = if self.header == 20 { 16 } else { 24 };
        self.replace(at, 2, self.dst, new);
        self.dst = new;
    }

    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from(self.octets)
    }

    /// Replaces the address at `address_at` and the port at `port_at` of the upper header, and updates
    /// all checksums that are in the quote.
    fn replace(&mut self, address_at: usize, port_at: usize, old: SocketAddr, new: SocketAddr) {
        let (upper, is_ipv4) = (self.header, self.header == 20);
        let (old_address, new_address) = (address_octets(old.ip()), address_octets(new.ip()));
        if old_address.len() != new_address.len() {
            return;
        }
        self.octets[address_at..address_at + new_address.len()].copy_from_slice(&new_address);
        if is_ipv4 {
            self.update(10, &old_address, &new_address);
        }
        let port_at = upper + if self.protocol == Protocol::Echo { 4 } else { port_at };
        self.octets[port_at..port_at + 2].copy_from_slice(&new.port().to_be_bytes());
        let checksum_at = upper
            + match self.protocol {
                Protocol::Tcp => 16,
                Protocol::Udp => 6,
                Protocol::Echo => 2,
            };
        if self.octets.len() < checksum_at + 2 {
            return;
        }
        if self.protocol == Protocol::Udp && be16(&self.octets, checksum_at) == 0 {
            return;
        }
        // ICMP has no pseudo-header in IPv4.
        if !(is_ipv4 && self.protocol == Protocol::Echo) {
            self.update(checksum_at, &old_address, &new_address);
        }
        self.update(checksum_at, &old.port().to_be_bytes(), &new.port().to_be_bytes());
    }

    /// Updates the checksum at `at` for a change of summed octets (RFC 1624, equation 3).
    fn update(&mut self, at: usize, old: &[u8], new: &[u8]) {
        let complement = |octets: &[u8]| !Sum::of(octets).fold();
        let sum =
            Sum::new().part(!be16(&self.octets, at), 2).part(complement(old), 2).part(Sum::of(new).fold(), 2);
        let checksum = sum.checksum();
        self.octets[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    }
}

fn be16(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([octets[at], octets[at + 1]])
}

fn v4(octets: &[u8], at: usize) -> Option<IpAddr> {
    Some(IpAddr::V4(Ipv4Addr::from(*octets.get(at..)?.first_chunk::<4>()?)))
}

fn v6(octets: &[u8], at: usize) -> Option<IpAddr> {
    Some(IpAddr::V6(Ipv6Addr::from(*octets.get(at..)?.first_chunk::<16>()?)))
}

fn address_octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

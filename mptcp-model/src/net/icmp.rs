//! ICMP errors and echo answers (RFC 792, RFC 1812 section 4.3, RFC 4443) as Linux makes them.
//!
//! Left out: redirects, parameter problems and the path-MTU option `ip_no_pmtu_disc`; nothing here
//! carries IP options or extension headers that could need them.

use std::net::IpAddr;

use bytes::Bytes;

use crate::wire::{Body, Ecn, IcmpMessage, IpHeader, Packet};

/// What an ICMP error reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// The time to live ran out on the way.
    TimeExceeded,
    /// No route to the network.
    NetUnreachable,
    /// No such host on the last network.
    HostUnreachable,
    /// No listener on the port.
    PortUnreachable,
    /// Refused by configuration.
    Prohibited,
    /// Larger than the MTU (octets) of the next link.
    TooBig(u32),
}

impl IcmpError {
    /// Type, code and second word in ICMPv4.
    const fn v4(self) -> (u8, u8, u32) {
        match self {
            Self::NetUnreachable => (3, 0, 0),
            Self::HostUnreachable => (3, 1, 0),
            Self::PortUnreachable => (3, 3, 0),
            Self::TooBig(mtu) => (3, 4, mtu),
            Self::Prohibited => (3, 13, 0),
            Self::TimeExceeded => (11, 0, 0),
        }
    }

    /// Type, code and second word in ICMPv6.
    const fn v6(self) -> (u8, u8, u32) {
        match self {
            Self::NetUnreachable => (1, 0, 0),
            Self::Prohibited => (1, 1, 0),
            Self::HostUnreachable => (1, 3, 0),
            Self::PortUnreachable => (1, 4, 0),
            Self::TooBig(mtu) => (2, 0, mtu),
            Self::TimeExceeded => (3, 0, 0),
        }
    }

    /// The meaning of a received message; `None` if it is not one of these errors.
    #[must_use]
    pub const fn from_message(message: &IcmpMessage, is_ipv4: bool) -> Option<Self> {
        match (is_ipv4, message.kind, message.code) {
            (true, 3, 0) | (false, 1, 0) => Some(Self::NetUnreachable),
            (true, 3, 1) | (false, 1, 3) => Some(Self::HostUnreachable),
            (true, 3, 3) | (false, 1, 4) => Some(Self::PortUnreachable),
            (true, 3, 4) | (false, 2, 0) => Some(Self::TooBig(message.rest)),
            (true, 3, 13) | (false, 1, 1) => Some(Self::Prohibited),
            (true, 11, 0) | (false, 3, 0) => Some(Self::TimeExceeded),
            _ => None,
        }
    }
}

/// Octets of the offending packet in an ICMPv4 error: "as much of the original datagram as possible
/// without the length of the ICMP datagram exceeding 576 bytes" (RFC 1812 section 4.3.2.3).
const QUOTE_V4: usize = 576 - 20 - 8;
/// The same for ICMPv6: "without the error message packet exceeding the minimum IPv6 MTU".
const QUOTE_V6: usize = 1280 - 40 - 8;

/// Precedence "internetwork control", which Linux gives to ICMPv4 errors.
const DSCP_CONTROL: u8 = 0x30;

/// Hop limit of ICMP messages.
const TTL: u8 = 64;

/// Whether an error about `packet` may be sent (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)):
/// never about an ICMP error, nor to or about anything but one host.
#[must_use]
pub fn may_report(packet: &Packet) -> bool {
    let answers_one_host = match packet.ip.src {
        IpAddr::V4(src) => {
            !(src.is_unspecified() || src.is_multicast() || src.is_broadcast() || src.is_loopback())
        }
        IpAddr::V6(src) => !(src.is_unspecified() || src.is_multicast()),
    };
    let to_one_host = match packet.ip.dst {
        IpAddr::V4(dst) => !(dst.is_multicast() || dst.is_broadcast()),
        IpAddr::V6(dst) => !dst.is_multicast(),
    };
    answers_one_host && to_one_host && !is_error(packet)
}

fn is_error(packet: &Packet) -> bool {
    match &packet.body {
        Body::Icmp(message) if packet.ip.src.is_ipv4() => matches!(message.kind, 3 | 4 | 5 | 11 | 12),
        Body::Icmp(message) => message.kind < 128,
        _ => false,
    }
}

/// The error about `packet`, sent from `source`; `None` if none may be sent. `id` is the IPv4
/// identification of the new packet. `source` must be of the family of `packet`.
#[must_use]
pub fn error(packet: &Packet, kind: IcmpError, source: IpAddr, id: u16) -> Option<Packet> {
    if !may_report(packet) || source.is_ipv4() != packet.ip.src.is_ipv4() {
        return None;
    }
    let is_ipv4 = source.is_ipv4();
    let (kind, code, rest) = if is_ipv4 { kind.v4() } else { kind.v6() };
    let mut quote = Vec::with_capacity(packet.wire_len());
    packet.emit(&mut quote);
    quote.truncate(if is_ipv4 { QUOTE_V4 } else { QUOTE_V6 });
    let dscp = if is_ipv4 { DSCP_CONTROL | (packet.ip.dscp & 0x07) } else { 0 };
    Some(Packet {
        ip: header(source, packet.ip.src, dscp, id),
        body: Body::Icmp(Box::new(IcmpMessage { kind, code, rest, data: Bytes::from(quote) })),
    })
}

/// The answer to an echo request; `None` if `packet` is none, or was not sent to one host.
#[must_use]
pub fn echo_reply(packet: &Packet, id: u16) -> Option<Packet> {
    let Body::Icmp(message) = &packet.body else { return None };
    let (request, reply) = if packet.ip.src.is_ipv4() { (8, 0) } else { (128, 129) };
    if message.kind != request || message.code != 0 || !may_report(packet) {
        return None;
    }
    Some(Packet {
        ip: header(packet.ip.dst, packet.ip.src, packet.ip.dscp, id),
        body: Body::Icmp(Box::new(IcmpMessage {
            kind: reply,
            code: 0,
            rest: message.rest,
            data: message.data.clone(),
        })),
    })
}

fn header(src: IpAddr, dst: IpAddr, dscp: u8, id: u16) -> IpHeader {
    let is_ipv4 = src.is_ipv4();
    IpHeader {
        src,
        dst,
        ttl: TTL,
        dscp,
        ecn: Ecn::NotEct,
        dont_fragment: !is_ipv4,
        id: if is_ipv4 { id } else { 0 },
        flow_label: 0,
    }
}

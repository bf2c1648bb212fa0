//! The packet: an IP header and what it carries.

use std::net::{IpAddr, Ipv4Addr};

use super::options::TcpOptions;
use super::payload::Payload;
use super::seq::Seq;

/// One IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The IP header.
    pub ip: IpHeader,
    /// What it carries.
    pub body: Body,
}

impl Packet {
    /// An empty TCP segment from nowhere to nowhere, to be written over.
    #[must_use]
    pub const fn blank() -> Self {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self { ip: IpHeader::new(nowhere, nowhere), body: Body::Tcp(TcpSegment::BLANK) }
    }

    /// Its TCP segment; an empty one takes the place of another body.
    #[inline]
    pub(crate) fn segment_mut(&mut self) -> &mut TcpSegment {
        if !matches!(self.body, Body::Tcp(_)) {
            self.body = Body::Tcp(TcpSegment::BLANK);
        }
        match &mut self.body {
            Body::Tcp(segment) => segment,
            _ => unreachable!("the body was made a segment"),
        }
    }
}

/// ECN field of the IP header (RFC 3168, section 5), with its wire values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Ecn {
    /// Not ECN-capable.
    #[default]
    NotEct = 0,
    /// ECN-capable, codepoint 1.
    Ect1 = 1,
    /// ECN-capable, codepoint 0.
    Ect0 = 2,
    /// Congestion experienced.
    Ce = 3,
}

impl Ecn {
    /// The field of the two low bits.
    #[must_use]
    #[inline]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }
}

/// The fields of an IPv4 or IPv6 header that carry information; lengths, checksums and the protocol
/// number follow from the body. Both addresses are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpHeader {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Differentiated services code point, 6 bits.
    pub dscp: u8,
    /// ECN field.
    pub ecn: Ecn,
    /// IPv4 don't-fragment flag; true in IPv6.
    pub dont_fragment: bool,
    /// IPv4 identification; 0 in IPv6.
    pub id: u16,
    /// IPv6 flow label, 20 bits; 0 in IPv4.
    pub flow_label: u32,
}

impl IpHeader {
    /// A header between these addresses as Linux sends it: TTL 64, don't fragment, all else 0.
    #[must_use]
    pub const fn new(src: IpAddr, dst: IpAddr) -> Self {
        Self { src, dst, ttl: 64, dscp: 0, ecn: Ecn::NotEct, dont_fragment: true, id: 0, flow_label: 0 }
    }

    /// Whether this is an IPv4 header.
    #[must_use]
    #[inline]
    pub const fn is_ipv4(&self) -> bool {
        self.src.is_ipv4()
    }
}

/// IP protocol numbers.
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ICMPV6: u8 = 58;
}

/// What an IP packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A TCP segment.
    Tcp(TcpSegment),
    /// A UDP datagram.
    Udp(UdpDatagram),
    /// An ICMPv4 or ICMPv6 message (by the family of the header).
    Icmp(Box<IcmpMessage>),
    /// Any other protocol.
    Other {
        /// IP protocol number.
        protocol: u8,
        /// Octets after the IP header.
        payload: Payload,
    },
}

/// TCP flags in wire order: the low 9 bits of the 13th and 14th octet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u16);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x001);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x002);
    /// Reset the connection.
    pub const RST: Self = Self(0x004);
    /// Push.
    pub const PSH: Self = Self(0x008);
    /// The acknowledgment field is significant.
    pub const ACK: Self = Self(0x010);
    /// The urgent field is significant.
    pub const URG: Self = Self(0x020);
    /// ECN echo.
    pub const ECE: Self = Self(0x040);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x080);
    /// Accurate ECN (formerly nonce sum).
    pub const AE: Self = Self(0x100);

    /// The bits that are flags; those above are reserved or the data offset.
    pub const MASK: u16 = 0x1ff;

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The union.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The flags without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether this is a SYN.
    #[must_use]
    pub const fn syn(self) -> bool {
        self.contains(Self::SYN)
    }

    /// Whether this is an ACK.
    #[must_use]
    pub const fn ack(self) -> bool {
        self.contains(Self::ACK)
    }

    /// Whether this is a FIN.
    #[must_use]
    pub const fn fin(self) -> bool {
        self.contains(Self::FIN)
    }

    /// Whether this is a RST.
    #[must_use]
    pub const fn rst(self) -> bool {
        self.contains(Self::RST)
    }

    /// Whether PSH is set.
    #[must_use]
    pub const fn psh(self) -> bool {
        self.contains(Self::PSH)
    }
}

/// A TCP segment. The data offset, the checksum and the padding up to the data offset follow from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSegment {
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
    /// Window as on the wire, unscaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options in wire order.
    pub options: TcpOptions,
    /// Data.
    pub payload: Payload,
}

impl TcpSegment {
    /// All fields zero, no options, no data.
    pub(crate) const BLANK: Self = Self {
        src_port: 0,
        dst_port: 0,
        seq: Seq(0),
        ack: Seq(0),
        flags: TcpFlags(0),
        window: 0,
        urgent: 0,
        options: TcpOptions::EMPTY,
        payload: Payload::Empty,
    };
}

/// A UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpDatagram {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Data.
    pub payload: Payload,
}

/// An ICMP message: errors quote the beginning of the packet that caused them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpMessage {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The second 32-bit word: unused, or the next-hop MTU, or identifier and sequence number.
    pub rest: u32,
    /// For errors the beginning of the offending packet, else the data.
    pub data: bytes::Bytes,
}

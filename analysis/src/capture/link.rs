//! Link types: where the IP packet begins in a captured frame.
//!
//! Covers Ethernet (with VLAN tags), raw IP, Linux cooked captures v1 and v2, PPP in its usual framings,
//! and the BSD loopback forms. Other link types and other network protocols give `None`; MPLS is not
//! followed.

use super::Direction;

/// A `LINKTYPE_` number of the tcpdump registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: four octets of address family in the byte order of the capturing machine.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP, with or without address and control octets.
    pub const PPP: Self = Self(9);
    /// Raw IP as some BSDs number it.
    pub const RAW_BSD: Self = Self(12);
    /// Raw IP as OpenBSD numbers it.
    pub const RAW_OPENBSD: Self = Self(14);
    /// PPP with address and control octets, as in HDLC (RFC 1662).
    pub const PPP_HDLC: Self = Self(50);
    /// PPP over Ethernet, from the PPPoE header on (RFC 2516).
    pub const PPP_ETHER: Self = Self(51);
    /// Raw IP.
    pub const RAW: Self = Self(101);
    /// OpenBSD loopback: as [`NULL`](Self::NULL), in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture, version 1 (`tcpdump -i any`).
    pub const LINUX_SLL: Self = Self(113);
    /// Linux PPP: the address octet is 0 for what came in and 1 for what went out, then comes the control octet.
    pub const PPP_PPPD: Self = Self(166);
    /// PPP behind an octet that is 0 for what came in.
    pub const PPP_WITH_DIRECTION: Self = Self(204);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);

    /// Whether [`ip_offset`](Self::ip_offset) can find packets in frames of this type.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(self.0, 0 | 1 | 9 | 12 | 14 | 50 | 51 | 101 | 108 | 113 | 166 | 204 | 228 | 229 | 276)
    }

    /// Where the IP packet begins in `frame`, and the direction if the link header tells it. `None`
    /// if it is no IP packet, is cut before the IP header, or the link type is unknown.
    #[must_use]
    pub fn ip_offset(self, frame: &[u8]) -> Option<(usize, Option<Direction>)> {
        let (offset, direction) = match self {
            Self::ETHERNET => (ethernet_header(frame)?, None),
            Self::RAW | Self::RAW_BSD | Self::RAW_OPENBSD | Self::IPV4 | Self::IPV6 => (0, None),
            Self::NULL | Self::LOOP => (4, None),
            Self::PPP | Self::PPP_HDLC => (ppp(frame, 0)?, None),
            Self::PPP_ETHER => (ppp_protocol(frame, PPPOE_HEADER)?, None),
            Self::PPP_WITH_DIRECTION => (ppp(frame, 1)?, Some(ppp_direction(frame)?)),
            Self::PPP_PPPD => {
                let control = usize::from(frame.get(1) == Some(&0x03));
                (ppp_protocol(frame, 1 + control)?, Some(ppp_direction(frame)?))
            }
            Self::LINUX_SLL => {
                let protocol = be16(frame, 14)?;
                (vlan_end(frame, 16, protocol)?, Some(sll_direction(be16(frame, 0)?)))
            }
            Self::LINUX_SLL2 => {
                let protocol = be16(frame, 0)?;
                (vlan_end(frame, 20, protocol)?, Some(sll_direction(u16::from(*frame.get(10)?))))
            }
            _ => return None,
        };
        let version = frame.get(offset)? >> 4;
        (version == 4 || version == 6).then_some((offset, direction))
    }
}

/// `PACKET_OUTGOING` of `if_packet.h`; everything else came in.
fn sll_direction(packet_type: u16) -> Direction {
    if packet_type == 4 { Direction::Outbound } else { Direction::Inbound }
}

fn ethernet_header(frame: &[u8]) -> Option<usize> {
    vlan_end(frame, 14, be16(frame, 12)?)
}

const PPPOE_HEADER: usize = 6;

fn ppp_direction(frame: &[u8]) -> Option<Direction> {
    Some(if *frame.first()? == 0 { Direction::Inbound } else { Direction::Outbound })
}

/// The end of a PPP header at `offset`; address and control (`ff 03`) may be compressed away.
fn ppp(frame: &[u8], offset: usize) -> Option<usize> {
    let offset = if frame.get(offset..)?.starts_with(&[0xff, 0x03]) { offset + 2 } else { offset };
    ppp_protocol(frame, offset)
}

/// The end of the protocol field at `offset`, which takes one octet if its lowest bit is set (RFC 1661).
fn ppp_protocol(frame: &[u8], offset: usize) -> Option<usize> {
    match *frame.get(offset)? {
        0x21 | 0x57 => Some(offset + 1),
        _ => matches!(be16(frame, offset)?, 0x0021 | 0x0057).then_some(offset + 2),
    }
}

/// Follows VLAN tags and PPPoE from `offset`, the end of a header whose type field said `protocol`.
fn vlan_end(frame: &[u8], mut offset: usize, mut protocol: u16) -> Option<usize> {
    while matches!(protocol, 0x8100 | 0x88a8 | 0x9100) {
        protocol = be16(frame, offset + 2)?;
        offset += 4;
    }
    if protocol == 0x8864 {
        return ppp_protocol(frame, offset + PPPOE_HEADER);
    }
    matches!(protocol, 0x0800 | 0x86dd).then_some(offset)
}

fn be16(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(header: &[u8], first: u8) -> Vec<u8> {
        let mut frame = header.to_vec();
        frame.push(first);
        frame.resize(header.len() + 20, 0);
        frame
    }

    #[test]
    fn every_link_header_leads_to_the_ip_packet() {
        let mac = [0u8; 12];
        let ethernet = frame(&[&mac[..], &[0x08, 0x00]].concat(), 0x45);
        let tagged = frame(&[&mac[..], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x86, 0xdd]].concat(), 0x60);
        let cooked = frame(&[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x08, 0x00], 0x45);
        let cooked2 = frame(&[0x08, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], 0x45);
        let loopback = frame(&[2, 0, 0, 0], 0x45);
        for (link, frame, offset, direction) in [
            (LinkType::ETHERNET, ethernet, 14, None),
            (LinkType::ETHERNET, tagged, 22, None),
            (LinkType::LINUX_SLL, cooked, 16, Some(Direction::Outbound)),
            (LinkType::LINUX_SLL2, cooked2, 20, Some(Direction::Inbound)),
            (LinkType::NULL, loopback, 4, None),
            (LinkType::RAW, frame(&[], 0x60), 0, None),
            (LinkType::PPP, frame(&[0xff, 0x03, 0x00, 0x21], 0x45), 4, None),
            (LinkType::PPP, frame(&[0x57], 0x60), 1, None),
            (LinkType::PPP_HDLC, frame(&[0xff, 0x03, 0x00, 0x57], 0x60), 4, None),
            (LinkType::PPP_ETHER, frame(&[0x11, 0, 0, 1, 0, 22, 0x00, 0x21], 0x45), 8, None),
            (
                LinkType::PPP_WITH_DIRECTION,
                frame(&[1, 0xff, 0x03, 0x00, 0x21], 0x45),
                5,
                Some(Direction::Outbound),
            ),
            (LinkType::PPP_PPPD, frame(&[0, 0x03, 0x00, 0x21], 0x45), 4, Some(Direction::Inbound)),
            (
                LinkType::ETHERNET,
                frame(&[&mac[..], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 22, 0x00, 0x21]].concat(), 0x45),
                22,
                None,
            ),
        ] {
            assert_eq!(link.ip_offset(&frame), Some((offset, direction)), "{link:?}");
            for len in 0..=offset {
                assert_eq!(link.ip_offset(&frame[..len]), None, "{link:?} cut to {len}");
            }
        }
    }

    #[test]
    fn frames_that_are_not_ip_are_left_alone() {
        let arp = frame(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x06], 0);
        assert_eq!(LinkType::ETHERNET.ip_offset(&arp), None);
        assert_eq!(LinkType(147).ip_offset(&arp), None);
    }
}

//! What the engine needs to know of a packet.

use std::net::IpAddr;

use super::packet::{Body, Ecn, IpHeader, Packet};

/// Mixes a word into a hash (the finaliser of SplitMix64 over the sum).
const fn mix(hash: u64, word: u64) -> u64 {
    let mut z = (hash ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^= z >> 29;
    z.wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// A word with no structure: the fractional part of the square root of 11.
const KEY: u64 = 0x510e_527f_ade6_82d1;

/// Takes two words into a hash: the halves of the product of keyed words, one over the other, depend on all.
#[inline(always)]
const fn fold(hash: u64, a: u64, b: u64) -> u64 {
    let product = (a ^ hash) as u128 * (b ^ KEY) as u128;
    product as u64 ^ (product >> 64) as u64
}

/// Both addresses of a packet in a word.
#[inline(always)]
fn both_addresses(ip: &IpHeader) -> u64 {
    if let (IpAddr::V4(src), IpAddr::V4(dst)) = (&ip.src, &ip.dst) {
        return u64::from(u32::from_le_bytes(src.octets())) << 32
            | u64::from(u32::from_le_bytes(dst.octets()));
    }
    both_long_addresses(ip)
}

#[inline(never)]
fn both_long_addresses(ip: &IpHeader) -> u64 {
    let (src, dst) = (address_words(ip.src), address_words(ip.dst));
    fold(fold(0, src.0, src.1), dst.0, dst.1)
}

fn address_words(address: IpAddr) -> (u64, u64) {
    match address {
        IpAddr::V4(address) => (0, u64::from(u32::from(address))),
        IpAddr::V6(address) => {
            let bits = u128::from(address);
            ((bits >> 64) as u64, bits as u64)
        }
    }
}

impl Packet {
    #[inline(never)]
    fn digest_without_tcp(&self) -> u64 {
        let header = u64::from(self.ip.ttl) << 24 | (self.ip.ecn as u64) << 16 | u64::from(self.ip.id);
        let (what, rest) = match &self.body {
            Body::Tcp(_) => (6, 0),
            Body::Udp(datagram) => (17, datagram.payload.len()),
            Body::Icmp(message) => {
                (1 | u64::from(message.kind) << 16 | u64::from(message.code) << 8, message.rest)
            }
            Body::Other { protocol, payload } => (u64::from(*protocol), payload.len()),
        };
        let hash = fold(0, both_addresses(&self.ip), header);
        fold(hash, what, u64::from(rest))
    }
}

impl sim_core::Packet for Packet {
    #[inline(always)]
    fn wire_len(&self) -> u32 {
        self.wire_len() as u32
    }

    /// Hash of the 5-tuple.
    fn flow_hash(&self) -> u64 {
        let (src, dst) = (address_words(self.ip.src), address_words(self.ip.dst));
        let (protocol, ports) = match &self.body {
            Body::Tcp(segment) => (6, u32::from(segment.src_port) << 16 | u32::from(segment.dst_port)),
            Body::Udp(datagram) => (17, u32::from(datagram.src_port) << 16 | u32::from(datagram.dst_port)),
            Body::Icmp(_) => (1, 0),
            Body::Other { protocol, .. } => (u64::from(*protocol), 0),
        };
        let hash = mix(mix(src.0, src.1), dst.0);
        mix(mix(hash, dst.1), protocol << 32 | u64::from(ports))
    }

    fn ecn_capable(&self) -> bool {
        self.ip.ecn != Ecn::NotEct
    }

    fn mark_ce(&mut self) {
        self.ip.ecn = Ecn::Ce;
    }

    /// Covers what a capture would show of the headers, and the description of the payload.
    #[inline(always)]
    fn digest(&self) -> u64 {
        let Body::Tcp(segment) = &self.body else { return self.digest_without_tcp() };
        let addresses = both_addresses(&self.ip);
        // In the order in which the fields lie, which makes one load of each word.
        let header = u64::from(self.ip.flow_label)
            | u64::from(self.ip.id) << 32
            | u64::from(self.ip.ttl) << 48
            | u64::from(self.ip.dscp) << 56;
        let numbers = u64::from(segment.seq.0) | u64::from(segment.ack.0) << 32;
        let ports = u64::from(segment.src_port)
            | u64::from(segment.dst_port) << 16
            | u64::from(segment.flags.0) << 32
            | u64::from(segment.window) << 48;
        let rest = u64::from(segment.payload.len())
            | (self.ip.ecn as u64) << 32
            | (segment.options.len() as u64) << 40;
        let [a, b, c, d, e] = segment.options.words();
        let hash = fold(0, addresses, header);
        let hash = fold(hash, numbers, ports);
        let hash = fold(hash, a, b);
        let hash = fold(hash, c, d);
        fold(hash, e, rest)
    }

    /// The reference emulator draws for IPv4 frames only.
    fn shows_loss_draw(&self) -> bool {
        self.ip.src.is_ipv4()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sim_core::Packet as _;

    use super::super::packet::{IcmpMessage, TcpFlags, TcpSegment, UdpDatagram};
    use super::super::{Payload, Seq, TcpOptions};
    use super::*;

    fn segment(packet: &mut Packet) -> &mut TcpSegment {
        packet.segment_mut()
    }

    /// Changes of one field each, by a number above 0.
    const CHANGES: [fn(&mut Packet, u8); 12] = [
        |packet, by| packet.ip.ttl ^= by,
        |packet, by| packet.ip.id ^= u16::from(by) << 5,
        |packet, _| packet.ip.ecn = if packet.ip.ecn == Ecn::Ce { Ecn::NotEct } else { Ecn::Ce },
        |packet, by| segment(packet).src_port ^= u16::from(by),
        |packet, by| segment(packet).dst_port ^= u16::from(by) << 8,
        |packet, by| segment(packet).seq.0 ^= u32::from(by) << 24,
        |packet, by| segment(packet).ack.0 ^= u32::from(by) << 24,
        |packet, by| segment(packet).flags.0 ^= u16::from(by),
        |packet, by| segment(packet).window ^= u16::from(by) << 8,
        |packet, by| segment(packet).payload = Payload::pattern(1, 9, 1400 + u32::from(by)),
        |packet, by| {
            let options = segment(packet).options.as_bytes_mut();
            let at = usize::from(by) % options.len();
            options[at] ^= by;
        },
        |packet, _| {
            let options = &mut segment(packet).options;
            *options = TcpOptions::from_bytes(&options.as_bytes()[..options.len() - 1]).unwrap();
        },
    ];

    proptest! {
        #[test]
        fn the_digest_depends_on_each_field(
            addresses in any::<[u32; 2]>(),
            numbers in any::<[u32; 2]>(),
            ports in any::<[u16; 4]>(),
            options in prop::collection::vec(any::<u8>(), 1..=40),
            (first, second) in (0..CHANGES.len(), 0..CHANGES.len()),
            by in 1_u8..,
        ) {
            let [src, dst] = addresses.map(|address| IpAddr::V4(address.into()));
            let mut packet = Packet { ip: IpHeader::new(src, dst), ..Packet::blank() };
            let [src_port, dst_port, flags, window] = ports;
            *packet.segment_mut() = TcpSegment {
                src_port,
                dst_port,
                seq: Seq(numbers[0]),
                ack: Seq(numbers[1]),
                flags: TcpFlags(flags),
                window,
                options: TcpOptions::from_bytes(&options).unwrap(),
                payload: Payload::pattern(1, 9, 1400),
                ..TcpSegment::BLANK
            };
            let mut changed = packet.clone();
            CHANGES[first](&mut changed, by);
            prop_assert_ne!(changed.digest(), packet.digest());
            // Two changes differ from one, and exchanged addresses from both.
            if first != second {
                let once = changed.digest();
                CHANGES[second](&mut changed, by);
                prop_assert_ne!(changed.digest(), once);
            }
            if src != dst {
                let back = Packet { ip: IpHeader::new(dst, src), ..packet.clone() };
                prop_assert_ne!(back.digest(), packet.digest());
            }
        }
    }

    #[test]
    fn the_digest_depends_on_what_is_carried() {
        let carried = [
            Body::Tcp(TcpSegment::BLANK),
            Body::Udp(UdpDatagram { src_port: 1, dst_port: 2, payload: Payload::Empty }),
            Body::Udp(UdpDatagram { src_port: 1, dst_port: 2, payload: Payload::pattern(0, 0, 1) }),
            Body::Icmp(Box::new(IcmpMessage { kind: 3, code: 4, rest: 1280, data: Default::default() })),
            Body::Icmp(Box::new(IcmpMessage { kind: 3, code: 4, rest: 1281, data: Default::default() })),
            Body::Icmp(Box::new(IcmpMessage { kind: 3, code: 1, rest: 1280, data: Default::default() })),
            Body::Other { protocol: 47, payload: Payload::Empty },
        ];
        let mut digests = Vec::new();
        for addresses in
            [["10.0.0.1", "10.0.0.2"], ["2001:db8::1", "2001:db8::2"], ["2001:db8:1::1", "2001:db8::2"]]
        {
            let [src, dst] = addresses.map(|address| address.parse().unwrap());
            let ip = IpHeader::new(src, dst);
            digests.extend(carried.iter().map(|body| Packet { ip, body: body.clone() }.digest()));
        }
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 3 * carried.len());
    }
}

//! What the engine needs to know of a packet.

use std::net::IpAddr;

use super::packet::{Body, Ecn, Packet};

/// Mixes a word into a hash (the finaliser of SplitMix64 over the sum).
const fn mix(hash: u64, word: u64) -> u64 {
    let mut z = (hash ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^= z >> 29;
    z.wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// Words with no structure: the fractional parts of square roots of primes.
const KEYS: [u64; 10] = [
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
    0xcbbb_9d5d_c105_9ed8,
    0x629a_292a_367c_d507,
    0x9159_015a_3070_dd17,
    0x152f_ecd8_f70e_5939,
    0x6733_2667_ffc0_0b31,
    0x8eb4_4a87_6858_1511,
];

/// The two halves of the product of two keyed words, one over the other: each depends on both words.
#[inline(always)]
const fn fold(pair: usize, a: u64, b: u64) -> u64 {
    let product = (a ^ KEYS[2 * pair]) as u128 * (b ^ KEYS[2 * pair + 1]) as u128;
    product as u64 ^ (product >> 64) as u64
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
        let addresses = address_words(self.ip.src).1 << 32 ^ address_words(self.ip.dst).1;
        let header = u64::from(self.ip.ttl) << 48 | (self.ip.ecn as u64) << 40 | u64::from(self.ip.id);
        match &self.body {
            Body::Tcp(segment) => {
                let ports = u64::from(segment.src_port) << 16 | u64::from(segment.dst_port);
                let numbers = u64::from(segment.seq.0) << 32 | u64::from(segment.ack.0);
                let rest = u64::from(segment.flags.0) << 32
                    | u64::from(segment.window) << 16
                    | u64::from(segment.payload.len())
                    | (segment.options.len() as u64) << 48;
                // Products that do not wait for each other; the digest of the run mixes the sum.
                let [a, b, c, d, e] = segment.options.words();
                fold(0, addresses, header ^ ports << 24)
                    .wrapping_add(fold(1, numbers, rest))
                    .wrapping_add(fold(2, a, b))
                    .wrapping_add(fold(3, c, d))
                    .wrapping_add(fold(4, e, 0))
            }
            Body::Udp(datagram) => mix(addresses ^ header, u64::from(datagram.payload.len()) | 17 << 32),
            Body::Icmp(message) => {
                let what = u64::from(message.kind) << 40 | u64::from(message.code) << 32;
                mix(mix(addresses, header), what | u64::from(message.rest))
            }
            Body::Other { protocol, payload } => {
                mix(mix(addresses, header), u64::from(*protocol) << 32 | u64::from(payload.len()))
            }
        }
    }

    /// The reference emulator draws for IPv4 frames only.
    fn shows_loss_draw(&self) -> bool {
        self.ip.src.is_ipv4()
    }
}

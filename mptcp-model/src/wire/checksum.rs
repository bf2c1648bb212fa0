//! The ones'-complement checksum of IP, TCP, UDP, ICMP and of MPTCP data (RFC 1071).
//!
//! A sum is 0 only if all octets summed are 0; any other multiple of 65535 folds to `0xffff`. So
//! sums of parts may be added in any order and give the sum of the whole.

use std::net::IpAddr;

use super::payload::Payload;

/// A running sum. Parts are added in order; a part of odd length shifts the following ones by one
/// octet, as if all octets stood in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Sum of 16-bit words, any number of carries above.
    partial: u64,
    /// Whether an odd number of octets was added.
    odd: bool,
}

impl Sum {
    /// The sum of nothing.
    #[must_use]
    #[inline]
    pub const fn new() -> Self {
        Self { partial: 0, odd: false }
    }

    /// The sum of `octets`.
    #[must_use]
    #[inline]
    pub fn of(octets: &[u8]) -> Self {
        let mut partial = 0;
        let mut words = octets.chunks_exact(4);
        for word in words.by_ref() {
            partial += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
        }
        let mut last = [0; 4];
        let rest = words.remainder();
        last[..rest.len()].copy_from_slice(rest);
        partial += u64::from(u32::from_be_bytes(last));
        Self { partial, odd: !octets.len().is_multiple_of(2) }
    }

    /// A sum of whole words that may have carries above the 16th bit.
    #[inline]
    pub(crate) const fn from_partial(partial: u64) -> Self {
        Self { partial, odd: false }
    }

    /// Adds `octets` after those before.
    #[must_use]
    #[inline]
    pub fn octets(self, octets: &[u8]) -> Self {
        self.part(Self::of(octets).fold(), octets.len())
    }

    /// Adds the octets of a payload after those before.
    #[must_use]
    #[inline]
    pub fn payload(self, payload: &Payload) -> Self {
        self.part(payload.sum(), payload.len() as usize)
    }

    /// Adds a part of `len` octets whose own sum is `sum`.
    #[must_use]
    #[inline]
    pub const fn part(self, sum: u16, len: usize) -> Self {
        let sum = if self.odd { sum.swap_bytes() } else { sum };
        Self { partial: self.partial + sum as u64, odd: self.odd != (len % 2 == 1) }
    }

    /// The sum folded to 16 bits, not complemented.
    #[must_use]
    #[inline]
    pub const fn fold(self) -> u16 {
        let sum = (self.partial >> 32) + (self.partial & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        sum as u16
    }

    /// The checksum: the complement of the folded sum.
    #[must_use]
    #[inline]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }
}

/// The sum of the pseudo-header of TCP, UDP and ICMPv6 (RFC 9293, section 3.1; RFC 8200, section
/// 8.1) for `len` octets of `protocol`.
#[inline]
pub(crate) fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> u64 {
    address_sum(src) + address_sum(dst) + u64::from(protocol) + len as u64
}

#[inline]
fn address_sum(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            let (high, low) = ((bits >> 64) as u64, bits as u64);
            (high >> 32) + (high & 0xffff_ffff) + (low >> 32) + (low & 0xffff_ffff)
        }
    }
}

//! Payloads as descriptions. Bulk data is a pattern: a stream seed, an offset and a length, whose
//! octets are computed only when a checksum, a capture or a rewriting box asks for them. Literal
//! octets are carried where an application or a box gave them.
//!
//! The pattern of seed 0 is all zeros. That of any other seed is a function of seed and stream
//! offset: octets `8 i` to `8 i + 7` are the big-endian octets of the number `i` of a SplitMix64
//! sequence (Steele, Lea and Flood, 2014) started from the seed. Any part of a stream of any length
//! can therefore be produced or summed without the part before it.

use bytes::Bytes;

use super::checksum::Sum;

/// What a segment carries.
///
/// Equality is that of the description; [`Payload::same_octets`] compares what is described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Payload {
    /// Nothing.
    #[default]
    Empty,
    /// `len` octets of the pattern `seed`, from stream offset `offset`. Seed 0 is all zeros.
    Pattern {
        /// Which pattern.
        seed: u32,
        /// Number of octets.
        len: u32,
        /// Offset of the first octet in the pattern.
        offset: u64,
    },
    /// These octets.
    Literal(Box<Bytes>),
}

impl Payload {
    /// Number of octets.
    #[must_use]
    #[inline]
    pub fn len(&self) -> u32 {
        match self {
            Self::Empty => 0,
            Self::Pattern { len, .. } => *len,
            Self::Literal(bytes) => bytes.len() as u32,
        }
    }

    /// Whether there are no octets.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `len` octets of the pattern `seed` from `offset`; empty if `len` is 0.
    #[must_use]
    #[inline]
    pub const fn pattern(seed: u32, offset: u64, len: u32) -> Self {
        if len == 0 { Self::Empty } else { Self::Pattern { seed, len, offset } }
    }

    /// `len` octets from the `offset`-th on, as far as there are any. Literal octets are shared, not
    /// copied.
    #[must_use]
    pub fn slice(&self, offset: u32, len: u32) -> Self {
        let offset = offset.min(self.len());
        let len = len.min(self.len() - offset);
        match self {
            _ if len == 0 => Self::Empty,
            Self::Empty => Self::Empty,
            Self::Pattern { seed, offset: start, .. } => {
                Self::Pattern { seed: *seed, len, offset: start.wrapping_add(u64::from(offset)) }
            }
            Self::Literal(bytes) => {
                Self::Literal(Box::new(bytes.slice(offset as usize..offset as usize + len as usize)))
            }
        }
    }

    /// The octet number `at`, if there is one.
    #[must_use]
    pub fn byte_at(&self, at: u32) -> Option<u8> {
        match self {
            Self::Empty => None,
            Self::Pattern { seed, len, offset } => {
                (at < *len).then(|| pattern_octet(*seed, offset.wrapping_add(u64::from(at))))
            }
            Self::Literal(bytes) => bytes.get(at as usize).copied(),
        }
    }

    /// Fills `out` with the octets from number `from` on and returns how many there were; the rest of
    /// `out` stays as it was.
    pub fn fill(&self, out: &mut [u8], from: u32) -> usize {
        let available = self.len().saturating_sub(from) as usize;
        let count = available.min(out.len());
        let out = &mut out[..count];
        match self {
            Self::Empty => {}
            Self::Pattern { seed: 0, .. } => out.fill(0),
            Self::Pattern { seed, offset, .. } => {
                fill_pattern(*seed, offset.wrapping_add(u64::from(from)), out);
            }
            Self::Literal(bytes) if count > 0 => {
                out.copy_from_slice(&bytes[from as usize..from as usize + count]);
            }
            Self::Literal(_) => {}
        }
        count
    }

    /// Appends the first `max` octets, or all if there are fewer.
    pub fn write_prefix_to(&self, out: &mut Vec<u8>, max: usize) {
        match self {
            Self::Literal(bytes) => out.extend_from_slice(&bytes[..max.min(bytes.len())]),
            _ => {
                let start = out.len();
                out.resize(start + max.min(self.len() as usize), 0);
                self.fill(&mut out[start..], 0);
            }
        }
    }

    /// Appends all octets.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        self.write_prefix_to(out, self.len() as usize);
    }

    /// The folded ones'-complement sum (RFC 1071) of the octets, not complemented; an odd last octet
    /// counts as if a zero followed. Of a pattern, nothing is buffered; zeros cost nothing.
    #[must_use]
    #[inline]
    pub fn sum(&self) -> u16 {
        match self {
            Self::Empty | Self::Pattern { seed: 0, .. } => 0,
            Self::Pattern { seed, len, offset } => pattern_sum(*seed, *offset, *len),
            Self::Literal(bytes) => Sum::of(bytes).fold(),
        }
    }

    /// Whether both describe the same octets.
    #[must_use]
    pub fn same_octets(&self, other: &Self) -> bool {
        if self.len() != other.len() {
            return false;
        }
        match (self, other) {
            (Self::Literal(a), Self::Literal(b)) => a == b,
            (a, b) if a == b => true,
            _ => {
                let mut at = 0;
                let (mut a, mut b) = ([0; 256], [0; 256]);
                while at < self.len() {
                    let count = self.fill(&mut a, at);
                    other.fill(&mut b, at);
                    if a[..count] != b[..count] {
                        return false;
                    }
                    at += count as u32;
                }
                true
            }
        }
    }
}

impl From<&[u8]> for Payload {
    fn from(octets: &[u8]) -> Self {
        Bytes::copy_from_slice(octets).into()
    }
}

impl From<Bytes> for Payload {
    fn from(octets: Bytes) -> Self {
        if octets.is_empty() { Self::Empty } else { Self::Literal(Box::new(octets)) }
    }
}

/// Word `index` of the pattern `seed`: octets `8 index` to `8 index + 7`, big-endian.
#[inline]
const fn pattern_word(seed: u32, index: u64) -> u64 {
    if seed == 0 {
        return 0;
    }
    // All patterns are stretches of one sequence; the odd factor spreads their beginnings over it.
    let state = (seed as u64).wrapping_mul(0xd1b5_4a32_d192_ed03).wrapping_add(index);
    let mut z = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const fn pattern_octet(seed: u32, offset: u64) -> u8 {
    pattern_word(seed, offset / 8).to_be_bytes()[(offset % 8) as usize]
}

fn fill_pattern(seed: u32, offset: u64, out: &mut [u8]) {
    let head = ((8 - offset % 8) % 8).min(out.len() as u64) as usize;
    let (head, body) = out.split_at_mut(head);
    for (octet, at) in head.iter_mut().zip(0..) {
        *octet = pattern_octet(seed, offset.wrapping_add(at));
    }
    let first = offset.wrapping_add(head.len() as u64) / 8;
    for (octets, index) in body.chunks_mut(8).zip(0..) {
        let word = pattern_word(seed, first.wrapping_add(index)).to_be_bytes();
        octets.copy_from_slice(&word[..octets.len()]);
    }
}

/// The sum of whole words with the octets outside the range masked out. That is the sum by stream
/// offset; a range that starts at an odd offset has its octets in the other halves.
fn pattern_sum(seed: u32, offset: u64, len: u32) -> u16 {
    let first = offset / 8;
    let head = (offset % 8) as u32;
    // Octets before the end of the range, counted from the first octet of the first word.
    let end = u64::from(head) + u64::from(len);
    let words = end.div_ceil(8);
    let mut sum = 0u64;
    for index in 0..words {
        let mut word = pattern_word(seed, first.wrapping_add(index));
        if index == 0 {
            word &= u64::MAX >> (8 * head);
        }
        if index + 1 == words && !end.is_multiple_of(8) {
            word &= u64::MAX << (64 - 8 * (end % 8));
        }
        sum += (word >> 32) + (word & 0xffff_ffff);
    }
    let folded = Sum::from_partial(sum).fold();
    if offset.is_multiple_of(2) { folded } else { folded.swap_bytes() }
}

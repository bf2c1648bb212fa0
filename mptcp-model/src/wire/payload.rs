//! Payloads as descriptions. Bulk data is a pattern: a stream seed, an offset and a length, whose
//! octets are computed only when a checksum, a capture or a rewriting box asks for them. Literal
//! octets are carried where an application or a box gave them.
//!
//! The octets themselves, and their sums, come from `pattern`.

use bytes::Bytes;

use super::checksum::Sum;
use super::pattern;

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
        /// Number of octets; a packet has room for no more.
        len: u16,
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
            Self::Pattern { len, .. } => *len as u32,
            Self::Literal(bytes) => bytes.len() as u32,
        }
    }

    /// Whether there are no octets.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `len` octets of the pattern `seed` from `offset`, at most 65535; empty if `len` is 0.
    #[must_use]
    #[inline]
    pub const fn pattern(seed: u32, offset: u64, len: u32) -> Self {
        let len = if len > u16::MAX as u32 { u16::MAX } else { len as u16 };
        if len == 0 { Self::Empty } else { Self::Pattern { seed, len, offset } }
    }

    /// Becomes what [`pattern`](Self::pattern) makes, where it lies.
    #[inline(always)]
    pub(crate) fn become_pattern(&mut self, seed: u32, offset: u64, len: u16) {
        if matches!(self, Self::Literal(_)) {
            self.clear();
        }
        // There is nothing to drop any more, which the compiler does not know.
        let new = if len == 0 { Self::Empty } else { Self::Pattern { seed, len, offset } };
        core::mem::forget(core::mem::replace(self, new));
    }

    #[cold]
    fn clear(&mut self) {
        *self = Self::Empty;
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
                Self::pattern(*seed, start.wrapping_add(u64::from(offset)), len)
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
                (at < u32::from(*len)).then(|| pattern::octet(*seed, offset.wrapping_add(u64::from(at))))
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
            Self::Pattern { seed, offset, .. } => {
                pattern::fill(*seed, offset.wrapping_add(u64::from(from)), out);
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
            Self::Empty => 0,
            Self::Pattern { seed, len, offset } => pattern::sum(*seed, *offset, u32::from(*len)),
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

//! Payloads as descriptions. Bulk data is a pattern: a stream seed, an offset and a length, whose
//! octets are computed only when a checksum, a capture or a rewriting box asks for them. Literal
//! octets are carried where an application or a box gave them.

use bytes::Bytes;

/// What a segment carries.
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
    pub fn len(&self) -> u32 {
        match self {
            Self::Empty => 0,
            Self::Pattern { len, .. } => *len,
            Self::Literal(bytes) => bytes.len() as u32,
        }
    }

    /// Whether there are no octets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

//! TCP sequence numbers as on the wire. Inside the stack, streams are counted with `u64` offsets
//! from 0 (the SYN); this type exists only where a header is read or written.

/// A sequence number as on the wire. Not `Ord`: order modulo 2^32 is not transitive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// Whether `self` precedes `other` by less than half the space (RFC 9293, section 3.4).
    #[must_use]
    pub const fn before(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() < 0
    }

    /// `self + count`, modulo 2^32.
    #[must_use]
    pub const fn wrapping_add(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// The distance from `earlier` to `self`, modulo 2^32.
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The wire form of stream offset `offset`, when offset 0 was `initial`.
    #[must_use]
    pub const fn from_offset(initial: Self, offset: u64) -> Self {
        Self(initial.0.wrapping_add(offset as u32))
    }

    /// The stream offset of `self` nearest to `near`, when offset 0 was `initial`. May lie before 0,
    /// hence signed.
    #[must_use]
    pub const fn to_offset(self, initial: Self, near: u64) -> i64 {
        let low = self.0.wrapping_sub(initial.0);
        let delta = low.wrapping_sub(near as u32).cast_signed();
        near as i64 + delta as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_survive_the_wrap() {
        let initial = Seq(0xffff_fff0);
        let wire = Seq::from_offset(initial, 0x1_0000_0020);
        assert_eq!(wire, Seq(0x10));
        assert_eq!(wire.to_offset(initial, 0x1_0000_0000), 0x1_0000_0020);
        assert_eq!(initial.to_offset(initial, 5), 0);
        assert_eq!(Seq(0xffff_ffef).to_offset(initial, 0), -1);
    }
}

//! Payload descriptions agree with the octets they describe.

use mptcp_model::wire::{Payload, Sum};
use proptest::prelude::*;

fn bytes(payload: &Payload) -> Vec<u8> {
    let mut out = Vec::new();
    payload.write_to(&mut out);
    out
}

#[test]
fn seed_0_is_all_zeros_and_sums_to_0() {
    let zeros = Payload::pattern(0, 12_345, 1000);
    assert_eq!(bytes(&zeros), [0; 1000]);
    assert_eq!(zeros.sum(), 0);
    assert!(zeros.same_octets(&Payload::from(&[0; 1000][..])));
}

#[test]
fn patterns_do_not_change_between_releases() {
    let first = bytes(&Payload::pattern(1, 0, 16));
    let far = bytes(&Payload::pattern(7, 1 << 40, 8));
    // Computed apart from this code from the definition of `pattern`.
    assert_eq!(crate::hex(&first), "49718d3b7b630b35626d6ade27b3afff");
    assert_eq!(crate::hex(&far), "2346997521a561e1");
}

#[test]
fn different_seeds_and_offsets_give_different_octets() {
    let one = Payload::pattern(1, 0, 64);
    assert!(!one.same_octets(&Payload::pattern(2, 0, 64)));
    assert!(!one.same_octets(&Payload::pattern(1, 1, 64)));
    assert!(!one.same_octets(&Payload::pattern(1, 0, 63)));
}

#[test]
fn no_octets_are_empty() {
    assert_eq!(Payload::pattern(3, 9, 0), Payload::Empty);
    assert_eq!(Payload::from(&[][..]), Payload::Empty);
    assert_eq!(Payload::pattern(3, 9, 5).slice(5, 1), Payload::Empty);
    assert_eq!(Payload::Empty.slice(1, 1), Payload::Empty);
    assert_eq!(Payload::Empty.sum(), 0);
}

#[test]
fn the_end_of_the_stream_wraps_without_panic() {
    let payload = Payload::pattern(5, u64::MAX - 3, 16);
    let octets = bytes(&payload);
    assert_eq!(payload.sum(), Sum::of(&octets).fold());
    assert_eq!(payload.byte_at(15), Some(octets[15]));
}

proptest! {
    #[test]
    fn any_part_of_a_pattern_is_that_part_of_the_whole(
        seed in 0u32..5, offset in 0u64..64, len in 0u32..300, from in 0u32..310, count in 0u32..310,
    ) {
        let whole = bytes(&Payload::pattern(seed, 0, 400));
        let payload = Payload::pattern(seed, offset, len);
        let (start, end) = (offset as usize, offset as usize + len as usize);
        prop_assert_eq!(bytes(&payload), &whole[start..end]);
        prop_assert_eq!(payload.sum(), Sum::of(&whole[start..end]).fold());
        let literal = Payload::from(&whole[start..end]);
        prop_assert!(payload.same_octets(&literal) && literal.same_octets(&payload));
        prop_assert_eq!(payload.byte_at(from), literal.byte_at(from));
        let (a, b) = (payload.slice(from, count), literal.slice(from, count));
        prop_assert_eq!(a.len(), b.len());
        prop_assert!(a.same_octets(&b));
        let mut out = vec![0xa5; count as usize];
        let filled = payload.fill(&mut out, from);
        prop_assert_eq!(&out[..filled], &bytes(&a)[..]);
        prop_assert!(out[filled..].iter().all(|octet| *octet == 0xa5));
    }

    #[test]
    fn a_literal_differs_from_a_pattern_in_one_octet(
        seed in 0u32..5, offset in 0u64..64, len in 1u32..700, at in any::<prop::sample::Index>(),
    ) {
        let payload = Payload::pattern(seed, offset, len);
        let mut octets = bytes(&payload);
        octets[at.index(len as usize)] ^= 0x80;
        prop_assert!(!payload.same_octets(&Payload::from(&octets[..])));
    }

    #[test]
    fn a_sum_in_parts_is_the_sum_of_the_whole(
        octets in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(octets.len() + 1)).collect();
        cuts.sort_unstable();
        let mut sum = Sum::new();
        let mut start = 0;
        for end in cuts.into_iter().chain([octets.len()]) {
            sum = sum.payload(&Payload::from(&octets[start..end]));
            start = end;
        }
        // RFC 1071, section 4.1, word by word.
        let mut plain = 0u32;
        for word in octets.chunks(2) {
            plain += u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0));
        }
        while plain > 0xffff {
            plain = (plain & 0xffff) + (plain >> 16);
        }
        prop_assert_eq!(u32::from(sum.fold()), plain);
        prop_assert_eq!(sum.fold(), Sum::of(&octets).fold());
    }
}

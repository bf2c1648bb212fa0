//! The octets of bulk payloads: any part of a stream of any length can be produced, and its checksum told,
//! without the part before it.
//!
//! Seed 0 is all zeros. The stream of any other seed is made of blocks of 16 KiB, each a rotation of one
//! table of random octets; seed and number of the block decide by how much. What a stretch sums to is
//! the difference of two running sums, however long it is: every captured segment needs its checksum. Left
//! out: strength against anybody who wants to be deceived.

use super::checksum::Sum;

/// Octets of the table.
const BLOCK: usize = 1 << 14;

/// The table twice, so that every rotation of it is one slice.
static OCTETS: [u8; 2 * BLOCK] = octets();

/// `SUMS[i]`: the big-endian 16-bit words of [`OCTETS`] before word `i`, added.
static SUMS: [u32; BLOCK + 1] = sums();

/// Number `index` of the SplitMix64 sequence that begins at 0 (Steele, Lea and Flood, 2014).
const fn split_mix(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const fn octets() -> [u8; 2 * BLOCK] {
    let mut octets = [0; 2 * BLOCK];
    let mut at = 0;
    while at < BLOCK {
        let octet = split_mix(at as u64 / 8).to_be_bytes()[at % 8];
        octets[at] = octet;
        octets[at + BLOCK] = octet;
        at += 1;
    }
    octets
}

const fn sums() -> [u32; BLOCK + 1] {
    let mut sums = [0; BLOCK + 1];
    let mut word = 0;
    while word < BLOCK {
        let value = (OCTETS[2 * word] as u32) << 8 | OCTETS[2 * word + 1] as u32;
        sums[word + 1] = sums[word] + value;
        word += 1;
    }
    sums
}

/// Where in [`OCTETS`] the octet at `offset` stands; those after it follow to the end of its block.
/// Offsets keep their parity.
#[inline]
const fn place(seed: u32, offset: u64) -> usize {
    let block = offset / BLOCK as u64;
    // The odd factor spreads the beginnings of the streams over the sequence.
    let rotation = split_mix((seed as u64).wrapping_mul(0xd1b5_4a32_d192_ed03).wrapping_add(block));
    ((rotation as usize % BLOCK) & !1) + (offset % BLOCK as u64) as usize
}

/// The octet at `offset` of the stream `seed`.
pub(super) const fn octet(seed: u32, offset: u64) -> u8 {
    if seed == 0 { 0 } else { OCTETS[place(seed, offset)] }
}

/// Octets from `offset` to the end of its block.
const fn left_in_block(offset: u64) -> usize {
    BLOCK - (offset % BLOCK as u64) as usize
}

/// Fills `out` with the octets of the stream `seed` from `offset` on.
pub(super) fn fill(seed: u32, mut offset: u64, mut out: &mut [u8]) {
    if seed == 0 {
        out.fill(0);
        return;
    }
    while !out.is_empty() {
        let (part, rest) = out.split_at_mut(left_in_block(offset).min(out.len()));
        let start = place(seed, offset);
        part.copy_from_slice(&OCTETS[start..start + part.len()]);
        offset = offset.wrapping_add(part.len() as u64);
        out = rest;
    }
}

/// The folded sum over `len` octets of the stream `seed` from `offset` on, as
/// [`Sum::of`] would give it.
pub(super) fn sum(seed: u32, offset: u64, len: u32) -> u16 {
    if seed == 0 {
        return 0;
    }
    let (mut sum, mut at, mut left) = (0, offset, len as usize);
    while left > 0 {
        let count = left_in_block(at).min(left);
        let start = place(seed, at);
        sum += words(start, start + count);
        at = at.wrapping_add(count as u64);
        left -= count;
    }
    // That was the sum by the parity of stream offsets; a part that starts at an odd one has its octets in the
    // other halves.
    let folded = Sum::from_partial(sum).fold();
    if offset.is_multiple_of(2) { folded } else { folded.swap_bytes() }
}

/// The octets of [`OCTETS`] from `start` to `end`, added as halves of 16-bit words.
fn words(start: usize, end: usize) -> u64 {
    let whole = u64::from(SUMS[end.div_ceil(2)] - SUMS[start / 2]);
    let before = if start % 2 == 1 { u64::from(OCTETS[start - 1]) << 8 } else { 0 };
    let after = if end % 2 == 1 { u64::from(OCTETS[end]) } else { 0 };
    whole - before - after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_begins_with_the_published_sequence() {
        // The first numbers of SplitMix64 from state 0.
        assert_eq!(split_mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(split_mix(1), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(OCTETS[..8], 0xe220_a839_7b1d_cdaf_u64.to_be_bytes());
        assert_eq!(OCTETS[..BLOCK], OCTETS[BLOCK..]);
    }

    #[test]
    fn parts_across_blocks_are_parts_of_the_whole() {
        let len = 3 * BLOCK + 77;
        for seed in [1, 2, 77] {
            let mut whole = vec![0; len];
            fill(seed, 0, &mut whole);
            for (start, end) in [(0, len), (1, len), (BLOCK - 1, BLOCK + 1), (BLOCK - 3, 3 * BLOCK + 5)] {
                let mut part = vec![0; end - start];
                fill(seed, start as u64, &mut part);
                assert_eq!(part, whole[start..end]);
                let expected = Sum::of(&part).fold();
                assert_eq!(sum(seed, start as u64, (end - start) as u32), expected, "{seed} {start} {end}");
                assert_eq!(octet(seed, start as u64), whole[start]);
            }
            assert_ne!(whole[..BLOCK], whole[BLOCK..2 * BLOCK], "blocks must differ");
        }
    }

    #[test]
    fn the_last_offsets_of_all_wrap() {
        let mut part = [0; 16];
        fill(3, u64::MAX - 7, &mut part);
        assert_eq!(part[8], octet(3, 0));
        assert_eq!(sum(3, u64::MAX - 7, 16), Sum::of(&part).fold());
    }
}

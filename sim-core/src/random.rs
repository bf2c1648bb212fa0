//! Named random streams. Each random decision of a run draws from a stream chosen by a name such as
//! `link:wifi:ab:loss`; its numbers depend on the seed of the run and on the name only. Adding a link,
//! or changing the order in which links are created, changes the luck of no other link.
//!
//! A stream is ChaCha with 8 rounds, keyed with the seed (8 octets, little-endian), the 64-bit FNV-1a
//! hash of the name (8 octets, little-endian) and a constant (16 octets). Real numbers use `libm`, not
//! the platform's mathematics, and are equal everywhere.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::time::Duration;

/// All streams of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of a run with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The seed of the run.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The stream of that name, from its beginning. Asking twice gives the same numbers twice.
    #[must_use]
    pub fn stream(&self, name: &str) -> Stream {
        self.stream_of_hash(fnv1a(name.as_bytes()))
    }

    /// The stream of that name, made when first used: a generator takes 300 octets, and most links use
    /// none.
    pub(crate) const fn lazy_stream(&self, name: &str) -> LazyStream {
        LazyStream { streams: *self, hash: fnv1a(name.as_bytes()), stream: None }
    }

    fn stream_of_hash(&self, hash: u64) -> Stream {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&hash.to_le_bytes());
        key[16..].copy_from_slice(KEY_TAIL);
        Stream { generator: ChaCha8Rng::from_seed(key) }
    }
}

/// A stream that is made when first used.
#[derive(Clone, Debug)]
pub(crate) struct LazyStream {
    streams: Streams,
    hash: u64,
    stream: Option<Box<Stream>>,
}

impl LazyStream {
    pub(crate) fn get(&mut self) -> &mut Stream {
        self.stream.get_or_insert_with(|| Box::new(self.streams.stream_of_hash(self.hash)))
    }
}

/// Sets these streams apart from any other use of the generator.
const KEY_TAIL: &[u8; 16] = b"sim-core streams";

/// FNV-1a, 64 bits (draft-eastlake-fnv).
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        rest = tail;
    }
    hash
}

/// A stream of random numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    generator: ChaCha8Rng,
}

impl Stream {
    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.generator.next_u32()
    }

    /// Fills `bytes` with random octets.
    pub fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.generator.fill_bytes(bytes);
    }

    /// A number below `n`, each with equal probability (Lemire's method); 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let unfair = n.wrapping_neg() % n;
            while (product as u64) < unfair {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// A number in `[0, 1)`, a multiple of 2^-53.
    pub fn unit_f64(&mut self) -> f64 {
        unit_f64_from(self.next_u64())
    }

    /// True with probability `p`; a `p` of 0 or less is never true, of 1 or more always. One draw in
    /// any case.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.unit_f64() < p
    }

    /// An exponentially distributed number of that mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.unit_f64())
    }

    /// A normally distributed number (Box-Muller, two draws).
    pub fn normal(&mut self, mean: f64, sd: f64) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.unit_f64())).sqrt();
        let angle = 2.0 * core::f64::consts::PI * self.unit_f64();
        mean + sd * radius * libm::cos(angle)
    }

    /// A span of at least `low` and at most `high`, each nanosecond with equal probability; `low` if
    /// the two are in the wrong order.
    pub fn span_between(&mut self, low: Duration, high: Duration) -> Duration {
        let width = high.saturating_sub(low).as_nanos();
        low + Duration::from_nanos(self.below(width.saturating_add(1)))
    }
}

/// The upper 53 bits of `bits` as a number in `[0, 1)`.
pub(crate) fn unit_f64_from(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// SplitMix64, the small generator of the reference link emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hashed_as_published() {
        // From the test vectors of draft-eastlake-fnv.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn streams_give_the_same_numbers_from_version_to_version() {
        // Computed by an independent implementation of ChaCha8 with the key described above.
        let mut stream = Streams::new(1).stream("link:p1:ab");
        assert_eq!(
            [stream.next_u64(), stream.next_u64()],
            [6_588_545_549_864_646_414, 15_791_774_422_952_191_384]
        );
        assert_eq!(stream.next_u32(), 2_067_255_632);
        assert_eq!(stream.below(1_000_000), 664_312);
        assert_eq!(stream.unit_f64().to_bits(), 0x3fe8_fc27_5288_ef16);
        assert_eq!(stream.exponential(2.0).to_bits(), 0x3ff2_76d9_e968_b5ee);
        assert_eq!(stream.normal(1.0, 3.0).to_bits(), 0x4011_a803_46b4_ea60);
    }

    #[test]
    fn splitmix64_gives_the_published_numbers() {
        let mut generator = SplitMix64(1_234_567);
        assert_eq!(generator.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(generator.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn below_is_even_and_within_bounds() {
        let mut stream = Streams::new(1).stream("below");
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[stream.below(6) as usize] += 1;
        }
        // Five standard deviations are 456.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 456), "{counts:?}");
        assert_eq!((stream.below(1), stream.below(0)), (0, 0));
    }

    #[test]
    fn below_rejects_the_draws_that_would_favour_some_numbers() {
        // Of 2^64 draws onto 3 * 2^62 numbers, a quarter must be rejected; without that the lower two
        // bits would be 0 twice as often.
        let mut stream = Streams::new(1).stream("reject");
        let n = 3_u64 << 62;
        let thirds = (0..30_000).filter(|_| stream.below(n).is_multiple_of(3)).count();
        assert!((9_600..10_400).contains(&thirds), "{thirds}");
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut stream = Streams::new(1).stream("moments");
        let draws = 100_000;
        let moments = |draw: &mut dyn FnMut() -> f64| {
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..draws {
                let value = draw();
                sum += value;
                squares += value * value;
            }
            let mean = sum / f64::from(draws);
            (mean, squares / f64::from(draws) - mean * mean)
        };
        let (mean, variance) = moments(&mut || stream.normal(5.0, 2.0));
        assert!((mean - 5.0).abs() < 0.03 && (variance - 4.0).abs() < 0.1, "normal {mean} {variance}");
        let (mean, variance) = moments(&mut || stream.exponential(2.0));
        assert!((mean - 2.0).abs() < 0.03 && (variance - 4.0).abs() < 0.2, "exponential {mean} {variance}");
        let (mean, variance) = moments(&mut || stream.unit_f64());
        assert!(
            (mean - 0.5).abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.002,
            "unit {mean} {variance}"
        );
    }

    #[test]
    fn spans_include_both_ends() {
        let mut stream = Streams::new(1).stream("spans");
        let (low, high) = (Duration::from_nanos(3), Duration::from_nanos(5));
        let mut seen = [false; 3];
        for _ in 0..100 {
            seen[(stream.span_between(low, high) - low).as_nanos() as usize] = true;
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(stream.span_between(high, low), high);
    }
}

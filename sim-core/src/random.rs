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

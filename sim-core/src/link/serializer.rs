//! The transmitter of a direction: how long a frame takes at the rate, exactly over long trains.

use crate::time::{Duration, Instant};
use crate::units::{Bytes, Rate};

/// Rate, the instant until which the transmitter is busy, and the part of a nanosecond that the frames
/// of the present train have left over.
#[derive(Clone, Debug)]
pub(super) struct Serializer {
    busy_until: Instant,
    /// In units of `1 / rate` nanoseconds, less than `rate`.
    residue: u64,
    /// The last frame computed: most frames of a direction have one length, and a division costs as much as all the
    /// rest.
    frame: FrameTime,
    rate: Option<Rate>,
}

/// How long a frame of some length takes.
#[derive(Clone, Copy, Debug)]
struct FrameTime {
    len: u32,
    /// Whole nanoseconds, rounded up.
    span: u64,
    /// Below this residue it takes a nanosecond less.
    carry_from: u64,
    /// What a nanosecond is in units of the residue: the rate.
    unit: u64,
}

impl FrameTime {
    fn of(len: u32, rate: Option<Rate>) -> Self {
        let Some(rate) = rate else {
            return Self { len, span: 1, carry_from: u64::MAX, unit: u64::MAX };
        };
        let mut remainder = 0;
        let span = rate.tx_time(Bytes(len.into()), &mut remainder).as_nanos().saturating_add(1);
        Self { len, span, carry_from: rate.as_bps() - remainder, unit: rate.as_bps() }
    }
}

impl Serializer {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self { busy_until: Instant::ZERO, residue: 0, frame: FrameTime::of(0, rate), rate }
    }

    /// When the last frame accepted will have left.
    #[inline(always)]
    pub(super) const fn busy_until(&self) -> Instant {
        self.busy_until
    }

    /// Another rate, for frames that begin from now on.
    pub(super) fn set_rate(&mut self, rate: Option<Rate>) {
        self.rate = rate;
        self.residue = 0;
        self.frame = FrameTime::of(0, rate);
    }

    /// Forgets the frames after the one that ends at `instant`.
    pub(super) const fn rewind_to(&mut self, instant: Instant) {
        self.busy_until = instant;
    }

    /// Whether it is known how long a frame of `len` octets takes.
    #[inline(always)]
    pub(super) const fn knows(&self, len: u32) -> bool {
        self.frame.len == len
    }

    /// Transmits a frame of `len` octets that is ready at `now`, behind those before it. Returns when
    /// its transmission begins; it ends at [`busy_until`](Self::busy_until).
    pub(super) fn transmit(&mut self, now: Instant, len: u32) -> Instant {
        let start = if self.busy_until > now { self.busy_until } else { self.begin_train(now) };
        self.transmit_from(start, len);
        start
    }

    /// Begins a train at `now`, when the last one has left: its first frame owes nothing to the one before, unless it
    /// follows at once.
    #[inline(always)]
    pub(super) fn begin_train(&mut self, now: Instant) -> Instant {
        if self.busy_until < now {
            self.residue = 0;
        }
        now
    }

    /// Transmits a frame of `len` octets from `start` on.
    #[inline(always)]
    pub(super) fn transmit_from(&mut self, start: Instant, len: u32) {
        if !self.knows(len) {
            self.measure(len);
        }
        let FrameTime { span, carry_from, unit, .. } = self.frame;
        // All ones if a nanosecond is not full; no branch, for that is a coin toss.
        let less = 0_u64.wrapping_sub(u64::from(self.residue < carry_from));
        self.residue = self.residue.wrapping_sub(carry_from).wrapping_add(unit & less);
        self.busy_until = start + Duration::from_nanos(span.wrapping_add(less));
    }

    #[cold]
    #[inline(never)]
    fn measure(&mut self, len: u32) {
        self.frame = FrameTime::of(len, self.rate);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_train_ends_when_its_total_size_says(
            bps in prop_oneof![1_000..20_000_000_000_u64, Just(u64::MAX)],
            lens in prop::collection::vec(prop_oneof![Just(1500_u32), 40..1600_u32], 1..100),
        ) {
            let mut serializer = Serializer::new(Rate::from_bps(bps));
            let begin = Instant::from_nanos(17);
            let mut total = 0_u128;
            for &len in &lens {
                let end = serializer.busy_until();
                let start = serializer.transmit(begin, len);
                prop_assert_eq!(start, end.max(begin));
                total += u128::from(len);
            }
            let expected = total * 8_000_000_000 / u128::from(bps);
            prop_assert_eq!(u128::from((serializer.busy_until() - begin).as_nanos()), expected);
        }
    }

    #[test]
    fn a_frame_after_a_pause_does_not_depend_on_the_train_before() {
        let mut serializer = Serializer::new(Rate::from_bps(7_000_000_000));
        for _ in 0..3 {
            serializer.transmit(Instant::ZERO, 1000);
        }
        let later = Instant::from_nanos(1_000_000);
        serializer.transmit(later, 1000);
        // 8000 bits at 7 Gbit/s take 1142.86 ns.
        assert_eq!(serializer.busy_until(), Instant::from_nanos(1_001_142));
    }
}

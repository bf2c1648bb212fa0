//! When to leave slow start before a loss does it: HyStart as in Linux (Ha and Rhee 2008) and HyStart++
//! (RFC 9406).
//!
//! HyStart ends slow start when the ACKs of one round, each at most 2 ms after the one before, stretch
//! over half the smallest round-trip time, or when the smallest of 8 samples of a round exceeds it by an
//! eighth (between 4 and 16 ms); windows below 16 segments are left alone. Linux adds 1 ms to the first
//! threshold for offloading on flows below 2 Gbit/s, and so does this. Rounds start as in Linux 6.14 and
//! later, or as in Linux 5.4, where the ACK that ends a round still is a sample of it. The threshold of a paced flow (the whole round-trip time) is left out: `cubic` is not paced here.
//!
//! HyStart++ compares the smallest samples of two rounds and then grows at a quarter of the pace for up
//! to five rounds before it leaves slow start; it works in the first slow start only.

use sim_core::{Duration, Instant};

use super::{AckEvent, Window};

/// ACKs further apart than this do not belong to one train.
const ACK_DELTA: Duration = Duration::from_millis(2);
/// Allowance for segmentation offload in the length of a train.
const ACK_DELAY: Duration = Duration::from_millis(1);
/// Samples of a round before its smallest one means something.
const MIN_SAMPLES: u32 = 8;
/// Bounds of the tolerated increase of delay.
const DELAY_MIN: Duration = Duration::from_millis(4);
const DELAY_MAX: Duration = Duration::from_millis(16);
/// Smaller windows, in segments, never leave slow start.
const LOW_WINDOW: u32 = 16;
/// RFC 9406, section 4.3: rounds of conservative slow start, its pace, and the largest growth by one ACK.
const CSS_ROUNDS: u32 = 5;
const CSS_GROWTH_DIVISOR: u32 = 4;
const GROWTH_LIMIT: u32 = 8;

/// Which detector to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Slow start ends with the first loss.
    Off,
    /// HyStart as in Linux.
    #[default]
    Classic,
    /// HyStart as in Linux 5.4, on which the out-of-tree kernel v0.96 is built.
    Linux54,
    /// RFC 9406.
    PlusPlus,
}

/// How a flow in slow start grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// By the acknowledged segments.
    Normal,
    /// By this many segments and no more.
    Limited(u32),
}

/// The detector of one flow.
#[derive(Clone, Copy, Debug)]
pub struct HyStart {
    mode: Mode,
    /// Slow start was ended here (classic), or is over (HyStart++).
    found: bool,
    /// End of the round as a stream offset.
    end_of_round: u64,
    round_start: Instant,
    last_ack: Instant,
    samples: u32,
    round_min: Duration,
    previous_round_min: Duration,
    css: Option<ConservativeSlowStart>,
}

#[derive(Clone, Copy, Debug)]
struct ConservativeSlowStart {
    baseline: Duration,
    rounds: u32,
    /// Acknowledged segments not yet turned into growth.
    rest: u32,
}

impl HyStart {
    /// A detector at the start of a connection.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self {
            mode,
            found: false,
            end_of_round: 0,
            round_start: Instant::ZERO,
            last_ack: Instant::ZERO,
            samples: 0,
            round_min: Duration::MAX,
            previous_round_min: Duration::MAX,
            css: None,
        }
    }

    /// Back to the start, after a retransmission timeout; the next ACK begins a round.
    pub fn reset(&mut self) {
        let end_of_round = self.end_of_round;
        *self = Self { end_of_round, ..Self::new(self.mode) };
    }

    /// How slow start grows by an ACK of `acked` segments.
    pub fn growth(&mut self, window: &Window, acked: u32) -> Growth {
        let first = window.ssthresh == Window::INFINITE_SSTHRESH;
        if self.mode != Mode::PlusPlus || self.found || !first {
            return Growth::Normal;
        }
        let limited = acked.min(GROWTH_LIMIT);
        match &mut self.css {
            None if limited == acked => Growth::Normal,
            None => Growth::Limited(limited),
            Some(css) => {
                css.rest += limited;
                let segments = css.rest / CSS_GROWTH_DIVISOR;
                css.rest %= CSS_GROWTH_DIVISOR;
                Growth::Limited(segments)
            }
        }
    }

    /// A round-trip sample of a flow in slow start; `delay_min` is the smallest one of the connection.
    /// Ends slow start by setting the threshold to the window.
    pub fn on_sample(&mut self, window: &mut Window, ack: &AckEvent, rtt: Duration, delay_min: Duration) {
        if self.found {
            return;
        }
        let ends = match self.mode {
            Mode::Off => false,
            Mode::Classic => {
                self.new_round(ack);
                self.classic(window, ack, rtt, delay_min)
            }
            Mode::Linux54 => {
                let ends = self.classic(window, ack, rtt, delay_min);
                self.new_round(ack);
                ends
            }
            Mode::PlusPlus => self.plus_plus(window, ack, rtt),
        };
        if ends {
            self.found = true;
            self.css = None;
            window.ssthresh = window.cwnd;
        }
    }

    /// Starts a round if this ACK ends one.
    fn new_round(&mut self, ack: &AckEvent) -> bool {
        let ended = ack.snd_una > self.end_of_round;
        if ended {
            self.end_of_round = ack.snd_nxt;
            self.round_start = ack.now;
            self.last_ack = ack.now;
            self.samples = 0;
            self.previous_round_min = self.round_min;
            self.round_min = Duration::MAX;
        }
        ended
    }

    fn classic(&mut self, window: &Window, ack: &AckEvent, rtt: Duration, delay_min: Duration) -> bool {
        if window.cwnd < LOW_WINDOW {
            return false;
        }
        if ack.now.saturating_since(self.last_ack) <= ACK_DELTA {
            self.last_ack = ack.now;
            if ack.now.saturating_since(self.round_start) > (delay_min + ACK_DELAY) / 2 {
                return true;
            }
        }
        self.round_min = self.round_min.min(rtt);
        if self.samples < MIN_SAMPLES {
            self.samples += 1;
            return false;
        }
        self.round_min > delay_min + tolerance(delay_min)
    }

    fn plus_plus(&mut self, window: &Window, ack: &AckEvent, rtt: Duration) -> bool {
        if window.ssthresh != Window::INFINITE_SSTHRESH {
            return false;
        }
        if self.new_round(ack)
            && let Some(css) = &mut self.css
        {
            css.rounds += 1;
            if css.rounds >= CSS_ROUNDS {
                return true;
            }
        }
        self.round_min = self.round_min.min(rtt);
        self.samples = self.samples.saturating_add(1);
        if self.samples < MIN_SAMPLES {
            return false;
        }
        match &self.css {
            Some(css) if self.round_min < css.baseline => self.css = None,
            Some(_) => {}
            None => {
                if self.previous_round_min != Duration::MAX
                    && self.round_min >= self.previous_round_min + tolerance(self.previous_round_min)
                {
                    self.css = Some(ConservativeSlowStart { baseline: self.round_min, rounds: 0, rest: 0 });
                }
            }
        }
        false
    }
}

/// The increase of delay that is still noise: an eighth, between 4 and 16 ms.
fn tolerance(delay: Duration) -> Duration {
    (delay / 8).clamp(DELAY_MIN, DELAY_MAX)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ack, window};
    use super::*;

    const RTT: Duration = Duration::from_millis(40);

    /// Feeds `count` ACKs of one segment `spacing` apart, all of one round after the first.
    fn round(
        hystart: &mut HyStart,
        flow: &mut Window,
        start: Instant,
        una: u64,
        count: u64,
        spacing: Duration,
        rtt: Duration,
    ) {
        for i in 0..count {
            let event = AckEvent {
                now: start + spacing * i,
                snd_una: una + i,
                snd_nxt: una + 1000,
                rtt: Some(rtt),
                ..ack(1)
            };
            hystart.on_sample(flow, &event, rtt, RTT);
        }
    }

    #[test]
    fn the_ack_that_ends_a_round_is_a_sample_of_it_in_linux_5_4() {
        // The first ACK of a round of bursts waited less than the others.
        let ends = |mode| {
            let (mut hystart, mut flow) = (HyStart::new(mode), window(20, Window::INFINITE_SSTHRESH));
            let spacing = Duration::from_millis(5);
            round(&mut hystart, &mut flow, Instant::ZERO, 1, 10, spacing, RTT);
            let second = Instant::ZERO + Duration::from_millis(100);
            round(&mut hystart, &mut flow, second, 1002, 1, spacing, RTT);
            round(
                &mut hystart,
                &mut flow,
                second + spacing,
                1003,
                9,
                spacing,
                RTT + Duration::from_millis(10),
            );
            !flow.in_slow_start()
        };
        assert!(ends(Mode::Linux54));
        assert!(!ends(Mode::Classic));
    }

    #[test]
    fn an_ack_train_of_half_the_smallest_round_trip_ends_slow_start() {
        let mut flow = window(20, Window::INFINITE_SSTHRESH);
        let mut hystart = HyStart::new(Mode::Classic);
        let spacing = Duration::from_millis(1);
        round(&mut hystart, &mut flow, Instant::ZERO, 1, 21, spacing, RTT);
        assert_eq!(flow.ssthresh, Window::INFINITE_SSTHRESH, "20 ms is not more than 20.5 ms");
        round(&mut hystart, &mut flow, Instant::ZERO + spacing * 21, 22, 1, spacing, RTT);
        assert_eq!(flow.ssthresh, 20);
    }

    #[test]
    fn acks_more_than_two_milliseconds_apart_are_no_train() {
        let mut flow = window(20, Window::INFINITE_SSTHRESH);
        let mut hystart = HyStart::new(Mode::Classic);
        round(&mut hystart, &mut flow, Instant::ZERO, 1, 30, Duration::from_micros(2100), RTT);
        assert_eq!(flow.ssthresh, Window::INFINITE_SSTHRESH);
    }

    #[test]
    fn eight_samples_an_eighth_longer_end_slow_start() {
        let spacing = Duration::from_millis(3);
        for (rtt, ends) in [(44_999, false), (45_001, true)] {
            let mut flow = window(20, Window::INFINITE_SSTHRESH);
            let mut hystart = HyStart::new(Mode::Classic);
            round(&mut hystart, &mut flow, Instant::ZERO, 1, 9, spacing, Duration::from_micros(rtt));
            assert_eq!(flow.ssthresh == 20, ends, "{rtt} us");
        }
    }

    #[test]
    fn windows_below_sixteen_segments_stay_in_slow_start() {
        let mut flow = window(15, Window::INFINITE_SSTHRESH);
        let mut hystart = HyStart::new(Mode::Classic);
        round(&mut hystart, &mut flow, Instant::ZERO, 1, 100, Duration::from_millis(1), RTT * 2);
        assert_eq!(flow.ssthresh, Window::INFINITE_SSTHRESH);
    }

    fn rounds_of(hystart: &mut HyStart, flow: &mut Window, rtts: &[u64]) {
        for (index, &rtt) in rtts.iter().enumerate() {
            let start = Instant::ZERO + Duration::from_millis(100) * index as u64;
            let una = 1 + 1001 * index as u64;
            round(hystart, flow, start, una, 8, Duration::from_millis(1), Duration::from_millis(rtt));
        }
    }

    // RFC 9406, section 4.2
    #[test]
    fn hystart_plus_plus_grows_at_a_quarter_for_five_rounds_and_then_leaves() {
        let mut flow = window(20, Window::INFINITE_SSTHRESH);
        let mut hystart = HyStart::new(Mode::PlusPlus);
        rounds_of(&mut hystart, &mut flow, &[40, 45, 45, 45, 45, 45]);
        let grown: u32 = (0..8)
            .map(|_| match hystart.growth(&flow, 1) {
                Growth::Limited(segments) => segments,
                Growth::Normal => 1,
            })
            .sum();
        assert_eq!((grown, flow.ssthresh), (2, Window::INFINITE_SSTHRESH));
        let last = AckEvent { snd_una: 10_000, snd_nxt: 11_000, ..ack(1) };
        hystart.on_sample(&mut flow, &last, RTT, RTT);
        assert_eq!(flow.ssthresh, 20);
        assert_eq!(hystart.growth(&flow, 20), Growth::Normal);
    }

    // RFC 9406, section 4.2
    #[test]
    fn hystart_plus_plus_resumes_slow_start_when_the_delay_falls_again() {
        let mut flow = window(20, Window::INFINITE_SSTHRESH);
        let mut hystart = HyStart::new(Mode::PlusPlus);
        rounds_of(&mut hystart, &mut flow, &[40, 45]);
        assert_eq!(hystart.growth(&flow, 1), Growth::Limited(0));
        rounds_of(&mut hystart, &mut flow, &[40, 45, 41]);
        assert_eq!(hystart.growth(&flow, 1), Growth::Normal);
        assert_eq!(hystart.growth(&flow, 20), Growth::Limited(8));
    }
}

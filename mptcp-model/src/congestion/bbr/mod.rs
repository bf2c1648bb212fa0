//! BBR version 1 as Linux has it (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 2016). The flow
//! models its path by the largest rate of delivery of the last ten rounds and the smallest round-trip time of the last ten
//! seconds, sends at that rate, paced, and keeps about two bandwidth-delay products in flight. It doubles its rate until that
//! brings no more (`Startup`), drains the queue this made (`Drain`), then sends a quarter more and a quarter less than the
//! estimate for one round-trip time in eight each (`ProbeBw`); when the smallest round-trip time is ten seconds old it keeps four
//! segments in flight for 200 ms to see it again (`ProbeRtt`). Losses do not reduce the rate, except on a path that
//! polices (`long_term`).
//!
//! Rates are segments per microsecond, scaled by 2^24, gains are scaled by 2^8, as in Linux. The phase in which the cycle
//! of probes begins is random in Linux; here it follows from the time of its beginning. At a retransmission timeout,
//! the policer's totals are those of the last ACK.

mod aggregation;
mod filter;
mod long_term;

use sim_core::{Duration, Instant};

use self::aggregation::Aggregation;
use self::filter::MaxFilter;
use self::long_term::{Change, LongTerm};
use super::{AckEvent, CaState, Cause, CongestionControl, PathView, RateSample, Window};

/// One segment per microsecond.
const UNIT: u64 = 1 << 24;
/// A gain of one.
const GAIN: u64 = 1 << 8;
/// 2 / ln 2: the smallest gain that doubles the rate each round.
const HIGH_GAIN: u64 = GAIN * 2885 / 1000 + 1;
const DRAIN_GAIN: u64 = GAIN * 1000 / 2885;
const CWND_GAIN: u64 = GAIN * 2;
/// Gains of the cycle of probes, one for each round-trip time.
const CYCLE: [u64; 8] = [GAIN * 5 / 4, GAIN * 3 / 4, GAIN, GAIN, GAIN, GAIN, GAIN, GAIN];
/// The cycle begins in one of its first phases but the draining one: so many choices.
const FIRST_PHASES: u64 = 7;
/// Rounds over which the rate of delivery is a maximum.
const RATE_ROUNDS: u32 = 10;
const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);
const PROBE_RTT: Duration = Duration::from_millis(200);
const MIN_CWND: u32 = 4;
/// Growth of the rate below a quarter in each of this many rounds means that the pipe is full.
const FULL_ROUNDS: u32 = 3;
/// Below this rate in bytes per second a burst may be a single segment.
const SLOW: u64 = 1_200_000 / 8;
/// Window of a flow that knows nothing of its path.
const INITIAL_CWND: u32 = 10;
/// Paced this much below the estimated rate, in per cent.
const MARGIN: u64 = 1;
/// Largest burst that the window makes room for: 64 KiB less headers.
const BURST_BYTES: u64 = 65_536 - 1 - 320;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Startup,
    Drain,
    ProbeBw,
    ProbeRtt,
}

/// The `bbr` algorithm of one flow.
#[derive(Clone, Copy, Debug)]
pub struct Bbr {
    mode: Mode,
    rate: MaxFilter,
    long_term: LongTerm,
    aggregation: Aggregation,
    /// Rounds so far, whether one began with this ACK, and the count of deliveries at which the next one does.
    rounds: u32,
    round_start: bool,
    next_round: u64,
    min_rtt: Duration,
    min_rtt_at: Instant,
    /// When few enough segments were in flight for long enough.
    probe_rtt_until: Option<Instant>,
    probe_rtt_round_done: bool,
    phase: usize,
    phase_at: Instant,
    full_rate: u64,
    full_rounds: u32,
    full: bool,
    /// Window before recovery or before the probe for the round-trip time.
    prior_cwnd: u32,
    prior_state: CaState,
    /// In the first round of recovery one segment leaves for one that arrives.
    conserving: bool,
    idle_restart: bool,
    has_seen_rtt: bool,
    pacing_gain: u64,
    cwnd_gain: u64,
    /// In bytes per second.
    pacing_rate: u64,
    /// Of the last ACK.
    last: RateSample,
}

impl Default for Bbr {
    fn default() -> Self {
        Self {
            mode: Mode::Startup,
            rate: MaxFilter::default(),
            long_term: LongTerm::default(),
            aggregation: Aggregation::default(),
            rounds: 0,
            round_start: false,
            next_round: 0,
            min_rtt: Duration::MAX,
            min_rtt_at: Instant::ZERO,
            probe_rtt_until: None,
            probe_rtt_round_done: false,
            phase: 0,
            phase_at: Instant::ZERO,
            full_rate: 0,
            full_rounds: 0,
            full: false,
            prior_cwnd: 0,
            prior_state: CaState::Open,
            conserving: false,
            idle_restart: false,
            has_seen_rtt: false,
            pacing_gain: HIGH_GAIN,
            cwnd_gain: HIGH_GAIN,
            pacing_rate: u64::MAX,
            last: RateSample::default(),
        }
    }
}

/// Segments delivered at `rate` in `span`.
fn segments_in(rate: u64, span: Duration) -> u64 {
    ((u128::from(rate) * u128::from(span.as_micros())) >> 24).min(u128::from(u64::MAX)) as u64
}

/// `rate` times `gain` in bytes per second.
fn bytes_per_second(rate: u64, gain: u64, mss: u32) -> u64 {
    let bytes = (u128::from(rate) * u128::from(mss) * u128::from(gain)) >> 8;
    ((bytes * u128::from(10_000 * (100 - MARGIN))) >> 24).min(u128::from(u64::MAX)) as u64
}

impl Bbr {
    /// The rate in use.
    fn rate(&self) -> u64 {
        self.long_term.rate().unwrap_or(self.rate.max())
    }

    /// Segments in flight at `rate` times `gain`, without the room for bursts.
    fn product(&self, rate: u64, gain: u64) -> u32 {
        if self.min_rtt == Duration::MAX {
            return INITIAL_CWND;
        }
        let product = u128::from(rate) * u128::from(self.min_rtt.as_micros());
        let scaled = (product * u128::from(gain)) >> 8;
        scaled.div_ceil(u128::from(UNIT)).min(1 << 30) as u32
    }

    /// Room for bursts in the sender and the receiver, and for delayed ACKs.
    fn with_bursts(&self, cwnd: u32) -> u32 {
        let cwnd = cwnd.saturating_add(3 * self.burst_goal());
        let even = cwnd.saturating_add(1) & !1;
        if self.mode == Mode::ProbeBw && self.phase == 0 { even.saturating_add(2) } else { even }
    }

    fn in_flight_at(&self, rate: u64, gain: u64) -> u32 {
        self.with_bursts(self.product(rate, gain))
    }

    /// Segments of a burst of a millisecond.
    fn burst_goal(&self) -> u32 {
        let bytes = (self.pacing_rate >> 10).min(BURST_BYTES);
        // At most 64 KiB.
        let segments = (bytes / u64::from(self.last.mss.max(1))) as u32;
        segments.max(self.burst_floor()).min(0x7f)
    }

    /// What will be in flight when the next segment may leave.
    fn in_flight_at_departure(&self, in_flight: u32, now: Instant, sample: &RateSample) -> u32 {
        let leaves = segments_in(self.rate(), sample.next_send.saturating_since(now));
        let probing = if self.pacing_gain > GAIN { self.burst_goal() } else { 0 };
        u64::from(in_flight + probing).saturating_sub(leaves) as u32
    }

    fn begin_probing(&mut self, now: Instant, delivered_at: Instant) {
        self.mode = Mode::ProbeBw;
        // The finalizer of splitmix64.
        let mut hash = now.as_nanos().wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.phase = CYCLE.len() - 1 - ((hash ^ (hash >> 31)) % FIRST_PHASES) as usize;
        self.next_phase(delivered_at);
    }

    fn next_phase(&mut self, delivered_at: Instant) {
        self.phase = (self.phase + 1) % CYCLE.len();
        self.phase_at = delivered_at;
    }

    fn reset_mode(&mut self, now: Instant, delivered_at: Instant) {
        if self.full {
            self.begin_probing(now, delivered_at);
        } else {
            self.mode = Mode::Startup;
        }
    }

    fn save_window(&mut self, window: &Window) {
        self.prior_cwnd = if self.prior_state < CaState::Recovery && self.mode != Mode::ProbeRtt {
            window.cwnd
        } else {
            self.prior_cwnd.max(window.cwnd)
        };
    }

    fn update_rate(&mut self, now: Instant, sample: &RateSample) {
        self.round_start = false;
        let Some(interval) = sample.interval else { return };
        if sample.prior_delivered >= self.next_round {
            self.next_round = sample.total_delivered;
            self.rounds = self.rounds.wrapping_add(1);
            self.round_start = true;
            self.conserving = false;
        }
        self.sample_long_term(now, sample);
        let rate = sample.delivered * UNIT / interval.as_micros().max(1);
        if !sample.app_limited || rate >= self.rate.max() {
            self.rate.update(RATE_ROUNDS, self.rounds, rate);
        }
    }

    fn sample_long_term(&mut self, now: Instant, sample: &RateSample) {
        match self.long_term.update(sample, self.round_start, self.mode == Mode::ProbeBw) {
            Change::None => {}
            Change::Found => self.pacing_gain = GAIN,
            Change::Expired => self.begin_probing(now, sample.delivered_at),
        }
    }

    fn update_phase(&mut self, ack: &AckEvent, sample: &RateSample) {
        if self.mode != Mode::ProbeBw {
            return;
        }
        let lasted = sample.delivered_at.saturating_since(self.phase_at) > self.min_rtt;
        let in_flight = self.in_flight_at_departure(ack.prior_in_flight, ack.now, sample);
        let rate = self.rate.max();
        let over = if self.pacing_gain == GAIN {
            lasted
        } else if self.pacing_gain > GAIN {
            // Until the queue is really there, or does not fit.
            lasted && (sample.losses > 0 || in_flight >= self.in_flight_at(rate, self.pacing_gain))
        } else {
            lasted || in_flight <= self.in_flight_at(rate, GAIN)
        };
        if over {
            self.next_phase(sample.delivered_at);
        }
    }

    fn check_full(&mut self, sample: &RateSample) {
        if self.full || !self.round_start || sample.app_limited {
            return;
        }
        if self.rate.max() >= (self.full_rate * GAIN * 5 / 4) >> 8 {
            self.full_rate = self.rate.max();
            self.full_rounds = 0;
            return;
        }
        self.full_rounds += 1;
        self.full = self.full_rounds >= FULL_ROUNDS;
    }

    fn check_drained(&mut self, window: &mut Window, ack: &AckEvent, sample: &RateSample) {
        if self.mode == Mode::Startup && self.full {
            self.mode = Mode::Drain;
            window.ssthresh = self.in_flight_at(self.rate.max(), GAIN);
        }
        if self.mode == Mode::Drain
            && self.in_flight_at_departure(ack.in_flight, ack.now, sample)
                <= self.in_flight_at(self.rate.max(), GAIN)
        {
            self.begin_probing(ack.now, sample.delivered_at);
        }
    }

    /// Returns whether the probe for the round-trip time holds the flow back.
    fn update_min_rtt(&mut self, window: &mut Window, ack: &AckEvent, sample: &RateSample) -> bool {
        let now = ack.now;
        let expired = now > self.min_rtt_at + MIN_RTT_WINDOW;
        if let Some(rtt) = ack.rtt
            && (rtt < self.min_rtt || (expired && !sample.ack_delayed))
        {
            self.min_rtt = rtt;
            self.min_rtt_at = now;
        }
        if expired && !self.idle_restart && self.mode != Mode::ProbeRtt {
            self.save_window(window);
            self.mode = Mode::ProbeRtt;
            self.probe_rtt_until = None;
        }
        let held = self.mode == Mode::ProbeRtt;
        if held {
            if self.probe_rtt_until.is_some() {
                self.probe_rtt_round_done |= self.round_start;
                if self.probe_rtt_round_done {
                    self.check_probe_rtt_done(window, now, sample.delivered_at);
                }
            } else if ack.in_flight <= MIN_CWND {
                self.probe_rtt_until = Some(now + PROBE_RTT);
                self.probe_rtt_round_done = false;
                self.next_round = sample.total_delivered;
            }
        }
        if sample.delivered > 0 {
            self.idle_restart = false;
        }
        held
    }

    fn check_probe_rtt_done(&mut self, window: &mut Window, now: Instant, delivered_at: Instant) {
        if self.probe_rtt_until.is_none_or(|until| now <= until) {
            return;
        }
        self.min_rtt_at = now;
        window.cwnd = window.cwnd.max(self.prior_cwnd);
        self.reset_mode(now, delivered_at);
    }

    fn update_gains(&mut self) {
        (self.pacing_gain, self.cwnd_gain) = match self.mode {
            Mode::Startup => (HIGH_GAIN, HIGH_GAIN),
            Mode::Drain => (DRAIN_GAIN, HIGH_GAIN),
            Mode::ProbeBw if self.long_term.rate().is_some() => (GAIN, CWND_GAIN),
            Mode::ProbeBw => (CYCLE[self.phase], CWND_GAIN),
            Mode::ProbeRtt => (GAIN, GAIN),
        };
    }

    /// The rate of a window of `cwnd` segments in one round-trip time, or in a millisecond if there is none.
    fn pace_by_rtt(&mut self, cwnd: u32, srtt: Duration, mss: u32) {
        self.has_seen_rtt = !srtt.is_zero();
        let micros = if self.has_seen_rtt { srtt.as_micros().max(1) } else { 1000 };
        self.pacing_rate = bytes_per_second(u64::from(cwnd) * UNIT / micros, HIGH_GAIN, mss);
    }

    fn update_pacing(&mut self, window: &Window, sample: &RateSample, gain: u64) {
        if !self.has_seen_rtt && !sample.srtt.is_zero() {
            self.pace_by_rtt(window.cwnd, sample.srtt, sample.mss);
        }
        let rate = bytes_per_second(self.rate(), gain, sample.mss);
        if self.full || rate > self.pacing_rate {
            self.pacing_rate = rate;
        }
    }

    fn update_window(&mut self, window: &mut Window, ack: &AckEvent, sample: &RateSample) {
        if ack.delivered > 0 {
            let cwnd = self.grown(window.cwnd, ack, sample);
            window.cwnd = cwnd;
        }
        window.cwnd = window.cwnd.min(window.clamp);
        if self.mode == Mode::ProbeRtt {
            window.cwnd = window.cwnd.min(MIN_CWND);
        }
    }

    fn grown(&mut self, cwnd: u32, ack: &AckEvent, sample: &RateSample) -> u32 {
        let prior = std::mem::replace(&mut self.prior_state, ack.state);
        let mut cwnd = if sample.losses > 0 { cwnd.saturating_sub(sample.losses).max(1) } else { cwnd };
        let arrived = ack.in_flight + ack.delivered;
        if ack.state == CaState::Recovery && prior != CaState::Recovery {
            self.conserving = true;
            self.next_round = sample.total_delivered;
            cwnd = arrived;
        } else if prior >= CaState::Recovery && ack.state < CaState::Recovery {
            cwnd = cwnd.max(self.prior_cwnd);
            self.conserving = false;
        }
        if self.conserving {
            return cwnd.max(arrived);
        }
        let rate = self.rate();
        let allowance = if self.full { self.aggregation.allowance(rate) } else { 0 };
        let target = self.with_bursts(self.product(rate, self.cwnd_gain).saturating_add(allowance));
        if self.full {
            cwnd = (cwnd + ack.delivered).min(target);
        } else if cwnd < target || sample.total_delivered < u64::from(INITIAL_CWND) {
            cwnd += ack.delivered;
        }
        cwnd.max(MIN_CWND)
    }
}

impl CongestionControl for Bbr {
    fn name(&self) -> &'static str {
        "bbr"
    }

    fn on_established(&mut self, now: Instant, window: &mut Window, path: &PathView) {
        if !path.min_rtt.is_zero() {
            self.min_rtt = path.min_rtt;
        }
        self.min_rtt_at = now;
        self.aggregation.restart(now);
        self.last.mss = path.mss;
        self.pace_by_rtt(window.cwnd, path.srtt, path.mss);
    }

    /// All is done by [`control`](CongestionControl::control).
    fn on_ack(&mut self, _: &mut Window, _: &AckEvent, _: usize, _: &[PathView]) {}

    fn controls(&self) -> bool {
        true
    }

    fn control(&mut self, window: &mut Window, ack: &AckEvent, sample: &RateSample) -> bool {
        self.last = *sample;
        self.update_rate(ack.now, sample);
        self.aggregation.update(ack, sample, self.rate(), self.round_start, window.cwnd);
        self.update_phase(ack, sample);
        self.check_full(sample);
        self.check_drained(window, ack, sample);
        let held = self.update_min_rtt(window, ack, sample);
        self.update_gains();
        self.update_pacing(window, sample, self.pacing_gain);
        self.update_window(window, ack, sample);
        held
    }

    fn ssthresh(&mut self, window: &Window, _: Cause, _: Instant, _: usize, _: &[PathView]) -> u32 {
        self.save_window(window);
        window.ssthresh
    }

    fn on_state_change(&mut self, _: &mut Window, _: CaState, new: CaState) {
        if new == CaState::Loss {
            self.prior_state = CaState::Loss;
            self.full_rate = 0;
            self.round_start = true;
            let sample = RateSample { losses: 1, app_limited: false, ..self.last };
            self.sample_long_term(sample.delivered_at, &sample);
        }
    }

    fn undo_cwnd(&mut self, window: &Window, _prior: u32) -> u32 {
        self.full_rate = 0;
        self.full_rounds = 0;
        self.long_term.reset();
        window.cwnd
    }

    fn on_transmit_start(&mut self, window: &mut Window, now: Instant, _idle: Duration) {
        self.idle_restart = true;
        self.aggregation.restart(now);
        match self.mode {
            Mode::ProbeBw => self.update_pacing(window, &{ self.last }, GAIN),
            Mode::ProbeRtt => self.check_probe_rtt_done(window, now, self.last.delivered_at),
            Mode::Startup | Mode::Drain => {}
        }
    }

    fn pacing_rate(&self) -> Option<u64> {
        Some(self.pacing_rate)
    }

    fn burst_floor(&self) -> u32 {
        if self.pacing_rate < SLOW { 1 } else { 2 }
    }
}

#[cfg(test)]
mod tests;

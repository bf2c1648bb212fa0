//! wVegas, weighted Vegas (Cao, Xu, Fu, ICNP 2012; draft-xu-mptcp-congestion-control). Once per round trip a subflow compares the segments it keeps in queues with its
//! share `alpha` of a total for the connection, and moves its window by one segment towards it; the share
//! follows the subflow's part of the connection's rate. When the queueing delay reaches twice its smallest
//! value, the window is cut so that the queue drains and the base delay can be seen again. On loss it halves like Reno, and
//! outside the `Open` state it is Reno.
//!
//! By default queued segments and shares are real numbers. The integer mode reproduces the out-of-tree Linux
//! kernel: both are rounded down, no share is less than the initial one, and each sample counts a
//! microsecond more. Both modes move windows by whole segments.
//!
//! The kernel takes the other subflows' rates as measured at the end of their rounds; here a rate
//! is the current window over the smoothed round-trip time. A window that is not used in a round does not grow,
//! but in the integer mode it does in congestion avoidance, as in the kernel. A round without any queueing drains nothing; in the kernel it
//! would, but there jitter keeps the delay above zero. The integer mode takes it for a microsecond, so that the next
//! round with a queue drains. The slack of the paper's weights is left out, as in the
//! kernel.

use sim_core::{Duration, Instant};

use super::vegas::below;
use super::{AckEvent, Arithmetic, CaState, Cause, CongestionControl, PathView, Window, coupling, reno};

/// Rounds with fewer samples take a Reno step.
const MIN_SAMPLES: u64 = 3;
/// The kernel adds 1 microsecond to each sample.
const SAMPLE_BIAS: Duration = Duration::from_micros(1);
/// Least queueing delay that the kernel sees: its clock tells microseconds, and on a real link no two samples are
/// equal.
const JITTER: Duration = Duration::from_micros(1);
/// Smallest window in segments.
const MIN_CWND: u32 = 2;

/// Parameters of [`WVegas`]; the numbers of the default are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How queued segments and shares are computed.
    pub arithmetic: Arithmetic,
    /// Segments all subflows together keep in queues. Default 10.
    pub total_alpha: u32,
    /// Share of a new subflow, and in the integer mode the least share, in segments. Default 2.
    pub initial_alpha: u32,
    /// Queued segments that end slow start. Default 1.
    pub gamma: u32,
    /// Whether the window is cut when the queueing delay reaches twice its smallest value. On by default.
    pub drain: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { arithmetic: Arithmetic::Exact, total_alpha: 10, initial_alpha: 2, gamma: 1, drain: true }
    }
}

/// The `wvegas` algorithm of one subflow.
#[derive(Clone, Copy, Debug)]
pub struct WVegas {
    config: Config,
    /// Off outside `Open`.
    active: bool,
    /// Smallest sample ever.
    base_rtt: Duration,
    /// Samples of this round.
    sum: Duration,
    samples: u64,
    /// Whether the window limited sending at any ACK of this round; in the kernel always.
    limited: bool,
    /// End of the round as a stream offset.
    end_of_round: u64,
    /// Its share in segments; whole in the integer mode.
    alpha: f64,
    /// Smallest queueing delay since the last drain.
    queue_delay: Option<Duration>,
}

impl Default for WVegas {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl WVegas {
    /// A flow with these parameters.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            active: true,
            base_rtt: Duration::MAX,
            sum: Duration::ZERO,
            samples: 0,
            limited: false,
            end_of_round: 0,
            alpha: f64::from(config.initial_alpha),
            queue_delay: None,
        }
    }

    /// A time as the clock of the integer mode tells it, in whole microseconds.
    fn whole(&self, time: Duration) -> Duration {
        match self.config.arithmetic {
            Arithmetic::Exact => time,
            Arithmetic::Linux => Duration::from_micros(time.as_micros()),
        }
    }

    /// Starts measuring anew; the base delay stays.
    fn enable(&mut self) {
        *self = Self { base_rtt: self.base_rtt, end_of_round: self.end_of_round, ..Self::new(self.config) };
    }

    /// The share of this subflow, in segments: its part of the sum of rates.
    fn share(&self, cwnd: u32, rtt: Duration, me: usize, paths: &[PathView]) -> f64 {
        let others = paths
            .iter()
            .enumerate()
            .filter(|&(index, path)| index != me && coupling::usable(path))
            .map(|(_, path)| (path.cwnd, path.srtt));
        match self.config.arithmetic {
            Arithmetic::Exact => {
                let rate = |cwnd: u32, rtt: Duration| f64::from(cwnd) / rtt.as_nanos().max(1) as f64;
                let own = rate(cwnd, rtt);
                let others: f64 = others.map(|(cwnd, rtt)| rate(cwnd, rtt)).sum();
                if own > 0.0 { f64::from(self.config.total_alpha) * own / (own + others) } else { 0.0 }
            }
            Arithmetic::Linux => {
                let rate = |cwnd: u32, rtt: Duration| (u64::from(cwnd) << 32) / rtt.as_micros().max(1);
                let own = rate(cwnd, rtt);
                let others = others.map(|(cwnd, rtt)| rate(cwnd, rtt)).fold(0, u64::saturating_add);
                let sum = u128::from(own) + u128::from(others);
                let part = u128::from(own) * u128::from(self.config.total_alpha) / sum.max(1);
                // At most `total_alpha`.
                f64::from((part as u32).max(self.config.initial_alpha))
            }
        }
    }

    /// The threshold after the window shrank: below it, but in kernel v0.96 not.
    fn lowered(&self, window: &Window) -> u32 {
        match self.config.arithmetic {
            Arithmetic::Exact => below(window),
            Arithmetic::Linux => window.ssthresh.min(window.cwnd),
        }
    }

    /// Segments of a window of `cwnd` that wait in queues: `cwnd * queueing / rtt`.
    fn queued(&self, cwnd: u32, queueing: Duration, rtt: Duration) -> f64 {
        match self.config.arithmetic {
            Arithmetic::Exact => f64::from(cwnd) * queueing.as_nanos() as f64 / rtt.as_nanos().max(1) as f64,
            Arithmetic::Linux => f64::from(scaled(cwnd, queueing, rtt)),
        }
    }

    fn end_round(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]) {
        let rtt = self.whole(self.sum / self.samples);
        let queueing = rtt.saturating_sub(self.base_rtt);
        let queued = self.queued(window.cwnd, queueing, rtt);
        if window.in_slow_start() {
            if queued > f64::from(self.config.gamma) {
                window.cwnd = window.cwnd.min(scaled(window.cwnd, self.base_rtt, rtt) + 1);
                window.ssthresh = self.lowered(window);
            } else if ack.cwnd_limited {
                reno::slow_start(window, ack.delivered);
            }
        } else {
            if queued >= self.alpha {
                self.alpha = self.share(window.cwnd, rtt, me, paths);
            }
            if queued > self.alpha {
                window.cwnd -= 1;
                window.ssthresh = self.lowered(window);
            } else if queued < self.alpha && self.limited {
                window.cwnd = window.cwnd.saturating_add(1);
            }
            let smallest = self.queue_delay.map_or(queueing, |delay| delay.min(queueing));
            let smallest = match self.config.arithmetic {
                Arithmetic::Exact => smallest,
                Arithmetic::Linux => smallest.max(JITTER),
            };
            self.queue_delay = Some(smallest);
            if self.config.drain && !smallest.is_zero() && queueing >= smallest * 2 {
                window.cwnd = scaled(window.cwnd, self.base_rtt, rtt * 2);
                self.queue_delay = None;
            }
        }
        window.cwnd = window.cwnd.min(window.clamp).max(MIN_CWND);
        window.ssthresh = window.ssthresh.max(window.cwnd / 2 + window.cwnd / 4);
    }
}

/// `count * part / whole`, rounded down, with `part` not above `whole`.
fn scaled(count: u32, part: Duration, whole: Duration) -> u32 {
    let product = u128::from(count) * u128::from(part.as_nanos()) / u128::from(whole.as_nanos().max(1));
    (product as u32).min(count)
}

impl CongestionControl for WVegas {
    fn name(&self) -> &'static str {
        "wvegas"
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, me: usize, paths: &[PathView]) {
        if !self.active {
            return reno::grow(window, ack);
        }
        self.limited |= ack.cwnd_limited || self.config.arithmetic == Arithmetic::Linux;
        if ack.snd_una > self.end_of_round {
            self.end_of_round = ack.snd_nxt;
            if self.samples < MIN_SAMPLES {
                reno::grow(window, ack);
            } else {
                self.end_round(window, ack, me, paths);
            }
            self.sum = Duration::ZERO;
            self.samples = 0;
            self.limited = false;
        } else if window.in_slow_start() && ack.cwnd_limited {
            reno::slow_start(window, ack.delivered);
        }
    }

    fn on_rtt_sample(&mut self, _window: &mut Window, _ack: &AckEvent, rtt: Duration) {
        let rtt = match self.config.arithmetic {
            Arithmetic::Exact => rtt,
            Arithmetic::Linux => self.whole(rtt) + SAMPLE_BIAS,
        };
        self.base_rtt = self.base_rtt.min(rtt);
        self.sum += rtt;
        self.samples += 1;
    }

    fn ssthresh(
        &mut self,
        window: &Window,
        _cause: Cause,
        _now: Instant,
        _me: usize,
        _paths: &[PathView],
    ) -> u32 {
        reno::halved(window)
    }

    fn on_state_change(&mut self, _window: &mut Window, _old: CaState, new: CaState) {
        if new == CaState::Open {
            self.enable();
        } else {
            self.active = false;
        }
    }

    /// After idling everything is measured anew, the base delay too.
    fn on_cwnd_restart(&mut self, _window: &mut Window, _now: Instant) {
        *self = Self { end_of_round: self.end_of_round, ..Self::new(self.config) };
    }

    fn is_coupled(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ack, path, window};
    use super::*;

    /// One round of `samples` ACKs with this round-trip time, the last of which ends the round.
    fn round(flow: &mut WVegas, window: &mut Window, rtt: u64, samples: u64, me: usize, paths: &[PathView]) {
        for sample in 1..=samples {
            let snd_una = flow.end_of_round + u64::from(sample == samples);
            let event = AckEvent { snd_una, snd_nxt: snd_una + 100, ..ack(1) };
            flow.on_rtt_sample(window, &event, Duration::from_millis(rtt));
            flow.on_ack(window, &event, me, paths);
        }
    }

    fn linux() -> Config {
        Config { arithmetic: Arithmetic::Linux, ..Config::default() }
    }

    fn settled() -> WVegas {
        WVegas { base_rtt: Duration::from_millis(100), ..WVegas::new(linux()) }
    }

    // CC-07
    #[test]
    fn the_window_moves_by_one_towards_its_share_of_queued_segments() {
        // 40 segments over 100 ms base: 105 ms hold 1.9 segments in queues, 130 ms hold 9.2.
        for (rtt, alpha, expected) in [(105, 2.0, 41), (130, 10.0, 41), (140, 10.0, 39)] {
            let mut flow = WVegas { alpha, ..settled() };
            let mut flow_window = window(40, 20);
            round(&mut flow, &mut flow_window, rtt, 5, 0, &[]);
            assert_eq!(flow_window.cwnd, expected, "{rtt} ms");
        }
    }

    // CC-07
    #[test]
    fn the_share_is_the_part_of_the_total_rate_and_at_least_two() {
        let paths = [path(30, 100), path(10, 100)];
        let shares = [(0, 30, 7.0), (1, 10, 2.0)];
        for (me, cwnd, expected) in shares {
            assert_eq!(settled().share(cwnd, Duration::from_millis(100), me, &paths), expected);
        }
        assert_eq!(settled().share(1, Duration::from_millis(100), 1, &[path(300, 100), path(1, 100)]), 2.0);
        assert_eq!(settled().share(30, Duration::from_millis(100), 0, &[]), 10.0, "alone it gets all");
    }

    // CC-07
    #[test]
    fn a_queue_twice_as_long_as_the_shortest_is_drained() {
        let mut flow = WVegas { alpha: 10.0, ..settled() };
        let mut flow_window = window(40, 20);
        round(&mut flow, &mut flow_window, 110, 5, 0, &[]);
        assert_eq!(flow_window.cwnd, 41);
        round(&mut flow, &mut flow_window, 125, 5, 0, &[]);
        // 42 segments * 100 ms / (2 * 125 ms)
        assert_eq!(flow_window.cwnd, 16);
    }

    // CC-07
    #[test]
    fn rounds_with_fewer_than_three_samples_are_reno() {
        let mut flow = settled();
        let mut flow_window = window(40, 20);
        round(&mut flow, &mut flow_window, 200, 2, 0, &[]);
        assert_eq!((flow_window.cwnd, flow_window.cwnd_cnt), (40, 1));
    }

    // CC-07
    #[test]
    fn slow_start_ends_when_more_than_gamma_segments_queue() {
        // In v0.96 the threshold is the window, as measured.
        for (config, threshold) in [(linux(), 34), (Config::default(), 33)] {
            let mut flow = WVegas { base_rtt: Duration::from_millis(100), ..WVegas::new(config) };
            let mut flow_window = window(40, Window::INFINITE_SSTHRESH);
            round(&mut flow, &mut flow_window, 125, 3, 0, &[]);
            // Two ACKs of slow start, then 42 * 100 / 125 + 1.
            assert_eq!((flow_window.cwnd, flow_window.ssthresh), (34, threshold), "{config:?}");
        }
    }

    // CC-07
    #[test]
    fn a_round_without_queueing_does_not_keep_the_next_one_from_draining() {
        let (mut flow, mut flow_window) = (settled(), window(40, 20));
        // The kernel counts a microsecond more with each sample.
        round(&mut flow, &mut flow_window, 100, 4, 0, &[]);
        flow.base_rtt = Duration::from_millis(100);
        round(&mut flow, &mut flow_window, 100, 4, 0, &[]);
        let before = flow_window.cwnd;
        round(&mut flow, &mut flow_window, 102, 4, 0, &[]);
        assert!(flow_window.cwnd <= before / 2, "{} of {before}", flow_window.cwnd);
    }

    // CC-07: as in v0.96, measured: older kernels stayed at the threshold until a segment queued.
    #[test]
    fn a_window_at_its_threshold_is_past_slow_start() {
        for config in [linux(), Config::default()] {
            let mut flow = WVegas { base_rtt: Duration::from_millis(100), ..WVegas::new(config) };
            let mut flow_window = window(15, 15);
            round(&mut flow, &mut flow_window, 100, 4, 0, &[]);
            assert_eq!(flow_window.cwnd, 16);
        }
    }

    // CC-07
    #[test]
    fn outside_the_open_state_it_is_reno_and_the_base_delay_survives() {
        let mut flow = WVegas { alpha: 7.0, ..settled() };
        let mut flow_window = window(10, 10);
        flow.on_state_change(&mut flow_window, CaState::Open, CaState::Disorder);
        for _ in 0..10 {
            flow.on_ack(&mut flow_window, &ack(1), 0, &[]);
        }
        assert_eq!(flow_window.cwnd, 11);
        flow.on_state_change(&mut flow_window, CaState::Disorder, CaState::Open);
        assert_eq!((flow.active, flow.alpha, flow.base_rtt), (true, 2.0, Duration::from_millis(100)));
        flow.on_cwnd_restart(&mut flow_window, Instant::ZERO);
        assert_eq!(flow.base_rtt, Duration::MAX);
    }

    // CC-07: the equations keep the fractions that the kernel drops.
    #[test]
    fn exact_shares_add_up_to_the_total_and_queued_segments_keep_their_fraction() {
        let paths = [path(30, 100), path(10, 50), path(1, 200)];
        let exact = WVegas { base_rtt: Duration::from_millis(100), ..WVegas::default() };
        let share = |me: usize| exact.share(paths[me].cwnd, paths[me].srtt, me, &paths);
        assert!(((0..3).map(share).sum::<f64>() - 10.0).abs() < 1e-9);
        assert!((share(0) - 10.0 * 300.0 / 505.0).abs() < 1e-9, "{}", share(0));
        assert!(share(2) < 0.1, "no floor: {}", share(2));
        let queued = exact.queued(40, Duration::from_millis(5), Duration::from_millis(105));
        assert!((queued - 40.0 * 5.0 / 105.0).abs() < 1e-9, "{queued}");
    }

    proptest::proptest! {
        // CC-12: the integers lose less than one segment of either, but for the floor of a share; rates in
        // 2^-32 segments per microsecond leave less than a thousandth of a segment to either side.
        #[test]
        fn kernel_shares_and_queues_are_the_equations_rounded_down(
            cwnd in 2_u32..2000,
            other in 2_u32..2000,
            base in 5_000_u64..200_000,
            queueing in 0_u64..100_000,
            other_rtt in 5_000_u64..300_000,
        ) {
            let rtt = Duration::from_micros(base + queueing);
            let paths = [
                PathView { srtt: rtt, ..path(cwnd, 1) },
                PathView { srtt: Duration::from_micros(other_rtt), ..path(other, 1) },
            ];
            let (exact, linux) = (WVegas::default(), WVegas::new(linux()));
            let [real, whole] = [exact, linux].map(|flow| flow.share(cwnd, rtt, 0, &paths));
            let floor = real.max(2.0);
            proptest::prop_assert!(whole <= floor + 1e-3 && whole > floor - 1.0 - 1e-3, "{real} and {whole}");
            let queueing = Duration::from_micros(queueing);
            let [real, whole] = [exact, linux].map(|flow| flow.queued(cwnd, queueing, rtt));
            proptest::prop_assert!(whole <= real && whole > real - 1.0 - 1e-9, "{real} and {whole}");
        }
    }
}

//! CUBIC (RFC 9438) in the integers of Linux `tcp_cubic`: time in milliseconds, the cubic function in
//! units of 1/1024 s, growth expressed as segments to acknowledge per segment of growth. After a loss the
//! window returns along `C (t - K)^3 + W_max`; where Reno would be faster, it follows the Reno-friendly
//! estimate; fast convergence gives way to new flows. Slow start may end by HyStart.
//!
//! As in Linux and other than in the RFC: the target looks ahead by the smallest round-trip time, not
//! the smoothed one; growth is limited to one segment for two acknowledged (the RFC bounds the target by
//! 1.5 windows, which is the same); before the first loss it is at least one segment for 20. The cube
//! root is exact where the kernel's is good to 0.2 %. Left out is the change of `W_est` to Reno's slope after it
//! passed `W_max` (RFC 9438, section 4.3).

use sim_core::{Duration, Instant};

use super::hystart::{Growth, HyStart, Mode};
use super::{AckEvent, CaState, Cause, CongestionControl, PathView, Window, reno};

/// Scale of beta and of C.
const SCALE: u32 = 1024;
/// Time in the cubic function has 10 fractional bits, its cube 30, and C has 10.
const CUBE_SHIFT: u32 = 40;
/// The cubic function is not followed further than 128 s from its inflection.
const MAX_OFFSET: u64 = 1 << 17;
/// Milliseconds in which a constant window needs no new target (1/32 s).
const UPDATE_INTERVAL: u64 = 31;

/// Parameters of [`Cubic`]; the default is Linux's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// What remains of the window after a loss, in 1/1024; 1 to 1000. Default 717.
    pub beta: u32,
    /// The constant C in 1/1024 segments per cubic second; 1 to 4096. Default 410.
    pub c: u32,
    /// Lowers the remembered maximum when losses come at shrinking windows. Default on.
    pub fast_convergence: bool,
    /// Grows at least as fast as Reno with the same decrease. Default on.
    pub friendliness: bool,
    /// How slow start ends. Default [`Mode::Classic`].
    pub hystart: Mode,
}

impl Default for Config {
    fn default() -> Self {
        Self { beta: 717, c: 410, fast_convergence: true, friendliness: true, hystart: Mode::Classic }
    }
}

/// The `cubic` algorithm.
#[derive(Clone, Copy, Debug)]
pub struct Cubic {
    config: Config,
    hystart: HyStart,
    /// Segments to acknowledge for one segment of growth.
    count: u32,
    /// W_max.
    last_max: u32,
    last_cwnd: u32,
    /// Last computation of the target, in ms.
    last_time: u64,
    epoch: Option<Epoch>,
    /// Smallest round-trip time since the last timeout.
    delay_min: Option<Duration>,
}

/// One return from a loss.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// Start in ms.
    start: u64,
    /// Window at the inflection.
    origin: u32,
    /// Time from the start to the inflection in 1/1024 s.
    k: u64,
    /// Segments acknowledged and not yet counted in `reno_cwnd`.
    acked: u32,
    /// The window Reno would have.
    reno_cwnd: u32,
}

impl Default for Cubic {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Cubic {
    /// A flow with these parameters; values out of range are brought to the nearest valid one.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let config = Config { beta: config.beta.clamp(1, 1000), c: config.c.clamp(1, 4096), ..config };
        Self {
            config,
            hystart: HyStart::new(config.hystart),
            count: 1,
            last_max: 0,
            last_cwnd: 0,
            last_time: 0,
            epoch: None,
            delay_min: None,
        }
    }

    /// Computes how many acknowledged segments make one segment of growth.
    fn update(&mut self, cwnd: u32, acked: u32, now: u64) {
        if let Some(epoch) = &mut self.epoch {
            epoch.acked = epoch.acked.saturating_add(acked);
            if self.last_cwnd == cwnd && now.saturating_sub(self.last_time) <= UPDATE_INTERVAL {
                return;
            }
        }
        let fresh = self.epoch.is_none();
        let epoch =
            self.epoch.get_or_insert_with(|| Epoch::begin(cwnd, acked, now, self.last_max, self.config.c));
        if fresh || now != self.last_time {
            self.last_cwnd = cwnd;
            self.last_time = now;
            let ahead = self.delay_min.map_or(0, Duration::as_millis);
            let target = epoch.target(now + ahead, self.config.c);
            self.count = match target.checked_sub(u64::from(cwnd)) {
                // The quotient is at most `cwnd`.
                Some(gap @ 1..) => (u64::from(cwnd) / gap) as u32,
                _ => cwnd.saturating_mul(100),
            };
            if self.last_max == 0 {
                self.count = self.count.min(20);
            }
        }
        if self.config.friendliness {
            self.count = self.count.min(epoch.reno_friendly(cwnd, self.config.beta));
        }
        self.count = self.count.max(2);
    }
}

impl Epoch {
    fn begin(cwnd: u32, acked: u32, now: u64, last_max: u32, c: u32) -> Self {
        let below = u64::from(last_max.saturating_sub(cwnd));
        // The 40 bits of the shift leave room for windows up to 2^24 below the maximum.
        let k = cube_root((1_u64 << CUBE_SHIFT) / u64::from(c) * below.min(1 << 23));
        Self { start: now, origin: last_max.max(cwnd), k, acked, reno_cwnd: cwnd }
    }

    /// The cubic function at `time` ms.
    fn target(&self, time: u64, c: u32) -> u64 {
        let t = (time.saturating_sub(self.start) << 10) / 1000;
        let offset = t.abs_diff(self.k).min(MAX_OFFSET);
        let delta = (u64::from(c) * offset * offset * offset) >> CUBE_SHIFT;
        let origin = u64::from(self.origin);
        if t < self.k { origin.saturating_sub(delta) } else { origin + delta }
    }

    /// The largest count with which the window keeps up with Reno.
    fn reno_friendly(&mut self, cwnd: u32, beta: u32) -> u32 {
        let scale = u64::from(8 * (SCALE + beta) / 3 / (SCALE - beta));
        let per_segment = u32::try_from((u64::from(cwnd) * scale) >> 3).unwrap_or(u32::MAX).max(1);
        if self.acked > per_segment {
            let steps = (self.acked - 1) / per_segment;
            self.acked -= steps * per_segment;
            self.reno_cwnd = self.reno_cwnd.saturating_add(steps);
        }
        if self.reno_cwnd > cwnd { cwnd / (self.reno_cwnd - cwnd) } else { u32::MAX }
    }
}

/// The largest integer whose cube is not above `value`.
fn cube_root(value: u64) -> u64 {
    let mut root = 0_u64;
    for bit in (0..=21).rev() {
        let candidate = root | 1 << bit;
        if candidate.checked_pow(3).is_some_and(|cube| cube <= value) {
            root = candidate;
        }
    }
    root
}

fn millis(now: Instant) -> u64 {
    now.as_nanos() / 1_000_000
}

impl CongestionControl for Cubic {
    fn name(&self) -> &'static str {
        "cubic"
    }

    fn on_ack(&mut self, window: &mut Window, ack: &AckEvent, _me: usize, _paths: &[PathView]) {
        if !ack.cwnd_limited || ack.delivered == 0 {
            return;
        }
        let mut acked = ack.delivered;
        if window.in_slow_start() {
            match self.hystart.growth(window, acked) {
                Growth::Limited(segments) => {
                    reno::slow_start(window, segments);
                    return;
                }
                Growth::Normal => acked = reno::slow_start(window, acked),
            }
            if acked == 0 {
                return;
            }
        }
        self.update(window.cwnd, acked, millis(ack.now));
        reno::additive_increase(window, self.count, acked);
    }

    fn on_rtt_sample(&mut self, window: &mut Window, ack: &AckEvent, rtt: Duration) {
        // Samples of the second after a loss still hold the queue of before.
        if self.epoch.is_some_and(|epoch| millis(ack.now) < epoch.start + 1000) {
            return;
        }
        let rtt = rtt.max(Duration::from_micros(1));
        let delay_min = self.delay_min.map_or(rtt, |delay| delay.min(rtt));
        self.delay_min = Some(delay_min);
        if window.in_slow_start() {
            self.hystart.on_sample(window, ack, rtt, delay_min);
        }
    }

    fn ssthresh(
        &mut self,
        window: &Window,
        _cause: Cause,
        _now: Instant,
        _me: usize,
        _paths: &[PathView],
    ) -> u32 {
        let Config { beta, fast_convergence, .. } = self.config;
        let scaled = |factor: u32, divisor: u32| {
            (u64::from(window.cwnd) * u64::from(factor) / u64::from(divisor)) as u32
        };
        self.epoch = None;
        self.last_max = if fast_convergence && window.cwnd < self.last_max {
            scaled(SCALE + beta, 2 * SCALE)
        } else {
            window.cwnd
        };
        scaled(beta, SCALE).max(2)
    }

    fn on_state_change(&mut self, _window: &mut Window, _old: CaState, new: CaState) {
        if new == CaState::Loss {
            let mut hystart = self.hystart;
            hystart.reset();
            *self = Self { hystart, ..Self::new(self.config) };
        }
    }

    /// Idle time does not count for the cubic function.
    fn on_transmit_start(&mut self, _window: &mut Window, now: Instant, idle: Duration) {
        if let Some(epoch) = &mut self.epoch {
            epoch.start = (epoch.start + idle.as_millis()).min(millis(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ack, window};
    use super::*;

    fn lose(cubic: &mut Cubic, flow: &mut Window) {
        flow.ssthresh = cubic.ssthresh(flow, Cause::Loss, Instant::ZERO, 0, &[]);
        flow.cwnd = flow.ssthresh;
        flow.cwnd_cnt = 0;
    }

    #[test]
    fn cube_roots_are_exact() {
        for root in [1_u64, 2, 3, 10, 1000, 3833, 2_097_151] {
            let cube = root.pow(3);
            assert_eq!((cube_root(cube), cube_root(cube - 1)), (root, root - 1));
        }
        assert_eq!(cube_root(u64::MAX), 2_642_245);
    }

    // RFC 9438, sections 4.6 and 4.7
    #[test]
    fn loss_leaves_seven_tenths_and_fast_convergence_lowers_the_maximum() {
        let mut cubic = Cubic::default();
        let mut flow = window(100, 100);
        lose(&mut cubic, &mut flow);
        assert_eq!((flow.cwnd, cubic.last_max), (70, 100));
        flow.cwnd = 90;
        lose(&mut cubic, &mut flow);
        assert_eq!((flow.cwnd, cubic.last_max), (63, 76));
        assert_eq!(cubic.ssthresh(&window(1, 1), Cause::Loss, Instant::ZERO, 0, &[]), 2);
    }

    /// Drives the flow by a saturated 10 Mbit/s link of 1514-byte frames with one ACK for two segments.
    fn assert_follows(cubic: &mut Cubic, flow: &mut Window, linux: &[u32]) {
        cubic.delay_min = Some(Duration::from_micros(40_361));
        let spacing = Duration::from_nanos(2 * 1_211_200);
        let start = Instant::ZERO + Duration::from_secs(10);
        let mut now = start;
        for (sample, &expected) in linux.iter().enumerate() {
            while now < start + Duration::from_millis(100) * sample as u64 {
                cubic.on_ack(flow, &AckEvent { now, ..ack(2) }, 0, &[]);
                now += spacing;
            }
            assert!(flow.cwnd.abs_diff(expected) <= 1, "sample {sample}: {} for {expected}", flow.cwnd);
        }
    }

    // CC-08: a Linux 6.18 sender, 10 Mbit/s, 40 ms, queue of one bandwidth-delay product, window sampled
    // every 100 ms after a loss at 68 segments, the maximum before being 68.
    #[test]
    fn the_concave_return_to_the_maximum_follows_a_linux_sender() {
        const LINUX: [u32; 25] = [
            47, 49, 50, 52, 54, 55, 57, 58, 59, 60, 61, 61, 62, 63, 64, 64, 65, 65, 66, 66, 66, 67, 67, 67,
            68,
        ];
        let (mut cubic, mut flow) = (Cubic::default(), window(68, 47));
        lose(&mut cubic, &mut flow);
        assert_follows(&mut cubic, &mut flow, &LINUX);
    }

    // CC-08: the same sender after a loss at 68 segments, the maximum before having been 71.
    #[test]
    fn the_return_after_fast_convergence_follows_a_linux_sender() {
        const LINUX: [u32; 29] = [
            47, 49, 50, 51, 51, 52, 53, 53, 54, 54, 55, 56, 57, 57, 58, 59, 60, 60, 61, 62, 62, 63, 64, 65,
            65, 66, 67, 67, 68,
        ];
        let (mut cubic, mut flow) = (Cubic::default(), window(71, Window::INFINITE_SSTHRESH));
        lose(&mut cubic, &mut flow);
        flow.cwnd = 68;
        lose(&mut cubic, &mut flow);
        assert_follows(&mut cubic, &mut flow, &LINUX);
    }

    #[test]
    fn the_window_passes_the_maximum_after_k() {
        let config = Config { friendliness: false, ..Config::default() };
        let (mut cubic, mut flow) = (Cubic::new(config), window(1000, 1000));
        lose(&mut cubic, &mut flow);
        let start = Instant::ZERO + Duration::from_secs(5);
        let mut reached = Duration::ZERO;
        for step in 0..3000_u64 {
            let now = start + Duration::from_millis(5) * step;
            cubic.on_ack(&mut flow, &AckEvent { now, ..ack(50) }, 0, &[]);
            if flow.cwnd <= 1000 {
                reached = now.saturating_since(start);
            }
        }
        // K = cbrt(1000 * 0.3 / 0.4) = 9.09 s; the curve is one segment above after cbrt(1 / 0.4) = 1.36 s more.
        let expected = Duration::from_millis(9090);
        assert!(reached > expected && reached < expected + Duration::from_millis(1500), "{reached}");
    }

    // CC-10
    #[test]
    fn idle_time_does_not_move_the_flow_along_its_curve() {
        let run = |idle: Duration| {
            let (mut cubic, mut flow) = (Cubic::default(), window(200, 200));
            lose(&mut cubic, &mut flow);
            let mut now = Instant::ZERO + Duration::from_secs(1);
            for step in 0..400 {
                if step == 200 {
                    now += idle;
                    cubic.on_transmit_start(&mut flow, now, idle);
                }
                now += Duration::from_millis(5);
                cubic.on_ack(&mut flow, &AckEvent { now, ..ack(10) }, 0, &[]);
            }
            flow.cwnd
        };
        assert_eq!(run(Duration::ZERO), run(Duration::from_secs(60)));
    }

    #[test]
    fn a_timeout_forgets_the_maximum_and_the_smallest_delay() {
        let (mut cubic, mut flow) = (Cubic::default(), window(100, 100));
        cubic.on_rtt_sample(&mut flow, &ack(1), Duration::from_millis(10));
        lose(&mut cubic, &mut flow);
        cubic.on_state_change(&mut flow, CaState::Open, CaState::Loss);
        assert_eq!((cubic.last_max, cubic.delay_min), (0, None));
    }

    #[test]
    fn growth_before_the_first_loss_is_at_least_one_segment_for_twenty() {
        let (mut cubic, mut flow) = (Cubic::default(), window(200, 200));
        for step in 0..20_u64 {
            let now = Instant::ZERO + Duration::from_millis(step);
            cubic.on_ack(&mut flow, &AckEvent { now, ..ack(1) }, 0, &[]);
        }
        assert_eq!(flow.cwnd, 201);
    }

    // CC-08: the first ACKs of the same sender with the time of arrival in microseconds, segments acknowledged, segments
    // sent before it, and the round-trip time of the last one acknowledged in microseconds. The sender counted
    // one train detection, at a window of 59, and had 68 segments 0.42 s after its SYN.
    #[test]
    fn slow_start_ends_at_the_ack_where_a_linux_sender_ended_it() {
        #[rustfmt::skip]
        const ACKS: [(u64, u32, u64, u64); 46] = [
            (81890, 1, 10, 41363), (83064, 1, 12, 42535), (84278, 1, 14, 43742), (85481, 1, 16, 44945),
            (86691, 1, 18, 46153), (87903, 1, 20, 47365), (89112, 1, 22, 48573), (90326, 1, 24, 49786),
            (91534, 1, 26, 50992), (92744, 1, 28, 52201), (123273, 1, 30, 41354), (124442, 1, 32, 42520),
            (125648, 1, 34, 42578), (126858, 1, 36, 43787), (128085, 1, 38, 43804), (129283, 1, 40, 45001),
            (130488, 1, 42, 45004), (131699, 1, 44, 46214), (132913, 1, 46, 46218), (134122, 1, 48, 47427),
            (135330, 1, 50, 47423), (136544, 1, 52, 48636), (137756, 1, 54, 48640), (138968, 1, 56, 49851),
            (141393, 2, 58, 51063), (143810, 2, 62, 52271), (146230, 2, 66, 53482), (165813, 2, 70, 42518),
            (167014, 1, 74, 42542), (168224, 1, 76, 43750), (169438, 1, 78, 43785), (170647, 1, 80, 44993),
            (171855, 1, 82, 44992), (173069, 1, 84, 46205), (174286, 1, 86, 46197), (175486, 1, 88, 47397),
            (176701, 1, 90, 47414), (177915, 1, 92, 48628), (179122, 1, 94, 48630), (180335, 1, 96, 49843),
            (181549, 1, 98, 49846), (182761, 1, 100, 51058), (183970, 1, 102, 51053), (185180, 1, 104, 52262),
            (186390, 1, 106, 52264), (187601, 1, 108, 53474),
        ];
        let (mut cubic, mut flow) = (Cubic::default(), window(10, Window::INFINITE_SSTHRESH));
        let mut acknowledged = 0;
        for (time, delivered, sent, rtt) in ACKS {
            assert!(flow.in_slow_start(), "left slow start before {time} us");
            acknowledged += u64::from(delivered);
            let now = Instant::ZERO + Duration::from_micros(time);
            let event = AckEvent { now, snd_una: acknowledged, snd_nxt: sent, ..ack(delivered) };
            cubic.on_rtt_sample(&mut flow, &event, Duration::from_micros(rtt));
            cubic.on_ack(&mut flow, &event, 0, &[]);
        }
        assert_eq!((flow.cwnd, flow.ssthresh), (59, 59));
        for step in 1..=96 {
            let now = Instant::ZERO + Duration::from_micros(187_601 + 2_422 * step);
            cubic.on_ack(&mut flow, &AckEvent { now, ..ack(2) }, 0, &[]);
        }
        assert_eq!(flow.cwnd, 68);
    }
}

use super::super::tests::{ack, path, window};
use super::*;

const RTT: Duration = Duration::from_millis(40);

/// A flow that is fed one sample a round.
struct Rounds {
    bbr: Bbr,
    window: Window,
    now: Instant,
    delivered: u64,
    lost: u64,
}

impl Rounds {
    fn new() -> Self {
        let mut window = window(10, Window::INFINITE_SSTHRESH);
        let mut bbr = Bbr::default();
        bbr.on_established(Instant::ZERO, &mut window, &path(10, 40));
        Self { bbr, window, now: Instant::ZERO, delivered: 0, lost: 0 }
    }

    /// A round in which `delivered` segments arrive and `lost` do not.
    fn round_with(&mut self, rtt: Duration, delivered: u32, lost: u32, in_flight: u32) {
        self.now += rtt;
        let prior_delivered = self.delivered;
        self.delivered += u64::from(delivered);
        self.lost += u64::from(lost);
        let event = AckEvent {
            now: self.now,
            rtt: Some(rtt),
            prior_in_flight: in_flight,
            in_flight,
            ..ack(delivered)
        };
        let sample = RateSample {
            prior_delivered,
            delivered: u64::from(delivered),
            interval: Some(rtt),
            losses: lost,
            total_delivered: self.delivered,
            total_lost: self.lost,
            delivered_at: self.now,
            srtt: rtt,
            mss: 1448,
            ..RateSample::default()
        };
        self.bbr.control(&mut self.window, &event, &sample);
    }

    fn round(&mut self, delivered: u32) {
        self.round_with(RTT, delivered, 0, delivered);
    }

    /// Doubles until 100 segments a round, then runs into the limit.
    fn filled() -> Self {
        let mut flow = Self::new();
        for delivered in [10, 20, 40, 80, 100, 100, 100] {
            flow.round(delivered);
        }
        flow
    }

    /// Past `Startup` and `Drain`.
    fn probing() -> Self {
        let mut flow = Self::filled();
        flow.round_with(RTT, 100, 0, 200);
        flow.round_with(RTT, 100, 0, 100);
        flow
    }
}

#[test]
fn startup_ends_when_three_rounds_bring_less_than_a_quarter_more() {
    let mut flow = Rounds::filled();
    // 100 is a quarter more than 80; then two rounds of nothing.
    assert_eq!((flow.bbr.mode, flow.bbr.pacing_gain), (Mode::Startup, 739));
    flow.round_with(RTT, 100, 0, 200);
    assert_eq!((flow.bbr.mode, flow.bbr.pacing_gain), (Mode::Drain, 88));
    // 100 segments and three bursts of a millisecond, which are of six at the pace of startup.
    assert_eq!(flow.window.ssthresh, 118);
    flow.round_with(RTT, 100, 0, 100);
    assert_eq!(flow.bbr.mode, Mode::ProbeBw);
}

#[test]
fn the_pace_is_one_per_cent_below_the_rate_of_the_path() {
    let mut flow = Rounds::filled();
    for _ in 0..20 {
        flow.round(100);
    }
    let path_rate = 100.0 * 1448.0 / 0.04;
    let expected = path_rate * 0.99 * flow.bbr.pacing_gain as f64 / 256.0;
    assert!((flow.bbr.pacing_rate as f64 / expected - 1.0).abs() < 1e-5, "{}", flow.bbr.pacing_rate);
}

#[test]
fn the_first_pace_follows_from_the_handshake() {
    let flow = Rounds::new();
    // 2 / ln 2 times ten segments in 40 ms.
    let expected = 739.0 / 256.0 * 10.0 * 1448.0 / 0.04 * 0.99;
    assert!((flow.bbr.pacing_rate as f64 / expected - 1.0).abs() < 1e-3, "{}", flow.bbr.pacing_rate);
}

#[test]
fn the_cycle_probes_up_and_down_once_in_eight_round_trips() {
    let mut flow = Rounds::probing();
    // Each phase lasts for more than the smallest round-trip time, so two rounds of exactly that.
    let gains: Vec<_> = (0..48)
        .map(|_| {
            flow.round_with(RTT + Duration::from_micros(1), 100, 0, 140);
            flow.bbr.pacing_gain
        })
        .skip(16)
        .collect();
    let count = |gain| gains.iter().filter(|one| **one == gain).count();
    assert_eq!((count(320), count(192), count(256)), (4, 4, 24), "{gains:?}");
    // Two products, three bursts, and the round that is acknowledged at once.
    assert!((306..=312).contains(&flow.window.cwnd), "{:?}", flow.window);
}

#[test]
fn an_old_round_trip_time_is_measured_anew_with_four_segments() {
    let mut flow = Rounds::probing();
    let queueing = RTT + Duration::from_millis(5);
    let mut dips = 0;
    for _ in 0..600 {
        let before = flow.bbr.mode;
        let held = before == Mode::ProbeRtt;
        flow.round_with(queueing, if held { 4 } else { 100 }, 0, if held { 4 } else { 120 });
        if flow.bbr.mode == Mode::ProbeRtt {
            dips += u32::from(before != Mode::ProbeRtt);
            assert_eq!(flow.window.cwnd, 4);
        } else if before == Mode::ProbeRtt {
            assert!(flow.window.cwnd >= 100, "the window is restored: {:?}", flow.window);
        }
    }
    // 600 rounds of 45 ms are 27 s.
    assert_eq!((dips, flow.bbr.min_rtt), (2, queueing));
}

#[test]
fn random_losses_do_not_slow_it_down_but_a_policer_is_obeyed() {
    let mut flow = Rounds::probing();
    for _ in 0..100 {
        flow.round_with(RTT, 95, 5, 120);
    }
    assert_eq!(flow.bbr.long_term.rate(), None);
    let mut policed = Rounds::probing();
    for _ in 0..20 {
        policed.round_with(RTT, 60, 40, 120);
    }
    let rate = policed.bbr.long_term.rate().expect("two intervals agree") as f64 / UNIT as f64;
    assert!((rate / (60.0 / 40_000.0) - 1.0).abs() < 0.3, "{rate} segments per microsecond");
    assert_eq!(policed.bbr.pacing_gain, GAIN, "no probing");
    for _ in 0..60 {
        policed.round_with(RTT, 60, 0, 120);
    }
    assert_eq!(policed.bbr.long_term.rate(), None, "forgotten after 48 rounds");
}

#[test]
fn the_first_round_of_recovery_conserves_packets() {
    let mut flow = Rounds::probing();
    flow.round(100);
    let before = flow.window.cwnd;
    flow.bbr.ssthresh(&flow.window, Cause::Loss, flow.now, 0, &[]);
    let event = AckEvent { state: CaState::Recovery, now: flow.now, in_flight: 50, ..ack(1) };
    let sample = RateSample { losses: 3, total_delivered: flow.delivered + 1, ..flow.bbr.last };
    flow.bbr.control(&mut flow.window, &event, &sample);
    assert_eq!(flow.window.cwnd, 51);
    flow.round(100);
    assert!(flow.window.cwnd >= before, "restored when recovery is over: {:?} < {before}", flow.window);
}

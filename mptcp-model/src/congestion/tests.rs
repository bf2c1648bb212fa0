//! Claims about all algorithms together, and what the tests of each one share.

use proptest::prelude::*;
use sim_core::{Duration, Instant};

use super::*;

/// A window with this size and threshold.
pub(super) fn window(cwnd: u32, ssthresh: u32) -> Window {
    Window { cwnd, cwnd_cnt: 0, ssthresh, clamp: u32::MAX }
}

/// An ACK of `delivered` segments for a flow that fills its window.
pub(super) fn ack(delivered: u32) -> AckEvent {
    AckEvent {
        now: Instant::ZERO,
        delivered,
        acked: delivered,
        rtt: None,
        prior_in_flight: delivered,
        in_flight: 0,
        cwnd_limited: true,
        state: CaState::Open,
        snd_nxt: 0,
        snd_una: 0,
    }
}

/// A subflow in congestion avoidance with segments of 1448 bytes; `rtt` in milliseconds.
pub(super) fn path(cwnd: u32, rtt: u64) -> PathView {
    let rtt = Duration::from_millis(rtt);
    PathView {
        id: 0,
        cwnd,
        ssthresh: 2,
        srtt: rtt,
        min_rtt: rtt,
        mss: 1448,
        state: CaState::Open,
        acked_since_loss: 0,
        acked_between_losses: 0,
    }
}

/// Equal to six decimals.
#[track_caller]
pub(super) fn assert_close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() < 1e-6, "{actual} is not {expected}");
}

fn make(name: &str) -> Box<dyn CongestionControl> {
    create(name, &Parameters::new()).expect("the name is in the table")
}

fn make_linux(name: &str) -> Box<dyn CongestionControl> {
    create(name, &Parameters::new().with("arithmetic", "linux")).expect("the name is in the table")
}

/// Drift of the windows `w` (in segments) under `increase` and `decrease`, followed to its rest.
/// Windows are given to the algorithms ten thousand times larger, because growth is homogeneous in them.
fn fixed_point(
    loss: [f64; 2],
    rtt: [u64; 2],
    increase: impl Fn(usize, &[PathView]) -> f64,
    decrease: impl Fn(usize, &[PathView]) -> f64,
) -> [f64; 2] {
    const SCALE: f64 = 10_000.0;
    let mut w = [20.0_f64; 2];
    for _ in 0..60_000 {
        let paths = [0, 1].map(|k| path((w[k] * SCALE) as u32, rtt[k]));
        for k in 0..2 {
            let grown = increase(k, &paths) * SCALE;
            let lost = loss[k] * decrease(k, &paths) / SCALE;
            w[k] = (w[k] + (grown - lost) * w[k].max(1.0) * 0.02).max(0.01);
        }
    }
    [0, 1].map(|k| w[k] / (rtt[k] as f64 / 1000.0))
}

fn halving(me: usize, paths: &[PathView]) -> f64 {
    f64::from(paths[me].cwnd) / 2.0
}

#[track_caller]
fn assert_rates(actual: [f64; 2], expected: [f64; 2]) {
    for (actual, expected) in actual.into_iter().zip(expected) {
        assert!((actual / expected - 1.0).abs() < 0.01, "{actual} packets/s is not {expected}");
    }
}

// CC-03, CC-13: totals are those of one TCP on the better path.
#[test]
fn lia_rests_at_the_published_rates() {
    assert_rates(fixed_point([0.01, 0.02], [100, 100], lia::increase, halving), [94.3, 47.1]);
    assert_rates(fixed_point([0.01, 0.01], [50, 100], lia::increase, halving), [188.6, 94.3]);
}

// CC-13
#[test]
fn balia_rests_at_the_published_rates() {
    let decrease = |me: usize, paths: &[PathView]| f64::from(paths[me].cwnd) - balia::after_loss(me, paths);
    assert_rates(fixed_point([0.01, 0.02], [100, 100], balia::increase, decrease), [107.6, 33.8]);
    assert_rates(fixed_point([0.01, 0.01], [50, 100], balia::increase, decrease), [238.6, 44.3]);
}

// CC-13: WiFi with 4 % loss and 10 ms, 3G with 1 % and 100 ms; the mean of both TCPs.
#[test]
fn ewtcp_is_half_a_tcp_on_each_of_two_paths() {
    let increase = |me: usize, paths: &[PathView]| ewtcp::increase(&paths[me], paths);
    let rates = fixed_point([0.04, 0.01], [10, 100], increase, halving);
    assert_rates(rates, [353.5, 70.7]);
}

// CC-13: everything goes to the path with less loss, whatever its round-trip time.
#[test]
fn fully_coupled_windows_leave_the_path_with_more_loss() {
    let increase = |me: usize, paths: &[PathView]| coupled::increase(&paths[me], paths);
    let decrease = |_: usize, paths: &[PathView]| paths.iter().map(|p| f64::from(p.cwnd)).sum::<f64>() / 2.0;
    let [wifi, mobile] = fixed_point([0.04, 0.01], [10, 100], increase, decrease);
    assert!(wifi < 2.0, "{wifi}");
    assert!((mobile / 141.4 - 1.0).abs() < 0.01, "{mobile}");
}

/// A connection of flows with independent losses, one round trip a step (all round-trip times equal).
struct Rounds {
    flows: Vec<(Box<dyn CongestionControl>, Window)>,
    random: u64,
}

impl Rounds {
    fn new(flows: Vec<Box<dyn CongestionControl>>) -> Self {
        Self { flows: flows.into_iter().map(|flow| (flow, window(10, 10))).collect(), random: 1 }
    }

    fn views(&self) -> Vec<PathView> {
        self.flows.iter().map(|(_, window)| path(window.cwnd, 100)).collect()
    }

    /// A loss with this probability (xorshift, fixed seed).
    fn loses(&mut self, probability: f64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    fn run(&mut self, rounds: u32, loss: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.flows.len()];
        for _ in 0..rounds {
            for me in 0..self.flows.len() {
                let sent = self.flows[me].1.cwnd;
                sums[me] += f64::from(sent);
                let lost = (0..sent).fold(false, |lost, _| self.loses(loss[me]) || lost);
                let views = self.views();
                let (flow, window) = &mut self.flows[me];
                if lost {
                    window.ssthresh = flow.ssthresh(window, Cause::Loss, Instant::ZERO, me, &views);
                    window.cwnd = window.ssthresh;
                    window.cwnd_cnt = 0;
                } else {
                    for _ in 0..sent {
                        flow.on_ack(window, &ack(1), me, &views);
                    }
                }
            }
        }
        sums.iter().map(|sum| sum / f64::from(rounds)).collect()
    }
}

// CC-13: the algorithm itself, packet by packet, keeps the ratio of the equilibrium (2 to 1).
#[test]
fn lia_under_random_loss_shares_in_inverse_proportion_to_loss() {
    let means = Rounds::new(vec![make("lia"), make("lia")]).run(40_000, &[0.001, 0.002]);
    let ratio = means[0] / means[1];
    assert!((1.7..2.3).contains(&ratio), "{means:?}");
}

// CC-03
#[test]
fn two_coupled_flows_together_take_what_one_reno_takes() {
    let reno = Rounds::new(vec![make("reno")]).run(40_000, &[0.001])[0];
    for name in ["lia", "olia", "balia"] {
        let means = Rounds::new(vec![make(name), make(name)]).run(40_000, &[0.001, 0.001]);
        let share = means.iter().sum::<f64>() / reno;
        assert!((0.85..1.15).contains(&share), "{name}: {share}");
    }
    let uncoupled = Rounds::new(vec![make("reno"), make("reno")]).run(40_000, &[0.001, 0.001]);
    assert!((1.9..2.1).contains(&(uncoupled.iter().sum::<f64>() / reno)), "{uncoupled:?}");
}

// CC-04, CC-13
#[test]
fn olia_grows_a_worse_path_by_its_share_of_the_rate_only() {
    let mut best = path(20, 100);
    best.acked_since_loss = 1_000_000;
    let mut worse = path(20, 100);
    worse.acked_since_loss = 250_000;
    let (mut flow, mut own) = (make("olia"), window(20, 2));
    for _ in 0..4000 {
        worse.cwnd = own.cwnd;
        flow.on_ack(&mut own, &ack(1), 1, &[PathView { cwnd: 40, ..best }, worse]);
    }
    // dw = w / (40 + w)^2 for each ACK; Reno would reach sqrt(20^2 + 2 * 4000) = 91.
    assert!((38..=43).contains(&own.cwnd), "{}", own.cwnd);
}

fn any_path() -> impl Strategy<Value = PathView> {
    let states = prop_oneof![
        4 => Just(CaState::Open),
        1 => Just(CaState::Recovery),
        1 => Just(CaState::Loss),
    ];
    (1_u32..50_000, 1_u32..50_000, 0_u64..2_000_000, 0_u64..1 << 40, 0_u64..1 << 40, states).prop_map(
        |(cwnd, ssthresh, micros, since, between, state)| PathView {
            ssthresh,
            srtt: Duration::from_micros(micros),
            acked_since_loss: since,
            acked_between_losses: between,
            state,
            ..path(cwnd, 1)
        },
    )
}

fn paths() -> impl Strategy<Value = Vec<PathView>> {
    prop::collection::vec(any_path(), 0..9)
}

/// What may happen to a flow.
#[derive(Clone, Debug)]
enum Op {
    Ack { delivered: u32, rtt: u64, limited: bool },
    Loss,
    Timeout,
    Idle(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (0_u32..70, 0_u64..500_000, prop::bool::weighted(0.9))
            .prop_map(|(delivered, rtt, limited)| Op::Ack { delivered, rtt, limited }),
        2 => Just(Op::Loss),
        1 => Just(Op::Timeout),
        1 => (0_u64..10_000).prop_map(Op::Idle),
    ]
}

fn all_variants() -> Vec<Box<dyn CongestionControl>> {
    let mut flows: Vec<_> = list().iter().map(|algorithm| make(algorithm.name)).collect();
    flows.extend(["lia", "olia", "balia", "wvegas"].map(make_linux));
    flows.push(create("lia", &Parameters::new().with("arithmetic", "linux-us")).expect("a choice"));
    flows.push(create("cubic", &Parameters::new().with("hystart", "plusplus")).expect("a choice"));
    flows
}

fn apply(
    flow: &mut dyn CongestionControl,
    window: &mut Window,
    op: &Op,
    now: Instant,
    me: usize,
    paths: &[PathView],
) {
    match *op {
        Op::Ack { delivered, rtt, limited } => {
            let rtt = Duration::from_micros(rtt);
            let offset = now.as_nanos() / 1000;
            let event = AckEvent {
                now,
                rtt: Some(rtt),
                cwnd_limited: limited,
                snd_una: offset,
                snd_nxt: offset + 10_000,
                ..ack(delivered)
            };
            flow.on_rtt_sample(window, &event, rtt);
            flow.on_ack(window, &event, me, paths);
            let sample = RateSample {
                prior_delivered: offset / 100,
                delivered: u64::from(delivered),
                interval: (!rtt.is_zero()).then_some(rtt),
                losses: delivered / 16,
                total_delivered: offset / 100 + u64::from(delivered),
                delivered_at: now,
                srtt: rtt,
                mss: 1448,
                ..RateSample::default()
            };
            if flow.controls() {
                flow.control(window, &event, &sample);
            }
        }
        Op::Loss | Op::Timeout => {
            let (cause, state) = match op {
                Op::Timeout => (Cause::Timeout, CaState::Loss),
                _ => (Cause::Loss, CaState::Recovery),
            };
            window.ssthresh = flow.ssthresh(window, cause, now, me, paths);
            window.cwnd = match state {
                CaState::Loss => 1,
                _ if flow.controls() => window.cwnd,
                _ => window.ssthresh,
            };
            window.cwnd_cnt = 0;
            flow.on_state_change(window, CaState::Open, state);
            flow.on_state_change(window, state, CaState::Open);
        }
        Op::Idle(millis) => flow.on_transmit_start(window, now, Duration::from_millis(millis)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    // Windows stay between one segment and the clamp whatever happens, and nothing panics.
    #[test]
    fn windows_stay_between_one_and_the_clamp(
        ops in prop::collection::vec(op(), 1..200),
        views in paths(),
        me in 0_usize..9,
        clamp in 2_u32..100_000,
    ) {
        for mut flow in all_variants() {
            let mut views = views.clone();
            let mut own = Window { clamp, ..window(10.min(clamp), Window::INFINITE_SSTHRESH) };
            let mut now = Instant::ZERO + Duration::from_secs(1);
            for op in &ops {
                if let Some(view) = views.get_mut(me) {
                    (view.cwnd, view.ssthresh) = (own.cwnd, own.ssthresh);
                }
                apply(flow.as_mut(), &mut own, op, now, me, &views);
                now += Duration::from_millis(7);
                prop_assert!((1..=clamp).contains(&own.cwnd), "{} after {op:?}: {own:?}", flow.name());
                // Linux keeps at least 2 segments in avoidance; Balia, COUPLED and exact OLIA may keep 1.
                let least = if matches!(flow.name(), "reno" | "cubic" | "lia" | "ewtcp") { 2 } else { 1 };
                prop_assert!(own.ssthresh >= least, "{} after {op:?}: {own:?}", flow.name());
            }
        }
    }

    // CC-02: with one subflow there is nothing to couple.
    #[test]
    fn coupled_algorithms_alone_are_reno(
        ops in prop::collection::vec(op(), 1..300),
        rtt in 1_u64..1000,
    ) {
        for name in ["lia", "olia", "balia", "ewtcp", "coupled"] {
            let (mut reno, mut flow) = (make("reno"), make(name));
            let mut windows = [window(10, Window::INFINITE_SSTHRESH); 2];
            for op in &ops {
                apply(reno.as_mut(), &mut windows[0], op, Instant::ZERO, 0, &[]);
                let view = path(windows[1].cwnd, rtt);
                apply(flow.as_mut(), &mut windows[1], op, Instant::ZERO, 0, &[view]);
                prop_assert_eq!(windows[0], windows[1], "{} after {:?}", name, op);
            }
        }
    }

    // CC-01, CC-06: no subflow grows faster than a Reno flow in its place.
    #[test]
    fn coupled_growth_is_positive_and_never_above_renos(views in prop::collection::vec(any_path(), 1..9)) {
        for me in 0..views.len() {
            let reno = 1.0 / f64::from(coupling::segments(&views[me]).min(views[me].cwnd));
            for growth in [lia::increase(me, &views), balia::increase(me, &views)] {
                prop_assert!(growth > 0.0 && growth <= reno * (1.0 + 1e-9), "{growth} and {reno}");
            }
        }
    }

    // CC-04: what the paths of M give is what the paths of B without M gain.
    #[test]
    fn olia_moves_as_much_as_it_takes(views in prop::collection::vec(any_path(), 2..9)) {
        let usable: Vec<_> = views.into_iter().filter(coupling::usable).collect();
        let rate: f64 = usable.iter().map(|p| coupling::bytes(p) / coupling::rtt(p)).sum();
        let moved: f64 = (0..usable.len())
            .filter(|_| usable.len() > 1)
            .map(|me| {
                let own = &usable[me];
                let share = coupling::bytes(own) / coupling::rtt(own) / rate;
                olia::increase(me, &usable) * f64::from(coupling::segments(own)) - share * share
            })
            .sum();
        prop_assert!(moved.abs() < 1e-9, "{moved}");
    }

    // CC-12: the kernel loses what its alpha, an integer, cannot hold, and one per cent by its other scales.
    #[test]
    fn kernel_thresholds_of_lia_are_near_the_equation(
        flows in prop::collection::vec((4_u32..200, 10_u64..200), 2..5),
    ) {
        let views: Vec<_> = flows.into_iter().map(|(cwnd, rtt)| path(cwnd, rtt)).collect();
        let stored = lia::linux_alpha(lia::LiaArithmetic::Linux, &views);
        for me in 0..views.len() {
            let exact = 1.0 / lia::increase(me, &views);
            let linux = f64::from(lia::linux_threshold(stored, views[me].cwnd));
            let bound = linux / (stored as f64 + 1.0) + exact / 100.0 + 1.0;
            prop_assert!((linux - exact).abs() <= bound, "{linux} and {exact}");
        }
    }

    // CC-12: one ACK of rounding in growth; the integer A costs up to a quarter of the window in the decrease.
    #[test]
    fn kernel_steps_of_balia_are_near_the_equations(
        flows in prop::collection::vec((4_u32..200, 10_u64..200), 2..5),
    ) {
        let views: Vec<_> = flows.into_iter().map(|(cwnd, rtt)| path(cwnd, rtt)).collect();
        for me in 0..views.len() {
            let (threshold, decrease) = balia::linux_steps(views[me].cwnd, me, &views);
            let exact = 1.0 / balia::increase(me, &views);
            prop_assert!((f64::from(threshold) - exact).abs() <= 1.0 + exact / 100.0, "{threshold} and {exact}");
            let cwnd = f64::from(views[me].cwnd);
            let exact = cwnd - balia::after_loss(me, &views);
            prop_assert!((f64::from(decrease) - exact).abs() <= cwnd / 4.0 + 1.0, "{decrease} and {exact}");
        }
    }
}

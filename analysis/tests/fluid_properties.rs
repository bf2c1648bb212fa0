//! What every equilibrium of the fluid solver fulfils, whatever the network, and what it refuses.

use analysis::fluid::scenarios::{lossy_paths, shared_bottleneck, torus};
use analysis::fluid::{Algorithm, FluidError, Law, Link, LinkId, Network, Options, PathId, solve};
use sim_core::random::{Stream, Streams};

const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::Reno,
    Algorithm::Cubic,
    Algorithm::Lia,
    Algorithm::Olia,
    Algorithm::Balia,
    Algorithm::Ewtcp,
    Algorithm::Coupled,
    Algorithm::IDEAL_WVEGAS,
    Algorithm::LINUX_WVEGAS,
];

/// The network and the capacities of its links.
fn random_network(stream: &mut Stream, algorithm: Algorithm) -> (Network, Vec<f64>) {
    let mut network = Network::new();
    let capacities: Vec<f64> = (0..2 + stream.below(3)).map(|_| 100.0 + 3000.0 * stream.unit_f64()).collect();
    let links: Vec<_> =
        capacities.iter().map(|&capacity| network.link(Link::with_capacity(capacity))).collect();
    for _ in 0..2 + stream.below(3) {
        let mut paths = Vec::new();
        for _ in 0..1 + stream.below(3) {
            let mut over: Vec<LinkId> =
                (0..2).map(|_| links[stream.below(links.len() as u64) as usize]).collect();
            over.dedup();
            paths.push(network.path(over, 0.01 + 0.2 * stream.unit_f64()));
        }
        network.users(1 + stream.below(3) as u32, algorithm, paths);
    }
    (network, capacities)
}

#[test]
fn random_networks_converge_and_no_link_is_overloaded() {
    for algorithm in ALGORITHMS {
        let mut failures = 0;
        for run in 0..30 {
            let mut stream = Streams::new(run).stream("fluid");
            let (network, capacities) = random_network(&mut stream, algorithm);
            match solve(&network, &Options::default()) {
                Ok(equilibrium) => {
                    assert!(equilibrium.residual <= 1e-9);
                    for (link, capacity) in equilibrium.links.iter().zip(capacities) {
                        assert!(link.load <= capacity * (1.0 + 1e-6), "{algorithm:?}, seed {run}: {link:?}");
                        let full = link.load > capacity * (1.0 - 1e-6);
                        let signal = link.loss + link.queueing;
                        assert!(full || signal < 1e-6, "{algorithm:?}, seed {run}: {link:?}");
                    }
                }
                Err(FluidError::NotConverged { .. }) => failures += 1,
                Err(error) => panic!("{algorithm:?}, seed {run}: {error}"),
            }
        }
        assert!(failures <= 1, "{algorithm:?}: {failures} of 30 networks without solution");
    }
}

#[test]
fn the_same_network_gives_the_same_bits() {
    let network = torus(Algorithm::Balia, 1000.0, 300.0, 0.1).network;
    assert_eq!(solve(&network, &Options::default()), solve(&network, &Options::default()));
}

#[test]
fn lia_takes_what_a_tcp_takes_on_the_best_path() {
    // RFC 6356, section 1, goals 1 and 2
    let paths = [(0.01, 0.03), (0.003, 0.2), (0.02, 0.08)];
    for algorithm in [Algorithm::Lia, Algorithm::Olia, Algorithm::Balia] {
        let contest = lossy_paths(algorithm, &paths);
        let equilibrium = solve(&contest.network, &Options::default()).unwrap();
        let best = contest.rivals.iter().map(|&user| equilibrium.rate(user)).fold(0.0, f64::max);
        let total = equilibrium.rate(contest.multipath);
        assert!((total / best - 1.0).abs() < 1e-4, "{algorithm:?}: {total} and {best}");
    }
}

#[test]
fn the_rate_of_the_rivals_is_independent_of_the_number_of_subflows() {
    for algorithm in [Algorithm::Lia, Algorithm::Olia, Algorithm::Balia, Algorithm::Ewtcp] {
        for subflows in [1, 2, 5, 8] {
            let contest = shared_bottleneck(algorithm, subflows, 5000.0, 0.04);
            let equilibrium = solve(&contest.network, &Options::default()).unwrap();
            let rate = equilibrium.rate(contest.rivals[0]);
            assert!((rate / 2500.0 - 1.0).abs() < 1e-5, "{algorithm:?}, {subflows}: {rate}");
        }
    }
}

#[test]
fn a_steep_loss_function_approaches_a_capacity() {
    let rate = |law| {
        let mut network = Network::new();
        let link = network.link(Link::new(law));
        let path = network.path([link], 0.1);
        let user = network.users(4, Algorithm::Reno, [path]);
        solve(&network, &Options::default()).unwrap().rate(user)
    };
    // p = (4 x / C)^B and x = sqrt(2 / p) / rtt
    let smooth = rate(Law::Power { capacity: 1000.0, exponent: 2.0 });
    let expected = (2.0_f64.sqrt() / 0.1 * 250.0).sqrt();
    assert!((smooth / expected - 1.0).abs() < 1e-6, "{smooth} and {expected}");
    let steep = rate(Law::Power { capacity: 1000.0, exponent: 400.0 });
    assert!((steep / rate(Law::Capacity { capacity: 1000.0 }) - 1.0).abs() < 0.02, "{steep}");
}

#[test]
fn standing_queues_lengthen_the_round_trip() {
    let mut network = Network::new();
    let link = network.link(Link::lossy(0.02).with_standing_delay(0.1));
    let path = network.path([link], 0.1);
    let user = network.user(Algorithm::Reno, [path]);
    let equilibrium = solve(&network, &Options::default()).unwrap();
    assert!((equilibrium.rate(user) - 50.0).abs() < 1e-6);
    assert!((equilibrium.users[0].subflows[0].rtt - 0.2).abs() < 1e-12);
}

#[test]
fn input_without_meaning_is_refused() {
    let solve = |network: &Network| solve(network, &Options::default());
    let one = |link: Link, rtt: f64, algorithm: Algorithm| {
        let mut network = Network::new();
        let link = network.link(link);
        let path = network.path([link], rtt);
        network.user(algorithm, [path]);
        network
    };
    let link = Link::with_capacity(100.0);
    for network in [
        one(Link::with_capacity(0.0), 0.1, Algorithm::Reno),
        one(Link::with_capacity(f64::NAN), 0.1, Algorithm::Reno),
        one(Link::lossy(1.0), 0.1, Algorithm::Reno),
        one(link.with_standing_delay(-1.0), 0.1, Algorithm::Reno),
        one(link, 0.0, Algorithm::Reno),
        one(link, f64::INFINITY, Algorithm::Reno),
        one(link, 0.1, Algorithm::Vegas { alpha: 0.0 }),
        one(Link::new(Law::Power { capacity: 10.0, exponent: 0.0 }), 0.1, Algorithm::Reno),
    ] {
        assert!(matches!(solve(&network), Err(FluidError::OutOfRange { .. })), "{network:?}");
    }
    let unlimited = FluidError::Unlimited { user: 0, subflow: 0 };
    assert_eq!(solve(&one(Link::lossy(0.0), 0.1, Algorithm::Lia)), Err(unlimited.clone()));
    assert_eq!(solve(&one(Link::lossy(0.1), 0.1, Algorithm::IDEAL_WVEGAS)), Err(unlimited.clone()));

    let mut network = one(link, 0.1, Algorithm::Reno);
    network.user(Algorithm::Reno, Vec::<PathId>::new());
    assert!(matches!(solve(&network), Err(FluidError::Malformed { .. })));

    let mut network = one(link, 0.1, Algorithm::Reno);
    let empty = network.path(Vec::<LinkId>::new(), 0.1);
    network.user(Algorithm::Reno, [empty]);
    assert_eq!(solve(&network), Err(FluidError::Unlimited { user: 1, subflow: 0 }));

    let mut network = one(link, 0.1, Algorithm::Reno);
    let second = network.link(link);
    let path = network.path([second], 0.1);
    network.user(Algorithm::IDEAL_WVEGAS, [path]);
    assert_eq!(solve(&network), Err(FluidError::MixedSignals));
}

#[test]
fn more_probing_than_capacity_is_refused() {
    let mut network = Network::new();
    let link = network.link(Link::with_capacity(100.0));
    let path = network.path([link], 0.1);
    network.users(20, Algorithm::Olia, [path, path]);
    let options = Options { window_floor: 1.0, ..Options::default() };
    match solve(&network, &options) {
        Err(FluidError::FloorExceedsCapacity { link: 0, load, capacity }) => {
            assert!((load - 400.0).abs() < 1e-9);
            assert!((capacity - 100.0).abs() < 1e-9);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_network_is_at_rest() {
    let equilibrium = solve(&Network::new(), &Options::default()).unwrap();
    assert!(equilibrium.users.is_empty() && equilibrium.links.is_empty());
}

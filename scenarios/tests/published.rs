//! The scenarios of the literature.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use mptcp_model::congestion;
use mptcp_model::mptcp::Mode;
use scenarios::published::{self, Range};
use scenarios::run::{Network, RunOutcome};
use scenarios::scenario::{LinkDirection, Loss, Protocol, QueueLimit, Scenario};
use sim_core::{Direction, Duration, Instant};

fn with(name: &str, parameters: &[(&str, &str)]) -> Scenario {
    let given: BTreeMap<_, _> =
        parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let text = published::get(name).unwrap().text(&given).unwrap();
    Scenario::from_toml(&text, &format!("{name}.toml")).unwrap_or_else(|errors| panic!("{name}:\n{errors}"))
}

fn run_for(scenario: &Scenario, time: Duration) -> RunOutcome {
    let mut network = Network::build(scenario, ()).unwrap();
    assert_eq!(network.warnings(), [] as [String; 0], "{}", scenario.name);
    network.run(&mut (), &mut |progress| {
        if progress.now >= Instant::ZERO + time { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

#[test]
fn every_case_is_valid_prints_as_itself_and_says_what_it_shows() {
    for case in published::list() {
        let scenario = case.scenario().unwrap_or_else(|errors| panic!("{}:\n{errors}", case.name));
        assert_eq!(scenario.name, case.name);
        assert_eq!(scenario.title, case.title);
        let printed = scenario.to_toml();
        assert_eq!(Scenario::from_toml(&printed, "printed").unwrap(), scenario, "{}", case.name);
    }
}

#[test]
fn every_limit_of_every_parameter_but_size_makes_a_valid_scenario() {
    for case in published::list() {
        for parameter in case.parameters {
            let values: Vec<String> = match parameter.range {
                // The largest networks are large.
                Range::Number { min, default, .. } => vec![min.to_string(), default.to_string()],
                Range::Algorithm(_) => congestion::names().iter().map(|&name| name.to_owned()).collect(),
                Range::Choice(words) => words.iter().map(|&word| word.to_owned()).collect(),
            };
            for value in values {
                let scenario = with(case.name, &[(parameter.name, &value)]);
                Network::build(&scenario, ())
                    .unwrap_or_else(|error| panic!("{} {}={value}: {error}", case.name, parameter.name));
            }
        }
    }
}

#[test]
fn every_user_has_its_subflows_within_seconds_and_each_on_its_path() {
    for case in published::list() {
        let scenario = case.scenario().unwrap();
        let time = if case.name == "fat-tree" { Duration::from_millis(300) } else { Duration::from_secs(6) };
        let outcome = run_for(&scenario, time);
        let mut fallen_back = 0;
        for (flow, spec) in outcome.flows.iter().zip(&scenario.flows) {
            if spec.start >= Instant::ZERO + time - Duration::from_secs(2).min(time) {
                continue;
            }
            let paths = scenario.host(&spec.from).unwrap().interfaces.len();
            let joined = flow.subflows.iter().filter(|subflow| subflow.established_at.is_some()).count();
            let mode = flow.client.connection.as_ref().map(|info| info.mode);
            if paths > 1 && mode == Some(Mode::Plain) {
                // The queue dropped the third ACK and the segments that repeat its keys.
                fallen_back += 1;
                continue;
            }
            assert_eq!(joined, paths, "{} {}: {:?}", case.name, flow.name, flow.subflows);
            assert_eq!(flow.protocol == Protocol::Mptcp, paths > 1);
            assert!(flow.violations.is_empty(), "{} {}: {:?}", case.name, flow.name, flow.violations);
            for subflow in &flow.subflows {
                let octets = |address: std::net::SocketAddr| match address.ip() {
                    std::net::IpAddr::V4(address) => address.octets(),
                    std::net::IpAddr::V6(_) => panic!("{address}"),
                };
                let (near, far) = (octets(subflow.client), octets(subflow.server));
                assert_eq!((near[1] + 64, near[2]), (far[1], far[2]), "{} {subflow:?}", case.name);
            }
        }
        let flows = outcome.flows.len();
        assert!(fallen_back * 10 <= flows, "{}: {fallen_back} of {flows} flows fell back", case.name);
    }
}

#[test]
fn each_host_of_the_fat_tree_sends_to_another_one_over_its_own_interface() {
    let scenario = with("fat-tree", &[("k", "4"), ("subflows", "2")]);
    assert_eq!(scenario.flows.len(), 16);
    let interfaces: Vec<_> = scenario.links.iter().filter(|link| link.name.contains("nic")).collect();
    // One for each host, used in both directions.
    assert_eq!(interfaces.len(), 16);
    for link in interfaces {
        assert!(link.ab.rate.is_some() && link.ba.rate.is_some(), "{link:?}");
    }
}

/// The limited direction of a link.
fn forth<'a>(scenario: &'a Scenario, name: &str) -> &'a LinkDirection {
    &scenario.links.iter().find(|link| link.name == name).unwrap().ab
}

#[test]
fn acks_that_go_straight_meet_no_link_with_a_rate() {
    let straight = |acks: &str| {
        let scenario = with("fat-tree", &[("k", "4"), ("subflows", "2"), ("acks", acks)]);
        let links: Vec<_> = scenario.links.iter().filter(|link| link.name.starts_with("back")).collect();
        assert!(links.iter().all(|link| link.ab.rate.is_none() && link.ba.rate.is_none()));
        links.len()
    };
    assert_eq!(straight("shared"), 0);
    // One for each path.
    assert_eq!(straight("straight"), 32);

    let scenario = with("fat-tree", &[("k", "4"), ("subflows", "2"), ("acks", "straight")]);
    let outcome = run_for(&scenario, Duration::from_millis(900));
    for link in outcome.links.iter().filter(|link| link.link.starts_with("back")) {
        let packets = link.stats.packets_out;
        match link.direction {
            Direction::AtoB => assert!(packets > 0, "no ACKs on {}", link.link),
            Direction::BtoA => assert_eq!(packets, 0, "data on {}", link.link),
        }
    }
}

#[test]
fn random_places_of_the_fat_tree_are_a_part_of_its_queues() {
    let places = |random: &str| {
        let scenario = with("fat-tree", &[("random", random)]);
        let link = scenario.links.iter().find(|link| link.name.starts_with("nic")).unwrap();
        link.ab.random_drop.map(|drop| drop.places)
    };
    assert_eq!([places("0"), places("3"), places("50")], [None, Some(3), Some(50)]);
}

#[test]
fn queues_in_bandwidth_delay_products_follow_rates_and_round_trip_times() {
    let queue = |name, link, parameters: &[_]| forth(&with(name, parameters), link).queue;
    let given = [("c1", "10"), ("c2", "4"), ("queue", "0.25")];
    // 10 users of 10 and of 4 Mbit/s for 150 ms are 1250 and 500 packets.
    assert_eq!(queue("olia-a", "own", &given), QueueLimit::Packets(313));
    assert_eq!(queue("olia-a", "shared", &given), QueueLimit::Packets(125));
    assert_eq!(queue("olia-c", "shared", &[]), QueueLimit::Packets(125));
    assert_eq!(queue("rtt-mismatch", "p1", &[("queue", "4")]), QueueLimit::Packets(500));
    assert_eq!(queue("rtt-mismatch", "p2", &[]), QueueLimit::Packets(25));
}

#[test]
fn every_kind_of_user_of_the_triangle_is_there_as_often_as_asked() {
    let scenario = with("detour-triangle", &[("users", "10")]);
    assert_eq!(scenario.flows.len(), 30);
    for kind in ["f1", "f2", "f3"] {
        let users = scenario.flows.iter().filter(|flow| flow.from == format!("{kind}-c")).count();
        assert_eq!(users, 10, "{kind}");
    }
}

#[test]
fn measured_losses_are_the_same_with_every_seed() {
    let seeds = |losses: &str| -> Vec<Option<u64>> {
        let scenario = with("kernel-random-loss", &[("losses", losses)]);
        let directions = ["p1", "p2"].map(|link| forth(&scenario, link).loss.clone());
        let seed = |loss: &Loss| if let Loss::Splitmix { seed, .. } = loss { Some(*seed) } else { None };
        directions.iter().map(|loss| loss.first().and_then(seed)).collect()
    };
    assert_eq!(seeds("random"), [None, None]);
    assert_eq!(seeds("measured"), [Some(11), Some(12)]);
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let mut scenario = with("coupled-bottleneck", &[("duration", "5")]);
    let digest = |scenario: &Scenario| run_for(scenario, Duration::from_secs(5)).digest;
    let first = digest(&scenario);
    assert_eq!(first, digest(&scenario));
    scenario.seed = 2;
    assert_ne!(first, digest(&scenario));
}

#[test]
fn wrong_parameters_say_what_would_be_right() {
    let error = |name: &str, value: &str| {
        let given = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        published::get("torus").unwrap().text(&given).unwrap_err().to_string()
    };
    assert_eq!(
        error("d", "1"),
        "parameters.d of torus: there is no such parameter; there are: algorithm, rate, c, rtt, duration"
    );
    assert_eq!(error("c", "1"), "parameters.c of torus: \"1\" must be a number from 10 to 1000000");
    assert!(error("algorithm", "ola").contains("did you mean \"olia\"?"));
}

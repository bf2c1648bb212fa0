//! The built-in scenarios.

use mptcp_model::path_manager::Limits;
use scenarios::application::{Amount, Application, Direction};
use scenarios::scenario::{HostKind, QueueLimit, RpFilter};
use scenarios::{Scenario, library};
use sim_core::{Bytes, Duration, Rate};

#[test]
fn every_built_in_scenario_is_valid_and_prints_as_itself() {
    for builtin in library::list() {
        let scenario = builtin.scenario().unwrap_or_else(|errors| panic!("{}:\n{errors}", builtin.name));
        assert_eq!(scenario.name, builtin.name);
        assert!(!scenario.title.is_empty() && builtin.text.starts_with("# "), "{}", builtin.name);
        let printed = scenario.to_toml();
        let again =
            Scenario::from_toml(&printed, "printed").unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
        assert_eq!(again, scenario, "{printed}");
    }
}

#[test]
fn an_unknown_name_gets_a_suggestion() {
    assert_eq!(library::get("two-path").unwrap().name, library::list()[0].name);
    let error = library::get("wifi-let").unwrap_err().to_string();
    assert_eq!(error, "there is no built-in scenario \"wifi-let\"; did you mean \"wifi-lte\"?");
    assert!(library::get("x").unwrap_err().to_string().contains("shared-bottleneck"));
}

#[test]
fn the_default_scenario_is_the_published_testbed() {
    let scenario = library::get("two-path").unwrap().scenario().unwrap();
    let ends: Vec<String> = scenario
        .links
        .iter()
        .map(|link| {
            let rate = |side: Option<Rate>| side.map_or(0, |rate| rate.as_bps() / 1_000_000);
            format!(
                "{} {} {} {}/{} {}/{}",
                link.name,
                link.a,
                link.b,
                rate(link.ab.rate),
                rate(link.ba.rate),
                link.ab.delay,
                link.ba.delay
            )
        })
        .collect();
    assert_eq!(
        ends,
        [
            "p1 client:c0 R1:a 5/5 5 ms/10 ms",
            "p2 client:c1 R2:a 10/10 10 ms/10 ms",
            "s1 R1:b server:s0 10/10 5 ms/5 ms",
            "s2 R2:b server:s1 50/50 10 ms/10 ms",
        ]
    );
    for name in ["client", "server"] {
        let host = scenario.host(name).unwrap();
        assert_eq!((host.kind, host.rp_filter), (HostKind::Host, RpFilter::Off));
        assert_eq!(host.mptcp.limits, Limits { subflows: 2, add_addr_accepted: 2 });
        assert_eq!(host.rules.len(), 2);
    }
    let endpoint = |host: &str| scenario.host(host).unwrap().endpoints[0].endpoint;
    let (client, server) = (endpoint("client"), endpoint("server"));
    assert!(client.fullmesh && !client.subflow && !client.signal && client.id == 1);
    assert!(server.signal && !server.subflow && server.id == 1);
    assert_eq!(client.address.to_string(), "192.168.0.1");
    assert_eq!(server.address.to_string(), "192.168.1.2");
    assert_eq!(
        scenario.flows[0].application,
        Application::Bulk { amount: Amount::For(Duration::from_secs(10)), direction: Direction::Upload }
    );
}

#[test]
fn the_failing_variants_differ_in_their_endpoints_only() {
    let flags = |name: &str| -> Vec<(usize, bool, bool)> {
        let scenario = library::get(name).unwrap().scenario().unwrap();
        ["client", "server"]
            .iter()
            .map(|host| {
                let endpoints = &scenario.host(host).unwrap().endpoints;
                let any = |test: fn(&mptcp_model::path_manager::Endpoint) -> bool| {
                    endpoints.iter().any(|config| test(&config.endpoint))
                };
                (endpoints.len(), any(|e| e.subflow), any(|e| e.signal || e.fullmesh))
            })
            .collect()
    };
    assert_eq!(flags("two-path-first-failure"), [(0, false, false), (1, false, true)]);
    assert_eq!(flags("two-path-second-failure"), [(1, true, false), (0, false, false)]);
    assert_eq!(flags("two-path-subflow-fullmesh"), [(1, true, true), (1, false, true)]);
}

#[test]
fn one_bandwidth_delay_product_of_the_access_links_is_50_and_75_kilobytes() {
    let scenario = library::get("wifi-lte").unwrap().scenario().unwrap();
    let queue = |name: &str| scenario.link(name).unwrap().ab.queue;
    assert_eq!(queue("wifi"), QueueLimit::Bytes(Bytes(50_000)));
    assert_eq!(queue("lte"), QueueLimit::Bytes(Bytes(75_000)));
}

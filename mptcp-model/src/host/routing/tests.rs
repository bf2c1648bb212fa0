use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn host(interfaces: &[(&str, &str)], rules: &[&str], routes: &[&str]) -> Routing {
    let mut routing = Routing::new();
    for (name, address) in interfaces {
        routing.add_interface(name, &[address.parse().unwrap()]);
    }
    for rule in rules {
        routing.add_rule(rule.parse().unwrap());
    }
    for route in routes {
        routing.add_route(route.parse().unwrap()).unwrap();
    }
    routing
}

/// The client of the two-path captures.
fn client() -> Routing {
    host(
        &[("c0", "10.0.0.1/24"), ("c1", "192.168.0.1/24")],
        &["32764:\tfrom 192.168.0.1 lookup 2", "32765:\tfrom 10.0.0.1 lookup 1"],
        &[
            "default via 10.0.0.254 dev c0 table 1",
            "default via 192.168.0.254 dev c1 table 2",
            "default via 10.0.0.254 dev c0",
        ],
    )
}

/// Interface, next hop and source as text.
fn decision(decision: Result<RouteDecision, NoRoute>) -> String {
    match decision {
        Ok(RouteDecision { interface: InterfaceId::LOOPBACK, next_hop, source }) => {
            format!("lo {next_hop} from {source}")
        }
        Ok(RouteDecision { interface, next_hop, source }) => {
            format!("{} {next_hop} from {source}", interface.0)
        }
        Err(error) => error.to_string(),
    }
}

// NET-10
#[test]
fn rules_and_routes_print_as_ip_does() {
    let client = client();
    let rules: Vec<_> = client.rules().iter().map(ToString::to_string).collect();
    assert_eq!(
        rules,
        [
            "0:\tfrom all lookup local",
            "32764:\tfrom 192.168.0.1 lookup 2",
            "32765:\tfrom 10.0.0.1 lookup 1",
            "32766:\tfrom all lookup main",
            "32767:\tfrom all lookup default",
        ]
    );
    let routes = |table| client.routes(table).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        routes(TableId::MAIN),
        [
            "default via 10.0.0.254 dev c0",
            "10.0.0.0/24 dev c0 proto kernel scope link src 10.0.0.1",
            "192.168.0.0/24 dev c1 proto kernel scope link src 192.168.0.1",
        ]
    );
    assert_eq!(routes(TableId(2)), ["default via 192.168.0.254 dev c1 table 2"]);
    for line in rules {
        assert_eq!(line.parse::<Rule>().unwrap().to_string(), line);
    }
    for line in routes(TableId::MAIN).into_iter().chain(routes(TableId(1))) {
        assert_eq!(line.parse::<Route>().unwrap().to_string(), line);
    }
}

// NET-10, PM-32
#[test]
fn without_a_source_the_main_table_decides_and_with_one_the_rules() {
    let client = client();
    let server = ip("10.0.1.2");
    assert_eq!(decision(client.lookup(None, server)), "0 10.0.0.254 from 10.0.0.1");
    assert_eq!(decision(client.connect(server)), "0 10.0.0.254 from 10.0.0.1");
    let second = Some(ip("192.168.0.1"));
    assert_eq!(decision(client.lookup(second, server)), "1 192.168.0.254 from 192.168.0.1");
    assert_eq!(decision(client.lookup(None, ip("192.168.0.7"))), "1 192.168.0.7 from 192.168.0.1");
}

// SYS-28, NET-20: the join to B2 without source address leaves by the first router, which refuses it.
#[test]
fn an_announced_address_is_reached_by_the_main_default_route() {
    assert_eq!(decision(client().connect(ip("192.168.1.2"))), "0 10.0.0.254 from 10.0.0.1");
}

// SYS-16
#[test]
fn the_listing_of_the_three_router_testbed_is_understood_and_leads_by_the_three_routers() {
    let client = host(
        &[("eth0", "10.0.1.6/24"), ("eth1", "10.0.2.6/24"), ("eth2", "10.0.3.6/24")],
        &[
            "32763 : from 10.0.3.6 lookup 3",
            "32764 : from 10.0.2.6 lookup 2",
            "32765 : from 10.0.1.6 lookup 1",
        ],
        &[
            "10.0.1.0/24 dev eth0 scope link table 1",
            "default via 10.0.1.1 dev eth0 table 1",
            "10.0.2.0/24 dev eth1 scope link table 2",
            "default via 10.0.2.1 dev eth1 table 2",
            "10.0.3.0/24 dev eth2 scope link table 3",
            "default via 10.0.3.1 dev eth2 table 3",
            "default via 10.0.1.1 dev eth0",
        ],
    );
    for (source, expected) in [
        (None, "0 10.0.1.1 from 10.0.1.6"),
        (Some("10.0.1.6"), "0 10.0.1.1 from 10.0.1.6"),
        (Some("10.0.2.6"), "1 10.0.2.1 from 10.0.2.6"),
        (Some("10.0.3.6"), "2 10.0.3.1 from 10.0.3.6"),
    ] {
        assert_eq!(decision(client.lookup(source.map(ip), ip("10.0.4.7"))), expected);
    }
}

#[test]
fn own_addresses_are_delivered_locally() {
    let client = client();
    assert_eq!(decision(client.lookup(None, ip("192.168.0.1"))), "lo 192.168.0.1 from 192.168.0.1");
    assert_eq!(decision(client.lookup(Some(ip("10.0.0.1")), ip("127.0.0.1"))), "lo 127.0.0.1 from 10.0.0.1");
    assert!(client.is_local(ip("10.0.0.1")));
    assert!(!client.is_local(ip("10.0.0.2")));
}

#[test]
fn an_interface_down_takes_its_routes_along_and_only_connected_ones_come_back() {
    let mut client = client();
    let before = client.generation();
    client.set_interface_up(InterfaceId(0), false);
    assert!(client.generation() > before);
    assert_eq!(decision(client.lookup(Some(ip("10.0.0.1")), ip("10.0.1.2"))), "network is unreachable");
    assert_eq!(client.addresses().collect::<Vec<_>>(), [ip("192.168.0.1")]);
    assert!(client.is_local(ip("10.0.0.1")), "the address stays");
    let route: Route = "default via 10.0.0.254 dev c0".parse().unwrap();
    assert_eq!(client.add_route(route.clone()), Err(RoutingError::DeviceDown("c0".into())));
    client.set_interface_up(InterfaceId(0), true);
    assert_eq!(decision(client.lookup(None, ip("10.0.0.9"))), "0 10.0.0.9 from 10.0.0.1");
    assert_eq!(decision(client.lookup(None, ip("10.0.1.2"))), "network is unreachable");
    assert_eq!(client.add_route(route), Ok(()));
    assert_eq!(decision(client.lookup(None, ip("10.0.1.2"))), "0 10.0.0.254 from 10.0.0.1");
}

// NET-22
#[test]
fn removing_an_address_removes_its_subnet_unless_another_address_is_in_it() {
    let mut routing = host(&[("eth0", "10.0.0.1/24")], &[], &["default via 10.0.0.254"]);
    routing.add_address(InterfaceId(0), "10.0.0.2/24".parse().unwrap());
    assert_eq!(decision(routing.lookup(None, ip("10.0.0.9"))), "0 10.0.0.9 from 10.0.0.1");
    routing.remove_address(InterfaceId(0), ip("10.0.0.1"));
    assert_eq!(decision(routing.lookup(None, ip("10.0.0.9"))), "0 10.0.0.9 from 10.0.0.2");
    assert_eq!(decision(routing.lookup(None, ip("8.8.8.8"))), "0 10.0.0.254 from 10.0.0.2");
    routing.remove_address(InterfaceId(0), ip("10.0.0.2"));
    assert_eq!(decision(routing.lookup(Some(ip("10.0.0.2")), ip("10.0.0.9"))), "0 10.0.0.254 from 10.0.0.2");
    assert_eq!(decision(routing.lookup(None, ip("8.8.8.8"))), "network is unreachable", "no source left");
}

#[test]
fn the_preferred_source_the_longest_prefix_and_the_least_metric_win() {
    let mut routing = host(
        &[("eth0", "10.0.0.1/24"), ("eth1", "10.1.0.1/24")],
        &[],
        &[
            "default via 10.0.0.254 metric 100",
            "default via 10.1.0.254 metric 50",
            "172.16.0.0/12 via 10.0.0.254 src 10.1.0.1",
            "172.16.5.0/24 dev eth1",
            "unreachable 172.17.0.0/16",
            "prohibit 172.18.0.0/16",
            "blackhole 172.19.0.0/16",
        ],
    );
    for (destination, expected) in [
        ("8.8.8.8", "1 10.1.0.254 from 10.1.0.1"),
        ("172.16.0.1", "0 10.0.0.254 from 10.1.0.1"),
        ("172.16.5.1", "1 172.16.5.1 from 10.1.0.1"),
        ("172.17.0.1", "no route to host"),
        ("172.18.0.1", "permission denied"),
        ("172.19.0.1", "invalid argument"),
        ("2001:db8::1", "network is unreachable"),
    ] {
        assert_eq!(decision(routing.lookup(None, ip(destination))), expected, "{destination}");
    }
    let route = "default via 10.1.0.254 metric 50".parse().unwrap();
    assert_eq!(routing.remove_route(&route), Ok(()));
    assert!(routing.remove_route(&route).is_err());
    assert_eq!(decision(routing.lookup(None, ip("8.8.8.8"))), "0 10.0.0.254 from 10.0.0.1");
}

// NET-21
#[test]
fn ipv6_has_rules_and_routes_of_its_own() {
    let routing = host(
        &[("eth0", "2001:db8:1::1/64"), ("eth1", "2001:db8:2::1/64")],
        &["100: from 2001:db8:2::/64 lookup 7"],
        &["default via 2001:db8:1::fe", "default via 2001:db8:2::fe dev eth1 table 7"],
    );
    let server = ip("2001:db8:9::1");
    assert_eq!(decision(routing.connect(server)), "0 2001:db8:1::fe from 2001:db8:1::1");
    let second = Some(ip("2001:db8:2::1"));
    assert_eq!(decision(routing.lookup(second, server)), "1 2001:db8:2::fe from 2001:db8:2::1");
}

#[test]
fn rules_can_be_removed() {
    let mut client = client();
    let rule = "32764:\tfrom 192.168.0.1 lookup 2".parse().unwrap();
    assert!(client.remove_rule(rule));
    assert!(!client.remove_rule(rule));
    assert_eq!(
        decision(client.lookup(Some(ip("192.168.0.1")), ip("10.0.1.2"))),
        "0 10.0.0.254 from 192.168.0.1"
    );
}

#[test]
fn wrong_lines_and_impossible_routes_say_what_is_wrong() {
    let rule = |line: &str| line.parse::<Rule>().unwrap_err().to_string();
    assert_eq!(rule("from all lookup main"), "`from all lookup main`: `priority:` is missing");
    assert_eq!(rule("5: from all"), "`5: from all`: `lookup` is missing");
    assert_eq!(rule("5: from all lookup"), "`5: from all lookup`: cannot make sense of `lookup`");
    assert_eq!(rule("5: from all lookup mian"), "`5: from all lookup mian`: cannot make sense of `mian`");
    assert_eq!(
        rule("5: from 10.0.0.1/8 lookup 1"),
        "`5: from 10.0.0.1/8 lookup 1`: 10.0.0.1/8 has bits beyond its length; the prefix is 10.0.0.0/8"
    );
    let line = |line: &str| line.parse::<Route>().unwrap_err().to_string();
    assert_eq!(line(""), "``: `prefix` is missing");
    assert_eq!(line("10.0.0.0/8"), "`10.0.0.0/8`: `dev` is missing");
    assert_eq!(line("default dve c0"), "`default dve c0`: cannot make sense of `dve`");
    assert_eq!(line("10.0.0.0/8 via ::1"), "`10.0.0.0/8 via ::1`: cannot make sense of `::1`");
    let add = |line: &str| client().add_route(line.parse().unwrap()).unwrap_err().to_string();
    assert_eq!(add("10.9.0.0/16 dev c7"), "no device `c7`; devices: c0, c1");
    assert_eq!(add("10.9.0.0/16 via 10.7.0.1 dev c0"), "gateway 10.7.0.1 is not in the subnet of the device");
    assert_eq!(add("10.9.0.0/16 dev c0 src 1.2.3.4"), "1.2.3.4 is not an address of this host");
    assert_eq!(add("default via 10.0.0.253 dev c0"), "route `default via 10.0.0.253 dev c0` exists");
}

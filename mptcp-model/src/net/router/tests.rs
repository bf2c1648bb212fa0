use bytes::Bytes;

use super::*;
use crate::wire::{Ecn, IcmpMessage, IpHeader, Payload, UdpDatagram};

const NOW: Instant = Instant::ZERO;
const A: InterfaceId = InterfaceId(0);
const B: InterfaceId = InterfaceId(1);
const C: InterfaceId = InterfaceId(2);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn interface(addresses: &[&str]) -> RouterInterface {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    RouterInterface { addresses, mtu: 1500 }
}

fn route(prefix: &str, hops: &[(Option<InterfaceId>, Option<&str>)]) -> StaticRoute {
    let hops =
        hops.iter().map(|&(interface, gateway)| NextHop { interface, gateway: gateway.map(ip) }).collect();
    StaticRoute { prefix: prefix.parse().unwrap(), target: RouteTarget::NextHops(hops) }
}

/// R1 of the two-path topology: 10.0.0.0/24 on `A`, 10.0.1.0/24 on `B`, nothing else.
fn r1() -> RouterConfig {
    RouterConfig {
        interfaces: vec![
            interface(&["10.0.0.254/24", "2001:db8::fe/64"]),
            interface(&["10.0.1.254/24", "2001:db8:1::fe/64"]),
        ],
        ..RouterConfig::default()
    }
}

fn udp(src: &str, dst: &str, ports: (u16, u16), len: u32) -> Packet {
    let (src, dst) = (ip(src), ip(dst));
    Packet {
        ip: IpHeader {
            src,
            dst,
            ttl: 64,
            dscp: 0,
            ecn: Ecn::NotEct,
            dont_fragment: true,
            id: 7,
            flow_label: 0,
        },
        body: Body::Udp(UdpDatagram {
            src_port: ports.0,
            dst_port: ports.1,
            payload: Payload::pattern(0, 0, len),
        }),
    }
}

fn icmp_message(src: &str, dst: &str, kind: u8, code: u8) -> Packet {
    let mut packet = udp(src, dst, (0, 0), 0);
    packet.body =
        Body::Icmp(Box::new(IcmpMessage { kind, code, rest: 9, data: Bytes::from_static(b"data") }));
    packet
}

/// Interface, source, destination, type, code and second word of a reply.
#[track_caller]
fn reply(verdict: Verdict) -> (InterfaceId, String, String, u8, u8, u32) {
    let Verdict::Reply(egress, packet) = verdict else { panic!("no reply: {verdict:?}") };
    let Body::Icmp(message) = &packet.body else { panic!("not ICMP: {packet:?}") };
    (egress, packet.ip.src.to_string(), packet.ip.dst.to_string(), message.kind, message.code, message.rest)
}

fn handle(config: RouterConfig, ingress: InterfaceId, mut packet: Packet) -> Verdict {
    Router::new(config).unwrap().handle(NOW, ingress, &mut packet)
}

// NET-07
#[test]
fn forwarding_decrements_the_ttl_and_nothing_else() {
    let mut packet = udp("10.0.0.1", "10.0.1.2", (1000, 5001), 100);
    let mut expected = packet.clone();
    expected.ip.ttl = 63;
    let mut router = Router::new(r1()).unwrap();
    assert_eq!(router.handle(NOW, A, &mut packet), Verdict::Forward(B));
    assert_eq!(packet, expected);
    let mut back = udp("2001:db8:1::2", "2001:db8::1", (5001, 1000), 100);
    assert_eq!(router.handle(NOW, B, &mut back), Verdict::Forward(A));
}

// NET-20: the joins of the two-path captures die at the router that does not know the other network.
#[test]
fn an_unknown_network_is_answered_with_net_unreachable_from_the_address_towards_the_sender() {
    let join = udp("10.0.0.1", "192.168.1.2", (36545, 5001), 32);
    let expected = (A, "10.0.0.254".to_owned(), "10.0.0.1".to_owned(), 3, 0, 0);
    assert_eq!(reply(handle(r1(), A, join)), expected);
    let join = udp("2001:db8::1", "2001:db8:ffff::1", (36545, 5001), 32);
    let expected = (A, "2001:db8::fe".to_owned(), "2001:db8::1".to_owned(), 1, 0, 0);
    assert_eq!(reply(handle(r1(), A, join)), expected);
}

#[test]
fn an_error_quotes_the_packet_as_it_came() {
    let packet = udp("10.0.0.1", "192.168.1.2", (36545, 5001), 32);
    let Verdict::Reply(_, error) = handle(r1(), A, packet) else { panic!("no reply") };
    assert_eq!((error.ip.ttl, error.ip.dscp, error.ip.dont_fragment), (64, 0x30, false));
    let Body::Icmp(message) = &error.body else { panic!("not ICMP") };
    let quoted = etherparse::Ipv4HeaderSlice::from_slice(&message.data).unwrap();
    assert_eq!(quoted.source_addr(), "10.0.0.1".parse::<std::net::Ipv4Addr>().unwrap());
    assert_eq!(quoted.destination_addr(), "192.168.1.2".parse::<std::net::Ipv4Addr>().unwrap());
    assert_eq!((quoted.ttl(), quoted.total_len(), quoted.identification()), (64, 60, 7));
    assert_eq!(quoted.to_header().calc_header_checksum(), quoted.header_checksum());
    assert_eq!(&message.data[20..26], &[0x8e, 0xc1, 0x13, 0x89, 0, 40], "ports and length");
}

// NET-07
#[test]
fn a_packet_that_may_not_be_forwarded_once_more_is_answered_with_time_exceeded() {
    for ttl in [0, 1] {
        let mut packet = udp("10.0.0.1", "10.0.1.2", (1, 2), 0);
        packet.ip.ttl = ttl;
        assert_eq!(reply(handle(r1(), A, packet)), (A, "10.0.0.254".into(), "10.0.0.1".into(), 11, 0, 0));
        let mut packet = udp("2001:db8::1", "2001:db8:1::2", (1, 2), 0);
        packet.ip.ttl = ttl;
        assert_eq!(reply(handle(r1(), A, packet)), (A, "2001:db8::fe".into(), "2001:db8::1".into(), 3, 0, 0));
    }
    let mut last = udp("10.0.0.1", "10.0.0.254", (1, 2), 0);
    last.ip.ttl = 1;
    assert_eq!(handle(r1(), A, last), Verdict::Deliver);
}

// NET-07
#[test]
fn a_packet_larger_than_the_next_mtu_is_answered_with_that_mtu() {
    let mut config = r1();
    config.interfaces[1].mtu = 1400;
    let fits = udp("10.0.0.1", "10.0.1.2", (1, 2), 1400 - 28);
    assert_eq!(handle(config.clone(), A, fits), Verdict::Forward(B));
    let mut large = udp("10.0.0.1", "10.0.1.2", (1, 2), 1401 - 28);
    let expected = (A, "10.0.0.254".into(), "10.0.0.1".into(), 3, 4, 1400);
    assert_eq!(reply(handle(config.clone(), A, large.clone())), expected);
    large.ip.dont_fragment = false;
    assert_eq!(handle(config.clone(), A, large), Verdict::Drop(DropReason::NeedsFragmentation));
    let large = udp("2001:db8::1", "2001:db8:1::2", (1, 2), 1401 - 48);
    let expected = (A, "2001:db8::fe".into(), "2001:db8::1".into(), 2, 0, 1400);
    assert_eq!(reply(handle(config, A, large)), expected);
}

// NET-07
#[test]
fn unreachable_prohibit_and_blackhole_routes_answer_as_in_linux() {
    let mut config = r1();
    for (prefix, target) in [
        ("172.16.0.0/16", RouteTarget::Unreachable),
        ("172.17.0.0/16", RouteTarget::Prohibit),
        ("172.18.0.0/16", RouteTarget::Blackhole),
        ("2001:db8:f::/64", RouteTarget::Prohibit),
    ] {
        config.routes.push(StaticRoute { prefix: prefix.parse().unwrap(), target });
    }
    let answer = |dst: &str| handle(config.clone(), A, udp("10.0.0.1", dst, (1, 2), 0));
    assert_eq!(reply(answer("172.16.0.1")), (A, "10.0.0.254".into(), "10.0.0.1".into(), 3, 1, 0));
    assert_eq!(reply(answer("172.17.0.1")), (A, "10.0.0.254".into(), "10.0.0.1".into(), 3, 13, 0));
    assert_eq!(answer("172.18.0.1"), Verdict::Drop(DropReason::Blackhole));
    let packet = udp("2001:db8::1", "2001:db8:f::1", (1, 2), 0);
    assert_eq!(
        reply(handle(config.clone(), A, packet)),
        (A, "2001:db8::fe".into(), "2001:db8::1".into(), 1, 1, 0)
    );
    let mut router = Router::new(config).unwrap();
    let unanswered = udp("10.0.0.1", "10.0.1.77", (1, 2), 0);
    assert_eq!(
        reply(router.unreachable(NOW, A, &unanswered)),
        (A, "10.0.0.254".into(), "10.0.0.1".into(), 3, 1, 0)
    );
}

#[test]
fn no_error_is_sent_about_an_error_nor_to_or_about_many_hosts() {
    let silent = Verdict::Drop(DropReason::NotReportable);
    for kind in [3, 4, 5, 11, 12] {
        assert_eq!(handle(r1(), A, icmp_message("10.0.0.1", "192.168.1.2", kind, 0)), silent);
    }
    assert_eq!(handle(r1(), A, icmp_message("2001:db8::1", "2001:db8:f::1", 1, 0)), silent);
    assert_eq!(reply(handle(r1(), A, icmp_message("10.0.0.1", "192.168.1.2", 8, 0))).3, 3, "about a ping");
    assert_eq!(handle(r1(), A, udp("0.0.0.0", "192.168.1.2", (1, 2), 0)), silent);
    assert_eq!(handle(r1(), A, udp("224.0.0.1", "192.168.1.2", (1, 2), 0)), silent);
    assert_eq!(handle(r1(), A, udp("172.16.0.1", "192.168.1.2", (1, 2), 0)), silent, "no route back");
    for dst in ["224.0.0.1", "255.255.255.255", "10.0.1.255", "127.0.0.1"] {
        let verdict = handle(r1(), A, udp("10.0.0.1", dst, (1, 2), 0));
        assert_eq!(verdict, Verdict::Drop(DropReason::Blackhole), "{dst}");
    }
}

#[test]
fn a_router_answers_pings_to_each_of_its_addresses() {
    for dst in ["10.0.0.254", "10.0.1.254"] {
        let expected = (A, dst.to_owned(), "10.0.0.1".to_owned(), 0, 0, 9);
        assert_eq!(reply(handle(r1(), A, icmp_message("10.0.0.1", dst, 8, 0))), expected);
    }
    let expected = (A, "2001:db8:1::fe".to_owned(), "2001:db8::1".to_owned(), 129, 0, 9);
    assert_eq!(reply(handle(r1(), A, icmp_message("2001:db8::1", "2001:db8:1::fe", 128, 0))), expected);
}

#[test]
fn the_source_of_an_error_is_the_inbound_address_only_on_request() {
    let mut config = r1();
    config.routes.push(route("172.16.0.0/12", &[(Some(B), None)]));
    let stray = udp("172.16.0.1", "192.168.1.2", (1, 2), 0);
    assert_eq!(reply(handle(config.clone(), A, stray.clone())).1, "10.0.1.254");
    config.icmp_source_inbound = true;
    assert_eq!(reply(handle(config, A, stray)).1, "10.0.0.254");
}

// NET-07
#[test]
fn the_icmp_rate_limit_is_off_unless_configured() {
    let replies = |config: RouterConfig| {
        let mut router = Router::new(config).unwrap();
        let mut packet = udp("10.0.0.1", "192.168.1.2", (1, 2), 0);
        (0..20).filter(|_| matches!(router.handle(NOW, A, &mut packet), Verdict::Reply(..))).count()
    };
    assert_eq!(replies(r1()), 20);
    assert_eq!(replies(RouterConfig { icmp_limits: Some(IcmpLimits::default()), ..r1() }), 6);
}

// NET-11
#[test]
fn strict_reverse_path_drops_the_second_path_and_loose_only_unknown_sources() {
    let mut config = r1();
    config.interfaces.push(interface(&["10.0.2.254/24"]));
    let verdict = |mode: ReversePath, src: &str| {
        let config = RouterConfig { reverse_path: mode, ..config.clone() };
        handle(config, C, udp(src, "10.0.1.2", (1, 2), 0))
    };
    let dropped = Verdict::Drop(DropReason::ReversePath);
    for (mode, same_path, other_path, unknown) in [
        (ReversePath::Off, Verdict::Forward(B), Verdict::Forward(B), Verdict::Forward(B)),
        (ReversePath::Loose, Verdict::Forward(B), Verdict::Forward(B), dropped.clone()),
        (ReversePath::Strict, Verdict::Forward(B), dropped.clone(), dropped),
    ] {
        assert_eq!(verdict(mode, "10.0.2.1"), same_path, "{mode:?}");
        assert_eq!(verdict(mode, "10.0.0.1"), other_path, "{mode:?}");
        assert_eq!(verdict(mode, "172.16.0.1"), unknown, "{mode:?}");
    }
}

fn fan(multipath: Multipath, hash_seed: u64) -> Router {
    Router::new(RouterConfig {
        interfaces: vec![
            interface(&["10.0.0.254/24"]),
            interface(&["10.1.0.1/30"]),
            interface(&["10.2.0.1/30"]),
            interface(&["10.3.0.1/30"]),
            interface(&["10.4.0.1/30"]),
        ],
        routes: vec![route(
            "10.9.0.0/16",
            &[
                (None, Some("10.1.0.2")),
                (None, Some("10.2.0.2")),
                (Some(InterfaceId(3)), None),
                (Some(InterfaceId(4)), Some("10.4.0.2")),
            ],
        )],
        multipath,
        hash_seed,
        ..RouterConfig::default()
    })
    .unwrap()
}

fn egress(router: &mut Router, port: u16) -> usize {
    match router.handle(NOW, A, &mut udp("10.0.0.1", "10.9.0.1", (port, 5001), 0)) {
        Verdict::Forward(egress) => usize::from(egress.0),
        other => panic!("not forwarded: {other:?}"),
    }
}

// NET-09
#[test]
fn flows_spread_over_the_next_hops_and_stay_on_theirs() {
    let mut router = fan(Multipath::FiveTuple, 1);
    let mut flows = [0_u32; 5];
    for port in 10_000..14_000 {
        let first = egress(&mut router, port);
        assert_eq!(egress(&mut router, port), first);
        flows[first] += 1;
    }
    assert_eq!(flows[0], 0);
    assert!(flows[1..].iter().all(|&count| (900..1100).contains(&count)), "{flows:?}");
}

// NET-09
#[test]
fn another_seed_spreads_the_flows_otherwise() {
    let spread =
        |seed| (0..64).map(|port| egress(&mut fan(Multipath::FiveTuple, seed), port)).collect::<Vec<_>>();
    assert_eq!(spread(1), spread(1));
    assert_ne!(spread(1), spread(2));
}

// NET-09
#[test]
fn the_address_hash_ignores_ports_and_round_robin_ignores_flows() {
    let mut router = fan(Multipath::Addresses, 1);
    let first = egress(&mut router, 1);
    assert!((2..100).all(|port| egress(&mut router, port) == first));
    let mut router = fan(Multipath::RoundRobin, 1);
    assert_eq!([1; 6].map(|port| egress(&mut router, port)), [1, 2, 3, 4, 1, 2]);
}

// NET-09: with equal regions a change of the member count moves a quarter to a half of the flows
// (RFC 2992 section 2.1).
#[test]
fn a_next_hop_that_goes_down_leaves_its_flows_to_the_others() {
    let mut router = fan(Multipath::FiveTuple, 1);
    let before: Vec<_> = (0..1000).map(|port| egress(&mut router, port)).collect();
    router.set_interface_up(InterfaceId(2), false);
    let after: Vec<_> = (0..1000).map(|port| egress(&mut router, port)).collect();
    assert!(after.iter().all(|&egress| egress != 2));
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert!((250..550).contains(&moved), "{moved}");
    router.set_interface_up(InterfaceId(2), true);
    let restored: Vec<_> = (0..1000).map(|port| egress(&mut router, port)).collect();
    assert_eq!(restored, before);
}

#[test]
fn the_routes_of_an_interface_vanish_while_it_is_down_but_its_address_stays() {
    let mut router = Router::new(r1()).unwrap();
    router.set_interface_up(B, false);
    let mut packet = udp("10.0.0.1", "10.0.1.2", (1, 2), 0);
    assert_eq!(reply(router.handle(NOW, A, &mut packet)).3, 3);
    assert!(router.owns(ip("10.0.1.254")));
    router.set_interface_up(B, true);
    assert_eq!(router.handle(NOW, A, &mut packet), Verdict::Forward(B));
    router.set_interface_up(InterfaceId(99), false);
}

// SYS-16, NET-08: the routers of the three-router testbed route by interface, without next hop.
#[test]
fn static_routes_to_an_interface_lead_packets_through_the_three_routers() {
    let r2 = RouterConfig {
        interfaces: vec![
            interface(&["10.0.2.1/24"]),
            interface(&["10.0.7.2/24"]),
            interface(&["10.0.8.2/24"]),
        ],
        routes: vec![
            route("10.0.1.0/24", &[(Some(B), None)]),
            route("10.0.4.0/24", &[(Some(B), None)]),
            route("10.0.3.0/24", &[(Some(C), None)]),
            route("10.0.6.0/24", &[(Some(C), None)]),
            route("0.0.0.0/0", &[(Some(B), None)]),
        ],
        ..RouterConfig::default()
    };
    let mut router = Router::new(r2).unwrap();
    for (ingress, src, dst, expected) in [
        (A, "10.0.2.6", "10.0.4.7", B),
        (C, "10.0.3.6", "10.0.4.7", B),
        (B, "10.0.4.7", "10.0.3.6", C),
        (B, "10.0.4.7", "10.0.2.6", A),
        (A, "10.0.2.6", "10.0.6.7", C),
        (A, "10.0.2.6", "192.0.2.1", B),
    ] {
        let verdict = router.handle(NOW, ingress, &mut udp(src, dst, (1, 2), 0));
        assert_eq!(verdict, Verdict::Forward(expected), "{src} to {dst}");
    }
}

#[test]
fn impossible_routes_are_refused_with_the_reason() {
    let message = |route: StaticRoute| {
        Router::new(RouterConfig { routes: vec![route], ..r1() }).unwrap_err().to_string()
    };
    assert_eq!(
        message(route("10.5.0.0/16", &[(Some(C), None)])),
        "route 10.5.0.0/16: the router has no interface 2; it has 2"
    );
    assert_eq!(
        message(route("10.5.0.0/16", &[(None, Some("10.9.9.9"))])),
        "route 10.5.0.0/16: gateway 10.9.9.9 is in no subnet of the router's interfaces"
    );
    assert_eq!(
        message(route("10.5.0.0/16", &[(Some(A), Some("2001:db8::1"))])),
        "route 10.5.0.0/16: gateway 2001:db8::1 is of the other IP version"
    );
    assert_eq!(
        message(route("10.5.0.0/16", &[])),
        "route 10.5.0.0/16: a next hop needs an interface or a gateway"
    );
    let twice = vec![route("10.5.0.0/16", &[(Some(A), None)]); 2];
    assert_eq!(
        Router::new(RouterConfig { routes: twice, ..r1() }).unwrap_err(),
        RouterError::Duplicate("10.5.0.0/16".parse().unwrap())
    );
}

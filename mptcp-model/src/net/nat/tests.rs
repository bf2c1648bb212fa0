//! The behaviours RFC 4787, RFC 5382 and RFC 5508 name, one by one.

use std::net::{IpAddr, SocketAddr};

use sim_core::random::Streams;
use sim_core::{Duration, Instant};

use super::*;
use crate::net::icmp::{IcmpError, error};
use crate::net::middlebox::Chain;
use crate::wire::{
    IcmpMessage, IpHeader, Payload, Seq, TcpFlags, TcpOptions, TcpSegment, UdpDatagram, verify_checksums,
};

const A: &str = "10.0.0.1:5000";
const B: &str = "10.0.0.2:5000";
const NAT: &str = "203.0.113.1";
const X: &str = "192.0.2.1:80";
const X_OTHER_PORT: &str = "192.0.2.1:81";
const Y: &str = "192.0.2.2:80";
const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn secs(n: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(n)
}

fn config() -> NatConfig {
    NatConfig::recommended(vec![NAT.parse().unwrap()])
}

fn nat(config: NatConfig) -> Nat {
    Nat::new(config, Streams::new(3).stream("nat")).unwrap()
}

fn tcp(src: SocketAddr, dst: SocketAddr, flags: TcpFlags) -> Packet {
    Packet {
        ip: IpHeader::new(src.ip(), dst.ip()),
        body: Body::Tcp(TcpSegment {
            src_port: src.port(),
            dst_port: dst.port(),
            seq: Seq(1000),
            ack: Seq(if flags.ack() { 2000 } else { 0 }),
            flags,
            window: 500,
            urgent: 0,
            options: TcpOptions::EMPTY,
            payload: Payload::pattern(1, 0, 20),
        }),
    }
}

fn udp(src: SocketAddr, dst: SocketAddr) -> Packet {
    let datagram =
        UdpDatagram { src_port: src.port(), dst_port: dst.port(), payload: Payload::pattern(1, 0, 9) };
    Packet { ip: IpHeader::new(src.ip(), dst.ip()), body: Body::Udp(datagram) }
}

fn octets(packet: &Packet) -> Vec<u8> {
    let mut octets = Vec::new();
    packet.emit(&mut octets);
    octets
}

/// Hands over a packet and returns what leaves.
fn pass(nat: &mut Nat, now: Instant, direction: Direction, packet: Packet) -> Vec<(Direction, Packet)> {
    let mut out = Vec::new();
    nat.handle(now, direction, packet, &mut out);
    for output in &out {
        assert_eq!(verify_checksums(&octets(&output.packet)), Ok(()));
    }
    out.into_iter().map(|output| (output.direction, output.packet)).collect()
}

fn ends(packet: &Packet) -> (SocketAddr, SocketAddr) {
    let (src, dst) = match &packet.body {
        Body::Tcp(segment) => (segment.src_port, segment.dst_port),
        Body::Udp(datagram) => (datagram.src_port, datagram.dst_port),
        _ => (0, 0),
    };
    (SocketAddr::new(packet.ip.src, src), SocketAddr::new(packet.ip.dst, dst))
}

/// Opens a connection from inside and returns its external end.
fn dial(nat: &mut Nat, now: Instant, from: &str, to: &str) -> SocketAddr {
    let out = pass(nat, now, Direction::Forward, tcp(end(from), end(to), SYN));
    assert_eq!(out.len(), 1);
    assert_eq!(ends(&out[0].1).1, end(to));
    ends(&out[0].1).0
}

/// Completes the handshake of a connection dialled before.
fn complete(nat: &mut Nat, now: Instant, from: &str, to: &str, external: SocketAddr) {
    assert_eq!(pass(nat, now, Direction::Backward, tcp(end(to), external, SYN.with(ACK))).len(), 1);
    assert_eq!(pass(nat, now, Direction::Forward, tcp(end(from), end(to), ACK)).len(), 1);
}

fn gets_in(nat: &mut Nat, now: Instant, from: &str, external: SocketAddr) -> bool {
    let out = pass(nat, now, Direction::Backward, tcp(end(from), external, SYN));
    out.first().is_some_and(|(direction, _)| *direction == Direction::Backward)
}

#[test]
fn mappings_depend_on_what_they_should() {
    // NET-13
    let externals = |mapping| {
        let mut nat = nat(NatConfig { mapping, ..config() });
        [X, X_OTHER_PORT, Y].map(|to| dial(&mut nat, secs(1), A, to))
    };
    let [x, other_port, y] = externals(Dependence::EndpointIndependent);
    assert!(x == other_port && x == y);
    let [x, other_port, y] = externals(Dependence::AddressDependent);
    assert!(x == other_port && x != y);
    let [x, other_port, y] = externals(Dependence::AddressAndPortDependent);
    assert!(x != other_port && x != y && other_port != y);
}

#[test]
fn filters_admit_whom_they_should() {
    // NET-14
    let admitted = |filtering| {
        let mut nat = nat(NatConfig { filtering, ..config() });
        let external = dial(&mut nat, secs(1), A, X);
        [X_OTHER_PORT, Y].map(|from| gets_in(&mut nat, secs(1), from, external))
    };
    assert_eq!(admitted(Dependence::EndpointIndependent), [true, true]);
    assert_eq!(admitted(Dependence::AddressDependent), [true, false]);
    assert_eq!(admitted(Dependence::AddressAndPortDependent), [false, false]);
}

#[test]
fn simultaneous_open_passes() {
    // NET-15
    let mut nat = nat(NatConfig { filtering: Dependence::AddressAndPortDependent, ..config() });
    let external = dial(&mut nat, secs(1), A, X);
    assert!(gets_in(&mut nat, secs(1), X, external));
}

#[test]
fn ports_are_kept_while_they_are_free() {
    // NET-14, NET-17
    let mut nat = nat(config());
    let first = dial(&mut nat, secs(1), A, X);
    let second = dial(&mut nat, secs(1), B, X);
    assert_eq!(first, end("203.0.113.1:5000"));
    assert_eq!(second.ip(), first.ip());
    assert_ne!(second.port(), first.port());
    assert!(second.port() >= 1024);
}

#[test]
fn overloaded_ports_are_told_apart_by_the_remote_end() {
    // NET-14
    let mut nat = nat(NatConfig::masquerade(NAT.parse().unwrap()));
    let shared = dial(&mut nat, secs(1), A, X);
    assert_eq!(dial(&mut nat, secs(1), B, Y), shared);
    assert_ne!(dial(&mut nat, secs(1), B, X), shared);
    for (from, to) in [(X, A), (Y, B)] {
        let out = pass(&mut nat, secs(1), Direction::Backward, tcp(end(from), shared, SYN.with(ACK)));
        assert_eq!(ends(&out[0].1), (end(from), end(to)));
    }
}

#[test]
fn parity_is_kept_on_request() {
    let only_odd_left = NatConfig { parity: true, preserve_ports: false, ports: 2001..=2001, ..config() };
    let mut nat = nat(only_odd_left);
    let out = pass(&mut nat, secs(1), Direction::Forward, tcp(end(A), end(X), SYN));
    assert!(out.is_empty(), "5000 is even");
    assert_eq!(nat.stats().exhausted, 1);
    assert_eq!(dial(&mut nat, secs(1), "10.0.0.1:5001", X).port(), 2001);
}

#[test]
fn a_pool_is_paired_or_shared_in_turn() {
    // NET-14
    let pool: Vec<IpAddr> = vec!["203.0.113.1".parse().unwrap(), "203.0.113.2".parse().unwrap()];
    let addresses = |paired| {
        let mapping = Dependence::AddressAndPortDependent;
        let mut nat = nat(NatConfig { pool: pool.clone(), paired, mapping, ..config() });
        [(A, X), (A, Y), (B, X)].map(|(from, to)| dial(&mut nat, secs(1), from, to).ip())
    };
    assert_eq!(addresses(true), [pool[0], pool[0], pool[1]]);
    assert_eq!(addresses(false), [pool[0], pool[1], pool[0]]);
}

#[test]
fn timeouts_follow_the_state_of_the_connection() {
    // NET-15, TIME-15
    let mut nat = nat(config());
    let external = dial(&mut nat, secs(0), A, X);
    assert_eq!(nat.external(Protocol::Tcp, end(A), end(X)), Some(external));
    complete(&mut nat, secs(239), A, X, external);
    let data = tcp(end(X), external, ACK);
    assert_eq!(pass(&mut nat, secs(239 + 7439), Direction::Backward, data.clone()).len(), 1);
    let closing = secs(8000);
    let fin = ACK.with(TcpFlags::FIN);
    pass(&mut nat, closing, Direction::Forward, tcp(end(A), end(X), fin));
    pass(&mut nat, closing, Direction::Backward, tcp(end(X), external, fin));
    assert_eq!(pass(&mut nat, secs(8239), Direction::Backward, data.clone()).len(), 1);
    assert!(pass(&mut nat, secs(8239 + 240), Direction::Backward, data).is_empty());
    assert_eq!((nat.stats().expired, nat.sessions()), (1, 0));
}

#[test]
fn an_unfinished_handshake_is_forgotten_early() {
    // TIME-15
    let mut nat = nat(config());
    let external = dial(&mut nat, secs(0), A, X);
    let answer = tcp(end(X), external, SYN.with(ACK));
    assert!(pass(&mut nat, secs(240), Direction::Backward, answer).is_empty());
}

#[test]
fn expired_connections_meet_silence_or_a_reset_from_outside() {
    // NET-16
    for (unknown_inbound, answers) in [(UnknownInbound::Drop, 0), (UnknownInbound::Reset, 1)] {
        let mut nat =
            nat(NatConfig { unknown_inbound, established_timeout: Duration::from_secs(30), ..config() });
        let external = dial(&mut nat, secs(0), A, X);
        complete(&mut nat, secs(0), A, X, external);
        let out = pass(&mut nat, secs(30), Direction::Backward, tcp(end(X), external, ACK));
        assert_eq!(out.len(), answers);
        for (direction, packet) in &out {
            assert_eq!((*direction, ends(packet)), (Direction::Forward, (external, end(X))));
            assert!(matches!(&packet.body, Body::Tcp(reset) if reset.flags.rst() && reset.seq == Seq(2000)));
        }
    }
}

#[test]
fn expired_connections_are_mapped_anew_or_refused_from_inside() {
    // NET-16
    let late = |unknown_outbound| {
        let timeout = Duration::from_secs(30);
        let preserve_ports = false;
        let mut nat =
            nat(NatConfig { unknown_outbound, established_timeout: timeout, preserve_ports, ..config() });
        let external = dial(&mut nat, secs(0), A, X);
        complete(&mut nat, secs(0), A, X, external);
        (external, pass(&mut nat, secs(30), Direction::Forward, tcp(end(A), end(X), ACK)))
    };
    let (before, out) = late(UnknownOutbound::Map);
    assert_ne!(ends(&out[0].1).0, before, "another port");
    assert!(late(UnknownOutbound::Drop).1.is_empty());
    let (_, out) = late(UnknownOutbound::Reset);
    assert_eq!((out[0].0, ends(&out[0].1)), (Direction::Backward, (end(X), end(A))));
}

#[test]
fn internal_ends_reach_each_other_from_outside() {
    // NET-14
    let filtering = Dependence::EndpointIndependent;
    let mut hairpin = nat(NatConfig { filtering, ..config() });
    let external = dial(&mut hairpin, secs(1), A, X);
    let out = pass(&mut hairpin, secs(1), Direction::Forward, tcp(end(B), external, SYN));
    let (src, dst) = ends(&out[0].1);
    assert_eq!((out[0].0, src.ip(), dst), (Direction::Backward, external.ip(), end(A)));
    let answer = pass(&mut hairpin, secs(1), Direction::Forward, tcp(end(A), src, SYN.with(ACK)));
    assert_eq!((answer[0].0, ends(&answer[0].1)), (Direction::Backward, (external, end(B))));
    let mut plain = nat(NatConfig { filtering, hairpinning: false, ..config() });
    let external = dial(&mut plain, secs(1), A, X);
    assert!(pass(&mut plain, secs(1), Direction::Forward, tcp(end(B), external, SYN)).is_empty());
}

#[test]
fn forwarded_ports_lead_inside_and_back() {
    // NET-14
    let forward = PortForward {
        protocol: Protocol::Tcp,
        external: end("203.0.113.1:80"),
        internal: end("10.0.0.9:8080"),
    };
    let mut nat = nat(NatConfig {
        forwards: vec![forward],
        filtering: Dependence::AddressAndPortDependent,
        ..config()
    });
    let out = pass(&mut nat, secs(1), Direction::Backward, tcp(end(X), forward.external, SYN));
    assert_eq!(ends(&out[0].1), (end(X), forward.internal));
    let out = pass(&mut nat, secs(1), Direction::Forward, tcp(forward.internal, end(X), SYN.with(ACK)));
    assert_eq!(ends(&out[0].1), (forward.external, end(X)));
    let out = pass(&mut nat, secs(9000), Direction::Backward, tcp(end(Y), forward.external, SYN));
    assert_eq!(ends(&out[0].1).1, forward.internal, "it never expires");
}

#[test]
fn quoted_headers_are_translated_with_their_checksums() {
    // NET-14
    let mut nat = nat(NatConfig { preserve_ports: false, ..config() });
    let original = tcp(end(A), end(X), SYN);
    let sent = pass(&mut nat, secs(1), Direction::Forward, original.clone()).remove(0).1;
    let router: IpAddr = "198.51.100.1".parse().unwrap();
    let unreachable = error(&sent, IcmpError::HostUnreachable, router, 0).unwrap();
    let got = pass(&mut nat, secs(1), Direction::Backward, unreachable.clone()).remove(0).1;
    assert_eq!((got.ip.src, got.ip.dst), (router, original.ip.src));
    let Body::Icmp(message) = &got.body else { panic!("{got:?}") };
    assert_eq!(&message.data[..], &octets(&original)[..], "octet for octet what the host had sent");
    let stranger = tcp("203.0.113.1:9".parse().unwrap(), end(X), SYN);
    let unknown = error(&stranger, IcmpError::HostUnreachable, router, 0).unwrap();
    assert!(pass(&mut nat, secs(1), Direction::Backward, unknown).is_empty());
}

#[test]
fn errors_from_inside_hide_the_inside() {
    let mut nat = nat(NatConfig { preserve_ports: false, ..config() });
    let external = dial(&mut nat, secs(1), A, X);
    let incoming = tcp(end(X), external, SYN.with(ACK));
    let delivered = pass(&mut nat, secs(1), Direction::Backward, incoming.clone()).remove(0).1;
    let refusal = error(&delivered, IcmpError::PortUnreachable, end(A).ip(), 0).unwrap();
    let got = pass(&mut nat, secs(1), Direction::Forward, refusal).remove(0).1;
    assert_eq!((got.ip.src, got.ip.dst), (external.ip(), end(X).ip()));
    let Body::Icmp(message) = &got.body else { panic!("{got:?}") };
    assert_eq!(&message.data[..], &octets(&incoming)[..]);
}

#[test]
fn udp_and_echo_are_translated_and_others_are_not() {
    let mut nat = nat(config());
    let out = pass(&mut nat, secs(1), Direction::Forward, udp(end(A), end(X)));
    let external = ends(&out[0].1).0;
    assert_eq!(external, end("203.0.113.1:5000"));
    let back = pass(&mut nat, secs(300), Direction::Backward, udp(end(X), external));
    assert_eq!(ends(&back[0].1), (end(X), end(A)));
    assert!(pass(&mut nat, secs(601), Direction::Backward, udp(end(X), external)).is_empty());

    let echo = |kind, src: &str, dst: &str, id: u32| Packet {
        ip: IpHeader::new(src.parse().unwrap(), dst.parse().unwrap()),
        body: Body::Icmp(Box::new(IcmpMessage {
            kind,
            code: 0,
            rest: id << 16 | 7,
            data: bytes::Bytes::new(),
        })),
    };
    let now = secs(700);
    let asked = |nat: &mut Nat, host: &str| {
        let out = pass(nat, now, Direction::Forward, echo(8, host, "192.0.2.1", 4000));
        let Body::Icmp(message) = &out[0].1.body else { panic!("{out:?}") };
        message.rest >> 16
    };
    let (first, second) = (asked(&mut nat, "10.0.0.1"), asked(&mut nat, "10.0.0.2"));
    assert!(first == 4000 && second != 4000);
    let answer = pass(&mut nat, now, Direction::Backward, echo(0, "192.0.2.1", NAT, second)).remove(0).1;
    assert_eq!(answer, echo(0, "192.0.2.1", "10.0.0.2", 4000));

    let other = Packet {
        ip: IpHeader::new(end(A).ip(), end(X).ip()),
        body: Body::Other { protocol: 47, payload: Payload::Empty },
    };
    assert!(pass(&mut nat, now, Direction::Forward, other).is_empty());
    assert_eq!(nat.stats().untranslatable, 1);
}

#[test]
fn cascaded_timeouts_are_those_of_the_shorter_box() {
    // NET-18
    let home = NatConfig { established_timeout: Duration::from_secs(300), ..config() };
    let carrier = NatConfig {
        established_timeout: Duration::from_secs(60),
        unknown_outbound: UnknownOutbound::Reset,
        ..NatConfig::recommended(vec!["198.51.100.7".parse().unwrap()])
    };
    let mut chain = Chain::new();
    chain.push("home", Box::new(nat(home)));
    chain.push("carrier", Box::new(nat(carrier)));
    let mut run = |now, direction, packet| {
        let mut out = Vec::new();
        chain.handle(now, direction, packet, &mut out);
        out
    };
    let out = run(secs(0), Direction::Forward, tcp(end(A), end(X), SYN));
    let external = ends(&out[0].1).0;
    assert_eq!(external, end("198.51.100.7:5000"));
    let out = run(secs(0), Direction::Backward, tcp(end(X), external, SYN.with(ACK)));
    assert_eq!(ends(&out[0].1), (end(X), end(A)));
    run(secs(0), Direction::Forward, tcp(end(A), end(X), ACK));
    let out = run(secs(61), Direction::Forward, tcp(end(A), end(X), ACK));
    assert_eq!(
        (out[0].0, ends(&out[0].1)),
        (Direction::Backward, (end(X), end(A))),
        "a reset, translated back"
    );
}

#[test]
fn packets_that_are_not_for_the_nat_pass_untouched() {
    let mut nat = nat(NatConfig { inside: vec!["10.0.0.0/24".parse().unwrap()], ..config() });
    let public = tcp(end("198.51.100.9:1"), end(X), SYN);
    assert_eq!(pass(&mut nat, secs(1), Direction::Forward, public.clone()), [(Direction::Forward, public)]);
    let six = tcp(end("[2001:db8::1]:1"), end("[2001:db8::2]:2"), SYN);
    assert_eq!(pass(&mut nat, secs(1), Direction::Forward, six.clone()), [(Direction::Forward, six)]);
    let routed = tcp(end(X), end("198.51.100.9:1"), SYN);
    assert_eq!(pass(&mut nat, secs(1), Direction::Backward, routed.clone()), [(Direction::Backward, routed)]);
}

#[test]
fn impossible_configurations_are_refused() {
    let refuse = |config| Nat::new(config, Streams::new(3).stream("nat")).map(|_| ()).unwrap_err();
    assert_eq!(refuse(NatConfig::recommended(Vec::new())), NatError::EmptyPool);
    assert_eq!(refuse(NatConfig { ports: 0..=9, ..config() }), NatError::Ports(0, 9));
    let forward = PortForward { protocol: Protocol::Tcp, external: end("203.0.113.9:80"), internal: end(A) };
    let outside = NatConfig { forwards: vec![forward], ..config() };
    assert_eq!(refuse(outside), NatError::ForwardOutsidePool(forward.external));
    let forward = PortForward { external: end("203.0.113.1:80"), ..forward };
    let twice = NatConfig { forwards: vec![forward, forward], ..config() };
    assert_eq!(refuse(twice), NatError::DuplicateForward(forward.external));
}

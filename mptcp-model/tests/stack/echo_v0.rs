//! A captured conversation of version 0, had again by two simulated hosts: a client with three addresses, two of
//! them behind a NAT, an echo server that closes first, joins that come too late. Keys, initial sequence
//! numbers, nonces, IP ids and clocks are those of the capture; every packet must be the same, octet for octet.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mptcp_model::config::{MptcpConfig, Profile, TcpConfig};
use mptcp_model::congestion;
use mptcp_model::host::{Host, SocketId};
use mptcp_model::mptcp::{Content, SocketOptions};
use mptcp_model::net::InterfaceId;
use mptcp_model::path_manager::registry::{self, PathManagerConfig};
use mptcp_model::scheduler;
use mptcp_model::wire::{Body, Packet};
use sim_core::random::Streams;
use sim_core::{Duration, Instant};

const NAT: &str = "203.250.33.175";
/// Port of the NAT for each address behind it.
const TRANSLATIONS: [(&str, u16); 2] = [("192.168.0.28", 52_141), ("192.168.0.25", 35_332)];

fn options(tcp: TcpConfig) -> SocketOptions {
    SocketOptions {
        tcp: Arc::new(tcp),
        mptcp: Some(Arc::new(MptcpConfig::new(Profile::LinuxOot))),
        congestion: Arc::new(|| congestion::create("lia", &congestion::Parameters::new()).unwrap()),
        scheduler: Arc::new(|| scheduler::create("minrtt").unwrap()),
        path_manager: Arc::new(|| (registry::find("fullmesh").unwrap().build)(&PathManagerConfig::default())),
        content: Content::Literal("hello".into()),
    }
}

fn host(name: &str, addresses: &[&str]) -> Host {
    let mut host = Host::new(name, Streams::new(1));
    for (index, address) in addresses.iter().enumerate() {
        let dev = format!("e{index}");
        host.add_interface(&dev, 1500, &[format!("{address}/24").parse().unwrap()]);
        host.routing
            .add_rule(format!("{}: from {address} lookup {}", 100 + index, 100 + index).parse().unwrap());
        host.routing.add_route(format!("default dev {dev} table {}", 100 + index).parse().unwrap()).unwrap();
    }
    host
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

/// Both hosts; on the way from the client lie a router, and a NAT before two of its addresses.
struct Talk {
    client: Host,
    server: Host,
    /// Source ports of joins before translation.
    inside: Vec<(u16, SocketAddr)>,
    seen: Vec<Packet>,
}

impl Talk {
    fn client_sends(&mut self, now: Instant) -> Vec<Packet> {
        let mut raw = Vec::new();
        while let Some((_, packet)) = self.client.poll_transmit(now) {
            raw.push(packet);
        }
        for packet in &mut raw {
            packet.ip.ttl -= 1;
            let source = packet.ip.src.to_string();
            let translation = TRANSLATIONS.iter().find(|(inside, _)| source == *inside);
            if let (Some((_, port)), Body::Tcp(segment)) = (translation, &mut packet.body) {
                self.inside.push((*port, SocketAddr::new(packet.ip.src, segment.src_port)));
                packet.ip.src = NAT.parse().unwrap();
                segment.src_port = *port;
            }
        }
        self.seen.extend(raw.iter().cloned());
        raw
    }

    fn server_sends(&mut self, now: Instant) -> Vec<Packet> {
        let mut packets = Vec::new();
        while let Some((_, packet)) = self.server.poll_transmit(now) {
            packets.push(packet);
        }
        self.seen.extend(packets.iter().cloned());
        packets
    }

    fn server_gets(&mut self, now: Instant, packets: &[Packet]) {
        for packet in packets {
            self.server.handle_packet(now, InterfaceId(0), packet);
        }
    }

    fn client_gets(&mut self, now: Instant, packets: &[Packet]) {
        for packet in packets {
            let mut packet = packet.clone();
            let Body::Tcp(segment) = &mut packet.body else { panic!("not TCP") };
            if packet.ip.dst == NAT.parse::<IpAddr>().unwrap() {
                let inside =
                    self.inside.iter().find(|(port, _)| *port == segment.dst_port).expect("translated").1;
                packet.ip.dst = inside.ip();
                segment.dst_port = inside.port();
            }
            let address = packet.ip.dst;
            let interface = ["192.168.0.28", "192.168.0.25", "203.250.35.157"]
                .iter()
                .position(|own| address == own.parse::<IpAddr>().unwrap())
                .expect("an address of the client");
            self.client.handle_packet(now, InterfaceId(interface as u16), &packet);
        }
    }
}

fn converse() -> Vec<Packet> {
    let mut client = host("client", &["192.168.0.28", "192.168.0.25", "203.250.35.157"]);
    let mut server = host("server", &["203.250.33.51"]);
    let ticks = 2_264_349;
    client.give_numbers(
        [0x877c_fcac_977e_4b88, 3_198_590_955, ticks, 0x12f5]
            .into_iter()
            .chain([476_878_471, ticks, 0x1b98, 0x0730_5469])
            .chain([3_731_747_328, ticks, 0x7f1d, 0x74c5_f35c]),
    );
    server.give_numbers([0x813f_6794_75cb_7f9f, 313_062_176, 1_345_427_636, 0xe05a]);
    let tcp = TcpConfig { timer_tick: None, ..TcpConfig::new(Profile::LinuxOot) };
    let remote: SocketAddr = "203.250.33.51:9999".parse().unwrap();
    let listener = server.listen(options(tcp.clone()), remote, 4).unwrap();
    // 29200 octets of window, scaled by 64.
    let small = TcpConfig { rmem: [4096, 58_400, 3_000_000], ..tcp };
    let local = "203.250.35.157:37746".parse().unwrap();
    let socket = client.connect(at(0), options(small), Some(local), remote).unwrap();
    let mut talk = Talk { client, server, inside: Vec::new(), seen: Vec::new() };

    // The clock of the client ticks once, after the SYN; that of the server when the capture says so.
    let syn = talk.client_sends(at(0));
    talk.server_gets(at(0), &syn);
    let synack = talk.server_sends(at(0));
    talk.client_gets(at(1), &synack);
    let opening = talk.client_sends(at(1));
    assert_eq!(talk.client.write(at(1), socket, 5), Ok(5));
    let hello = talk.client_sends(at(1));
    talk.server_gets(at(2), &opening);
    talk.server_gets(at(2), &hello);
    let acked = talk.server_sends(at(2));
    let accepted: SocketId = talk.server.accept(listener).expect("a connection");
    assert_eq!(talk.server.read(at(2), accepted, 100).unwrap().len, 5);
    assert_eq!(talk.server.write(at(2), accepted, 5), Ok(5));
    let echo = talk.server_sends(at(2));
    talk.server.close(at(2), accepted);
    let fin = talk.server_sends(at(2));
    talk.client_gets(at(1), &acked);
    let joins = talk.client_sends(at(1));
    talk.server_gets(at(2), &joins);
    let refusals = talk.server_sends(at(2));
    talk.client_gets(at(1), &refusals);
    talk.client_gets(at(1), &echo);
    let got = talk.client_sends(at(1));
    talk.client_gets(at(1), &fin);
    let read = talk.client.read(at(1), socket, 100).unwrap();
    assert_eq!((read.len, talk.client.read(at(1), socket, 100).unwrap().end), (5, true));
    talk.client.close(at(1), socket);
    let last = talk.client_sends(at(1));
    talk.server_gets(at(9), &got);
    talk.server_gets(at(9), &last);
    let closing = talk.server_sends(at(9));
    talk.client_gets(at(1), &closing);
    let end = talk.client_sends(at(1));
    talk.server_gets(at(9), &end);
    talk.server_sends(at(9));
    talk.seen
}

fn hex(packet: &Packet) -> String {
    let mut octets = Vec::new();
    packet.emit(&mut octets);
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn the_captured_conversation_is_had_again_octet_for_octet() {
    // TCP-32, CAP-14
    // SYS-20, SYS-21, SYS-22, CAP-01, CAP-13, ADDR-01, ADDR-05, JOIN-08, JOIN-09, CLOSE-02, CLOSE-04, MBOX-25
    let wanted: Vec<&str> = include_str!("../fixtures/echo-v0.hex")
        .lines()
        .filter(|line| line.starts_with('4'))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let seen = converse();
    let describe = |packet: &Packet| format!("{packet:?}");
    // The joins leave back to back here; in the capture the ACK of the echo got between them.
    let flow = |octets: &str| {
        let ports = [&octets[40..44], &octets[44..48]];
        if ports[0] == "270f" { ports[1].to_owned() } else { ports[0].to_owned() }
    };
    let sent: Vec<String> = seen.iter().map(hex).collect();
    for port in ["9372", "cbad", "8a04"] {
        let of = |all: &[String]| -> Vec<String> {
            all.iter().filter(|octets| flow(octets) == port).cloned().collect()
        };
        let wanted: Vec<String> = of(&wanted.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        let sent_here = of(&sent);
        for (index, (sent, wanted)) in sent_here.iter().zip(&wanted).enumerate() {
            let packet = seen.iter().find(|packet| hex(packet) == *sent).map(describe);
            assert_eq!(sent, wanted, "packet {index} of flow {port}: {packet:?}");
        }
        assert_eq!(sent_here.len(), wanted.len(), "flow {port}");
    }
    assert_eq!(seen.len(), 19);
}

//! Packets of every kind: against an independent implementation, and every way to be none.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use mptcp_model::wire::{
    Body, Ecn, IcmpMessage, IpHeader, Packet, Payload, Seq, TcpFlags, TcpOptions, TcpSegment, UdpDatagram,
    WireError, verify_checksums,
};

use crate::{hex, octets};

const V4: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(10, 0, 1, 2), Ipv4Addr::new(10, 0, 2, 200));
const V6: (Ipv6Addr, Ipv6Addr) = (
    Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0xffff, 2),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0xabcd, 0, 0, 0xfffe),
);

fn v4() -> IpHeader {
    IpHeader { id: 0x1234, ttl: 63, dscp: 46, ..IpHeader::new(V4.0.into(), V4.1.into()) }
}

fn v6() -> IpHeader {
    IpHeader { ttl: 61, flow_label: 0xa_bcde, ..IpHeader::new(V6.0.into(), V6.1.into()) }
}

fn segment(payload: Payload) -> TcpSegment {
    let mut options = TcpOptions::new();
    assert!(options.push_nop() && options.push_nop() && options.push_timestamps(100, 200));
    TcpSegment {
        src_port: 40_000,
        dst_port: 443,
        seq: Seq(0xffff_fff0),
        ack: Seq(17),
        flags: TcpFlags::ACK.with(TcpFlags::PSH),
        window: 502,
        urgent: 0,
        options,
        payload,
    }
}

fn emit(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.emit(&mut out);
    out
}

fn payloads() -> [Payload; 5] {
    [
        Payload::Empty,
        Payload::from(&b"hello"[..]),
        Payload::pattern(3, 7, 1428),
        Payload::pattern(3, 8, 1427),
        Payload::pattern(0, 0, 1400),
    ]
}

#[test]
fn tcp_is_what_etherparse_builds() {
    for payload in payloads() {
        let mut octets = Vec::new();
        payload.write_to(&mut octets);
        for ip in [v4(), v6()] {
            let ours = emit(&Packet { ip, body: Body::Tcp(segment(payload.clone())) });
            let builder = match ip.is_ipv4() {
                true => {
                    let mut header = etherparse::Ipv4Header::new(
                        0,
                        63,
                        etherparse::IpNumber::TCP,
                        V4.0.octets(),
                        V4.1.octets(),
                    )
                    .expect("a header");
                    header.identification = 0x1234;
                    header.dscp = etherparse::IpDscp::EF;
                    PacketBuilder::ip(etherparse::IpHeaders::Ipv4(header, Default::default()))
                }
                false => {
                    let header = etherparse::Ipv6Header {
                        flow_label: etherparse::Ipv6FlowLabel::try_new(0xa_bcde).expect("20 bits"),
                        hop_limit: 61,
                        source: V6.0.octets(),
                        destination: V6.1.octets(),
                        ..Default::default()
                    };
                    PacketBuilder::ip(etherparse::IpHeaders::Ipv6(header, Default::default()))
                }
            };
            let mut theirs = Vec::new();
            builder
                .tcp(40_000, 443, 0xffff_fff0, 502)
                .ack(17)
                .psh()
                .options_raw(segment(Payload::Empty).options.as_bytes())
                .expect("options fit")
                .write(&mut theirs, &octets)
                .expect("writing to memory");
            assert_eq!(hex(&ours), hex(&theirs));
            assert_eq!(verify_checksums(&theirs), Ok(()));
        }
    }
}

#[test]
fn udp_is_what_etherparse_builds() {
    for payload in payloads() {
        let mut octets = Vec::new();
        payload.write_to(&mut octets);
        let body = Body::Udp(UdpDatagram { src_port: 53, dst_port: 5353, payload: payload.clone() });
        for ip in [IpHeader::new(V4.0.into(), V4.1.into()), IpHeader::new(V6.0.into(), V6.1.into())] {
            let ours = emit(&Packet { ip, body: body.clone() });
            let builder = if ip.is_ipv4() {
                PacketBuilder::ipv4(V4.0.octets(), V4.1.octets(), 64)
            } else {
                PacketBuilder::ipv6(V6.0.octets(), V6.1.octets(), 64)
            };
            let mut theirs = Vec::new();
            builder.udp(53, 5353).write(&mut theirs, &octets).expect("writing to memory");
            assert_eq!(hex(&ours), hex(&theirs));
            assert_eq!(verify_checksums(&theirs), Ok(()));
        }
    }
}

#[test]
fn icmp_echo_is_what_etherparse_builds() {
    let data = bytes::Bytes::from_static(b"abcdefghi");
    let rest = 0x0102_0304;
    for (ip, kind) in
        [(IpHeader::new(V4.0.into(), V4.1.into()), 8), (IpHeader::new(V6.0.into(), V6.1.into()), 128)]
    {
        let body = Body::Icmp(Box::new(IcmpMessage { kind, code: 0, rest, data: data.clone() }));
        let packet = Packet { ip, body };
        let ours = emit(&packet);
        let mut theirs = Vec::new();
        if ip.is_ipv4() {
            PacketBuilder::ipv4(V4.0.octets(), V4.1.octets(), 64)
                .icmpv4_echo_request(0x0102, 0x0304)
                .write(&mut theirs, &data)
                .expect("writing to memory");
        } else {
            PacketBuilder::ipv6(V6.0.octets(), V6.1.octets(), 64)
                .icmpv6_echo_request(0x0102, 0x0304)
                .write(&mut theirs, &data)
                .expect("writing to memory");
        }
        assert_eq!(hex(&ours), hex(&theirs));
        assert_eq!(verify_checksums(&ours), Ok(()));
        assert_eq!(Packet::parse(&ours), Ok(packet));
    }
}

#[test]
fn etherparse_reads_the_fields_we_wrote() {
    let ecn = Ecn::Ce;
    let flags = TcpFlags::ACK.with(TcpFlags::ECE).with(TcpFlags::CWR).with(TcpFlags::AE);
    for ip in [IpHeader { ecn, ..v4() }, IpHeader { ecn, dscp: 10, ..v6() }] {
        let packet = Packet { ip, body: Body::Tcp(TcpSegment { flags, ..segment(Payload::Empty) }) };
        let wire = emit(&packet);
        let sliced = SlicedPacket::from_ip(&wire).expect("a legal packet");
        match sliced.net {
            Some(NetSlice::Ipv4(slice)) => {
                let header = slice.header();
                assert_eq!((header.dcp().value(), header.ecn().value(), header.ttl()), (46, 3, 63));
                assert_eq!((header.identification(), header.dont_fragment()), (0x1234, true));
            }
            Some(NetSlice::Ipv6(slice)) => {
                let header = slice.header();
                assert_eq!((header.traffic_class(), header.hop_limit()), (10 << 2 | 3, 61));
                assert_eq!(header.flow_label().value(), 0xa_bcde);
            }
            other => panic!("not IP: {other:?}"),
        }
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("not TCP") };
        assert!(tcp.ns() && tcp.cwr() && tcp.ece() && tcp.ack() && !tcp.syn());
        assert_eq!((tcp.source_port(), tcp.sequence_number(), tcp.window_size()), (40_000, 0xffff_fff0, 502));
        assert_eq!(Packet::parse(&wire), Ok(packet));
    }
}

#[test]
fn every_ecn_codepoint_survives() {
    for (ecn, bits) in [(Ecn::NotEct, 0), (Ecn::Ect1, 1), (Ecn::Ect0, 2), (Ecn::Ce, 3)] {
        assert_eq!(Ecn::from_bits(bits), ecn);
        let packet = Packet { ip: IpHeader { ecn, ..v4() }, body: Body::Tcp(segment(Payload::Empty)) };
        assert_eq!(Packet::parse(&emit(&packet)), Ok(packet));
    }
}

#[test]
fn an_unknown_protocol_passes() {
    for ip in [v4(), v6()] {
        let packet = Packet { ip, body: Body::Other { protocol: 132, payload: Payload::from(&b"sctp"[..]) } };
        let wire = emit(&packet);
        assert_eq!(wire.len(), packet.wire_len());
        assert_eq!(Packet::parse(&wire), Ok(packet));
        assert_eq!(verify_checksums(&wire), Ok(()));
    }
}

// MAL-03
#[test]
fn a_packet_cut_anywhere_is_an_error_but_a_capture_of_its_headers_is_not() {
    for ip in [v4(), v6()] {
        let packet = Packet { ip, body: Body::Tcp(segment(Payload::from(&b"hello"[..]))) };
        let wire = emit(&packet);
        let headers = wire.len() - 5;
        for len in 0..wire.len() {
            assert!(matches!(Packet::parse(&wire[..len]), Err(WireError::Truncated { .. })), "{len}");
            assert!(matches!(verify_checksums(&wire[..len]), Err(WireError::Truncated { .. })), "{len}");
            let captured = Packet::parse_captured(&wire[..len]);
            assert_eq!(captured.is_ok(), len >= headers, "{len}");
            if let Ok((_, missing)) = captured {
                assert_eq!(missing, wire.len() - len);
            }
        }
    }
}

#[test]
fn octets_after_the_packet_are_ignored() {
    let packet = Packet { ip: v4(), body: Body::Tcp(segment(Payload::from(&b"hello"[..]))) };
    let mut wire = emit(&packet);
    wire.extend_from_slice(&[0xa5; 9]);
    assert_eq!(Packet::parse(&wire), Ok(packet));
    assert_eq!(verify_checksums(&wire), Ok(()));
}

#[test]
fn options_of_odd_length_are_padded_with_nops() {
    let mut options = TcpOptions::new();
    assert!(options.push_window_scale(7) && options.push_sack_permitted());
    let packet = Packet { ip: v4(), body: Body::Tcp(TcpSegment { options, ..segment(Payload::Empty) }) };
    let wire = emit(&packet);
    assert_eq!(wire.len(), packet.wire_len());
    assert_eq!(hex(&wire[40..]), "0303070402010101");
    assert_eq!(verify_checksums(&wire), Ok(()));
}

// MAL-03
#[test]
fn impossible_headers_are_told_apart() {
    let good = emit(&Packet { ip: v4(), body: Body::Tcp(segment(Payload::Empty)) });
    let with = |at: usize, octet: u8| {
        let mut wire = good.clone();
        wire[at] = octet;
        Packet::parse(&wire)
    };
    assert_eq!(with(0, 0x55), Err(WireError::IpVersion(5)));
    assert_eq!(with(0, 0x44), Err(WireError::Length { layer: "IPv4 header", len: 16 }));
    assert_eq!(with(0, 0x46), Err(WireError::Ipv4Options));
    assert_eq!(with(3, 19), Err(WireError::Length { layer: "IPv4 packet", len: 19 }));
    assert_eq!(with(6, 0x20), Err(WireError::Fragment));
    assert_eq!(with(7, 0x01), Err(WireError::Fragment));
    assert_eq!(with(32, 0x40), Err(WireError::Length { layer: "TCP header", len: 16 }));
    assert_eq!(with(32, 0xf0), Err(WireError::Truncated { layer: "TCP header", need: 60, have: 32 }));
    let six = emit(&Packet { ip: v6(), body: Body::Tcp(segment(Payload::Empty)) });
    for extension in [0, 43, 51, 60, 135] {
        let mut wire = six.clone();
        wire[6] = extension;
        assert_eq!(Packet::parse(&wire), Err(WireError::Ipv6Extension(extension)));
    }
    let mut wire = six;
    wire[6] = 44;
    assert_eq!(Packet::parse(&wire), Err(WireError::Fragment));
}

#[test]
fn udp_lengths_are_checked() {
    let datagram = UdpDatagram { src_port: 1, dst_port: 2, payload: Payload::from(&b"hello"[..]) };
    let good = emit(&Packet { ip: v4(), body: Body::Udp(datagram) });
    for (len, legal) in [(7, false), (8, true), (13, true), (14, false)] {
        let mut wire = good.clone();
        wire[25] = len;
        assert_eq!(Packet::parse(&wire).is_ok(), legal, "{len}");
    }
}

#[test]
fn udp_without_a_checksum_is_legal_over_ipv4_only() {
    for (ip, at) in [(v4(), 26), (v6(), 46)] {
        let datagram = UdpDatagram { src_port: 1, dst_port: 2, payload: Payload::from(&b"hello"[..]) };
        let mut wire = emit(&Packet { ip, body: Body::Udp(datagram) });
        wire[at..at + 2].fill(0);
        assert_eq!(verify_checksums(&wire).is_ok(), ip.is_ipv4());
    }
}

#[test]
fn a_udp_checksum_of_zero_is_sent_as_all_ones() {
    let mut datagram = UdpDatagram { src_port: 1, dst_port: 2, payload: Payload::from(&[0, 0][..]) };
    let wire = emit(&Packet { ip: v4(), body: Body::Udp(datagram.clone()) });
    // Filling in the checksum itself makes the sum all ones, its complement 0.
    datagram.payload = Payload::from(&wire[26..28]);
    let wire = emit(&Packet { ip: v4(), body: Body::Udp(datagram) });
    assert_eq!(wire[26..28], [0xff, 0xff]);
    assert_eq!(verify_checksums(&wire), Ok(()));
}

#[test]
fn checksum_errors_name_the_header() {
    let echo = Body::Icmp(Box::new(IcmpMessage { kind: 8, code: 0, rest: 0, data: bytes::Bytes::new() }));
    let udp = Body::Udp(UdpDatagram { src_port: 1, dst_port: 2, payload: Payload::Empty });
    let tcp = Body::Tcp(segment(Payload::Empty));
    for (ip, body, at, layer) in [
        (v4(), &tcp, 8, "IPv4"),
        (v4(), &tcp, 25, "TCP"),
        (v6(), &tcp, 45, "TCP"),
        (v6(), &tcp, 9, "TCP"),
        (v4(), &udp, 21, "UDP"),
        (v4(), &echo, 25, "ICMP"),
        (v6(), &echo, 45, "ICMPv6"),
    ] {
        let mut wire = emit(&Packet { ip, body: body.clone() });
        assert_eq!(verify_checksums(&wire), Ok(()));
        wire[at] ^= 0x40;
        assert_eq!(verify_checksums(&wire), Err(WireError::Checksum(layer)));
    }
}

#[test]
fn a_packet_too_long_for_its_length_field_says_0() {
    let packet = Packet { ip: v4(), body: Body::Tcp(segment(Payload::pattern(0, 0, 100_000))) };
    let mut out = Vec::new();
    packet.emit_headers(&mut out, 0);
    assert_eq!(out.len(), 52);
    assert_eq!(out[2..4], [0, 0]);
}

#[test]
fn errors_say_what_was_wrong() {
    let error = Packet::parse(&octets("4500")).expect_err("cut");
    assert_eq!(error.to_string(), "IPv4 header needs 20 octets, 2 are there");
}

#[test]
fn packets_print_one_line() {
    let tcp = Packet { ip: v4(), body: Body::Tcp(segment(Payload::pattern(0, 0, 100))) };
    assert_eq!(
        tcp.to_string(),
        "IP 10.0.1.2.40000 > 10.0.2.200.443: Flags [P.], seq 4294967280:84, ack 17, win 502, \
         options [nop,nop,TS val 100 ecr 200], length 100"
    );
    let udp = Body::Udp(UdpDatagram { src_port: 53, dst_port: 54, payload: Payload::Empty });
    let ip = IpHeader { ecn: Ecn::Ce, ..v6() };
    assert_eq!(
        Packet { ip, body: udp }.to_string(),
        "IP6 CE 2001:db8:0:1::ffff:2.53 > 2001:db8:0:2:abcd::fffe.54: UDP, length 0"
    );
}

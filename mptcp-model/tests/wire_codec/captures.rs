//! Every packet of the captures parses to what tshark says and is emitted octet for octet.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;

use mptcp_model::crypto::{self, Version};
use mptcp_model::wire::{
    Body, DataNumber, Dss, MpOption, Packet, TcpFlags, TcpOption, TcpOptions, TcpSegment, verify_checksums,
};

use crate::{hex, octets};

const ECHO: &str = include_str!("../fixtures/echo-v0.hex");
const UPSTREAM: &str = include_str!("../fixtures/linux-upstream.hex");
const OUT_OF_TREE: &str = include_str!("../fixtures/linux-out-of-tree.hex");
const TCPDUMP: &str = include_str!("../fixtures/tcpdump-tests.hex");

/// The octets and the remarks of each line that is not a comment.
fn lines(fixture: &'static str) -> impl Iterator<Item = (Vec<u8>, &'static str)> {
    fixture.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (packet, remarks) = line.split_once(' ').unwrap_or((line, ""));
        (octets(packet), remarks)
    })
}

fn all() -> impl Iterator<Item = (Vec<u8>, &'static str)> {
    [ECHO, UPSTREAM, OUT_OF_TREE, TCPDUMP].into_iter().flat_map(lines)
}

#[track_caller]
fn parse(packet: &[u8]) -> Packet {
    match Packet::parse(packet) {
        Ok(parsed) => parsed,
        Err(error) => panic!("{error}: {}", hex(packet)),
    }
}

#[track_caller]
fn tcp(packet: &Packet) -> &TcpSegment {
    match &packet.body {
        Body::Tcp(segment) => segment,
        other => panic!("not TCP: {other:?}"),
    }
}

#[test]
fn every_captured_packet_is_emitted_octet_for_octet() {
    let mut count = 0;
    for (wire, _) in all() {
        let packet = parse(&wire);
        let mut out = vec![0xa5; 3];
        packet.emit(&mut out);
        assert_eq!(hex(&out[3..]), hex(&wire), "{packet}");
        assert_eq!(packet.wire_len(), wire.len());
        count += 1;
    }
    assert_eq!(count, 19 + 198 + 143 + 9);
}

#[test]
fn every_captured_checksum_is_right_and_one_changed_bit_makes_it_wrong() {
    for (mut wire, _) in all() {
        assert_eq!(verify_checksums(&wire), Ok(()));
        let last = wire.len() - 1;
        wire[last] ^= 0x10;
        assert!(verify_checksums(&wire).is_err());
        wire[last] ^= 0x10;
        wire[8] ^= 0x01;
        assert!(verify_checksums(&wire).is_err());
    }
}

#[test]
fn captured_options_survive_their_typed_view() {
    for (wire, _) in all() {
        let mut options = tcp(&parse(&wire)).options;
        let mut again = TcpOptions::new();
        for option in options.iter() {
            assert!(again.push(&option));
        }
        // WIRE-31: the out-of-tree line sends either value of the lowest reserved bit of a join ACK.
        let positions: Vec<_> = options.positions().collect();
        for span in positions.into_iter().filter(|span| (span.kind, span.len) == (30, 24)) {
            let octet = &mut options.as_bytes_mut()[span.start + 2];
            if *octet == 0x11 {
                *octet = 0x10;
            }
        }
        assert_eq!(again, options);
    }
}

#[test]
fn a_snapped_capture_keeps_lengths_and_checksums_of_the_whole_packet() {
    for (wire, _) in all() {
        let packet = parse(&wire);
        let headers = 20 + tcp(&packet).header_len();
        for max in [0, 1, 3, 4000] {
            let mut out = Vec::new();
            packet.emit_headers(&mut out, max);
            assert_eq!(hex(&out), hex(&wire[..wire.len().min(headers + max)]));
            let (snapped, missing) = Packet::parse_captured(&out).expect("the headers are there");
            assert_eq!(out.len() + missing, wire.len());
            assert_eq!(tcp(&snapped).options, tcp(&packet).options);
        }
    }
}

/// What tshark calls the fields of a segment.
#[derive(Default)]
struct Columns(BTreeMap<&'static str, String>);

impl Columns {
    fn add(&mut self, name: &'static str, value: impl Display) {
        let column = self.0.entry(name).or_default();
        if !column.is_empty() {
            column.push(',');
        }
        column.push_str(&value.to_string());
    }

    fn add_all<T: Display>(&mut self, name: &'static str, value: Option<T>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn add_mptcp(&mut self, option: &MpOption) {
        match option {
            MpOption::Capable { version, sender_key, receiver_key, data_len, .. } => {
                self.add("sub", 0);
                self.add("ver", version);
                self.add_all("skey", *sender_key);
                self.add_all("rkey", *receiver_key);
                self.add_all("len", *data_len);
            }
            MpOption::JoinSyn { backup, address_id, token, nonce } => {
                self.add("sub", 1);
                self.add("backup", u8::from(*backup));
                self.add("addrid", address_id);
                self.add("token", token);
                self.add("rand", nonce);
            }
            MpOption::JoinSynAck { backup, address_id, hmac, nonce } => {
                self.add("sub", 1);
                self.add("backup", u8::from(*backup));
                self.add("addrid", address_id);
                self.add("thmac", hmac);
                self.add("rand", nonce);
            }
            MpOption::JoinAck { hmac } => {
                self.add("sub", 1);
                self.add("hmac", hex(hmac));
            }
            MpOption::Dss(Dss { data_fin, data_ack, mapping }) => {
                self.add("sub", 2);
                self.add("fin", u8::from(*data_fin));
                self.add_all("dack", *data_ack);
                self.add_all("dsn", mapping.map(|mapping| mapping.dsn));
                self.add_all("ssn", mapping.map(|mapping| mapping.ssn));
                self.add_all("len", mapping.map(|mapping| mapping.len));
            }
            MpOption::AddAddr { nibble, address_id, address, port, hmac } => {
                self.add("sub", 3);
                self.add("addrid", address_id);
                if matches!(nibble, 4 | 6) {
                    self.add("ipver", nibble);
                } else {
                    self.add("echo", nibble & 1);
                }
                self.add("ipv4", address);
                self.add_all("port", *port);
                self.add_all("ahmac", *hmac);
            }
            MpOption::RemoveAddr { ids } => {
                self.add("sub", 4);
                ids.iter().for_each(|id| self.add("addrid", id));
            }
            MpOption::Prio { backup, address_id } => {
                self.add("sub", 5);
                self.add("backup", u8::from(*backup));
                self.add_all("addrid", *address_id);
            }
            MpOption::FastClose { receiver_key } => {
                self.add("sub", 7);
                self.add("rkey", receiver_key);
            }
            MpOption::TcpRst { reason, .. } => {
                self.add("sub", 8);
                self.add("reason", format!("0x{reason:02x}"));
            }
            MpOption::Fail { .. } | MpOption::Unknown { .. } => panic!("not in these captures: {option}"),
        }
    }

    fn of(packet: &Packet) -> Self {
        let mut columns = Self::default();
        let segment = tcp(packet);
        columns.add("id", format!("0x{:04x}", packet.ip.id));
        columns.add("ttl", packet.ip.ttl);
        columns.add("seq", segment.seq.0);
        columns.add("ack", segment.ack.0);
        columns.add("flags", format!("0x{:04x}", segment.flags.0));
        columns.add("win", segment.window);
        for (option, span) in segment.options.iter().zip(segment.options.positions()) {
            columns.add("kinds", span.kind);
            match option {
                TcpOption::EndOfList | TcpOption::Nop | TcpOption::SackPermitted => {}
                TcpOption::Mss(mss) => columns.add("mss", mss),
                TcpOption::WindowScale(shift) => columns.add("wscale", shift),
                TcpOption::Sack(blocks) => {
                    for (left, right) in blocks.iter() {
                        columns.add("sackl", left.0);
                        columns.add("sackr", right.0);
                    }
                }
                TcpOption::Timestamps { val, ecr } => {
                    columns.add("tsval", val);
                    columns.add("tsecr", ecr);
                }
                TcpOption::Mptcp(option) => columns.add_mptcp(&option),
                TcpOption::Unknown { kind, .. } => panic!("kind {kind} is not in these captures"),
            }
        }
        columns
    }
}

#[test]
fn every_field_is_what_tshark_reads() {
    for (wire, remarks) in all() {
        let packet = parse(&wire);
        let ours = Columns::of(&packet).0;
        let theirs: BTreeMap<&str, String> = remarks
            .split(' ')
            .filter_map(|column| column.split_once('='))
            .map(|(name, value)| (name, value.to_owned()))
            .collect();
        assert_eq!(ours, theirs, "{packet}");
    }
}

#[test]
fn the_one_pass_reader_agrees_with_the_typed_view() {
    for (wire, _) in all() {
        let options = tcp(&parse(&wire)).options;
        let parsed = options.parse_all();
        let mut dss = None;
        let mut other = false;
        for option in options.iter() {
            match option {
                TcpOption::Mss(mss) => assert_eq!(parsed.mss, Some(mss)),
                TcpOption::WindowScale(shift) => assert_eq!(parsed.window_scale, Some(shift)),
                TcpOption::SackPermitted => assert!(parsed.sack_permitted),
                TcpOption::Sack(blocks) => assert_eq!(parsed.sack, blocks),
                TcpOption::Timestamps { val, ecr } => assert_eq!(parsed.timestamps, Some((val, ecr))),
                TcpOption::Mptcp(MpOption::Dss(found)) => dss = Some(found),
                TcpOption::Mptcp(_) => other = true,
                TcpOption::EndOfList | TcpOption::Nop | TcpOption::Unknown { .. } => {}
            }
        }
        assert_eq!(parsed.dss, dss);
        assert_eq!(parsed.mptcp_other, other);
    }
}

/// The keys and nonces of a connection, collected from its handshakes; then the HMACs of its joins
/// and the checksums of its mappings must be the ones on the wire.
#[test]
fn captured_joins_carry_the_hmacs_of_their_keys() {
    // KEY-04
    for (fixture, expected) in [(UPSTREAM, 12), (OUT_OF_TREE, 12)] {
        let mut checked = 0;
        // Of the connection: both keys. Of the subflow: the nonce of the side at this address.
        let mut version = Version::V0;
        let mut keys: Vec<(IpAddr, u64)> = Vec::new();
        let mut nonces: BTreeMap<(IpAddr, u16), u32> = BTreeMap::new();
        for line in fixture.lines() {
            if line.starts_with('#') {
                keys.clear();
                nonces.clear();
                continue;
            }
            let packet = parse(&octets(line.split(' ').next().unwrap_or_default()));
            let segment = tcp(&packet);
            let from = (packet.ip.src, segment.src_port);
            let to = (packet.ip.dst, segment.dst_port);
            for option in segment.options.mptcp() {
                match option {
                    MpOption::Capable { version: number, sender_key: Some(sender), receiver_key, .. } => {
                        version = Version::from_number(number).expect("a known version");
                        if let Some(receiver) = receiver_key {
                            keys = vec![(packet.ip.src, sender), (packet.ip.dst, receiver)];
                        }
                    }
                    MpOption::JoinSyn { token, nonce, .. } => {
                        nonces.insert(from, nonce);
                        nonces.remove(&to);
                        if let [_, (_, server)] = keys[..] {
                            assert_eq!(token, crypto::token(version, server));
                        }
                    }
                    MpOption::JoinSynAck { hmac, nonce, .. } => {
                        nonces.insert(from, nonce);
                        if let ([(_, client), (_, server)], Some(peer)) = (&keys[..], nonces.get(&to)) {
                            let ours = crypto::join_hmac_synack(version, *server, *client, nonce, *peer);
                            assert_eq!(hmac, ours, "{packet}");
                            checked += 1;
                        }
                    }
                    MpOption::JoinAck { hmac } => {
                        if let ([(_, client), (_, server)], Some(own), Some(peer)) =
                            (&keys[..], nonces.get(&from), nonces.get(&to))
                        {
                            let ours = crypto::join_hmac_ack(version, *client, *server, *own, *peer);
                            assert_eq!(hex(&hmac), hex(&ours), "{packet}");
                            checked += 1;
                        }
                    }
                    _ => {}
                }
            }
        }
        assert!(checked >= expected, "only {checked} HMACs checked");
    }
}

#[test]
fn captured_add_addr_hmacs_are_those_of_the_keys() {
    // KEY-05
    let mut checked = 0;
    let mut keys: Option<(IpAddr, u64, u64)> = None;
    for (wire, _) in lines(UPSTREAM) {
        let packet = parse(&wire);
        for option in tcp(&packet).options.mptcp() {
            match option {
                MpOption::Capable { sender_key: Some(sender), receiver_key: Some(receiver), .. } => {
                    keys = Some((packet.ip.src, sender, receiver));
                }
                MpOption::AddAddr { address_id, address, port, hmac: Some(hmac), .. } => {
                    let (client, client_key, server_key) = keys.expect("the handshake comes first");
                    let (local, remote) = if packet.ip.src == client {
                        (client_key, server_key)
                    } else {
                        (server_key, client_key)
                    };
                    assert_eq!(hmac, crypto::add_addr_hmac(local, remote, address_id, address, port));
                    checked += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!(checked, 1);
}

// DSS-13, DSS-19
#[test]
fn captured_data_checksums_are_those_of_the_whole_number() {
    let mut checked = 0;
    // The IDSN of the sender at this address.
    let mut idsns: BTreeMap<IpAddr, u64> = BTreeMap::new();
    for (wire, _) in lines(ECHO).chain(lines(OUT_OF_TREE)) {
        let packet = parse(&wire);
        let segment = tcp(&packet);
        for option in segment.options.mptcp() {
            match option {
                MpOption::Capable { version, sender_key: Some(key), .. } => {
                    let version = Version::from_number(version).expect("a known version");
                    idsns.insert(packet.ip.src, crypto::idsn(version, key));
                }
                MpOption::Dss(Dss { mapping: Some(mapping), .. }) => {
                    let (Some(checksum), Some(idsn)) = (mapping.checksum, idsns.get(&packet.ip.src)) else {
                        continue;
                    };
                    let dsn = mapping.dsn.expand(*idsn);
                    let sum = segment.payload.sum();
                    assert_eq!(checksum, crypto::dss_checksum(dsn, mapping.ssn, mapping.len, sum));
                    checked += 1;
                }
                _ => {}
            }
        }
    }
    assert!(checked >= 8, "only {checked} checksums checked");
}

// WIRE-01 to WIRE-03, WIRE-09, WIRE-12, WIRE-13: the rows of the annotated echo capture.
#[test]
fn the_echo_capture_reads_like_its_annotation() {
    let text: Vec<String> = lines(ECHO).map(|(wire, _)| parse(&wire).to_string()).collect();
    let expected: Vec<&str> = include_str!("../fixtures/echo-v0.txt").lines().collect();
    assert_eq!(text, expected);
}

#[test]
fn first_data_of_the_echo_capture_has_the_numbers_of_the_keys() {
    // CAP-13, CAP-14
    let packets: Vec<Packet> = lines(ECHO).map(|(wire, _)| parse(&wire)).collect();
    let segment = tcp(&packets[5]);
    assert_eq!(segment.flags, TcpFlags::PSH.with(TcpFlags::ACK));
    assert_eq!(segment.header_len(), 52);
    let dss = segment.options.parse_all().dss.expect("a DSS");
    assert_eq!(dss.data_ack, Some(DataNumber::short(0x4ed5_a9b7_eedf_3c41 + 1)));
    let mapping = dss.mapping.expect("a mapping");
    assert_eq!(mapping.dsn.expand(0x1aff_f588_83a6_8960), 0x1aff_f588_83a6_8960 + 1);
    assert_eq!((mapping.ssn, mapping.len, mapping.checksum), (1, 5, Some(0x9e97)));
    assert_eq!(segment.payload.len(), 5);
}

// WIRE-32
#[test]
fn third_ack_of_a_v0_handshake_fills_the_option_space() {
    let packets: Vec<Packet> = lines(ECHO).map(|(wire, _)| parse(&wire)).collect();
    let mut options = tcp(&packets[2]).options;
    assert_eq!(options.remaining(), 0);
    let before = options;
    assert!(!options.push_nop());
    assert_eq!(options, before);
}

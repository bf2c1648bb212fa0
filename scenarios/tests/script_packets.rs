//! Packets of scripts: built, compared, described; against hand-made packets and against the stack itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mptcp_model::config::{MptcpConfig, Profile, TcpConfig};
use mptcp_model::crypto::{self, Version};
use mptcp_model::host::{Host, SocketId};
use mptcp_model::mptcp::{Content, SocketOptions};
use mptcp_model::net::InterfaceId;
use mptcp_model::path_manager::Limits;
use mptcp_model::path_manager::registry::{self, PathManagerConfig};
use mptcp_model::wire::{
    Body, DataNumber, Dss, Ecn, IpHeader, MpOption, Packet, Payload, SackBlocks, Seq, TcpFlags, TcpOption,
    TcpOptions, TcpSegment,
};
use mptcp_model::{congestion, scheduler};
use scenarios::script::ast::Action;
use scenarios::script::{
    Definitions, Direction, Environment, Mismatch, PacketSpec, Script, Setup, Timeline, describe,
};
use sim_core::random::Streams;
use sim_core::{Duration, Instant};

fn environment() -> Environment {
    Environment::new(Setup::default(), Streams::new(1))
}

#[track_caller]
fn spec(text: &str) -> PacketSpec {
    PacketSpec::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn inject(environment: &mut Environment, text: &str) -> Packet {
    spec(text).build(environment).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn tcp(packet: &Packet) -> &TcpSegment {
    match &packet.body {
        Body::Tcp(segment) => segment,
        other => panic!("not TCP: {other:?}"),
    }
}

fn mptcp(packet: &Packet) -> Vec<MpOption> {
    tcp(packet).options.mptcp().collect()
}

/// A stack of fixed numbers, as hand-made packets.
struct Stack {
    to: Packet,
    isn: u32,
}

const STACK_ISN: u32 = 0xffff_fff0;

impl Stack {
    /// A stack that answers `packet`.
    fn answering(packet: &Packet) -> Self {
        Self { to: packet.clone(), isn: STACK_ISN }
    }

    fn packet(&self, flags: TcpFlags, seq: u32, ack: u32, len: u32, options: &[TcpOption]) -> Packet {
        let segment = tcp(&self.to);
        let mut octets = TcpOptions::new();
        for option in options {
            assert!(octets.push(option));
        }
        // The packet answered was the peer's SYN, or an outbound packet is repeated.
        let acked = segment.seq.wrapping_add(ack);
        Packet {
            ip: IpHeader::new(self.to.ip.dst, self.to.ip.src),
            body: Body::Tcp(TcpSegment {
                src_port: segment.dst_port,
                dst_port: segment.src_port,
                seq: Seq(self.isn.wrapping_add(seq)),
                ack: acked,
                flags,
                window: 500,
                urgent: 0,
                options: octets,
                payload: Payload::pattern(9, 0, len),
            }),
        }
    }
}

const THEIRS: u64 = 0x0102_0304_0506_0708;
const MINE: u64 = 2;

const SYN_ACK: TcpFlags = TcpFlags::SYN.with(TcpFlags::ACK);

fn capable(sender: Option<u64>, receiver: Option<u64>) -> TcpOption {
    TcpOption::Mptcp(MpOption::Capable {
        version: 1,
        flags: 1,
        sender_key: sender,
        receiver_key: receiver,
        data_len: None,
        checksum: None,
    })
}

/// An MPTCP connection accepted by a stack of fixed numbers; the key of the script is 2.
fn accepted() -> (Environment, Stack) {
    let mut environment = environment();
    let syn = inject(&mut environment, "< S 0:0(0) win 1000 <mpcapable v1 flags[flag_h] nokey>");
    let stack = Stack::answering(&syn);
    let answer = stack.packet(SYN_ACK, 0, 1, 0, &[capable(Some(THEIRS), None)]);
    spec("> S. 0:0(0) ack 1 <mpcapable v1 flags[flag_h] key[skey]>")
        .check(&answer, &mut environment)
        .unwrap();
    inject(&mut environment, "< . 1:1(0) ack 1 win 1000 <mpcapable v1 flags[flag_h] key[ckey=2, skey]>");
    (environment, stack)
}

#[track_caller]
fn differences(expected: &str, seen: &Packet, environment: &mut Environment) -> Mismatch {
    *spec(expected).check(seen, environment).expect_err("a difference")
}

#[test]
fn numbers_of_inbound_segments_are_relative_to_each_side() {
    let mut environment = environment();
    let syn = inject(&mut environment, "< S 0:0(0) win 65535 <mss 1460>");
    assert_eq!(syn.ip.src, Setup::default().remote);
    assert_eq!(syn.ip.dst, Setup::default().local);
    assert_eq!(tcp(&syn).dst_port, 8080);
    assert_eq!((tcp(&syn).window, tcp(&syn).flags), (65535, TcpFlags::SYN));
    let stack = Stack::answering(&syn);
    spec("> S. 0:0(0) ack 1").check(&stack.packet(SYN_ACK, 0, 1, 0, &[]), &mut environment).unwrap();
    let data = inject(&mut environment, "< P. 1:101(100) ack 17 win 257 urg 4 <nop,nop,sack 21:31>");
    let segment = tcp(&data);
    assert_eq!(segment.seq, tcp(&syn).seq.wrapping_add(1));
    // The numbers of the stack wrap.
    assert_eq!(segment.ack, Seq(1));
    assert_eq!((segment.payload.len(), segment.window, segment.urgent), (100, 257, 4));
    let mut blocks = SackBlocks::new();
    assert!(blocks.push(Seq(5), Seq(15)));
    assert_eq!(segment.options.iter().last(), Some(TcpOption::Sack(blocks)));
    let (local, remote) = environment.current_connection().unwrap();
    assert_eq!((local.port(), remote.port()), (8080, segment.src_port));
}

#[test]
fn numbers_of_outbound_segments_are_relative_to_each_side() {
    let (mut environment, stack) = accepted();
    let seen = stack.packet(TcpFlags::ACK.with(TcpFlags::PSH), 17, 101, 50, &[]);
    spec("> P. 17:67(50) ack 101").check(&seen, &mut environment).unwrap();
    spec("> P. 17:67(50) ack 101 win 500").check(&seen, &mut environment).unwrap();
    for (expected, difference) in [
        ("> . 17:67(50) ack 101", "flags: expected ., seen P."),
        ("> P. 18:68(50) ack 101", "sequence number: expected 18, seen 17"),
        ("> P. 17:66(49) ack 101", "length: expected 49, seen 50"),
        ("> P. 17:67(50) ack 102", "ack: expected 102, seen 101"),
        ("> P. 17:67(50) ack 101 win 1", "win: expected 1, seen 500"),
        ("> P. 17:67(50) ack 101 urg 1", "urg: expected 1, seen 0"),
        ("> [ect0] P. 17:67(50) ack 101", "ECN field: expected Ect0, seen NotEct"),
        ("> [tos 0x10] P. 17:67(50) ack 101", "tos: expected 0x10, seen 0x00"),
        ("> P. 17:67(50) ack 101 <nop>", "options: `nop` is missing"),
        ("> udp (50)", "a packet of another protocol"),
    ] {
        assert_eq!(differences(expected, &seen, &mut environment).differences, [difference]);
    }
}

#[test]
fn a_mismatch_shows_both_packets_in_the_same_notation() {
    let (mut environment, stack) = accepted();
    let dss = Dss {
        data_ack: Some(DataNumber::Long(crypto::idsn(Version::V1, MINE).wrapping_add(101))),
        ..Dss::default()
    };
    let seen = stack.packet(TcpFlags::ACK, 1, 101, 0, &[TcpOption::Mptcp(MpOption::Dss(dss))]);
    let mismatch = differences("> . 1:1(0) ack 101 <dss dack4=101 nocs>", &seen, &mut environment);
    assert_eq!(
        mismatch.to_string(),
        "expected > . 1:1(0) ack 101 <dss dack4=101 nocs>\n    \
         seen > . 1:1(0) ack 101 win 500 <dss dack8=101 nocs>\n    \
         option 1: expected `dss dack4=101 nocs`, seen `dss dack8=101 nocs`"
    );
    spec(&mismatch.seen).check(&seen, &mut environment).unwrap();
}

#[test]
fn keys_are_learnt_fixed_or_random() {
    let (mut environment, _) = accepted();
    assert_eq!((environment.key("skey"), environment.key("ckey")), (Some(THEIRS), Some(MINE)));
    let swapped =
        inject(&mut environment, "< . 1:1(0) ack 1 win 1 <mpcapable v1 flags[flag_h] key[skey, ckey]>");
    let [MpOption::Capable { sender_key, receiver_key, .. }] = mptcp(&swapped)[..] else {
        panic!("{swapped:?}")
    };
    assert_eq!((sender_key, receiver_key), (Some(THEIRS), Some(MINE)), "in the order written");
    let mut other = self::environment();
    inject(&mut other, "< S. 0:0(0) ack 1 win 1 <mpcapable v1 flags[flag_h] key[key]>");
    assert!(other.key("key").is_some_and(|key| key != 0));
}

#[test]
fn a_wrong_key_of_the_stack_is_a_difference() {
    let (mut environment, stack) = accepted();
    let wrong = stack.packet(TcpFlags::ACK, 1, 1, 0, &[capable(Some(THEIRS), Some(3))]);
    let mismatch = differences(
        "> . 1:1(0) ack 1 <mpcapable v1 flags[flag_h] key[skey, ckey]>",
        &wrong,
        &mut environment,
    );
    assert_eq!(
        mismatch.differences,
        ["option 1: expected `mpcapable v1 flags[flag_h] key[skey, ckey]`, \
          seen `mpcapable v1 flags[flag_h] key[skey, unknown=3]`"]
    );
}

#[test]
fn data_sequence_numbers_are_relative_to_the_keys() {
    let (mut environment, _) = accepted();
    let (mine, theirs) = (crypto::idsn(Version::V1, MINE), crypto::idsn(Version::V1, THEIRS));
    let data =
        inject(&mut environment, "< P. 1:101(100) ack 1 win 1 <dss dack4=1 dsn8=1 ssn=1 dll=100 nocs>");
    let [MpOption::Dss(dss)] = mptcp(&data)[..] else { panic!("{data:?}") };
    let mapping = dss.mapping.unwrap();
    assert_eq!(dss.data_ack, Some(DataNumber::Short(theirs.wrapping_add(1) as u32)));
    assert_eq!(mapping.dsn, DataNumber::Long(mine.wrapping_add(1)));
    assert_eq!((mapping.ssn, mapping.len, mapping.checksum, dss.data_fin), (1, 100, None, false));
    // Without values, the mapping goes on where the last one ended and covers the segment.
    let next = inject(&mut environment, "< P. 101:151(50) ack 1 win 1 <dss dack8 dsn8 nocs fin>");
    let [MpOption::Dss(dss)] = mptcp(&next)[..] else { panic!("{next:?}") };
    let mapping = dss.mapping.unwrap();
    assert_eq!(mapping.dsn, DataNumber::Long(mine.wrapping_add(101)));
    assert_eq!((mapping.ssn, mapping.len, dss.data_fin), (101, 51, true));
    assert_eq!(dss.data_ack, Some(DataNumber::Long(theirs.wrapping_add(1))));
    // An acknowledgment alone has no use for the rest.
    let ack = inject(&mut environment, "< . 151:151(0) ack 1 win 1 <dss dack8=1001 ssn=1 dll=0 nocs>");
    let [MpOption::Dss(dss)] = mptcp(&ack)[..] else { panic!("{ack:?}") };
    assert_eq!((dss.mapping, dss.data_ack), (None, Some(DataNumber::Long(theirs.wrapping_add(1001)))));
}

#[test]
fn a_mapping_without_nocs_has_the_right_checksum() {
    let (mut environment, _) = accepted();
    let data = inject(&mut environment, "< P. 1:101(100) ack 1 win 1 <dss dack4=1 dsn4=1 ssn=1 dll=100>");
    let [MpOption::Dss(dss)] = mptcp(&data)[..] else { panic!("{data:?}") };
    let dsn = crypto::idsn(Version::V1, MINE).wrapping_add(1);
    let sum = tcp(&data).payload.sum();
    assert_eq!(dss.mapping.unwrap().checksum, Some(crypto::dss_checksum(dsn, 1, 100, sum)));
}

#[test]
fn the_length_of_64_bit_mappings_is_compared_on_request_only() {
    let (mut environment, stack) = accepted();
    let dsn = crypto::idsn(Version::V1, THEIRS).wrapping_add(1);
    let mapping = |dsn| {
        let mapping = mptcp_model::wire::DssMapping { dsn, ssn: 1, len: 100, checksum: None };
        let dss = Dss { data_fin: false, data_ack: None, mapping: Some(mapping) };
        stack.packet(TcpFlags::ACK, 1, 1, 100, &[TcpOption::Mptcp(MpOption::Dss(dss))])
    };
    let (long, short) = (mapping(DataNumber::Long(dsn)), mapping(DataNumber::Short(dsn as u32)));
    let wrong = spec("> . 1:101(100) ack 1 <dss dsn8=1 ssn=1 dll=7 nocs>");
    wrong.check(&long, &mut environment.clone()).unwrap();
    let mismatch =
        differences("> . 1:101(100) ack 1 <dss dsn4=1 ssn=1 dll=7 nocs>", &short, &mut environment);
    assert_eq!(
        mismatch.differences,
        ["option 1: expected `dss dsn4=1 ssn=1 dll=7 nocs`, seen `dss dsn4=1 ssn=1 dll=100 nocs`"]
    );
    spec("> . 1:101(100) ack 1 <dss dsn4=1 ssn=1 dll=100 nocs>").check(&short, &mut environment).unwrap();
    spec("> . 1:101(100) ack 1 <dss dsn8 nocs>").check(&long, &mut environment).unwrap();
    differences("> . 1:101(100) ack 1 <dss dsn8=1 ssn=2 dll=100 nocs>", &long, &mut environment);
    differences("> . 1:101(100) ack 1 <dss dsn8=1 ssn=1 dll=100>", &long, &mut environment);
    differences("> . 1:101(100) ack 1 <dss dsn8=1 ssn=1 dll=100 nocs fin>", &long, &mut environment);
    let strict = Setup { check_data_len: true, ..Setup::default() };
    let mut strict = Environment::new(strict, Streams::new(1));
    let syn = inject(&mut strict, "< S 0:0(0) win 1000 <mpcapable v1 flags[flag_h] nokey>");
    let answer = Stack::answering(&syn).packet(SYN_ACK, 0, 1, 0, &[capable(Some(THEIRS), None)]);
    spec("> S. 0:0(0) ack 1 <mpcapable v1 flags[flag_h] key[skey]>").check(&answer, &mut strict).unwrap();
    assert!(wrong.check(&long, &mut strict).is_err());
}

#[test]
fn timestamps_of_the_stack_are_symbols() {
    let (mut environment, stack) = accepted();
    let seen = stack.packet(TcpFlags::ACK, 1, 1, 0, &[TcpOption::Timestamps { val: 9_000_001, ecr: 5 }]);
    spec("> . 1:1(0) ack 1 <TS val 700 ecr 100>").check(&seen, &mut environment).unwrap();
    let echo = inject(&mut environment, "< . 1:1(0) ack 1 win 1 <nop,nop,TS val 200 ecr 700>");
    assert_eq!(tcp(&echo).options.parse_all().timestamps, Some((200, 9_000_001)));
    let unknown = inject(&mut environment, "< . 1:1(0) ack 1 win 1 <nop,nop,TS val 200 ecr 701>");
    assert_eq!(tcp(&unknown).options.parse_all().timestamps, Some((200, 701)));
    let described = describe(&echo, Direction::Inbound, &environment).unwrap().to_string();
    assert!(described.contains("TS val 200 ecr 700"), "{described}");
}

#[test]
fn options_are_compared_in_order_with_their_padding() {
    let (mut environment, stack) = accepted();
    let seen = stack.packet(TcpFlags::ACK, 1, 1, 0, &[TcpOption::Mss(5), TcpOption::WindowScale(7)]);
    spec("> . 1:1(0) ack 1 <mss 5,wscale 7>").check(&seen, &mut environment).unwrap();
    spec("> . 1:1(0) ack 1 <mss 5,wscale 7,nop>").check(&seen, &mut environment).unwrap();
    spec("> . 1:1(0) ack 1 <...>").check(&seen, &mut environment).unwrap();
    differences("> . 1:1(0) ack 1 <mss 5,nop,wscale 7>", &seen, &mut environment);
    differences("> . 1:1(0) ack 1 <mss 5,wscale 7,nop,nop>", &seen, &mut environment);
    differences("> . 1:1(0) ack 1 <mss 5>", &seen, &mut environment);
    differences("> . 1:1(0) ack 1 <wscale 7,mss 5>", &seen, &mut environment);
    let mut with_nop = vec![TcpOption::WindowScale(7), TcpOption::Nop];
    let padded = stack.packet(TcpFlags::ACK, 1, 1, 0, &with_nop);
    spec("> . 1:1(0) ack 1 <wscale 7>").check(&padded, &mut environment).unwrap();
    with_nop.extend([TcpOption::Nop, TcpOption::Nop, TcpOption::Nop, TcpOption::Nop]);
    let longer = stack.packet(TcpFlags::ACK, 1, 1, 0, &with_nop);
    differences("> . 1:1(0) ack 1 <wscale 7>", &longer, &mut environment);
}

#[test]
fn other_options_are_compared_octet_by_octet() {
    let (mut environment, stack) = accepted();
    let unknown = |kind, body: &[u8]| {
        let option = TcpOption::Unknown { kind, body: body.to_vec().into() };
        stack.packet(TcpFlags::ACK, 1, 1, 0, &[option])
    };
    let cookie = unknown(34, &[1, 2, 3, 4]);
    spec("> . 1:1(0) ack 1 <FO 01020304>").check(&cookie, &mut environment).unwrap();
    differences("> . 1:1(0) ack 1 <FO 01020305>", &cookie, &mut environment);
    differences("> . 1:1(0) ack 1 <FO>", &cookie, &mut environment);
    let experimental = unknown(254, &[0xf9, 0x89, 7, 8]);
    spec("> . 1:1(0) ack 1 <FOEXP 0708>").check(&experimental, &mut environment).unwrap();
    let digest = unknown(19, &[7; 16]);
    spec("> . 1:1(0) ack 1 <md5>").check(&digest, &mut environment).unwrap();
    let other = unknown(77, &[1, 2]);
    spec("> . 1:1(0) ack 1 <kind 77 0102>").check(&other, &mut environment).unwrap();
    for packet in [cookie, experimental, digest, other] {
        let text = describe(&packet, Direction::Outbound, &environment).unwrap().to_string();
        spec(&text).check(&packet, &mut environment).unwrap();
    }
}

#[test]
fn joins_are_authenticated_both_ways() {
    let (mut environment, _) = accepted();
    let syn = inject(
        &mut environment,
        "< addr[caddr1] > addr[saddr0] S 0:0(0) win 1000 <mp_join_syn address_id=1 rand=7 token=sha256_32(skey)>",
    );
    let [MpOption::JoinSyn { token, nonce, address_id, .. }] = mptcp(&syn)[..] else { panic!("{syn:?}") };
    assert_eq!((token, nonce, address_id), (crypto::token(Version::V1, THEIRS), 7, 1));
    assert_eq!(syn.ip.src, IpAddr::from([192, 0, 2, 2]), "the address after the first");
    assert_eq!(environment.address("caddr1"), Some(syn.ip.src));
    assert_eq!(environment.address("saddr0"), Some(Setup::default().local));
    let stack = Stack::answering(&syn);
    let answer = |hmac| {
        let option = MpOption::JoinSynAck { backup: false, address_id: 9, hmac, nonce: 11 };
        stack.packet(SYN_ACK, 0, 1, 0, &[TcpOption::Mptcp(option)])
    };
    let right = crypto::join_hmac_synack(Version::V1, THEIRS, MINE, 11, 7);
    let expected = "> addr[saddr0] > addr[caddr1] S. 0:0(0) ack 1 <mp_join_syn_ack backup=0 address_id=0 sender_hmac=auto>";
    let mismatch = differences(expected, &answer(right ^ 1), &mut environment);
    assert!(
        mismatch.differences[0].contains(&format!(
            "seen `mp_join_syn_ack backup=0 address_id=9 rand=11 sender_hmac={:#x}`",
            right ^ 1
        )),
        "{mismatch}"
    );
    spec(expected).check(&answer(right), &mut environment).unwrap();
    let third = inject(&mut environment, "< . 1:1(0) ack 1 win 1 <mp_join_ack sender_hmac=auto>");
    let hmac = crypto::join_hmac_ack(Version::V1, MINE, THEIRS, 7, 11);
    assert_eq!(mptcp(&third), [MpOption::JoinAck { hmac }]);
    assert_eq!(third.ip.src, syn.ip.src, "without names, the connection named last");
}

#[test]
fn the_first_names_are_those_of_the_first_addresses() {
    let Setup { local, remote, .. } = Setup::default();
    let mut named = environment();
    let syn = inject(&mut named, "< addr[c] > addr[s] S 0:0(0) win 1");
    assert_eq!((syn.ip.src, syn.ip.dst), (remote, local));
    let next = inject(&mut named, "< addr[d] > addr[t] S 0:0(0) win 1");
    assert_eq!((next.ip.src, next.ip.dst), (IpAddr::from([192, 0, 2, 2]), IpAddr::from([192, 168, 0, 2])));
    let again = inject(&mut named, "< addr[c] > S 0:0(0) win 1");
    assert_eq!(tcp(&again).src_port, tcp(&syn).src_port, "a SYN that nothing followed is repeated");
    let (mut accepted, _) = accepted();
    inject(&mut accepted, "< addr[caddr0] > addr[saddr0] . 1:1(0) ack 1 win 1");
    assert_eq!((accepted.address("caddr0"), accepted.address("saddr0")), (Some(remote), Some(local)));
    let other = inject(&mut accepted, "< S 0:0(0) win 1");
    assert_eq!(other.ip.src, remote, "without names, the configured address and a new port");
    assert_ne!(tcp(&other).src_port, tcp(&syn).src_port);
}

#[test]
fn names_of_outbound_packets_are_learnt_and_then_compared() {
    let (mut environment, stack) = accepted();
    let seen = stack.packet(TcpFlags::ACK, 1, 1, 0, &[]);
    spec("> addr[saddr0] > addr[caddr0] . 1:1(0) ack 1").check(&seen, &mut environment).unwrap();
    assert_eq!(environment.address("saddr0"), Some(seen.ip.src));
    let mismatch = differences("> addr[caddr0] > . 1:1(0) ack 1", &seen, &mut environment);
    assert_eq!(mismatch.differences, ["source: expected addr[caddr0] = 192.0.2.1, seen 192.168.0.1"]);
    inject(&mut environment, "< addr[caddr1] > addr[saddr0] S 0:0(0) win 1");
    let mismatch = differences("> . 1:1(0) ack 1", &seen, &mut environment);
    assert!(
        mismatch.differences[0].starts_with("connection: expected 192.168.0.1:8080 > 192.0.2.2:"),
        "{mismatch}"
    );
}

#[test]
fn a_connection_that_the_stack_opens_is_learnt_from_its_syn() {
    let mut environment = environment();
    let setup = Setup::default();
    let options = |options: &[TcpOption]| {
        let mut octets = TcpOptions::new();
        options.iter().for_each(|option| assert!(octets.push(option)));
        octets
    };
    let segment = |flags, seq, ack, list: &[TcpOption]| Packet {
        ip: IpHeader::new(setup.local, setup.remote),
        body: Body::Tcp(TcpSegment {
            src_port: 40_000,
            dst_port: 8080,
            seq: Seq(seq),
            ack,
            flags,
            window: 1,
            urgent: 0,
            options: options(list),
            payload: Payload::Empty,
        }),
    };
    let syn = segment(TcpFlags::SYN, 77, Seq(0), &[capable(None, None)]);
    spec("> S 0:0(0) <mpcapable v1 flags[flag_h] nokey>").check(&syn, &mut environment).unwrap();
    let answer = inject(&mut environment, "< S. 0:0(0) ack 1 win 9 <mpcapable v1 flags[flag_h] key[skey=2]>");
    assert_eq!((tcp(&answer).dst_port, tcp(&answer).ack), (40_000, Seq(78)));
    let third =
        segment(TcpFlags::ACK, 78, tcp(&answer).seq.wrapping_add(1), &[capable(Some(THEIRS), Some(2))]);
    let expected = "> . 1:1(0) ack 1 <mpcapable v1 flags[flag_h] key[ckey, skey]>";
    spec(expected).check(&third, &mut environment).unwrap();
    assert_eq!(environment.key("ckey"), Some(THEIRS));
    let data = inject(&mut environment, "< P. 1:11(10) ack 1 win 9 <dss dack4=1 dsn8=1 ssn=1 dll=10 nocs>");
    let [MpOption::Dss(dss)] = mptcp(&data)[..] else { panic!("{data:?}") };
    assert_eq!(dss.mapping.unwrap().dsn, DataNumber::Long(crypto::idsn(Version::V1, 2).wrapping_add(1)));
    let stranger = Packet { ip: IpHeader::new(setup.local, IpAddr::from([9, 9, 9, 9])), ..third };
    let mismatch = differences(expected, &stranger, &mut environment);
    assert!(
        mismatch.differences[0].starts_with("connection: 192.168.0.1:40000 and 9.9.9.9:8080"),
        "{mismatch}"
    );
}

#[test]
fn a_join_that_the_stack_opens_is_answered_with_the_right_hmac() {
    let (mut environment, stack) = accepted();
    let announce = inject(&mut environment, "< . 1:1(0) ack 1 win 1 <add_address addr[caddr1] hmac=auto>");
    let second = environment.address("caddr1").unwrap();
    assert_eq!(second, IpAddr::from([192, 0, 2, 2]), "a new name is another address of the peer");
    let [MpOption::AddAddr { address_id: 1, address, .. }] = mptcp(&announce)[..] else {
        panic!("{announce:?}")
    };
    assert_eq!(address, second);
    let segment = |flags, seq, ack, option| {
        let mut packet = stack.packet(flags, seq, 0, 0, &[TcpOption::Mptcp(option)]);
        packet.ip.dst = second;
        if let Body::Tcp(segment) = &mut packet.body {
            (segment.src_port, segment.dst_port, segment.ack) = (40_001, 8080, ack);
        }
        packet
    };
    let join = |token| {
        let option = MpOption::JoinSyn { backup: false, address_id: 0, token, nonce: 21 };
        segment(TcpFlags::SYN, 0, Seq(0), option)
    };
    let token = crypto::token(Version::V1, MINE);
    let expected = "> addr[saddr0] > addr[caddr1] S 0:0(0) <mp_join_syn address_id=0 token=sha256_32(ckey)>";
    differences(expected, &join(token ^ 1), &mut environment);
    spec(expected).check(&join(token), &mut environment).unwrap();
    let answer = inject(
        &mut environment,
        "< S. 0:0(0) ack 1 win 9 <mp_join_syn_ack backup=1 address_id=1 rand=22 sender_hmac=auto>",
    );
    let hmac = crypto::join_hmac_synack(Version::V1, MINE, THEIRS, 22, 21);
    assert_eq!(mptcp(&answer), [MpOption::JoinSynAck { backup: true, address_id: 1, hmac, nonce: 22 }]);
    assert_eq!((answer.ip.src, tcp(&answer).dst_port), (second, 40_001));
    let third =
        |hmac| segment(TcpFlags::ACK, 1, tcp(&answer).seq.wrapping_add(1), MpOption::JoinAck { hmac });
    let right = crypto::join_hmac_ack(Version::V1, THEIRS, MINE, 21, 22);
    differences("> . 1:1(0) ack 1 <mp_join_ack sender_hmac=auto>", &third([0; 20]), &mut environment);
    spec("> . 1:1(0) ack 1 <mp_join_ack sender_hmac=auto>").check(&third(right), &mut environment).unwrap();
}

#[test]
fn announced_addresses_carry_ids_ports_and_hmacs() {
    let (mut environment, stack) = accepted();
    let address: IpAddr = "198.51.100.2".parse().unwrap();
    let announce = inject(
        &mut environment,
        "< . 1:1(0) ack 1 win 1 <add_address addr[ep=inet_addr(\"198.51.100.2\")] port=81 hmac=auto>",
    );
    let hmac = crypto::add_addr_hmac(MINE, THEIRS, 1, address, Some(81));
    let expected = MpOption::AddAddr { nibble: 0, address_id: 1, address, port: Some(81), hmac: Some(hmac) };
    assert_eq!(mptcp(&announce), [expected]);
    let echo = MpOption::AddAddr { nibble: 1, address_id: 1, address, port: Some(81), hmac: None };
    let echo = stack.packet(TcpFlags::ACK, 1, 1, 0, &[TcpOption::Mptcp(echo)]);
    spec("> . 1:1(0) ack 1 <add_address address_id=1 addr[ep] port=81 addr_echo>")
        .check(&echo, &mut environment)
        .unwrap();
    differences("> . 1:1(0) ack 1 <add_address address_id=1 addr[ep] addr_echo>", &echo, &mut environment);
    differences(
        "> . 1:1(0) ack 1 <add_address address_id=2 addr[ep] port=81 addr_echo>",
        &echo,
        &mut environment,
    );
    let local: IpAddr = "192.168.0.2".parse().unwrap();
    let hmac = crypto::add_addr_hmac(THEIRS, MINE, 4, local, None);
    let own = MpOption::AddAddr { nibble: 0, address_id: 4, address: local, port: None, hmac: Some(hmac) };
    let own = stack.packet(TcpFlags::ACK, 1, 1, 0, &[TcpOption::Mptcp(own)]);
    spec("> . 1:1(0) ack 1 <add_address addr[saddr1] hmac=auto>").check(&own, &mut environment).unwrap();
    assert_eq!(environment.address("saddr1"), Some(local));
    let join = inject(
        &mut environment,
        "< addr[caddr0] > addr[saddr1] S 0:0(0) win 1 <mp_join_syn address_id=0 token=auto>",
    );
    assert_eq!(join.ip.dst, local);
}

#[test]
fn resets_priorities_and_fast_closes_are_built_and_compared() {
    let (mut environment, stack) = accepted();
    for (text, option) in [
        ("mp_fastclose", MpOption::FastClose { receiver_key: THEIRS }),
        ("mp_fastclose ckey=42", MpOption::FastClose { receiver_key: 42 }),
        ("mp_reset 1 flags[flag_t]", MpOption::TcpRst { flags: 1, reason: 1 }),
        ("mp_prio backup=1", MpOption::Prio { backup: true, address_id: None }),
        ("mp_prio backup=0 address_id=3", MpOption::Prio { backup: false, address_id: Some(3) }),
        ("mp_fail dsn8=7", MpOption::Fail { dsn: crypto::idsn(Version::V1, THEIRS).wrapping_add(7) }),
        (
            "remove_address address_id=[1,2]",
            MpOption::RemoveAddr { ids: mptcp_model::wire::AddressIds::new(&[1, 2]).unwrap() },
        ),
    ] {
        let packet = inject(&mut environment, &format!("< . 1:1(0) ack 1 win 1 <{text}>"));
        assert_eq!(mptcp(&packet), [option]);
        let seen = describe(&packet, Direction::Inbound, &environment).unwrap().to_string();
        let again = inject(&mut environment, &seen);
        assert_eq!(again, packet, "{seen}");
    }
    assert_eq!(environment.key("ckey"), Some(MINE), "a wrong key is wrong in this place only");
    let close = MpOption::FastClose { receiver_key: MINE };
    let close = stack.packet(TcpFlags::ACK, 1, 1, 0, &[TcpOption::Mptcp(close)]);
    spec("> . 1:1(0) ack 1 <mp_fastclose>").check(&close, &mut environment).unwrap();
    differences("> . 1:1(0) ack 1 <mp_fastclose ckey=42>", &close, &mut environment);
}

#[test]
fn what_has_no_value_yet_is_an_error() {
    let build =
        |environment: &mut Environment, text: &str| spec(text).build(environment).unwrap_err().message;
    let mut fresh = environment();
    assert!(build(&mut fresh, "< . 1:1(0) ack 1 win 1 <dss dack4=1>").contains("keys"));
    assert!(build(&mut fresh, "< S 0:0(0) win 1 <mp_join_syn token=sha256_32(x)>").contains("`x`"));
    assert!(build(&mut environment(), "< addr[who] > . 1:1(0) ack 1 win 1").contains("addr[who]"));
    assert!(build(&mut fresh, "> . 1:1(0) ack 1").contains("outbound"));
    assert!(build(&mut fresh, "< . 1:1(0) ack 1 win 1 <...>").contains("`<...>`"));
    let (mut accepted, _) = accepted();
    assert!(build(&mut accepted, "< . 1:1(0) ack 1 win 1 <mp_join_ack sender_hmac=auto>").contains("random"));
    let full = "< . 1:1(0) ack 1 win 1 <mp_join_ack sender_hmac=000102030405060708090a0b0c0d0e0f10111213,\
                sack 1:2 3:4>";
    assert!(build(&mut accepted, full).contains("no room"));
}

#[test]
fn icmp_errors_quote_a_segment_of_the_stack() {
    let (mut environment, stack) = accepted();
    let packet = inject(&mut environment, "< [1:1001(1000)] icmp unreachable frag_needed mtu 1200");
    let Body::Icmp(message) = &packet.body else { panic!("{packet:?}") };
    assert_eq!((message.kind, message.code, message.rest), (3, 4, 1200));
    assert_eq!(message.data.len(), 28);
    let sent = stack.packet(TcpFlags::ACK, 1, 1, 0, &[]);
    let ports = [tcp(&sent).src_port.to_be_bytes(), tcp(&sent).dst_port.to_be_bytes()].concat();
    assert_eq!(message.data[20..24], ports);
    assert_eq!(message.data[24..28], STACK_ISN.wrapping_add(1).to_be_bytes());
    let [a, b, c, d] = message.data[12..16] else { panic!("{message:?}") };
    assert_eq!(IpAddr::from([a, b, c, d]), sent.ip.src);
    // The length field of the quoted header counts the data that is not quoted.
    assert_eq!(message.data[2..4], 1040_u16.to_be_bytes());
}

#[test]
fn headers_carry_type_of_service_and_ecn() {
    let mut environment = environment();
    let ce = inject(&mut environment, "< [ce] S 0:0(0) win 1");
    assert_eq!((ce.ip.dscp, ce.ip.ecn), (0, Ecn::Ce));
    let tos = inject(&mut environment, "< [tos 0x12] S 0:0(0) win 1");
    assert_eq!((tos.ip.dscp, tos.ip.ecn), (4, Ecn::Ect0));
    assert_eq!(describe(&tos, Direction::Inbound, &environment).unwrap().ip.tos, Some(0x12));
}

#[test]
fn tolerance_is_the_setting_or_an_eighth_of_the_gap() {
    let at = |millis: u64| Instant::ZERO + Duration::from_millis(millis);
    let script = Script::parse(
        "t",
        "--tolerance_usecs=10000\n+1 close(3) = 0\n+0~+1 close(3) = 0",
        &Definitions::new(),
    )
    .unwrap();
    let mut timeline = Timeline::new(Instant::ZERO, script.tolerance());
    let due = timeline.due(&script.events[0].time, false);
    assert_eq!(due.tolerance, Some(Duration::from_millis(125)));
    assert!(due.allows(at(875)) && due.allows(at(1125)));
    assert!(!due.allows(at(874)) && !due.allows(at(1126)));
    timeline.happened(&due, at(1100), false);
    let span = timeline.due(&script.events[1].time, false);
    assert_eq!((span.from, span.until), (at(1100), at(2100)));
    assert!(span.allows(at(1600)) && !span.allows(at(900)));
    let short = timeline.due(&scenarios::script::ast::Time::Relative(Duration::from_millis(8)), false);
    assert_eq!(short.tolerance, Some(Duration::from_millis(10)));
}

#[test]
fn between_inbound_packets_the_time_of_the_script_counts() {
    let tenth = scenarios::script::ast::Time::Relative(Duration::from_millis(100));
    let mut timeline = Timeline::new(Instant::ZERO, Duration::ZERO);
    let first = timeline.due(&tenth, true);
    timeline.happened(&first, Instant::ZERO + Duration::from_millis(107), true);
    assert_eq!(timeline.due(&tenth, true).from, Instant::ZERO + Duration::from_millis(200));
    assert_eq!(timeline.due(&tenth, false).from, Instant::ZERO + Duration::from_millis(207));
}

/// A listening stack, driven line by line.
struct Bench {
    host: Host,
    listener: SocketId,
    accepted: Option<SocketId>,
    environment: Environment,
    now: Instant,
}

impl Bench {
    fn listening() -> Self {
        let mut host = Host::new("stack", Streams::new(3));
        host.add_interface("eth0", 1500, &["192.168.0.1/16".parse().unwrap()]);
        host.routing.add_route("default via 192.168.0.254 dev eth0".parse().unwrap()).unwrap();
        let manager = PathManagerConfig {
            limits: Limits { subflows: 8, add_addr_accepted: 8 },
            ..PathManagerConfig::default()
        };
        let options = SocketOptions {
            tcp: Arc::new(TcpConfig::new(Profile::LinuxUpstream)),
            mptcp: Some(Arc::new(MptcpConfig::new(Profile::LinuxUpstream))),
            congestion: Arc::new(|| congestion::create("cubic", &congestion::Parameters::new()).unwrap()),
            scheduler: Arc::new(|| scheduler::create("default").unwrap()),
            path_manager: Arc::new(move || (registry::find("kernel").unwrap().build)(&manager)),
            content: Content::Pattern(1),
        };
        let any = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 8080);
        let listener = host.listen(options, any, 4).unwrap();
        Self { host, listener, accepted: None, environment: environment(), now: Instant::ZERO }
    }

    /// The next packet of the stack, as time passes; `None` if none will come.
    fn next_packet(&mut self) -> Option<Packet> {
        for _ in 0..1000 {
            if let Some((_, packet)) = self.host.poll_transmit(self.now) {
                return Some(packet);
            }
            self.now = self.now.max(self.host.poll_timeout()?);
            self.host.handle_timeout(self.now);
        }
        None
    }

    #[track_caller]
    fn run(&mut self, text: &str) {
        let script =
            Script::parse("own.pkt", text, &Definitions::new()).unwrap_or_else(|error| panic!("{error}"));
        let mut timeline = Timeline::new(self.now, Duration::from_millis(100));
        for event in &script.events {
            let inbound =
                matches!(&event.action, Action::Packet(packet) if packet.direction == Direction::Inbound);
            let due = timeline.due(&event.time, inbound);
            match &event.action {
                Action::Packet(packet) if inbound => {
                    self.now = due.from;
                    let packet = packet
                        .build(&mut self.environment)
                        .unwrap_or_else(|error| panic!("{event}: {error}"));
                    self.host.handle_packet(self.now, InterfaceId(0), &packet);
                }
                Action::Packet(packet) => {
                    let seen = self.next_packet().unwrap_or_else(|| panic!("{event}: nothing was sent"));
                    packet
                        .check(&seen, &mut self.environment)
                        .unwrap_or_else(|mismatch| panic!("{mismatch}"));
                    assert!(due.allows(self.now), "{event} at {:?}", self.now);
                    let text = describe(&seen, Direction::Outbound, &self.environment).unwrap().to_string();
                    spec(&text)
                        .check(&seen, &mut self.environment)
                        .unwrap_or_else(|mismatch| panic!("{mismatch}"));
                }
                Action::Call(call) => {
                    self.now = due.from;
                    match call.name.as_str() {
                        "accept" => self.accepted = self.host.accept(self.listener),
                        "read" => {
                            let socket = self.accepted.expect("accepted");
                            let read = self.host.read(self.now, socket, u64::MAX).unwrap();
                            assert_eq!(read.len.to_string(), call.result.to_string());
                        }
                        _ => {
                            let len = call.result.to_string().parse().unwrap();
                            let socket = self.accepted.expect("accepted");
                            assert_eq!(self.host.write(self.now, socket, len), Ok(len));
                        }
                    }
                }
                other => panic!("{other}"),
            }
            timeline.happened(&due, self.now, inbound);
        }
    }
}

#[test]
fn a_script_agrees_with_the_stack_on_a_connection_and_a_join() {
    let mut bench = Bench::listening();
    bench.run(
        "0    < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8,mpcapable v1 flags[flag_h] nokey>
         +0   > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 700 ecr 100,nop,wscale 7,mpcapable v1 flags[flag_h] key[skey]>
         +0.1 < . 1:1(0) ack 1 win 256 <nop,nop,TS val 200 ecr 700,mpcapable v1 flags[flag_h] key[ckey=2, skey]>
         +0   accept(3, ..., ...) = 4
         +0.1 < P. 1:101(100) ack 1 win 256 <nop,nop,TS val 300 ecr 700,mpcapable v1 flags[flag_h] key[ckey, skey] mpcdatalen 100,nop,nop>
         +0   > . 1:1(0) ack 101 <nop,nop,TS val 900 ecr 300,dss dack8=101 nocs>
         +0   read(4, ..., 1000) = 100
         +0   write(4, ..., 500) = 500
         +0   > P. 1:501(500) ack 101 <nop,nop,TS val 900 ecr 300,dss dack8=101 dsn8=1 ssn=1 dll=500 nocs,nop,nop>
         +0.1 < . 101:101(0) ack 501 win 256 <nop,nop,TS val 400 ecr 900,dss dack8=501 nocs>
         +0   < addr[caddr1] > addr[saddr0] S 0:0(0) win 65535 <mss 1460,sackOK,TS val 500 ecr 0,nop,wscale 8,mp_join_syn address_id=1 token=sha256_32(skey)>
         +0   > addr[saddr0] > addr[caddr1] S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 1000 ecr 500,nop,wscale 7,mp_join_syn_ack backup=0 address_id=0 sender_hmac=auto>
         +0.1 < . 1:1(0) ack 1 win 256 <nop,nop,TS val 600 ecr 1000,mp_join_ack sender_hmac=auto>
         +0   > . 1:1(0) ack 1 <nop,nop,TS val 1100 ecr 600,dss dack8=101 nocs>",
    );
}

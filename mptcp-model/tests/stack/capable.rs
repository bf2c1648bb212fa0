//! What is said and answered when a connection begins, and what is not taken.

use mptcp_model::config::{MptcpConfig, Profile, TcpConfig};
use mptcp_model::mptcp::{Mode, State};
use mptcp_model::wire::{DataNumber, MpOption, TcpFlags};

use crate::pair::{Pair, Setup, has_mptcp};
use crate::peer::{KEY, Peer, Seg, bare};

const SYN_ACK: TcpFlags = TcpFlags::SYN.with(TcpFlags::ACK);

fn out_of_tree() -> Setup {
    let config = MptcpConfig::new(Profile::LinuxOot);
    Setup { client_config: config.clone(), server_config: config, ..bare() }
}

fn capable(version: u8, flags: u8, sender: Option<u64>, receiver: Option<u64>) -> MpOption {
    MpOption::Capable {
        version,
        flags,
        sender_key: sender,
        receiver_key: receiver,
        data_len: None,
        checksum: None,
    }
}

#[test]
fn only_offers_that_can_be_met_are_answered() {
    // CAP-07, CAP-08, CAP-09, MAL-08, MAL-09, WIRE-31: the flags of reserved and other algorithms
    for (version, flags, taken) in [
        (1, 0x01, true),
        (1, 0x81, true),
        (1, 0x21, true),
        (1, 0x41, false),
        (1, 0x00, false),
        (1, 0x02, false),
        (1, 0x03, false),
        (1, 0x11, false),
        (0, 0x01, false),
        (2, 0x01, true),
        (15, 0x01, true),
        (15, 0x41, false),
    ] {
        let mut peer = Peer::of_server(&bare());
        peer.open(0, &[capable(version, flags, None, None)]);
        let answer = peer.take()[0].mptcp();
        let versions: Vec<u8> = answer
            .iter()
            .map(|option| match option {
                MpOption::Capable { version, .. } => *version,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(versions, if taken { vec![1] } else { vec![] }, "version {version} flags {flags:#x}");
    }
}

#[test]
fn version_0_answers_with_its_own_version_and_takes_other_algorithms_beside_its_own() {
    // CAP-08, CAP-10, MAL-04, MAL-09
    for (version, flags, key, taken) in [
        (0, 0x81, Some(KEY), true),
        (0, 0x91, Some(KEY), true),
        (0, 0x90, Some(KEY), false),
        (0, 0xc1, Some(KEY), false),
        (15, 0x81, None, true),
        // A SYN of version 0 brings the key, later versions have none there.
        (0, 0x81, None, false),
        (1, 0x81, Some(KEY), false),
    ] {
        let mut peer = Peer::of_server(&out_of_tree());
        peer.open(0, &[capable(version, flags, key, None)]);
        let story = peer.story();
        let expected = if taken { "0 S. MP_CAPABLE12" } else { "0 S." };
        assert_eq!(story, [expected], "version {version} flags {flags:#x}");
    }
}

#[test]
fn a_syn_of_the_wrong_length_for_its_version_is_a_plain_one() {
    // MAL-04, WIRE-39
    let mut peer = Peer::of_server(&bare());
    peer.open(0, &[capable(1, 0x01, Some(KEY), None)]);
    assert_eq!(peer.story(), ["0 S."]);
    peer.send(Seg::ack(0, 1, 1).data(0, 10));
    assert_eq!((peer.connection().mode(), peer.read()), (Mode::Plain, 10));
}

#[test]
fn a_syn_that_ends_what_it_begins_is_dropped() {
    // TCP-01: RFC 9293 leaves it open, Linux drops it.
    let mut peer = Peer::of_server(&bare());
    peer.silent_flow(0);
    peer.send(Seg::ack(0, 0, 0).flags(TcpFlags::SYN.with(TcpFlags::FIN)));
    assert_eq!(peer.story(), Vec::<String>::new());
}

#[test]
fn only_answers_that_fit_the_offer_are_taken() {
    // CAP-07, CAP-08, CAP-09, CAP-17, MAL-08, WIRE-39, FSM-03
    for (version, flags, key, taken) in [
        (1, 0x01, Some(KEY), true),
        (1, 0x41, Some(KEY), false),
        (1, 0x02, Some(KEY), false),
        (0, 0x01, Some(KEY), false),
        (2, 0x01, Some(KEY), false),
        (1, 0x01, None, false),
    ] {
        let mut peer = Peer::of_client(&bare());
        assert_eq!(peer.story(), ["0 S MP_CAPABLE4"], "FSM-01");
        peer.send(Seg::ack(0, 0, 1).flags(SYN_ACK).with(capable(version, flags, key, None)));
        let expected = if taken { "0 . MP_CAPABLE20" } else { "0 ." };
        assert_eq!(peer.story(), [expected], "version {version} flags {flags:#x}");
        let mode = if taken { Mode::Multipath } else { Mode::Plain };
        assert_eq!((peer.connection().mode(), peer.connection().state()), (mode, State::Established));
        peer.write(100);
        assert_eq!(has_mptcp(&peer.take()[0].packet), taken);
    }
}

#[test]
fn a_third_ack_must_bring_the_keys_and_flags_of_the_handshake() {
    // CAP-07, CAP-08, CAP-09, CAP-18, CAP-25, MAL-05, FSM-05, FSM-06, WIRE-39
    type Case = (&'static str, fn(u64) -> Option<MpOption>, bool);
    let cases: [Case; 8] = [
        ("right", |host| Some(capable(1, 0x01, Some(KEY), Some(host))), true),
        ("none", |_| None, false),
        ("swapped", |host| Some(capable(1, 0x01, Some(host), Some(KEY))), false),
        ("foreign", |host| Some(capable(1, 0x01, Some(KEY), Some(!host))), false),
        ("one key", |_| Some(capable(1, 0x01, Some(KEY), None)), false),
        ("extensibility", |host| Some(capable(1, 0x41, Some(KEY), Some(host))), false),
        ("no algorithm", |host| Some(capable(1, 0x00, Some(KEY), Some(host))), false),
        ("version", |host| Some(capable(2, 0x01, Some(KEY), Some(host))), false),
    ];
    for (what, option, taken) in cases {
        let mut peer = Peer::of_server(&bare());
        let syn = peer.capable(None, None);
        peer.open(0, &[syn]);
        let mut ack = Seg::ack(0, 1, 1);
        if let Some(option) = option(peer.host_key) {
            ack = ack.with(option);
        }
        peer.send(ack);
        let mode = if taken { Mode::Multipath } else { Mode::Plain };
        assert_eq!(peer.connection().mode(), mode, "{what}");
        assert_eq!(peer.connection().stats().capable_fallback_ack, u64::from(!taken), "{what}");
        peer.take();
        peer.write(50);
        assert_eq!(has_mptcp(&peer.take()[0].packet), taken, "{what}");
    }
}

#[test]
fn nothing_can_be_accepted_before_the_third_ack() {
    // FSM-04, KEY-08, CAP-05: the key stays with the request; the token is known
    let mut peer = Peer::of_server(&bare());
    let syn = peer.capable(None, None);
    peer.open(0, &[syn]);
    assert_eq!(peer.story(), ["0 S. MP_CAPABLE12"]);
    assert!(peer.connection.is_none());
    assert_eq!(peer.host.bindings(), (1, 1));
    let key = peer.host_key;
    peer.send(Seg::ack(0, 1, 1).with(capable(1, 0x01, Some(KEY), Some(key))));
    assert!(peer.connection.is_some());
}

#[test]
fn the_third_ack_of_version_0_has_all_the_server_needs() {
    // CAP-01, CAP-06, CAP-14
    let mut peer = Peer::established_server(&out_of_tree());
    assert_eq!(peer.connection().mode(), Mode::Multipath);
    peer.write(10);
    let dss = peer.take()[0].dss();
    let mapping = dss.mapping.expect("a mapping");
    assert_eq!((mapping.dsn, mapping.ssn), (DataNumber::Short(peer.host_number(0) as u32), 1));
}

#[test]
fn checksums_are_used_if_either_end_asks() {
    // CAP-11, TIME-16
    for (client, server) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut setup = Setup { wires: 1, ..Setup::default() };
        setup.client_config.checksum = client;
        setup.server_config.checksum = server;
        let mut pair = Pair::new(&setup);
        pair.run_ms(25);
        pair.send(50_000);
        pair.run_ms(500);
        let mappings = pair.log.iter().filter_map(|line| line.segment().options.parse_all().dss?.mapping);
        let with = mappings.filter(|mapping| mapping.checksum.is_some()).count();
        assert_eq!(with > 0, client || server, "client {client} server {server}");
        let without = pair.log.iter().filter_map(|line| line.segment().options.parse_all().dss?.mapping);
        assert!((client || server) != without.clone().any(|mapping| mapping.checksum.is_none()));
        assert_eq!((pair.read, pair.server_connection().stats().checksum_errors), (50_000, 0));
    }
}

#[test]
fn a_plain_syn_after_one_with_the_option_makes_the_connection_tcp() {
    // CAP-16, CAP-19: the answer is repeated as it was, and the third ACK decides
    let mut peer = Peer::of_server(&bare());
    let syn = peer.capable(None, None);
    peer.open(0, &[syn]);
    peer.run_ms(20);
    peer.send(Seg::ack(0, 0, 0).flags(TcpFlags::SYN));
    let answers = peer.take();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0].segment().seq, answers[1].segment().seq);
    assert_eq!(answers[0].mptcp(), answers[1].mptcp());
    peer.send(Seg::ack(0, 1, 1));
    peer.send(Seg::ack(0, 1, 1).data(0, 30));
    assert_eq!((peer.connection().mode(), peer.read()), (Mode::Plain, 30));
}

#[test]
fn a_syn_with_both_options_has_neither() {
    // CAP-21
    let mut peer = Peer::established_server(&bare());
    let (both, first) = ([peer.capable(None, None), peer.join_syn(2, 7, false)], peer.id());
    peer.open(1, &both);
    assert_eq!(peer.story(), ["1 S."]);
    peer.send(Seg::ack(1, 1, 1));
    assert_ne!(peer.id(), first, "a connection of its own");
    assert_eq!(peer.connection().mode(), Mode::Plain);
    assert_eq!(peer.host.connection(first).expect("the first").subflows().len(), 1);
}

#[test]
fn a_server_that_speaks_first_spares_mp_capable_with_data() {
    // CAP-03, FSM-07
    let mut peer = Peer::of_client(&bare());
    let answer = peer.capable(Some(KEY), None);
    peer.send(Seg::ack(0, 0, 1).flags(SYN_ACK).with(answer));
    assert_eq!(peer.story(), ["0 S MP_CAPABLE4", "0 . MP_CAPABLE20"]);
    let data = peer.mapped(0, 40);
    peer.send(data);
    assert_eq!(peer.story(), ["0 . DSS12"]);
    assert_eq!(peer.sent.last().expect("an ACK").dss().data_ack, Some(DataNumber::Long(peer.own_number(40))));
    peer.write(20);
    assert_eq!(peer.story(), ["0 P. 20 DSS26"]);
    assert_eq!((peer.connection().mode(), peer.verified()), (Mode::Multipath, 40));
}

#[test]
fn an_address_confirms_the_connection_as_well() {
    // CAP-04, FSM-07
    let mut peer = Peer::of_client(&bare());
    let answer = peer.capable(Some(KEY), None);
    peer.send(Seg::ack(0, 0, 1).flags(SYN_ACK).with(answer));
    peer.write(10);
    assert_eq!(peer.story()[2], "0 P. 10 MP_CAPABLE22");
    let address = "10.0.2.2".parse().unwrap();
    let hmac = mptcp_model::crypto::add_addr_hmac(KEY, peer.host_key, 3, address, None);
    let announced = MpOption::AddAddr { nibble: 0, address_id: 3, address, port: None, hmac: Some(hmac) };
    peer.send(Seg::ack(0, 1, 11).with(announced));
    peer.write(10);
    assert!(peer.connection().subflows()[0].info().established);
    assert!(peer.story().contains(&"0 P. 10 DSS22".to_owned()));
}

#[test]
fn keys_are_random_and_never_zero() {
    // KEY-01, KEY-07
    let mut peer = Peer::of_server(&bare());
    peer.host.give_numbers([0, 0, 5]);
    let offer = [peer.capable(None, None)];
    peer.open(0, &offer);
    assert_eq!(peer.host_key, 5);
    let mut keys = vec![5];
    for _ in 0..20 {
        peer.open(0, &offer);
        assert!(peer.host_key != 0 && !keys.contains(&peer.host_key));
        keys.push(peer.host_key);
        let last = peer.flows.len() - 1;
        let ack = peer.capable(Some(KEY), Some(peer.host_key));
        peer.send(Seg::ack(last, 1, 1).with(ack));
    }
    let mut pair = Pair::new(&Setup { wires: 1, ..Setup::default() });
    pair.run_ms(25);
    let keys = pair.log[2].segment().options.mptcp().find_map(|option| match option {
        MpOption::Capable { sender_key, receiver_key, .. } => sender_key.zip(receiver_key),
        _ => None,
    });
    assert!(keys.is_some_and(|(client, server)| client != server && client != 0 && server != 0));
}

#[test]
fn a_key_whose_token_is_taken_is_drawn_again() {
    // KEY-03, INV-08, TIME-17
    let mut peer = Peer::of_server(&bare());
    let offer = [peer.capable(None, None)];
    peer.host.give_numbers([9]);
    peer.open(0, &offer);
    assert_eq!(peer.host_key, 9);
    peer.host.give_numbers([9]);
    peer.open(0, &offer);
    assert_ne!(peer.host_key, 9);
    assert_eq!(peer.host.bindings(), (2, 2));
    // Key, initial sequence number, timestamp offset, IP identification, then four keys more.
    peer.take();
    peer.host.give_numbers([9, 1, 1, 1, 9, 9, 9, 8]);
    peer.open(0, &offer);
    assert_eq!((peer.host_key, peer.story()), (8, vec!["2 S. MP_CAPABLE12".to_owned()]));
    peer.host.give_numbers([9, 1, 1, 1, 9, 9, 9, 9]);
    peer.open(0, &offer);
    assert_eq!(peer.story(), ["3 S."]);
    assert_eq!((peer.host.bindings(), peer.host.stats().token_fallbacks), ((4, 3), 1));
}

#[test]
fn mp_capable_on_a_confirmed_connection_is_ignored() {
    // MAL-07, MAL-14
    let mut peer = Peer::established_server(&bare());
    let data = peer.mapped(0, 100);
    peer.send(data);
    peer.take();
    let again = peer.capable(Some(KEY), Some(peer.host_key));
    let other = peer.capable(Some(99), Some(98));
    let join = MpOption::JoinAck { hmac: [3; 20] };
    let joins = peer.join_syn(1, 1, false);
    for option in [again, other, join, joins] {
        peer.send(Seg::ack(0, 101, 1).with(option));
        assert_eq!(peer.story(), Vec::<String>::new());
    }
    let data = peer.mapped(100, 50);
    peer.send(data);
    assert_eq!((peer.connection().mode(), peer.verified()), (Mode::Multipath, 150));
    assert_eq!(peer.connection().subflows().len(), 1);
}

#[test]
fn data_on_a_syn_comes_again() {
    // MAL-43
    let mut peer = Peer::of_server(&bare());
    let offer = peer.capable(None, None);
    let flow = peer.silent_flow(0);
    peer.send(Seg::ack(flow, 0, 0).flags(TcpFlags::SYN).data(0, 60).with(offer));
    let answer = peer.take();
    assert_eq!(answer[0].short(), "0 S. MP_CAPABLE12");
    assert_eq!(answer[0].segment().ack.0, 1001, "the SYN alone");
    let ack = peer.capable(Some(KEY), Some(peer.host_key));
    peer.send(Seg::ack(flow, 1, 1).with(ack));
    let dss = peer.dss(0, Some((0, 1, 60)));
    peer.send(Seg::ack(flow, 1, 1).data(0, 60).with(dss));
    assert_eq!(peer.verified(), 60);
}

#[test]
fn half_a_handshake_replayed_is_reset_or_challenged() {
    // MAL-44, TCP-19, TCP-20
    let mut peer = Peer::established_server(&bare());
    let third = peer.capable(Some(KEY), Some(peer.host_key));
    let stray = peer.silent_flow(0);
    peer.send(Seg::ack(stray, 1, 1).with(third.clone()));
    assert_eq!(peer.story(), ["1 R"]);
    let join = MpOption::JoinAck { hmac: [7; 20] };
    peer.send(Seg::ack(stray, 1, 1).with(join));
    assert_eq!(peer.story(), ["1 R"]);
    // The SYN again on the live flow: a challenge ACK, and nothing changes.
    let offer = peer.capable(None, None);
    peer.send(Seg::ack(0, 0, 0).flags(TcpFlags::SYN).with(offer));
    assert_eq!(peer.story(), ["0 . DSS8"]);
    let data = peer.mapped(0, 10);
    peer.send(data);
    assert_eq!(peer.verified(), 10);
}

#[test]
fn full_listeners_drop_requests_and_joins() {
    // CAP-27, TCP-01: without SYN cookies
    let mut setup = bare();
    setup.tcp.syn_cookies = 0;
    let mut peer = Peer::established_server(&setup);
    let join = peer.join_syn(2, 7, false);
    let key = peer.host_key;
    let offer = peer.capable(None, None);
    for _ in 0..4 {
        peer.open(0, std::slice::from_ref(&offer));
    }
    peer.host_key = key;
    peer.take();
    peer.open(1, std::slice::from_ref(&join));
    peer.open(0, std::slice::from_ref(&offer));
    assert_eq!((peer.story(), peer.host.stats().listen_overflows), (vec![], 2));
}

#[test]
fn syns_that_vanish_turn_mptcp_off_for_a_while() {
    // CAP-26, TIME-08; measured on Linux 6.18 with a `blackhole_timeout` of 4 s: plain for 4 s, and for 8 s
    // after the next such connection.
    let mut setup = bare();
    setup.client_config.blackhole_timeout = sim_core::Duration::from_secs(4);
    let mut peer = Peer::of_client(&setup);
    let connect = |peer: &mut Peer| {
        let options = crate::pair::socket_options(&setup, crate::pair::End::Client, Vec::new());
        let remote = "10.0.1.2:5001".parse().unwrap();
        let socket = peer.host.connect(peer.now, options, None, remote).unwrap();
        peer.connection = Some(socket);
        peer.flush();
        peer.story()
    };
    peer.run_ms(3_000);
    assert_eq!(
        peer.story(),
        ["0 S MP_CAPABLE4", "0 S MP_CAPABLE4", "0 S MP_CAPABLE4", "0 S"],
        "nothing is known yet"
    );
    peer.send(Seg::ack(0, 0, 1).flags(SYN_ACK));
    assert_eq!((peer.story(), peer.host.stats().blackholes), (vec!["0 .".to_owned()], 1));
    assert_eq!(connect(&mut peer), ["1 S"]);
    peer.run_ms(3_900);
    peer.take();
    assert_eq!(connect(&mut peer), ["2 S"]);
    peer.run_ms(200);
    peer.take();
    assert_eq!(connect(&mut peer), ["3 S MP_CAPABLE4"]);
    assert_eq!(peer.host.stats().capable_syn_disabled, 2);
    peer.run_ms(3_000);
    peer.take();
    peer.send(Seg::ack(3, 0, 1).flags(SYN_ACK));
    assert_eq!(peer.host.stats().blackholes, 2);
    peer.run_ms(7_900);
    peer.take();
    assert_eq!(connect(&mut peer), ["4 S"], "twice as long");
    peer.run_ms(200);
    peer.take();
    assert_eq!(connect(&mut peer), ["5 S MP_CAPABLE4"]);
    let answer = peer.capable(Some(KEY), None);
    peer.send(Seg::ack(5, 0, 1).flags(SYN_ACK).with(answer));
    peer.take();
    // A success forgets all of it: the next failure counts as the first.
    assert_eq!(connect(&mut peer), ["6 S MP_CAPABLE4"]);
}

#[test]
fn the_c_flag_is_on_every_mp_capable_of_the_host_that_sets_it() {
    // CAP-12, WIRE-30; Linux 6.18 sends 0x21 from either end
    let mut setup = Setup { wires: 2, ..Setup::default() };
    setup.client_config.allow_join_initial_addr_port = false;
    let flags = |pair: &Pair| -> Vec<u8> {
        let of = |option| match option {
            MpOption::Capable { flags, .. } => Some(flags),
            _ => None,
        };
        pair.log
            .iter()
            .flat_map(|line| line.segment().options.mptcp().filter_map(of).collect::<Vec<_>>())
            .collect()
    };
    let mut pair = Pair::new(&setup);
    pair.run_ms(25);
    pair.send(5);
    pair.run_ms(300);
    assert_eq!(flags(&pair), [0x21, 0x01, 0x21, 0x21]);
    assert_eq!(pair.connection().subflows().len(), 2, "the server takes joins");
    setup.client_config.allow_join_initial_addr_port = true;
    setup.server_config.allow_join_initial_addr_port = false;
    setup.signal_endpoints = true;
    let mut pair = Pair::new(&setup);
    pair.run_ms(25);
    pair.send(5);
    pair.run_ms(300);
    assert_eq!(flags(&pair), [0x01, 0x21, 0x01, 0x01]);
    // JOIN-18: not to the initial address, but to the announced one.
    let joins: Vec<_> =
        pair.connection().subflows()[1..].iter().map(|join| join.info().remote.ip()).collect();
    assert_eq!(joins, ["10.0.2.2".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn mp_capable_with_another_length_than_its_data() {
    // MAL-06: what the mapping leaves over needs one of its own; a longer one goes on
    for (announced, first) in [(60, 60), (100, 100), (200, 100)] {
        let mut peer = Peer::of_server(&bare());
        let offer = peer.capable(None, None);
        peer.open(0, &[offer]);
        let with_data = MpOption::Capable {
            version: 1,
            flags: 1,
            sender_key: Some(KEY),
            receiver_key: Some(peer.host_key),
            data_len: Some(announced),
            checksum: None,
        };
        peer.send(Seg::ack(0, 1, 1).data(0, first).with(with_data));
        assert_eq!((peer.connection().mode(), peer.verified()), (Mode::Multipath, u64::from(first)));
        if announced == 200 {
            let ack = peer.dss(0, None);
            peer.send(Seg::ack(0, 101, 1).data(100, 100).with(ack));
            assert_eq!(peer.verified(), 200);
        } else {
            let next = peer.mapped(u64::from(first), 40);
            peer.send(next);
            assert_eq!(peer.verified(), u64::from(first) + 40);
        }
    }
}

#[test]
fn a_wrong_acknowledgment_during_the_handshake_is_reset_and_changes_nothing() {
    // TCP-01, TCP-20, INV-06
    let mut peer = Peer::of_server(&bare());
    let syn = peer.capable(None, None);
    peer.open(0, &[syn]);
    peer.take();
    peer.send(Seg::ack(0, 1, 77));
    assert_eq!(peer.story(), ["0 R"]);
    let ack = peer.capable(Some(KEY), Some(peer.host_key));
    peer.send(Seg::ack(0, 1, 1).with(ack));
    assert_eq!(peer.connection().mode(), Mode::Multipath);
    let mut peer = Peer::of_client(&bare());
    peer.take();
    peer.send(Seg::ack(0, 0, 77).flags(SYN_ACK));
    assert_eq!((peer.story(), peer.connection().state()), (vec!["0 R".to_owned()], State::Opening));
    let answer = peer.capable(Some(KEY), None);
    peer.send(Seg::ack(0, 0, 1).flags(SYN_ACK).with(answer));
    assert_eq!(peer.story(), ["0 . MP_CAPABLE20"]);
    // Given up in the end, a request leaves nothing behind.
    let mut peer = Peer::of_server(&bare());
    peer.open(0, &[]);
    peer.send(Seg::ack(0, 1, 77));
    peer.run(sim_core::Duration::from_secs(100));
    assert_eq!(peer.host.bindings(), (0, 0));
}

#[test]
fn a_connection_whose_request_was_not_kept_is_like_any_other() {
    // CAP-05, CAP-06, TCP-30
    for profile in [Profile::LinuxUpstream, Profile::LinuxOot] {
        let config = MptcpConfig::new(profile);
        let cookies = Setup::default().tcp;
        let mut pair = Pair::new(&Setup {
            tcp: TcpConfig { syn_cookies: 2, ..cookies },
            client_config: config.clone(),
            server_config: config,
            ..Setup::default()
        });
        pair.run_ms(100);
        pair.send(200_000);
        pair.run_ms(1_000);
        let server = pair.server_connection();
        assert_eq!((server.mode(), pair.read), (Mode::Multipath, 200_000), "{profile:?}");
        assert_eq!(server.subflows().len(), 2, "{profile:?}");
        // The out-of-tree kernel keeps a queue of its own for joins.
        let joins = u64::from(profile == Profile::LinuxUpstream);
        let stats = pair.server.stats();
        let counts = (stats.syn_cookies_sent, stats.syn_cookies_received, stats.syn_cookies_failed);
        assert_eq!(counts, (1 + joins, 1 + joins, 0), "{profile:?}");
        let (now, accepted) = (pair.now, pair.accepted.expect("accepted"));
        pair.client.close(now, pair.socket);
        pair.server.close(now, accepted);
        pair.run_ms(200_000);
        assert_eq!((pair.client.bindings(), pair.server.bindings()), ((0, 0), (0, 0)), "{profile:?}");
    }
}

#[test]
fn a_cookie_opens_a_connection_again_right_behind_the_reset_of_the_first() {
    // TCP-30
    let setup = bare();
    let mut peer =
        Peer::of_server(&Setup { tcp: TcpConfig { syn_cookies: 2, ..setup.tcp.clone() }, ..setup });
    peer.open(0, &[]);
    peer.send(Seg::ack(0, 1, 1));
    let first = peer.id();
    peer.send_at_once([Seg::ack(0, 1, 1).flags(TcpFlags::RST), Seg::ack(0, 1, 1)]);
    assert_eq!(peer.host.connections().count(), 2);
    let open = peer.host.connections().filter(|(_, connection)| connection.state() == State::Established);
    assert_eq!(open.filter(|(socket, _)| *socket != first).count(), 1);
}

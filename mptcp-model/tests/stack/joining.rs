//! Joins as a peer sees them, and what a connection is without subflows.

use mptcp_model::config::{MptcpConfig, Profile};
use mptcp_model::mptcp::{EndpointChange, Mode, SocketError, State};
use mptcp_model::path_manager::{CloseReason, Endpoint, Limits};
use mptcp_model::wire::{MpOption, TcpFlags};
use sim_core::Duration;

use crate::pair::{End, Fate, Pair, Setup, endpoint, flags};
use crate::peer::{KEY, Peer, Seg, bare};

const RST: TcpFlags = TcpFlags::RST.with(TcpFlags::ACK);

fn server() -> Peer {
    let mut peer = Peer::established_server(&bare());
    let data = peer.mapped(0, 10);
    peer.send(data);
    peer.take();
    peer
}

/// A client with an endpoint for a second subflow, confirmed: its join is under way.
fn joining() -> Peer {
    let mut peer = Peer::established_client(&Setup { subflow_endpoints: true, ..bare() });
    assert_eq!(peer.sent.last().map(super::peer::Sent::short), Some("1 S MP_JOIN12".to_owned()));
    peer.take();
    peer
}

#[test]
fn joins_wait_for_the_confirmation() {
    // JOIN-02, FSM-07
    let setup = Setup { subflow_endpoints: true, ..bare() };
    let mut peer = Peer::of_client(&setup);
    let answer = peer.capable(Some(KEY), None);
    peer.send(Seg::ack(0, 0, 1).flags(TcpFlags::SYN.with(TcpFlags::ACK)).with(answer));
    peer.run_ms(100);
    assert_eq!(peer.story(), ["0 S MP_CAPABLE4", "0 . MP_CAPABLE20"]);
    peer.confirm(0);
    assert_eq!(peer.story(), ["1 S MP_JOIN12"]);
}

#[test]
fn either_end_joins_and_by_default_only_the_client() {
    // JOIN-07
    for (endpoints, joins) in [(vec![], 0), (vec![endpoint(2, "10.0.2.2", false)], 1)] {
        let mut peer = server();
        let now = peer.now;
        for endpoint in endpoints {
            peer.host.endpoint_changed(now, EndpointChange::Added(endpoint));
        }
        peer.flush();
        peer.run_ms(100);
        let story = peer.story();
        assert_eq!(story.iter().filter(|line| line.contains("MP_JOIN")).count(), joins, "{story:?}");
    }
}

#[test]
fn the_third_ack_is_repeated_until_it_is_answered() {
    // JOIN-03, JOIN-04, FSM-31, FSM-34
    let mut peer = joining();
    peer.run_ms(20);
    let answer = peer.join_synack(1, 0, 5);
    peer.send(answer);
    let start = peer.now;
    peer.run(Duration::from_secs(20));
    let sent = peer.take();
    let times: Vec<u128> = sent
        .iter()
        .filter(|sent| sent.short() == "1 . MP_JOIN24")
        .map(|sent| u128::from(sent.at.saturating_since(start).as_millis()))
        .collect();
    assert!(times.len() > 100, "without end: {}", times.len());
    let gaps: Vec<u128> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|&gap| gap == gaps[0]), "every two smoothed round trips");
    assert_eq!(peer.connection().mode(), Mode::Multipath);
}

#[test]
fn a_reset_before_the_fourth_ack_closes_the_join() {
    // FSM-35
    let mut peer = joining();
    let answer = peer.join_synack(1, 0, 5);
    peer.send(answer);
    peer.send(Seg::ack(1, 1, 1).flags(RST).with(MpOption::TcpRst { flags: 0, reason: 3 }));
    let Some(CloseReason::Reset(Some(why))) = peer.connection().subflows()[1].info().closed else {
        panic!("not reset");
    };
    assert_eq!(why.code, 3);
    peer.take();
    peer.run(Duration::from_secs(10));
    assert_eq!(peer.story(), Vec::<String>::new(), "no more third ACKs");
}

#[test]
fn a_repeated_third_ack_is_answered_by_another_fourth() {
    // JOIN-05, JOIN-06, FSM-37
    let mut peer = server();
    let flow = peer.join(1);
    assert_eq!(peer.story(), ["1 S. MP_JOIN16", "1 . DSS12"]);
    let again = peer.join_ack(flow, 77);
    peer.send(Seg::ack(flow, 1, 1).with(again));
    assert_eq!(peer.story(), ["1 . DSS12"]);
    peer.send(Seg::ack(0, 11, 1).with(MpOption::Prio { backup: true, address_id: None }));
    peer.write(1_000);
    assert!(peer.take().iter().all(|sent| sent.flow == flow), "it may send");
}

#[test]
fn data_before_the_hmac_is_reset_and_never_delivered() {
    // JOIN-11, JOIN-13, MAL-15, MAL-13, FSM-38
    type Case = (&'static str, fn(&Peer, usize) -> Option<MpOption>);
    let third: [Case; 3] = [
        ("missing", |_, _| None),
        ("mapped", |peer, _| Some(peer.dss(0, Some((10, 1, 50))))),
        ("of another nonce", |peer, flow| Some(peer.join_ack(flow, 78))),
    ];
    for (what, option) in third {
        let mut peer = server();
        let syn = peer.join_syn(2, 77, false);
        let flow = peer.open(1, &[syn]);
        peer.take();
        let mut seg = Seg::ack(flow, 1, 1).data(10, 50);
        if let Some(option) = option(&peer, flow) {
            seg = seg.with(option);
        }
        peer.send(seg);
        assert_eq!(peer.story(), ["1 R MP_TCPRST4"], "{what}");
        assert_eq!((peer.verified(), peer.connection().mode()), (10, Mode::Multipath), "{what}");
    }
}

#[test]
fn a_replayed_join_gets_a_new_nonce() {
    // MAL-12, KEY-07
    let mut peer = server();
    let syn = peer.join_syn(2, 77, false);
    let mut nonces = Vec::new();
    for _ in 0..5 {
        let flow = peer.open(1, std::slice::from_ref(&syn));
        nonces.push(peer.flows[flow].nonce);
    }
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), 5);
    let early = peer.join_ack(1, 77);
    peer.send(Seg::ack(3, 1, 1).with(early));
    assert_eq!(peer.story().last().map(String::as_str), Some("3 R MP_TCPRST4"), "the HMAC of another nonce");
}

#[test]
fn joins_need_a_listener_at_their_port() {
    // JOIN-17, MAL-10
    let mut peer = server();
    let syn = peer.join_syn(2, 7, false);
    let flow = peer.open_between(
        "10.0.2.1:40001".parse().unwrap(),
        "10.0.1.2:5999".parse().unwrap(),
        std::slice::from_ref(&syn),
    );
    assert_eq!(peer.story(), [format!("{flow} R.")]);
    assert_eq!(peer.connection().subflows().len(), 1);
    // Another address of the host serves as well, its listener being for any.
    let flow = peer.open_between("10.0.2.1:40002".parse().unwrap(), "10.0.2.2:5001".parse().unwrap(), &[syn]);
    assert_eq!(peer.story(), [format!("{flow} S. MP_JOIN16")]);
}

#[test]
fn one_four_tuple_is_one_subflow() {
    // JOIN-15: a SYN on a live four-tuple is challenged; another port is another subflow
    let mut peer = server();
    let flow = peer.join(1);
    peer.take();
    let again = peer.join_syn(2, 78, false);
    peer.send(Seg::ack(flow, 0, 0).flags(TcpFlags::SYN).with(again));
    assert_eq!(peer.story(), ["1 . DSS12"]);
    assert_eq!(peer.connection().subflows().len(), 2);
    peer.join(1);
    assert_eq!(peer.connection().subflows().len(), 3);
    // The host itself refuses a connection on a four-tuple in use.
    let options = crate::pair::socket_options(&bare(), End::Server, Vec::new());
    let (host, remote) = (peer.flows[0].host, peer.flows[0].peer);
    let refused = peer.host.connect(peer.now, options, Some(host), remote);
    assert_eq!(refused, Err(SocketError::AddressInUse));
}

#[test]
fn joins_above_the_limit_are_prohibited_also_at_the_third_ack() {
    // JOIN-19, WIRE-41
    let setup = Setup { limits: Limits { subflows: 1, add_addr_accepted: 0 }, ..bare() };
    let mut peer = Peer::established_server(&setup);
    let data = peer.mapped(0, 10);
    peer.send(data);
    // Two SYNs come before either third ACK.
    let flows: Vec<usize> = (0..2)
        .map(|nonce| {
            let syn = peer.join_syn(2, nonce, false);
            peer.open(1, &[syn])
        })
        .collect();
    peer.take();
    for (nonce, &flow) in flows.iter().enumerate() {
        let ack = peer.join_ack(flow, nonce as u32);
        peer.send(Seg::ack(flow, 1, 1).with(ack));
    }
    let reasons: Vec<_> = peer
        .take()
        .iter()
        .filter(|sent| sent.segment().flags.rst())
        .map(|sent| (sent.flow, sent.mptcp()))
        .collect();
    let prohibited = vec![MpOption::TcpRst { flags: 0, reason: 3 }];
    assert!(reasons.iter().all(|(_, options)| *options == prohibited), "{reasons:?}");
    assert_eq!(reasons.len(), 1);
}

#[test]
fn a_join_may_use_the_other_address_family() {
    // JOIN-20
    let mut peer = Peer::of_client(&bare());
    peer.host.routing.add_address(mptcp_model::net::InterfaceId(0), "2001:db8::1/64".parse().unwrap());
    let now = peer.now;
    let own = Endpoint { fullmesh: true, ..endpoint(5, "2001:db8::1", false) };
    peer.host.endpoint_changed(now, EndpointChange::Added(own));
    let answer = peer.capable(Some(KEY), None);
    peer.send(Seg::ack(0, 0, 1).flags(TcpFlags::SYN.with(TcpFlags::ACK)).with(answer));
    peer.confirm(0);
    let now = peer.now;
    peer.host.endpoint_changed(now, EndpointChange::Added(own));
    peer.take();
    let address = "2001:db8::2".parse().unwrap();
    let hmac = mptcp_model::crypto::add_addr_hmac(KEY, peer.host_key, 4, address, None);
    let option = MpOption::AddAddr { nibble: 0, address_id: 4, address, port: None, hmac: Some(hmac) };
    peer.send(Seg::ack(0, 1, 1).with(option));
    let story = peer.story();
    assert!(story.contains(&"1 S MP_JOIN12".to_owned()), "{story:?}");
    assert_eq!(peer.flows[1].peer.ip(), address);
    let answer = peer.join_synack(1, 4, 9);
    peer.send(answer);
    peer.confirm(1);
    assert!(peer.connection().subflows()[1].info().established);
}

#[test]
fn each_subflow_negotiates_its_own_options() {
    // JOIN-24, TCP-02
    let mut pair = Pair::new(&Setup::default());
    pair.filter = Box::new(|_, wire, packet| {
        if wire == 1
            && flags(packet).syn()
            && let mptcp_model::wire::Body::Tcp(segment) = &mut packet.body
        {
            // Nothing but MSS and MPTCP on the second path.
            let mut options = mptcp_model::wire::TcpOptions::new();
            assert!(options.push_mss(1_000));
            for option in segment.options.mptcp() {
                assert!(options.push_mptcp(&option));
            }
            segment.options = options;
        }
        Fate::Pass
    });
    pair.run_ms(25);
    pair.send(5);
    pair.run_ms(200);
    pair.send(400_000);
    pair.run_ms(3_000);
    assert_eq!((pair.read, pair.server_connection().integrity().corrupted), (400_005, 0));
    let largest = |wire: usize| {
        pair.log.iter().filter(|line| line.wire == wire).map(|line| line.segment().payload.len()).max()
    };
    assert_eq!((largest(0), largest(1)), (Some(1_424), Some(976)));
    let stamped = pair.log.iter().filter(|line| line.wire == 1 && !line.segment().flags.syn());
    assert!(stamped.clone().count() > 50);
    assert!(stamped.clone().all(|line| line.segment().options.parse_all().timestamps.is_none()));
}

#[test]
fn joins_to_a_connection_that_closes_are_refused() {
    // JOIN-09, JOIN-21, KEY-08
    let out_of_tree = MptcpConfig { version: 1, checksum: false, ..MptcpConfig::new(Profile::LinuxOot) };
    // Upstream answers the SYN and refuses the third ACK once the peer sent its DATA_FIN; out-of-tree takes joins
    // until its own application closes.
    for (setup, takes) in [(bare(), false), (Setup { server_config: out_of_tree, ..bare() }, true)] {
        let mut peer = Peer::established_server(&setup);
        let data = peer.mapped(0, 10);
        peer.send(data);
        let fin = peer.data_fin(0, 10);
        peer.send(Seg::ack(0, 11, 1).with(fin));
        peer.take();
        peer.join(1);
        let story = peer.story();
        assert_eq!(story.iter().any(|line| line == "1 R MP_TCPRST4"), !takes, "{story:?}");
    }
    // Once it is over, the token is nobody's: reason 1.
    let mut peer = server();
    peer.host.abort(peer.id());
    peer.flush();
    assert_eq!(peer.host.bindings(), (0, 0));
    let syn = peer.join_syn(2, 7, false);
    peer.take();
    peer.open(1, &[syn]);
    assert_eq!(peer.take()[0].mptcp(), [MpOption::TcpRst { flags: 0, reason: 1 }]);
}

#[test]
fn a_join_revives_a_connection_without_subflows() {
    // JOIN-26, FSM-19, CLOSE-09, CLOSE-10, TIME-04: break before make
    let mut peer = server();
    peer.send(Seg::ack(0, 11, 1).flags(RST));
    assert_eq!((peer.connection().error(), peer.connection().state()), (None, State::Established));
    let pending = peer.host.write(peer.now, peer.id(), 3_000).expect("writable");
    peer.flush();
    peer.run(Duration::from_secs(50));
    peer.take();
    let flow = peer.join(1);
    let sent: u32 = peer.take().iter().map(|sent| sent.segment().payload.len()).sum();
    assert_eq!(u64::from(sent), pending, "what waited goes on the new subflow");
    let all = peer.dss(3_000, Some((10, 1, 40)));
    peer.send(Seg::ack(flow, 1, 3_001).data(10, 40).with(all));
    peer.run(Duration::from_secs(120));
    let connection = peer.connection();
    assert_eq!((connection.error(), connection.bytes_acked(), peer.verified()), (None, 3_000, 50));
    // Nobody comes the second time.
    peer.send(Seg::ack(flow, 41, 3_001).flags(RST));
    peer.run_ms(59_900);
    assert_eq!(peer.connection().error(), None);
    peer.run_ms(200);
    assert_eq!(peer.connection().error(), Some(SocketError::TimedOut));
    let syn = peer.join_syn(2, 7, false);
    peer.take();
    peer.open(1, &[syn]);
    assert!(peer.story()[0].contains("R. MP_TCPRST4"));
}

#[test]
fn a_join_syn_is_given_up_after_its_retries() {
    // JOIN-22, FSM-42
    let mut peer = joining();
    peer.run(Duration::from_secs(200));
    let syns = peer.story().iter().filter(|line| *line == "1 S MP_JOIN12").count();
    // The first went before; 6 retries besides 4 at a steady second.
    assert_eq!(syns, 10);
    assert_eq!(peer.connection().subflows()[1].info().closed, Some(CloseReason::TimedOut));
    assert_eq!((peer.connection().error(), peer.connection().mode()), (None, Mode::Multipath));
}

#[test]
fn ids_are_those_of_the_sender_and_unreachable_joins_are_told() {
    // JOIN-14, JOIN-25, CAP-28, JOIN-23
    let mut peer = joining();
    let syn = peer.sent.last().expect("a join").mptcp();
    assert!(matches!(syn[..], [MpOption::JoinSyn { address_id: 2, .. }]));
    let answer = peer.join_synack(1, 9, 5);
    peer.send(answer);
    peer.confirm(1);
    let ids: Vec<_> = peer
        .connection()
        .subflows()
        .iter()
        .map(|subflow| (subflow.info().local_id, subflow.info().remote_id))
        .collect();
    assert_eq!(ids, [(0, 0), (2, 9)]);
    // The peer behind a NAT: the id it names counts, whatever the address is.
    let mut server = server();
    let syn = server.join_syn(7, 77, false);
    let flow =
        server.open_between("198.51.100.9:1234".parse().unwrap(), "10.0.1.2:5001".parse().unwrap(), &[syn]);
    let ack = server.join_ack(flow, 77);
    server.send(Seg::ack(flow, 1, 1).with(ack));
    let info = server.connection().subflows()[1].info();
    assert_eq!((info.remote.to_string().as_str(), info.remote_id), ("198.51.100.9:1234", 7));
}

#[test]
fn a_backup_serves_while_the_regular_path_is_dead_and_rests_again() {
    // PRIO-03, PRIO-04, DSS-23, TIME-07, FSM-41
    let mut pair = Pair::new(&Setup { backup: true, ..Setup::default() });
    pair.run_ms(25);
    pair.send(5);
    pair.run_ms(200);
    pair.send(200_000);
    pair.run_ms(1_000);
    let on_backup = |pair: &Pair, from: usize| {
        let data = |line: &&crate::pair::Line| line.wire == 1 && !line.segment().payload.is_empty();
        pair.log[from..].iter().filter(data).count()
    };
    assert_eq!((pair.read, on_backup(&pair, 0)), (200_005, 0));
    let from = pair.log.len();
    pair.filter = Box::new(|_, wire, _| if wire == 0 { Fate::Drop } else { Fate::Pass });
    pair.send(200_000);
    pair.run_ms(30_000);
    assert_eq!(pair.read, 400_005);
    assert!(on_backup(&pair, from) > 100);
    assert!(pair.connection().stats().stale_subflows > 0);
    pair.filter = Box::new(|_, _, _| Fate::Pass);
    pair.run(Duration::from_secs(130));
    let from = pair.log.len();
    pair.send(200_000);
    pair.run_ms(2_000);
    assert_eq!((pair.read, on_backup(&pair, from)), (600_005, 0), "traffic moves back");
}

#[test]
fn a_timeout_moves_data_to_the_other_subflow_until_the_first_answers_again() {
    // FSM-39, FSM-40, DSS-24
    let config = MptcpConfig::new(Profile::LinuxOot);
    let setup = Setup {
        client_config: config.clone(),
        server_config: config,
        scheduler: "minrtt",
        ..Setup::default()
    };
    let mut pair = Pair::new(&setup);
    pair.run_ms(25);
    pair.send(10);
    pair.run_ms(200);
    pair.filter = Box::new(|_, wire, _| if wire == 0 { Fate::Drop } else { Fate::Pass });
    pair.send(200_000);
    pair.run_ms(2_000);
    assert_eq!(pair.read, 200_010);
    pair.filter = Box::new(|_, _, _| Fate::Pass);
    pair.run_ms(20_000);
    let from = pair.log.len();
    pair.delay[1] = Duration::from_millis(300);
    pair.send(200_000);
    pair.run_ms(3_000);
    let first = pair.log[from..].iter().filter(|line| line.wire == 0 && !line.segment().payload.is_empty());
    assert!(first.count() > 20, "the first path serves again");
    assert_eq!(pair.read, 400_010);
}

#[test]
fn what_a_reset_subflow_held_leaves_at_once_on_another() {
    // DSS-17, FSM-42: not when the timer of the connection fires
    let mut peer = server();
    let flow = peer.join(1);
    peer.send(Seg::ack(0, 11, 1).with(MpOption::Prio { backup: true, address_id: None }));
    peer.write(1_000);
    assert!(
        peer.take().iter().filter(|sent| !sent.segment().payload.is_empty()).all(|sent| sent.flow == flow)
    );
    peer.send(Seg::ack(flow, 1, 1).flags(RST));
    let sent = peer.take();
    let octets: u32 =
        sent.iter().filter(|sent| sent.flow == 0).map(|sent| sent.segment().payload.len()).sum();
    assert_eq!(octets, 1_000);
    let mapping = sent[0].dss().mapping.expect("mapped");
    assert_eq!((mapping.dsn.expand(peer.host_number(0)), mapping.ssn), (peer.host_number(0), 1));
}

#[test]
fn a_request_that_the_peer_gives_up_makes_nobody_send_data_again() {
    // FB-13, JOIN-12: it never was a subflow, so nothing was lost with it
    let mut peer = server();
    peer.write(1_000);
    peer.take();
    let syn = peer.join_syn(2, 77, false);
    let join = peer.open(1, std::slice::from_ref(&syn));
    assert_eq!(peer.story(), ["1 S. MP_JOIN16"]);
    peer.send(Seg::ack(join, 1, 0).flags(TcpFlags::RST));
    peer.run_ms(50);
    assert_eq!(peer.story(), [""; 0]);
    assert_eq!(peer.connection().stats().reinjected_bytes, 0);
}

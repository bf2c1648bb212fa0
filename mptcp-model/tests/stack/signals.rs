//! Addresses, priorities, MP_FAIL, MP_FASTCLOSE and resets of a peer, well-formed and not.

use std::net::IpAddr;

use mptcp_model::config::{MptcpConfig, Profile, TcpConfig};
use mptcp_model::crypto;
use mptcp_model::mptcp::{EndpointChange, Mode, SocketError, State};
use mptcp_model::path_manager::{CloseReason, Endpoint};
use mptcp_model::wire::{AddressIds, MpOption, TcpFlags, TcpOptions};
use sim_core::Duration;

use crate::pair::{Pair, Setup, endpoint, has_mptcp};
use crate::peer::{KEY, Peer, Seg, bare};

const RST: TcpFlags = TcpFlags::RST.with(TcpFlags::ACK);

fn server() -> Peer {
    Peer::established_server(&bare())
}

/// A connection with data on its first subflow and a second one.
fn joined(setup: &Setup) -> Peer {
    let mut peer = Peer::established_server(setup);
    let data = peer.mapped(0, 10);
    peer.send(data);
    peer.join(1);
    assert_eq!(peer.connection().subflows().len(), 2);
    peer.take();
    peer
}

fn add_addr(peer: &Peer, address_id: u8, address: &str, port: Option<u16>) -> MpOption {
    let address: IpAddr = address.parse().unwrap();
    let hmac = crypto::add_addr_hmac(KEY, peer.host_key, address_id, address, port);
    MpOption::AddAddr { nibble: 0, address_id, address, port, hmac: Some(hmac) }
}

/// A client, confirmed, that joins announced addresses.
fn client() -> Peer {
    Peer::established_client(&bare())
}

fn joins(story: &[String]) -> usize {
    story.iter().filter(|line| line.contains("S MP_JOIN12")).count()
}

#[test]
fn addresses_that_lead_nowhere_are_echoed_and_not_joined() {
    // MAL-32, ADDR-09
    for address in ["127.0.0.1", "224.0.0.5", "255.255.255.255", "0.0.0.0", "10.0.1.1", "10.0.1.2"] {
        let mut peer = client();
        let option = add_addr(&peer, 3, address, None);
        peer.send(Seg::ack(0, 1, 1).with(option));
        let story = peer.story();
        assert!(story.contains(&"0 . ADD_ADDR8".to_owned()), "{address}: {story:?}");
        assert_eq!(joins(&story), 0, "{address}: {story:?}");
        assert_eq!(peer.connection().mode(), Mode::Multipath);
    }
}

#[test]
fn an_id_announced_with_another_address_is_another_address() {
    // ADDR-07
    let mut peer = client();
    for (address, lines) in [("10.0.2.2", 1), ("10.0.2.9", 1)] {
        let option = add_addr(&peer, 3, address, None);
        peer.send(Seg::ack(0, 1, 1).with(option));
        let story = peer.story();
        assert!(story.contains(&"0 . ADD_ADDR8".to_owned()), "{story:?}");
        assert_eq!(joins(&story), lines, "{address}");
    }
}

#[test]
fn an_announced_port_is_the_one_that_is_joined() {
    // ADDR-06, ADDR-02
    let mut peer = client();
    let option = add_addr(&peer, 3, "10.0.2.2", Some(9_999));
    peer.send(Seg::ack(0, 1, 1).with(option));
    let sent = peer.take();
    let echo = MpOption::AddAddr {
        nibble: 1,
        address_id: 3,
        address: "10.0.2.2".parse().unwrap(),
        port: Some(9_999),
        hmac: None,
    };
    assert_eq!(sent[0].mptcp(), [echo]);
    assert_eq!(sent[1].segment().dst_port, 9_999);
}

#[test]
fn what_is_no_announcement_of_this_version_is_ignored() {
    // ADDR-04, ADDR-19, MAL-33, MAL-34
    let address: IpAddr = "10.0.2.2".parse().unwrap();
    let mut peer = client();
    let MpOption::AddAddr { hmac: Some(hmac), .. } = add_addr(&peer, 3, "10.0.2.2", None) else {
        unreachable!()
    };
    for option in [
        MpOption::AddAddr { nibble: 0, address_id: 3, address, port: None, hmac: Some(hmac ^ 1) },
        MpOption::AddAddr { nibble: 4, address_id: 3, address, port: None, hmac: None },
        MpOption::AddAddr { nibble: 1, address_id: 3, address, port: None, hmac: None },
    ] {
        peer.send(Seg::ack(0, 1, 1).with(option));
        assert_eq!(peer.story(), Vec::<String>::new());
    }
    assert_eq!(peer.connection().stats().add_addr_hmac_failures, 1);
}

#[test]
fn an_announcement_that_does_not_fit_is_not_sent() {
    // ADDR-16, WIRE-32
    for (timestamps, expected) in [(true, 0), (false, 1)] {
        let tcp = TcpConfig { timestamps, ..bare().tcp };
        let mut pair = Pair::new(&Setup { wires: 1, tcp, ..Setup::default() });
        pair.run_ms(25);
        pair.send(5);
        pair.run_ms(100);
        let long = Endpoint { port: Some(5_002), ..endpoint(4, "2001:db8::4", true) };
        let now = pair.now;
        pair.server.endpoint_changed(now, EndpointChange::Added(long));
        pair.run_ms(20);
        let announced = pair.log.iter().filter(|line| line.short() == "s0 . ADD_ADDR30").count();
        assert_eq!(announced, expected, "timestamps {timestamps}");
        pair.send(5_000);
        pair.run_ms(100);
        assert_eq!(pair.read, 5_005);
    }
}

#[test]
fn removed_addresses_lose_their_subflows_at_once() {
    // ADDR-10, ADDR-11, MAL-35
    let mut peer = joined(&bare());
    let remove = |ids: &[u8]| MpOption::RemoveAddr { ids: AddressIds::new(ids).expect("some") };
    peer.send(Seg::ack(0, 11, 1).with(remove(&[77])));
    assert_eq!(peer.story(), Vec::<String>::new(), "nobody has it");
    peer.send(Seg::ack(0, 11, 1).with(remove(&[2])));
    assert_eq!(peer.story(), ["1 . DSS12", "1 F. DSS12"], "no keepalive comes first");
    let data = peer.mapped(10, 20);
    peer.send(data);
    assert_eq!(peer.verified(), 30);
    // The only path: the connection waits without subflows.
    peer.take();
    peer.send(Seg::ack(0, 31, 1).with(remove(&[0])));
    assert!(peer.story().iter().any(|line| line.starts_with("0 F. ")), "the initial one");
    assert_eq!(peer.connection().error(), None);
}

#[test]
fn upstream_takes_no_more_than_eight_removed_ids() {
    // MAL-36
    let ids: Vec<u8> = (1..=9).collect();
    let nine = MpOption::RemoveAddr { ids: AddressIds::new(&ids).expect("9 ids") };
    let eight = MpOption::RemoveAddr { ids: AddressIds::new(&ids[..8]).expect("8 ids") };
    let mut peer = joined(&bare());
    peer.send(Seg::ack(0, 11, 1).with(nine.clone()));
    assert_eq!(peer.story(), Vec::<String>::new());
    peer.send(Seg::ack(0, 11, 1).with(eight));
    assert_eq!(peer.story(), ["1 . DSS12", "1 F. DSS12"]);
    let config = MptcpConfig { version: 1, checksum: false, ..MptcpConfig::new(Profile::LinuxOot) };
    let mut peer = joined(&Setup { server_config: config, ..bare() });
    peer.send(Seg::ack(0, 11, 1).with(nine));
    assert!(peer.story().iter().any(|line| line.starts_with("1 R.")));
}

#[test]
fn a_withdrawn_address_is_told_on_another_subflow() {
    // ADDR-12
    let mut peer = Peer::established_client(&Setup { subflow_endpoints: true, ..bare() });
    assert_eq!(peer.connection().subflows().len(), 2, "joined from its endpoint");
    let answer = peer.join_synack(1, 0, 5);
    peer.send(answer);
    peer.confirm(1);
    peer.take();
    let now = peer.now;
    peer.host.endpoint_changed(now, EndpointChange::Removed(endpoint(2, "10.0.2.1", false)));
    peer.flush();
    let story = peer.story();
    assert!(story.contains(&"0 . DSS8 REMOVE_ADDR4".to_owned()), "{story:?}");
    assert!(story.iter().any(|line| line.starts_with("1 F.")), "{story:?}");
}

#[test]
fn in_fallback_addresses_are_neither_told_nor_taken() {
    // ADDR-18, FB-05, INV-07, JOIN-09
    let mut peer = Peer::of_server(&Setup { signal_endpoints: true, ..bare() });
    let syn = peer.capable(None, None);
    peer.open(0, &[syn]);
    let key = peer.host_key;
    peer.send(Seg::ack(0, 1, 1));
    peer.run_ms(500);
    assert_eq!(peer.connection().mode(), Mode::Plain);
    peer.take();
    let option = add_addr(&peer, 3, "10.0.2.9", None);
    peer.send(Seg::ack(0, 1, 1).with(option));
    let now = peer.now;
    peer.host.endpoint_changed(now, EndpointChange::Added(endpoint(9, "10.0.2.2", true)));
    peer.flush();
    assert_eq!(peer.story(), Vec::<String>::new());
    peer.host_key = key;
    let join = peer.join_syn(2, 7, false);
    peer.open(1, &[join]);
    assert_eq!(peer.story(), ["1 R. MP_TCPRST4"]);
    peer.write(100);
    assert!(!has_mptcp(&peer.sent.last().expect("data").packet));
    // FB-06: a FIN is the end of the stream.
    let fin = Seg::ack(0, 1, 101).flags(TcpFlags::FIN.with(TcpFlags::ACK));
    peer.send(fin);
    assert_eq!(peer.connection().state(), State::CloseWait);
    assert!(peer.host.read(peer.now, peer.id(), 9).expect("readable").end);
}

#[test]
fn a_subflow_is_backup_if_either_end_says_so() {
    // PRIO-01, PRIO-05, JOIN-16
    let mut peer = server();
    let data = peer.mapped(0, 10);
    peer.send(data);
    let syn = peer.join_syn(2, 77, true);
    let flow = peer.open(1, &[syn]);
    let ack = peer.join_ack(flow, 77);
    peer.send(Seg::ack(flow, 1, 1).with(ack));
    assert!(peer.connection().subflows()[1].is_backup());
    let prio = |backup| MpOption::Prio { backup, address_id: None };
    peer.send(Seg::ack(flow, 1, 1).with(prio(false)));
    assert!(!peer.connection().subflows()[1].is_backup());
    peer.send(Seg::ack(flow, 1, 1).with(prio(true)));
    // PRIO-03: all new data goes elsewhere.
    peer.take();
    peer.write(5_000);
    assert!(peer.take().iter().all(|sent| sent.flow == 0));
    // In the SYN/ACK it means the same.
    let mut peer = Peer::established_client(&Setup { subflow_endpoints: true, ..bare() });
    let mut answer = peer.join_synack(1, 0, 5);
    answer = answer.mark_backup();
    peer.send(answer);
    peer.confirm(1);
    assert!(peer.connection().subflows()[1].is_backup());
}

#[test]
fn mp_prio_is_never_beside_mp_capable() {
    // PRIO-06, PRIO-07
    let own = endpoint(1, "10.0.1.1", false);
    let mut peer = Peer::of_client(&bare());
    let answer = peer.capable(Some(KEY), None);
    peer.send(Seg::ack(0, 0, 1).flags(TcpFlags::SYN.with(TcpFlags::ACK)).with(answer));
    for backup in [false, true, false] {
        let now = peer.now;
        peer.host.endpoint_changed(now, EndpointChange::Added(own));
        peer.host.endpoint_changed(now, EndpointChange::Changed(Endpoint { backup, ..own }));
        peer.flush();
        peer.write(10);
        peer.run_ms(10);
        if backup {
            peer.confirm(0);
        }
    }
    let kinds: Vec<Vec<&str>> =
        peer.sent.iter().map(|sent| sent.mptcp().iter().map(crate::pair::name).collect()).collect();
    assert!(kinds.iter().any(|names| names.contains(&"MP_PRIO")), "{kinds:?}");
    assert!(!kinds.iter().any(|names| names.contains(&"MP_PRIO") && names.contains(&"MP_CAPABLE")));
}

/// An ACK with these octets for options.
fn raw(peer: &mut Peer, octets: &[u8]) {
    let options = TcpOptions::from_bytes(octets).expect("at most 40");
    peer.send_with(Seg::ack(0, 11, 1), options);
}

#[test]
fn options_of_impossible_form_change_nothing() {
    // PRIO-08, FB-16, FB-19, FB-20, MAL-01, MAL-02, MAL-37, MAL-39, MAL-41, WIRE-22, WIRE-36, WIRE-37
    let mut peer = server();
    let data = peer.mapped(0, 10);
    peer.send(data);
    peer.take();
    for octets in [
        &[30, 5, 0x51, 0, 0, 1][..],
        &[30, 4, 0x51, 0],
        &[30, 4, 0x80, 1],
        &[30, 5, 0x80, 1, 9],
        &[30, 4, 0xf0, 1],
        &[30, 4, 0x90, 1],
        &[30, 2, 1, 1],
        &[30, 0, 1, 1],
        &[30, 1, 1, 1],
        &[30, 12, 0x60, 0],
        &[1, 1, 1, 30],
        &[30, 11, 0x70, 0, 0, 0, 0, 0, 0, 0, 2, 1],
        &[30, 3, 0x40, 1],
    ] {
        raw(&mut peer, octets);
        assert_eq!(peer.story(), Vec::<String>::new(), "{octets:x?}");
        let connection = peer.connection();
        assert_eq!((connection.mode(), connection.state()), (Mode::Multipath, State::Established));
        assert!(!connection.subflows()[0].is_backup(), "{octets:x?}");
    }
    let data = peer.mapped(10, 10);
    peer.send(data);
    assert_eq!(peer.verified(), 20);
}

#[test]
fn mp_fail_out_of_nowhere_is_answered_or_ignored() {
    // FB-09, MAL-31, FSM-43
    let mut peer = server();
    let data = peer.mapped(0, 10);
    peer.send(data);
    peer.write(100);
    peer.take();
    peer.send(Seg::ack(0, 11, 1).with(MpOption::Fail { dsn: peer.host_number(0) }));
    assert_eq!(peer.connection().mode(), Mode::Plain);
    let sent = peer.take();
    let options: Vec<MpOption> = sent.iter().flat_map(super::peer::Sent::mptcp).collect();
    assert!(options.iter().any(|option| matches!(option, MpOption::Fail { .. })), "{options:?}");
    let mapping_of = |option: &MpOption| match option {
        MpOption::Dss(dss) => dss.mapping,
        _ => None,
    };
    assert!(!options.iter().any(|option| mapping_of(option).is_some()), "not before there is data");
    peer.send(Seg::ack(0, 11, 101));
    peer.write(10);
    let sent = peer.take();
    let mapping = sent.iter().flat_map(super::peer::Sent::mptcp).find_map(|option| mapping_of(&option));
    let mapping = mapping.expect("an infinite mapping");
    assert_eq!((mapping.len, mapping.ssn), (0, 101));
    assert_eq!(mapping.dsn.expand(peer.host_number(0)), peer.host_number(100), "that of the data");
    peer.send(Seg::ack(0, 11, 111));
    peer.write(10);
    let sent = peer.take();
    assert!(sent.iter().all(|sent| sent.mptcp().is_empty()), "once");
    let mut two = joined(&bare());
    two.send(Seg::ack(0, 11, 1).with(MpOption::Fail { dsn: two.host_number(0) }));
    assert_eq!(two.story(), [""; 0], "there is no way back to TCP");
    assert_eq!(two.connection().mode(), Mode::Multipath);
}

fn infinite(peer: &Peer, position: u64, ssn: u32) -> MpOption {
    peer.dss(0, Some((position, ssn, 0)))
}

#[test]
fn an_infinite_mapping_is_taken_on_a_lone_subflow_only() {
    // FB-11, MAL-28, DSS-18
    let mut peer = server();
    let data = peer.mapped(0, 10);
    peer.send(data);
    let option = infinite(&peer, 10, 11);
    peer.send(Seg::ack(0, 11, 1).data(10, 50).with(option));
    assert_eq!((peer.connection().mode(), peer.verified()), (Mode::Plain, 60));
    let mut two = joined(&bare());
    let option = infinite(&two, 10, 11);
    two.send(Seg::ack(0, 11, 1).data(10, 50).with(option));
    assert_eq!(two.story(), ["0 R. MP_TCPRST4"]);
    assert_eq!((two.connection().mode(), two.verified()), (Mode::Multipath, 10));
}

#[test]
fn the_out_of_tree_kernel_takes_an_infinite_mapping_and_leaves_the_other_subflows() {
    // MAL-28: as long as the initial subflow carried all there was
    let mut config = MptcpConfig::new(Profile::LinuxOot);
    config.version = 1;
    config.checksum = false;
    let mut two = joined(&Setup { server_config: config, ..bare() });
    let option = infinite(&two, 10, 11);
    two.send(Seg::ack(0, 11, 1).data(10, 50).with(option));
    assert_eq!((two.connection().mode(), two.verified()), (Mode::Plain, 60));
    two.take();
    two.send(Seg::ack(1, 1, 1));
    assert_eq!(two.story(), ["1 R"], "the other is gone");
    two.send(Seg::ack(0, 61, 1).data(60, 5));
    assert_eq!(two.verified(), 65);
}

#[test]
fn there_is_no_fallback_once_data_was_sent_twice() {
    // FB-13
    let mut peer = server();
    let data = peer.mapped(0, 10);
    peer.send(data);
    peer.write(1_000);
    let nothing = peer.dss(0, None);
    peer.send(Seg::ack(0, 11, 1_001).with(nothing));
    peer.run_ms(2_000);
    assert!(peer.connection().stats().retransmits > 0);
    peer.take();
    let option = infinite(&peer, 10, 11);
    peer.send(Seg::ack(0, 11, 2_001).data(10, 50).with(option));
    assert_eq!((peer.connection().mode(), peer.verified()), (Mode::Multipath, 10));
    assert!(peer.story().contains(&"0 R. MP_TCPRST4".to_owned()));
}

#[test]
fn there_is_no_fallback_once_another_subflow_was_joined() {
    // FB-13, FB-02
    let mut peer = joined(&bare());
    peer.send(Seg::ack(1, 1, 1).flags(RST));
    peer.take();
    let option = infinite(&peer, 10, 11);
    peer.send(Seg::ack(0, 11, 1).data(10, 50).with(option));
    assert_eq!((peer.connection().mode(), peer.verified()), (Mode::Multipath, 10));
    assert_eq!(peer.story(), ["0 R. MP_TCPRST4"]);
}

#[test]
fn only_a_reset_with_the_exact_number_is_taken() {
    // MAL-40, TCP-19, CLOSE-15, FB-16, MAL-38
    let fastclose = |peer: &Peer| MpOption::FastClose { receiver_key: peer.host_key };
    let mut peer = server();
    let data = peer.mapped(0, 10);
    peer.send(data);
    peer.take();
    for (offset, answers) in [(500_000, 0), (300, 1)] {
        let option = fastclose(&peer);
        peer.send(Seg::ack(0, 11 + offset, 1).flags(RST).with(option));
        let story = peer.story();
        assert_eq!(story.len(), answers, "offset {offset}: {story:?}");
        assert_eq!(peer.connection().error(), None);
    }
    let option = fastclose(&peer);
    peer.send(Seg::ack(0, 11, 1).flags(RST).with(option));
    assert_eq!(peer.connection().error(), Some(SocketError::ConnectionReset));
}

#[test]
fn a_foreign_key_ends_one_subflow_at_most() {
    // CLOSE-14, MAL-38, MAL-42
    let mut peer = joined(&bare());
    let foreign = MpOption::FastClose { receiver_key: !peer.host_key };
    peer.send(Seg::ack(0, 11, 1).with(foreign.clone()));
    assert_eq!(peer.story(), Vec::<String>::new());
    peer.send(Seg::ack(1, 1, 1).flags(RST).with(foreign));
    assert_eq!(peer.connection().error(), None);
    let ended = peer.connection().subflows()[1].info().closed;
    assert_eq!(ended, Some(CloseReason::Reset(None)));
    let data = peer.mapped(10, 10);
    peer.send(data);
    assert_eq!(peer.verified(), 20);
}

#[test]
fn a_reset_tells_its_reason_and_whether_the_path_may_serve_again() {
    // FB-17, WIRE-21, WIRE-41, FSM-42
    for (flags, transient) in [(0, false), (1, true)] {
        let mut peer = joined(&bare());
        peer.send(Seg::ack(1, 1, 1).flags(RST).with(MpOption::TcpRst { flags, reason: 5 }));
        let reason = peer.connection().subflows()[1].info().closed.expect("closed");
        let CloseReason::Reset(Some(why)) = reason else { panic!("{reason:?}") };
        assert_eq!((why.code, why.transient), (5, transient));
    }
}

#[test]
fn two_fast_closes_at_once_close_both_ends() {
    // CLOSE-16, FSM-18
    let mut pair = Pair::new(&Setup { wires: 1, ..Setup::default() });
    pair.server_reads = false;
    pair.run_ms(25);
    pair.send(500);
    pair.run_ms(200);
    let (now, accepted) = (pair.now, pair.accepted.expect("accepted"));
    pair.server.close(now, accepted);
    pair.client.abort(pair.socket);
    pair.run_ms(500);
    let (client, server) = (pair.connection(), pair.server_connection());
    assert_eq!((client.state(), server.state()), (State::Closed, State::Closed));
    assert!(client.is_finished() && server.is_finished());
    assert_eq!(pair.story(0).iter().filter(|line| line.contains("MP_FASTCLOSE")).count(), 2);
    pair.run(Duration::from_secs(70));
    assert_eq!((pair.client.bindings(), pair.server.bindings()), ((0, 0), (0, 0)));
}

#[test]
fn options_of_another_connection_do_no_harm() {
    // MAL-42, MBOX-27: another host does not know the token, and HMACs do not carry over
    let mut peer = joined(&bare());
    let mut other = server();
    other.host_key = !peer.host_key;
    let join = other.join_syn(2, 7, false);
    peer.open(1, &[join]);
    assert_eq!(peer.story(), ["2 R. MP_TCPRST4"]);
    let mapping = other.dss(0, Some((5_000_000, 11, 100)));
    peer.send(Seg::ack(0, 11, 1).data(5_000_000, 100).with(mapping));
    assert_eq!(peer.connection().stats().out_of_window_bytes, 100);
    // A join with the right token and the HMAC of another connection.
    let syn = peer.join_syn(3, 9, false);
    let flow = peer.open(1, &[syn]);
    other.flows = peer.flows.clone();
    let ack = other.join_ack(flow, 9);
    peer.take();
    peer.send(Seg::ack(flow, 1, 1).with(ack));
    assert_eq!(peer.story(), ["3 R MP_TCPRST4"]);
    assert_eq!(peer.connection().stats().join_hmac_failures, 1);
}

//! Version 0 and the habits of the out-of-tree kernel.

use mptcp_model::config::{MptcpConfig, Profile};
use mptcp_model::mptcp::{Mode, SocketError, State};
use mptcp_model::wire::{Body, MpOption};

use crate::pair::{End, Fate, Pair, Setup, edit_mptcp};

fn out_of_tree(version: u8) -> MptcpConfig {
    MptcpConfig { version, ..MptcpConfig::new(Profile::LinuxOot) }
}

fn setup(client: MptcpConfig, server: MptcpConfig) -> Setup {
    Setup { client_config: client, server_config: server, ..Setup::default() }
}

fn versions(pair: &Pair) -> Vec<u8> {
    let number = |option| match option {
        MpOption::Capable { version, .. } => Some(version),
        _ => None,
    };
    pair.log
        .iter()
        .flat_map(|line| line.segment().options.mptcp().filter_map(number).collect::<Vec<_>>())
        .collect()
}

#[test]
fn the_highest_common_version_is_spoken() {
    // CAP-09, CAP-10
    let upstream = MptcpConfig::new(Profile::LinuxUpstream);
    for (client, server, mode, seen) in [
        (out_of_tree(0), out_of_tree(0), Mode::Multipath, &[0, 0, 0][..]),
        (out_of_tree(1), out_of_tree(1), Mode::Multipath, &[1, 1, 1]),
        (out_of_tree(1), out_of_tree(0), Mode::Multipath, &[1, 0, 0]),
        (out_of_tree(0), out_of_tree(1), Mode::Multipath, &[0, 0, 0]),
        (upstream.clone(), out_of_tree(0), Mode::Plain, &[1, 0]),
        (out_of_tree(0), upstream, Mode::Plain, &[0]),
    ] {
        let mut pair = Pair::new(&setup(client, server));
        pair.run_ms(25);
        pair.send(50_000);
        pair.run_ms(500);
        assert_eq!(versions(&pair), seen);
        assert_eq!((pair.connection().mode(), pair.server_connection().mode()), (mode, mode), "{seen:?}");
        assert_eq!(pair.read, 50_000);
        assert_eq!(pair.server_connection().integrity().corrupted, 0);
        let joined = pair.connection().subflows().get(1).is_some_and(|subflow| subflow.info().established);
        assert_eq!(joined, mode == Mode::Multipath, "{seen:?}");
    }
}

#[test]
fn every_segment_has_a_mapping_and_a_checksum_of_its_own() {
    // TCP-03, DSS-06, DSS-13, DSS-19, TIME-16; layouts of reference case o1-half-close
    let mut pair = Pair::new(&setup(out_of_tree(0), out_of_tree(0)));
    pair.run_ms(25);
    pair.send(100_000);
    pair.run_ms(500);
    let data: Vec<_> = pair.log.iter().filter(|line| !line.segment().payload.is_empty()).collect();
    assert!(data.iter().any(|line| line.segment().payload.len() == 1428));
    for line in data {
        let segment = line.segment();
        let options: Vec<_> = segment.options.mptcp().collect();
        let [MpOption::Dss(dss)] = &options[..] else { panic!("{}", line.short()) };
        let mapping = dss.mapping.expect("a mapping");
        assert_eq!((u32::from(mapping.len), dss.wire_len()), (segment.payload.len(), 20));
        assert!(mapping.checksum.is_some());
    }
    assert_eq!(pair.server_connection().stats().checksum_errors, 0);
}

#[test]
fn the_handshake_acknowledges_data_and_a_join_ends_with_a_pure_ack() {
    // CLOSE-19, CAP-01, JOIN-01, JOIN-05, CLOSE-01, CLOSE-04; reference case o1-echo-client-close-csum1
    let mut pair = Pair::new(&setup(out_of_tree(0), out_of_tree(0)));
    pair.delay[1] = sim_core::Duration::from_millis(20);
    pair.run_ms(25);
    pair.send(5);
    pair.run_ms(200);
    let from = pair.log.len();
    assert_eq!(
        pair.story(0),
        [
            "c0 S MP_CAPABLE12",
            "s0 S. MP_CAPABLE12",
            "c0 . MP_CAPABLE20 DSS8",
            "c0 P. 5 DSS20",
            "s0 . DSS8",
            "c1 S MP_JOIN12",
            "s1 S. MP_JOIN16",
            "c1 . MP_JOIN24",
            "s1 . DSS8",
        ]
    );
    let now = pair.now;
    pair.client.close(now, pair.socket);
    pair.run_ms(100);
    let accepted = pair.accepted.expect("accepted");
    let now = pair.now;
    pair.server.close(now, accepted);
    pair.run_ms(300);
    let story = pair.story(from);
    assert_eq!(story[0], "c0 F. DSS20F", "{story:?}");
    assert_eq!(story[1], "s0 . DSS8");
    assert_eq!(story[2], "c1 F. DSS8", "the other subflow once the DATA_FIN is acknowledged");
    assert!(story.iter().any(|line| line == "s0 F. DSS20F"), "{story:?}");
    assert_eq!(story.iter().filter(|line| line.contains("F. ")).count(), 4, "{story:?}");
    assert!(pair.connection().is_closed() && pair.server_connection().is_closed(), "{story:?}");
}

fn with_unread_data() -> (Pair, usize) {
    let mut pair = Pair::new(&setup(out_of_tree(0), out_of_tree(0)));
    pair.server_reads = false;
    pair.run_ms(25);
    pair.send(500);
    pair.run_ms(200);
    let from = pair.log.len();
    let now = pair.now;
    pair.server.close(now, pair.accepted.expect("accepted"));
    (pair, from)
}

#[test]
fn fastclose_travels_on_an_ack_and_is_answered_by_resets() {
    // CLOSE-11, CLOSE-13, FSM-17, FSM-18; reference case o1-fastclose-server
    let (mut pair, from) = with_unread_data();
    pair.run_ms(300);
    let mut story = pair.story(from);
    story.sort();
    assert_eq!(story, ["c0 R. DSS8", "c1 R. DSS8", "s0 . MP_FASTCLOSE12", "s1 R. DSS8"]);
    assert_eq!(pair.connection().error(), Some(SocketError::ConnectionReset));
    assert!(pair.connection().is_finished() && pair.server_connection().is_finished());
}

#[test]
fn a_lost_fastclose_is_repeated_three_times() {
    // CLOSE-11, TIME-14
    let (mut pair, from) = with_unread_data();
    pair.filter = Box::new(|from, _, _| if from == End::Server { Fate::Drop } else { Fate::Pass });
    pair.run_ms(60_000);
    let story = pair.story(from);
    assert_eq!(story.iter().filter(|line| line.contains("MP_FASTCLOSE")).count(), 4, "{story:?}");
    assert_eq!(story.last().map(String::as_str), Some("s0 R. DSS8"));
    assert!(pair.server_connection().is_finished());
}

#[test]
fn a_foreign_key_in_fastclose_changes_nothing() {
    // CLOSE-14, MAL-38
    let (mut pair, _) = with_unread_data();
    pair.filter = Box::new(|_, _, packet| {
        edit_mptcp(packet, |option| match option {
            MpOption::FastClose { .. } => Some(MpOption::FastClose { receiver_key: 1 }),
            other => Some(other.clone()),
        });
        Fate::Pass
    });
    pair.run_ms(100);
    assert_eq!(pair.connection().error(), None);
    assert_eq!(pair.connection().state(), State::Established);
}

#[test]
fn a_priority_with_an_address_id_means_all_subflows_of_that_address() {
    // PRIO-02, MAL-37
    for (version, marked) in [(0, true), (1, false)] {
        let mut pair = Pair::new(&setup(out_of_tree(version), out_of_tree(version)));
        pair.run_ms(25);
        pair.send(1_000);
        pair.run_ms(200);
        pair.filter = Box::new(|_, _, packet| {
            if let Body::Tcp(segment) = &mut packet.body
                && !segment.payload.is_empty()
            {
                // In place of nothing: room is left beside the DSS.
                assert!(segment.options.push_mptcp(&MpOption::Prio { backup: true, address_id: Some(2) }));
            }
            Fate::Pass
        });
        pair.send(100);
        pair.run_ms(100);
        let backup = |index: usize| pair.server_connection().subflows()[index].is_backup();
        assert_eq!((backup(0), backup(1)), (false, marked), "version {version}");
    }
}

#[test]
fn a_join_nobody_knows_gets_a_reset_without_options() {
    // JOIN-08, MAL-11
    let mut pair = Pair::new(&setup(out_of_tree(0), out_of_tree(0)));
    pair.filter = Box::new(|_, _, packet| {
        edit_mptcp(packet, |option| match *option {
            MpOption::JoinSyn { backup, address_id, token, nonce } => {
                Some(MpOption::JoinSyn { backup, address_id, token: token ^ 1, nonce })
            }
            ref other => Some(other.clone()),
        });
        Fate::Pass
    });
    pair.run_ms(25);
    pair.send(100);
    pair.run_ms(100);
    let reset = pair.log.iter().find(|line| line.segment().flags.rst()).expect("a reset");
    let segment = reset.segment();
    assert_eq!(reset.short(), "s1 R.");
    assert_eq!((segment.seq.0, segment.window, segment.options.len()), (0, 0, 0));
}

fn transfer(scheduler: &'static str, path_manager: &'static str) -> Pair {
    let config = out_of_tree(0);
    let mut pair = Pair::new(&Setup { scheduler, path_manager, ..setup(config.clone(), config) });
    pair.run_ms(25);
    pair.send(10);
    pair.run_ms(200);
    pair.send(400_000);
    pair.run_ms(2_000);
    assert_eq!(pair.read, 400_010, "{scheduler} {path_manager}");
    assert_eq!(pair.server_connection().integrity().corrupted, 0);
    pair
}

fn payload_of(pair: &Pair, index: usize) -> u64 {
    pair.connection().subflows()[index].info().flow.stats.bytes_sent
}

#[test]
fn the_mesh_is_joined_from_and_to_every_address() {
    // PM-07, JOIN-25; ids and pairs as in reference case o1-echo-two-by-two
    let pair = transfer("minrtt", "fullmesh");
    let subflows = pair.connection().subflows();
    let pairs: Vec<_> = subflows
        .iter()
        .map(|subflow| {
            let info = subflow.info();
            (info.local.ip().to_string(), info.remote.ip().to_string(), info.local_id)
        })
        .collect();
    assert_eq!(pairs[0], ("10.0.1.1".to_owned(), "10.0.1.2".to_owned(), 0));
    assert!(pairs.contains(&("10.0.2.1".to_owned(), "10.0.2.2".to_owned(), 3)), "{pairs:?}");
    assert_eq!(pairs.len(), 4);
}

#[test]
fn a_lost_address_is_withdrawn_and_answered_by_a_reset() {
    // ADDR-10, ADDR-14, PM-07; reference case o1-addr-down-up
    let mut pair = transfer("minrtt", "fullmesh");
    let from = pair.log.len();
    let now = pair.now;
    let second = mptcp_model::net::InterfaceId(1);
    pair.client.set_interface_up(second, false);
    pair.client.addresses_changed(now);
    pair.run_ms(1_000);
    let story = pair.story(from);
    assert!(story.contains(&"c0 . REMOVE_ADDR4 DSS8".to_owned()), "{story:?}");
    assert!(story.iter().any(|line| line.starts_with("s1 R. DSS8")), "{story:?}");
    let removal =
        pair.log[from..].iter().find(|line| line.short().contains("REMOVE_ADDR")).expect("a removal");
    assert_eq!((removal.at.saturating_since(now)).as_millis(), 500);
    let now = pair.now;
    let from = pair.log.len();
    pair.client.set_interface_up(second, true);
    pair.client.addresses_changed(now);
    pair.run_ms(1_000);
    assert!(pair.story(from).iter().any(|line| line.contains("ADD_ADDR8 DSS8")), "{:?}", pair.story(from));
}

#[test]
fn a_backup_interface_is_announced_by_mp_prio() {
    // PRIO-01, PRIO-07; reference case o1-mp-prio
    let mut pair = transfer("minrtt", "fullmesh");
    let from = pair.log.len();
    let now = pair.now;
    let second = mptcp_model::net::InterfaceId(1);
    pair.client.set_interface_use(now, second, mptcp_model::host::InterfaceUse::Backup);
    pair.run_ms(1_000);
    let prios: Vec<_> = pair.story(from).into_iter().filter(|line| line.contains("MP_PRIO")).collect();
    assert_eq!(prios.len(), 2, "{prios:?}");
    assert!(prios.iter().all(|line| line.ends_with("DSS8 MP_PRIO3")), "{prios:?}");
    let backups = pair.server_connection().subflows().iter().filter(|subflow| subflow.is_backup()).count();
    assert_eq!(backups, 2);
}

#[test]
fn schedulers_differ_in_what_the_second_subflow_carries() {
    // SCHED-02, SCHED-03
    let mut turns = transfer("roundrobin", "kernel");
    // Until it is confirmed the second one takes only what follows (SCHED-04).
    let before = (payload_of(&turns, 0), payload_of(&turns, 1));
    // Within both windows they take turns; beyond, the one that has room is served.
    turns.send(24 * 1428);
    turns.run_ms(1_000);
    let (first, second) = (payload_of(&turns, 0) - before.0, payload_of(&turns, 1) - before.1);
    assert_eq!((first, second), (12 * 1428, 12 * 1428));
    let copied = transfer("redundant", "kernel");
    let duplicates = copied.server_connection().stats().duplicate_bytes;
    assert!(duplicates > 200_000, "{duplicates}");
    assert!(payload_of(&copied, 0) + payload_of(&copied, 1) > 700_000);
}

#[test]
fn a_timeout_sends_what_is_outstanding_on_the_other_subflow() {
    // DSS-24, FSM-39; reference case o5-blackhole-path1
    // Of equally fast subflows the newest is used (SCHED-16).
    let mut pair = transfer("minrtt", "kernel");
    let from = pair.log.len();
    pair.filter = Box::new(|_, wire, _| if wire == 1 { Fate::Drop } else { Fate::Pass });
    pair.send(200_000);
    pair.run_ms(900);
    assert_eq!(pair.read, 600_010, "all arrives on the first path");
    assert!(pair.connection().stats().reinjected_bytes > 0);
    assert_eq!(pair.server_connection().integrity().corrupted, 0);
    assert!(pair.log[from..].iter().any(|line| line.wire == 1 && !line.segment().payload.is_empty()));
}

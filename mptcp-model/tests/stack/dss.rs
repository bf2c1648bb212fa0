//! Mappings and DATA_ACKs of a peer that means well, and of one that does not.

use mptcp_model::config::{MptcpConfig, Profile};
use mptcp_model::crypto;
use mptcp_model::mptcp::{Mode, State};
use mptcp_model::wire::{DataNumber, Dss, DssMapping, MpOption, Payload};

use crate::pair::{Fate, Pair, Setup};
use crate::peer::{Peer, Seg, bare};

fn server() -> Peer {
    Peer::established_server(&bare())
}

/// A server with a second subflow.
fn joined() -> Peer {
    let mut peer = server();
    let data = peer.mapped(0, 10);
    peer.send(data);
    peer.join(1);
    assert_eq!(peer.connection().subflows().len(), 2);
    peer.take();
    peer
}

#[test]
fn data_after_the_first_segment_continues_its_mapping() {
    // DSS-02, DSS-21, DSS-03: the mapping may come once or again
    let mut peer = server();
    let mapping = peer.dss(0, Some((0, 1, 300)));
    peer.send(Seg::ack(0, 1, 1).data(0, 100).with(mapping.clone()));
    let ack = peer.dss(0, None);
    peer.send(Seg::ack(0, 101, 1).data(100, 100).with(ack));
    peer.send(Seg::ack(0, 201, 1).data(200, 100).with(mapping));
    assert_eq!((peer.connection().mode(), peer.verified()), (Mode::Multipath, 300));
    assert!(!peer.story().iter().any(|line| line.contains('R')));
}

#[test]
fn data_that_no_mapping_covers_ends_mptcp_or_the_subflow() {
    // DSS-04, DSS-21, DSS-25, FB-04, MAL-21, MAL-22: none, outside of the segment, number 0, contradicting
    type Case = (&'static str, fn(&Peer, u32) -> Option<MpOption>);
    let unmapped: [Case; 4] = [
        ("none", |peer, _| Some(peer.dss(0, None))),
        ("behind", |peer, at| Some(peer.dss(0, Some((u64::from(at) + 9_000, at + 9_000, 100))))),
        ("zero", |peer, at| Some(peer.dss(0, Some((u64::from(at) - 1, 0, 100))))),
        ("before", |peer, at| Some(peer.dss(0, Some((0, 1, at as u16 - 1))))),
    ];
    for (what, option) in unmapped {
        let mut alone = server();
        let data = alone.mapped(0, 10);
        alone.send(data);
        alone.take();
        let seg = Seg::ack(0, 11, 1).data(10, 100).with(option(&alone, 11).expect("an option"));
        alone.send(seg);
        assert_eq!((alone.connection().mode(), alone.verified()), (Mode::Plain, 110), "{what}");

        let mut two = joined();
        let flow = 1;
        let mapping = two.dss(0, Some((10, 1, 10)));
        two.send(Seg::ack(flow, 1, 1).data(10, 10).with(mapping));
        two.take();
        let seg = Seg::ack(flow, 11, 1).data(20, 100).with(option(&two, 11).expect("an option"));
        two.send(seg);
        // FB-02: never a joined subflow.
        assert_eq!((two.connection().mode(), two.verified()), (Mode::Multipath, 20), "{what}");
        let story = two.story();
        assert!(story.iter().any(|line| line == "1 R. MP_TCPRST4"), "{what}: {story:?}");
        let more = two.dss(0, Some((20, 11, 50)));
        two.send(Seg::ack(0, 11, 1).data(20, 50).with(more));
        assert_eq!(two.verified(), 70, "{what}: the other subflow lives");
    }
}

#[test]
fn another_mapping_of_mapped_data_counts_as_none() {
    // DSS-03, MAL-21
    let mut peer = joined();
    let mapping = peer.dss(0, Some((10, 1, 200)));
    peer.send(Seg::ack(1, 1, 1).data(10, 100).with(mapping));
    peer.take();
    let other = peer.dss(0, Some((500, 101, 100)));
    peer.send(Seg::ack(1, 101, 1).data(500, 100).with(other));
    assert_eq!(peer.verified(), 110);
    assert!(peer.story().iter().any(|line| line == "1 R. MP_TCPRST4"));
}

#[test]
fn data_beyond_the_window_is_acknowledged_on_its_subflow_and_dropped() {
    // DSS-08, MAL-20, FB-15, FB-18
    let mut peer = server();
    let far = peer.dss(0, Some((1_000_000, 1, 100)));
    peer.send(Seg::ack(0, 1, 1).data(1_000_000, 100).with(far));
    assert_eq!(peer.connection().out_of_order_bytes(), 0);
    assert_eq!(peer.connection().stats().out_of_window_bytes, 100);
    let answer = peer.take();
    let last = answer.last().expect("an ACK");
    assert_eq!(last.segment().ack.0, 1101, "the subflow has it");
    assert_eq!(last.dss().data_ack, Some(DataNumber::Long(peer.own_number(0))));
    let right = peer.dss(0, Some((0, 101, 100)));
    peer.send(Seg::ack(0, 101, 1).data(0, 100).with(right));
    assert_eq!((peer.connection().mode(), peer.verified()), (Mode::Multipath, 100));
}

#[test]
fn data_stays_with_the_sender_until_its_data_ack() {
    // DSS-09, DSS-17, DSS-22, TIME-02
    let mut peer = server();
    peer.write(1_000);
    let first = peer.take()[0].clone();
    let nothing = peer.dss(0, None);
    peer.send(Seg::ack(0, 1, 1_001).with(nothing));
    assert_eq!(peer.connection().bytes_acked(), 0);
    peer.take();
    peer.run_ms(10_000);
    let again = peer.take();
    let data: Vec<_> = again.iter().filter(|sent| !sent.segment().payload.is_empty()).collect();
    assert!(!data.is_empty(), "sent again at connection level");
    let waited = data[0].at.saturating_since(first.at).as_millis();
    assert!((200..=1_500).contains(&waited), "{waited} ms");
    let (old, new) = (first.dss().mapping.expect("mapped"), data[0].dss().mapping.expect("mapped"));
    assert_eq!((old.dsn, old.ssn, new.dsn, new.ssn), (new.dsn, 1, old.dsn, 1_001));
    assert!(data[0].segment().payload.same_octets(&first.segment().payload));
    let all = peer.dss(1_000, None);
    peer.send(Seg::ack(0, 1, 2_001).with(all));
    assert_eq!(peer.connection().bytes_acked(), 1_000);
}

#[test]
fn data_acks_of_unsent_and_of_old_data_are_ignored() {
    // DSS-10, MAL-24, MAL-25
    let mut peer = server();
    peer.write(1_000);
    for (ack, acked) in [(2_000, 0), (600, 600), (300, 600), (1_000_000, 600), (1_000, 1_000), (0, 1_000)] {
        let dss = peer.dss(ack, None);
        peer.send(Seg::ack(0, 1, 1_001).with(dss));
        assert_eq!(peer.connection().bytes_acked(), acked, "DATA_ACK {ack}");
    }
    assert_eq!(peer.connection().mode(), Mode::Multipath);
}

#[test]
fn the_edge_of_the_window_never_moves_left() {
    // DSS-12, WND-07
    let mut peer = joined();
    let dss = peer.dss(0, None);
    peer.send(Seg::ack(0, 11, 1).window(50_000).with(dss.clone()));
    let before = peer.connection().info().send_window;
    assert!(before >= 50_000, "{before}");
    peer.send(Seg::ack(1, 1, 1).window(1_000).with(dss));
    assert_eq!(peer.connection().info().send_window, before);
    // The subflow with the smaller window still obeys that one.
    peer.write(40_000);
    let sent = peer.take();
    let in_flight = |flow: usize| -> u32 {
        sent.iter().filter(|sent| sent.flow == flow).map(|sent| sent.segment().payload.len()).sum()
    };
    assert!(in_flight(1) <= 1_000 && in_flight(0) > 5_000, "{} {}", in_flight(0), in_flight(1));
}

#[test]
fn no_more_than_the_window_of_the_connection_is_sent() {
    // WND-07, INV-04: the subflows acknowledge everything, the connection nothing
    let mut peer = server();
    let (now, id) = (peer.now, peer.id());
    peer.host.write(now, id, 500_000).unwrap();
    peer.flush();
    for _ in 0..200 {
        let mut high = peer.sent.iter().filter(|sent| !sent.segment().payload.is_empty()).map(|sent| {
            let mapping = sent.dss().mapping.expect("mapped");
            let segment = sent.segment();
            (mapping, segment.seq, segment.payload.len())
        });
        let (_, seq, len) = high.next_back().expect("data");
        let next = seq.wrapping_add(len).distance_from(peer.first_of_host(0));
        let nothing = peer.dss(0, None);
        peer.send(Seg::ack(0, 1, next).window(20_000).with(nothing));
    }
    let base = peer.host_number(0);
    let furthest = peer
        .sent
        .iter()
        .filter(|sent| !sent.segment().payload.is_empty())
        .map(|sent| {
            let mapping = sent.dss().mapping.expect("mapped");
            mapping.dsn.expand(base).wrapping_sub(base) + u64::from(mapping.len)
        })
        .max();
    // The window was 60000 at first and never granted more.
    assert!(furthest.is_some_and(|end| end > 15_000 && end <= 60_000), "{furthest:?}");
}

fn checked() -> Setup {
    let mut setup = bare();
    setup.server_config.checksum = true;
    setup
}

fn with_checksum(peer: &Peer, map: (u64, u32, u16), payload: &Payload, wrong: bool) -> MpOption {
    let MpOption::Dss(dss) = peer.dss(0, Some(map)) else { unreachable!() };
    let mapping = dss.mapping.map(|mapping| {
        let sum = crypto::dss_checksum(peer.own_number(map.0), map.1, map.2, payload.sum());
        DssMapping { checksum: Some(sum ^ u16::from(wrong)), ..mapping }
    });
    MpOption::Dss(Dss { mapping, ..dss })
}

#[test]
fn a_checked_mapping_is_delivered_when_it_is_whole_and_right() {
    // DSS-14, DSS-16, FB-08, FSM-20
    let mut peer = Peer::established_server(&checked());
    let whole = Payload::pattern(5, 0, 200);
    let option = with_checksum(&peer, (0, 1, 200), &whole, false);
    peer.send(Seg::ack(0, 1, 1).data(0, 150).with(option.clone()));
    assert_eq!(peer.connection().readable_bytes(), 0, "the rest is missing");
    peer.send(Seg::ack(0, 151, 1).data(150, 50).with(option));
    assert_eq!(peer.connection().readable_bytes(), 200);
    peer.take();
    let bad = with_checksum(&peer, (200, 201, 100), &Payload::pattern(5, 200, 100), true);
    peer.send(Seg::ack(0, 201, 1).data(200, 100).with(bad));
    assert_eq!(peer.connection().readable_bytes(), 200);
    let story = peer.story();
    assert!(story.iter().any(|line| line.contains("MP_FAIL12")), "{story:?}");
    assert_eq!(peer.connection().stats().checksum_errors, 1);
}

#[test]
fn a_checksum_against_the_negotiation_resets_the_subflow() {
    // DSS-15, MAL-29
    let payload = Payload::pattern(5, 0, 100);
    for negotiated in [true, false] {
        let setup = if negotiated { checked() } else { bare() };
        let mut peer = Peer::established_server(&setup);
        let option = match negotiated {
            true => peer.dss(0, Some((0, 1, 100))),
            false => with_checksum(&peer, (0, 1, 100), &payload, false),
        };
        peer.send(Seg::ack(0, 1, 1).data(0, 100).with(option));
        assert!(peer.story().contains(&"0 R. MP_TCPRST4".to_owned()), "negotiated {negotiated}");
        assert_eq!(peer.verified(), 0);
    }
}

#[test]
fn a_data_fin_is_one_octet_of_the_length() {
    // DSS-18, DSS-20, CLOSE-02, FSM-09
    let mut peer = server();
    let MpOption::Dss(dss) = peer.dss(0, Some((0, 1, 101))) else { unreachable!() };
    let with_fin = MpOption::Dss(Dss { data_fin: true, ..dss });
    peer.send(Seg::ack(0, 1, 1).data(0, 100).with(with_fin));
    assert_eq!((peer.connection().state(), peer.verified()), (State::CloseWait, 100));
    let ack = peer.sent.last().expect("an ACK").dss();
    assert_eq!(ack.data_ack, Some(DataNumber::Long(peer.own_number(101))));
    assert_eq!(peer.read(), 100);
    let end = peer.host.read(peer.now, peer.id(), 10).expect("readable");
    assert!(end.end);
    // The stack's own goes with the last data, or has length 1 and number 0 alone: DSS-19.
    let id = peer.id();
    peer.take();
    peer.host.write(peer.now, id, 50).unwrap();
    peer.shutdown();
    let fins: Vec<_> =
        peer.take().iter().filter(|sent| sent.dss().data_fin).map(super::peer::Sent::dss).collect();
    let mapping = fins[0].mapping.expect("a mapping");
    assert_eq!((mapping.ssn, mapping.len), (0, 1));
    assert_eq!(mapping.dsn, DataNumber::Long(peer.host_number(50)));
}

#[test]
fn data_sent_again_after_the_close_brings_the_data_fin() {
    // DSS-18, DSS-20, CLOSE-02
    let mut peer = server();
    peer.write(100);
    peer.shutdown();
    peer.take();
    peer.run_ms(2_000);
    let sent = peer.take();
    let again = sent.iter().find(|sent| !sent.segment().payload.is_empty()).expect("a retransmission").dss();
    let mapping = again.mapping.expect("mapped");
    assert_eq!(
        (again.data_fin, mapping.len, mapping.dsn),
        (true, 101, DataNumber::Long(peer.host_number(0)))
    );
}

#[test]
fn a_data_fin_waits_for_what_precedes_it_and_the_first_one_counts() {
    // FSM-21, MAL-26, MAL-27
    let mut peer = server();
    let early = peer.data_fin(0, 100);
    peer.send(Seg::ack(0, 1, 1).with(early));
    assert_eq!(peer.connection().state(), State::Established);
    let other = peer.data_fin(0, 40);
    peer.send(Seg::ack(0, 1, 1).with(other));
    let beyond = peer.dss(0, Some((100, 1, 50)));
    peer.send(Seg::ack(0, 1, 1).data(100, 50).with(beyond));
    assert_eq!(peer.connection().stats().out_of_window_bytes, 50, "nothing follows the end");
    let data = peer.dss(0, Some((0, 51, 100)));
    peer.send(Seg::ack(0, 51, 1).data(0, 100).with(data));
    assert_eq!((peer.connection().state(), peer.verified()), (State::CloseWait, 100));
    let ack = peer.sent.last().expect("an ACK").dss();
    assert_eq!(ack.data_ack, Some(DataNumber::Long(peer.own_number(101))));
}

#[test]
fn old_data_is_acknowledged_again_and_of_two_contents_the_first_counts() {
    // MAL-19, MAL-23, DSS-07
    let mut peer = joined();
    let mapping = peer.dss(0, Some((10, 11, 90)));
    peer.send(Seg::ack(0, 11, 1).data(10, 90).with(mapping));
    assert_eq!(peer.verified(), 100);
    peer.take();
    let again = peer.dss(0, Some((10, 1, 90)));
    peer.send(Seg::ack(1, 1, 1).data(777, 90).with(again));
    peer.run_ms(300);
    assert_eq!((peer.verified(), peer.connection().stats().duplicate_bytes), (100, 90));
    let answer = peer.take();
    assert_eq!(answer.last().expect("an ACK").segment().ack.0, 1091);
    // MBOX-30: what fills a hole first is taken, and the forgery is noticed by content alone.
    let forged = peer.dss(0, Some((100, 91, 10)));
    peer.send(Seg::ack(1, 91, 1).data(5_000, 10).with(forged));
    let right = peer.dss(0, Some((100, 101, 10)));
    peer.send(Seg::ack(0, 101, 1).data(100, 10).with(right));
    assert_eq!(peer.connection().integrity().corrupted, 10);
    assert_eq!(peer.read(), 110);
}

#[test]
fn every_established_segment_has_a_data_ack() {
    // DSS-11
    let mut pair = Pair::new(&Setup::default());
    pair.run_ms(25);
    pair.send(5);
    pair.run_ms(200);
    let from = pair.log.len();
    let mut count = 0;
    pair.filter = Box::new(move |_, _, packet| {
        count += 1;
        if count % 20 == 0 && packet.wire_len() > 500 { Fate::Drop } else { Fate::Pass }
    });
    pair.send(500_000);
    pair.run_ms(5_000);
    let lines = &pair.log[from..];
    assert!(lines.len() > 500);
    for line in lines {
        let dss = line.segment().options.parse_all().dss;
        assert!(dss.is_some_and(|dss| dss.data_ack.is_some()), "{}", line.short());
    }
}

#[test]
fn every_octet_is_covered_by_the_mapping_of_its_segment() {
    // DSS-01, DSS-17, DSS-27, WIRE-40: also when lost data is sent again, on the same subflow or another
    for scheduler in ["default", "redundant"] {
        let mut pair = Pair::new(&Setup { scheduler, ..Setup::default() });
        pair.run_ms(25);
        pair.send(5);
        pair.run_ms(200);
        let from = pair.log.len();
        let mut count = 0;
        pair.filter = Box::new(move |_, wire, packet| {
            count += 1;
            let dead = wire == 0 && (300..900).contains(&count);
            if dead || (count % 17 == 0 && packet.wire_len() > 500) { Fate::Drop } else { Fate::Pass }
        });
        pair.send(1_000_000);
        pair.run_ms(30_000);
        assert_eq!(pair.read, 1_000_005, "{scheduler}");
        let client = pair.connection();
        assert!(client.stats().reinjected_bytes > 0 || scheduler == "redundant");
        let (base, mut checked) = (pair.data_base(), 0);
        let irs: Vec<_> = (0..2)
            .map(|wire| {
                let syn = pair.log.iter().find(|line| line.wire == wire && line.segment().flags.syn());
                syn.expect("a SYN").segment().seq
            })
            .collect();
        for line in pair.log[from..].iter().filter(|line| !line.segment().payload.is_empty()) {
            let segment = line.segment();
            let mapping = segment.options.parse_all().dss.and_then(|dss| dss.mapping).expect("mapped");
            let offset = segment.seq.distance_from(irs[line.wire]);
            let skipped = offset.wrapping_sub(mapping.ssn);
            assert!(skipped + segment.payload.len() <= u32::from(mapping.len), "{}", line.short());
            let position = mapping.dsn.expand(base).wrapping_sub(base) + u64::from(skipped);
            let expected = Payload::pattern(99, position, segment.payload.len());
            assert!(segment.payload.same_octets(&expected), "{}", line.short());
            checked += 1;
        }
        assert!(checked > 700, "{checked}");
    }
}

#[test]
fn more_than_four_gibibytes_pass_over_one_subflow() {
    // DSS-28, TCP-31
    let mut setup = Setup { wires: 1, mtu: 65_535, ..Setup::default() };
    setup.tcp.rmem = [4096, 20_000_000, 20_000_000];
    setup.tcp.wmem = [4096, 20_000_000, 20_000_000];
    let mut pair = Pair::new(&setup);
    pair.run_ms(25);
    let total = (1 << 32) + 3_000_000;
    let mut sent = 0;
    while sent < total {
        let now = pair.now;
        sent += pair.client.write(now, pair.socket, (total - sent).min(10_000_000)).expect("writable");
        pair.run_ms(20);
        // What was seen need not be kept.
        pair.log.clear();
    }
    pair.run_ms(1_000);
    assert_eq!((pair.read, pair.server_connection().integrity().corrupted), (total, 0));
    assert_eq!(pair.connection().mode(), Mode::Multipath);
    assert_eq!(pair.connection().subflows()[0].info().flow.stats.bytes_sent, total);
}

#[test]
fn both_subflows_advertise_the_free_space_of_the_connection() {
    // WND-01
    let mut peer = joined();
    let mut windows = [0; 2];
    let mut at = 10;
    let mut next = [11, 1];
    for round in 0..12 {
        let flow = round % 2;
        let mapping = peer.dss(0, Some((at, next[flow], 1_400)));
        peer.send(Seg::ack(flow, next[flow], 1).data(at, 1_400).with(mapping));
        peer.run_ms(300);
        at += 1_400;
        next[flow] += 1_400;
        let sent = peer.take();
        windows[flow] = sent.iter().rev().find(|sent| sent.flow == flow).expect("an ACK").segment().window;
    }
    assert_eq!(peer.verified(), 16_810);
    // Nothing was read: each tells of what came on either.
    assert!(windows[0].abs_diff(windows[1]) <= 1_400, "{windows:?}");
    assert!(windows.iter().all(|&window| window < 65_535 - 12_000), "{windows:?}");
}

#[test]
fn the_send_buffer_is_that_of_all_subflows() {
    // WND-05
    let accepted = |peer: &mut Peer| peer.host.write(peer.now, peer.id(), 10_000_000).expect("writable");
    let polls = |peer: &mut Peer| peer.host.poll_writable(peer.id()).expect("a connection");
    let mut alone = server();
    assert!(polls(&mut alone));
    let first = accepted(&mut alone);
    let mut two = joined();
    let both = accepted(&mut two);
    // Linux 6.18 tells of `SO_SNDBUF` 50176 with one subflow and 96256 with two; fragments hold 32728 octets.
    assert_eq!((first, both), (2 * 32_728, 3 * 32_728));
    assert!(!polls(&mut alone) && !polls(&mut two), "less than a third is free");
}

#[test]
fn a_new_number_of_32_or_64_bits_is_answered_in_kind() {
    // DSS-05, DSS-06
    let mut peer = server();
    let MpOption::Dss(long) = peer.dss(0, Some((0, 1, 100))) else { unreachable!() };
    let short = |position: u64, peer: &Peer| DataNumber::Short(peer.own_number(position) as u32);
    peer.send(Seg::ack(0, 1, 1).data(0, 100).with(MpOption::Dss(long)));
    assert_eq!(
        peer.sent.last().expect("an ACK").dss().data_ack,
        Some(DataNumber::Long(peer.own_number(100)))
    );
    let mapping = DssMapping { dsn: short(100, &peer), ssn: 101, len: 100, checksum: None };
    let option = MpOption::Dss(Dss { mapping: Some(mapping), ..long });
    peer.send(Seg::ack(0, 101, 1).data(100, 100).with(option));
    assert_eq!(peer.sent.last().expect("an ACK").dss().data_ack, Some(short(200, &peer)));
}

#[test]
fn out_of_tree_sends_32_bits_whatever_comes() {
    // DSS-06
    let config = MptcpConfig { checksum: false, version: 1, ..MptcpConfig::new(Profile::LinuxOot) };
    let setup = Setup { server_config: config, ..bare() };
    let mut peer = Peer::established_server(&setup);
    let data = peer.mapped(0, 100);
    peer.send(data);
    let ack = peer.sent.last().expect("an ACK").dss().data_ack;
    assert_eq!(ack, Some(DataNumber::Short(peer.own_number(100) as u32)));
}

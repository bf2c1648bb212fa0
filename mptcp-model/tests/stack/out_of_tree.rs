//! How the out-of-tree kernel sends and receives at connection level: reinjection, opportunistic
//! retransmission, Nagle's algorithm, the shared window.

use mptcp_model::config::{MptcpConfig, Profile, TcpConfig};
use mptcp_model::wire::{Body, DataNumber, Dss, MpOption};
use sim_core::Duration;

use crate::pair::{End, Fate, Line, Pair, Setup, edit_mptcp};

fn setup() -> Setup {
    Setup {
        client_config: MptcpConfig::new(Profile::LinuxOot),
        server_config: MptcpConfig::new(Profile::LinuxOot),
        tcp: TcpConfig { timer_tick: None, ..TcpConfig::new(Profile::LinuxOot) },
        scheduler: "minrtt",
        ..Setup::default()
    }
}

/// Two subflows, the second with `slow` milliseconds one way instead of 10.
fn joined(setup: &Setup, slow: u64) -> Pair {
    let mut pair = Pair::new(setup);
    for delay in &mut pair.delay[1..] {
        *delay = Duration::from_millis(slow);
    }
    pair.run_ms(25);
    pair.send(5);
    pair.run_ms(1000);
    // The second subflow is confirmed by data of its own.
    pair.send(40_000);
    pair.run_ms(3000);
    assert_eq!(pair.read, 40_005);
    pair
}

fn data(pair: &Pair, from: usize, wire: usize) -> Vec<&Line> {
    let sent =
        |line: &&Line| line.from == End::Client && line.wire == wire && !line.segment().payload.is_empty();
    pair.log[from..].iter().filter(sent).collect()
}

fn dsn(line: &Line) -> u64 {
    let mapping = line.segment().options.mptcp().find_map(|option| match option {
        MpOption::Dss(dss) => dss.mapping,
        _ => None,
    });
    match mapping.expect("a mapping").dsn {
        DataNumber::Short(number) => u64::from(number),
        DataNumber::Long(number) => number,
    }
}

#[test]
fn a_timeout_hands_what_a_subflow_holds_to_the_other_and_leaves_it_alone() {
    // DSS-24, SCHED-03; reference case o5-blackhole-path1
    let mut pair = joined(&setup(), 30);
    let from = pair.log.len();
    pair.filter = Box::new(|_, wire, _| if wire == 0 { Fate::Drop } else { Fate::Pass });
    pair.send(10_000);
    pair.run_ms(150);
    assert!(data(&pair, from, 1).is_empty(), "all of it left on the faster subflow");
    pair.run_ms(400);
    assert_eq!(pair.read, 50_005, "the other one brought it after the timeout");
    let failed = data(&pair, from, 0).len();
    pair.send(5000);
    pair.run_ms(100);
    assert_eq!(pair.read, 55_005);
    assert_eq!(data(&pair, from, 0).len(), failed, "nothing for a path that is potentially failed");
    pair.filter = Box::new(|_, _, _| Fate::Pass);
    pair.run_ms(2000);
    let healed = pair.log.len();
    pair.send(5000);
    pair.run_ms(100);
    assert_eq!(data(&pair, healed, 0).len(), 4, "an ACK made it good again");
    assert_eq!(pair.server_connection().integrity().corrupted, 0);
}

/// Segments that a transfer through a narrow window repeated on the fast subflow, and the least window of the slow one.
fn overtaken(opportunistic: bool) -> (u64, u32) {
    let mut setup = setup();
    // Eight segments on the fast one and four on the other close the window.
    setup.tcp.rmem = [4096, 40_000, 40_000];
    setup.tcp.cwnd_clamp = 8;
    setup.client_config.opportunistic_retransmission = opportunistic;
    setup.client_config.penalisation = opportunistic;
    let mut pair = joined(&setup, 100);
    let from = pair.log.len();
    pair.send(400_000);
    let mut least = u32::MAX;
    for _ in 0..500 {
        pair.run_ms(10);
        least = least.min(pair.connection().subflows()[1].info().flow.cwnd);
    }
    assert_eq!(pair.read, 440_005);
    let slow: Vec<u64> = data(&pair, from, 1).into_iter().map(dsn).collect();
    let both = data(&pair, from, 0).into_iter().filter(|line| slow.contains(&dsn(line))).count();
    (both as u64, least)
}

#[test]
fn the_oldest_segment_overtakes_on_a_much_faster_subflow_when_the_window_is_closed() {
    // SCHED-05, SCHED-06
    let (with, penalised) = overtaken(true);
    let (without, left_alone) = overtaken(false);
    assert!(with > 0, "{with}");
    assert_eq!(without, 0);
    assert!(penalised < left_alone, "{penalised} {left_alone}");
}

/// Segments that leave on the second subflow before its first acknowledgment, by the times they leave at.
fn first_flights(scheduler: &'static str) -> Vec<usize> {
    let mut pair = Pair::new(&Setup { scheduler, ..setup() });
    pair.delay[1] = Duration::from_millis(20);
    pair.run_ms(25);
    pair.send(3_000_000);
    pair.run_ms(200);
    let acked = |line: &&Line| {
        line.from == End::Server
            && line.wire == 1
            && line.segment().payload.is_empty()
            && line.segment().ack.0 != 0
    };
    let sent = data(&pair, 0, 1);
    let first = sent.first().map(|line| line.at).expect("data on the second subflow");
    let back =
        pair.log.iter().filter(acked).map(|line| line.at).find(|&at| at >= first + Duration::from_millis(20));
    let end = back.map_or(first, |at| at);
    let mut flights: Vec<(sim_core::Instant, usize)> = Vec::new();
    for line in sent.into_iter().filter(|line| line.at < end) {
        match flights.last_mut() {
            Some((at, count)) if *at == line.at => *count += 1,
            _ => flights.push((line.at, 1)),
        }
    }
    flights.into_iter().map(|(_, count)| count).collect()
}

#[test]
fn a_push_fills_half_the_room_of_a_new_subflow() {
    // Reference cases o2-bulk-olia and o4-roundrobin-3m
    assert_eq!(first_flights("minrtt")[0], 5 + 3, "an ACK of the other subflow comes at the same moment");
    assert!(first_flights("roundrobin")[0] >= 10);
}

#[test]
fn a_small_segment_waits_for_the_one_before_it_on_whatever_subflow() {
    // TCP-14
    let mut pair = joined(&setup(), 30);
    let from = pair.log.len();
    for len in [1000, 300, 400] {
        pair.send(len);
    }
    pair.run_ms(5);
    assert_eq!(data(&pair, from, 0).len() + data(&pair, from, 1).len(), 1);
    pair.run_ms(60);
    let sizes: Vec<u32> = data(&pair, from, 0).iter().map(|line| line.segment().payload.len()).collect();
    assert_eq!(sizes, [1000, 700]);
}

#[test]
fn an_idle_subflow_keeps_its_window() {
    // TCP-12; reference case o1-mp-prio
    let mut pair = joined(&setup(), 30);
    pair.run_ms(5000);
    let from = pair.log.len();
    pair.send(20_000);
    let at_once = data(&pair, from, 0).len();
    assert_eq!(at_once, 15);
}

#[test]
fn the_window_grows_by_an_initial_one_with_each_subflow() {
    // WND-01, TCP-04, TCP-24; the figures of the reference cases
    let mut pair = Pair::new(&Setup { wires: 4, ..setup() });
    pair.run_ms(25);
    pair.send(5);
    pair.run_ms(300);
    let mut client: Vec<u16> = Vec::new();
    for line in &pair.log {
        let segment = line.segment();
        if line.from == End::Client && !segment.flags.syn() {
            client.push(segment.window);
        }
    }
    client.sort_unstable();
    client.dedup();
    assert_eq!(client, [502, 1002, 1503, 2004]);
    let answer =
        pair.log.iter().filter(|line| line.from == End::Server).map(|line| line.segment().window).nth(1);
    assert_eq!(answer, Some(502));
}

#[test]
fn the_window_stays_a_segment_below_half_of_the_buffer_until_more_is_read_in_a_round_trip() {
    // TCP-24, WND-04; reference case o0-mptcp-one-subflow-reno
    let mut pair = Pair::new(&Setup { wires: 1, ..setup() });
    pair.run_ms(25);
    pair.send(100_000);
    pair.run_ms(1000);
    assert_eq!(pair.read, 100_000);
    let last = pair.log.iter().rfind(|line| line.from == End::Server).expect("an ACK");
    assert_eq!(u64::from(last.segment().window) << 7, 64_128);
}

#[test]
fn the_data_fin_is_answered_where_it_came() {
    // SCHED-07; reference case o5-ndiffports2-echo
    let mut pair = joined(&setup(), 30);
    let accepted = pair.accepted.expect("accepted");
    // The server finds the first subflow slow, the client does not.
    pair.delay[0] = Duration::from_millis(200);
    for _ in 0..4 {
        let now = pair.now;
        let written = pair.server.write(now, accepted, 20_000);
        assert_eq!(written, Ok(20_000));
        pair.run_ms(2000);
    }
    pair.delay[0] = Duration::from_millis(10);
    let from = pair.log.len();
    let now = pair.now;
    pair.client.close(now, pair.socket);
    pair.run_ms(200);
    let now = pair.now;
    pair.server.close(now, accepted);
    pair.run_ms(500);
    let carriers: Vec<(End, usize)> = pair.log[from..]
        .iter()
        .filter(|line| line.short().ends_with("DSS20F"))
        .map(|line| (line.from, line.wire))
        .collect();
    assert_eq!(carriers, [(End::Client, 0), (End::Server, 0)]);
}

#[test]
fn a_timeout_of_the_connection_sends_the_oldest_segment_on_another_subflow() {
    // DSS-22, TIME-02: the octets are acknowledged on the subflow, the data is not.
    let mut pair = joined(&setup(), 30);
    let from = pair.log.len();
    let mut first = None;
    pair.filter = Box::new(move |end, _, packet| {
        if let (End::Server, Body::Tcp(segment)) = (end, &packet.body) {
            let seen = segment.options.mptcp().find_map(|option| match option {
                MpOption::Dss(dss) => dss.data_ack,
                _ => None,
            });
            first = first.or(seen);
            let old = first;
            edit_mptcp(packet, |option| match option {
                MpOption::Dss(dss) => Some(MpOption::Dss(Dss { data_ack: old, ..*dss })),
                other => Some(other.clone()),
            });
        }
        Fate::Pass
    });
    // The first DATA_ACK seen covers the first of these only.
    pair.send(1428);
    pair.run_ms(30);
    pair.send(3 * 1428);
    pair.run_ms(2 * 200);
    assert!(data(&pair, from, 1).is_empty(), "twice the longest timeout of a subflow");
    pair.run_ms(400);
    let oldest = dsn(data(&pair, from, 0)[1]);
    let again: Vec<u64> = data(&pair, from, 1).into_iter().map(dsn).collect();
    assert_eq!(again, [oldest]);
}

#[test]
fn a_data_ack_sends_before_the_acknowledgment_beside_it_finds_a_loss() {
    // TCP-05; reference case o2-loss-reno: new data leaves with the third duplicate, then the retransmission, which
    // RACK takes for the earlier of the two and sends once more when the new data is reported.
    let mut pair = Pair::new(&Setup { wires: 1, ..setup() });
    pair.run_ms(25);
    pair.send(5);
    pair.run_ms(300);
    let from = pair.log.len();
    let mut count = 0;
    pair.filter = Box::new(move |from, _, packet| {
        let data = from == End::Client && packet.wire_len() > 1000;
        count += usize::from(data);
        if data && count == 4 { Fate::Drop } else { Fate::Pass }
    });
    pair.send(60_000);
    pair.run_ms(2000);
    assert_eq!(pair.read, 60_005);
    let sent: Vec<(u64, u64)> = data(&pair, from, 0)
        .iter()
        .map(|line| ((line.at - pair.log[from].at).as_millis(), dsn(line)))
        .collect();
    let lost = sent[3].1;
    let again: Vec<usize> = (4..sent.len()).filter(|&at| sent[at].1 == lost).collect();
    assert_eq!(again.len(), 2, "{sent:?}");
    let (first, second) = (again[0], again[1]);
    assert_eq!((sent[first].0, sent[second].0), (20, 40));
    assert!(sent[first - 1].0 == 20 && sent[first - 1].1 > lost, "new data first: {sent:?}");
    let stats = *pair.connection().subflows()[0].flow.stats();
    assert_eq!((stats.retransmitted, stats.recoveries, stats.dsacks), (2, 1, 1));
}

//! The TCP underneath, in plain connections.

use sim_core::Duration;

use crate::pair::{End, Fate, Pair, Setup};

fn plain() -> Pair {
    let setup = Setup { wires: 1, mptcp_client: false, mptcp_server: false, ..Setup::default() };
    let mut pair = Pair::new(&setup);
    pair.run_ms(25);
    pair
}

fn data_times(pair: &Pair, from: usize) -> Vec<(u64, u32)> {
    let zero = pair.log[from].at;
    pair.log[from..]
        .iter()
        .filter(|line| line.from == End::Client && !line.segment().payload.is_empty())
        .map(|line| ((line.at - zero).as_nanos() / 1_000_000, line.segment().seq.0))
        .collect()
}

#[test]
fn the_initial_window_is_ten_segments() {
    // TCP-12
    let mut pair = plain();
    let from = pair.log.len();
    pair.send(40_000);
    assert_eq!(pair.log.len() - from, 10);
}

#[test]
fn one_lost_segment_is_retransmitted_once_within_a_round_trip() {
    // TCP-05, TCP-06, TCP-11
    let mut pair = plain();
    let from = pair.log.len();
    let mut count = 0;
    pair.filter = Box::new(move |from, _, packet| {
        count += usize::from(from == End::Client && packet.wire_len() > 100);
        if count == 3 && from == End::Client {
            count += 1;
            Fate::Drop
        } else {
            Fate::Pass
        }
    });
    pair.send(100_000);
    pair.run_ms(2_000);
    assert_eq!(pair.read, 100_000);
    let stats = *pair.connection().subflows()[0].flow.stats();
    assert_eq!((stats.retransmitted, stats.timeouts, stats.recoveries), (1, 0, 1));
    let times = data_times(&pair, from);
    let lost = times[2].1;
    let sent: Vec<u64> = times.iter().filter(|(_, seq)| *seq == lost).map(|&(at, _)| at).collect();
    assert_eq!(sent, [0, 20]);
}

#[test]
fn a_lost_tail_is_probed_before_the_timeout() {
    // TCP-06: the probe leaves two smoothed round trips after the last segment (RFC 8985, section 7).
    let mut pair = plain();
    let from = pair.log.len();
    let mut count = 0;
    pair.filter = Box::new(move |from, _, packet| {
        let data = from == End::Client && packet.wire_len() > 100;
        count += usize::from(data);
        if data && (count == 5 || count == 6) { Fate::Drop } else { Fate::Pass }
    });
    pair.send(6 * 1448);
    pair.run_ms(2_000);
    assert_eq!(pair.read, 6 * 1448);
    let stats = *pair.connection().subflows()[0].flow.stats();
    assert_eq!((stats.loss_probes, stats.timeouts), (1, 0));
    let times = data_times(&pair, from);
    assert!(times[6].0 > 40 && times[6].0 < 70, "{times:?}");
}

#[test]
fn timeouts_double_until_the_peer_answers() {
    // TCP-08
    let mut pair = plain();
    let from = pair.log.len();
    pair.filter = Box::new(|from, _, _| if from == End::Client { Fate::Drop } else { Fate::Pass });
    pair.send(1000);
    pair.run_ms(7_000);
    let times: Vec<u64> = data_times(&pair, from).iter().map(|&(at, _)| at).collect();
    // The tail probe is bounded by the RTO of 220 ms, from which the timer then runs.
    assert_eq!(times, [0, 220, 440, 880, 1760, 3520]);
    pair.filter = Box::new(|_, _, _| Fate::Pass);
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.read, 1000);
}

#[test]
fn a_receiver_that_does_not_read_closes_the_window_and_probes_find_it_open() {
    // TCP-15, WND-06, INV-04
    let mut pair = plain();
    pair.server_reads = false;
    let mut accepted = 0;
    for _ in 0..40 {
        let now = pair.now;
        accepted += pair.client.write(now, pair.socket, 1_000_000).unwrap();
        pair.run_ms(100);
    }
    assert!(accepted < 1_000_000, "the send buffer is finite");
    let held = pair.server_connection().readable_bytes();
    assert!(held > 30_000 && held < 200_000, "{held}");
    // The probe repeats the last octet acknowledged; its answer still says that the window is closed.
    let silent = pair.log.iter().rev().take_while(|line| line.segment().payload.is_empty()).count();
    assert!(silent >= 4, "probes and their answers: {:?}", &pair.story(pair.log.len() - 6));
    pair.server_reads = true;
    pair.run_ms(30_000);
    assert_eq!(pair.read, accepted);
}

#[test]
fn data_is_acknowledged_every_second_segment_after_the_quick_phase() {
    // TCP-13
    let mut setup = Setup { wires: 1, mptcp_client: false, mptcp_server: false, ..Setup::default() };
    // While the window grows every segment is acknowledged: let it be full soon.
    setup.tcp.rmem = [4096, 131_072, 262_144];
    let mut pair = Pair::new(&setup);
    pair.run_ms(25);
    pair.send(3_000_000);
    pair.run_ms(3_000);
    let data = pair.log.iter().filter(|line| line.segment().payload.len() > 1000).count();
    let acks = pair.log.iter().filter(|line| line.from == End::Server).count();
    assert!(acks * 10 < data * 8 && acks * 10 > data * 4, "{acks} ACKs for {data} segments");
}

#[test]
fn a_lone_segment_is_acknowledged_after_the_delay() {
    // TIME-13
    // TCP-13: once the quick ACKs are used up.
    let mut pair = plain();
    pair.send(400_000);
    pair.run_ms(1_000);
    for _ in 0..40 {
        pair.send(10);
        pair.run_ms(100);
    }
    let sent = pair.log.iter().rev().find(|line| line.from == End::Client).unwrap().at;
    let acked = pair.log.iter().rev().find(|line| line.from == End::Server).unwrap().at;
    let delay = (acked - sent).as_nanos() / 1_000_000;
    assert!((10..=60).contains(&delay), "{delay} ms");
}

#[test]
fn plain_connections_close_in_both_orders() {
    // TCP-18, INV-06, TIME-11, TCP-01, FSM
    let mut pair = plain();
    pair.send(100);
    pair.run_ms(100);
    let from = pair.log.len();
    let now = pair.now;
    pair.client.close(now, pair.socket);
    pair.run_ms(15);
    pair.server.close(pair.now, pair.accepted.unwrap());
    pair.run_ms(200);
    // The ACK of the FIN waits for an answer; this one closes before the delay is over.
    assert_eq!(pair.story(from), ["c0 F.", "s0 F.", "c0 ."]);
    pair.run(Duration::from_secs(61));
    assert!(pair.client.is_quiet() && pair.server.is_quiet(), "INV-06");
    assert_eq!((pair.client.poll_timeout(), pair.server.poll_timeout()), (None, None));
}

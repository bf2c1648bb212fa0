//! Buffers and windows over time, and the timers of TCP as a connection shows them.

use mptcp_model::config::{Keepalive, Profile, TcpConfig};
use sim_core::Duration;

use crate::pair::{End, Fate, Pair, Setup};

fn plain(tcp: TcpConfig) -> Pair {
    let setup = Setup { wires: 1, mptcp_client: false, mptcp_server: false, tcp, ..Setup::default() };
    let mut pair = Pair::new(&setup);
    pair.run_ms(35);
    pair
}

#[test]
fn reading_that_opens_the_window_is_told_at_once() {
    // TCP-34, WND-06: new data stops, and goes on with the ACK that reading sends
    for mptcp in [false, true] {
        let setup = Setup { wires: 1, mptcp_client: mptcp, mptcp_server: mptcp, ..Setup::default() };
        let mut pair = Pair::new(&setup);
        pair.server_reads = false;
        pair.run_ms(25);
        let mut written = 0;
        for _ in 0..30 {
            let now = pair.now;
            written += pair.client.write(now, pair.socket, 1_000_000).unwrap();
            pair.run_ms(50);
        }
        let held = pair.server_connection().readable_bytes();
        assert!(held > 30_000 && held < written, "{held}");
        let from = pair.log.len();
        pair.server_reads = true;
        pair.flush();
        let told = pair.log[from..].iter().filter(|line| line.from == End::Server);
        assert!(told.clone().count() >= 1, "mptcp {mptcp}");
        assert!(told.clone().all(|line| line.segment().window > 0 && line.at == pair.now));
        pair.run_ms(10_000);
        assert_eq!(pair.read, written, "mptcp {mptcp}");
    }
}

#[test]
fn buffers_grow_with_what_passes_and_stay_below_their_limit() {
    // TCP-24
    let window = |pair: &Pair| pair.server_connection().info().receive_window;
    for limit in [300_000, 6_291_456] {
        let mut tcp = Setup::default().tcp;
        tcp.rmem = [4096, 131_072, limit];
        let mut pair = plain(tcp);
        let before = window(&pair);
        pair.delay[0] = Duration::from_millis(50);
        pair.send(20_000_000);
        pair.run_ms(1_000);
        let after = window(&pair);
        assert_eq!(pair.read, 20_000_000);
        assert!(after > before && after <= u64::from(limit), "{before} {after} of {limit}");
        assert_eq!(after > 600_000, limit > 1_000_000, "{after}");
    }
}

#[test]
fn a_timeout_that_was_not_needed_is_undone() {
    // TCP-10
    let mut pair = plain(TcpConfig { slow_start_after_idle: false, ..Setup::default().tcp });
    pair.send(300_000);
    pair.run_ms(500);
    let window = pair.connection().subflows()[0].info().flow.cwnd;
    pair.delay[0] = Duration::from_millis(600);
    pair.send(100_000);
    pair.run_ms(5_000);
    let flow = pair.connection().subflows()[0].info().flow;
    assert_eq!(pair.read, 400_000);
    assert!(flow.stats.timeouts > 0, "the spike was longer than the timeout");
    assert!(flow.cwnd >= window, "{window} before, {} after", flow.cwnd);
}

#[test]
fn defaults_are_those_of_the_kernels() {
    // TIME-01, TIME-04, TIME-08, TIME-09, TIME-11, TIME-12, TIME-13, TIME-16, TIME-07
    use mptcp_model::config::MptcpConfig;
    let seconds = Duration::from_secs;
    let tcp = TcpConfig::new(Profile::LinuxUpstream);
    let rto = (tcp.rto_min, tcp.rto_max, tcp.rto_initial);
    assert_eq!(rto, (Duration::from_millis(200), seconds(120), seconds(1)));
    assert_eq!(
        (tcp.time_wait, tcp.delack_min, tcp.delack_max),
        (seconds(60), Duration::from_millis(40), Duration::from_millis(200))
    );
    let keepalive = Keepalive::default();
    assert_eq!((keepalive.idle, keepalive.interval, keepalive.probes), (seconds(7200), seconds(75), 9));
    let (upstream, oot) = (MptcpConfig::new(Profile::LinuxUpstream), MptcpConfig::new(Profile::LinuxOot));
    assert_eq!((upstream.checksum, oot.checksum), (false, true));
    assert_eq!((upstream.syn_retrans_before_tcp_fallback, oot.syn_retrans_before_tcp_fallback), (2, 3));
    assert_eq!((upstream.close_timeout, upstream.blackhole_timeout), (seconds(60), seconds(3600)));
    assert_eq!((upstream.stale_loss_cnt, upstream.add_addr_retries), (4, 3));
}

#[test]
fn an_idle_connection_is_probed_after_two_hours() {
    // TCP-16, TIME-12
    let mut pair = plain(TcpConfig { keepalive: Some(Keepalive::default()), ..Setup::default().tcp });
    pair.send(10);
    pair.run_ms(500);
    let from = pair.log.len();
    pair.filter = Box::new(|from, _, _| if from == End::Server { Fate::Drop } else { Fate::Pass });
    pair.run(Duration::from_secs(7200 + 75 * 10));
    let probes =
        pair.log[from..].iter().filter(|line| line.from == End::Client && !line.segment().flags.rst());
    assert!(probes.clone().count() >= 9);
    assert!(pair.connection().error().is_some());
}

#[test]
fn a_paced_flow_spreads_its_window_over_the_round_trip() {
    // TCP-25
    for pacing in [false, true] {
        let mut pair = plain(TcpConfig { pacing, ..Setup::default().tcp });
        pair.send(30_000);
        pair.run_ms(500);
        let from = pair.log.len();
        pair.send(60_000);
        pair.run_ms(15);
        let mut at: Vec<_> = pair.log[from..]
            .iter()
            .filter(|line| line.from == End::Client && line.segment().payload.len() > 1_000)
            .map(|line| line.at)
            .collect();
        let sent = at.len();
        at.dedup();
        assert!(sent > 8, "{sent}");
        assert_eq!(at.len() * 3 > sent, pacing, "{} instants for {sent} segments", at.len());
    }
}

//! Closing, resetting, and losing paths.

use mptcp_model::mptcp::{SocketError, State};

use crate::pair::{End, Fate, Pair, Setup, flags};

fn established(setup: &Setup) -> Pair {
    let mut pair = Pair::new(setup);
    pair.run_ms(25);
    pair.send(5);
    pair.run_ms(200);
    pair
}

#[test]
fn data_fins_are_exchanged_before_fins() {
    // CLOSE-01, CLOSE-02, CLOSE-04, DSS-06, FSM-08 to FSM-13; order and lengths as captured from Linux 6.18.
    let mut pair = established(&Setup { wires: 1, ..Setup::default() });
    let from = pair.log.len();
    let now = pair.now;
    pair.client.close(now, pair.socket);
    pair.run_ms(15);
    pair.server.close(pair.now, pair.accepted.unwrap());
    pair.run_ms(200);
    assert_eq!(
        pair.story(from),
        ["c0 . DSS22F", "s0 . DSS12", "s0 . DSS26F", "c0 F. DSS8", "c0 . DSS8", "s0 F. DSS12", "c0 . DSS8",]
    );
    assert_eq!((pair.connection().state(), pair.server_connection().state()), (State::Closed, State::Closed));
}

#[test]
fn a_data_fin_goes_out_on_every_subflow() {
    // CLOSE-01; reference case g2
    let mut pair = established(&Setup::default());
    let from = pair.log.len();
    let now = pair.now;
    pair.client.shutdown_write(now, pair.socket);
    pair.flush();
    assert_eq!(pair.story(from), ["c0 . DSS22F", "c1 . DSS22F"]);
}

#[test]
fn a_lost_data_fin_is_repeated() {
    // CLOSE-03, TIME-03
    let mut pair = established(&Setup { wires: 1, ..Setup::default() });
    let from = pair.log.len();
    pair.filter = Box::new(|from, _, _| if from == End::Client { Fate::Drop } else { Fate::Pass });
    let now = pair.now;
    pair.client.shutdown_write(now, pair.socket);
    pair.run_ms(1_500);
    let at: Vec<u64> = pair.log[from..].iter().map(|line| (line.at - now).as_nanos() / 1_000_000).collect();
    assert_eq!(at[..4], [0, 200, 400, 800], "as the live kernel, which waits twice before it backs off");
    pair.filter = Box::new(|_, _, _| Fate::Pass);
    pair.run_ms(3_000);
    assert_eq!(pair.connection().state(), State::FinWait2);
}

#[test]
fn half_closed_connections_carry_data_the_other_way() {
    // CLOSE-06; reference case g4
    let mut pair = established(&Setup { wires: 1, ..Setup::default() });
    let now = pair.now;
    pair.client.shutdown_write(now, pair.socket);
    pair.run_ms(100);
    assert!(pair.server_end && !pair.client_end);
    let now = pair.now;
    let accepted = pair.accepted.unwrap();
    assert_eq!(pair.server.write(now, accepted, 50_000), Ok(50_000));
    pair.server.close(now, accepted);
    pair.run_ms(500);
    assert_eq!(pair.connection().integrity().verified, 50_000);
    assert!(pair.client_end);
}

#[test]
fn closing_with_unread_data_aborts_every_subflow() {
    // CLOSE-12, CLOSE-13, CLOSE-17, FSM-17, FSM-18; reference case g5
    let mut pair = Pair::new(&Setup::default());
    pair.server_reads = false;
    pair.run_ms(25);
    pair.send(500);
    pair.run_ms(200);
    let from = pair.log.len();
    let now = pair.now;
    pair.server.close(now, pair.accepted.unwrap());
    pair.delay[1] = sim_core::Duration::from_millis(20);
    pair.run_ms(100);
    assert_eq!(
        pair.story(from),
        ["s0 R. MP_FASTCLOSE12 MP_TCPRST4", "s1 R. MP_FASTCLOSE12 MP_TCPRST4", "c1 R. MP_TCPRST4"]
    );
    assert_eq!(pair.connection().error(), Some(SocketError::ConnectionReset));
}

#[test]
fn a_dead_path_loses_no_data() {
    // DSS-17, DSS-22, SCHED-13, FSM-41, INV-01
    let mut pair = established(&Setup::default());
    pair.filter = Box::new(|_, wire, _| if wire == 0 { Fate::Drop } else { Fate::Pass });
    pair.send(1_000_000);
    pair.run_ms(20_000);
    assert_eq!((pair.read, pair.server_connection().integrity().corrupted), (1_000_005, 0));
    assert!(pair.connection().stats().reinjected_bytes > 0);
    pair.filter = Box::new(|_, _, _| Fate::Pass);
    // Its retransmission timer has backed off to the better part of a minute.
    pair.run_ms(130_000);
    let before = pair.server_connection().subflows()[0].flow.stats().bytes_received;
    pair.filter = Box::new(|_, wire, _| if wire == 1 { Fate::Drop } else { Fate::Pass });
    pair.send(1_000_000);
    pair.run_ms(20_000);
    let after = pair.server_connection().subflows()[0].flow.stats().bytes_received;
    assert!(after >= before + 1_000_000, "a path that returns is used again: {before} {after}");
    assert_eq!(pair.read, 2_000_005);
}

#[test]
fn a_reset_subflow_hands_its_data_to_the_others() {
    // CLOSE-10, FSM-42
    let mut pair = established(&Setup::default());
    pair.send(300_000);
    let mut resets = 0;
    pair.filter = Box::new(move |from, wire, packet| {
        if from == End::Client
            && wire == 1
            && resets == 0
            && !flags(packet).syn()
            && let mptcp_model::wire::Body::Tcp(segment) = &mut packet.body
        {
            segment.flags = mptcp_model::wire::TcpFlags::RST.with(mptcp_model::wire::TcpFlags::ACK);
            segment.payload = mptcp_model::wire::Payload::Empty;
            resets = 1;
        }
        Fate::Pass
    });
    pair.run_ms(5_000);
    pair.send(300_000);
    pair.run_ms(3_000);
    assert_eq!((pair.read, pair.server_connection().integrity().corrupted), (600_005, 0));
}

#[test]
fn a_connection_without_subflows_ends_after_the_close_timeout() {
    // CLOSE-09, TIME-04, JOIN-26
    let mut pair = established(&Setup { wires: 1, ..Setup::default() });
    let mut armed = true;
    pair.filter = Box::new(move |from, _, packet| {
        if from == End::Server
            && armed
            && let mptcp_model::wire::Body::Tcp(segment) = &mut packet.body
        {
            segment.flags = mptcp_model::wire::TcpFlags::RST.with(mptcp_model::wire::TcpFlags::ACK);
            armed = false;
        }
        Fate::Pass
    });
    pair.send(100);
    pair.run_ms(59_000);
    assert_eq!(pair.connection().error(), None);
    pair.run_ms(2_000);
    assert_eq!(pair.connection().error(), Some(SocketError::TimedOut));
}

//! The end of a connection, segment by segment.

use mptcp_model::mptcp::{Mode, SocketError, State};
use mptcp_model::wire::{DataNumber, Dss, MpOption, TcpFlags};
use sim_core::Duration;

use crate::pair::{End, Fate, Pair, Setup, flags};
use crate::peer::{KEY, Peer, Seg, bare};

const FIN: TcpFlags = TcpFlags::FIN.with(TcpFlags::ACK);

/// A server that has read what there was: 10 octets.
fn server() -> Peer {
    let mut peer = Peer::established_server(&bare());
    let data = peer.mapped(0, 10);
    peer.send(data);
    assert_eq!(peer.read(), 10);
    peer.take();
    peer
}

fn acked(peer: &mut Peer, ack: u64) {
    let dss = peer.dss(ack, None);
    peer.send(Seg::ack(0, 11, 1).with(dss));
}

fn data_fin(peer: &mut Peer, ack: u64) {
    let dss = peer.data_fin(ack, 10);
    peer.send(Seg::ack(0, 11, 1).with(dss));
}

#[test]
fn active_close_with_the_peers_end_later() {
    // FSM-08, FSM-10, FSM-13, CLOSE-01, CLOSE-04, CLOSE-07, DSS-19
    let mut peer = server();
    peer.shutdown();
    assert_eq!((peer.story(), peer.connection().state()), (vec!["0 . DSS26F".to_owned()], State::FinWait1));
    acked(&mut peer, 1);
    assert_eq!((peer.story(), peer.connection().state()), (vec![], State::FinWait2));
    data_fin(&mut peer, 1);
    assert_eq!(peer.connection().state(), State::Closed);
    let story = peer.story();
    assert!(story[0].starts_with("0 F. DSS"), "{story:?}");
}

#[test]
fn crossing_ends() {
    // FSM-11, FSM-14, CLOSE-07
    let mut peer = server();
    peer.shutdown();
    data_fin(&mut peer, 0);
    assert_eq!(peer.connection().state(), State::Closing);
    peer.take();
    acked(&mut peer, 1);
    assert_eq!(peer.connection().state(), State::Closed);
    assert!(peer.story().iter().any(|line| line.starts_with("0 F. DSS")));
}

#[test]
fn both_ends_in_one_segment() {
    // FSM-12
    let mut peer = server();
    peer.shutdown();
    data_fin(&mut peer, 1);
    assert_eq!(peer.connection().state(), State::Closed);
}

#[test]
fn passive_close() {
    // FSM-09, FSM-15, FSM-16, CLOSE-02
    let mut peer = server();
    data_fin(&mut peer, 0);
    assert_eq!(peer.connection().state(), State::CloseWait);
    let ack = peer.take().last().expect("an ACK").dss().data_ack;
    assert_eq!(ack.map(|ack| ack.expand(peer.own_number(0))), Some(peer.own_number(11)));
    peer.close();
    assert_eq!(peer.connection().state(), State::LastAck);
    let fin = peer.take().last().expect("a DATA_FIN").dss();
    assert!(fin.data_fin);
    acked(&mut peer, 1);
    assert_eq!(peer.connection().state(), State::Closed);
    peer.send(Seg::ack(0, 11, 2).flags(FIN));
    peer.run(Duration::from_secs(70));
    assert_eq!(peer.host.bindings(), (0, 0));
}

#[test]
fn a_fin_alone_ends_one_subflow() {
    // CLOSE-05, DSS-26, FSM-42
    let mut peer = server();
    let flow = peer.join(1);
    peer.take();
    let nothing = peer.dss(0, None);
    peer.send(Seg::ack(flow, 1, 1).flags(FIN).with(nothing));
    let connection = peer.connection();
    assert_eq!((connection.state(), connection.error()), (State::Established, None));
    let story = peer.story();
    assert!(story.iter().any(|line| line.starts_with("1 F. DSS")), "{story:?}");
    let fin = peer.sent.iter().rev().find(|sent| sent.flow == flow).expect("a FIN").dss();
    assert_eq!(fin.data_ack.map(|ack| ack.expand(peer.own_number(0))), Some(peer.own_number(10)));
    let data = peer.mapped(10, 40);
    peer.send(data);
    assert_eq!(peer.verified(), 50);
    peer.write(30_000);
    assert!(peer.take().iter().all(|sent| sent.flow == 0 || sent.segment().payload.is_empty()));
}

#[test]
fn fin_and_data_fin_on_one_segment_are_both_taken() {
    // CLOSE-20
    let mut peer = server();
    let MpOption::Dss(dss) = peer.dss(0, Some((10, 11, 21))) else { unreachable!() };
    let last = MpOption::Dss(Dss { data_fin: true, ..dss });
    peer.send(Seg::ack(0, 11, 1).data(10, 20).flags(FIN).with(last));
    assert_eq!((peer.connection().state(), peer.verified()), (State::CloseWait, 30));
    let ack = peer.take().last().expect("an ACK").clone();
    assert_eq!(ack.segment().ack.0, 1032, "data and FIN of the subflow");
    assert_eq!(ack.dss().data_ack, Some(DataNumber::Long(peer.own_number(31))));
}

#[test]
fn a_late_data_fin_is_acknowledged_again() {
    // CLOSE-08
    let mut peer = server();
    peer.shutdown();
    acked(&mut peer, 1);
    data_fin(&mut peer, 1);
    peer.send(Seg::ack(0, 11, 2).flags(FIN));
    peer.take();
    let fin = peer.data_fin(1, 10);
    peer.send(Seg::ack(0, 11, 2).flags(FIN).with(fin));
    let story = peer.story();
    assert!(story.iter().any(|line| line.starts_with("0 . DSS")), "{story:?}");
    peer.run(Duration::from_secs(61));
    assert_eq!((peer.host.bindings(), peer.host.poll_timeout()), ((0, 0), None));
}

#[test]
fn closing_before_accept_during_the_handshake_twice_and_in_fallback() {
    // CLOSE-18
    let mut peer = server();
    peer.close();
    let first = peer.story();
    peer.close();
    assert_eq!((first, peer.story()), (vec!["0 . DSS26F".to_owned()], vec![]), "twice");
    // During the handshake: nothing is left to answer.
    let mut peer = Peer::of_client(&bare());
    peer.close();
    assert_eq!(peer.connection().state(), State::Closed);
    peer.take();
    peer.run(Duration::from_secs(10));
    assert_eq!(peer.story(), Vec::<String>::new());
    // Shutting down during the handshake: the DATA_FIN follows it.
    let mut peer = Peer::of_client(&bare());
    peer.shutdown();
    let answer = peer.capable(Some(KEY), None);
    peer.send(Seg::ack(0, 0, 1).flags(TcpFlags::SYN.with(TcpFlags::ACK)).with(answer));
    assert_eq!(peer.connection().state(), State::FinWait1);
    // In fallback a FIN says the same.
    let mut peer = Peer::of_server(&bare());
    peer.open(0, &[]);
    peer.send(Seg::ack(0, 1, 1));
    peer.take();
    peer.close();
    assert_eq!((peer.connection().mode(), peer.story()), (Mode::Plain, vec!["0 F.".to_owned()]));
    // Before accept: the connection waits with all it brought.
    let mut pair = Pair::new(&Setup { wires: 1, ..Setup::default() });
    pair.run_ms(25);
    pair.send(700);
    let now = pair.now;
    pair.client.close(now, pair.socket);
    pair.run_ms(200);
    assert_eq!((pair.read, pair.server_end), (700, true));
}

#[test]
fn a_lost_third_ack_and_nothing_but_a_data_fin_after_it() {
    // CAP-18, FB-01, FSM-06, CLOSE-03, CLOSE-18: the keys never come, so the server is TCP and does not see the end,
    // which the client repeats; Linux 6.18 did so after 0.2, 0.4, 0.8, 1.7, 3.3 and 6.6 s. Data of the server ends it.
    let mut pair = Pair::new(&Setup { wires: 1, ..Setup::default() });
    let mut acks = 0;
    pair.filter = Box::new(move |from, _, packet| {
        acks += usize::from(from == End::Client && !flags(packet).syn());
        if acks == 1 && from == End::Client { Fate::Drop } else { Fate::Pass }
    });
    pair.run_ms(20);
    let now = pair.now;
    pair.client.shutdown_write(now, pair.socket);
    pair.run_ms(3_000);
    let fins = pair.story(0).iter().filter(|line| *line == "c0 . DSS22F").count();
    assert_eq!((fins, pair.server_end), (5, false), "{:?}", pair.story(0));
    assert_eq!(pair.server_connection().mode(), Mode::Plain);
    let accepted = pair.accepted.expect("accepted");
    let now = pair.now;
    assert_eq!(pair.server.write(now, accepted, 5_000), Ok(5_000));
    pair.server.close(now, accepted);
    pair.run_ms(3_000);
    assert!(pair.client_end && pair.server_end, "{:?}", pair.story(0));
    assert_eq!(pair.connection().integrity().verified, 5_000);
    assert_eq!((pair.connection().mode(), pair.server_connection().mode()), (Mode::Plain, Mode::Plain));
    pair.run(Duration::from_secs(130));
    assert_eq!((pair.client.bindings(), pair.server.bindings()), ((0, 0), (0, 0)), "INV-06");
}

#[test]
fn an_error_after_the_end_of_the_stream_is_a_broken_pipe() {
    // CLOSE-13
    let mut peer = server();
    data_fin(&mut peer, 0);
    let key = peer.host_key;
    peer.send(Seg::ack(0, 11, 1).with(MpOption::FastClose { receiver_key: key }));
    assert_eq!(peer.connection().error(), Some(SocketError::BrokenPipe));
    assert_eq!(peer.connection().state(), State::Closed);
}

#[test]
fn data_fins_are_repeated_up_to_every_two_minutes() {
    // CLOSE-03, TIME-03
    let mut peer = server();
    peer.shutdown();
    let start = peer.now;
    peer.run(Duration::from_secs(700));
    let fins: Vec<u128> = peer
        .take()
        .iter()
        .filter(|sent| sent.dss().data_fin)
        .map(|sent| u128::from(sent.at.saturating_since(start).as_millis()))
        .collect();
    let gaps: Vec<u128> = fins.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps[..5], [200, 200, 400, 800, 1_600]);
    assert!(gaps.iter().all(|&gap| gap <= 120_000) && gaps.len() >= 10, "{gaps:?}");
}

#[test]
fn an_orphan_is_aborted_after_the_close_timeout() {
    // TIME-04, CLOSE-09, CLOSE-12, FSM-17; Linux 6.18 sent MP_FASTCLOSE and MP_TCPRST 60 s after close(), both on a
    // path that was cut and in the middle of a slow transfer.
    for data_acked in [false, true] {
        let mut peer = server();
        peer.write(100);
        peer.close();
        if data_acked {
            // The end is acknowledged, the peer goes on reading and never closes.
            let all = peer.dss(101, None);
            peer.send(Seg::ack(0, 11, 101).with(all));
        }
        peer.run_ms(59_900);
        let story = peer.story();
        assert!(!story.iter().any(|line| line.contains('R')), "{story:?}");
        peer.run_ms(200);
        assert_eq!(peer.story(), ["0 R. MP_FASTCLOSE12 MP_TCPRST4"], "acknowledged: {data_acked}");
        assert_eq!(peer.host.bindings(), (0, 0));
    }
    // Without subflows there is nothing to wait for.
    let mut peer = server();
    peer.close();
    peer.send(Seg::ack(0, 11, 1).flags(TcpFlags::RST.with(TcpFlags::ACK)));
    assert_eq!((peer.connection().state(), peer.host.bindings()), (State::Closed, (0, 0)));
}

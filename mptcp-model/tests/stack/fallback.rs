//! Falling back to TCP.

use mptcp_model::mptcp::Mode;

use crate::pair::{End, Fate, Pair, Setup, edit_mptcp, flags};

fn run(strip: impl FnMut(End, usize, &mut mptcp_model::wire::Packet) + 'static) -> Pair {
    let mut strip = strip;
    let mut pair = Pair::new(&Setup { wires: 1, ..Setup::default() });
    pair.filter = Box::new(move |from, wire, packet| {
        strip(from, wire, packet);
        Fate::Pass
    });
    pair.run_ms(25);
    pair.send(200_000);
    pair.run_ms(2_000);
    let now = pair.now;
    pair.client.shutdown_write(now, pair.socket);
    pair.run_ms(500);
    pair
}

fn survives(pair: &Pair) {
    assert_eq!((pair.connection().mode(), pair.server_connection().mode()), (Mode::Plain, Mode::Plain));
    assert_eq!(pair.read, 200_000, "{:?}", &pair.story(0)[..12]);
    assert_eq!(pair.server_connection().integrity().corrupted, 0);
    assert!(pair.server_end, "the end of the stream arrives");
}

#[test]
fn options_stripped_from_the_syn_mean_tcp() {
    // FB-01, MBOX-01; reference case f1
    survives(&run(|_, _, packet| {
        if flags(packet).syn() && !flags(packet).ack() {
            edit_mptcp(packet, |_| None);
        }
    }));
}

#[test]
fn options_stripped_from_the_synack_mean_tcp() {
    // FSM-03, FSM-06, CAP-17, CAP-18, MBOX-02; reference case f2
    survives(&run(|_, _, packet| {
        if flags(packet).syn() && flags(packet).ack() {
            edit_mptcp(packet, |_| None);
        }
    }));
}

#[test]
fn options_stripped_after_the_handshake_mean_tcp() {
    // FB-06, FB-12, FB-03, FB-04, MBOX-04; reference case f3
    survives(&run(|_, _, packet| {
        if !flags(packet).syn() {
            edit_mptcp(packet, |_| None);
        }
    }));
}

#[test]
fn data_without_its_mapping_while_a_join_is_under_way_arrives_once() {
    // FB-04, FB-13, FB-14, FSM-43, MBOX-05: the server falls back and refuses the join, which the client must not
    // take for the loss of what it sent
    for slow in [15, 40, 100, 300] {
        for writes in [1, 2] {
            let mut pair = Pair::new(&Setup::default());
            pair.delay[1] = sim_core::Duration::from_millis(slow);
            pair.run_ms(25);
            pair.send(5);
            pair.run_ms(20);
            pair.filter = Box::new(|from, wire, packet| {
                let data = matches!(&packet.body, mptcp_model::wire::Body::Tcp(segment)
                    if !segment.payload.is_empty());
                if data && from == End::Client && wire == 0 {
                    edit_mptcp(packet, |_| None);
                }
                Fate::Pass
            });
            for _ in 0..writes {
                pair.send(1);
                pair.run_ms(3);
            }
            pair.run_ms(10_000);
            assert_eq!(pair.read, 5 + writes, "join of {slow} ms, {writes} writes");
            assert_eq!(pair.server_connection().integrity().corrupted, 0);
        }
    }
}

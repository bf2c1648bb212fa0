//! Setting up a connection.

use mptcp_model::mptcp::{Mode, State};
use mptcp_model::wire::{MpOption, TcpOption};
use sim_core::Duration;

use crate::pair::{End, Fate, Pair, Setup, flags, has_mptcp};

fn kinds(pair: &Pair, line: usize) -> String {
    let names: Vec<&str> = pair.log[line]
        .segment()
        .options
        .iter()
        .map(|option| match option {
            TcpOption::Mss(_) => "MSS",
            TcpOption::SackPermitted => "SACKOK",
            TcpOption::Timestamps { .. } => "TS",
            TcpOption::Nop => "NOP",
            TcpOption::WindowScale(_) => "WS",
            TcpOption::Sack(_) => "SACK",
            TcpOption::Mptcp(_) => "MPTCP",
            TcpOption::EndOfList | TcpOption::Unknown { .. } => "?",
        })
        .collect();
    names.join("-")
}

#[test]
fn keys_are_exchanged_in_four_options() {
    // FSM-01, FSM-02, FSM-05, FSM-07
    // CAP-02, CAP-28, WIRE-04 to WIRE-07; lengths as captured from Linux 6.18.
    let mut pair = Pair::new(&Setup { wires: 1, ..Setup::default() });
    pair.run_ms(25);
    pair.send(5);
    pair.run_ms(100);
    assert_eq!(
        pair.story(0),
        ["c0 S MP_CAPABLE4", "s0 S. MP_CAPABLE12", "c0 . MP_CAPABLE20", "c0 P. 5 MP_CAPABLE22", "s0 . DSS12",]
    );
    assert_eq!(pair.connection().mode(), Mode::Multipath);
    assert_eq!(pair.server_connection().mode(), Mode::Multipath);
    assert_eq!(pair.read, 5);
}

#[test]
fn options_stand_in_the_order_of_linux() {
    // WIRE-33, WIRE-34, TCP-02, TCP-04
    let mut pair = Pair::new(&Setup { wires: 1, ..Setup::default() });
    pair.run_ms(25);
    pair.send(5);
    pair.run_ms(100);
    assert_eq!(kinds(&pair, 0), "MSS-SACKOK-TS-NOP-WS-MPTCP");
    assert_eq!(kinds(&pair, 1), "MSS-SACKOK-TS-NOP-WS-MPTCP");
    assert_eq!(kinds(&pair, 2), "NOP-NOP-TS-MPTCP");
    assert_eq!(kinds(&pair, 3), "NOP-NOP-TS-MPTCP-NOP-NOP");
    assert_eq!((pair.log[0].segment().window, pair.log[1].segment().window), (64_240, 65_160));
    assert!(pair.log.iter().all(|line| line.segment().options.len() % 4 == 0));
}

#[test]
fn the_first_data_is_mapped_by_mp_capable_on_its_whole_burst() {
    // TCP-27, CAP-13, CAP-14, TCP-03, TCP-33
    // CAP-04, WIRE-40: both segments of the first burst carry the length of the whole mapping.
    let mut pair = Pair::new(&Setup { wires: 1, ..Setup::default() });
    pair.run_ms(25);
    pair.send(3000);
    pair.run_ms(100);
    let story = pair.story(3);
    assert_eq!(story[..3], ["c0 . 1424 MP_CAPABLE22", "c0 P. 1424 MP_CAPABLE22", "c0 P. 152 DSS22"]);
    for line in &pair.log[3..5] {
        let len = line.segment().options.mptcp().find_map(|option| match option {
            MpOption::Capable { data_len, .. } => data_len,
            _ => None,
        });
        assert_eq!(len, Some(3000));
    }
    assert_eq!(pair.read, 3000);
}

#[test]
fn a_server_without_mptcp_gets_tcp() {
    // FSM-03, CAP-17, CAP-22, INV-07
    for (client, server) in [(true, false), (false, true), (false, false)] {
        let setup = Setup { wires: 1, mptcp_client: client, mptcp_server: server, ..Setup::default() };
        let mut pair = Pair::new(&setup);
        pair.run_ms(25);
        pair.send(3000);
        pair.run_ms(200);
        assert_eq!(pair.connection().mode(), Mode::Plain);
        assert_eq!(pair.server_connection().mode(), Mode::Plain);
        assert_eq!(pair.read, 3000);
        assert!(pair.log[1..].iter().all(|line| !has_mptcp(&line.packet)), "{:?}", pair.story(0));
        let full = pair.log.iter().filter(|line| line.segment().payload.len() == 1448).count();
        assert_eq!(full, 2);
    }
}

#[test]
fn a_lost_third_ack_is_made_good_by_the_first_data() {
    // CAP-04, CAP-25
    let mut pair = Pair::new(&Setup { wires: 1, ..Setup::default() });
    let mut acks = 0;
    pair.filter = Box::new(move |from, _, packet| {
        if from == End::Client && !flags(packet).syn() {
            acks += 1;
            if acks == 1 {
                return Fate::Drop;
            }
        }
        Fate::Pass
    });
    pair.run_ms(25);
    pair.send(4000);
    pair.run_ms(300);
    assert_eq!(pair.server_connection().mode(), Mode::Multipath);
    assert_eq!((pair.read, pair.server_connection().integrity().corrupted), (4000, 0));
}

#[test]
fn syns_that_carry_the_option_and_vanish_are_followed_by_plain_ones() {
    // CAP-15, TIME-09; the reference case connects after 3.1 s.
    let mut pair = Pair::new(&Setup { wires: 1, ..Setup::default() });
    pair.filter = Box::new(
        |_, _, packet| {
            if flags(packet).syn() && has_mptcp(packet) { Fate::Drop } else { Fate::Pass }
        },
    );
    pair.run_ms(3_000 + 25);
    assert_eq!(
        pair.story(0),
        ["c0 S MP_CAPABLE4", "c0 S MP_CAPABLE4", "c0 S MP_CAPABLE4", "c0 S", "s0 S.", "c0 ."]
    );
    assert_eq!(pair.log[3].at.as_nanos(), 3_000_000_000);
    assert_eq!(pair.connection().mode(), Mode::Plain);
}

#[test]
fn a_port_nobody_listens_on_refuses() {
    // TCP-20
    let mut pair = Pair::new(&Setup { wires: 1, listen: false, ..Setup::default() });
    pair.run_ms(100);
    let story = pair.story(0);
    assert_eq!(story, ["c0 S MP_CAPABLE4", "s0 R."]);
    let reset = pair.log[1].segment();
    assert_eq!((reset.seq.0, reset.window), (0, 0));
    assert_eq!(reset.ack, pair.log[0].segment().seq.wrapping_add(1));
    assert_eq!(pair.connection().error(), Some(mptcp_model::mptcp::SocketError::ConnectionRefused));
}

#[test]
fn syn_retries_are_linear_at_first_then_double_and_end() {
    // TCP-09: with `tcp_syn_linear_timeouts` 4 and `tcp_syn_retries` 6 the documentation of Linux gives 67 s
    // to the last retransmission and 131 s to the error.
    let mut pair = Pair::new(&Setup { wires: 1, mptcp_client: false, ..Setup::default() });
    pair.filter = Box::new(|_, _, _| Fate::Drop);
    pair.run(Duration::from_secs(130));
    assert_eq!(pair.connection().error(), None);
    pair.run(Duration::from_secs(2));
    let at: Vec<u64> = pair.log.iter().map(|line| line.at.as_nanos() / 1_000_000_000).collect();
    assert_eq!(at, [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]);
    assert_eq!(pair.connection().state(), State::Closed);
    assert_eq!(pair.connection().error(), Some(mptcp_model::mptcp::SocketError::TimedOut));
}

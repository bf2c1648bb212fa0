//! Octets as segments for a host with one connection of two subflows. Nothing may panic, what waits out of order
//! stays within the buffer, and in the end nothing is left.

use mptcp_model::wire::{TcpFlags, TcpOptions};
use sim_core::Duration;

use crate::peer::{Peer, Seg, bare};

/// Octets of the head of each segment: flow, number, acknowledgment, length, window, flags, pause before the next in
/// milliseconds, length of the options that follow.
pub(crate) const HEAD: usize = 12;

/// Most that may wait out of order: the receive buffer.
pub(crate) const WAITING_MAX: u64 = 6_291_456;

/// Sends what `input` describes.
pub(crate) fn drive(input: &[u8]) {
    let mut peer = Peer::established_server(&bare());
    peer.join(1);
    // The third flow is unknown to the host.
    peer.silent_flow(1);
    let mut rest = input;
    while let Some((head, tail)) = rest.split_at_checked(HEAD) {
        let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let (options, tail) = tail.split_at(usize::from(head[11] % 41).min(tail.len()));
        rest = tail;
        let options = TcpOptions::from_bytes(options).expect("at most 40");
        let seg = Seg::ack(usize::from(head[0] % 3), u32::from(number(1)), u32::from(number(3)))
            .data(u64::from(number(1)), u32::from(number(5) % 1_500))
            .window(number(7))
            .flags(TcpFlags(u16::from(head[9])));
        peer.send_with(seg, options);
        peer.run_ms(u64::from(head[10]));
        if peer.host.connection(peer.id()).is_some() {
            assert!(peer.connection().out_of_order_bytes() <= WAITING_MAX);
            assert!(peer.connection().subflows().len() < 200);
        }
    }
    for connection in std::mem::take(&mut peer.accepted) {
        peer.connection = Some(connection);
        peer.read();
        peer.close();
    }
    peer.run(Duration::from_secs(2_000));
    assert_eq!(peer.host.bindings(), (0, 0), "INV-06");
}

//! W1, W2 and W5: TCP flows between hosts of their own through two routers with one link between them.

use std::net::Ipv4Addr;

use mptcp_model::wire::Packet;
use sim_core::{Agenda, Duration, Instant, Observer};

use crate::network::{Line, Network, Sockets, TCP_PAYLOAD, prefix};
use crate::threshold;

/// What differs between the dumbbells.
pub(crate) struct Dumbbell {
    /// One-way delay of the link between the routers.
    delay: Duration,
    /// Packets its queue holds, which is the product of its rate and the round-trip time.
    queue: u32,
    /// Time from the start of the first flow to that of one after the last.
    starts: fn(u32) -> Duration,
    /// Packets of slow start, given the number of flows.
    ssthresh: fn(u32) -> u32,
}

/// Round trip of 10 ms; flows start a millisecond apart.
pub(crate) const SHORT: Dumbbell = Dumbbell {
    delay: Duration::from_micros(4_980),
    queue: 833,
    starts: |flows| Duration::from_millis(flows as u64),
    ssthresh: |flows| if flows == 1 { 833 } else { 8 },
};

/// Round trip of 100 ms, in which all flows start.
pub(crate) const LONG: Dumbbell = Dumbbell {
    delay: Duration::from_micros(49_980),
    queue: 8_333,
    starts: |_| Duration::from_millis(100),
    ssthresh: |flows| (8_333 / flows).max(2),
};

const CORE: u64 = 1_000_000_000;
const ACCESS: Line = Line { rate: 10_000_000_000, delay: Duration::from_micros(10) };
/// Packets of every queue but the one in the way of the data.
const WIDE: u32 = 20_000;

fn address(side: u8, flow: u32) -> Ipv4Addr {
    Ipv4Addr::new(10, side, (flow / 250) as u8, (flow % 250 + 1) as u8)
}

pub(crate) fn build<A: Agenda, O: Observer<Packet>>(
    flows: u32,
    shape: &Dumbbell,
    observer: O,
) -> Network<A, O> {
    let flows = flows.clamp(1, 60_000);
    let mut network = Network::new(TCP_PAYLOAD, observer);
    let sockets = Sockets::new(
        // Four times what the path and its queue hold, shared by the flows.
        (8 * shape.queue * 1500 / flows).max(1 << 20),
        (shape.ssthresh)(flows),
        threshold::plain("reno"),
        None,
    );
    // Port 0 of a router is the link between them, port i + 1 that of flow i.
    let [left, right] = [0u8, 1].map(|side| {
        let local = (0..flows).map(|flow| (prefix(address(side, flow), 32), flow as usize + 1));
        let other = (prefix(address(1 - side, 0), 16), 0);
        let routes: Vec<_> = local.chain([other]).collect();
        network.add_router(["left", "right"][usize::from(side)], flows as usize + 1, &routes)
    });
    network.connect(left, right, Line { rate: CORE, delay: shape.delay }, [shape.queue, WIDE]);
    for flow in 0..flows {
        let (from, to) = (address(0, flow), address(1, flow));
        let start = (shape.starts)(flows) * u64::from(flow) / u64::from(flows);
        let source = sockets.source(from, to, Instant::ZERO + start);
        let sender = network.add_host(&format!("sender {flow}"), &[&[from]], &[], vec![source]);
        let receiver = network.add_host(&format!("receiver {flow}"), &[&[to]], &[], vec![sockets.sink()]);
        network.connect(sender, left, ACCESS, [WIDE; 2]);
        network.connect(right, receiver, ACCESS, [WIDE; 2]);
    }
    network
}

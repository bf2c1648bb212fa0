//! What a link crossing costs: packets go round a ring of nodes that do nothing but forward them.
//!
//! `cargo run --release -p sim-core --example crossing -- NODES PACKETS CROSSINGS [queue]` prints the
//! processor time per crossing; `queue` runs on the agenda of the `priority-queue` crate. The figure
//! includes start-up, so use some ten million crossings.

use std::env;
use std::process::ExitCode;

use sim_core::{
    Agenda, Bytes, Context, DirectionConfig, Duration, HeapAgenda, Instant, LinkConfig, Node, NodeId,
    Observer, Packet, Parcel, PortId, QueueAgenda, QueueLimit, Rate, Simulation,
};

/// As large as a packet with headers and options.
#[derive(Clone, Debug)]
struct Frame {
    number: u64,
    body: [u64; 20],
}

impl Packet for Frame {
    fn wire_len(&self) -> u32 {
        1500
    }

    fn flow_hash(&self) -> u64 {
        self.number
    }

    fn ecn_capable(&self) -> bool {
        false
    }

    fn mark_ce(&mut self) {}

    fn digest(&self) -> u64 {
        self.number ^ self.body[0]
    }
}

/// Sends what it receives out of its other port, and on its wake-up a packet of its own.
struct Forwarder {
    to_send: u64,
}

impl Node<Frame> for Forwarder {
    fn handle_packet<O: Observer<Frame>>(
        &mut self,
        ctx: &mut Context<'_, Frame, O>,
        port: PortId,
        parcel: Parcel,
    ) {
        ctx.forward(PortId(1 - port.0), parcel);
    }

    fn handle_wakeup<O: Observer<Frame>>(&mut self, ctx: &mut Context<'_, Frame, O>) {
        ctx.send(PortId(0), Frame { number: self.to_send, body: [0; 20] });
        self.to_send -= 1;
        if self.to_send > 0 {
            ctx.set_wakeup(Some(ctx.now() + Duration::from_nanos(7_919)));
        }
    }
}

fn run<A: Agenda>(nodes: u32, packets: u64, crossings: u64) -> Option<(u64, u64)> {
    let mut simulation = Simulation::<Frame, Forwarder, (), A>::with_agenda(1, ());
    for _ in 0..nodes {
        simulation.add_node(Forwarder { to_send: packets / u64::from(nodes) });
    }
    for index in 0..nodes {
        // Each hop a little different, so that the order of actors changes all the time.
        let direction = DirectionConfig {
            rate: Rate::from_bps(1_000_000_000),
            delay: Duration::from_nanos(100_000 + 977 * u64::from(index)),
            queue: QueueLimit::bytes(Bytes(15_000_000)),
            ..DirectionConfig::default()
        };
        let (a, b) = (NodeId(index), NodeId((index + 1) % nodes));
        simulation.connect(&index.to_string(), a, b, LinkConfig::symmetric(direction)).ok()?;
    }
    for index in 0..nodes {
        simulation.with_node(NodeId(index), |_, ctx| ctx.set_wakeup(Some(Instant::ZERO)));
    }
    let mut end = Instant::ZERO;
    while simulation.events() < crossings {
        end += Duration::from_millis(10);
        simulation.run_until(end);
    }
    Some((simulation.events(), simulation.digest()))
}

/// Processor time of this process in nanoseconds, from the scheduler's accounts (Linux).
fn cpu_time() -> Option<u64> {
    let accounts = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    accounts.split(' ').next()?.parse().ok()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok());
    let (Some(nodes @ 2..=100_000), Some(packets), Some(crossings)) = (number(0), number(1), number(2))
    else {
        eprintln!("usage: crossing NODES PACKETS CROSSINGS [queue]");
        return ExitCode::from(2);
    };
    let on_queue = arguments.get(3).is_some_and(|word| word == "queue");
    let run = if on_queue { run::<QueueAgenda> } else { run::<HeapAgenda> };
    let begin = cpu_time();
    let Some((events, digest)) = run(nodes as u32, packets.max(nodes), crossings) else {
        eprintln!("the ring cannot be built");
        return ExitCode::FAILURE;
    };
    let spent = begin.and_then(|begin| Some(cpu_time()? - begin));
    let each =
        spent.map_or_else(String::new, |nanos| format!("{:.1} ns each, ", nanos as f64 / events as f64));
    println!("{events} events, {each}digest {digest:016x}");
    ExitCode::SUCCESS
}

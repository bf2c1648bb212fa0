//! A packet and nodes with no protocol at all.

use sim_core::{
    Attachment, Context, DirectionConfig, DropReason, Instant, LinkConfig, Node, NodeId, Observer, Packet,
    Parcel, Place, PortId, Rate, Simulation,
};

/// A numbered packet of some length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) number: u64,
    pub(crate) len: u32,
    /// Whether the loss generator of the reference emulator sees it.
    pub(crate) shown: bool,
    /// Whether it met congestion; those with odd numbers can tell.
    pub(crate) marked: bool,
}

impl Datagram {
    pub(crate) const fn new(number: u64, len: u32) -> Self {
        Self { number, len, shown: true, marked: false }
    }
}

impl Packet for Datagram {
    fn wire_len(&self) -> u32 {
        self.len
    }

    fn flow_hash(&self) -> u64 {
        0
    }

    fn ecn_capable(&self) -> bool {
        self.number % 2 == 1
    }

    fn mark_ce(&mut self) {
        self.marked = true;
    }

    fn digest(&self) -> u64 {
        self.number
    }

    fn shows_loss_draw(&self) -> bool {
        self.shown
    }
}

/// The nodes.
#[derive(Debug)]
pub(crate) enum TestNode {
    /// Sends packets out of port 0 at planned instants (in order of time), numbered from 0.
    Source { plan: Vec<(u64, u32)>, sent: usize },
    /// Notes what arrives.
    Sink { arrivals: Vec<(u64, u64)> },
    /// Sends on what arrives at port 0 out of port 1, and back.
    Forwarder,
    /// Notes when it wakes, and each time takes the next wake-up from its list.
    Sleeper { plan: Vec<Option<u64>>, woken: Vec<u64> },
}

impl TestNode {
    pub(crate) fn source(plan: &[(u64, u32)]) -> Self {
        Self::Source { plan: plan.to_vec(), sent: 0 }
    }

    pub(crate) const fn sink() -> Self {
        Self::Sink { arrivals: Vec::new() }
    }

    pub(crate) fn arrivals(&self) -> &[(u64, u64)] {
        match self {
            Self::Sink { arrivals } => arrivals,
            other => panic!("{other:?} is no sink"),
        }
    }

    pub(crate) fn woken(&self) -> &[u64] {
        match self {
            Self::Sleeper { woken, .. } => woken,
            other => panic!("{other:?} is no sleeper"),
        }
    }
}

impl Node<Datagram> for TestNode {
    fn handle_packet<O: Observer<Datagram>>(
        &mut self,
        ctx: &mut Context<'_, Datagram, O>,
        port: PortId,
        parcel: Parcel,
    ) {
        match self {
            Self::Sink { arrivals } => {
                let at = ctx.now().as_nanos();
                arrivals.push((at, ctx.take(parcel).number));
            }
            Self::Forwarder => ctx.forward(PortId(1 - port.0), parcel),
            Self::Source { .. } | Self::Sleeper { .. } => ctx.discard(parcel, DropReason::Unwanted),
        }
    }

    fn handle_wakeup<O: Observer<Datagram>>(&mut self, ctx: &mut Context<'_, Datagram, O>) {
        let now = ctx.now();
        match self {
            Self::Source { plan, sent } => {
                while let Some(&(at, len)) = plan.get(*sent) {
                    if at > now.as_nanos() {
                        return ctx.set_wakeup(Some(Instant::from_nanos(at)));
                    }
                    ctx.send(PortId(0), Datagram { shown: len > 60, ..Datagram::new(*sent as u64, len) });
                    *sent += 1;
                }
            }
            Self::Sleeper { plan, woken } => {
                woken.push(now.as_nanos());
                if !plan.is_empty() {
                    ctx.set_wakeup(plan.remove(0).map(Instant::from_nanos));
                }
            }
            Self::Sink { .. } | Self::Forwarder => {}
        }
    }

    fn handle_link_change<O: Observer<Datagram>>(
        &mut self,
        ctx: &mut Context<'_, Datagram, O>,
        port: PortId,
    ) {
        // A source says goodbye when its link goes down, and hello when it comes up.
        if let Self::Source { .. } = self {
            let number = if ctx.port_up(port) { 1_000 } else { 2_000 };
            ctx.send(port, Datagram::new(number, 100));
        }
    }
}

/// Writes everything down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorder {
    pub(crate) sent: Vec<(u64, NodeId, u64)>,
    pub(crate) received: Vec<(u64, NodeId, u64)>,
    /// Numbers of those received that were marked.
    pub(crate) marked: Vec<u64>,
    pub(crate) dropped: Vec<(u64, Place, DropReason, u64)>,
}

impl Observer<Datagram> for Recorder {
    fn sent(&mut self, at: Instant, node: NodeId, _port: PortId, packet: &Datagram) {
        self.sent.push((at.as_nanos(), node, packet.number));
    }

    fn received(&mut self, at: Instant, node: NodeId, _port: PortId, packet: &Datagram) {
        self.received.push((at.as_nanos(), node, packet.number));
        self.marked.extend(packet.marked.then_some(packet.number));
    }

    fn dropped(&mut self, at: Instant, place: Place, reason: DropReason, packet: &Datagram) {
        self.dropped.push((at.as_nanos(), place, reason, packet.number));
    }
}

pub(crate) type TestSimulation = Simulation<Datagram, TestNode, Recorder>;

/// A source, one link called `pipe`, a sink.
pub(crate) struct Pipe {
    pub(crate) simulation: TestSimulation,
    pub(crate) source: NodeId,
    pub(crate) sink: NodeId,
    pub(crate) attachment: Attachment,
}

impl Pipe {
    pub(crate) fn new(config: DirectionConfig, plan: &[(u64, u32)]) -> Self {
        Self::with_seed(1, config, plan)
    }

    pub(crate) fn with_seed(seed: u64, config: DirectionConfig, plan: &[(u64, u32)]) -> Self {
        let mut simulation = Simulation::with_observer(seed, Recorder::default());
        let source = simulation.add_node(TestNode::source(plan));
        let sink = simulation.add_node(TestNode::sink());
        let config = LinkConfig { ab: config, ba: DirectionConfig::default() };
        let attachment = simulation.connect("pipe", source, sink, config).unwrap();
        simulation.with_node(source, |_, ctx| ctx.set_wakeup(Some(Instant::ZERO)));
        Self { simulation, source, sink, attachment }
    }

    /// Runs to the end; nothing may remain inside.
    pub(crate) fn finish(mut self) -> Self {
        self.simulation.run_to_end();
        assert_eq!(self.simulation.packets_alive(), 0, "packets left over");
        self
    }

    pub(crate) fn arrivals(&self) -> &[(u64, u64)] {
        self.simulation.node(self.sink).arrivals()
    }

    /// Instant, number and reason of each drop.
    pub(crate) fn drops(&self) -> Vec<(u64, u64, DropReason)> {
        let dropped = &self.simulation.observer().dropped;
        dropped.iter().map(|&(at, _, reason, number)| (at, number, reason)).collect()
    }

    pub(crate) fn dropped_numbers(&self) -> Vec<u64> {
        self.simulation.observer().dropped.iter().map(|drop| drop.3).collect()
    }
}

pub(crate) fn mbps(rate: u64) -> Option<Rate> {
    Rate::from_bps(rate * 1_000_000)
}

/// `count` packets of `len` octets, one each `gap` nanoseconds.
pub(crate) fn train(count: u64, gap: u64, len: u32) -> Vec<(u64, u32)> {
    (0..count).map(|index| (index * gap, len)).collect()
}

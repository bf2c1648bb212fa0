//! A network of hosts and routers under construction, and its run.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use mptcp_model::config::{MptcpConfig, Profile, TcpConfig};
use mptcp_model::host::routing::{Route, RouteKind, TableId};
use mptcp_model::host::{Host, HostNode, NetNode, RouterNode};
use mptcp_model::mptcp::{CongestionFactory, Content, PathManagerFactory, SocketOptions};
use mptcp_model::net::router::{NextHop, RouteTarget, RouterInterface, StaticRoute};
use mptcp_model::net::{InterfaceAddress, InterfaceId, Prefix, Router, RouterConfig};
use mptcp_model::scheduler;
use mptcp_model::wire::Packet;
use sim_core::{
    Agenda, Bytes, Direction, DirectionConfig, Duration, HeapAgenda, Instant, LinkConfig, LinkId, NodeId,
    Observer, PortId, QueueLimit, Rate, Simulation,
};

use crate::program::Program;

/// Payload of a full TCP segment: 1500 octets less the headers of IPv4 and TCP and the timestamps.
pub(crate) const TCP_PAYLOAD: u32 = 1448;
/// Payload of a full MPTCP segment: a DSS with a DATA_ACK of 32 bits takes 24 octets more.
pub(crate) const MPTCP_PAYLOAD: u32 = 1424;
/// Octets of a full packet.
const PACKET: u32 = 1500;
/// Where sinks listen.
const PORT: u16 = 5001;

/// What a run delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Full payloads that have arrived in the order of their flow.
    pub delivered: u64,
    /// Packets dropped by queues.
    pub drops: u64,
    /// Events of the engine.
    pub events: u64,
    /// Digest of all packets.
    pub digest: u64,
}

/// A workload ready to run.
#[derive(Debug)]
pub struct Network<A = HeapAgenda, O = ()> {
    sim: Simulation<Packet, NetNode<Program>, O, A>,
    payload: u32,
}

impl<A: Agenda, O: Observer<Packet>> Network<A, O> {
    /// An empty network whose full packets carry `payload` octets, watched by `observer`.
    pub(crate) fn new(payload: u32, observer: O) -> Self {
        Self { sim: Simulation::with_agenda(1, observer), payload }
    }

    /// Who watches.
    pub const fn observer_mut(&mut self) -> &mut O {
        self.sim.observer_mut()
    }

    /// Who watched.
    #[must_use]
    pub fn into_observer(self) -> O {
        self.sim.into_observer()
    }

    /// Every port of every link, with the name of the link.
    #[must_use]
    pub fn ports(&self) -> Vec<(NodeId, PortId, String)> {
        let ends = |(link, name): (LinkId, &str)| self.sim.ends(link).map(|(n, p)| (n, p, name.to_owned()));
        self.sim.links().flat_map(ends).collect()
    }

    /// A host with these addresses for each of its interfaces. The first interface is the way to everywhere
    /// but what `routes` say: destinations behind other interfaces.
    pub(crate) fn add_host(
        &mut self,
        name: &str,
        interfaces: &[&[Ipv4Addr]],
        routes: &[(Ipv4Addr, usize)],
        programs: Vec<Program>,
    ) -> NodeId {
        let mut host = Host::new(name, self.sim.streams());
        for (number, addresses) in interfaces.iter().enumerate() {
            let addresses: Vec<_> = addresses.iter().map(|&address| alone(address)).collect();
            host.add_interface(&format!("eth{number}"), PACKET as u16, &addresses);
        }
        let everywhere = Prefix::new(Ipv4Addr::UNSPECIFIED.into(), 0).expect("the default prefix");
        let others = routes.iter().map(|&(address, interface)| (Prefix::host(address.into()), interface));
        for (prefix, interface) in others.chain([(everywhere, 0)]) {
            let route = on_link(prefix, &format!("eth{interface}"));
            host.routing.add_route(route).expect("the interface exists and the route is new");
        }
        let mut node = HostNode::new(host);
        node.applications = programs;
        self.sim.add_node(NetNode::Host(Box::new(node)))
    }

    /// A router with `interfaces` interfaces and these routes to them. Links are to be connected to it in
    /// the order of its interfaces.
    pub(crate) fn add_router(&mut self, name: &str, interfaces: usize, routes: &[(Prefix, usize)]) -> NodeId {
        let interface = RouterInterface { addresses: Vec::new(), mtu: PACKET };
        let route = |&(prefix, number): &(Prefix, usize)| {
            let hop = NextHop { interface: Some(InterfaceId(number as u16)), gateway: None };
            StaticRoute { prefix, target: RouteTarget::NextHops(vec![hop]) }
        };
        let config = RouterConfig {
            interfaces: vec![interface; interfaces],
            routes: routes.iter().map(route).collect(),
            ..RouterConfig::default()
        };
        let router = Router::new(config).expect("routes lead to interfaces of the router, each once");
        self.sim.add_node(NetNode::Router(Box::new(RouterNode::new(router, name.to_owned()))))
    }

    /// A link; its queues hold so many packets, the one in transmission included.
    pub(crate) fn connect(&mut self, a: NodeId, b: NodeId, line: Line, queues: [u32; 2]) {
        let [ab, ba] = queues.map(|packets| DirectionConfig {
            rate: Rate::from_bps(line.rate),
            delay: line.delay,
            queue: QueueLimit { counts_in_service: true, ..QueueLimit::packets(packets) },
            overhead: Bytes(0),
            ..DirectionConfig::default()
        });
        let name = format!("{}-{}-{}", a.0, b.0, self.sim.links().len());
        self.sim.connect(&name, a, b, LinkConfig { ab, ba }).expect("both nodes exist");
    }

    fn start(&mut self) {
        let nodes: Vec<_> = self.sim.nodes().map(|(id, _)| id).collect();
        for id in nodes {
            self.sim.with_node(id, |node, ctx| {
                if let Some(host) = node.host_mut() {
                    host.start(ctx);
                }
            });
        }
    }

    /// Runs from the beginning for `span`.
    pub fn run(&mut self, span: Duration) -> Outcome {
        self.start();
        self.sim.run_until(Instant::ZERO + span);
        self.outcome()
    }

    fn outcome(&self) -> Outcome {
        let octets: u64 = self
            .sim
            .nodes()
            .filter_map(|(_, node)| node.host())
            .flat_map(|node| node.host.connections())
            .flat_map(|(_, connection)| connection.subflows())
            .map(|subflow| subflow.flow.stats().bytes_received)
            .sum();
        let drops = self
            .sim
            .links()
            .flat_map(|(link, _)| Direction::BOTH.map(|direction| self.sim.link_stats(link, direction)))
            .map(|stats| stats.total_drops())
            .sum();
        Outcome {
            delivered: octets / u64::from(self.payload),
            drops,
            events: self.sim.events(),
            digest: self.sim.digest(),
        }
    }
}

/// Rate in bits per second and one-way delay of both directions of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) rate: u64,
    pub(crate) delay: Duration,
}

/// How the sockets of a workload are set up.
pub(crate) struct Sockets(SocketOptions);

impl Sockets {
    /// Sockets with send and receive buffers of `buffer` bytes, large enough that only congestion windows
    /// limit; an initial slow-start threshold in segments; and with MPTCP a path manager.
    pub(crate) fn new(
        buffer: u32,
        ssthresh: u32,
        congestion: CongestionFactory,
        mptcp: Option<PathManagerFactory>,
    ) -> Self {
        let mut tcp = TcpConfig::new(Profile::LinuxUpstream);
        tcp.rmem = [buffer; 3];
        tcp.wmem = [buffer; 3];
        tcp.initial_ssthresh = Some(ssthresh);
        let none: PathManagerFactory = Arc::new(|| Box::new(mptcp_model::path_manager::none::NoPathManager));
        Self(SocketOptions {
            tcp: Arc::new(tcp),
            mptcp: mptcp.is_some().then(|| Arc::new(MptcpConfig::new(Profile::LinuxUpstream))),
            congestion,
            scheduler: Arc::new(|| scheduler::create("minrtt").expect("the scheduler")),
            path_manager: mptcp.unwrap_or(none),
            content: Content::Pattern(1),
        })
    }

    pub(crate) fn source(&self, local: Ipv4Addr, remote: Ipv4Addr, start: Instant) -> Program {
        Program::Source {
            options: self.0.clone(),
            local: SocketAddr::new(local.into(), 0),
            remote: SocketAddr::new(remote.into(), PORT),
            start: Some(start),
        }
    }

    pub(crate) fn sink(&self) -> Program {
        let local = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT);
        Program::Sink { options: self.0.clone(), local, listener: None }
    }
}

/// A prefix within 10.0.0.0/8.
pub(crate) fn prefix(address: Ipv4Addr, len: u8) -> Prefix {
    Prefix::containing(address.into(), len).expect("IPv4 prefixes have up to 32 bits")
}

fn alone(address: Ipv4Addr) -> InterfaceAddress {
    InterfaceAddress::new(IpAddr::V4(address), 32).expect("IPv4 prefixes have up to 32 bits")
}

fn on_link(prefix: Prefix, dev: &str) -> Route {
    Route {
        kind: RouteKind::Unicast,
        prefix,
        via: None,
        dev: Some(dev.to_owned()),
        table: TableId::MAIN,
        kernel: false,
        scope_link: true,
        src: None,
        metric: 0,
    }
}

//! Whole transfers between two hosts over simulated links.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mptcp_model::config::{MptcpConfig, Profile, TcpConfig};
use mptcp_model::congestion;
use mptcp_model::host::routing::{Route, Rule};
use mptcp_model::host::{Application, Host, HostNode, NetNode, SocketId};
use mptcp_model::mptcp::{Content, Mode, SocketEvents, SocketOptions};
use mptcp_model::net::InterfaceAddress;
use mptcp_model::path_manager::{
    Endpoint, Limits,
    registry::{self, PathManagerConfig},
};
use mptcp_model::scheduler;
use mptcp_model::wire::Packet;
use sim_core::{Bytes, DirectionConfig, Duration, Instant, LinkConfig, QueueLimit, Rate, Simulation};

/// Sends `total` octets, shuts down and waits for the end; or reads to the end and closes.
#[derive(Debug)]
enum Program {
    Client {
        options: SocketOptions,
        remote: SocketAddr,
        total: u64,
        sent: u64,
        socket: Option<SocketId>,
        done: bool,
    },
    Server {
        options: SocketOptions,
        local: SocketAddr,
        listener: Option<SocketId>,
        socket: Option<SocketId>,
        read: u64,
        end: Option<Instant>,
    },
}

impl Program {
    fn client(options: SocketOptions, remote: SocketAddr, total: u64) -> Self {
        Self::Client { options, remote, total, sent: 0, socket: None, done: false }
    }
    fn server(options: SocketOptions, local: SocketAddr) -> Self {
        Self::Server { options, local, listener: None, socket: None, read: 0, end: None }
    }
}

impl Application for Program {
    fn start(&mut self, now: Instant, host: &mut Host) {
        match self {
            Self::Client { options, remote, socket, .. } => {
                *socket = Some(host.connect(now, options.clone(), None, *remote).unwrap());
            }
            Self::Server { options, local, listener, .. } => {
                *listener = Some(host.listen(options.clone(), *local, 16).unwrap());
            }
        }
    }

    fn on_event(&mut self, now: Instant, id: SocketId, events: SocketEvents, host: &mut Host) {
        match self {
            Self::Client { total, sent, done, .. } => {
                if events.writable && sent < total {
                    while sent < total {
                        let wanted = (*total - *sent).min(65_536);
                        let accepted = host.write(now, id, wanted).unwrap();
                        *sent += accepted;
                        if accepted < wanted {
                            break;
                        }
                    }
                    if sent == total {
                        host.shutdown_write(now, id);
                    }
                }
                if events.readable
                    && let Ok(read) = host.read(now, id, u64::MAX)
                    && read.end
                    && !*done
                {
                    *done = true;
                    host.close(now, id);
                }
            }
            Self::Server { listener, socket, read, end, .. } => {
                let id = if Some(id) == *listener {
                    let Some(accepted) = host.accept(id) else { return };
                    *socket = Some(accepted);
                    accepted
                } else {
                    id
                };
                if let Ok(outcome) = host.read(now, id, u64::MAX) {
                    *read += outcome.len;
                    if outcome.end && end.is_none() {
                        *end = Some(now);
                        host.close(now, id);
                    }
                }
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant, _host: &mut Host) {}
}

/// The stack of both hosts.
#[derive(Clone, Copy)]
struct Stack {
    cc: &'static str,
    mptcp: bool,
    header_prediction: bool,
}

fn plain(cc: &'static str) -> Stack {
    Stack { cc, mptcp: false, header_prediction: true }
}

fn multipath(cc: &'static str) -> Stack {
    Stack { mptcp: true, ..plain(cc) }
}

fn options(stack: Stack, manager: PathManagerConfig) -> SocketOptions {
    let Stack { cc, mptcp, header_prediction } = stack;
    SocketOptions {
        tcp: Arc::new(TcpConfig { header_prediction, ..TcpConfig::new(Profile::LinuxUpstream) }),
        mptcp: mptcp.then(|| Arc::new(MptcpConfig::new(Profile::LinuxUpstream))),
        congestion: Arc::new(move || congestion::create(cc, &congestion::Parameters::new()).unwrap()),
        scheduler: Arc::new(|| scheduler::create("default").unwrap()),
        path_manager: Arc::new(move || (registry::find("kernel").unwrap().build)(&manager)),
        content: Content::Pattern(7),
    }
}

fn direction(rate: u64, delay_ms: u64, queue: u64, loss: f64) -> DirectionConfig {
    let mut config = DirectionConfig {
        rate: Rate::from_bps(rate),
        overhead: Bytes(14),
        delay: Duration::from_millis(delay_ms),
        queue: QueueLimit { bytes: Some(Bytes(queue)), ..QueueLimit::default() },
        ..DirectionConfig::default()
    };
    if loss > 0.0 {
        config.loss.push(sim_core::Loss::Bernoulli { p: loss });
    }
    config
}

struct Outcome {
    read: u64,
    seconds: f64,
    mode: Mode,
    shares: Vec<u64>,
    retransmitted: u64,
    corrupted: u64,
    digest: u64,
}

/// Each path has a rate in bit/s, a delay in ms, a queue in octets and a loss rate.
fn run(stack: Stack, paths: &[(u64, u64, u64, f64)], total: u64) -> Outcome {
    let mut sim: Simulation<Packet, NetNode<Program>> = Simulation::new(1);
    let mut client = Host::new("client", sim.streams());
    let mut server = Host::new("server", sim.streams());
    let mut endpoints = Vec::new();
    for (index, _) in paths.iter().enumerate() {
        let net = index as u8 + 1;
        let address = |host: u8| -> InterfaceAddress { format!("10.0.{net}.{host}/24").parse().unwrap() };
        client.add_interface(&format!("c{index}"), 1500, &[address(1)]);
        server.add_interface(&format!("s{index}"), 1500, &[address(2)]);
        let ip: IpAddr = format!("10.0.{net}.1").parse().unwrap();
        let rule: Rule = format!("{}: from 10.0.{net}.1 lookup {net}", 100 + index).parse().unwrap();
        client.routing.add_rule(rule);
        let route: Route = format!("default via 10.0.{net}.2 dev c{index} table {net}").parse().unwrap();
        client.routing.add_route(route).unwrap();
        if index > 0 {
            let route: Route = format!("10.0.{net}.0/24 dev s{index}").parse().unwrap();
            let _ = server.routing.add_route(route);
            endpoints.push(Endpoint {
                id: net,
                address: ip,
                port: None,
                signal: false,
                subflow: true,
                backup: false,
                fullmesh: false,
            });
        }
    }
    let limits = Limits { subflows: 8, add_addr_accepted: 8 };
    let remote: SocketAddr = "10.0.1.2:5001".parse().unwrap();
    let manager = PathManagerConfig { endpoints, limits, ..PathManagerConfig::default() };
    let bare = PathManagerConfig { limits, ..PathManagerConfig::default() };
    let mut client = HostNode::new(client);
    client.applications.push(Program::client(options(stack, manager), remote, total));
    let mut server = HostNode::new(server);
    server.applications.push(Program::server(options(stack, bare), remote));
    let client = sim.add_node(NetNode::Host(Box::new(client)));
    let server = sim.add_node(NetNode::Host(Box::new(server)));
    for (index, &(rate, delay, queue, loss)) in paths.iter().enumerate() {
        let config =
            LinkConfig { ab: direction(rate, delay, queue, loss), ba: direction(rate, delay, queue, 0.0) };
        sim.connect(&format!("p{index}"), client, server, config).unwrap();
    }
    for node in [server, client] {
        sim.with_node(node, |node, ctx| node.host_mut().unwrap().start(ctx));
    }
    sim.run_until(Instant::from_nanos(200_000_000_000));
    let Program::Server { read, end, socket, .. } = &sim.node(server).host().unwrap().applications[0] else {
        panic!()
    };
    let receiver = sim.node(server).host().unwrap();
    let connection = receiver.host.connection(socket.expect("accepted")).unwrap();
    let sender = &sim.node(client).host().unwrap().host;
    let (_, sending) = sender.connections().next().unwrap();
    Outcome {
        read: *read,
        seconds: end.map_or(f64::NAN, Instant::as_secs_f64),
        mode: connection.mode(),
        shares: connection.subflows().iter().map(|s| s.flow.stats().bytes_received).collect(),
        retransmitted: sending.subflows().iter().map(|s| s.flow.stats().retransmitted).sum(),
        corrupted: connection.integrity().corrupted,
        digest: sim.digest(),
    }
}

#[test]
fn plain_tcp_fills_a_link() {
    let paths = [(10_000_000, 20, 50_000, 0.0)];
    let out = run(plain("cubic"), &paths, 4_000_000);
    assert_eq!((out.read, out.corrupted), (4_000_000, 0));
    assert!(out.seconds < 3.7, "took {}", out.seconds);
    let again = run(plain("cubic"), &paths, 4_000_000);
    assert_eq!(out.digest, again.digest, "the same run must have the same digest");
}

#[test]
fn multipath_fills_two_links() {
    let paths = [(20_000_000, 10, 50_000, 0.0), (10_000_000, 30, 75_000, 0.0)];
    let out = run(multipath("cubic"), &paths, 15_000_000);
    assert_eq!((out.read, out.corrupted, out.mode), (15_000_000, 0, Mode::Multipath));
    assert!(out.seconds < 4.7, "took {}", out.seconds);
    assert!(out.shares.len() == 2 && out.shares.iter().all(|&octets| octets > 3_000_000), "{:?}", out.shares);
}

#[test]
fn loss_is_repaired() {
    for cc in ["reno", "cubic"] {
        let out = run(plain(cc), &[(10_000_000, 20, 50_000, 0.01)], 3_000_000);
        assert_eq!((out.read, out.corrupted), (3_000_000, 0));
        assert!(out.retransmitted > 0, "{cc} repaired a loss without a retransmission");
        let paths = [(20_000_000, 10, 50_000, 0.01), (10_000_000, 30, 75_000, 0.01)];
        let out = run(multipath(cc), &paths, 3_000_000);
        assert_eq!((out.read, out.corrupted), (3_000_000, 0));
        assert!(out.retransmitted > 0, "{cc} repaired a loss without a retransmission");
    }
}

#[test]
fn header_prediction_changes_nothing() {
    let paths =
        [(20_000_000, 10, 50_000, 0.002), (10_000_000, 30, 75_000, 0.01), (5_000_000, 15, 9_000, 0.0)];
    for cc in ["reno", "cubic", "lia", "wvegas"] {
        for stack in [plain(cc), multipath(cc)] {
            let digest =
                |header_prediction| run(Stack { header_prediction, ..stack }, &paths, 3_000_000).digest;
            assert_eq!(digest(true), digest(false), "{cc}, MPTCP {}", stack.mptcp);
        }
    }
}

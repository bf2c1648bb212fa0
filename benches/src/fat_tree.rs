//! W4: a fat tree of `k` ports a switch, with one MPTCP connection of eight subflows from each host.
//!
//! A host has one address for each path through the tree, 10.(path).(edge switch).(host + 1), on its one
//! interface. A subflow joins two addresses of the same path, and the switches route by it: upwards by the
//! second octet of the destination, downwards by the third and fourth. ACKs thus take the same path back.

use std::net::Ipv4Addr;

use mptcp_model::wire::Packet;
use sim_core::{Agenda, Duration, Instant, Observer};

use crate::network::{Line, MPTCP_PAYLOAD, Network, Sockets, prefix};
use crate::threshold;
use crate::two_paths::Joins;

const SUBFLOWS: u32 = 8;
/// Packets of the queue of a host, and of every other one.
const HOST_QUEUE: u32 = 1000;
const SWITCH_QUEUE: u32 = 100;
const SSTHRESH: u32 = 16;
const STAGGER: Duration = Duration::from_micros(7);

/// The finaliser that chooses paths.
const fn split_mix_64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Numbers of a fat tree: `h` is half the ports of a switch.
#[derive(Clone, Copy)]
struct Tree {
    h: u32,
}

impl Tree {
    const fn pods(self) -> u32 {
        2 * self.h
    }

    const fn hosts(self) -> u32 {
        self.pods() * self.h * self.h
    }

    /// Address of host `host` for path `path`; the edge switches of all pods are numbered in a row.
    const fn address(self, path: u32, host: u32) -> Ipv4Addr {
        Ipv4Addr::new(10, path as u8, (host / self.h) as u8, (host % self.h + 1) as u8)
    }

    const fn paths(self) -> u32 {
        self.h * self.h
    }

    /// The path of subflow `subflow` of host `host`.
    fn path(self, host: u32, subflow: u32) -> u32 {
        (split_mix_64(u64::from(SUBFLOWS * host + subflow)) % u64::from(self.paths())) as u32
    }

    const fn destination(self, host: u32) -> u32 {
        (5 * host + 3) % self.hosts()
    }
}

pub(crate) fn build<A: Agenda, O: Observer<Packet>>(k: u32, rate: u64, observer: O) -> Network<A, O> {
    let tree = Tree { h: k / 2 };
    let h = tree.h;
    let line = Line { rate, delay: Duration::from_micros(10) };
    let mut network = Network::new(MPTCP_PAYLOAD, observer);
    let paths = 0..tree.paths();
    // Ports 0 to h - 1 of edge and aggregation switches lead down, the others up.
    let edges: Vec<_> = (0..tree.pods() * h)
        .map(|edge| {
            let mut routes = Vec::new();
            for path in paths.clone() {
                routes.push((prefix(tree.address(path, 0), 16), (h + path / h) as usize));
                let hosts = (0..h).map(|slot| (tree.address(path, edge * h + slot), slot));
                routes.extend(hosts.map(|(address, slot)| (prefix(address, 32), slot as usize)));
            }
            network.add_router(&format!("edge {edge}"), 2 * h as usize, &routes)
        })
        .collect();
    let aggregations: Vec<_> = (0..tree.pods() * h)
        .map(|aggregation| {
            let (pod, position) = (aggregation / h, aggregation % h);
            let mut routes = Vec::new();
            for core in 0..h {
                let path = position * h + core;
                routes.push((prefix(tree.address(path, 0), 16), (h + core) as usize));
                let below = (0..h).map(|edge| (tree.address(path, (pod * h + edge) * h), edge));
                routes.extend(below.map(|(address, edge)| (prefix(address, 24), edge as usize)));
            }
            network.add_router(&format!("aggregation {aggregation}"), 2 * h as usize, &routes)
        })
        .collect();
    let cores: Vec<_> = paths
        .clone()
        .map(|path| {
            let edges = (0..tree.pods() * h).map(|edge| (tree.address(path, edge * h), edge / h));
            let routes: Vec<_> = edges.map(|(address, pod)| (prefix(address, 24), pod as usize)).collect();
            network.add_router(&format!("core {path}"), tree.pods() as usize, &routes)
        })
        .collect();
    // Ports are numbered in the order of connection.
    for host in 0..tree.hosts() {
        let node = add_host(&mut network, tree, host);
        network.connect(node, edges[(host / h) as usize], line, [HOST_QUEUE, SWITCH_QUEUE]);
    }
    // A pod at a time, so that aggregation switch a of each pod has edge switch e at port e, and edge
    // switch e has aggregation switch a at port h + a.
    for pod in 0..tree.pods() {
        for edge in 0..h {
            for position in 0..h {
                let [below, above] = [edge, position].map(|number| (pod * h + number) as usize);
                network.connect(edges[below], aggregations[above], line, [SWITCH_QUEUE; 2]);
            }
        }
    }
    for pod in 0..tree.pods() {
        for path in paths.clone() {
            let aggregation = aggregations[(pod * h + path / h) as usize];
            network.connect(aggregation, cores[path as usize], line, [SWITCH_QUEUE; 2]);
        }
    }
    network
}

fn add_host<A: Agenda, O: Observer<Packet>>(
    network: &mut Network<A, O>,
    tree: Tree,
    host: u32,
) -> sim_core::NodeId {
    let to = tree.destination(host);
    // Addresses of the initial path have id 0.
    let first = tree.path(host, 0);
    let id = |path: u32| if path == first { 0 } else { path as u8 + 1 };
    let joins = (1..SUBFLOWS).map(|subflow| tree.path(host, subflow));
    let joins = joins.map(|path| [host, to].map(|end| (id(path), tree.address(path, end)))).collect();
    let sockets = Sockets::new(64 << 20, SSTHRESH, threshold::plain("lia"), Some(Joins::factory(joins)));
    let [from, to] = [host, to].map(|end| tree.address(first, end));
    let source = sockets.source(from, to, Instant::ZERO + STAGGER * u64::from(host));
    let addresses: Vec<_> = (0..tree.paths()).map(|path| tree.address(path, host)).collect();
    network.add_host(&format!("host {host}"), &[&addresses], &[], vec![source, sockets.sink()])
}

//! Analyses a running simulation without a capture in between: the figures are those the capture of
//! each host would give.

use std::collections::BTreeMap;

use mptcp_model::wire::Packet;
use sim_core::{Instant, NodeId, Observer, PortId};

use super::{HostAnalysis, PacketView, TraceAnalyser};

/// One [`TraceAnalyser`] for each observed host, fed by the ports of that host.
#[derive(Debug, Default)]
pub struct TraceObserver {
    /// By node.
    hosts: Vec<Option<Host>>,
}

#[derive(Debug)]
struct Host {
    name: String,
    /// Interface names by port; `None` for ports not observed.
    interfaces: Vec<Option<String>>,
    analyser: TraceAnalyser,
}

impl TraceObserver {
    /// Observes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Observes `port` of `node`, the interface `interface` of the host `host`. All ports of a node
    /// belong to one host; the first name given to it stays.
    pub fn observe(&mut self, node: NodeId, port: PortId, host: &str, interface: &str) {
        let (node, port) = (node.0 as usize, usize::from(port.0));
        if self.hosts.len() <= node {
            self.hosts.resize_with(node + 1, || None);
        }
        let host = self.hosts[node].get_or_insert_with(|| Host {
            name: host.to_owned(),
            interfaces: Vec::new(),
            analyser: TraceAnalyser::new(),
        });
        if host.interfaces.len() <= port {
            host.interfaces.resize(port + 1, None);
        }
        host.interfaces[port] = Some(interface.to_owned());
    }

    /// The analysis of every host by its name.
    #[must_use]
    pub fn finish(self) -> BTreeMap<String, HostAnalysis> {
        self.hosts.into_iter().flatten().map(|host| (host.name, host.analyser.finish())).collect()
    }

    #[inline]
    fn record(&mut self, at: Instant, node: NodeId, port: PortId, packet: &Packet) {
        let Some(Some(host)) = self.hosts.get_mut(node.0 as usize) else { return };
        if let Some(Some(interface)) = host.interfaces.get(usize::from(port.0)) {
            host.analyser.push(at.as_nanos(), interface, &PacketView::from(packet));
        }
    }
}

impl Observer<Packet> for TraceObserver {
    fn sent(&mut self, at: Instant, node: NodeId, port: PortId, packet: &Packet) {
        self.record(at, node, port, packet);
    }

    fn received(&mut self, at: Instant, node: NodeId, port: PortId, packet: &Packet) {
        self.record(at, node, port, packet);
    }
}

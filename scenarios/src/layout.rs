//! Numbers of nodes, ports and links, known before the network exists: an observer such as a capture
//! can be made from them first. Nodes are numbered in the order of the scenario's hosts, links in
//! their own order, and the ports of a node in the order of its links; a port's number is also that
//! of the interface in its host.

use sim_core::{Direction, LinkId, NodeId, PortId};

use crate::scenario::{HostKind, Link, Mac, Port, Scenario};
use crate::words::Cidr;

/// A host or router of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutNode {
    /// Number.
    pub id: NodeId,
    /// Name.
    pub name: String,
    /// Host or router.
    pub kind: HostKind,
}

/// An interface that is attached to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutPort {
    /// Node and number there.
    pub node: NodeId,
    /// Number of the port in its node.
    pub port: PortId,
    /// Name of the host.
    pub host: String,
    /// Name of the interface.
    pub interface: String,
    /// Ethernet address: the scenario's, or one made from the number of the link.
    pub mac: Mac,
    /// Addresses at the beginning of the run.
    pub addresses: Vec<Cidr>,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// The link.
    pub link: LinkId,
    /// The direction in which packets of this port travel.
    pub outgoing: Direction,
}

/// A link and the ports at its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutLink {
    /// Number.
    pub id: LinkId,
    /// Name.
    pub name: String,
    /// End `a`.
    pub a: (NodeId, PortId),
    /// End `b`.
    pub b: (NodeId, PortId),
}

/// The numbering of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Nodes by number.
    pub nodes: Vec<LayoutNode>,
    /// Ports, ordered by node, then port.
    pub ports: Vec<LayoutPort>,
    /// Links by number.
    pub links: Vec<LayoutLink>,
}

impl Layout {
    /// The numbering of a scenario's network.
    ///
    /// # Panics
    /// If a link names a host that the scenario does not have; none that was read from a file does.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let nodes: Vec<_> = scenario
            .hosts
            .iter()
            .enumerate()
            .map(|(index, host)| LayoutNode {
                id: NodeId(index as u32),
                name: host.name.clone(),
                kind: host.kind,
            })
            .collect();
        let mut used = vec![0u16; nodes.len()];
        let (mut ports, mut links) = (Vec::new(), Vec::new());
        for (index, link) in scenario.links.iter().enumerate() {
            let id = LinkId(index as u32);
            let mut end = |port: &Port, outgoing| {
                let node = nodes
                    .iter()
                    .position(|node| node.name == port.host)
                    .expect("links join hosts of the scenario");
                let number = PortId(used[node]);
                used[node] += 1;
                let port = layout_port(scenario, link, port, (NodeId(node as u32), number), (id, outgoing));
                let at = (port.node, port.port);
                ports.push(port);
                at
            };
            let a = end(&link.a, Direction::AtoB);
            let b = end(&link.b, Direction::BtoA);
            links.push(LayoutLink { id, name: link.name.clone(), a, b });
        }
        ports.sort_by_key(|port| (port.node, port.port));
        Self { nodes, ports, links }
    }

    /// The node called `name`.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&LayoutNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The port of an interface; `None` if it is not attached to a link.
    #[must_use]
    pub fn port(&self, host: &str, interface: &str) -> Option<&LayoutPort> {
        self.ports.iter().find(|port| port.host == host && port.interface == interface)
    }

    /// The port of a number.
    #[must_use]
    pub fn port_at(&self, node: NodeId, port: PortId) -> Option<&LayoutPort> {
        let index = self.ports.binary_search_by_key(&(node, port), |port| (port.node, port.port)).ok()?;
        self.ports.get(index)
    }

    /// The port at the other end of the link of `port`.
    #[must_use]
    pub fn peer(&self, port: &LayoutPort) -> Option<&LayoutPort> {
        let link = self.links.get(port.link.0 as usize)?;
        let (node, number) = match port.outgoing {
            Direction::AtoB => link.b,
            Direction::BtoA => link.a,
        };
        self.port_at(node, number)
    }

    /// The ports of a node, in order.
    pub fn ports_of(&self, node: NodeId) -> impl Iterator<Item = &LayoutPort> {
        self.ports.iter().filter(move |port| port.node == node)
    }
}

fn layout_port(
    scenario: &Scenario,
    link: &Link,
    port: &Port,
    (node, number): (NodeId, PortId),
    (id, outgoing): (LinkId, Direction),
) -> LayoutPort {
    let interface = scenario.host(&port.host).and_then(|host| host.interface(&port.interface));
    LayoutPort {
        node,
        port: number,
        host: port.host.clone(),
        interface: port.interface.clone(),
        mac: interface.and_then(|interface| interface.mac).unwrap_or_else(|| derived_mac(id, outgoing)),
        addresses: interface.map(|interface| interface.addresses.clone()).unwrap_or_default(),
        mtu: link.mtu,
        link: id,
        outgoing,
    }
}

/// A locally administered address: number of the link from 1, and 1 or 2 for its ends.
fn derived_mac(link: LinkId, outgoing: Direction) -> Mac {
    let [_, high, middle, low] = (link.0 + 1).to_be_bytes();
    Mac([0x02, 0x00, high, middle, low, if outgoing == Direction::AtoB { 1 } else { 2 }])
}

//! Builds the network of a scenario: hosts with their stacks and programs, routers, links.
//!
//! What a scenario may say and the simulated stack does not do is refused ([`BuildError`]) where results
//! would be wrong, and otherwise told in [`Network::warnings`].

mod hosts;
mod links;
mod located;
mod remarks;
mod routes;

use core::fmt;
use std::net::SocketAddr;

use mptcp_model::congestion::{self, CongestionControl};
use mptcp_model::host::{HostNode, NetNode};
use mptcp_model::net::InterfaceId;
use mptcp_model::wire::Packet;
use sim_core::{NodeId, Observer, Simulation};

pub(crate) use self::hosts::{HostState, interfaces};
pub(crate) use self::routes::{address, next_priority, route, rule};
use crate::application::Application;
use crate::boxes;
use crate::datagram::{Plan, Receiver, Sender};
use crate::layout::Layout;
use crate::process::Process;
use crate::program::Program;
use crate::scenario::{Flow, HostKind, Protocol, Scenario};
use crate::words::Command;

/// Why a network could not be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// The key in the scenario, such as `hosts.client.routes[1]`.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

impl BuildError {
    pub(crate) fn new(key: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { key: key.into(), message: message.to_string() }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl std::error::Error for BuildError {}

/// Where the program of one end of a flow runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub(crate) node: NodeId,
    pub(crate) application: usize,
    /// Seed of what this end writes.
    pub(crate) seed: u32,
}

/// The network of a scenario, with everything on it.
#[derive(Debug)]
pub struct Network<O: Observer<Packet> = ()> {
    pub(crate) sim: Simulation<Packet, NetNode<Process>, O>,
    pub(crate) layout: Layout,
    pub(crate) scenario: Scenario,
    /// Client and server of each flow.
    pub(crate) sites: Vec<[Site; 2]>,
    /// By node; `None` for routers.
    pub(crate) hosts: Vec<Option<HostState>>,
    warnings: Vec<String>,
    create: CreateCongestion,
}

/// Makes the congestion control of a name with parameters, as [`congestion::create`] does for those of the
/// registry.
pub type CreateCongestion =
    fn(&str, &congestion::Parameters) -> Result<Box<dyn CongestionControl>, congestion::CreateError>;

impl<O: Observer<Packet>> Network<O> {
    /// The network of `scenario`, watched by `observer`.
    ///
    /// # Errors
    /// If the scenario asks for something the simulated network does not do, or for routes that cannot be.
    pub fn build(scenario: &Scenario, observer: O) -> Result<Self, BuildError> {
        Self::build_with(scenario, observer, congestion::create)
    }

    /// As [`build`](Self::build), with congestion controls of the caller's own behind the names of the scenario.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_with(
        scenario: &Scenario,
        observer: O,
        create: CreateCongestion,
    ) -> Result<Self, BuildError> {
        let layout = Layout::of(scenario);
        let mut network = Self {
            sim: Simulation::with_observer(scenario.seed, observer),
            sites: Vec::new(),
            hosts: Vec::new(),
            warnings: remarks::without_effect(scenario),
            create,
            scenario: scenario.clone(),
            layout,
        };
        check_events(scenario)?;
        for (index, host) in scenario.hosts.iter().enumerate() {
            let interfaces = interfaces(&network.layout, NodeId(index as u32), host);
            let node = match host.kind {
                HostKind::Host => {
                    let state = HostState::new(scenario.profile, host)?;
                    network.hosts.push(Some(state));
                    let built = hosts::host(host, &interfaces, network.sim.streams())?;
                    network.warnings.append(&mut remarks::detours(scenario, host, &built.routing));
                    NetNode::Host(Box::new(HostNode::new(built)))
                }
                HostKind::Router => {
                    network.hosts.push(None);
                    NetNode::Router(Box::new(hosts::router(host, &interfaces, scenario.seed)?))
                }
            };
            network.sim.add_node(node);
        }
        links::connect(&mut network.sim, scenario, &network.layout)?;
        network.place_boxes()?;
        network.add_programs()?;
        Ok(network)
    }

    fn place_boxes(&mut self) -> Result<(), BuildError> {
        for (index, config) in self.scenario.boxes.iter().enumerate() {
            let key = format!("boxes[{index}]");
            let port = self.layout.port(&config.at.host, &config.at.interface);
            let port =
                port.ok_or_else(|| BuildError::new(format!("{key}.at"), "no link is attached there"))?;
            let stream = self.sim.streams().stream(&format!("box:{}", config.name));
            let made = boxes::create(config, stream);
            let made = made.map_err(|complaint| BuildError::new(key.as_str(), complaint.message))?;
            let NetNode::Router(router) = self.sim.node_mut(port.node) else {
                return Err(BuildError::new(format!("{key}.at"), "boxes stand at interfaces of routers"));
            };
            router.chain_mut(InterfaceId(port.port.0)).push(&config.name, made);
        }
        Ok(())
    }

    /// Servers come before clients, so that they listen first on a host that talks to itself.
    fn add_programs(&mut self) -> Result<(), BuildError> {
        let Self { scenario, sites, .. } = self;
        sites.clear();
        let mut ends = Vec::new();
        for (index, flow) in scenario.flows.iter().enumerate() {
            let key = format!("flows[{index}]");
            let node = |field: &str, name: &str| {
                let position = scenario.hosts.iter().position(|host| host.name == name);
                position
                    .ok_or_else(|| BuildError::new(format!("{key}.{field}"), format!("no host \"{name}\"")))
            };
            ends.push([node("from", &flow.from)?, node("to", &flow.to)?]);
        }
        let mut servers = Vec::new();
        for (index, &[_, node]) in ends.iter().enumerate() {
            let flow = &self.scenario.flows[index];
            let any = if flow.destination.is_ipv4() {
                std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
            } else {
                std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
            };
            let local = SocketAddr::new(flow.listen.unwrap_or(any), flow.destination.port());
            let seed = content_seed(&flow.name, "server");
            let process = match plan(flow) {
                Some(plan) => {
                    Process::Receiver(Receiver::new(plan, local, content_seed(&flow.name, "client")))
                }
                None => {
                    let options = self.options(node, index, seed)?;
                    Process::Program(Program::server(options, local, flow.application.steps().1))
                }
            };
            servers.push(self.add_process(index, node, process, seed)?);
        }
        for (index, &[node, _]) in ends.iter().enumerate() {
            let flow = &self.scenario.flows[index];
            let seed = content_seed(&flow.name, "client");
            let process = match plan(flow) {
                Some(plan) => Process::Sender(Sender::new(plan, flow.bind, flow.destination, seed)),
                None => {
                    let options = self.options(node, index, seed)?;
                    let bind = flow.bind.map(|address| SocketAddr::new(address, 0));
                    let steps = flow.application.steps().0;
                    Process::Program(Program::client(options, flow.start, bind, flow.destination, steps))
                }
            };
            let client = self.add_process(index, node, process, seed)?;
            self.sites.push([client, servers[index]]);
        }
        Ok(())
    }

    fn options(
        &self,
        node: usize,
        flow: usize,
        seed: u32,
    ) -> Result<mptcp_model::mptcp::SocketOptions, BuildError> {
        match self.hosts.get(node).and_then(Option::as_ref) {
            Some(state) => {
                let described = (flow, &self.scenario.flows[flow]);
                state.socket_options(&self.scenario.hosts[node], described, seed, self.create)
            }
            None => Err(not_a_host(flow)),
        }
    }

    fn add_process(
        &mut self,
        flow: usize,
        node: usize,
        process: Process,
        seed: u32,
    ) -> Result<Site, BuildError> {
        let node = NodeId(node as u32);
        let host = self.sim.node_mut(node).host_mut().ok_or_else(|| not_a_host(flow))?;
        host.applications.push(process);
        Ok(Site { node, application: host.applications.len() - 1, seed })
    }

    /// Its numbering.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The scenario it was built from.
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// What the scenario says without effect.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The simulation.
    #[must_use]
    pub const fn simulation(&self) -> &Simulation<Packet, NetNode<Process>, O> {
        &self.sim
    }

    /// The observer.
    pub const fn observer_mut(&mut self) -> &mut O {
        self.sim.observer_mut()
    }

    /// The observer, to keep it.
    #[must_use]
    pub fn into_observer(self) -> O {
        self.sim.into_observer()
    }
}

/// What a UDP flow sends when; `None` for other flows.
fn plan(flow: &Flow) -> Option<Plan> {
    match flow.application {
        Application::RateLimited { bytes, rate, write, bursts, .. } if flow.protocol == Protocol::Udp => {
            Some(Plan { start: flow.start, bytes, size: write, rate, bursts })
        }
        _ => None,
    }
}

fn not_a_host(flow: usize) -> BuildError {
    BuildError::new(format!("flows[{flow}]"), "a router runs no applications")
}

/// Commands that hosts of a kind do not obey.
fn check_events(scenario: &Scenario) -> Result<(), BuildError> {
    for (index, event) in scenario.events.iter().enumerate() {
        let key = format!("events[{index}].command");
        let router = scenario.host(&event.host).is_some_and(|host| host.kind == HostKind::Router);
        match &event.command {
            Command::Link { .. } => {}
            _ if router => {
                return Err(BuildError::new(key, "routers obey \"link up\" and \"link down\" only"));
            }
            Command::Rule { rule: words, .. } => {
                rule(words, 0).map_err(|message| BuildError::new(key, message))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Seed of the content that one end of a flow writes: FNV-1a of both names, never 0 (all zeros).
fn content_seed(flow: &str, end: &str) -> u32 {
    let hash = flow
        .bytes()
        .chain([0])
        .chain(end.bytes())
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}

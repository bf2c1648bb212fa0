//! Commands to hosts during the run: `ip mptcp`, `ip link`, `ip address`, `ip route`, `ip rule`.
//!
//! New limits hold for connections opened later. Left out: what the kernel does with the subflows of an
//! address that is deleted.

use mptcp_model::host::{HostNode, InterfaceUse, NetNode};
use mptcp_model::mptcp::EndpointChange;
use mptcp_model::net::InterfaceId;
use mptcp_model::path_manager::Endpoint;
use mptcp_model::wire::Packet;
use sim_core::{Direction, LinkChange, NodeId, Observer, PortId};

use crate::build::{self, HostState, Network};
use crate::process::Process;
use crate::scenario::Event;
use crate::words::{Command, EndpointWords, Flag, Multipath};

impl<O: Observer<Packet>> Network<O> {
    /// Execute a command now.
    pub(super) fn execute(&mut self, event: &Event) -> Result<(), String> {
        let known = self.layout.node(&event.host).map(|node| node.id);
        let node = known.ok_or_else(|| format!("no host \"{}\"", event.host))?;
        if let Command::Link { dev, up } = &event.command {
            return self.set_link(node, dev, *up);
        }
        if let Command::LinkMultipath { dev, mode } = &event.command {
            let interface = self.interface(node, dev)?;
            let multipath = match mode {
                Multipath::On => InterfaceUse::On,
                Multipath::Off => InterfaceUse::Off,
                Multipath::Backup => InterfaceUse::Backup,
            };
            return self.on_host(node, |host, now| {
                host.host.set_interface_use(now, interface, multipath);
                Ok(())
            });
        }
        if let Some(changes) = self.endpoint_changes(node, &event.command)? {
            self.on_host(node, |host, now| {
                for change in changes {
                    host.host.endpoint_changed(now, change);
                }
                Ok(())
            })
        } else {
            self.on_host(node, |host, _| reroute(host, &event.command))
        }
    }

    /// Let `act` do something to a host, then send what comes of it.
    fn on_host(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut HostNode<Process>, sim_core::Instant) -> Result<(), String>,
    ) -> Result<(), String> {
        self.sim.with_node(node, |node, ctx| {
            let host = node.host_mut().ok_or("routers do not obey this")?;
            let result = act(host, ctx.now());
            host.run(ctx);
            result
        })
    }

    fn interface(&self, node: NodeId, dev: &str) -> Result<InterfaceId, String> {
        let host = &self.scenario.hosts[node.0 as usize];
        let interfaces = build::interfaces(&self.layout, node, host);
        let position = interfaces.iter().position(|(interface, _)| interface.name == dev);
        let interface = position.map(|position| InterfaceId(position as u16));
        interface.ok_or_else(|| format!("no interface \"{dev}\""))
    }

    fn set_link(&mut self, node: NodeId, dev: &str, up: bool) -> Result<(), String> {
        let interface = self.interface(node, dev)?;
        if let NetNode::Router(router) = self.sim.node_mut(node) {
            router.router.set_interface_up(interface, up);
            return Ok(());
        }
        self.set_carrier(node, interface, up)?;
        self.on_host(node, |host, now| {
            host.host.set_interface_up(interface, up);
            host.host.addresses_changed(now);
            Ok(())
        })
    }

    /// An interface that is down takes nothing from its link.
    fn set_carrier(&mut self, node: NodeId, interface: InterfaceId, up: bool) -> Result<(), String> {
        let Some(port) = self.layout.port_at(node, PortId(interface.0)) else { return Ok(()) };
        let incoming = match port.outgoing {
            Direction::AtoB => Direction::BtoA,
            Direction::BtoA => Direction::AtoB,
        };
        let change = if up { LinkChange::Up } else { LinkChange::Down };
        let now = self.sim.now();
        self.sim
            .schedule_link_change(now, port.link, Some(incoming), change)
            .map_err(|error| error.to_string())
    }

    /// What connections are told of a command about endpoints or limits; `None` for other commands.
    fn endpoint_changes(
        &mut self,
        node: NodeId,
        command: &Command,
    ) -> Result<Option<Vec<EndpointChange>>, String> {
        let state = self.hosts.get_mut(node.0 as usize).and_then(Option::as_mut);
        let Some(state) = state else { return Ok(None) };
        let changes = match command {
            Command::EndpointAdd(words) => {
                let added = state.endpoints.add(endpoint(words)).map_err(|error| error.to_string())?;
                vec![EndpointChange::Added(added)]
            }
            // Id 0 is the address of the initial subflow, whether an endpoint or not.
            Command::EndpointDelete { id: 0, address } => {
                let address = address.ok_or("endpoint id 0 needs an address")?;
                vec![EndpointChange::Removed(Endpoint { id: 0, address, ..blank(address) })]
            }
            Command::EndpointDelete { id, .. } => {
                let removed = state.endpoints.remove(*id).map_err(|error| error.to_string())?;
                vec![EndpointChange::Removed(removed)]
            }
            Command::EndpointChange { id, backup, fullmesh } => vec![change(state, *id, *backup, *fullmesh)?],
            Command::EndpointFlush => {
                state.endpoints.flush().into_iter().map(EndpointChange::Removed).collect()
            }
            Command::Limits { .. } => Vec::new(),
            _ => return Ok(None),
        };
        state.change_manager(|manager| {
            if let Command::Limits { subflows, add_addr_accepted } = command {
                manager.limits.subflows = subflows.unwrap_or(manager.limits.subflows);
                manager.limits.add_addr_accepted =
                    add_addr_accepted.unwrap_or(manager.limits.add_addr_accepted);
            }
        });
        Ok(Some(changes))
    }
}

fn change(
    state: &mut HostState,
    id: u8,
    backup: Option<bool>,
    fullmesh: Option<bool>,
) -> Result<EndpointChange, String> {
    let known = state.endpoints.as_slice().iter().find(|endpoint| endpoint.id == id);
    let known = *known.ok_or_else(|| format!("no endpoint has id {id}"))?;
    let (backup, fullmesh) = (backup.unwrap_or(known.backup), fullmesh.unwrap_or(known.fullmesh));
    let changed = state.endpoints.change(id, backup, fullmesh).map_err(|error| error.to_string())?;
    Ok(EndpointChange::Changed(changed))
}

const fn blank(address: std::net::IpAddr) -> Endpoint {
    Endpoint { id: 0, address, port: None, signal: false, subflow: false, backup: false, fullmesh: false }
}

fn endpoint(words: &EndpointWords) -> Endpoint {
    let has = |flag| words.flags.contains(&flag);
    Endpoint {
        id: words.id.unwrap_or(0),
        port: words.port,
        signal: has(Flag::Signal),
        subflow: has(Flag::Subflow),
        backup: has(Flag::Backup),
        fullmesh: has(Flag::Fullmesh),
        ..blank(words.address)
    }
}

/// Commands about addresses, routes and rules.
fn reroute(node: &mut HostNode<Process>, command: &Command) -> Result<(), String> {
    let routing = &mut node.host.routing;
    match command {
        Command::Address { dev, address, add } => {
            let interface = routing.interface(dev).ok_or_else(|| format!("no interface \"{dev}\""))?;
            if *add {
                routing.add_address(interface, build::address(address).map_err(|error| error.to_string())?);
            } else {
                routing.remove_address(interface, address.address);
            }
        }
        Command::Route { route, add } => {
            let route = build::route(route).map_err(|error| error.to_string())?;
            let done = if *add { routing.add_route(route) } else { routing.remove_route(&route) };
            done.map_err(|error| error.to_string())?;
        }
        Command::Rule { rule: words, add: true } => {
            let rule = build::rule(words, build::next_priority(routing))?;
            routing.add_rule(rule);
        }
        Command::Rule { rule: words, add: false } => {
            let wanted = build::rule(words, 0)?;
            let matches = |rule: &&mptcp_model::host::routing::Rule| {
                (rule.from, rule.table) == (wanted.from, wanted.table)
                    && words.priority.is_none_or(|priority| priority == rule.priority)
            };
            let found = routing.rules().iter().find(matches).copied();
            routing.remove_rule(found.ok_or("no such rule")?);
        }
        _ => return Err("not obeyed by this host".to_owned()),
    }
    node.host.routes_changed();
    Ok(())
}

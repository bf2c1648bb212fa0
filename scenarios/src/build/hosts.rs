//! Hosts and routers: interfaces, rules, routes, and the settings of sockets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mptcp_model::config::{self, MptcpConfig, TcpConfig};
use mptcp_model::congestion;
use mptcp_model::host::routing::RoutingError;
use mptcp_model::host::{self, RouterNode};
use mptcp_model::mptcp::{Content, SocketOptions};
use mptcp_model::net::icmp_limit::IcmpLimits;
use mptcp_model::net::router::{NextHop, ReversePath, RouteTarget, RouterInterface, StaticRoute};
use mptcp_model::net::{InterfaceId, Router, RouterConfig};
use mptcp_model::path_manager::EndpointTable;
use mptcp_model::path_manager::registry::{self, PathManagerConfig};
use mptcp_model::scheduler;
use sim_core::{Bytes, NodeId, Streams};

use super::{BuildError, CreateCongestion, routes};
use crate::layout::Layout;
use crate::scenario::{BufferSizes, Flow, Host, Interface, Parameter, Profile, Protocol, RpFilter};
use crate::settings::TcpSettings;

/// MTU of interfaces without a link.
const DEFAULT_MTU: u16 = 1500;

/// What sockets of a host are made from, and what commands change of it.
#[derive(Debug)]
pub(crate) struct HostState {
    pub(crate) endpoints: EndpointTable,
    tcp: Arc<TcpConfig>,
    mptcp: Option<Arc<MptcpConfig>>,
    /// Shared with the factories of all sockets.
    manager: Arc<Mutex<PathManagerConfig>>,
}

/// Interfaces with their MTUs: first those attached to links, in the order of ports, then the others.
pub(crate) fn interfaces<'a>(layout: &Layout, node: NodeId, host: &'a Host) -> Vec<(&'a Interface, u16)> {
    let attached =
        layout.ports_of(node).filter_map(|port| Some((host.interface(&port.interface)?, port.mtu)));
    let others = host
        .interfaces
        .iter()
        .filter(|interface| layout.port(&host.name, &interface.name).is_none())
        .map(|interface| (interface, DEFAULT_MTU));
    attached.chain(others).collect()
}

fn addresses(
    key: &str,
    interface: &Interface,
) -> Result<Vec<mptcp_model::net::InterfaceAddress>, BuildError> {
    let read = interface.addresses.iter().map(routes::address).collect::<Result<_, _>>();
    read.map_err(|error| BuildError::new(format!("{key}.interfaces.{}.addresses", interface.name), error))
}

/// A host with its interfaces, rules and routes.
pub(super) fn host(
    host: &Host,
    interfaces: &[(&Interface, u16)],
    streams: Streams,
) -> Result<host::Host, BuildError> {
    let key = format!("hosts.{}", host.name);
    let mut built = host::Host::new(&host.name, streams);
    for (interface, mtu) in interfaces {
        built.add_interface(&interface.name, *mtu, &addresses(&key, interface)?);
    }
    for (index, words) in host.rules.iter().enumerate() {
        let rule = routes::rule(words, routes::next_priority(&built.routing))
            .map_err(|message| BuildError::new(format!("{key}.rules[{index}]"), message))?;
        built.routing.add_rule(rule);
    }
    for (index, words) in host.routes.iter().enumerate() {
        let fail = |error: &dyn core::fmt::Display| BuildError::new(format!("{key}.routes[{index}]"), error);
        let route = routes::route(words).map_err(|error| fail(&error))?;
        match built.routing.add_route(route) {
            Ok(()) => {}
            // The route to the network of an interface, written out.
            Err(RoutingError::Exists(_)) if words.via.is_none() && words.metric == 0 => {}
            Err(error) => return Err(fail(&error)),
        }
    }
    Ok(built)
}

/// A router with its interfaces and static routes.
pub(super) fn router(
    host: &Host,
    interfaces: &[(&Interface, u16)],
    seed: u64,
) -> Result<RouterNode, BuildError> {
    let key = format!("hosts.{}", host.name);
    if !host.rules.is_empty() {
        return Err(BuildError::new(format!("{key}.rules"), "routers have no policy rules; use routes"));
    }
    let mut config = RouterConfig {
        hash_seed: seed,
        reverse_path: match host.rp_filter {
            RpFilter::Off => ReversePath::Off,
            RpFilter::Strict => ReversePath::Strict,
            RpFilter::Loose => ReversePath::Loose,
        },
        icmp_limits: Some(IcmpLimits::default()),
        ..RouterConfig::default()
    };
    for (interface, mtu) in interfaces {
        let addresses = addresses(&key, interface)?;
        config.interfaces.push(RouterInterface { addresses, mtu: u32::from(*mtu) });
    }
    // Of several routes for one destination the one with the least metric counts.
    let mut best = BTreeMap::new();
    for (index, words) in host.routes.iter().enumerate() {
        let key = format!("{key}.routes[{index}]");
        if words.table != crate::words::TABLE_MAIN {
            return Err(BuildError::new(key, "routers have the table \"main\" only"));
        }
        let prefix = routes::prefix(words).map_err(|error| BuildError::new(key.as_str(), error))?;
        if words.via.is_some_and(|gateway| !routes::same_family(&prefix, &gateway)) {
            return Err(BuildError::new(key, "destination and gateway are of different IP versions"));
        }
        let named = |name: &String| interfaces.iter().position(|(interface, _)| interface.name == *name);
        let interface = words.dev.as_ref().and_then(named).map(|index| InterfaceId(index as u16));
        let hop = NextHop { interface, gateway: words.via };
        let entry = best.entry((prefix.address(), prefix.len())).or_insert((words.metric, prefix, hop));
        if words.metric < entry.0 {
            *entry = (words.metric, prefix, hop);
        }
    }
    config.routes = best
        .into_values()
        .map(|(_, prefix, hop)| StaticRoute { prefix, target: RouteTarget::NextHops(vec![hop]) })
        .collect();
    let router = Router::new(config).map_err(|error| BuildError::new(format!("{key}.routes"), error))?;
    Ok(RouterNode::new(router, host.name.clone()))
}

impl HostState {
    pub(super) fn new(profile: Profile, host: &Host) -> Result<Self, BuildError> {
        let key = format!("hosts.{}", host.name);
        let mut endpoints = EndpointTable::default();
        for (index, entry) in host.endpoints.iter().enumerate() {
            endpoints
                .add(entry.endpoint)
                .map_err(|error| BuildError::new(format!("{key}.mptcp.endpoints[{index}]"), error))?;
        }
        check_parameters(host, &key)?;
        let manager = PathManagerConfig {
            endpoints: endpoints.as_slice().to_vec(),
            limits: host.mptcp.limits,
            num_subflows: num_subflows(host, &key)?,
        };
        Ok(Self {
            endpoints,
            tcp: Arc::new(tcp_config(profile, &host.tcp)),
            mptcp: host.mptcp.enabled.then(|| Arc::new(mptcp_config(profile, host))),
            manager: Arc::new(Mutex::new(manager)),
        })
    }

    /// Change what the path managers of new connections are made from.
    pub(crate) fn change_manager(&mut self, change: impl FnOnce(&mut PathManagerConfig)) {
        let mut manager = self.manager.lock().unwrap_or_else(PoisonError::into_inner);
        manager.endpoints = self.endpoints.as_slice().to_vec();
        change(&mut manager);
    }

    /// Options of a socket of the flow on this host, writing content of `seed`.
    pub(super) fn socket_options(
        &self,
        host: &Host,
        (index, flow): (usize, &Flow),
        seed: u32,
        create: CreateCongestion,
    ) -> Result<SocketOptions, BuildError> {
        let key = |chosen: bool, field: &str, of_host: &str| {
            if chosen { format!("flows[{index}].{field}") } else { format!("hosts.{}.{of_host}", host.name) }
        };
        let name = flow.congestion_control.clone();
        let congestion_key = key(name.is_some(), "congestion_control", "tcp.tcp_congestion_control");
        let name = name.unwrap_or_else(|| host.tcp.tcp_congestion_control.clone());
        let parameters: congestion::Parameters = flow
            .congestion_parameters
            .iter()
            .map(|(name, value)| (name.clone(), congestion_value(value)))
            .collect();
        create(&name, &parameters).map_err(|error| {
            let own = matches!(error, congestion::CreateError::Parameter(_));
            let key = if own { format!("flows[{index}].congestion_parameters") } else { congestion_key };
            BuildError::new(key, error)
        })?;
        let chosen = flow.scheduler.is_some();
        let scheduler = flow.scheduler.as_ref().unwrap_or(&host.mptcp.scheduler);
        let scheduler = scheduler::list()
            .iter()
            .find(|info| info.name == scheduler)
            .ok_or_else(|| {
                let known: Vec<_> = scheduler::list().iter().map(|info| info.name).collect();
                let message =
                    format!("there is no scheduler \"{scheduler}\"; there are: {}", known.join(", "));
                BuildError::new(key(chosen, "scheduler", "mptcp.scheduler"), message)
            })?
            .name;
        let wanted = &host.mptcp.path_manager;
        let manager = registry::find(wanted).ok_or_else(|| {
            let known: Vec<_> = registry::PATH_MANAGERS.iter().map(|entry| entry.name).collect();
            let message = format!("there is no path manager \"{wanted}\"; there are: {}", known.join(", "));
            BuildError::new(key(false, "", "mptcp.path_manager"), message)
        })?;
        let config = Arc::clone(&self.manager);
        Ok(SocketOptions {
            tcp: Arc::clone(&self.tcp),
            mptcp: self.mptcp.clone().filter(|_| flow.protocol == Protocol::Mptcp),
            congestion: Arc::new(move || {
                create(&name, &parameters).expect("it was created once when the network was built")
            }),
            scheduler: Arc::new(move || {
                scheduler::create(scheduler).expect("the name is from the list of schedulers")
            }),
            path_manager: Arc::new(move || {
                (manager.build)(&config.lock().unwrap_or_else(PoisonError::into_inner))
            }),
            content: Content::Pattern(seed),
        })
    }
}

/// Decimal numbers are texts in scenarios, so that they are kept as written.
fn congestion_value(parameter: &Parameter) -> congestion::Value {
    match parameter {
        Parameter::Integer(number) => congestion::Value::Number(*number as f64),
        Parameter::Switch(switch) => congestion::Value::Switch(*switch),
        Parameter::Text(text) => match text.parse() {
            Ok(number) => congestion::Value::Number(number),
            Err(_) => congestion::Value::Text(text.clone()),
        },
    }
}

/// No scheduler has parameters, and one path manager has one.
fn check_parameters(host: &Host, key: &str) -> Result<(), BuildError> {
    let refuse = |table: &str, name: &str, message: String| {
        Err(BuildError::new(format!("{key}.mptcp.{table}.{name}"), message))
    };
    if let Some(name) = host.mptcp.scheduler_parameters.keys().next() {
        let message = format!("the scheduler \"{}\" has no parameters", host.mptcp.scheduler);
        return refuse("scheduler_parameters", name, message);
    }
    let manager = &host.mptcp.path_manager;
    let known = if manager == "ndiffports" { "it has: num_subflows" } else { "it has none" };
    let mut names = host.mptcp.path_manager_parameters.keys();
    match names.find(|name| *name != "num_subflows" || manager != "ndiffports") {
        None => Ok(()),
        Some(name) => {
            let message = format!("the path manager \"{manager}\" has no parameter \"{name}\"; {known}");
            refuse("path_manager_parameters", name, message)
        }
    }
}

fn num_subflows(host: &Host, key: &str) -> Result<u8, BuildError> {
    match host.mptcp.path_manager_parameters.get("num_subflows") {
        None => Ok(PathManagerConfig::default().num_subflows),
        Some(Parameter::Integer(number)) if (1..=32).contains(number) => Ok(*number as u8),
        Some(_) => {
            let key = format!("{key}.mptcp.path_manager_parameters.num_subflows");
            Err(BuildError::new(key, "must be a whole number from 1 to 32"))
        }
    }
}

const fn model_profile(profile: Profile) -> config::Profile {
    match profile {
        Profile::LinuxUpstream => config::Profile::LinuxUpstream,
        Profile::LinuxOot => config::Profile::LinuxOot,
        Profile::Rfc => config::Profile::Rfc,
    }
}

fn sizes(sizes: BufferSizes) -> [u32; 3] {
    [sizes.min, sizes.default, sizes.max].map(|Bytes(bytes)| u32::try_from(bytes).unwrap_or(u32::MAX))
}

fn small(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn tcp_config(profile: Profile, settings: &TcpSettings) -> TcpConfig {
    TcpConfig {
        sack: settings.tcp_sack,
        dsack: settings.tcp_dsack,
        moderate_rcvbuf: settings.tcp_moderate_rcvbuf,
        ecn: small(settings.tcp_ecn),
        timestamps: settings.tcp_timestamps,
        window_scaling: settings.tcp_window_scaling,
        rmem: sizes(settings.tcp_rmem),
        wmem: sizes(settings.tcp_wmem),
        rto_min: settings.tcp_rto_min,
        syn_retries: small(settings.tcp_syn_retries),
        synack_retries: small(settings.tcp_synack_retries),
        retries: small(settings.tcp_retries2),
        slow_start_after_idle: settings.tcp_slow_start_after_idle,
        frto: settings.tcp_frto != 0,
        tail_loss_probe: settings.tcp_early_retrans >= 3,
        static_reordering_window: settings.tcp_recovery & 2 != 0,
        no_dup_thresh: settings.tcp_recovery & 4 != 0,
        reordering: settings.tcp_reordering,
        comp_sack_segments: small(settings.tcp_comp_sack_nr),
        comp_sack_delay: settings.tcp_comp_sack_delay,
        fin_timeout: settings.tcp_fin_timeout,
        ..TcpConfig::new(model_profile(profile))
    }
}

fn mptcp_config(profile: Profile, host: &Host) -> MptcpConfig {
    let settings = &host.mptcp;
    MptcpConfig {
        version: small(settings.version),
        checksum: settings.checksum_enabled,
        allow_join_initial_addr_port: settings.allow_join_initial_addr_port,
        add_addr_timeout: settings.add_addr_timeout,
        syn_retrans_before_tcp_fallback: small(settings.syn_retrans_before_tcp_fallback),
        stale_loss_cnt: small(settings.stale_loss_cnt),
        close_timeout: settings.close_timeout,
        blackhole_timeout: settings.blackhole_timeout,
        ..MptcpConfig::new(model_profile(profile))
    }
}

//! Hosts: interfaces, routing, settings, endpoints; and the commands given to them during the run.

use core::ops::Range;
use std::collections::BTreeMap;
use std::net::IpAddr;

use mptcp_model::path_manager::{Endpoint, Limits};
use sim_core::Instant;

use super::Context;
use crate::language::document::{Document, RawEndpoint, RawEvent, RawHost};
use crate::language::kinds::{RouteWords, RuleWords};
use crate::language::value::{Located, Text};
use crate::scenario::{EndpointConfig, Event, Host, HostKind, Interface, RpFilter};
use crate::settings::{MptcpSettings, Profile, RawMptcp, RawTcp, TcpSettings};
use crate::units::Complaint;
use crate::words::{Command, EndpointWords, Flag, Route, Rule};

const RP_FILTERS: [(&str, RpFilter); 3] =
    [("off", RpFilter::Off), ("strict", RpFilter::Strict), ("loose", RpFilter::Loose)];

/// What a host starts from.
struct Base {
    rp_filter: RpFilter,
    tcp: TcpSettings,
    mptcp: MptcpSettings,
}

pub(super) fn resolve(context: &mut Context<'_>, document: &Document) -> (Profile, Vec<Host>) {
    let defaults = document.defaults.clone().unwrap_or_default();
    let profile = match &defaults.profile {
        None => Profile::default(),
        Some(name) => {
            context.known(&name.span, "defaults.profile", &name.value, &Profile::NAMES, "profile");
            Profile::of(&name.value).unwrap_or_default()
        }
    };
    let mut base = Base {
        rp_filter: context.choice("defaults.rp_filter", defaults.rp_filter.as_ref(), &RP_FILTERS),
        tcp: TcpSettings::of_profile(profile),
        mptcp: MptcpSettings::of_profile(profile),
    };
    if let Some(raw) = &defaults.tcp {
        tcp(context, raw, "defaults.tcp", &mut base.tcp);
    }
    if let Some(raw) = &defaults.mptcp {
        mptcp(context, &raw.value, "defaults.mptcp", &mut base.mptcp);
        if let Some(endpoint) = raw.value.endpoints.as_ref().and_then(|endpoints| endpoints.first()) {
            let help = "move them to [hosts.NAME.mptcp]";
            context.conflict(&endpoint.span, "defaults.mptcp.endpoints", "endpoints belong to a host", help);
        }
    }
    let mut owners = BTreeMap::new();
    let hosts: Vec<Host> = document
        .hosts
        .iter()
        .flatten()
        .map(|(name, raw)| {
            let path = format!("hosts.{name}");
            context.name(&raw.span, &path, name);
            host(context, &base, name, &raw.value, &path, &mut owners)
        })
        .collect();
    profile_is_known(context, defaults.profile.as_ref(), profile, &hosts);
    (profile, hosts)
}

/// A profile may stand for a kernel whose algorithms are not simulated: then hosts must choose others.
fn profile_is_known(
    context: &mut Context<'_>,
    written: Option<&Located<String>>,
    profile: Profile,
    hosts: &[Host],
) {
    let usual = MptcpSettings::of_profile(profile);
    let names = context.names;
    let span = written.map_or(0..0, |written| written.span.clone());
    for (key, what, usual, known, of) in [
        (
            "path_manager",
            "path manager",
            &usual.path_manager,
            names.path_managers,
            (|host| &host.mptcp.path_manager) as fn(&Host) -> &String,
        ),
        ("scheduler", "scheduler", &usual.scheduler, names.schedulers, |host| &host.mptcp.scheduler),
    ] {
        let is_left = |host: &&Host| host.kind == HostKind::Host && of(host) == usual;
        if known.contains(&usual.as_str()) || !hosts.iter().any(|host| is_left(&host)) {
            continue;
        }
        let message = format!("the {what} of this profile, \"{usual}\", is not simulated");
        let help = format!("set {key} in [defaults.mptcp]; {what}s: {}", known.join(", "));
        context.conflict(&span, "defaults.profile", message, help);
    }
}

fn host(
    context: &mut Context<'_>,
    base: &Base,
    name: &str,
    raw: &RawHost,
    path: &str,
    owners: &mut BTreeMap<IpAddr, String>,
) -> Host {
    let mut host = Host {
        name: name.to_owned(),
        kind: context.choice(
            &format!("{path}.kind"),
            raw.kind.as_ref(),
            &[("host", HostKind::Host), ("router", HostKind::Router)],
        ),
        interfaces: Vec::new(),
        rules: Vec::new(),
        routes: Vec::new(),
        rp_filter: match &raw.rp_filter {
            None => base.rp_filter,
            word => context.choice(&format!("{path}.rp_filter"), word.as_ref(), &RP_FILTERS),
        },
        tcp: base.tcp.clone(),
        mptcp: base.mptcp.clone(),
        endpoints: Vec::new(),
    };
    for (interface_name, interface) in raw.interfaces.iter().flatten() {
        let path = format!("{path}.interfaces.{interface_name}");
        context.name(&(0..0), &path, interface_name);
        let mut addresses = Vec::new();
        for text in interface.addresses.iter().flatten() {
            let path = format!("{path}.addresses");
            let Some(cidr) = context.read(&path, text) else { continue };
            let owner = format!("{name}:{interface_name}");
            if let Some(first) = owners.insert(cidr.address, owner) {
                let message = format!("{} is already an address of {first}", cidr.address);
                context.duplicate(&text.span, &path, message, "give each interface an address of its own");
            }
            addresses.push(cidr);
        }
        let mac = interface.mac.as_ref().and_then(|mac| context.read(&format!("{path}.mac"), mac));
        host.interfaces.push(Interface { name: interface_name.clone(), addresses, mac });
    }
    if let Some(raw) = &raw.tcp {
        tcp(context, raw, &format!("{path}.tcp"), &mut host.tcp);
    }
    if let Some(raw) = &raw.mptcp {
        mptcp(context, &raw.value, &format!("{path}.mptcp"), &mut host.mptcp);
    }
    host.rules = rules(context, raw.rules.as_deref().unwrap_or_default(), &format!("{path}.rules"), &host);
    host.routes =
        routes(context, raw.routes.as_deref().unwrap_or_default(), &format!("{path}.routes"), &host);
    let raw_endpoints =
        raw.mptcp.as_ref().and_then(|mptcp| mptcp.value.endpoints.as_deref()).unwrap_or_default();
    host.endpoints = endpoints(context, raw_endpoints, &format!("{path}.mptcp.endpoints"), &host);
    host
}

fn algorithm(
    context: &mut Context<'_>,
    text: Option<&Located<Text<crate::language::kinds::Word>>>,
    path: &str,
    known: &[&str],
    what: &str,
) {
    if let Some((text, name)) = text.and_then(|text| context.read(path, text).map(|name| (text, name))) {
        context.known(&text.span, path, &name, known, what);
    }
}

fn tcp(context: &mut Context<'_>, raw: &RawTcp, path: &str, settings: &mut TcpSettings) {
    raw.apply(context, path, settings);
    let key = format!("{path}.tcp_congestion_control");
    let known = context.names.congestion_controls;
    algorithm(context, raw.tcp_congestion_control.as_ref(), &key, known, "congestion control");
    for (key, text, most) in [
        ("tcp_ecn", &raw.tcp_ecn, 2),
        ("tcp_syn_retries", &raw.tcp_syn_retries, 127),
        ("tcp_synack_retries", &raw.tcp_synack_retries, 255),
        ("tcp_retries2", &raw.tcp_retries2, 255),
    ] {
        if let Some(text) = text {
            context.count(&format!("{path}.{key}"), text, 0, most);
        }
    }
}

fn mptcp(context: &mut Context<'_>, raw: &RawMptcp, path: &str, settings: &mut MptcpSettings) {
    raw.apply(context, path, settings);
    let names = context.names;
    algorithm(
        context,
        raw.path_manager.as_ref(),
        &format!("{path}.path_manager"),
        names.path_managers,
        "path manager",
    );
    algorithm(context, raw.scheduler.as_ref(), &format!("{path}.scheduler"), names.schedulers, "scheduler");
    if let Some(text) = &raw.version {
        context.count(&format!("{path}.version"), text, 0, 1);
    }
    if let Some(limits) = &raw.limits {
        let Limits { subflows, add_addr_accepted } = &mut settings.limits;
        for (key, text, limit) in [
            ("subflows", &limits.subflows, subflows),
            ("add_addr_accepted", &limits.add_addr_accepted, add_addr_accepted),
        ] {
            let Some(text) = text else { continue };
            if let Some(value) = context.count(&format!("{path}.limits.{key}"), text, 0, 8) {
                *limit = u8::try_from(value).unwrap_or(8);
            }
        }
    }
    if raw.path_manager_parameters.is_some() {
        let path = format!("{path}.path_manager_parameters");
        settings.path_manager_parameters = context.parameters(&path, raw.path_manager_parameters.as_ref());
    }
    if raw.scheduler_parameters.is_some() {
        let path = format!("{path}.scheduler_parameters");
        settings.scheduler_parameters = context.parameters(&path, raw.scheduler_parameters.as_ref());
    }
}

fn interface_exists(
    context: &mut Context<'_>,
    span: &Range<usize>,
    path: &str,
    host: &Host,
    name: &str,
) -> bool {
    let known: Vec<&str> = host.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    context.known(span, path, name, &known, &format!("interface of {}", host.name))
}

fn rules(context: &mut Context<'_>, raw: &[Located<Text<RuleWords>>], path: &str, host: &Host) -> Vec<Rule> {
    let mut rules = Vec::new();
    for text in raw {
        let Some(rule) = context.read(path, text) else { continue };
        if let Some(iif) = &rule.iif {
            interface_exists(context, &text.span, path, host, iif);
        }
        if rule.priority.is_none() && rules.contains(&rule) {
            context.duplicate(
                &text.span,
                path,
                format!("the rule \"{rule}\" is there already"),
                "write it once",
            );
        }
        rules.push(rule);
    }
    rules
}

fn routes(
    context: &mut Context<'_>,
    raw: &[Located<Text<RouteWords>>],
    path: &str,
    host: &Host,
) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for text in raw {
        let Some(route) = context.read(path, text) else { continue };
        check_route(context, &text.span, path, host, &route);
        let same = |other: &Route| {
            (&other.destination, other.table, other.metric, family(other))
                == (&route.destination, route.table, route.metric, family(&route))
        };
        if routes.iter().any(same) {
            let message = format!("\"{route}\" has the destination and table of a route above");
            context.duplicate(&text.span, path, message, "give it another \"metric\" or \"table\"");
        }
        routes.push(route);
    }
    routes
}

/// Whether a route is for IPv4, as far as it tells.
fn family(route: &Route) -> Option<bool> {
    route.destination.map(|destination| destination.address.is_ipv4()).or(route.via.map(|via| via.is_ipv4()))
}

fn check_route(context: &mut Context<'_>, span: &Range<usize>, path: &str, host: &Host, route: &Route) {
    if let Some(dev) = &route.dev
        && !interface_exists(context, span, path, host, dev)
    {
        return;
    }
    if let Some(via) = route.via {
        let candidates = || {
            host.interfaces
                .iter()
                .filter(|interface| route.dev.as_ref().is_none_or(|dev| *dev == interface.name))
        };
        if !candidates().any(|interface| interface.addresses.iter().any(|cidr| cidr.contains(via))) {
            let networks: Vec<String> = candidates()
                .flat_map(|interface| {
                    interface.addresses.iter().map(move |cidr| format!("{cidr} on {}", interface.name))
                })
                .collect();
            let on = route.dev.as_ref().map_or_else(String::new, |dev| format!(" by {dev}"));
            let message = format!("the next hop {via} cannot be reached{on}");
            context.conflict(
                span,
                path,
                message,
                format!("networks of {}: {}", host.name, networks.join(", ")),
            );
        }
    }
    if let Some(src) = route.src {
        own_address(context, span, path, host, src);
    }
}

fn own_address(context: &mut Context<'_>, span: &Range<usize>, path: &str, host: &Host, address: IpAddr) {
    if host.addresses().any(|own| own == address) {
        return;
    }
    let own: Vec<String> = host.addresses().map(|own| own.to_string()).collect();
    let message = format!("{address} is not an address of {}", host.name);
    context.conflict(span, path, message, format!("addresses of {}: {}", host.name, own.join(", ")));
}

/// Endpoints with their ids. An endpoint without id gets the lowest free one, after the given ids are
/// taken.
fn endpoints(
    context: &mut Context<'_>,
    raw: &[Located<RawEndpoint>],
    path: &str,
    host: &Host,
) -> Vec<EndpointConfig> {
    let mut words: Vec<EndpointWords> = Vec::new();
    for (index, located) in raw.iter().enumerate() {
        let path = format!("{path}.{index}");
        let Some(endpoint) = endpoint(context, located, &path, host) else { continue };
        if endpoint.id.is_some_and(|id| words.iter().any(|other| other.id == Some(id))) {
            let message = format!("endpoint id {} is used twice", endpoint.id.unwrap_or_default());
            context.duplicate(
                &located.span,
                &path,
                message,
                "give each endpoint of a host its own id, or none",
            );
        }
        if words.iter().any(|other| (other.address, other.port) == (endpoint.address, endpoint.port)) {
            let message = format!("{} has an endpoint already", endpoint.address);
            context.duplicate(&located.span, &path, message, "give one endpoint all the flags");
        }
        words.push(endpoint);
    }
    if let Some(ninth) = raw.get(8) {
        context.conflict(
            &ninth.span,
            path,
            format!("{} endpoints", raw.len()),
            "a host has at most 8 endpoints",
        );
    }
    let mut taken: Vec<u8> = words.iter().filter_map(|endpoint| endpoint.id).collect();
    words
        .into_iter()
        .map(|endpoint| {
            let id = endpoint.id.unwrap_or_else(|| {
                let id = (1..=u8::MAX).find(|id| !taken.contains(id)).unwrap_or(u8::MAX);
                taken.push(id);
                id
            });
            let has = |flag| endpoint.flags.contains(&flag);
            EndpointConfig {
                endpoint: Endpoint {
                    id,
                    address: endpoint.address,
                    port: endpoint.port,
                    signal: has(Flag::Signal),
                    subflow: has(Flag::Subflow),
                    backup: has(Flag::Backup),
                    fullmesh: has(Flag::Fullmesh),
                },
                dev: endpoint.dev,
            }
        })
        .collect()
}

fn endpoint(
    context: &mut Context<'_>,
    located: &Located<RawEndpoint>,
    path: &str,
    host: &Host,
) -> Option<EndpointWords> {
    let raw = &located.value;
    let address_text =
        context.require(&located.span, path, "address", raw.address.as_ref(), "\"10.0.2.2\"")?;
    let address = context.read(&format!("{path}.address"), address_text)?;
    own_address(context, &address_text.span, &format!("{path}.address"), host, address);
    let id = raw.id.as_ref().and_then(|text| context.count(&format!("{path}.id"), text, 1, 255));
    let port = raw.port.as_ref().and_then(|text| context.count(&format!("{path}.port"), text, 1, 65_535));
    let dev = raw.dev.as_ref().map(|dev| {
        interface_exists(context, &dev.span, &format!("{path}.dev"), host, &dev.value);
        dev.value.clone()
    });
    let mut flags = Vec::new();
    for word in raw.flags.iter().flatten() {
        let known: Vec<&str> = crate::words::FLAGS.iter().map(|(name, _)| *name).collect();
        context.known(&word.span, &format!("{path}.flags"), &word.value, &known, "flag");
        flags.extend(Flag::of(&word.value));
    }
    flags.sort_unstable();
    flags.dedup();
    let endpoint = EndpointWords {
        address,
        id: id.and_then(|id| u8::try_from(id).ok()),
        port: port.and_then(|port| u16::try_from(port).ok()),
        dev,
        flags,
    };
    if let Err(Complaint { message, help }) = endpoint.check() {
        context.conflict(&located.span, path, message, help);
    }
    Some(endpoint)
}

/// The commands given to hosts. Addresses and interfaces they name must exist, or be added by another
/// command.
pub(super) fn events(context: &mut Context<'_>, raw: &[Located<RawEvent>], hosts: &[Host]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut spans = Vec::new();
    for (index, located) in raw.iter().enumerate() {
        let path = format!("events.{index}");
        let raw = &located.value;
        let at = context.require(&located.span, &path, "at", raw.at.as_ref(), "\"1 s\"");
        let at = at.and_then(|at| context.read(&format!("{path}.at"), at));
        let host = context.require(&located.span, &path, "host", raw.host.as_ref(), "\"client\"");
        let host =
            host.and_then(|name| context.host(&name.span, &format!("{path}.host"), &name.value, hosts));
        let text = context.require(&located.span, &path, "command", raw.command.as_ref(), "\"link down c0\"");
        let command = text.and_then(|text| context.read(&format!("{path}.command"), text));
        if let (Some(at), Some(host), Some(text), Some(command)) = (at, host, text, command) {
            spans.push((text.span.clone(), format!("{path}.command"), host));
            events.push(Event { at: Instant::ZERO + at, host: host.name.clone(), command });
        }
    }
    for (event, (span, path, host)) in events.iter().zip(&spans) {
        let dev = match &event.command {
            Command::EndpointAdd(endpoint) => {
                let added = events.iter().any(|other: &Event| {
                    other.host == event.host && matches!(&other.command, Command::Address { address, add: true, .. } if address.address == endpoint.address)
                });
                if !added {
                    own_address(context, span, path, host, endpoint.address);
                }
                endpoint.dev.as_ref()
            }
            Command::Link { dev, .. } | Command::LinkMultipath { dev, .. } | Command::Address { dev, .. } => {
                Some(dev)
            }
            Command::Route { route, .. } => route.dev.as_ref(),
            Command::Rule { rule, .. } => rule.iif.as_ref(),
            _ => None,
        };
        if let Some(dev) = dev {
            interface_exists(context, span, path, host, dev);
        }
    }
    events
}

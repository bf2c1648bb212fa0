//! What a scenario says without effect: settings that the simulated stack does not have, and what can never happen in
//! the run. None of it is wrong, but who wrote it may wait for something that does not come.

use mptcp_model::host::routing::Routing;
use sim_core::Instant;

use crate::scenario::{
    Host, HostKind, Link, LinkDirection, Profile, Protocol, QueueLimit, RpFilter, Scenario,
};
use crate::settings::TcpSettings;

/// All of it, a sentence each.
pub(super) fn without_effect(scenario: &Scenario) -> Vec<String> {
    let mut remarks = Vec::new();
    if scenario.flows.is_empty() {
        remarks.push("there are no flows: nothing is sent".to_owned());
    }
    for host in scenario.hosts.iter().filter(|host| host.kind == HostKind::Host) {
        settings(scenario.profile, host, &mut remarks);
        interfaces(scenario, host, &mut remarks);
    }
    for link in &scenario.links {
        directions(link, &mut remarks);
    }
    late(scenario, &mut remarks);
    remarks
}

/// Settings without a counterpart in the model, where they differ from what it does.
fn settings(profile: Profile, host: &Host, remarks: &mut Vec<String>) {
    let usual = TcpSettings::of_profile(profile);
    let Host { name, tcp, mptcp, .. } = host;
    let unknown = "the simulated stack has no such choice";
    let mut note = |differs: bool, key: &str, why: &str| {
        if differs {
            remarks.push(format!("hosts.{name}.{key} has no effect: {why}"));
        }
    };
    note(tcp.tcp_recovery & 1 != usual.tcp_recovery & 1, "tcp.tcp_recovery", unknown);
    note(tcp.tcp_autocorking != usual.tcp_autocorking, "tcp.tcp_autocorking", unknown);
    let limit = tcp.tcp_limit_output_bytes != usual.tcp_limit_output_bytes;
    note(limit, "tcp.tcp_limit_output_bytes", unknown);
    note(host.rp_filter != RpFilter::Off, "rp_filter", "only routers filter");
    let other = mptcp.path_manager != "kernel" && !host.endpoints.is_empty();
    let why = format!("the path manager \"{}\" does not look at endpoints", mptcp.path_manager);
    note(other, "mptcp.endpoints", &why);
}

/// Interfaces that lead nowhere.
fn interfaces(scenario: &Scenario, host: &Host, remarks: &mut Vec<String>) {
    for interface in &host.interfaces {
        let is_it = |port: &crate::scenario::Port| port.host == host.name && port.interface == interface.name;
        if !scenario.links.iter().any(|link| is_it(&link.a) || is_it(&link.b)) {
            let key = format!("hosts.{}.interfaces.{}", host.name, interface.name);
            remarks.push(format!("{key} has no link: what is sent there is lost"));
        }
    }
}

/// Keys of a link that wait for others.
fn directions(link: &Link, remarks: &mut Vec<String>) {
    for (side, direction) in [("ab", &link.ab), ("ba", &link.ba)] {
        let LinkDirection { rate, queue, random_drop, ecn_threshold, jitter, reorder, .. } = direction;
        let changed = |change: &crate::scenario::LinkChange| {
            change.rate.is_some() && if side == "ab" { change.ab } else { change.ba }
        };
        let waits = rate.is_some() || link.changes.iter().any(changed);
        let mut note = |useless: bool, key: &str, why: &str| {
            if useless {
                remarks.push(format!("links.{}.{key} has no effect from {side}: {why}", link.name));
            }
        };
        let no_rate = "without a rate nothing waits";
        note(*reorder && jitter.is_zero(), "reorder", "there is no jitter");
        note(random_drop.is_some() && !waits, "random_drop", no_rate);
        note(ecn_threshold.is_some() && !waits, "ecn_threshold", no_rate);
        let beyond = match (ecn_threshold, queue) {
            (Some(threshold), QueueLimit::Packets(limit)) => u64::from(*threshold) >= *limit,
            _ => false,
        };
        note(beyond && waits, "ecn_threshold", "the queue is full before");
    }
}

/// What comes after the end of the run.
fn late(scenario: &Scenario, remarks: &mut Vec<String>) {
    let end = Instant::ZERO + scenario.duration;
    let mut note = |at: Instant, key: String, what: &str| {
        let (at, end) = (at.saturating_since(Instant::ZERO), scenario.duration);
        remarks.push(format!("{key}: {at} is not before the end of the run, {end}: {what}"));
    };
    for flow in scenario.flows.iter().filter(|flow| flow.start >= end) {
        note(flow.start, format!("flows.{}.start", flow.name), "the flow never starts");
    }
    for (index, event) in scenario.events.iter().enumerate().filter(|(_, event)| event.at >= end) {
        note(event.at, format!("events.{index}.at"), "it never happens");
    }
    for link in &scenario.links {
        for change in link.changes.iter().filter(|change| change.at >= end) {
            note(change.at, format!("links.{}.changes", link.name), "it never happens");
        }
    }
}

/// Endpoints for subflows whose packets leave by another interface than theirs: who gave the host no rule for the address
/// measures one path twice.
pub(super) fn detours(scenario: &Scenario, host: &Host, routing: &Routing) -> Vec<String> {
    let mut remarks = Vec::new();
    let flows =
        scenario.flows.iter().filter(|flow| flow.from == host.name && flow.protocol == Protocol::Mptcp);
    let servers: Vec<_> = flows.map(|flow| flow.destination.ip()).collect();
    let endpoints = host.endpoints.iter().enumerate().filter(|_| host.mptcp.path_manager == "kernel");
    // A full mesh also goes to addresses that the server announces.
    for (index, config) in
        endpoints.filter(|(_, config)| config.endpoint.subflow && !config.endpoint.fullmesh)
    {
        let own = config.endpoint.address;
        let owner = host.interfaces.iter().find(|one| one.addresses.iter().any(|cidr| cidr.address == own));
        let Some(wanted) = owner.and_then(|owner| routing.interface(&owner.name)) else { continue };
        let detour = servers.iter().filter(|server| server.is_ipv4() == own.is_ipv4()).find_map(|server| {
            let decision = routing.lookup(Some(own), *server).ok()?;
            (decision.interface != wanted).then_some((server, decision.interface))
        });
        let name = |id| host.interfaces.iter().find(|one| routing.interface(&one.name) == Some(id));
        if let Some((server, taken)) = detour
            && let (Some(taken), Some(wanted)) = (name(taken), name(wanted))
        {
            let (host, taken, wanted) = (&host.name, &taken.name, &wanted.name);
            remarks.push(format!(
                "hosts.{host}.mptcp.endpoints.{index}: what {own} sends to {server} leaves by {taken}, not by {wanted}; a rule \
                 \"from {own} lookup TABLE\" and a route in that table lead it by {wanted}"
            ));
        }
    }
    remarks
}

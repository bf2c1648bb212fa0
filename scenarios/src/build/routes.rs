//! Rules, routes and addresses in the words of a scenario as those of the simulated hosts.

use std::net::IpAddr;

use mptcp_model::host::routing::{self, RouteKind, Routing, TableId};
use mptcp_model::net::{InterfaceAddress, Prefix, PrefixError};

use crate::words::{Cidr, Route, Rule};

/// First priority given to rules without one, plus one.
const FIRST_PRIORITY: u32 = 32_766;

/// An address of an interface.
pub(crate) fn address(cidr: &Cidr) -> Result<InterfaceAddress, PrefixError> {
    InterfaceAddress::new(cidr.address, cidr.prefix)
}

/// The destination prefix of a route; a default route is of the family of its gateway.
pub(super) fn prefix(route: &Route) -> Result<Prefix, PrefixError> {
    match &route.destination {
        Some(cidr) => Prefix::containing(cidr.address, cidr.prefix),
        None if route.via.or(route.src).is_some_and(|address| address.is_ipv6()) => Ok(Prefix::DEFAULT_V6),
        None => Ok(Prefix::DEFAULT_V4),
    }
}

/// A route of a host.
pub(crate) fn route(words: &Route) -> Result<routing::Route, PrefixError> {
    Ok(routing::Route {
        kind: RouteKind::Unicast,
        prefix: prefix(words)?,
        via: words.via,
        dev: words.dev.clone(),
        table: TableId(words.table),
        kernel: false,
        scope_link: words.via.is_none(),
        src: words.src,
        metric: words.metric,
    })
}

/// A rule of a host, with `priority` if it has none.
pub(crate) fn rule(words: &Rule, priority: u32) -> Result<routing::Rule, String> {
    if words.to.is_some() || words.iif.is_some() {
        return Err("the selectors \"to\" and \"iif\" are not simulated; use \"from\"".to_owned());
    }
    let from = words.from.map(|cidr| Prefix::containing(cidr.address, cidr.prefix)).transpose();
    Ok(routing::Rule {
        priority: words.priority.unwrap_or(priority),
        from: from.map_err(|error| error.to_string())?,
        table: TableId(words.table),
    })
}

/// Priority of the next rule without one: one less than that of the second rule of the list
/// (`fib_default_rule_pref`).
pub(crate) fn next_priority(routing: &Routing) -> u32 {
    routing.rules().get(1).map_or(FIRST_PRIORITY, |rule| rule.priority).saturating_sub(1)
}

/// Whether an address is of the family of a prefix.
pub(super) const fn same_family(prefix: &Prefix, address: &IpAddr) -> bool {
    prefix.is_ipv4() == address.is_ipv4()
}

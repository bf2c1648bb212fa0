//! Routing of a host as in Linux: rules that choose a table by source prefix and priority, numbered
//! tables besides `local`, `main` and `default`, source address selection, and the text forms of
//! `ip rule` and `ip route`.
//!
//! A socket without source address asks first with none, so that rules with `from` do not match and
//! the route of the main table decides on the source ([`Routing::connect`]); later packets carry the
//! source and follow the rules.
//!
//! Left out: rules by anything but source, several next hops, types of service, next-hop objects,
//! and look-ups bound to a device.

use core::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::net::{InterfaceAddress, InterfaceId, LpmTable, Prefix, PrefixError};

mod text;

/// Number of a routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

impl TableId {
    /// Own addresses.
    pub const LOCAL: Self = Self(255);
    /// The table without a rule of its own.
    pub const MAIN: Self = Self(254);
    /// Asked last; usually empty.
    pub const DEFAULT: Self = Self(253);
}

/// One line of `ip rule`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Rules are tried in ascending order.
    pub priority: u32,
    /// Sources it is for; `None` for all, also for no source.
    pub from: Option<Prefix>,
    /// The table it leads to.
    pub table: TableId,
}

/// What a route does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteKind {
    /// Sends.
    #[default]
    Unicast,
    /// EHOSTUNREACH.
    Unreachable,
    /// EACCES.
    Prohibit,
    /// EINVAL, silently.
    Blackhole,
}

/// One line of `ip route`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it does.
    pub kind: RouteKind,
    /// Destinations.
    pub prefix: Prefix,
    /// Next hop; `None` if the destinations are on the link.
    pub via: Option<IpAddr>,
    /// Device name; `None` for the one whose subnet holds the gateway, or for none.
    pub dev: Option<String>,
    /// Its table.
    pub table: TableId,
    /// Made by the kernel from an address (`proto kernel`).
    pub kernel: bool,
    /// Printed as `scope link`.
    pub scope_link: bool,
    /// Preferred source.
    pub src: Option<IpAddr>,
    /// Among routes for one prefix the least metric wins.
    pub metric: u32,
}

/// Why a line is not a rule or a route, or cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoutingError {
    /// A word that is not understood, or whose value is missing or wrong.
    #[error("`{line}`: cannot make sense of `{word}`")]
    Word {
        /// The whole line.
        line: String,
        /// The word.
        word: String,
    },
    /// A prefix or address in it is wrong.
    #[error("`{line}`: {source}")]
    Prefix {
        /// The whole line.
        line: String,
        /// What is wrong.
        source: PrefixError,
    },
    /// A word that must be there is missing.
    #[error("`{line}`: `{word}` is missing")]
    Missing {
        /// The whole line.
        line: String,
        /// The word.
        word: &'static str,
    },
    /// The host has no such device.
    #[error("no device `{dev}`; devices: {known}")]
    UnknownDevice {
        /// As written.
        dev: String,
        /// Those there are.
        known: String,
    },
    /// The device is down (ENETDOWN).
    #[error("device `{0}` is down")]
    DeviceDown(String),
    /// The gateway is not on the link of the device (ENETUNREACH).
    #[error("gateway {0} is not in the subnet of the device")]
    Gateway(IpAddr),
    /// The preferred source is no address of the host (EINVAL).
    #[error("{0} is not an address of this host")]
    Source(IpAddr),
    /// The route exists (EEXIST).
    #[error("route `{0}` exists")]
    Exists(String),
    /// A route of this prefix, table and metric does not exist (ESRCH).
    #[error("no such route: `{0}`")]
    NoSuchRoute(String),
}

/// How a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteDecision {
    /// By this interface; [`InterfaceId::LOOPBACK`] if the destination is the host itself.
    pub interface: InterfaceId,
    /// To this neighbour: the gateway, or the destination.
    pub next_hop: IpAddr,
    /// From this address: the one asked for, or the one chosen.
    pub source: IpAddr,
}

/// Why a packet cannot leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// ENETUNREACH: no route, or no source address.
    #[error("network is unreachable")]
    Net,
    /// EHOSTUNREACH: an unreachable route.
    #[error("no route to host")]
    Host,
    /// EACCES: a prohibit route.
    #[error("permission denied")]
    Prohibited,
    /// EINVAL: a blackhole route.
    #[error("invalid argument")]
    Blackhole,
}

#[derive(Clone, Debug)]
struct Interface {
    name: String,
    addresses: Vec<InterfaceAddress>,
    up: bool,
}

#[derive(Clone, Debug, Default)]
struct Table {
    /// In the order of `ip route`: by prefix, shorter ones last among equal addresses, then metric.
    routes: Vec<Route>,
    /// Index into `routes` of the best route for a prefix.
    best: LpmTable<u32>,
}

/// The routing of one host.
#[derive(Clone, Debug)]
pub struct Routing {
    interfaces: Vec<Interface>,
    /// By priority, then in the order of addition.
    rules: Vec<Rule>,
    tables: BTreeMap<TableId, Table>,
    generation: u64,
}

impl Default for Routing {
    fn default() -> Self {
        let rule = |priority, table| Rule { priority, from: None, table };
        Self {
            interfaces: Vec::new(),
            rules: vec![rule(0, TableId::LOCAL), rule(32766, TableId::MAIN), rule(32767, TableId::DEFAULT)],
            tables: BTreeMap::new(),
            generation: 0,
        }
    }
}

impl Routing {
    /// A host without interfaces, with the three rules every Linux host has.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an interface that is up; its addresses give connected routes.
    pub fn add_interface(&mut self, name: &str, addresses: &[InterfaceAddress]) -> InterfaceId {
        let id = InterfaceId(self.interfaces.len() as u16);
        self.interfaces.push(Interface { name: name.to_owned(), addresses: Vec::new(), up: true });
        for address in addresses {
            self.add_address(id, *address);
        }
        id
    }

    /// Adds an address and its connected route. An interface the host does not have is ignored.
    pub fn add_address(&mut self, interface: InterfaceId, address: InterfaceAddress) {
        let Some(known) = self.interfaces.get_mut(usize::from(interface.0)) else { return };
        if known.addresses.contains(&address) {
            return;
        }
        known.addresses.push(address);
        if known.up {
            let route = connected(&known.name, address);
            self.insert(route);
        }
    }

    /// Removes an address, its connected route and the routes that prefer it as source.
    pub fn remove_address(&mut self, interface: InterfaceId, address: IpAddr) {
        let Some(known) = self.interfaces.get_mut(usize::from(interface.0)) else { return };
        let Some(position) = known.addresses.iter().position(|other| other.address == address) else {
            return;
        };
        let removed = known.addresses.remove(position);
        let name = known.name.clone();
        // Another address of the subnet keeps it connected.
        let other = known.addresses.iter().find(|other| other.subnet == removed.subnet).copied();
        let up = known.up;
        self.retain(|route| {
            let connected =
                route.kernel && route.prefix == removed.subnet && route.dev.as_ref() == Some(&name);
            route.src != Some(address) && !(connected && other.is_none())
        });
        if let Some(other) = other.filter(|_| up) {
            self.insert(connected(&name, other));
        }
    }

    /// Sets an interface up or down. As in Linux all its routes vanish when it goes down, and only the
    /// connected ones come back with it. Its addresses remain those of the host.
    pub fn set_interface_up(&mut self, interface: InterfaceId, up: bool) {
        let Some(known) = self.interfaces.get_mut(usize::from(interface.0)) else { return };
        if known.up == up {
            return;
        }
        known.up = up;
        let name = known.name.clone();
        if up {
            for address in known.addresses.clone() {
                self.insert(connected(&name, address));
            }
        } else {
            self.retain(|route| route.dev.as_ref() != Some(&name));
        }
    }

    /// Adds a rule after those of the same priority.
    pub fn add_rule(&mut self, rule: Rule) {
        let position = self.rules.partition_point(|other| other.priority <= rule.priority);
        self.rules.insert(position, rule);
        self.generation += 1;
    }

    /// Removes the first rule equal to `rule`; whether there was one.
    pub fn remove_rule(&mut self, rule: Rule) -> bool {
        let Some(position) = self.rules.iter().position(|other| *other == rule) else { return false };
        self.rules.remove(position);
        self.generation += 1;
        true
    }

    /// `ip route add`. The device of a route with a gateway may be left out.
    ///
    /// # Errors
    /// If the device is unknown or down, the gateway not on its link, the preferred source not an
    /// address of the host, or a route of this prefix and metric is in the table.
    pub fn add_route(&mut self, mut route: Route) -> Result<(), RoutingError> {
        if let Some(src) = route.src
            && !self.is_local(src)
        {
            return Err(RoutingError::Source(src));
        }
        if route.kind == RouteKind::Unicast {
            let interface = self.device_of(&route)?;
            if !interface.up {
                return Err(RoutingError::DeviceDown(interface.name.clone()));
            }
            route.dev = Some(interface.name.clone());
            route.scope_link = route.via.is_none();
        }
        let routes = self.tables.get(&route.table).map_or(&[][..], |table| &table.routes);
        if routes.iter().any(|other| other.prefix == route.prefix && other.metric == route.metric) {
            return Err(RoutingError::Exists(route.to_string()));
        }
        self.insert(route);
        Ok(())
    }

    /// `ip route del`: removes the route of this prefix, table and metric.
    ///
    /// # Errors
    /// If there is none.
    pub fn remove_route(&mut self, route: &Route) -> Result<(), RoutingError> {
        let same = |other: &Route| {
            (other.table, other.prefix, other.metric) == (route.table, route.prefix, route.metric)
        };
        if !self.tables.values().flat_map(|table| &table.routes).any(same) {
            return Err(RoutingError::NoSuchRoute(route.to_string()));
        }
        self.retain(|other| !same(other));
        Ok(())
    }

    /// The route of a packet from `source`, or of a socket that has none yet.
    ///
    /// # Errors
    /// If no rule leads to a route, the route refuses, or no source address is to be had.
    pub fn lookup(&self, source: Option<IpAddr>, destination: IpAddr) -> Result<RouteDecision, NoRoute> {
        for rule in &self.rules {
            if let Some(prefix) = rule.from
                && !source.is_some_and(|source| prefix.contains(source))
            {
                continue;
            }
            if rule.table == TableId::LOCAL && self.is_local(destination) {
                return Ok(RouteDecision {
                    interface: InterfaceId::LOOPBACK,
                    next_hop: destination,
                    source: source.unwrap_or(destination),
                });
            }
            let Some(table) = self.tables.get(&rule.table) else { continue };
            let Some(&index) = table.best.find(destination) else { continue };
            return self.follow(&table.routes[index as usize], source, destination);
        }
        Err(NoRoute::Net)
    }

    /// The route of a connection to `destination` from a socket bound to no address: the source is
    /// chosen by a first look-up without source, the route by a second one with it.
    ///
    /// # Errors
    /// As [`Routing::lookup`].
    pub fn connect(&self, destination: IpAddr) -> Result<RouteDecision, NoRoute> {
        let RouteDecision { source, .. } = self.lookup(None, destination)?;
        self.lookup(Some(source), destination)
    }

    /// Whether `address` is one of the host's own, on interfaces up or down, or a loopback address.
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback()
            || self.interfaces.iter().flat_map(|own| &own.addresses).any(|own| own.address == address)
    }

    /// Addresses on interfaces that are up, in the order of interfaces.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.interfaces.iter().filter(|own| own.up).flat_map(|own| &own.addresses).map(|own| own.address)
    }

    /// Own addresses on interfaces that are up, with their interface.
    pub fn addresses_by_interface(&self) -> impl Iterator<Item = (InterfaceId, IpAddr)> + '_ {
        let up = self.interfaces.iter().enumerate().filter(|(_, own)| own.up);
        up.flat_map(|(index, own)| {
            own.addresses.iter().map(move |own| (InterfaceId(index as u16), own.address))
        })
    }

    /// The interface of this name.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<InterfaceId> {
        let position = self.interfaces.iter().position(|interface| interface.name == name)?;
        Some(InterfaceId(position as u16))
    }

    /// Whether an interface is up; false for one the host does not have.
    #[must_use]
    pub fn is_up(&self, interface: InterfaceId) -> bool {
        self.interfaces.get(usize::from(interface.0)).is_some_and(|known| known.up)
    }

    /// Grows with every change: a decision kept from before may be wrong.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The rules in the order of `ip rule`.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The routes of a table in the order of `ip route show table`.
    #[must_use]
    pub fn routes(&self, table: TableId) -> &[Route] {
        self.tables.get(&table).map_or(&[], |table| &table.routes)
    }

    fn follow(
        &self,
        route: &Route,
        source: Option<IpAddr>,
        destination: IpAddr,
    ) -> Result<RouteDecision, NoRoute> {
        match route.kind {
            RouteKind::Unicast => {}
            RouteKind::Unreachable => return Err(NoRoute::Host),
            RouteKind::Prohibit => return Err(NoRoute::Prohibited),
            RouteKind::Blackhole => return Err(NoRoute::Blackhole),
        }
        let dev = route.dev.as_deref().and_then(|dev| self.interface(dev)).ok_or(NoRoute::Net)?;
        let next_hop = route.via.unwrap_or(destination);
        let source =
            source.or(route.src).or_else(|| self.select_source(dev, next_hop)).ok_or(NoRoute::Net)?;
        Ok(RouteDecision { interface: dev, next_hop, source })
    }

    /// The address of `interface` in the subnet of the next hop, else its first of that family, else
    /// the first of that family on any interface.
    fn select_source(&self, interface: InterfaceId, next_hop: IpAddr) -> Option<IpAddr> {
        let of_family = |own: &&InterfaceAddress| own.address.is_ipv4() == next_hop.is_ipv4();
        let own = &self.interfaces.get(usize::from(interface.0))?.addresses;
        own.iter()
            .find(|own| own.subnet.contains(next_hop))
            .or_else(|| own.iter().find(of_family))
            .or_else(|| self.interfaces.iter().flat_map(|other| &other.addresses).find(of_family))
            .map(|own| own.address)
    }

    /// The device a route leads to, and whether its gateway is there.
    fn device_of(&self, route: &Route) -> Result<&Interface, RoutingError> {
        let on_link = |interface: &Interface, gateway: IpAddr| {
            interface.addresses.iter().any(|own| own.subnet.contains(gateway))
        };
        match (&route.dev, route.via) {
            (Some(dev), via) => {
                let found = self.interfaces.iter().find(|interface| interface.name == *dev);
                let interface = found.ok_or_else(|| self.unknown_device(dev))?;
                match via {
                    Some(gateway) if !on_link(interface, gateway) => Err(RoutingError::Gateway(gateway)),
                    _ => Ok(interface),
                }
            }
            (None, Some(gateway)) => self
                .interfaces
                .iter()
                .find(|interface| on_link(interface, gateway))
                .ok_or(RoutingError::Gateway(gateway)),
            (None, None) => Err(self.unknown_device("")),
        }
    }

    fn unknown_device(&self, dev: &str) -> RoutingError {
        let known: Vec<_> = self.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        RoutingError::UnknownDevice { dev: dev.to_owned(), known: known.join(", ") }
    }

    /// Puts a route into its table unless an equal one is there.
    fn insert(&mut self, route: Route) {
        let table = self.tables.entry(route.table).or_default();
        if table.routes.contains(&route) {
            return;
        }
        let key = order(&route);
        let position = table.routes.partition_point(|other| order(other) <= key);
        table.routes.insert(position, route);
        table.rebuild();
        self.generation += 1;
    }

    fn retain(&mut self, keep: impl Fn(&Route) -> bool) {
        for table in self.tables.values_mut() {
            table.routes.retain(&keep);
            table.rebuild();
        }
        self.generation += 1;
    }
}

impl Table {
    fn rebuild(&mut self) {
        self.best.clear();
        // In reverse, so that the first of several routes for a prefix wins.
        for (index, route) in self.routes.iter().enumerate().rev() {
            self.best.insert(route.prefix, index as u32);
        }
    }
}

/// The order in which `ip route` lists.
fn order(route: &Route) -> (IpAddr, Reverse<u8>, u32) {
    (route.prefix.address(), Reverse(route.prefix.len()), route.metric)
}

fn connected(dev: &str, address: InterfaceAddress) -> Route {
    Route {
        kind: RouteKind::Unicast,
        prefix: address.subnet,
        via: None,
        dev: Some(dev.to_owned()),
        table: TableId::MAIN,
        kernel: true,
        scope_link: true,
        src: Some(address.address),
        metric: 0,
    }
}

#[cfg(test)]
mod tests;

//! An IP router for both versions as a function from packets to verdicts: longest-prefix match over
//! connected and static routes, several next hops per prefix (RFC 2992), TTL, MTU and reverse-path
//! checks, and the ICMP messages of a Linux router.
//!
//! Left out: fragmentation (an IPv4 packet without the don't-fragment flag that exceeds the MTU is
//! dropped; TCP never sends one), redirects, neighbour discovery (an interface leads to whoever owns
//! or routes the address, as proxy ARP would have it; [`Router::unreachable`] is for a segment where
//! nobody does), and routing protocols.

use std::net::IpAddr;

use sim_core::Instant;

use super::InterfaceId;
use super::icmp::{self, IcmpError};
use super::icmp_limit::{IcmpLimiter, IcmpLimits};
use super::lpm::LpmTable;
use super::prefix::{InterfaceAddress, Prefix};
use crate::wire::{Body, Packet};

/// An interface of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterInterface {
    /// Its addresses; each gives a connected route.
    pub addresses: Vec<InterfaceAddress>,
    /// Largest packet in octets from the IP header on.
    pub mtu: u32,
}

/// Where a static route leads: to an interface, to a gateway, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The interface; `None` for the one whose subnet holds the gateway.
    pub interface: Option<InterfaceId>,
    /// The gateway; `None` if the destinations are on the link.
    pub gateway: Option<IpAddr>,
}

/// What a static route does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// Forward to one of these; not empty.
    NextHops(Vec<NextHop>),
    /// Answer "host unreachable".
    Unreachable,
    /// Answer "administratively prohibited".
    Prohibit,
    /// Drop silently.
    Blackhole,
}

/// A static route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticRoute {
    /// Destinations.
    pub prefix: Prefix,
    /// What happens to them.
    pub target: RouteTarget,
}

/// How one of several next hops is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Multipath {
    /// By addresses, protocol and ports: a flow keeps its path (`fib_multipath_hash_policy` 1).
    #[default]
    FiveTuple,
    /// By addresses only (`fib_multipath_hash_policy` 0).
    Addresses,
    /// The next one for each packet.
    RoundRobin,
}

/// Source validation (RFC 3704, `rp_filter`). Linux knows it for IPv4 only; here it applies to both
/// versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReversePath {
    /// None (0).
    #[default]
    Off,
    /// The best route back leaves by the interface the packet came in (1).
    Strict,
    /// There is a route back (2).
    Loose,
}

/// Configuration of a router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterConfig {
    /// Interfaces, by [`InterfaceId`].
    pub interfaces: Vec<RouterInterface>,
    /// Static routes.
    pub routes: Vec<StaticRoute>,
    /// Choice among several next hops.
    pub multipath: Multipath,
    /// Seed of the multipath hash.
    pub hash_seed: u64,
    /// Source validation.
    pub reverse_path: ReversePath,
    /// Limits on ICMP errors; `None` for no limit.
    pub icmp_limits: Option<IcmpLimits>,
    /// ICMP errors come from the address of the interface the packet came in
    /// (`icmp_errors_use_inbound_ifaddr`) instead of the one the error leaves by.
    pub icmp_source_inbound: bool,
}

/// Why a configuration is impossible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// A route names an interface the router does not have.
    #[error("route {prefix}: the router has no interface {}; it has {count}", interface.0)]
    UnknownInterface {
        /// The route.
        prefix: Prefix,
        /// As configured.
        interface: InterfaceId,
        /// Number of interfaces.
        count: usize,
    },
    /// A gateway is in no connected subnet.
    #[error("route {prefix}: gateway {gateway} is in no subnet of the router's interfaces")]
    UnreachableGateway {
        /// The route.
        prefix: Prefix,
        /// As configured.
        gateway: IpAddr,
    },
    /// A gateway of the other IP version.
    #[error("route {prefix}: gateway {gateway} is of the other IP version")]
    GatewayFamily {
        /// The route.
        prefix: Prefix,
        /// As configured.
        gateway: IpAddr,
    },
    /// A route without next hop, or a next hop without interface and gateway.
    #[error("route {0}: a next hop needs an interface or a gateway")]
    NoNextHop(Prefix),
    /// Two static routes for one prefix.
    #[error("route {0}: given twice; several next hops belong into one route")]
    Duplicate(Prefix),
}

/// What happens to a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it, changed in place, out of this interface.
    Forward(InterfaceId),
    /// It is for the router itself.
    Deliver,
    /// It goes no further; send this packet out of this interface instead.
    Reply(InterfaceId, Box<Packet>),
    /// It goes no further, silently.
    Drop(DropReason),
}

/// Why a packet vanished without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The source failed the reverse-path check.
    ReversePath,
    /// A blackhole route, or a destination that is not forwarded (multicast, broadcast, loopback).
    Blackhole,
    /// Larger than the MTU, and fragmenting would be allowed.
    NeedsFragmentation,
    /// An error was due, but must not be sent about this packet, or there is no route back.
    NotReportable,
    /// An error was due, but the rate limit forbade it.
    IcmpLimit,
}

/// What the table holds for a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Local,
    Forward(InterfaceId),
    /// Index into `groups`.
    Group(u32),
    Unreachable,
    Prohibit,
    Blackhole,
}

#[derive(Clone, Debug)]
struct Interface {
    addresses: Vec<InterfaceAddress>,
    mtu: u32,
    up: bool,
}

#[derive(Clone, Debug)]
struct Group {
    members: Vec<InterfaceId>,
    /// Round robin.
    next: usize,
}

/// A router.
#[derive(Clone, Debug)]
pub struct Router {
    interfaces: Vec<Interface>,
    routes: Vec<StaticRoute>,
    table: LpmTable<Target>,
    groups: Vec<Group>,
    multipath: Multipath,
    hash_seed: u64,
    reverse_path: ReversePath,
    limiter: Option<IcmpLimiter>,
    icmp_source_inbound: bool,
    next_id: u16,
}

impl Router {
    /// A router with all interfaces up.
    ///
    /// # Errors
    /// If a route names an unknown interface, has an unreachable gateway or no next hop, or is given
    /// twice.
    pub fn new(config: RouterConfig) -> Result<Self, RouterError> {
        let RouterConfig {
            interfaces,
            routes,
            multipath,
            hash_seed,
            reverse_path,
            icmp_limits,
            icmp_source_inbound,
        } = config;
        let interfaces = interfaces
            .into_iter()
            .map(|RouterInterface { addresses, mtu }| Interface { addresses, mtu, up: true })
            .collect();
        let mut router = Self {
            interfaces,
            routes: Vec::new(),
            table: LpmTable::new(),
            groups: Vec::new(),
            multipath,
            hash_seed,
            reverse_path,
            limiter: icmp_limits.map(IcmpLimiter::new),
            icmp_source_inbound,
            next_id: 0,
        };
        router.routes = router.resolve(routes)?;
        router.rebuild();
        Ok(router)
    }

    /// Decides on a packet that came in on `ingress`, and prepares it for forwarding.
    #[inline]
    pub fn handle(&mut self, now: Instant, ingress: InterfaceId, packet: &mut Packet) -> Verdict {
        let Some(&target) = self.table.lookup(packet.ip.dst) else {
            return self.refuse(now, ingress, packet, IcmpError::NetUnreachable);
        };
        if self.reverse_path != ReversePath::Off && !self.source_is_valid(ingress, packet.ip.src) {
            return Verdict::Drop(DropReason::ReversePath);
        }
        match target {
            Target::Forward(egress) => self.forward(now, ingress, egress, packet),
            Target::Group(group) => {
                let egress = self.choose(group, packet);
                self.forward(now, ingress, egress, packet)
            }
            Target::Local => self.deliver(packet),
            Target::Unreachable => self.refuse(now, ingress, packet, IcmpError::HostUnreachable),
            Target::Prohibit => self.refuse(now, ingress, packet, IcmpError::Prohibited),
            Target::Blackhole => Verdict::Drop(DropReason::Blackhole),
        }
    }

    /// What becomes of a packet whose next hop does not answer: "host unreachable".
    pub fn unreachable(&mut self, now: Instant, ingress: InterfaceId, packet: &Packet) -> Verdict {
        self.refuse(now, ingress, packet, IcmpError::HostUnreachable)
    }

    /// Sets an interface up or down. While it is down its routes do not exist; static routes come
    /// back with it. An interface the router does not have is ignored.
    pub fn set_interface_up(&mut self, interface: InterfaceId, up: bool) {
        if let Some(interface) = self.interfaces.get_mut(usize::from(interface.0))
            && interface.up != up
        {
            interface.up = up;
            self.rebuild();
        }
    }

    /// Changes the MTU of an interface, in octets. An interface the router does not have is ignored.
    pub fn set_mtu(&mut self, interface: InterfaceId, mtu: u32) {
        if let Some(interface) = self.interfaces.get_mut(usize::from(interface.0)) {
            interface.mtu = mtu;
        }
    }

    /// Whether `address` is one of the router's own.
    #[must_use]
    pub fn owns(&self, address: IpAddr) -> bool {
        self.table.find(address) == Some(&Target::Local)
    }

    #[inline]
    fn forward(
        &mut self,
        now: Instant,
        ingress: InterfaceId,
        egress: InterfaceId,
        packet: &mut Packet,
    ) -> Verdict {
        if packet.ip.ttl <= 1 {
            return self.refuse(now, ingress, packet, IcmpError::TimeExceeded);
        }
        let mtu = self.interfaces[usize::from(egress.0)].mtu;
        if packet.wire_len() > mtu as usize {
            if packet.ip.src.is_ipv4() && !packet.ip.dont_fragment {
                return Verdict::Drop(DropReason::NeedsFragmentation);
            }
            return self.refuse(now, ingress, packet, IcmpError::TooBig(mtu));
        }
        packet.ip.ttl -= 1;
        Verdict::Forward(egress)
    }

    fn deliver(&mut self, packet: &Packet) -> Verdict {
        let Some(reply) = icmp::echo_reply(packet, self.next_id) else {
            return Verdict::Deliver;
        };
        match self.route_back(packet.ip.src) {
            Some(egress) => {
                self.next_id = self.next_id.wrapping_add(1);
                Verdict::Reply(egress, Box::new(reply))
            }
            None => Verdict::Drop(DropReason::NotReportable),
        }
    }

    /// Answers with an error if one may be sent and gets through.
    #[cold]
    fn refuse(&mut self, now: Instant, ingress: InterfaceId, packet: &Packet, kind: IcmpError) -> Verdict {
        let destination = packet.ip.src;
        let silent = Verdict::Drop(DropReason::NotReportable);
        if !icmp::may_report(packet) {
            return silent;
        }
        let Some(egress) = self.route_back(destination) else { return silent };
        if let Some(limiter) = &mut self.limiter
            && !limiter.allows(now, kind, destination)
        {
            return Verdict::Drop(DropReason::IcmpLimit);
        }
        let from = if self.icmp_source_inbound { ingress } else { egress };
        let Some(source) = self.source_address(from, destination) else { return silent };
        let Some(error) = icmp::error(packet, kind, source, self.next_id) else { return silent };
        self.next_id = self.next_id.wrapping_add(1);
        Verdict::Reply(egress, Box::new(error))
    }

    fn route_back(&self, destination: IpAddr) -> Option<InterfaceId> {
        match *self.table.find(destination)? {
            Target::Forward(egress) => Some(egress),
            Target::Group(group) => self.groups[group as usize].members.first().copied(),
            Target::Local | Target::Unreachable | Target::Prohibit | Target::Blackhole => None,
        }
    }

    /// The address of `interface` in the subnet of `destination`, else its first of that family, else
    /// the first of that family of the router.
    fn source_address(&self, interface: InterfaceId, destination: IpAddr) -> Option<IpAddr> {
        let of_family = |address: &&InterfaceAddress| address.address.is_ipv4() == destination.is_ipv4();
        let own = self.interfaces.get(usize::from(interface.0)).map_or(&[][..], |own| &own.addresses);
        own.iter()
            .find(|address| address.subnet.contains(destination))
            .or_else(|| own.iter().find(of_family))
            .or_else(|| self.interfaces.iter().flat_map(|other| &other.addresses).find(of_family))
            .map(|address| address.address)
    }

    fn source_is_valid(&mut self, ingress: InterfaceId, source: IpAddr) -> bool {
        let strict = self.reverse_path == ReversePath::Strict;
        match self.table.lookup(source) {
            Some(&Target::Forward(egress)) => !strict || egress == ingress,
            Some(&Target::Group(group)) => !strict || self.groups[group as usize].members.contains(&ingress),
            _ => false,
        }
    }

    fn choose(&mut self, group: u32, packet: &Packet) -> InterfaceId {
        let Group { members, next } = &mut self.groups[group as usize];
        let index = match self.multipath {
            Multipath::RoundRobin => {
                let index = *next;
                *next = (index + 1) % members.len();
                index
            }
            policy => {
                let hash = flow_hash(self.hash_seed, packet, policy);
                // Hash-threshold (RFC 2992): each member owns an equal region of the hash space.
                ((u64::from(hash) * members.len() as u64) >> 32) as usize
            }
        };
        members[index]
    }

    /// Checks the routes and fills in the interfaces of gateways.
    fn resolve(&self, mut routes: Vec<StaticRoute>) -> Result<Vec<StaticRoute>, RouterError> {
        let mut seen = LpmTable::new();
        for StaticRoute { prefix, target } in &mut routes {
            if seen.insert(*prefix, ()).is_some() {
                return Err(RouterError::Duplicate(*prefix));
            }
            let RouteTarget::NextHops(hops) = target else { continue };
            if hops.is_empty() {
                return Err(RouterError::NoNextHop(*prefix));
            }
            for hop in hops {
                hop.interface = Some(self.resolve_hop(*prefix, *hop)?);
            }
        }
        Ok(routes)
    }

    fn resolve_hop(&self, prefix: Prefix, hop: NextHop) -> Result<InterfaceId, RouterError> {
        if let Some(gateway) = hop.gateway
            && gateway.is_ipv4() != prefix.is_ipv4()
        {
            return Err(RouterError::GatewayFamily { prefix, gateway });
        }
        match hop {
            NextHop { interface: Some(interface), .. } => {
                let count = self.interfaces.len();
                if usize::from(interface.0) >= count {
                    return Err(RouterError::UnknownInterface { prefix, interface, count });
                }
                Ok(interface)
            }
            NextHop { interface: None, gateway: Some(gateway) } => {
                let holds = |interface: &Interface| {
                    interface.addresses.iter().any(|address| address.subnet.contains(gateway))
                };
                match self.interfaces.iter().position(holds) {
                    Some(index) => Ok(InterfaceId(index as u16)),
                    None => Err(RouterError::UnreachableGateway { prefix, gateway }),
                }
            }
            NextHop { interface: None, gateway: None } => Err(RouterError::NoNextHop(prefix)),
        }
    }

    /// Fills the table: static routes, connected routes over them, own addresses over those.
    fn rebuild(&mut self) {
        let Self { interfaces, routes, table, groups, .. } = self;
        table.clear();
        groups.clear();
        for StaticRoute { prefix, target } in &*routes {
            let target = match target {
                RouteTarget::NextHops(hops) => {
                    let members: Vec<_> = hops
                        .iter()
                        .filter_map(|hop| hop.interface)
                        .filter(|interface| interfaces[usize::from(interface.0)].up)
                        .collect();
                    match members[..] {
                        [] => continue,
                        [only] => Target::Forward(only),
                        _ => {
                            groups.push(Group { members, next: 0 });
                            Target::Group(groups.len() as u32 - 1)
                        }
                    }
                }
                RouteTarget::Unreachable => Target::Unreachable,
                RouteTarget::Prohibit => Target::Prohibit,
                RouteTarget::Blackhole => Target::Blackhole,
            };
            table.insert(*prefix, target);
        }
        // In reverse, so that the first interface keeps a subnet that several have.
        for (index, interface) in interfaces.iter().enumerate().filter(|(_, interface)| interface.up).rev() {
            for address in &interface.addresses {
                table.insert(address.subnet, Target::Forward(InterfaceId(index as u16)));
            }
        }
        for prefix in not_forwarded() {
            table.insert(prefix, Target::Blackhole);
        }
        for address in interfaces.iter().flat_map(|interface| &interface.addresses) {
            if address.subnet.is_ipv4() && address.subnet.len() < 31 {
                table.insert(Prefix::host(address.subnet.last()), Target::Blackhole);
            }
        }
        for address in interfaces.iter().flat_map(|interface| &interface.addresses) {
            table.insert(Prefix::host(address.address), Target::Local);
        }
    }
}

/// Multicast, limited broadcast and loopback.
fn not_forwarded() -> impl Iterator<Item = Prefix> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    [
        (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4),
        (IpAddr::V4(Ipv4Addr::BROADCAST), 32),
        (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
        (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
        (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    ]
    .into_iter()
    .filter_map(|(address, len)| Prefix::new(address, len).ok())
}

/// A seeded hash of the flow a packet belongs to.
fn flow_hash(seed: u64, packet: &Packet, policy: Multipath) -> u32 {
    let mut hash = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut mix = |word: u64| {
        hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 32;
    };
    for address in [packet.ip.src, packet.ip.dst] {
        match address {
            IpAddr::V4(address) => mix(u64::from(address.to_bits())),
            IpAddr::V6(address) => {
                mix((address.to_bits() >> 64) as u64);
                mix(address.to_bits() as u64);
            }
        }
    }
    if policy == Multipath::FiveTuple {
        let (protocol, src_port, dst_port) = match &packet.body {
            Body::Tcp(segment) => (6, segment.src_port, segment.dst_port),
            Body::Udp(datagram) => (17, datagram.src_port, datagram.dst_port),
            Body::Icmp(_) => (1, 0, 0),
            Body::Other { protocol, .. } => (u64::from(*protocol), 0, 0),
        };
        mix(protocol << 32 | u64::from(src_port) << 16 | u64::from(dst_port));
    }
    mix(0);
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests;

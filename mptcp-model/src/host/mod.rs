//! A host: interfaces with addresses, policy routing, sockets and the demultiplexing of packets to them.
//!
//! A host is a plain state machine: packets and application calls go in, packets come out of
//! [`Host::poll_transmit`], events out of [`Host::poll_event`]; [`Host::poll_timeout`] says when it wants to
//! be woken. Left out: raw sockets, fragments.

mod blackhole;
mod demux;
mod egress;
mod fast_open;
mod fifo;
mod node;
mod path_mtu;
mod router_node;
pub mod routing;
mod sockets;
mod syn_cookies;
mod udp;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::hash::BuildHasherDefault;
use std::net::{IpAddr, SocketAddr};

use priority_queue::PriorityQueue;
use rustc_hash::{FxHashMap, FxHasher};
use sim_core::{Instant, random::Streams};

use self::demux::FlowKey;
use self::egress::{Outbox, Routes, interface_for};
use self::fifo::Fifo;
pub use self::node::{Application, HostNode, NetNode};
pub use self::router_node::RouterNode;
use self::routing::Routing;
pub use self::udp::{Datagram, HEADER as UDP_HEADER};
use crate::mptcp::{Connection, EndpointChange, Mode, SocketEvents, SocketOptions};
use crate::net::InterfaceId;
use crate::net::icmp_limit::{IcmpLimiter, IcmpLimits};
use crate::path_manager::{CloseReason, PathAction};
use crate::wire::{Body, Packet};

/// A socket of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u32);

/// An interface of a host.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Name, as `eth0`.
    pub name: String,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Whether it is up.
    pub up: bool,
    /// Its use by path managers that go by interfaces.
    pub multipath: InterfaceUse,
}

/// Use of an interface by the out-of-tree stack (`ip link set dev X multipath ...`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InterfaceUse {
    /// Used.
    #[default]
    On,
    /// Not used.
    Off,
    /// Used as backup.
    Backup,
}

/// What `host.poll_event()` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostEvent {
    /// Which socket.
    pub socket: SocketId,
    /// Who opened it.
    pub owner: u32,
    /// What to look at.
    pub events: SocketEvents,
}

/// Counters of a host, named as in `nstat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStats {
    /// Packets received.
    pub in_packets: u64,
    /// Packets sent.
    pub out_packets: u64,
    /// Resets sent because no socket wanted a segment.
    pub resets_sent: u64,
    /// ICMP destination unreachable received.
    pub icmp_unreachable: u64,
    /// Packets that had no route.
    pub out_no_routes: u64,
    /// Joins with an unknown token.
    pub join_no_token: u64,
    /// Connections that are TCP because no free token was found (`MPFallbackTokenInit`).
    pub token_fallbacks: u64,
    /// Connections opened without MP_CAPABLE because of an earlier blackhole (`MPCapableSYNTXDisabled`).
    pub capable_syn_disabled: u64,
    /// Connections that came about after their SYNs with MP_CAPABLE had vanished (`Blackhole`).
    pub blackholes: u64,
    /// Connection requests dropped because the backlog was full.
    pub listen_overflows: u64,
    /// Requests answered by a SYN cookie (`SyncookiesSent`).
    pub syn_cookies_sent: u64,
    /// Third ACKs with a SYN cookie that is right (`SyncookiesRecv`).
    pub syn_cookies_received: u64,
    /// Third ACKs with one that is wrong (`SyncookiesFailed`).
    pub syn_cookies_failed: u64,
    /// UDP datagrams received by sockets.
    pub udp_in_datagrams: u64,
    /// UDP datagrams sent.
    pub udp_out_datagrams: u64,
    /// UDP datagrams for a port without a socket.
    pub udp_no_ports: u64,
    /// ICMP destination unreachable sent.
    pub icmp_out_unreachable: u64,
}

#[derive(Debug)]
struct Listener {
    local: SocketAddr,
    options: SocketOptions,
    backlog: usize,
    ready: VecDeque<SocketId>,
    pending: usize,
    /// When it answered without keeping the request last.
    cookie_sent: Option<Instant>,
}

#[derive(Debug)]
enum Kind {
    Listener(Box<Listener>),
    Connection(Box<Connection>),
    Datagram(Box<udp::UdpSocket>),
    Closed,
}

#[derive(Debug)]
struct Socket {
    kind: Kind,
    owner: u32,
    /// Listener that this connection came from and has not been accepted from.
    parent: Option<SocketId>,
    /// Earliest wake-up known to the timer queue; later deadlines are found when it comes.
    armed: Instant,
    /// In `active`: may have something to send or to tell.
    queued: bool,
    /// Demultiplexing entries made for its subflows so far.
    bound: Vec<FlowKey>,
    /// Interface that the packets of each subflow leave by.
    routes: Routes,
}

/// A host.
#[derive(Debug)]
#[repr(C)]
pub struct Host {
    // What every packet touches comes first.
    active: Fifo<SocketId>,
    events: Fifo<HostEvent>,
    outbox: Outbox,
    sockets: Vec<Socket>,
    interfaces: Vec<Interface>,
    /// Owner of sockets made from now on.
    pub current_owner: u32,
    stats: HostStats,
    recent: demux::RecentFlows,
    /// The first of `timers`.
    next_timeout: Instant,
    timers: PriorityQueue<SocketId, Reverse<(Instant, u64)>, BuildHasherDefault<FxHasher>>,
    timer_order: u64,

    // What only some packets touch.
    name: String,
    /// Rules, tables and addresses.
    pub routing: Routing,
    flows: FxHashMap<FlowKey, (SocketId, u32)>,
    tokens: FxHashMap<u32, SocketId>,
    blackhole: blackhole::Blackhole,
    /// UDP sockets by port.
    datagram_ports: FxHashMap<u16, Vec<SocketId>>,
    path_mtus: path_mtu::PathMtus,
    icmp_limiter: IcmpLimiter,
    /// IPv4 identification of the next ICMP error.
    next_icmp_id: u16,
    streams: Streams,
    connections_made: u64,
    given_numbers: VecDeque<u64>,
    next_port: u16,
    /// Cookies of Fast Open by the address that gave them, with its largest segment.
    cookies: FxHashMap<IpAddr, (bytes::Bytes, u16)>,
    syn_cookies: syn_cookies::SynCookies,
}

impl Host {
    /// A host named `name`, whose random streams depend on that name.
    #[must_use]
    pub fn new(name: &str, streams: Streams) -> Self {
        let mut ports = streams.stream(&format!("host:{name}:ports"));
        let syn_cookies =
            syn_cookies::SynCookies::new(&mut streams.stream(&format!("host:{name}:syn_cookies")));
        Self {
            name: name.to_owned(),
            interfaces: Vec::new(),
            routing: Routing::new(),
            sockets: Vec::new(),
            flows: FxHashMap::default(),
            recent: demux::RecentFlows::NONE,
            tokens: FxHashMap::default(),
            blackhole: blackhole::Blackhole::default(),
            datagram_ports: FxHashMap::default(),
            path_mtus: path_mtu::PathMtus::default(),
            icmp_limiter: IcmpLimiter::new(IcmpLimits::default()),
            next_icmp_id: 0,
            next_timeout: Instant::FAR_FUTURE,
            timers: PriorityQueue::with_default_hasher(),
            timer_order: 0,
            active: Fifo::new(),
            outbox: Outbox::new(),
            events: Fifo::new(),
            streams,
            connections_made: 0,
            given_numbers: VecDeque::new(),
            next_port: 32_768 + ports.below(28_232) as u16,
            cookies: FxHashMap::default(),
            syn_cookies,
            current_owner: 0,
            stats: HostStats::default(),
        }
    }

    /// The next connection made takes these instead of random numbers, in the order of [`Draws`](crate::mptcp::Draws).
    pub fn give_numbers(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.given_numbers = numbers.into_iter().collect();
    }

    /// Name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Add an interface; interfaces are numbered like the ports of the node, in order of addition.
    pub fn add_interface(
        &mut self,
        name: &str,
        mtu: u16,
        addresses: &[crate::net::InterfaceAddress],
    ) -> InterfaceId {
        self.interfaces.push(Interface { name: name.to_owned(), mtu, up: true, multipath: InterfaceUse::On });
        self.routing.add_interface(name, addresses)
    }

    /// Interfaces in order.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> &HostStats {
        &self.stats
    }

    /// Take an interface down, with its routes, or up again.
    pub fn set_interface_up(&mut self, interface: InterfaceId, up: bool) {
        if let Some(entry) = self.interfaces.get_mut(usize::from(interface.0)) {
            entry.up = up;
        }
        self.routing.set_interface_up(interface, up);
        self.routes_changed();
    }

    /// Own addresses on interfaces that are up, as path managers see them.
    fn local_addresses(&self) -> Vec<IpAddr> {
        self.addresses_in_use(|multipath| multipath != InterfaceUse::Off)
    }

    /// Those of them that serve as backup.
    fn backup_addresses(&self) -> Vec<IpAddr> {
        self.addresses_in_use(|multipath| multipath == InterfaceUse::Backup)
    }

    fn addresses_in_use(&self, wanted: impl Fn(InterfaceUse) -> bool) -> Vec<IpAddr> {
        let usable = |position: usize| {
            let interface = self.interfaces.get(position);
            interface.is_none_or(|interface| wanted(interface.multipath))
        };
        let all = self.routing.addresses_by_interface();
        all.filter(|&(interface, address)| usable(usize::from(interface.0)) && !address.is_loopback())
            .map(|(_, address)| address)
            .collect()
    }

    /// Let path managers that go by interfaces use one, or not, or as backup.
    pub fn set_interface_use(&mut self, now: Instant, interface: InterfaceId, multipath: InterfaceUse) {
        if let Some(entry) = self.interfaces.get_mut(usize::from(interface.0)) {
            entry.multipath = multipath;
        }
        self.addresses_changed(now);
    }

    /// Tell the connections that addresses came or went.
    pub fn addresses_changed(&mut self, now: Instant) {
        let addresses = self.local_addresses();
        let backups = self.backup_addresses();
        for index in 0..self.sockets.len() {
            let socket = SocketId(index as u32);
            let Some(connection) = self.connection_mut(socket) else { continue };
            if connection.mode() == Mode::Multipath {
                connection.set_local_addresses(addresses.clone(), backups.clone());
                connection.run_path_manager(now);
                self.activate(socket);
            }
        }
    }

    /// Forget remembered routes: rules, routes or addresses changed.
    pub fn routes_changed(&mut self) {
        for socket in &mut self.sockets {
            socket.routes.clear();
        }
    }

    /// The connection behind a socket.
    #[must_use]
    pub fn connection(&self, socket: SocketId) -> Option<&Connection> {
        match self.sockets.get(socket.0 as usize).map(|socket| &socket.kind) {
            Some(Kind::Connection(connection)) => Some(connection),
            _ => None,
        }
    }

    /// The error of ICMP that was noted of a connection of TCP, and is no more.
    pub(crate) fn take_soft_error(&mut self, socket: SocketId) -> Option<crate::mptcp::SocketError> {
        self.connection_mut(socket)?.take_soft_error()
    }

    fn connection_mut(&mut self, socket: SocketId) -> Option<&mut Connection> {
        match self.sockets.get_mut(socket.0 as usize).map(|socket| &mut socket.kind) {
            Some(Kind::Connection(connection)) => Some(connection),
            _ => None,
        }
    }

    /// Sockets that are connections, in order of creation.
    pub fn connections(&self) -> impl Iterator<Item = (SocketId, &Connection)> {
        self.sockets.iter().enumerate().filter_map(|(index, socket)| match &socket.kind {
            Kind::Connection(connection) => Some((SocketId(index as u32), &**connection)),
            _ => None,
        })
    }

    /// Whether no connection has anything left to do.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.connections().all(|(_, connection)| connection.is_finished())
    }

    /// Flows and tokens that packets are told apart by; none are left when all connections are over.
    #[must_use]
    pub fn bindings(&self) -> (usize, usize) {
        (self.flows.len(), self.tokens.len())
    }

    fn is_active(&self, socket: SocketId) -> bool {
        self.sockets.get(socket.0 as usize).is_some_and(|entry| entry.queued)
    }

    #[inline]
    fn activate(&mut self, socket: SocketId) {
        if let Some(entry) = self.sockets.get_mut(socket.0 as usize)
            && !entry.queued
        {
            entry.queued = true;
            self.active.push_back(socket);
        }
    }

    /// A socket wants to be woken at `next`; a later wake-up than the one known is found when that comes.
    #[inline(never)]
    fn arm(&mut self, socket: SocketId, next: Instant) {
        if let Some(entry) = self.sockets.get_mut(socket.0 as usize)
            && next < entry.armed
        {
            entry.armed = next;
            self.timer_order += 1;
            self.timers.push(socket, Reverse((next, self.timer_order)));
            self.next_timeout = self.next_timeout.min(next);
        }
    }

    /// A finished connection gives back its ports and its token.
    fn release(&mut self, socket: SocketId) {
        let Some(entry) = self.sockets.get_mut(socket.0 as usize) else { return };
        let Kind::Connection(connection) = &entry.kind else { return };
        if !connection.is_finished() {
            return;
        }
        let token = connection.local_token();
        for key in std::mem::take(&mut entry.bound) {
            self.flows.remove(&key);
        }
        self.recent = demux::RecentFlows::NONE;
        if self.tokens.get(&token) == Some(&socket) {
            self.tokens.remove(&token);
        }
    }

    /// When the host wants to be woken.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.next_timeout != Instant::FAR_FUTURE).then_some(self.next_timeout)
    }

    /// Whatever is due at `now` happens; harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.next_timeout <= now {
            let Some((socket, _)) = self.timers.pop() else { return };
            self.next_timeout = self.timers.peek().map_or(Instant::FAR_FUTURE, |(_, Reverse((at, _)))| *at);
            if let Some(entry) = self.sockets.get_mut(socket.0 as usize) {
                entry.armed = Instant::FAR_FUTURE;
                if let Kind::Connection(connection) = &mut entry.kind {
                    connection.handle_timeout(now);
                }
            }
            self.collect_events(socket);
            self.activate(socket);
        }
    }

    /// The next event for an application.
    pub fn poll_event(&mut self) -> Option<HostEvent> {
        self.events.pop_front()
    }

    /// Whether a connection may have something to send, or an application something to look at.
    #[must_use]
    #[inline]
    pub fn has_work(&self) -> bool {
        !(self.active.is_empty() & self.events.is_empty() & self.outbox.is_empty())
    }

    #[inline]
    const fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    #[inline(never)]
    fn collect_events(&mut self, socket: SocketId) {
        let Some(entry) = self.sockets.get_mut(socket.0 as usize) else { return };
        let Kind::Connection(connection) = &mut entry.kind else { return };
        let events = connection.take_events();
        if !events.any() {
            return;
        }
        let owner = entry.owner;
        let parent = entry.parent;
        if events.connected && parent.is_none() {
            self.learn_cookie(socket);
        }
        if let Some(parent) = parent {
            if events.connected {
                self.hand_to_listener(parent, socket);
            } else if events.failed {
                self.forget_request(parent, socket);
                return;
            }
        }
        self.events.push_back(HostEvent { socket, owner, events });
    }

    fn hand_to_listener(&mut self, parent: SocketId, socket: SocketId) {
        let Some(entry) = self.sockets.get_mut(parent.0 as usize) else { return };
        let owner = entry.owner;
        if let Kind::Listener(listener) = &mut entry.kind {
            listener.pending = listener.pending.saturating_sub(1);
            listener.ready.push_back(socket);
            let events = SocketEvents { connected: true, ..SocketEvents::default() };
            self.events.push_back(HostEvent { socket: parent, owner, events });
        }
    }

    fn forget_request(&mut self, parent: SocketId, socket: SocketId) {
        if let Some(Kind::Listener(listener)) =
            self.sockets.get_mut(parent.0 as usize).map(|entry| &mut entry.kind)
        {
            listener.pending = listener.pending.saturating_sub(1);
        }
        if let Some(entry) = self.sockets.get_mut(socket.0 as usize) {
            entry.parent = None;
        }
    }

    /// The interface a packet leaves by.
    fn route(&self, packet: &Packet) -> Option<InterfaceId> {
        interface_for(&self.routing, &packet.ip)
    }

    /// Carry out what the path manager of a connection wants.
    #[cold]
    fn run_path_actions(&mut self, now: Instant, socket: SocketId) {
        if !self.connection(socket).is_some_and(Connection::has_path_actions) {
            return;
        }
        loop {
            let Some(connection) = self.connection_mut(socket) else { return };
            if !connection.has_path_actions() {
                break;
            }
            for action in connection.take_path_actions(now) {
                self.create_subflow(now, socket, &action);
            }
            if let Some(connection) = self.connection_mut(socket) {
                connection.run_path_manager(now);
            }
        }
        self.activate(socket);
    }

    /// Addresses that no packet for a peer can have (MAL-32).
    fn is_nowhere(&self, address: IpAddr) -> bool {
        let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
        address.is_loopback()
            || address.is_unspecified()
            || address.is_multicast()
            || broadcast
            || self.routing.is_local(address)
    }

    fn create_subflow(&mut self, now: Instant, socket: SocketId, action: &PathAction) {
        let PathAction::CreateSubflow { local, local_id, local_port, remote, remote_id, backup } = *action
        else {
            return;
        };
        let decision = match local {
            _ if self.is_nowhere(remote.ip()) => Err(routing::NoRoute::Net),
            Some(address) => self.routing.lookup(Some(address), remote.ip()),
            None => self.routing.connect(remote.ip()),
        };
        let refused = match decision {
            Ok(decision) => {
                let port = match local_port {
                    // One four-tuple is one subflow (JOIN-15).
                    Some(port) => {
                        let local = SocketAddr::new(decision.source, port);
                        (!self.flows.contains_key(&FlowKey::new(local, remote))).then_some(port)
                    }
                    None => self.ephemeral_port(decision.source, remote),
                };
                let mss = self.mss(now, decision.interface, remote.ip());
                match port {
                    Some(port) => {
                        let local = SocketAddr::new(decision.source, port);
                        let ids = (local_id, remote_id);
                        if let Some(connection) = self.connection_mut(socket) {
                            let id = connection.open_subflow(now, local, remote, mss, ids, backup);
                            self.bind_flow(FlowKey::new(local, remote), socket, id.0);
                        }
                        None
                    }
                    None => Some(CloseReason::Refused),
                }
            }
            Err(routing::NoRoute::Host) => Some(CloseReason::HostUnreachable),
            Err(_) => Some(CloseReason::NetUnreachable),
        };
        if let (Some(reason), Some(connection)) = (refused, self.connection_mut(socket)) {
            connection.subflow_not_opened(now, action, reason);
        }
    }

    /// An endpoint was added, removed or changed: every MPTCP connection learns of it.
    pub fn endpoint_changed(&mut self, now: Instant, change: EndpointChange) {
        for index in 0..self.sockets.len() {
            let socket = SocketId(index as u32);
            let Some(connection) = self.connection_mut(socket) else { continue };
            if connection.mode() == Mode::Multipath {
                connection.endpoint_event(change);
                connection.run_path_manager(now);
                self.activate(socket);
            }
        }
    }

    /// A packet arrived on `interface`.
    #[inline(never)]
    pub fn handle_packet(&mut self, now: Instant, interface: InterfaceId, packet: &Packet) {
        self.stats.in_packets += 1;
        if !self.interfaces.get(usize::from(interface.0)).is_some_and(|interface| interface.up) {
            return;
        }
        match &packet.body {
            Body::Tcp(segment) => self.handle_tcp(now, packet, segment),
            _ => self.handle_message(now, packet),
        }
    }

    /// A packet of another protocol than TCP.
    #[inline(never)]
    fn handle_message(&mut self, now: Instant, packet: &Packet) {
        match &packet.body {
            Body::Icmp(message) => self.handle_icmp(now, packet, message),
            Body::Udp(datagram) => self.handle_udp(now, packet, datagram),
            Body::Tcp(_) | Body::Other { .. } => {}
        }
    }
}

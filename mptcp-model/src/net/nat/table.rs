//! Mappings (internal end, external end) and sessions (a mapping and a remote end) with their timers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, SocketAddr};

use rustc_hash::FxHashMap;
use sim_core::random::Stream;
use sim_core::{Duration, Instant};

use super::{Dependence, Ends, NatConfig, NatStats, PortForward, Protocol, UnknownOutbound};
use crate::wire::{Body, Packet, TcpSegment};

/// Why a packet from inside has no external end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is in the middle of a connection that is not known.
    Unknown,
    /// There is no port.
    Exhausted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct MappingId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct SessionId(u64);

#[derive(Clone, Debug)]
struct Mapping {
    protocol: Protocol,
    internal: SocketAddr,
    external: SocketAddr,
    key: InsideKey,
    /// Sessions with each remote address.
    remotes: BTreeMap<IpAddr, u32>,
    is_static: bool,
}

/// What a mapping is found by from inside: the part of the remote end on which it depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct InsideKey {
    protocol: Protocol,
    internal: SocketAddr,
    remote_address: Option<IpAddr>,
    remote_port: Option<u16>,
}

/// One end on the NAT's side and a remote end.
type Pair = (Protocol, SocketAddr, SocketAddr);

#[derive(Clone, Copy, Debug)]
struct Session {
    mapping: MappingId,
    remote: SocketAddr,
    last: Instant,
    tcp: TcpState,
}

/// What RFC 5382 section 5 needs of a connection; by side (out, in).
#[derive(Clone, Copy, Debug, Default)]
struct TcpState {
    syn: [bool; 2],
    fin: [bool; 2],
    acked: bool,
    reset: bool,
    /// It was known first by a packet without SYN.
    picked_up: bool,
}

#[derive(Debug)]
pub(super) struct Table {
    mappings: FxHashMap<MappingId, Mapping>,
    by_inside: FxHashMap<InsideKey, MappingId>,
    /// Mappings of an external end; several only if ports are overloaded.
    by_outside: FxHashMap<(Protocol, SocketAddr), Vec<MappingId>>,
    sessions: FxHashMap<SessionId, Session>,
    session_inside: FxHashMap<Pair, SessionId>,
    session_outside: FxHashMap<Pair, SessionId>,
    /// At least one entry for each session, at or before the end of its life.
    deadlines: BinaryHeap<Reverse<(Instant, SessionId)>>,
    /// External address of each internal one.
    paired: FxHashMap<IpAddr, IpAddr>,
    /// The next address of the pool to be given out.
    turn: usize,
    next_id: u64,
    stream: Stream,
}

impl Table {
    pub(super) fn new(config: &NatConfig, stream: Stream) -> Self {
        let mut table = Self {
            mappings: FxHashMap::default(),
            by_inside: FxHashMap::default(),
            by_outside: FxHashMap::default(),
            sessions: FxHashMap::default(),
            session_inside: FxHashMap::default(),
            session_outside: FxHashMap::default(),
            deadlines: BinaryHeap::new(),
            paired: FxHashMap::default(),
            turn: 0,
            next_id: 0,
            stream,
        };
        for &PortForward { protocol, external, internal } in &config.forwards {
            let key = InsideKey::new(protocol, internal, Dependence::EndpointIndependent, internal);
            table.add_mapping(Mapping {
                protocol,
                internal,
                external,
                key,
                remotes: BTreeMap::new(),
                is_static: true,
            });
        }
        table
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The external end of a session.
    pub(super) fn external(
        &self,
        protocol: Protocol,
        internal: SocketAddr,
        remote: SocketAddr,
    ) -> Option<SocketAddr> {
        let session = self.sessions.get(self.session_inside.get(&(protocol, internal, remote))?)?;
        Some(self.mappings.get(&session.mapping)?.external)
    }

    /// The internal end of a session.
    pub(super) fn internal(
        &self,
        protocol: Protocol,
        external: SocketAddr,
        remote: SocketAddr,
    ) -> Option<SocketAddr> {
        let session = self.sessions.get(self.session_outside.get(&(protocol, external, remote))?)?;
        Some(self.mappings.get(&session.mapping)?.internal)
    }

    /// The external end for a packet from inside.
    pub(super) fn outbound(
        &mut self,
        now: Instant,
        config: &NatConfig,
        stats: &mut NatStats,
        ends: Ends,
        packet: &Packet,
    ) -> Result<SocketAddr, Refused> {
        let Ends { protocol, src: internal, dst: remote } = ends;
        let known = self.session_inside.get(&(protocol, internal, remote)).copied();
        let id = match known {
            Some(id) => id,
            None => {
                if is_midstream(packet) && config.unknown_outbound != UnknownOutbound::Map {
                    return Err(Refused::Unknown);
                }
                let mapping = self.mapping_for(config, stats, ends).ok_or(Refused::Exhausted)?;
                self.add_session(now, config, stats, mapping, remote, packet)
            }
        };
        self.touch(now, config, id, packet, 0);
        let session = self.sessions.get(&id).ok_or(Refused::Unknown)?;
        self.mappings.get(&session.mapping).map(|mapping| mapping.external).ok_or(Refused::Unknown)
    }

    /// The internal end for a packet from outside, if it may pass.
    pub(super) fn inbound(
        &mut self,
        now: Instant,
        config: &NatConfig,
        stats: &mut NatStats,
        ends: Ends,
        packet: &Packet,
    ) -> Option<SocketAddr> {
        let Ends { protocol, src: remote, dst: external } = ends;
        let known = self.session_outside.get(&(protocol, external, remote)).copied();
        let id = match known {
            Some(id) => id,
            None => {
                let mapping = *self.by_outside.get(&(protocol, external))?.first()?;
                if !self.admits(config.filtering, mapping, remote) || is_midstream(packet) {
                    return None;
                }
                self.add_session(now, config, stats, mapping, remote, packet)
            }
        };
        self.touch(now, config, id, packet, 1);
        self.mappings.get(&self.sessions.get(&id)?.mapping).map(|mapping| mapping.internal)
    }

    /// Whether the filter lets a remote end without session send to a mapping.
    fn admits(&self, filtering: Dependence, id: MappingId, remote: SocketAddr) -> bool {
        let Some(mapping) = self.mappings.get(&id) else { return false };
        mapping.is_static
            || match filtering {
                Dependence::EndpointIndependent => true,
                Dependence::AddressDependent => mapping.remotes.contains_key(&remote.ip()),
                Dependence::AddressAndPortDependent => false,
            }
    }

    /// The mapping for a new session from inside, made if needed.
    fn mapping_for(&mut self, config: &NatConfig, stats: &mut NatStats, ends: Ends) -> Option<MappingId> {
        let Ends { protocol, src: internal, dst: remote } = ends;
        let fixed = InsideKey::new(protocol, internal, Dependence::EndpointIndependent, remote);
        let key = InsideKey::new(protocol, internal, config.mapping, remote);
        if let Some(id) = self.by_inside.get(&fixed).or_else(|| self.by_inside.get(&key)) {
            return Some(*id);
        }
        let external = self.allocate(config, ends)?;
        stats.mappings += 1;
        Some(self.add_mapping(Mapping {
            protocol,
            internal,
            external,
            key,
            remotes: BTreeMap::new(),
            is_static: false,
        }))
    }

    fn add_mapping(&mut self, mapping: Mapping) -> MappingId {
        self.next_id += 1;
        let id = MappingId(self.next_id);
        self.by_inside.insert(mapping.key, id);
        self.by_outside.entry((mapping.protocol, mapping.external)).or_default().push(id);
        self.mappings.insert(id, mapping);
        id
    }

    /// A free external end.
    fn allocate(&mut self, config: &NatConfig, ends: Ends) -> Option<SocketAddr> {
        let internal = ends.src;
        let pool: Vec<IpAddr> =
            config.pool.iter().copied().filter(|address| address.is_ipv4() == internal.is_ipv4()).collect();
        let paired = self.paired.get(&internal.ip()).copied().filter(|_| config.paired);
        let address = match paired {
            Some(address) => address,
            None => {
                let address = *pool.get(self.turn % pool.len().max(1))?;
                self.turn += 1;
                self.paired.insert(internal.ip(), address);
                address
            }
        };
        let kept = internal.port();
        if config.preserve_ports
            && config.ports.contains(&kept)
            && self.is_free(config, ends, SocketAddr::new(address, kept))
        {
            return Some(SocketAddr::new(address, kept));
        }
        let (low, high) = (u32::from(*config.ports.start()), u32::from(*config.ports.end()));
        let count = high - low + 1;
        let first = self.stream.below(u64::from(count)) as u32;
        (0..count)
            .map(|step| (low + (first + step) % count) as u16)
            .filter(|port| !config.parity || port % 2 == kept % 2)
            .map(|port| SocketAddr::new(address, port))
            .find(|external| self.is_free(config, ends, *external))
    }

    fn is_free(&self, config: &NatConfig, ends: Ends, external: SocketAddr) -> bool {
        let Some(users) = self.by_outside.get(&(ends.protocol, external)) else { return true };
        let shareable = config.overloading && config.mapping == Dependence::AddressAndPortDependent;
        users.is_empty()
            || (shareable
                && !self.session_outside.contains_key(&(ends.protocol, external, ends.dst))
                && users.iter().all(|id| self.mappings.get(id).is_none_or(|user| !user.is_static)))
    }

    fn add_session(
        &mut self,
        now: Instant,
        config: &NatConfig,
        stats: &mut NatStats,
        mapping: MappingId,
        remote: SocketAddr,
        packet: &Packet,
    ) -> SessionId {
        self.next_id += 1;
        let id = SessionId(self.next_id);
        let tcp = TcpState { picked_up: is_midstream(packet), ..TcpState::default() };
        if let Some(used) = self.mappings.get_mut(&mapping) {
            *used.remotes.entry(remote.ip()).or_insert(0) += 1;
            let &mut Mapping { protocol, internal, external, .. } = used;
            self.session_inside.insert((protocol, internal, remote), id);
            self.session_outside.insert((protocol, external, remote), id);
            let session = Session { mapping, remote, last: now, tcp };
            self.deadlines.push(Reverse((now + session.lifetime(protocol, config), id)));
            self.sessions.insert(id, session);
            stats.sessions += 1;
        }
        id
    }

    /// Restarts the timer of a session and follows its state; `side` is 0 for a packet from inside.
    fn touch(&mut self, now: Instant, config: &NatConfig, id: SessionId, packet: &Packet, side: usize) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(mapping) = self.mappings.get(&session.mapping) else { return };
        session.last = now;
        let before = session.lifetime(mapping.protocol, config);
        if let Body::Tcp(segment) = &packet.body {
            session.tcp.observe(segment, side);
        }
        let after = session.lifetime(mapping.protocol, config);
        // A later end is found when the earlier entry comes up; an earlier one needs its own.
        if after < before {
            self.deadlines.push(Reverse((now + after, id)));
        }
    }

    /// Forgets sessions that were idle for too long, and mappings without sessions.
    pub(super) fn expire(&mut self, now: Instant, config: &NatConfig, stats: &mut NatStats) {
        while let Some(&Reverse((at, id))) = self.deadlines.peek() {
            if at > now {
                return;
            }
            self.deadlines.pop();
            let Some(session) = self.sessions.get(&id) else { continue };
            let Some(mapping) = self.mappings.get_mut(&session.mapping) else { continue };
            let end = session.last + session.lifetime(mapping.protocol, config);
            if end > now {
                self.deadlines.push(Reverse((end, id)));
                continue;
            }
            stats.expired += 1;
            let &Session { mapping: mapping_id, remote, .. } = session;
            self.session_inside.remove(&(mapping.protocol, mapping.internal, remote));
            self.session_outside.remove(&(mapping.protocol, mapping.external, remote));
            self.sessions.remove(&id);
            if let Some(count) = mapping.remotes.get_mut(&remote.ip()) {
                *count -= 1;
                if *count == 0 {
                    mapping.remotes.remove(&remote.ip());
                }
            }
            if mapping.remotes.is_empty() && !mapping.is_static {
                let &mut Mapping { protocol, external, key, .. } = mapping;
                self.mappings.remove(&mapping_id);
                self.by_inside.remove(&key);
                if let Some(users) = self.by_outside.get_mut(&(protocol, external)) {
                    users.retain(|user| *user != mapping_id);
                    if users.is_empty() {
                        self.by_outside.remove(&(protocol, external));
                    }
                }
            }
        }
    }
}

impl InsideKey {
    fn new(protocol: Protocol, internal: SocketAddr, dependence: Dependence, remote: SocketAddr) -> Self {
        let (remote_address, remote_port) = match dependence {
            Dependence::EndpointIndependent => (None, None),
            Dependence::AddressDependent => (Some(remote.ip()), None),
            Dependence::AddressAndPortDependent => (Some(remote.ip()), Some(remote.port())),
        };
        Self { protocol, internal, remote_address, remote_port }
    }
}

impl Session {
    fn lifetime(&self, protocol: Protocol, config: &NatConfig) -> Duration {
        match protocol {
            Protocol::Tcp if self.tcp.is_established() => config.established_timeout,
            Protocol::Tcp => config.transitory_timeout,
            Protocol::Udp => config.udp_timeout,
            Protocol::Echo => config.echo_timeout,
        }
    }
}

impl TcpState {
    fn is_established(&self) -> bool {
        let opened = self.picked_up || (self.syn == [true; 2] && self.acked);
        opened && !self.reset && self.fin != [true; 2]
    }

    fn observe(&mut self, segment: &TcpSegment, side: usize) {
        let flags = segment.flags;
        if flags.syn() && !flags.ack() && (self.reset || self.fin == [true; 2]) {
            *self = Self::default();
        }
        self.syn[side] |= flags.syn();
        self.fin[side] |= flags.fin();
        self.acked |= flags.ack() && !flags.syn();
        self.reset |= flags.rst();
    }
}

/// Whether this is a TCP packet that does not open a connection.
fn is_midstream(packet: &Packet) -> bool {
    matches!(&packet.body, Body::Tcp(segment) if !segment.flags.syn() || segment.flags.ack())
}

//! Network address and port translation (RFC 3022) with the behaviours RFC 4787 and RFC 5382 name:
//! mapping and filtering by endpoint, address pooling, port preservation, overloading and parity,
//! hairpinning, idle timeouts by TCP state, and the translation of ICMP errors (RFC 5508).
//!
//! A [`Nat`] is a [`Middlebox`] whose near side is the private one; several in a chain are a carrier's
//! NAT behind a home's. Left out: fragments, protocols other than TCP, UDP and ICMP, application
//! gateways, the 6 seconds for which RFC 5382 section 4.3 has an unsolicited SYN wait for a
//! simultaneous open, and the decrement of the TTL, which is for the router behind or before it.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use sim_core::random::Stream;
use sim_core::{Duration, Instant};

use super::Prefix;
use super::middlebox::flow::refusal;
use super::middlebox::{Direction, Middlebox, Output, Verdict};
use crate::wire::{Body, Packet};

mod icmp;
mod table;
#[cfg(test)]
mod tests;

use table::{Refused, Table};

/// On what of the remote end a mapping or a filter depends (RFC 4787, sections 4.1 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependence {
    /// On nothing: one external port for an internal one; anyone may send to it.
    EndpointIndependent,
    /// On its address.
    AddressDependent,
    /// On its address and port.
    AddressAndPortDependent,
}

/// Protocols with ports, or what takes their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo, with the identifier for a port.
    Echo,
}

/// A port of the NAT that always leads to the same internal end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortForward {
    /// Protocol.
    pub protocol: Protocol,
    /// Address of the pool, and port.
    pub external: SocketAddr,
    /// Where it leads.
    pub internal: SocketAddr,
}

/// What the NAT does with a TCP packet from outside that belongs to nothing it knows, for example
/// because the mapping has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownInbound {
    /// It drops it.
    Drop,
    /// It drops it and answers with a reset.
    Reset,
}

/// What the NAT does with a TCP packet without SYN from inside that belongs to no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownOutbound {
    /// It makes a new mapping, perhaps with another port.
    Map,
    /// It drops it.
    Drop,
    /// It drops it and answers with a reset.
    Reset,
}

/// Configuration of a [`Nat`].
#[derive(Clone, Debug, PartialEq)]
pub struct NatConfig {
    /// External addresses; packets of a family without one pass untouched.
    pub pool: Vec<IpAddr>,
    /// Internal addresses; packets of others pass untouched. Empty for all.
    pub inside: Vec<Prefix>,
    /// How mappings are reused.
    pub mapping: Dependence,
    /// Who may send to a mapping.
    pub filtering: Dependence,
    /// Whether an internal address keeps its external address ("paired" pooling); else they take turns.
    pub paired: bool,
    /// Ports given out; not empty, not 0.
    pub ports: RangeInclusive<u16>,
    /// Whether a port is kept if it is free and in range.
    pub preserve_ports: bool,
    /// Whether even and odd ports stay even and odd.
    pub parity: bool,
    /// Whether two internal ends may share an external port as long as their remote ends differ. Of use
    /// only if mappings depend on address and port.
    pub overloading: bool,
    /// Whether internal ends may reach each other through external addresses; they then see external
    /// addresses as sources.
    pub hairpinning: bool,
    /// Idle time of an established TCP connection (RFC 5382: at least 2 h 4 min).
    pub established_timeout: Duration,
    /// Idle time of a TCP connection that is opening or has closed (RFC 5382: at least 4 min).
    pub transitory_timeout: Duration,
    /// Idle time of UDP (RFC 4787: at least 2 min, 5 min recommended).
    pub udp_timeout: Duration,
    /// Idle time of ICMP queries (RFC 5508: at least 60 s).
    pub echo_timeout: Duration,
    /// TCP packets from outside that belong to nothing.
    pub unknown_inbound: UnknownInbound,
    /// TCP packets from inside that belong to nothing.
    pub unknown_outbound: UnknownOutbound,
    /// Static mappings.
    pub forwards: Vec<PortForward>,
}

impl NatConfig {
    /// A NAT that obeys every recommendation of RFC 4787 and RFC 5382, with strict filtering.
    #[must_use]
    pub fn recommended(pool: Vec<IpAddr>) -> Self {
        Self {
            pool,
            inside: Vec::new(),
            mapping: Dependence::EndpointIndependent,
            filtering: Dependence::AddressDependent,
            paired: true,
            ports: 1024..=u16::MAX,
            preserve_ports: true,
            parity: false,
            overloading: false,
            hairpinning: true,
            established_timeout: Duration::from_secs(7440),
            transitory_timeout: Duration::from_secs(240),
            udp_timeout: Duration::from_secs(300),
            echo_timeout: Duration::from_secs(60),
            unknown_inbound: UnknownInbound::Drop,
            unknown_outbound: UnknownOutbound::Map,
            forwards: Vec::new(),
        }
    }

    /// The `masquerade` of Linux: ports are kept where the connection stays unique; connections in the
    /// middle are picked up; `nf_conntrack_tcp_timeout_established` is 5 days.
    #[must_use]
    pub fn masquerade(address: IpAddr) -> Self {
        Self {
            mapping: Dependence::AddressAndPortDependent,
            filtering: Dependence::AddressAndPortDependent,
            overloading: true,
            hairpinning: false,
            established_timeout: Duration::from_secs(432_000),
            transitory_timeout: Duration::from_secs(120),
            udp_timeout: Duration::from_secs(120),
            echo_timeout: Duration::from_secs(30),
            unknown_inbound: UnknownInbound::Reset,
            ..Self::recommended(vec![address])
        }
    }
}

/// Why a configuration is impossible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NatError {
    /// No external address.
    #[error("a NAT needs at least one external address")]
    EmptyPool,
    /// No ports to give out, or port 0 among them.
    #[error("ports {0} to {1} are no range of ports from 1 on")]
    Ports(u16, u16),
    /// A port forward from an address that is not in the pool.
    #[error("port forward {0}: the address is not in the pool")]
    ForwardOutsidePool(SocketAddr),
    /// A port forward between IPv4 and IPv6.
    #[error("port forward {0}: internal and external address are of different IP versions")]
    ForwardFamily(SocketAddr),
    /// Two port forwards from one port.
    #[error("port forward {0}: given twice")]
    DuplicateForward(SocketAddr),
}

/// What a NAT did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatStats {
    /// Mappings made.
    pub mappings: u64,
    /// Sessions made: a mapping used with one remote end.
    pub sessions: u64,
    /// Sessions forgotten because they were idle.
    pub expired: u64,
    /// Packets from outside for no mapping, or from whom the filter forbids.
    pub refused_inbound: u64,
    /// Packets from inside in the middle of an unknown connection that were not allowed to map it.
    pub refused_outbound: u64,
    /// Packets from inside for which there was no external port left.
    pub exhausted: u64,
    /// Packets from inside back to the inside.
    pub hairpinned: u64,
    /// ICMP errors translated.
    pub icmp_errors: u64,
    /// Packets of protocols that cannot be translated.
    pub untranslatable: u64,
}

/// A translator.
#[derive(Debug)]
pub struct Nat {
    config: NatConfig,
    table: Table,
    stats: NatStats,
}

/// What the NAT reads and writes of a packet in one direction.
#[derive(Clone, Copy, Debug)]
struct Ends {
    protocol: Protocol,
    src: SocketAddr,
    dst: SocketAddr,
}

impl Nat {
    /// A NAT that knows its static mappings only and draws ports from `stream`.
    ///
    /// # Errors
    ///
    /// See [`NatError`].
    pub fn new(config: NatConfig, stream: Stream) -> Result<Self, NatError> {
        if config.pool.is_empty() {
            return Err(NatError::EmptyPool);
        }
        if config.ports.is_empty() || *config.ports.start() == 0 {
            return Err(NatError::Ports(*config.ports.start(), *config.ports.end()));
        }
        for (index, forward) in config.forwards.iter().enumerate() {
            let PortForward { external, internal, protocol } = *forward;
            if !config.pool.contains(&external.ip()) {
                return Err(NatError::ForwardOutsidePool(external));
            }
            if external.is_ipv4() != internal.is_ipv4() {
                return Err(NatError::ForwardFamily(external));
            }
            let same = |other: &PortForward| (other.protocol, other.external) == (protocol, external);
            if config.forwards[..index].iter().any(same) {
                return Err(NatError::DuplicateForward(external));
            }
        }
        let table = Table::new(&config, stream);
        Ok(Self { config, table, stats: NatStats::default() })
    }

    /// What happened so far.
    #[must_use]
    pub const fn stats(&self) -> &NatStats {
        &self.stats
    }

    /// The external end that packets from `internal` to `remote` have now, if there is one.
    #[must_use]
    pub fn external(
        &self,
        protocol: Protocol,
        internal: SocketAddr,
        remote: SocketAddr,
    ) -> Option<SocketAddr> {
        self.table.external(protocol, internal, remote)
    }

    /// Sessions known now, expired ones that nobody asked for since included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.table.sessions()
    }

    fn is_inside(&self, address: IpAddr) -> bool {
        let inside = &self.config.inside;
        (inside.is_empty() || inside.iter().any(|prefix| prefix.contains(address)))
            && self.config.pool.iter().any(|external| external.is_ipv4() == address.is_ipv4())
    }

    fn outbound(&mut self, now: Instant, mut packet: Packet, out: &mut Vec<Output>) -> Verdict {
        if !self.is_inside(packet.ip.src) {
            out.push(Output::now(Direction::Forward, packet));
            return Verdict::Passed;
        }
        if icmp::is_error(&packet) {
            if !self.translate_outbound_error(&mut packet) {
                self.stats.refused_outbound += 1;
                return Verdict::Dropped("refused_outbound");
            }
            out.push(Output::now(Direction::Forward, packet));
            return Verdict::Changed;
        }
        let Some(ends) = Ends::of(&packet, Direction::Forward) else {
            self.stats.untranslatable += 1;
            return Verdict::Dropped("untranslatable");
        };
        let is_hairpin = self.config.pool.contains(&ends.dst.ip());
        if is_hairpin && !self.config.hairpinning {
            self.stats.refused_outbound += 1;
            return Verdict::Dropped("refused_outbound");
        }
        let external = match self.table.outbound(now, &self.config, &mut self.stats, ends, &packet) {
            Ok(external) => external,
            Err(Refused::Unknown) => {
                self.stats.refused_outbound += 1;
                if self.config.unknown_outbound == UnknownOutbound::Reset {
                    out.extend(refusal(&packet).map(|reset| Output::now(Direction::Backward, reset)));
                }
                return Verdict::Dropped("refused_outbound");
            }
            Err(Refused::Exhausted) => {
                self.stats.exhausted += 1;
                return Verdict::Dropped("exhausted");
            }
        };
        set_src(&mut packet, external);
        if is_hairpin {
            self.stats.hairpinned += 1;
            return self.inbound(now, packet, out);
        }
        out.push(Output::now(Direction::Forward, packet));
        Verdict::Changed
    }

    fn inbound(&mut self, now: Instant, mut packet: Packet, out: &mut Vec<Output>) -> Verdict {
        if !self.config.pool.contains(&packet.ip.dst) {
            out.push(Output::now(Direction::Backward, packet));
            return Verdict::Passed;
        }
        if icmp::is_error(&packet) {
            if !self.translate_inbound_error(&mut packet) {
                self.stats.refused_inbound += 1;
                return Verdict::Dropped("refused_inbound");
            }
            out.push(Output::now(Direction::Backward, packet));
            return Verdict::Changed;
        }
        let Some(ends) = Ends::of(&packet, Direction::Backward) else {
            self.stats.untranslatable += 1;
            return Verdict::Dropped("untranslatable");
        };
        let Some(internal) = self.table.inbound(now, &self.config, &mut self.stats, ends, &packet) else {
            self.stats.refused_inbound += 1;
            if self.config.unknown_inbound == UnknownInbound::Reset {
                out.extend(refusal(&packet).map(|reset| Output::now(Direction::Forward, reset)));
            }
            return Verdict::Dropped("refused_inbound");
        };
        set_dst(&mut packet, internal);
        out.push(Output::now(Direction::Backward, packet));
        Verdict::Changed
    }

    /// An error from inside about a packet that had come in: it quotes the internal destination.
    fn translate_outbound_error(&mut self, packet: &mut Packet) -> bool {
        let Body::Icmp(message) = &mut packet.body else { return false };
        let Some(mut quote) = icmp::Quote::of(&message.data, packet.ip.src.is_ipv4()) else { return false };
        let Some(external) = self.table.external(quote.protocol, quote.dst, quote.src) else { return false };
        quote.replace_dst(external);
        message.data = quote.into_bytes();
        // Whoever inside found the error, outside it comes from the address it is about.
        packet.ip.src = external.ip();
        self.stats.icmp_errors += 1;
        true
    }

    /// An error from outside about a packet that had gone out: it quotes the external source.
    fn translate_inbound_error(&mut self, packet: &mut Packet) -> bool {
        let Body::Icmp(message) = &mut packet.body else { return false };
        let Some(mut quote) = icmp::Quote::of(&message.data, packet.ip.src.is_ipv4()) else { return false };
        let Some(internal) = self.table.internal(quote.protocol, quote.src, quote.dst) else { return false };
        quote.replace_src(internal);
        message.data = quote.into_bytes();
        packet.ip.dst = internal.ip();
        self.stats.icmp_errors += 1;
        true
    }
}

impl Middlebox for Nat {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        self.table.expire(now, &self.config, &mut self.stats);
        match direction {
            Direction::Forward => self.outbound(now, packet, out),
            Direction::Backward => self.inbound(now, packet, out),
        }
    }

    fn details(&self) -> Vec<(&'static str, u64)> {
        let NatStats { mappings, sessions, expired, refused_inbound, refused_outbound, .. } = self.stats;
        let NatStats { exhausted, hairpinned, icmp_errors, untranslatable, .. } = self.stats;
        vec![
            ("mappings", mappings),
            ("sessions", sessions),
            ("expired", expired),
            ("refused_inbound", refused_inbound),
            ("refused_outbound", refused_outbound),
            ("exhausted", exhausted),
            ("hairpinned", hairpinned),
            ("icmp_errors", icmp_errors),
            ("untranslatable", untranslatable),
        ]
    }
}

impl Ends {
    /// The ends of a packet; of an echo the identifier stands for the internal port and the remote port
    /// is 0.
    fn of(packet: &Packet, direction: Direction) -> Option<Self> {
        let (protocol, src_port, dst_port) = match &packet.body {
            Body::Tcp(segment) => (Protocol::Tcp, segment.src_port, segment.dst_port),
            Body::Udp(datagram) => (Protocol::Udp, datagram.src_port, datagram.dst_port),
            Body::Icmp(message) if icmp::is_echo(packet) => {
                let id = (message.rest >> 16) as u16;
                match direction {
                    Direction::Forward => (Protocol::Echo, id, 0),
                    Direction::Backward => (Protocol::Echo, 0, id),
                }
            }
            _ => return None,
        };
        Some(Self {
            protocol,
            src: SocketAddr::new(packet.ip.src, src_port),
            dst: SocketAddr::new(packet.ip.dst, dst_port),
        })
    }
}

fn set_src(packet: &mut Packet, end: SocketAddr) {
    packet.ip.src = end.ip();
    match &mut packet.body {
        Body::Tcp(segment) => segment.src_port = end.port(),
        Body::Udp(datagram) => datagram.src_port = end.port(),
        Body::Icmp(message) => message.rest = (message.rest & 0xffff) | u32::from(end.port()) << 16,
        Body::Other { .. } => {}
    }
}

fn set_dst(packet: &mut Packet, end: SocketAddr) {
    packet.ip.dst = end.ip();
    match &mut packet.body {
        Body::Tcp(segment) => segment.dst_port = end.port(),
        Body::Udp(datagram) => datagram.dst_port = end.port(),
        Body::Icmp(message) => message.rest = (message.rest & 0xffff) | u32::from(end.port()) << 16,
        Body::Other { .. } => {}
    }
}

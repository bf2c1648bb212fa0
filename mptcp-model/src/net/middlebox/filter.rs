//! Which packets a box acts on: by kind, options, direction, addresses, time, turn and luck.

use std::net::SocketAddr;

use rustc_hash::FxHashMap;
use sim_core::Instant;
use sim_core::random::Stream;

use super::Direction;
use super::flow::{FlowKey, segment};
use crate::net::Prefix;
use crate::wire::{Packet, TcpOptions};

/// Kinds of packets. Every packet is of exactly one kind: the first that applies in the order of the
/// constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// RST, with or without ACK.
    pub const RST: Self = Self(1);
    /// SYN without ACK.
    pub const SYN: Self = Self(1 << 1);
    /// SYN with ACK.
    pub const SYN_ACK: Self = Self(1 << 2);
    /// The first packet after its SYN of the end that opened the connection, with or without data.
    pub const FIRST_ACK: Self = Self(1 << 3);
    /// Payload, with or without FIN.
    pub const DATA: Self = Self(1 << 4);
    /// FIN without payload.
    pub const FIN: Self = Self(1 << 5);
    /// Any other TCP packet: neither payload nor flags but ACK.
    pub const ACK: Self = Self(1 << 6);
    /// Not TCP.
    pub const OTHER: Self = Self(1 << 7);
    /// Everything.
    pub const ALL: Self = Self(0xff);
    /// TCP without SYN.
    pub const NOT_SYN: Self = Self(Self::ALL.0 & !(Self::SYN.0 | Self::SYN_ACK.0 | Self::OTHER.0));

    /// The kinds with the names a scenario gives them.
    pub const NAMES: [(&str, Self); 8] = [
        ("rst", Self::RST),
        ("syn", Self::SYN),
        ("syn-ack", Self::SYN_ACK),
        ("first-ack", Self::FIRST_ACK),
        ("data", Self::DATA),
        ("fin", Self::FIN),
        ("ack", Self::ACK),
        ("other", Self::OTHER),
    ];

    /// The union.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether some kind is in both.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The union of a list of names, as in `syn, syn-ack`; an empty list means all kinds.
    #[must_use]
    pub fn from_names(list: &str) -> Option<Self> {
        if list.trim().is_empty() {
            return Some(Self::ALL);
        }
        list.split(',').try_fold(Self(0), |kinds, name| {
            let found = Self::NAMES.iter().find(|(known, _)| *known == name.trim())?;
            Some(kinds.with(found.1))
        })
    }
}

/// MPTCP options by subtype (RFC 8684, section 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Subtype {
    /// MP_CAPABLE.
    Capable = 0,
    /// MP_JOIN.
    Join = 1,
    /// DSS.
    Dss = 2,
    /// ADD_ADDR.
    AddAddr = 3,
    /// REMOVE_ADDR.
    RemoveAddr = 4,
    /// MP_PRIO.
    Prio = 5,
    /// MP_FAIL.
    Fail = 6,
    /// MP_FASTCLOSE.
    FastClose = 7,
    /// MP_TCPRST.
    TcpRst = 8,
}

/// Some of the options of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionSet {
    /// All MPTCP options.
    Mptcp,
    /// MPTCP options of one subtype.
    Subtype(Subtype),
    /// Options of this kind number.
    Kind(u8),
}

/// Kind number of MPTCP options.
pub(crate) const MPTCP: u8 = 30;

impl OptionSet {
    /// Whether `octets`, one whole option, belongs to the set.
    #[must_use]
    pub fn contains(self, octets: &[u8]) -> bool {
        match (self, octets) {
            (Self::Mptcp, [MPTCP, ..]) => true,
            (Self::Subtype(subtype), [MPTCP, _, third, ..]) => third >> 4 == subtype as u8,
            (Self::Kind(kind), [first, ..]) => *first == kind,
            _ => false,
        }
    }

    /// Whether one of `options` belongs to the set.
    #[must_use]
    pub fn occurs_in(self, options: &TcpOptions) -> bool {
        options.positions().any(|span| self.contains(&options.as_bytes()[span.start..span.start + span.len]))
    }
}

/// A condition on the options of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionCondition {
    /// None.
    Any,
    /// One of these is there.
    With(OptionSet),
    /// None of these is there.
    Without(OptionSet),
}

/// One end of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndFilter {
    /// Its address, if it matters.
    pub prefix: Option<Prefix>,
    /// Its port, if it matters.
    pub port: Option<u16>,
}

impl EndFilter {
    fn accepts(&self, end: SocketAddr) -> bool {
        self.prefix.is_none_or(|prefix| prefix.contains(end.ip()))
            && self.port.is_none_or(|port| port == end.port())
    }

    const fn is_any(&self) -> bool {
        self.prefix.is_none() && self.port.is_none()
    }
}

/// Which packets a box acts on: those for which all conditions hold. Of those, `skip` are left alone;
/// then every `every`-th is chosen, counted together in both directions if both are selected; then the
/// probability decides; and after `limit` packets it is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Direction; `None` for both.
    pub direction: Option<Direction>,
    /// Kinds.
    pub kinds: Kinds,
    /// Options.
    pub options: OptionCondition,
    /// The near end of the flow.
    pub near: EndFilter,
    /// The far end of the flow.
    pub far: EndFilter,
    /// Least payload in octets; non-TCP packets count as 0.
    pub min_payload: u32,
    /// From this instant on.
    pub start: Instant,
    /// Before this instant.
    pub end: Instant,
    /// Candidates left alone at first.
    pub skip: u64,
    /// Of each `every` candidates the last is chosen; 0 counts as 1.
    pub every: u64,
    /// The most packets ever chosen.
    pub limit: u64,
    /// Probability with which a packet whose turn it is, is chosen; one draw each if below 1.
    pub probability: f64,
}

impl Filter {
    /// Every packet.
    pub const ALL: Self = Self {
        direction: None,
        kinds: Kinds::ALL,
        options: OptionCondition::Any,
        near: EndFilter { prefix: None, port: None },
        far: EndFilter { prefix: None, port: None },
        min_payload: 0,
        start: Instant::ZERO,
        end: Instant::FAR_FUTURE,
        skip: 0,
        every: 1,
        limit: u64::MAX,
        probability: 1.0,
    };

    /// Packets of these kinds.
    #[must_use]
    pub const fn kinds(kinds: Kinds) -> Self {
        Self { kinds, ..Self::ALL }
    }

    /// The same in one direction.
    #[must_use]
    pub const fn toward(mut self, direction: Direction) -> Self {
        self.direction = Some(direction);
        self
    }

    /// The same for packets with such an option.
    #[must_use]
    pub const fn carrying(mut self, options: OptionSet) -> Self {
        self.options = OptionCondition::With(options);
        self
    }
}

/// A [`Filter`] at work.
#[derive(Clone, Debug)]
pub struct Matcher {
    filter: Filter,
    /// Flows whose opener has sent a SYN in this direction and nothing after it.
    opening: FxHashMap<FlowKey, Direction>,
    candidates: u64,
    chosen: u64,
    stream: Stream,
}

impl Matcher {
    /// A filter that draws from `stream`.
    #[must_use]
    pub fn new(filter: Filter, stream: Stream) -> Self {
        Self { filter, opening: FxHashMap::default(), candidates: 0, chosen: 0, stream }
    }

    /// Whether the packet is chosen. Every packet must be shown once, for the turn and for the first
    /// packet after a SYN.
    pub fn matches(&mut self, now: Instant, direction: Direction, packet: &Packet) -> bool {
        let kind = self.kind(direction, packet);
        if !self.is_candidate(now, direction, kind, packet) {
            return false;
        }
        self.candidates += 1;
        let Filter { skip, every, limit, probability, .. } = self.filter;
        let turn = self.candidates > skip && (self.candidates - skip).is_multiple_of(every.max(1));
        if !turn || self.chosen >= limit || (probability < 1.0 && !self.stream.bernoulli(probability)) {
            return false;
        }
        self.chosen += 1;
        true
    }

    fn is_candidate(&self, now: Instant, direction: Direction, kind: Kinds, packet: &Packet) -> bool {
        let Filter { direction: wanted, kinds, options, near, far, min_payload, start, end, .. } =
            &self.filter;
        if wanted.is_some_and(|wanted| wanted != direction)
            || !kinds.intersects(kind)
            || !(*start..*end).contains(&now)
        {
            return false;
        }
        let Some(segment) = segment(packet) else {
            return *options == OptionCondition::Any && near.is_any() && far.is_any() && *min_payload == 0;
        };
        let ends_fit = (near.is_any() && far.is_any())
            || FlowKey::of(packet, direction)
                .is_some_and(|flow| near.accepts(flow.near) && far.accepts(flow.far));
        let options_fit = match options {
            OptionCondition::Any => true,
            OptionCondition::With(set) => set.occurs_in(&segment.options),
            OptionCondition::Without(set) => !set.occurs_in(&segment.options),
        };
        ends_fit && options_fit && segment.payload.len() >= *min_payload
    }

    fn kind(&mut self, direction: Direction, packet: &Packet) -> Kinds {
        let (Some(segment), Some(flow)) = (segment(packet), FlowKey::of(packet, direction)) else {
            return Kinds::OTHER;
        };
        let flags = segment.flags;
        if flags.rst() {
            self.opening.remove(&flow);
            return Kinds::RST;
        }
        if flags.syn() {
            if flags.ack() {
                return Kinds::SYN_ACK;
            }
            self.opening.insert(flow, direction);
            return Kinds::SYN;
        }
        if !self.opening.is_empty() && self.opening.get(&flow) == Some(&direction) {
            self.opening.remove(&flow);
            return Kinds::FIRST_ACK;
        }
        if !segment.payload.is_empty() {
            Kinds::DATA
        } else if flags.fin() {
            Kinds::FIN
        } else {
            Kinds::ACK
        }
    }
}

//! Rebuilds what happened from packets: TCP flows, MPTCP connections of both versions and their subflows, the
//! data of each connection in the order of its data sequence numbers.
//!
//! A packet goes in, a [`Segment`] comes out that says what it was: which flow and connection, new data or a
//! retransmission, its place in the data, a reinjection of what. A capture may begin in the middle, hold one
//! direction only, or one path of several: what is not known is left open, see [`flow`] and `attach`. State
//! is kept per flow and per octet in flight, not per packet.
//!
//! A capture should show each packet once: of several vantage points, each has a reconstruction of its own.
//!
//! Left out: fragments, IP in IP, octets of payload (other than for checksums, see
//! [`crate::conformance`]).

mod attach;
pub mod connection;
mod data;
pub mod flow;
mod holes;
mod mapping;

use std::net::{IpAddr, SocketAddr};

use mptcp_model::wire::{Dss, MpOption, Seq, TcpFlags};
use rustc_hash::FxHashMap;

pub use connection::{
    Announced, Connection, DataCounts, DataStream, Event, Failover, Fallback, MAX_EVENTS, Protocol,
};
pub use flow::{Flow, HalfCounts, Handshake, Novelty};
pub use mapping::Mapping;

use flow::TcpFacts;

use crate::trace::{FlowDirection, PacketView, SegmentView, Transport};

/// Index of a flow in [`Reconstruction::flows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(u32);

/// Index of a connection in [`Reconstruction::connections`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u32);

impl FlowId {
    /// The index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl ConnectionId {
    /// The index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub struct Reconstruction {
    flows: Vec<Flow>,
    connections: Vec<Connection>,
    index: FxHashMap<(SocketAddr, SocketAddr), FlowId>,
    /// Connection and side whose key has this token.
    tokens: FxHashMap<u32, (ConnectionId, usize)>,
    /// Packets taken.
    packets: u64,
    other: u64,
    notices: Vec<Notice>,
    options: Vec<MpOption>,
}

/// A packet of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// Number in the file, from 1.
    pub number: u64,
    /// Time, in nanoseconds of the capture's clock.
    pub nanos: u64,
    /// Index of its interface.
    pub interface: usize,
    /// Octets of the IP packet on the wire.
    pub wire_len: u32,
    /// Its headers.
    pub packet: PacketView<'a>,
}

/// What a TCP segment was.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Its flow.
    pub flow: FlowId,
    /// Direction on the flow.
    pub direction: FlowDirection,
    /// Side of the connection that sent it, 0 the initiator.
    pub side: usize,
    /// Stream offset of its first octet; 1 is the first after the SYN.
    pub offset: i64,
    /// Whether it is new on its flow.
    pub novelty: Novelty,
    /// Its DSS, if it has a legal one.
    pub dss: Option<Dss>,
    /// Data offset and length of its mapped octets, from the first on; without gaps.
    pub data: Option<(i64, i64)>,
    /// Octets of data that had not been sent before on any flow.
    pub new_data: i64,
    /// Octets of payload without a mapping.
    pub unmapped: i64,
    /// Flow and packet that carried its data before, if that was another flow.
    pub copy_of: Option<(FlowId, u64)>,
    /// Whether it has new octets of its flow that carry data sent before, usually on another flow.
    pub reinjection: bool,
    /// DATA_ACK as an offset in the data of the other side.
    pub data_ack: Option<i64>,
    /// Round-trip time of data of the other side that it acknowledges (Karn's rule), in nanoseconds.
    pub rtt: Option<u64>,
    /// MPTCP subtypes it carries, a bit each.
    pub subtypes: u16,
}

/// What a packet has that it should not have. The conformance checker judges it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The HMAC of a join is wrong: in the third ACK, or else in the SYN/ACK.
    WrongJoinHmac {
        /// In the third ACK.
        acknowledgment: bool,
    },
    /// The HMAC of an ADD_ADDR is wrong.
    WrongAddAddrHmac {
        /// The address.
        address: IpAddr,
    },
    /// MP_FASTCLOSE with a key that is not the receiver's.
    WrongFastCloseKey,
    /// MP_CAPABLE with a key other than before.
    AnotherKey,
    /// Octets mapped before are mapped elsewhere.
    MappingConflict {
        /// What was known.
        known: Mapping,
        /// What was announced.
        announced: Mapping,
    },
    /// A mapping that holds no octet of the segment that carries it.
    MappingOutside {
        /// The mapping.
        announced: Mapping,
    },
    /// A data sequence number nowhere near the data.
    DataNumberImplausible,
    /// A DATA_ACK of data that was not sent, by so many octets.
    DataAckBeyond(i64),
    /// Payload without a mapping, so many octets.
    Unmapped(i64),
    /// Data beyond the DATA_FIN, so many octets.
    BeyondDataFin(i64),
    /// A DATA_FIN elsewhere than the first.
    AnotherDataFin,
    /// An MPTCP option that is not legal, by subtype and length.
    IllegalOption {
        /// Subtype.
        subtype: u8,
        /// Length in octets.
        len: usize,
    },
}

impl Reconstruction {
    /// Nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The flows in order of their first packet.
    #[must_use]
    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// The connections in order of their first packet. One whose flows turned out to belong to another has
    /// none.
    #[must_use]
    pub fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// Flows with their numbers.
    pub fn numbered_flows(&self) -> impl Iterator<Item = (FlowId, &Flow)> {
        self.flows.iter().enumerate().map(|(index, flow)| (FlowId(index as u32), flow))
    }

    /// Packets taken, and how many of them were no TCP segment.
    #[must_use]
    pub const fn packets(&self) -> (u64, u64) {
        (self.packets, self.other)
    }

    /// What was wrong with the last packet.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// The MPTCP options other than DSS of the last packet.
    #[must_use]
    pub fn options(&self) -> &[MpOption] {
        &self.options
    }

    /// Counts a frame that is no IP packet.
    pub const fn push_other(&mut self) {
        self.packets += 1;
        self.other += 1;
    }

    /// Takes the next packet; `None` if it is no TCP segment.
    pub fn push(&mut self, captured: &Captured<'_>) -> Option<Segment> {
        self.packets += 1;
        self.notices.clear();
        self.options.clear();
        let PacketView { src, dst, transport } = &captured.packet;
        let Transport::Tcp(segment) = transport else {
            self.other += 1;
            return None;
        };
        let from = SocketAddr::new(*src, segment.src_port);
        let to = SocketAddr::new(*dst, segment.dst_port);
        let (facts, dss, subtypes) = self.read_options(segment);
        let (flow, direction) = self.find_flow(captured, segment, from, to);
        let member = &mut self.flows[flow.index()];
        let counts = &mut member.halves[direction as usize].counts;
        counts.ip_octets += u64::from(captured.wire_len);
        let mut bits = subtypes;
        while bits != 0 {
            counts.options[bits.trailing_zeros() as usize] += 1;
            bits &= bits - 1;
        }
        let handshake_over = member.handshake.ack.is_some();
        let step = member.step(captured.nanos, direction, segment, &facts);
        let completes = !handshake_over && member.handshake.ack.is_some();

        self.handshake(flow, direction, captured, segment);
        if let Some(dss) = &dss
            && !self.flows[flow.index()].settled
        {
            self.settle(flow, direction, dss);
        }
        let mut out = Segment {
            flow,
            direction,
            side: self.side(flow, direction),
            offset: step.offset,
            novelty: step.novelty,
            dss,
            data: None,
            new_data: 0,
            unmapped: 0,
            copy_of: None,
            reinjection: false,
            data_ack: None,
            rtt: step.rtt,
            subtypes,
        };
        if step.advanced {
            let acknowledged = self.flows[flow.index()].halves[1 - direction as usize].acknowledged;
            self.connection_of_mut(flow).decide(flow, acknowledged);
        }
        let mut marks = (false, false);
        if self.connection_of(flow).is_mptcp() {
            if let Some(mapping) = self.capable_mapping() {
                self.announce_capable(&mut out, segment, &mapping);
            }
            if let Some(dss) = &dss {
                marks = self.data_signal(&mut out, captured.nanos, segment, dss);
            }
            if segment.payload_len > 0 && !segment.flags.syn() {
                self.data(&mut out, captured, segment);
            }
        } else if segment.payload_len > 0 {
            self.plain_data(&mut out, captured, segment);
        }
        let control = TcpFlags::SYN.with(TcpFlags::FIN).with(TcpFlags::RST);
        let noted = completes || segment.flags.intersects(control) || marks.0 || marks.1;
        if noted || !self.options.is_empty() {
            self.note(&out, captured, segment, marks);
        }
        Some(out)
    }

    /// Ends what is still being counted.
    pub fn finish(&mut self) {
        for half in self.flows.iter_mut().flat_map(|flow| &mut flow.halves) {
            half.finish();
        }
    }

    fn note(
        &mut self,
        out: &Segment,
        captured: &Captured<'_>,
        segment: &SegmentView<'_>,
        marks: (bool, bool),
    ) {
        let event = Event {
            number: captured.number,
            nanos: captured.nanos,
            flow: out.flow,
            direction: out.direction,
            flags: segment.flags,
            payload: segment.payload_len,
            options: self.options.clone(),
            data_fin: marks.0,
            data_fin_acknowledged: marks.1,
        };
        self.connection_of_mut(out.flow).note(event);
    }

    /// Reads the options: those of TCP, the DSS, and into `self.options` all others of MPTCP.
    fn read_options(&mut self, segment: &SegmentView<'_>) -> (TcpFacts, Option<Dss>, u16) {
        let mut facts = TcpFacts::default();
        let mut dss = None;
        let mut subtypes = 0u16;
        let word = |octets: &[u8], at: usize| {
            octets.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes)
        };
        for option in crate::trace::options::split(segment.options) {
            match *option {
                [3, 3, scale] => facts.scale = Some(scale),
                [8, 10, ..] => facts.timestamps = word(option, 2).zip(word(option, 6)),
                [5, len, ..] if len >= 10 => {
                    let block = |at: usize| Some((Seq(word(option, at)?), Seq(word(option, at + 4)?)));
                    facts.sack = block(2);
                    facts.more_sack = block(10);
                }
                [30, _, first, ..] => {
                    let subtype = first >> 4;
                    subtypes |= 1 << subtype;
                    if subtype == 2 {
                        match Dss::parse(&option[2..]) {
                            Some(parsed) => dss = Some(parsed),
                            None => self.notices.push(Notice::IllegalOption { subtype, len: option.len() }),
                        }
                    } else {
                        let parsed = MpOption::parse(&option[2..]);
                        if matches!(parsed, MpOption::Unknown { .. }) {
                            self.notices.push(Notice::IllegalOption { subtype, len: option.len() });
                        }
                        self.options.push(parsed);
                    }
                }
                _ => {}
            }
        }
        (facts, dss, subtypes)
    }

    fn find_flow(
        &mut self,
        captured: &Captured<'_>,
        segment: &SegmentView<'_>,
        from: SocketAddr,
        to: SocketAddr,
    ) -> (FlowId, FlowDirection) {
        let key = if from <= to { (from, to) } else { (to, from) };
        if let Some(&flow) = self.index.get(&key) {
            let known = &self.flows[flow.index()];
            let direction = if known.client == from {
                FlowDirection::ClientToServer
            } else {
                FlowDirection::ServerToClient
            };
            if !known.begins_anew(segment, direction) {
                return (flow, direction);
            }
        }
        // A SYN/ACK as the first packet tells that its receiver began.
        let answer = segment.flags.syn() && segment.flags.ack();
        let (client, server) = if answer { (to, from) } else { (from, to) };
        let direction = if answer { FlowDirection::ServerToClient } else { FlowDirection::ClientToServer };
        let flow = FlowId(self.flows.len() as u32);
        let connection = ConnectionId(self.connections.len() as u32);
        let mut member = Flow::new(client, server, captured.interface, captured.nanos);
        member.connection = connection;
        self.flows.push(member);
        self.connections.push(Connection { flows: vec![flow], ..Connection::default() });
        self.index.insert(key, flow);
        (flow, direction)
    }

    /// What the options other than DSS mean, or their absence.
    fn handshake(
        &mut self,
        flow: FlowId,
        direction: FlowDirection,
        captured: &Captured<'_>,
        segment: &SegmentView<'_>,
    ) {
        let options = std::mem::take(&mut self.options);
        for option in &options {
            self.option(flow, direction, captured.nanos, segment, option);
        }
        let capable = options.iter().any(|option| matches!(option, MpOption::Capable { .. }));
        self.options = options;
        if segment.flags.syn() && !capable {
            self.without_option(flow, captured.number, segment.flags.ack());
        }
    }
}

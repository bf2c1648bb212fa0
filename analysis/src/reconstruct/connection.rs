//! One connection: its keys and subflows, the data of each direction in the order of its data sequence
//! numbers, and what was signalled.
//!
//! A plain TCP connection is one with a single flow and without keys.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mptcp_model::crypto::Version;
use mptcp_model::wire::{DataNumber, MpOption, TcpFlags};

use super::FlowId;
use super::holes::{Holes, Passage};
use crate::histogram::Histogram;
use crate::trace::FlowDirection;

/// A connection of MPTCP, or of TCP alone.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// What it speaks.
    pub protocol: Protocol,
    /// Version of MPTCP, if an option told it.
    pub version: Option<Version>,
    /// Its flows in order of their first packet.
    pub flows: Vec<FlowId>,
    /// Keys of initiator and responder, as far as seen.
    pub keys: [Option<u64>; 2],
    /// Tokens of initiator and responder, as far as known.
    pub tokens: [Option<u32>; 2],
    /// Whether MP_CAPABLE asked for checksums, by initiator and responder.
    pub checksum: [bool; 2],
    /// Data of initiator and responder.
    pub streams: [DataStream; 2],
    /// Set-up, signalling and close in order of time, at most [`MAX_EVENTS`].
    pub events: Vec<Event>,
    /// Events beyond that number.
    pub events_left_out: u64,
    /// Addresses announced by ADD_ADDR, each once.
    pub announced: Vec<Announced>,
    /// Times at which another subflow took over data that one had ceased to deliver, at most [`MAX_EVENTS`].
    pub failovers: Vec<Failover>,
    /// First MP_FASTCLOSE: packet and side of the sender.
    pub fast_close: Option<(u64, usize)>,
    /// Reinjections whose outcome is not known yet.
    pub(super) races: Vec<Race>,
}

/// The most events kept of a connection.
pub const MAX_EVENTS: usize = 4096;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// TCP; MPTCP was never offered.
    #[default]
    Tcp,
    /// MPTCP was offered and not answered.
    Offered,
    /// MPTCP.
    Mptcp,
    /// TCP since the packet of this number.
    Fallback(Fallback, u64),
}

/// Why a connection went back to TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The SYN/ACK had no MP_CAPABLE.
    SynAck,
    /// After a plain SYN: the option had been in an earlier one.
    Syn,
    /// The first data came without a mapping.
    Unmapped,
    /// A mapping of length 0 was announced.
    InfiniteMapping,
}

/// A packet of interest: SYN, FIN, RST, the end of a handshake, MPTCP options other than DSS, the first
/// DATA_FIN and its acknowledgment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Number of the packet.
    pub number: u64,
    /// Time, in nanoseconds.
    pub nanos: u64,
    /// Flow.
    pub flow: FlowId,
    /// Direction on the flow.
    pub direction: FlowDirection,
    /// TCP flags.
    pub flags: TcpFlags,
    /// Octets of payload.
    pub payload: u32,
    /// MPTCP options other than DSS.
    pub options: Vec<MpOption>,
    /// Whether it carries a DATA_FIN.
    pub data_fin: bool,
    /// Whether it is the first to acknowledge the DATA_FIN of the other side.
    pub data_fin_acknowledged: bool,
}

/// An address announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Side that announced it.
    pub side: usize,
    /// Address id.
    pub id: u8,
    /// Address.
    pub address: IpAddr,
    /// Port, if given.
    pub port: Option<u16>,
    /// Time, in nanoseconds.
    pub nanos: u64,
    /// The first SYN with MP_JOIN to it, in nanoseconds.
    pub joined: Option<u64>,
}

/// Data of a subflow that ceased to deliver went to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Time of the first reinjection, in nanoseconds.
    pub nanos: u64,
    /// Since the subflow last made progress, in nanoseconds.
    pub after: u64,
    /// The subflow that ceased to deliver.
    pub from: FlowId,
    /// The subflow that took over.
    pub to: FlowId,
}

/// A reinjection and its original, of which the one acknowledged first wins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Race {
    pub(super) side: usize,
    pub(super) octets: u64,
    pub(super) original: (FlowId, i64),
    pub(super) copy: (FlowId, i64),
}

/// The data of one direction of a connection. Offsets count from the first octet of data, at 0; if the keys
/// are not known, from the first number seen.
#[derive(Clone, Debug, Default)]
pub struct DataStream {
    base: Option<Base>,
    holes: Holes,
    sent: BTreeMap<i64, Sent>,
    /// All below has passed.
    edge: i64,
    waiting: BTreeMap<i64, (i64, u64)>,
    /// Cumulative DATA_ACK.
    pub(super) acknowledged: i64,
    /// Data offset of the DATA_FIN.
    pub(super) fin: Option<i64>,
    pub(super) fin_acknowledged: bool,
    /// Whether any mapping was seen.
    pub(super) mapped: bool,
    /// What was counted.
    pub counts: DataCounts,
}

/// Counters of one direction of a connection, in octets of data.
#[derive(Clone, Debug, Default)]
pub struct DataCounts {
    /// Data, each octet once.
    pub new: u64,
    /// Data that was sent before under another number of its subflow, or on another subflow.
    pub reinjected: u64,
    /// Segments that carried such data.
    pub reinjections: u64,
    /// Of the reinjected data, what was acknowledged on the new subflow first.
    pub useful: u64,
    /// Of the reinjected data, what was acknowledged on the old subflow first, or had been by a DATA_ACK.
    pub redundant: u64,
    /// Segments with data beyond a gap.
    pub out_of_order: u64,
    /// How long such data waited until the gap was filled, in nanoseconds.
    pub head_of_line: Histogram,
    /// The most data beyond a gap at one time.
    pub max_waiting: u64,
    /// First and last new data, in nanoseconds.
    pub time: Option<(u64, u64)>,
}

/// The data sequence number of data offset 0.
#[derive(Clone, Copy, Debug)]
struct Base {
    number: u64,
    /// Whether its upper half is known.
    long: bool,
}

/// Where data was sent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) flow: FlowId,
    /// Stream offset of its first octet on the flow.
    pub(super) offset: i64,
    pub(super) packet: u64,
}

/// What a piece of data meant for its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) new: i64,
    /// Where all of it, or its beginning, was sent before on another flow.
    pub(super) elsewhere: Option<Sent>,
    /// Where it was sent before on this flow, at another stream offset.
    pub(super) here: Option<Sent>,
}

/// Ranges remembered for the detection of reinjections.
const REMEMBERED: usize = 1 << 15;
/// Numbers farther than this from the data seen are no place in the stream, in octets.
const PLAUSIBLE: i64 = 1 << 40;

impl Connection {
    pub(super) fn note(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push(event);
        } else {
            self.events_left_out += 1;
        }
    }

    /// Whether nothing of it was seen but its token.
    pub(super) fn is_orphan(&self) -> bool {
        self.keys == [None, None] && self.streams.iter().all(|stream| stream.base.is_none())
    }

    /// Whether MPTCP was spoken or at least offered.
    #[must_use]
    pub fn is_mptcp(&self) -> bool {
        self.protocol != Protocol::Tcp
    }

    /// The flow that opened the connection, if it was seen.
    #[must_use]
    pub fn first_flow(&self) -> Option<FlowId> {
        self.flows.first().copied()
    }

    /// The acknowledgment of `flow` has come to `acknowledged`: races of that flow are decided.
    pub(super) fn decide(&mut self, flow: FlowId, acknowledged: i64) {
        if self.races.is_empty() {
            return;
        }
        let streams = &mut self.streams;
        self.races.retain(|race| {
            let counts = &mut streams[race.side].counts;
            if race.copy.0 == flow && acknowledged >= race.copy.1 {
                counts.useful += race.octets;
                false
            } else if race.original.0 == flow && acknowledged >= race.original.1 {
                counts.redundant += race.octets;
                false
            } else {
                true
            }
        });
    }
}

impl DataStream {
    /// The data sequence number of offset 0 is `number`, unless one is known already.
    pub(super) fn begin_at(&mut self, number: u64) {
        self.base.get_or_insert(Base { number, long: true });
    }

    /// The data offset of a number; `None` if it is nowhere near the data.
    pub(super) fn offset(&mut self, number: DataNumber) -> Option<i64> {
        let base = *self.base.get_or_insert(match number {
            DataNumber::Long(number) => Base { number, long: true },
            DataNumber::Short(number) => Base { number: u64::from(number), long: false },
        });
        let near = self.highest().max(self.acknowledged);
        let number = match number {
            DataNumber::Long(number) if !base.long => DataNumber::short(number),
            number => number,
        };
        let expected = base.number.wrapping_add(near.cast_unsigned());
        let offset = number.expand(expected).wrapping_sub(base.number).cast_signed();
        (offset.wrapping_sub(near).unsigned_abs() < PLAUSIBLE.cast_unsigned()).then_some(offset)
    }

    /// How far `number` is from the data seen; `None` if nothing was seen.
    pub(super) fn distance(&self, number: DataNumber) -> Option<u64> {
        let base = self.base?;
        let near = base.number.wrapping_add(self.highest().max(self.acknowledged).cast_unsigned());
        let number = match number {
            DataNumber::Long(number) if !base.long => DataNumber::short(number),
            number => number,
        };
        Some(number.expand(near).wrapping_sub(near).cast_signed().unsigned_abs())
    }

    /// The data sequence number of data offset 0, if known, and whether all 64 bits of it are.
    #[must_use]
    pub fn base(&self) -> Option<(u64, bool)> {
        self.base.map(|base| (base.number, base.long))
    }

    /// The end of the data seen.
    #[must_use]
    pub fn highest(&self) -> i64 {
        self.holes.highest().unwrap_or(0)
    }

    /// What the other side has acknowledged.
    #[must_use]
    pub const fn acknowledged(&self) -> i64 {
        self.acknowledged
    }

    /// Whether a DATA_FIN was seen, and whether it was acknowledged.
    #[must_use]
    pub const fn closed(&self) -> (bool, bool) {
        (self.fin.is_some(), self.fin_acknowledged)
    }

    /// Data passes.
    pub(super) fn pass(&mut self, nanos: u64, sent: Sent) -> Piece {
        let (data, end) = (sent.start, sent.end);
        let elsewhere = self.sent_before(data, end, |before| before.flow != sent.flow);
        let here = self.sent_before(data, end, |before| {
            before.flow == sent.flow && before.offset - before.start != sent.offset - sent.start
        });
        if self.holes.highest().is_none() {
            self.edge = if self.base.is_some_and(|base| base.long) { self.edge.min(data) } else { data };
        }
        let new = match self.holes.pass(data, end, nanos, None) {
            Passage::New(octets) | Passage::Fills(_, octets) => octets,
            Passage::Seen => 0,
        };
        if new > 0 {
            let counts = &mut self.counts;
            counts.new += new.unsigned_abs();
            counts.time = Some((counts.time.map_or(nanos, |(first, _)| first), nanos));
            self.remember(sent);
            self.order(sent.start, sent.end, nanos);
        }
        Piece { new, elsewhere, here }
    }

    fn remember(&mut self, sent: Sent) {
        if self.sent.len() >= REMEMBERED {
            // Half of them, from the oldest: each is dropped once, so the cost is constant.
            let keep = self.sent.keys().nth(REMEMBERED / 2).copied().unwrap_or(0);
            self.sent = self.sent.split_off(&keep);
        }
        self.sent.insert(sent.start, sent);
    }

    /// Where the first part of a range was sent of which `which` holds.
    fn sent_before(&self, start: i64, end: i64, which: impl Fn(&Sent) -> bool) -> Option<Sent> {
        if start >= self.highest() {
            return None;
        }
        let before = self.sent.range(..start).next_back().filter(|(_, sent)| sent.end > start);
        let mut overlapping = before.into_iter().chain(self.sent.range(start..end));
        overlapping.find(|(_, sent)| which(sent)).map(|(_, sent)| *sent)
    }

    fn order(&mut self, start: i64, end: i64, nanos: u64) {
        if start > self.edge {
            self.counts.out_of_order += 1;
            if self.waiting.len() < REMEMBERED {
                self.waiting.insert(start, (end, nanos));
            }
            let waiting = (self.highest() - self.edge).max(0).unsigned_abs();
            self.counts.max_waiting = self.counts.max_waiting.max(waiting);
            return;
        }
        self.advance(end, nanos);
    }

    /// All below `edge` has come.
    fn advance(&mut self, edge: i64, nanos: u64) {
        self.edge = self.edge.max(edge);
        while let Some(entry) = self.waiting.first_entry()
            && *entry.key() <= self.edge
        {
            let (end, since) = entry.remove();
            self.counts.head_of_line.add(nanos.saturating_sub(since));
            self.edge = self.edge.max(end);
        }
    }

    /// The other side acknowledges all below `data`; whether that is news.
    pub(super) fn acknowledge(&mut self, data: i64, nanos: u64) -> bool {
        if data <= self.acknowledged {
            return false;
        }
        self.acknowledged = data;
        // What the capture missed, the other side has.
        self.holes.forget_below(data);
        if data > self.edge {
            self.advance(data, nanos);
        }
        true
    }
}

//! The analysis as a stream: one packet at a time, constant work per packet (amortised). Memory grows
//! with the number of subflows, with the data in flight and with eight octets per round-trip sample.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use mptcp_model::wire::{Seq, TcpFlags};
use rustc_hash::FxHashMap;
use serde_json::{Map, Value, json};

use super::options::{self, DssView, layout_key, layout_text};
use super::tally::Tally;
use super::view::{PacketView, SegmentView, Transport};
use super::{
    Counts, DirectionAnalysis, FlowDirection, HostAnalysis, IcmpEvent, RttSummary, SignalEvent,
    SubflowAnalysis, SynParameters,
};

/// Takes packets in order of capture and gives a [`HostAnalysis`].
#[derive(Debug)]
pub struct TraceAnalyser {
    /// Endpoints in the order (client, server) to index in `subflows`.
    index: FxHashMap<(SocketAddr, SocketAddr), usize>,
    subflows: Vec<Subflow>,
    events: Vec<SignalEvent>,
    icmp: Vec<IcmpEvent>,
    packets: u64,
    /// MPTCP version of the last MP_CAPABLE on a SYN.
    version: u8,
    layout: Vec<u8>,
}

#[derive(Debug)]
struct Subflow {
    client: SocketAddr,
    server: SocketAddr,
    interface: String,
    join: bool,
    syn_t: Option<u64>,
    synack_t: Option<u64>,
    established_t: Option<u64>,
    syns: u64,
    directions: [Counters; 2],
    /// Direction, class, then the layout of the options.
    layouts: Tally<Vec<u8>>,
}

#[derive(Debug)]
struct Counters {
    packets: u64,
    data_segments: u64,
    payload_bytes: u64,
    retransmitted_segments: u64,
    pure_acks: u64,
    acks_with_sack: u64,
    rst: u64,
    fin: u64,
    first_data_t: Option<u64>,
    last_data_t: Option<u64>,
    syn: Option<SynParameters>,
    dss_forms: Tally<(u8, bool, u8)>,
    segment_lengths: Tally<u32>,
    /// Highest end of data.
    highest: Option<Seq>,
    /// End and time of data that no ACK has covered, in order.
    outstanding: VecDeque<(Seq, u64)>,
    /// Nanoseconds.
    rtts: Vec<u64>,
    last_data_fin: Option<u64>,
}

const LAYOUTS_SHOWN: usize = 24;
const SEGMENT_LENGTHS_SHOWN: usize = 6;

impl Default for TraceAnalyser {
    fn default() -> Self {
        Self::new()
    }
}

impl TraceAnalyser {
    /// No packet seen.
    #[must_use]
    pub fn new() -> Self {
        Self {
            index: FxHashMap::default(),
            subflows: Vec::new(),
            events: Vec::new(),
            icmp: Vec::new(),
            packets: 0,
            version: 1,
            layout: Vec::with_capacity(48),
        }
    }

    /// Counts a frame of the capture that is not IP.
    pub fn push_other(&mut self) {
        self.packets += 1;
    }

    /// Takes the next packet, captured at `nanos` (nanoseconds since the time zero of the results) on
    /// `interface`.
    pub fn push(&mut self, nanos: u64, interface: &str, packet: &PacketView<'_>) {
        self.packets += 1;
        match &packet.transport {
            Transport::Tcp(segment) => self.segment(nanos, interface, packet.src, packet.dst, segment),
            &Transport::Icmp { kind, code } => self.icmp.push(IcmpEvent(
                event_time(nanos),
                interface.to_owned(),
                packet.src.to_string(),
                packet.dst.to_string(),
                (kind, code),
            )),
            Transport::Other => {}
        }
    }

    /// The analysis of all packets so far.
    #[must_use]
    pub fn finish(self) -> HostAnalysis {
        HostAnalysis {
            subflows: self.subflows.into_iter().map(Subflow::finish).collect(),
            events: self.events,
            icmp: self.icmp,
            packets: self.packets,
        }
    }

    fn segment(&mut self, nanos: u64, interface: &str, src: IpAddr, dst: IpAddr, segment: &SegmentView<'_>) {
        let from = SocketAddr::new(src, segment.src_port);
        let to = SocketAddr::new(dst, segment.dst_port);
        let (number, direction) = self.subflow(from, to, interface);
        let subflow = &mut self.subflows[number];
        let flags = segment.flags;

        let mut sack_blocks = false;
        let mut mss = None;
        let mut ws = None;
        self.layout.clear();
        self.layout.push(direction as u8);
        self.layout.push(Class::of(segment) as u8);
        for option in options::split(segment.options) {
            layout_key(option, &mut self.layout);
            match *option {
                [2, _, a, b, ..] => mss = Some(u16::from_be_bytes([a, b])),
                [3, _, shift, ..] => ws = Some(shift),
                [options::SACK, len, ..] => sack_blocks = len >= 10,
                _ => {}
            }
        }
        subflow.layouts.add(&self.layout);
        subflow.handshake(nanos, direction, flags);
        let sent = &mut subflow.directions[direction as usize];
        sent.packets += 1;
        if flags.syn() {
            let opts = layout_text(&self.layout[2..]);
            sent.syn = Some(SynParameters { win: segment.window, mss, ws, opts });
        }

        let mut event = |kind: &str, details: Map<String, Value>| {
            self.events.push(SignalEvent {
                t: event_time(nanos),
                subflow: number,
                direction,
                flags: flag_letters(flags),
                payload: segment.payload_len,
                kind: kind.to_owned(),
                details,
            });
        };
        for option in options::split(segment.options) {
            match options::subtype(option) {
                None => {}
                Some(options::DSS) => {
                    let Some(dss) = DssView::parse(option) else { continue };
                    sent.dss_forms.add(&dss.form());
                    let dsn = dss.mapping.map(|(dsn, ..)| dsn);
                    if dss.data_fin() && sent.last_data_fin != dsn {
                        sent.last_data_fin = dsn;
                        let mut details = Map::new();
                        details.insert("dlen".into(), json!(dss.mapping.map(|(_, len, _)| len)));
                        details.insert("ssn".into(), json!(dss.mapping.map(|(.., ssn)| ssn)));
                        event("DATA_FIN", details);
                    }
                }
                Some(subtype) => {
                    if subtype == options::MP_CAPABLE && flags.syn() {
                        self.version = option[2] & 15;
                    }
                    subflow.join |= subtype == options::MP_JOIN;
                    event(options::subtype_name(subtype), options::details(option, self.version));
                }
            }
        }
        sent.rst += u64::from(flags.rst());
        if flags.rst() && sent.rst <= 2 {
            event("RST", Map::new());
        }
        sent.fin += u64::from(flags.fin());
        if flags.fin() && sent.fin <= 2 {
            event("FIN", Map::new());
        }

        sent.data(nanos, segment);
        sent.acks_with_sack += u64::from(sack_blocks);
        if flags.ack() {
            subflow.directions[1 - direction as usize].acknowledged(nanos, segment.ack, sack_blocks);
        }
    }

    fn subflow(&mut self, from: SocketAddr, to: SocketAddr, interface: &str) -> (usize, FlowDirection) {
        if let Some(&number) = self.index.get(&(from, to)) {
            return (number, FlowDirection::ClientToServer);
        }
        if let Some(&number) = self.index.get(&(to, from)) {
            return (number, FlowDirection::ServerToClient);
        }
        let number = self.subflows.len();
        self.index.insert((from, to), number);
        self.subflows.push(Subflow {
            client: from,
            server: to,
            interface: interface.to_owned(),
            join: false,
            syn_t: None,
            synack_t: None,
            established_t: None,
            syns: 0,
            directions: [Counters::new(), Counters::new()],
            layouts: Tally::new(),
        });
        (number, FlowDirection::ClientToServer)
    }
}

impl Subflow {
    fn handshake(&mut self, nanos: u64, direction: FlowDirection, flags: TcpFlags) {
        if flags.syn() && flags.ack() {
            self.synack_t.get_or_insert(nanos);
        } else if flags.syn() {
            self.syn_t.get_or_insert(nanos);
            self.syns += 1;
        } else if direction == FlowDirection::ClientToServer && flags.ack() {
            self.established_t.get_or_insert(nanos);
        }
    }

    fn finish(self) -> SubflowAnalysis {
        let [c2s, s2c] = self.directions;
        let layouts = self.layouts.ranking(LAYOUTS_SHOWN).into_iter().map(|(key, count)| {
            let direction =
                if key[0] == 0 { FlowDirection::ClientToServer } else { FlowDirection::ServerToClient };
            (format!("{direction} {} {}", Class::name(key[1]), layout_text(&key[2..])), count)
        });
        SubflowAnalysis {
            client: self.client.to_string(),
            server: self.server.to_string(),
            interface: self.interface,
            join: self.join,
            syn_t: self.syn_t.map(seconds),
            synack_t: self.synack_t.map(seconds),
            established_t: self.established_t.map(seconds),
            syns: self.syns,
            c2s: c2s.finish(),
            s2c: s2c.finish(),
            option_layouts: Counts(layouts.collect()),
        }
    }
}

impl Counters {
    const fn new() -> Self {
        Self {
            packets: 0,
            data_segments: 0,
            payload_bytes: 0,
            retransmitted_segments: 0,
            pure_acks: 0,
            acks_with_sack: 0,
            rst: 0,
            fin: 0,
            first_data_t: None,
            last_data_t: None,
            syn: None,
            dss_forms: Tally::new(),
            segment_lengths: Tally::new(),
            highest: None,
            outstanding: VecDeque::new(),
            rtts: Vec::new(),
            last_data_fin: None,
        }
    }

    fn data(&mut self, nanos: u64, segment: &SegmentView<'_>) {
        let len = segment.payload_len;
        if len == 0 {
            let control = TcpFlags::SYN.with(TcpFlags::FIN).with(TcpFlags::RST);
            self.pure_acks += u64::from(!segment.flags.intersects(control));
            return;
        }
        self.data_segments += 1;
        self.segment_lengths.add(&len);
        let end = segment.seq.wrapping_add(len);
        match self.highest {
            Some(highest) if !highest.before(end) => {
                self.retransmitted_segments += 1;
                while self.outstanding.back().is_some_and(|&(sent, _)| !sent.before(end)) {
                    self.outstanding.pop_back();
                }
            }
            highest => {
                let new = highest.map_or(len, |highest| len.min(end.distance_from(highest)));
                self.payload_bytes += u64::from(new);
                self.highest = Some(end);
                self.outstanding.push_back((end, nanos));
            }
        }
        self.first_data_t.get_or_insert(nanos);
        self.last_data_t = Some(nanos);
    }

    fn acknowledged(&mut self, nanos: u64, ack: Seq, sack_blocks: bool) {
        let mut sent_at = None;
        while let Some(&(end, at)) = self.outstanding.front()
            && !ack.before(end)
        {
            sent_at = Some(at);
            self.outstanding.pop_front();
        }
        if let Some(at) = sent_at
            && !sack_blocks
        {
            self.rtts.push(nanos.saturating_sub(at));
        }
    }

    fn finish(self) -> DirectionAnalysis {
        let forms = self.dss_forms.ranking(usize::MAX);
        let lengths = self.segment_lengths.ranking(SEGMENT_LENGTHS_SHOWN);
        DirectionAnalysis {
            packets: self.packets,
            data_segments: self.data_segments,
            payload_bytes: self.payload_bytes,
            retransmitted_segments: self.retransmitted_segments,
            pure_acks: self.pure_acks,
            acks_with_sack: self.acks_with_sack,
            rst: self.rst,
            fin: self.fin,
            first_data_t: self.first_data_t.map(seconds),
            last_data_t: self.last_data_t.map(seconds),
            dss_forms: Counts(
                forms.into_iter().map(|(&form, count)| (DssView::form_text(form), count)).collect(),
            ),
            segment_lengths: Counts(
                lengths.into_iter().map(|(len, count)| (len.to_string(), count)).collect(),
            ),
            syn: self.syn,
            rtt_ms: rtt_summary(self.rtts),
        }
    }
}

/// What a packet is, for its option layout; the first that applies.
#[derive(Clone, Copy, Debug)]
enum Class {
    Syn,
    SynAck,
    Fin,
    Rst,
    Data,
    Ack,
}

impl Class {
    const fn of(segment: &SegmentView<'_>) -> Self {
        let flags = segment.flags;
        if flags.syn() && flags.ack() {
            Self::SynAck
        } else if flags.syn() {
            Self::Syn
        } else if flags.fin() {
            Self::Fin
        } else if flags.rst() {
            Self::Rst
        } else if segment.payload_len > 0 {
            Self::Data
        } else {
            Self::Ack
        }
    }

    fn name(number: u8) -> &'static str {
        ["SYN", "SYN/ACK", "FIN", "RST", "data", "ack"][usize::from(number)]
    }
}

fn flag_letters(flags: TcpFlags) -> String {
    [
        (TcpFlags::SYN, 'S'),
        (TcpFlags::ACK, 'A'),
        (TcpFlags::PSH, 'P'),
        (TcpFlags::FIN, 'F'),
        (TcpFlags::RST, 'R'),
        (TcpFlags::ECE, 'E'),
        (TcpFlags::CWR, 'C'),
    ]
    .into_iter()
    .filter(|&(flag, _)| flags.contains(flag))
    .map(|(_, letter)| letter)
    .collect()
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

const fn nearest_micros(nanos: u64) -> u64 {
    nanos / 1_000 + (nanos % 1_000) / 500
}

/// Seconds, to the nearest microsecond.
fn event_time(nanos: u64) -> f64 {
    nearest_micros(nanos) as f64 / 1e6
}

/// Quantiles are samples: the one at `floor(q * n)` of the sorted list.
fn rtt_summary(mut rtts: Vec<u64>) -> Option<RttSummary> {
    rtts.sort_unstable();
    let last = rtts.len().checked_sub(1)?;
    // Milliseconds with three decimals.
    let at = |index: usize| nearest_micros(rtts[index]) as f64 / 1e3;
    Some(RttSummary {
        n: rtts.len() as u64,
        min: at(0),
        median: at((rtts.len() / 2).min(last)),
        p95: at(((0.95 * rtts.len() as f64) as usize).min(last)),
        max: at(last),
    })
}

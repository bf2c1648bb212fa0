//! The figures of a capture: per connection, direction and subflow, as a form that is written as JSON.
//!
//! Side 0 is the initiator of the connection. Times are seconds from the first packet of the view, durations
//! in milliseconds where the name says so. *Goodput* is data, each octet once, per second from the first to
//! the last new data; *throughput* is octets of IP packets over the same time on the subflow; a *share* is the
//! part of all payload of a direction that was sent on the subflow for the first time. What a figure means
//! depends on where the capture was taken: at the sender round-trip times are those of the path, at the
//! receiver they are the time it took to answer.

pub mod csv;
mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;

use mptcp_model::crypto::Version;
use serde::{Deserialize, Serialize};

use crate::histogram::Quantiles;
use crate::reconstruct::{
    Connection, DataStream, Fallback, Flow, FlowId, HalfCounts, Protocol, Reconstruction,
};
use crate::trace::FlowDirection;
use crate::trace::options::subtype_name;
use crate::vantage::{View, Warning};

/// Figures of one view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// File.
    pub file: String,
    /// Host, or the file again.
    pub view: String,
    /// Packets.
    pub packets: u64,
    /// Packets that are not TCP.
    pub other_packets: u64,
    /// Packets that are not IP.
    pub not_ip: u64,
    /// Octets of IP packets.
    pub octets: u64,
    /// From the first to the last packet, in seconds.
    pub duration_s: f64,
    /// ICMP messages by `type/code`.
    pub icmp: BTreeMap<String, u64>,
    /// Damage of the file.
    pub warnings: Vec<Warning>,
    /// Addresses of TCP flows, in order.
    pub addresses: Vec<AddressReport>,
    /// Connections in order of their first packet.
    pub connections: Vec<ConnectionReport>,
}

/// TCP of one address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AddressReport {
    /// The address.
    pub address: String,
    /// Packets sent, and octets of IP in them.
    pub sent: (u64, u64),
    /// Packets received, and octets of IP in them.
    pub received: (u64, u64),
}

/// One connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionReport {
    /// Number in the view, from 0.
    pub connection: usize,
    /// `mptcp`, `tcp`, `offered` or `fallback`.
    pub protocol: String,
    /// Why it fell back, and at which packet.
    pub fallback: Option<String>,
    /// Version of MPTCP.
    pub version: Option<u8>,
    /// Whether the handshake asked for checksums.
    pub checksums: bool,
    /// Tokens of both sides, hexadecimal.
    pub tokens: [Option<String>; 2],
    /// First packet, in seconds.
    pub start_s: f64,
    /// From the first to the last packet, in seconds.
    pub duration_s: f64,
    /// From the first SYN to the acknowledgment of the SYN/ACK, in milliseconds.
    pub handshake_ms: Option<f64>,
    /// `data_fin`, `fast_close`, `reset`, `fin` or `open`.
    pub close: String,
    /// Data of initiator and responder.
    pub data: [DataReport; 2],
    /// Subflows in order of their first packet.
    pub subflows: Vec<SubflowReport>,
    /// Addresses announced.
    pub announced: Vec<AnnouncedReport>,
    /// Data taken over from a subflow that ceased to deliver.
    pub failovers: Vec<FailoverReport>,
}

/// The data of one direction of a connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataReport {
    /// Octets, each once.
    pub octets: u64,
    /// Octets acknowledged by DATA_ACK; of TCP by ACK.
    pub acknowledged: u64,
    /// In bit/s.
    pub goodput_bps: Option<f64>,
    /// Segments with data that another subflow had carried.
    pub reinjections: u64,
    /// Octets of such data.
    pub reinjected: u64,
    /// Of these, what the new subflow delivered first.
    pub reinjected_useful: u64,
    /// Of these, what had been delivered otherwise.
    pub reinjected_redundant: u64,
    /// Segments beyond a gap in the data.
    pub out_of_order: u64,
    /// How long such data waited, in milliseconds.
    pub head_of_line_ms: Option<Quantiles>,
    /// The most octets that waited at one time.
    pub max_waiting: u64,
    /// Whether a DATA_FIN was seen, and whether it was acknowledged.
    pub data_fin: (bool, bool),
}

/// One subflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SubflowReport {
    /// Number of the flow in the view, from 0.
    pub flow: usize,
    /// Address and port of who opened it.
    pub client: String,
    /// Address and port of the other side.
    pub server: String,
    /// Name of the interface of its first packet.
    pub interface: String,
    /// Whether it joined.
    pub join: bool,
    /// Whether the responder of the connection opened it.
    pub opened_by_responder: bool,
    /// Address ids of MP_JOIN.
    pub address_ids: [Option<u8>; 2],
    /// Whether MP_JOIN asked for a backup.
    pub backup: bool,
    /// Whether both HMACs are right, as far as keys and nonces are known.
    pub authentic: [Option<bool>; 2],
    /// First packet, in seconds.
    pub start_s: f64,
    /// Whether the three-way handshake was seen.
    pub established: bool,
    /// From the first SYN to the acknowledgment of the SYN/ACK, in milliseconds.
    pub handshake_ms: Option<f64>,
    /// From the begin of the connection to the SYN, in milliseconds.
    pub join_after_ms: Option<f64>,
    /// Directions, that of the initiator of the connection first.
    pub directions: [SubflowDirection; 2],
}

/// One direction of a subflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SubflowDirection {
    /// Packets.
    pub packets: u64,
    /// Octets of IP packets.
    pub ip_octets: u64,
    /// Packets with payload.
    pub data_packets: u64,
    /// Octets of payload sent for the first time.
    pub payload: u64,
    /// Part of the payload of the direction, 0 to 1.
    pub share: Option<f64>,
    /// In bit/s.
    pub throughput_bps: Option<f64>,
    /// Segments sent again.
    pub retransmissions: u64,
    /// Octets of payload in them.
    pub retransmitted: u64,
    /// Retransmissions the receiver told to be duplicates, or of what was acknowledged.
    pub spurious: u64,
    /// Segments that overtook each other.
    pub out_of_order: u64,
    /// Keep-alives and window probes.
    pub probes: u64,
    /// Acknowledgments without payload.
    pub pure_acks: u64,
    /// Repeated acknowledgments.
    pub duplicate_acks: u64,
    /// Packets with RST.
    pub resets: u64,
    /// Octets of payload without a mapping.
    pub unmapped: u64,
    /// From data to its acknowledgment, in milliseconds.
    pub rtt_ms: Option<Quantiles>,
    /// From a timestamp to its echo, in milliseconds.
    pub rtt_timestamps_ms: Option<Quantiles>,
    /// Octets in flight.
    pub flight: Option<Quantiles>,
    /// Window announced by the sender of this direction, in octets.
    pub window: Option<Quantiles>,
    /// Packets with a window of 0.
    pub zero_windows: u64,
    /// Packets in a row less than 1 ms apart.
    pub bursts: Option<Quantiles>,
    /// MPTCP options by name, one a packet.
    pub options: BTreeMap<String, u64>,
}

/// An address announced by ADD_ADDR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnnouncedReport {
    /// Side that announced it, 0 the initiator.
    pub side: usize,
    /// Address id.
    pub id: u8,
    /// Address.
    pub address: String,
    /// Port, if given.
    pub port: Option<u16>,
    /// Time, in seconds.
    pub at_s: f64,
    /// Until the first SYN with MP_JOIN to it, in milliseconds.
    pub join_after_ms: Option<f64>,
}

/// Data taken over from a subflow that ceased to deliver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailoverReport {
    /// Time of the first reinjection, in seconds.
    pub at_s: f64,
    /// Since the subflow last made progress, in milliseconds.
    pub after_ms: f64,
    /// Flow that ceased to deliver.
    pub from: usize,
    /// Flow that took over.
    pub to: usize,
}

const MS: f64 = 1e6;

/// The figures of a view of `file`.
#[must_use]
pub fn report(file: &str, view: &View, warnings: &[Warning]) -> Report {
    let seen = &view.reconstruction;
    let (packets, other_packets) = seen.packets();
    let start = view.start();
    let icmp = view.icmp.iter().map(|(&(kind, code), &count)| (format!("{kind}/{code}"), count));
    let all = seen.connections().iter().filter(|connection| !connection.flows.is_empty());
    Report {
        file: file.to_owned(),
        view: view.name.clone(),
        packets,
        other_packets,
        not_ip: view.not_ip,
        octets: view.octets,
        duration_s: view.time.map_or(0.0, |(first, last)| seconds(last, first)),
        icmp: icmp.collect(),
        warnings: warnings.to_vec(),
        addresses: addresses(seen),
        connections: all
            .enumerate()
            .map(|(number, connection)| one(view, seen, number, connection, start))
            .collect(),
    }
}

fn addresses(seen: &Reconstruction) -> Vec<AddressReport> {
    let mut all: BTreeMap<IpAddr, [(u64, u64); 2]> = BTreeMap::new();
    for flow in seen.flows() {
        for (direction, from, to) in [
            (FlowDirection::ClientToServer, flow.client, flow.server),
            (FlowDirection::ServerToClient, flow.server, flow.client),
        ] {
            let counts = flow.counts(direction);
            for (address, way) in [(from.ip(), 0), (to.ip(), 1)] {
                let sum = &mut all.entry(address).or_default()[way];
                *sum = (sum.0 + counts.packets, sum.1 + counts.ip_octets);
            }
        }
    }
    let told = all.into_iter().map(|(address, [sent, received])| AddressReport {
        address: address.to_string(),
        sent,
        received,
    });
    told.collect()
}

/// What a side of a connection is called.
pub(crate) const fn side_name(side: usize) -> &'static str {
    if side == 0 { "initiator" } else { "responder" }
}

fn seconds(nanos: u64, start: u64) -> f64 {
    nanos.saturating_sub(start) as f64 / 1e9
}

fn between(from: Option<u64>, to: Option<u64>) -> Option<f64> {
    Some(to?.checked_sub(from?)? as f64 / MS)
}

fn one(
    view: &View,
    seen: &Reconstruction,
    number: usize,
    connection: &Connection,
    start: u64,
) -> ConnectionReport {
    let flows: Vec<(FlowId, &Flow)> =
        connection.flows.iter().map(|&flow| (flow, &seen.flows()[flow.index()])).collect();
    let begin = flows.iter().map(|(_, flow)| flow.time.0).min().unwrap_or(start);
    let end = flows.iter().map(|(_, flow)| flow.time.1).max().unwrap_or(start);
    let payload = [0, 1].map(|side| flows.iter().map(|(_, flow)| half(flow, side).new_payload).sum::<u64>());
    let subflows = flows.iter().map(|&(id, flow)| subflow(view, id, flow, begin, start, payload)).collect();
    let (protocol, fallback) = protocol(connection.protocol);
    let first = flows.first().map(|(_, flow)| &flow.handshake);
    let announced = connection.announced.iter().map(|announced| AnnouncedReport {
        side: announced.side,
        id: announced.id,
        address: announced.address.to_string(),
        port: announced.port,
        at_s: seconds(announced.nanos, start),
        join_after_ms: between(Some(announced.nanos), announced.joined),
    });
    let failovers = connection.failovers.iter().map(|failover| FailoverReport {
        at_s: seconds(failover.nanos, start),
        after_ms: failover.after as f64 / MS,
        from: failover.from.index(),
        to: failover.to.index(),
    });
    ConnectionReport {
        connection: number,
        protocol,
        fallback,
        version: connection.version.map(Version::number),
        checksums: connection.checksum.contains(&true),
        tokens: connection.tokens.map(|token| token.map(|token| format!("{token:08x}"))),
        start_s: seconds(begin, start),
        duration_s: seconds(end, begin),
        handshake_ms: first.and_then(|handshake| between(handshake.syn, handshake.ack)),
        close: close(connection, &flows).to_owned(),
        data: [0, 1].map(|side| data(&connection.streams[side], side, connection, &flows)),
        subflows,
        announced: announced.collect(),
        failovers: failovers.collect(),
    }
}

/// What a connection speaks, and why it fell back.
fn protocol(protocol: Protocol) -> (String, Option<String>) {
    let (name, cause) = match protocol {
        Protocol::Tcp => ("tcp", None),
        Protocol::Offered => ("offered", None),
        Protocol::Mptcp => ("mptcp", None),
        Protocol::Fallback(cause, packet) => ("fallback", Some((cause, packet))),
    };
    let cause = cause.map(|(cause, packet)| {
        let what = match cause {
            Fallback::SynAck => "SYN/ACK without MP_CAPABLE",
            Fallback::Syn => "SYN sent again without MP_CAPABLE",
            Fallback::Unmapped => "data without a mapping",
            Fallback::InfiniteMapping => "infinite mapping",
        };
        format!("{what} in packet {packet}")
    });
    (name.to_owned(), cause)
}

fn close(connection: &Connection, flows: &[(FlowId, &Flow)]) -> &'static str {
    let any = |what: fn(&HalfCounts) -> u64| {
        flows.iter().any(|(_, flow)| (0..2).any(|side| what(half(flow, side)) > 0))
    };
    let all_over =
        flows.iter().all(|(_, flow)| (0..2).any(|side| half(flow, side).resets + half(flow, side).fins > 0));
    if connection.fast_close.is_some() {
        "fast_close"
    } else if connection.streams.iter().all(|stream| stream.closed().0) {
        "data_fin"
    } else if any(|counts| counts.resets) && all_over {
        "reset"
    } else if connection.protocol != Protocol::Mptcp && any(|counts| counts.fins) && all_over {
        "fin"
    } else {
        "open"
    }
}

fn data(stream: &DataStream, side: usize, connection: &Connection, flows: &[(FlowId, &Flow)]) -> DataReport {
    let counts = &stream.counts;
    let span = counts.time.map_or(0.0, |(first, last)| seconds(last, first));
    let acknowledged = if connection.protocol == Protocol::Mptcp {
        let fin = i64::from(stream.closed().1);
        (stream.acknowledged() - fin).max(0).unsigned_abs()
    } else {
        flows.iter().map(|(_, flow)| flow.acknowledged(direction(flow, side))).sum()
    };
    DataReport {
        octets: counts.new,
        acknowledged,
        goodput_bps: (span > 0.0).then(|| counts.new as f64 * 8.0 / span),
        reinjections: counts.reinjections,
        reinjected: counts.reinjected,
        reinjected_useful: counts.useful,
        reinjected_redundant: counts.redundant,
        out_of_order: counts.out_of_order,
        head_of_line_ms: counts.head_of_line.quantiles(MS),
        max_waiting: counts.max_waiting,
        data_fin: stream.closed(),
    }
}

/// The direction of a flow in which a side of the connection sends.
fn direction(flow: &Flow, side: usize) -> FlowDirection {
    if (side == 0) ^ flow.reversed { FlowDirection::ClientToServer } else { FlowDirection::ServerToClient }
}

fn half(flow: &Flow, side: usize) -> &HalfCounts {
    flow.counts(direction(flow, side))
}

fn subflow(view: &View, id: FlowId, flow: &Flow, begin: u64, start: u64, payload: [u64; 2]) -> SubflowReport {
    let handshake = &flow.handshake;
    let interface = view.interfaces.iter().find(|(index, _)| *index == flow.interface);
    SubflowReport {
        flow: id.index(),
        client: flow.client.to_string(),
        server: flow.server.to_string(),
        interface: interface.map(|(_, name)| name.clone()).unwrap_or_default(),
        join: flow.join,
        opened_by_responder: flow.reversed,
        address_ids: handshake.address_ids,
        backup: handshake.backup.contains(&true),
        authentic: handshake.authentic,
        start_s: seconds(flow.time.0, start),
        established: handshake.syn_ack.is_some() && handshake.ack.is_some(),
        handshake_ms: between(handshake.syn, handshake.ack),
        join_after_ms: between(Some(begin), handshake.syn).filter(|_| flow.join),
        directions: [0, 1].map(|side| subflow_direction(half(flow, side), payload[side])),
    }
}

fn subflow_direction(counts: &HalfCounts, payload: u64) -> SubflowDirection {
    let options = counts.options.iter().enumerate().filter(|(_, count)| **count > 0);
    let options = options.map(|(subtype, &count)| (subtype_name(subtype as u8).to_owned(), count));
    let span = match (counts.first_data, counts.last_data) {
        (Some(first), Some(last)) => seconds(last, first),
        _ => 0.0,
    };
    SubflowDirection {
        packets: counts.packets,
        ip_octets: counts.ip_octets,
        data_packets: counts.data_packets,
        payload: counts.new_payload,
        share: (payload > 0).then(|| counts.new_payload as f64 / payload as f64),
        throughput_bps: (span > 0.0).then(|| counts.ip_octets as f64 * 8.0 / span),
        retransmissions: counts.retransmissions,
        retransmitted: counts.retransmitted,
        spurious: counts.duplicates_reported.max(counts.after_ack),
        out_of_order: counts.out_of_order,
        probes: counts.probes,
        pure_acks: counts.pure_acks,
        duplicate_acks: counts.duplicate_acks,
        resets: counts.resets,
        unmapped: counts.unmapped,
        rtt_ms: counts.rtt.quantiles(MS),
        rtt_timestamps_ms: counts.rtt_timestamps.quantiles(MS),
        flight: counts.flight.quantiles(1.0),
        window: counts.window.quantiles(1.0),
        zero_windows: counts.zero_windows,
        bursts: counts.bursts.quantiles(1.0),
        options: options.collect(),
    }
}

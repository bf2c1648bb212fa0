//! The figures of captures as rows for CSV, units in the headings; what is not known is an empty field.

use serde::Serialize;

use super::Report;
use crate::delays::Delays;
use crate::histogram::Quantiles;
use crate::series::{Fixed, Mbit, Millis, Seconds};
use crate::trace::FlowDirection;
use crate::vantage::View;

/// One direction of a connection.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are the headings; `DataReport` explains them")]
pub struct ConnectionRow {
    pub file: String,
    pub view: String,
    pub connection: usize,
    pub protocol: String,
    pub sender: &'static str,
    pub start_s: Seconds,
    pub duration_s: Seconds,
    pub handshake_ms: Option<Millis>,
    pub close: String,
    pub subflows: usize,
    pub data_bytes: u64,
    pub acknowledged_bytes: u64,
    pub goodput_mbit_s: Option<Mbit>,
    pub reinjections: u64,
    pub reinjected_bytes: u64,
    pub reinjected_useful_bytes: u64,
    pub reinjected_redundant_bytes: u64,
    pub out_of_order_segments: u64,
    pub head_of_line_median_ms: Option<Millis>,
    pub head_of_line_p95_ms: Option<Millis>,
    pub max_waiting_bytes: u64,
}

/// One direction of a subflow.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are the headings; `SubflowDirection` explains them")]
pub struct SubflowRow {
    pub file: String,
    pub view: String,
    pub connection: usize,
    pub flow: usize,
    pub client: String,
    pub server: String,
    pub interface: String,
    pub join: bool,
    pub backup: bool,
    pub sender: &'static str,
    pub start_s: Seconds,
    pub handshake_ms: Option<Millis>,
    pub join_after_ms: Option<Millis>,
    pub packets: u64,
    pub ip_bytes: u64,
    pub data_packets: u64,
    pub payload_bytes: u64,
    pub share: Option<Fixed<6>>,
    pub throughput_mbit_s: Option<Mbit>,
    pub retransmissions: u64,
    pub retransmitted_bytes: u64,
    pub spurious: u64,
    pub out_of_order: u64,
    pub rtt_samples: u64,
    pub rtt_min_ms: Option<Millis>,
    pub rtt_median_ms: Option<Millis>,
    pub rtt_p95_ms: Option<Millis>,
    pub rtt_max_ms: Option<Millis>,
    pub flight_median_bytes: Option<Fixed<0>>,
    pub flight_max_bytes: Option<Fixed<0>>,
    pub window_min_bytes: Option<Fixed<0>>,
    pub window_max_bytes: Option<Fixed<0>>,
    pub zero_windows: u64,
    pub burst_median_packets: Option<Fixed<0>>,
    pub burst_max_packets: Option<Fixed<0>>,
}

/// One packet of set-up, signalling or close.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are the headings; `Event` explains them")]
pub struct EventRow {
    pub file: String,
    pub view: String,
    pub packet: u64,
    pub time_s: Seconds,
    pub connection: usize,
    pub flow: usize,
    pub from: String,
    pub to: String,
    pub flags: String,
    pub payload_bytes: u32,
    pub data_fin: bool,
    pub options: String,
}

/// One address.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are the headings; `AddressReport` explains them")]
pub struct AddressRow {
    pub file: String,
    pub view: String,
    pub address: String,
    pub sent_packets: u64,
    pub sent_ip_bytes: u64,
    pub received_packets: u64,
    pub received_ip_bytes: u64,
}

/// One-way delays of one direction of a flow.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are the headings; `WayDelays` explains them")]
pub struct DelayRow {
    pub near: String,
    pub far: String,
    pub flow: usize,
    pub from: String,
    pub to: String,
    pub matched: u64,
    pub lost: u64,
    pub unsent: u64,
    pub ambiguous: u64,
    pub delay_min_ms: Option<Millis>,
    pub delay_median_ms: Option<Millis>,
    pub delay_p95_ms: Option<Millis>,
    pub delay_max_ms: Option<Millis>,
    pub clock_offset_ms: Millis,
    pub corrected: bool,
}

/// Rows of `addresses.csv`.
#[must_use]
pub fn addresses(reports: &[Report]) -> Vec<AddressRow> {
    let of = |report: &Report, one: &super::AddressReport| AddressRow {
        file: report.file.clone(),
        view: report.view.clone(),
        address: one.address.clone(),
        sent_packets: one.sent.0,
        sent_ip_bytes: one.sent.1,
        received_packets: one.received.0,
        received_ip_bytes: one.received.1,
    };
    reports.iter().flat_map(|report| report.addresses.iter().map(move |one| of(report, one))).collect()
}

/// Rows of `delays.csv`.
#[must_use]
pub fn delays(all: &[Delays]) -> Vec<DelayRow> {
    let mut rows = Vec::new();
    for delays in all {
        for flow in &delays.flows {
            let ends = [(&flow.client, &flow.server), (&flow.server, &flow.client)];
            for (way, (from, to)) in flow.directions.iter().zip(ends) {
                let of = |of: fn(&Quantiles) -> f64| way.delay_ms.as_ref().map(|delay| Fixed(of(delay)));
                rows.push(DelayRow {
                    near: delays.near.clone(),
                    far: delays.far.clone(),
                    flow: flow.flow[0],
                    from: from.clone(),
                    to: to.clone(),
                    matched: way.matched,
                    lost: way.lost,
                    unsent: way.unsent,
                    ambiguous: way.ambiguous,
                    delay_min_ms: of(|delay| delay.min),
                    delay_median_ms: of(|delay| delay.median),
                    delay_p95_ms: of(|delay| delay.p95),
                    delay_max_ms: of(|delay| delay.max),
                    clock_offset_ms: Fixed(delays.clock_offset_ms),
                    corrected: delays.corrected,
                });
            }
        }
    }
    rows
}

/// Rows of `connections.csv`.
#[must_use]
pub fn connections(reports: &[Report]) -> Vec<ConnectionRow> {
    let mut rows = Vec::new();
    for report in reports {
        for connection in &report.connections {
            for (side, data) in connection.data.iter().enumerate() {
                let waiting = data.head_of_line_ms;
                rows.push(ConnectionRow {
                    file: report.file.clone(),
                    view: report.view.clone(),
                    connection: connection.connection,
                    protocol: connection.protocol.clone(),
                    sender: super::side_name(side),
                    start_s: Fixed(connection.start_s),
                    duration_s: Fixed(connection.duration_s),
                    handshake_ms: connection.handshake_ms.map(Fixed),
                    close: connection.close.clone(),
                    subflows: connection.subflows.len(),
                    data_bytes: data.octets,
                    acknowledged_bytes: data.acknowledged,
                    goodput_mbit_s: data.goodput_bps.map(|bps| Fixed(bps / 1e6)),
                    reinjections: data.reinjections,
                    reinjected_bytes: data.reinjected,
                    reinjected_useful_bytes: data.reinjected_useful,
                    reinjected_redundant_bytes: data.reinjected_redundant,
                    out_of_order_segments: data.out_of_order,
                    head_of_line_median_ms: waiting.map(|waiting| Fixed(waiting.median)),
                    head_of_line_p95_ms: waiting.map(|waiting| Fixed(waiting.p95)),
                    max_waiting_bytes: data.max_waiting,
                });
            }
        }
    }
    rows
}

/// Rows of `subflows.csv`.
#[must_use]
pub fn subflows(reports: &[Report]) -> Vec<SubflowRow> {
    let mut rows = Vec::new();
    for report in reports {
        for connection in &report.connections {
            for subflow in &connection.subflows {
                for (side, direction) in subflow.directions.iter().enumerate() {
                    let rtt = direction.rtt_ms;
                    rows.push(SubflowRow {
                        file: report.file.clone(),
                        view: report.view.clone(),
                        connection: connection.connection,
                        flow: subflow.flow,
                        client: subflow.client.clone(),
                        server: subflow.server.clone(),
                        interface: subflow.interface.clone(),
                        join: subflow.join,
                        backup: subflow.backup,
                        sender: super::side_name(side),
                        start_s: Fixed(subflow.start_s),
                        handshake_ms: subflow.handshake_ms.map(Fixed),
                        join_after_ms: subflow.join_after_ms.map(Fixed),
                        packets: direction.packets,
                        ip_bytes: direction.ip_octets,
                        data_packets: direction.data_packets,
                        payload_bytes: direction.payload,
                        share: direction.share.map(Fixed),
                        throughput_mbit_s: direction.throughput_bps.map(|bps| Fixed(bps / 1e6)),
                        retransmissions: direction.retransmissions,
                        retransmitted_bytes: direction.retransmitted,
                        spurious: direction.spurious,
                        out_of_order: direction.out_of_order,
                        rtt_samples: rtt.map_or(0, |rtt| rtt.n),
                        rtt_min_ms: rtt.map(|rtt| Fixed(rtt.min)),
                        rtt_median_ms: rtt.map(|rtt| Fixed(rtt.median)),
                        rtt_p95_ms: rtt.map(|rtt| Fixed(rtt.p95)),
                        rtt_max_ms: rtt.map(|rtt| Fixed(rtt.max)),
                        flight_median_bytes: direction.flight.map(|flight| Fixed(flight.median)),
                        flight_max_bytes: direction.flight.map(|flight| Fixed(flight.max)),
                        window_min_bytes: direction.window.map(|window| Fixed(window.min)),
                        window_max_bytes: direction.window.map(|window| Fixed(window.max)),
                        zero_windows: direction.zero_windows,
                        burst_median_packets: direction.bursts.map(|bursts| Fixed(bursts.median)),
                        burst_max_packets: direction.bursts.map(|bursts| Fixed(bursts.max)),
                    });
                }
            }
        }
    }
    rows
}

/// Rows of `events.csv`.
#[must_use]
pub fn events(file: &str, view: &View) -> Vec<EventRow> {
    let seen = &view.reconstruction;
    let start = view.start();
    let mut rows = Vec::new();
    let all = seen.connections().iter().filter(|connection| !connection.flows.is_empty());
    for (number, connection) in all.enumerate() {
        for event in &connection.events {
            let flow = &seen.flows()[event.flow.index()];
            let (from, to) = match event.direction {
                FlowDirection::ClientToServer => (flow.client, flow.server),
                FlowDirection::ServerToClient => (flow.server, flow.client),
            };
            let options: Vec<_> = event.options.iter().map(ToString::to_string).collect();
            rows.push(EventRow {
                file: file.to_owned(),
                view: view.name.clone(),
                packet: event.number,
                time_s: Fixed(super::seconds(event.nanos, start)),
                connection: number,
                flow: event.flow.index(),
                from: from.to_string(),
                to: to.to_string(),
                flags: event.flags.to_string(),
                payload_bytes: event.payload,
                data_fin: event.data_fin,
                options: options.join("; "),
            });
        }
    }
    rows
}

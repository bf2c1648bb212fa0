//! Throughput and round-trip times of each subflow in intervals of equal length.
//!
//! A row tells of one direction of a flow in one interval: packets and octets of IP, payload sent for the first
//! time, segments sent again, octets in flight at the end, and the mean round-trip time of the data that was
//! acknowledged in it. Intervals without a packet of the flow are left out; so are those beyond [`LIMIT`].

use std::collections::BTreeMap;

use serde::Serialize;

use crate::reconstruct::Novelty;
use crate::series::{Fixed, Mbit, Millis, Seconds};
use crate::trace::FlowDirection;
use crate::vantage::{Taken, View, Watch};

/// The most rows of a capture.
pub const LIMIT: usize = 1_000_000;

/// One direction of a flow in one interval.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are the headings; the module explains them")]
pub struct IntervalRow {
    pub file: String,
    pub view: String,
    pub time_s: Seconds,
    pub flow: usize,
    pub from: String,
    pub to: String,
    pub packets: u64,
    pub ip_bytes: u64,
    pub payload_bytes: u64,
    pub throughput_mbit_s: Mbit,
    pub retransmissions: u64,
    pub flight_bytes: u64,
    pub rtt_samples: u64,
    pub rtt_mean_ms: Option<Millis>,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    packets: u64,
    ip_octets: u64,
    payload: u64,
    retransmissions: u64,
    flight: u64,
    rtts: u64,
    rtt_sum: u64,
}

/// View, interval, flow, and whether the server sends.
type Key = (usize, u64, usize, bool);

/// Counts while a capture is read.
#[derive(Clone, Debug)]
pub struct Intervals {
    /// Nanoseconds.
    length: u64,
    starts: Vec<Option<u64>>,
    counts: BTreeMap<Key, Counts>,
}

impl Intervals {
    /// Intervals of so many seconds.
    #[must_use]
    pub fn new(seconds: f64) -> Self {
        Self { length: ((seconds * 1e9) as u64).max(1), starts: Vec::new(), counts: BTreeMap::new() }
    }

    /// The rows of a view, in order of time.
    #[must_use]
    pub fn rows(&self, file: &str, view: &View, index: usize) -> Vec<IntervalRow> {
        let own = self.counts.range((index, 0, 0, false)..(index + 1, 0, 0, false));
        let seconds = self.length as f64 / 1e9;
        own.map(|(&(_, interval, number, server), counts)| {
            let flow = &view.reconstruction.flows()[number];
            let (from, to) = if server { (flow.server, flow.client) } else { (flow.client, flow.server) };
            let mean = counts.rtt_sum as f64 / counts.rtts.max(1) as f64 / 1e6;
            IntervalRow {
                file: file.to_owned(),
                view: view.name.clone(),
                time_s: Fixed(interval as f64 * seconds),
                flow: number,
                from: from.to_string(),
                to: to.to_string(),
                packets: counts.packets,
                ip_bytes: counts.ip_octets,
                payload_bytes: counts.payload,
                throughput_mbit_s: Fixed(counts.ip_octets as f64 * 8.0 / seconds / 1e6),
                retransmissions: counts.retransmissions,
                flight_bytes: counts.flight,
                rtt_samples: counts.rtts,
                rtt_mean_ms: (counts.rtts > 0).then_some(Fixed(mean)),
            }
        })
        .collect()
    }

    fn count(&mut self, key: Key) -> Option<&mut Counts> {
        if self.counts.len() >= LIMIT && !self.counts.contains_key(&key) {
            return None;
        }
        Some(self.counts.entry(key).or_default())
    }
}

impl Watch for Intervals {
    fn packet(&mut self, taken: &Taken<'_>) {
        let (view, packet) = (taken.view, taken.packet);
        if self.starts.len() <= view {
            self.starts.resize(view + 1, None);
        }
        let start = *self.starts[view].get_or_insert(packet.nanos);
        let Some((segment, tcp)) = taken.tcp() else { return };
        let interval = packet.nanos.saturating_sub(start) / self.length;
        let server = segment.direction == FlowDirection::ServerToClient;
        let flow = segment.flow.index();
        if let Some(counts) = self.count((view, interval, flow, server)) {
            counts.packets += 1;
            counts.ip_octets += u64::from(packet.wire_len);
            let again = segment.novelty == Novelty::Retransmission;
            counts.retransmissions += u64::from(again);
            counts.payload += if again { 0 } else { u64::from(tcp.payload_len) };
            counts.flight = taken.seen.flows()[flow].in_flight(segment.direction);
        }
        // It is the other side's data that took this long.
        if let Some(rtt) = segment.rtt
            && let Some(counts) = self.count((view, interval, flow, !server))
        {
            counts.rtts += 1;
            counts.rtt_sum = counts.rtt_sum.saturating_add(rtt);
        }
    }
}

//! What a capture of one host says about its MPTCP subflows: counters per direction, option layouts,
//! DSS forms, round-trip times and the signalling events. The result has the structure of
//! `results.analysis[host]` in the ground-truth files of schema `mptcp-reference/1`, so a simulated
//! capture and a real one give figures that can be compared field by field.
//!
//! Definitions. A *subflow* is a four-tuple in order of first appearance; who sent its first packet
//! is its client. A data segment whose end does not exceed the highest end seen is *retransmitted*.
//! Round-trip times run from a data segment to the first ACK without SACK blocks that covers it;
//! after a retransmission nothing above it is measured (Karn's rule).
//!
//! Left out: a four-tuple used twice counts as one subflow; connections are not told apart (see
//! the `join` flag); nothing is verified against keys.

mod analyser;
mod observer;
pub(crate) mod options;
mod tally;
pub mod view;

pub use analyser::TraceAnalyser;
pub use observer::TraceObserver;
pub use view::{PacketView, SegmentView, Transport};

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::capture::{CaptureError, CaptureReader};

/// Analyses the capture of one host to its end. Times are seconds since `time_zero`, in nanoseconds of
/// the capture's clock; packets before it count as at zero.
///
/// # Errors
/// As [`CaptureReader::next_frame`].
pub fn analyse_capture(capture: &mut CaptureReader, time_zero: u64) -> Result<HostAnalysis, CaptureError> {
    let mut analyser = TraceAnalyser::new();
    while let Some(frame) = capture.next_frame()? {
        match frame.ip().and_then(|(octets, wire_len, _)| PacketView::parse(octets, wire_len)) {
            Some(packet) => {
                analyser.push(frame.nanos.saturating_sub(time_zero), frame.interface_name, &packet);
            }
            None => analyser.push_other(),
        }
    }
    Ok(analyser.finish())
}

/// The analysis of one capture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostAnalysis {
    /// Subflows (and plain TCP connections) in order of their first packet.
    pub subflows: Vec<SubflowAnalysis>,
    /// MPTCP signalling, FIN and RST in order of time.
    pub events: Vec<SignalEvent>,
    /// ICMP messages in order of time.
    pub icmp: Vec<IcmpEvent>,
    /// Packets in the capture.
    pub packets: u64,
}

/// One subflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubflowAnalysis {
    /// Address and port of the side that sent the first packet.
    pub client: String,
    /// Address and port of the other side.
    pub server: String,
    /// Interface of the first packet.
    #[serde(rename = "if")]
    pub interface: String,
    /// Whether an MP_JOIN was seen.
    pub join: bool,
    /// First SYN, in seconds.
    pub syn_t: Option<f64>,
    /// First SYN/ACK, in seconds.
    pub synack_t: Option<f64>,
    /// First packet of the client with ACK after its SYN, in seconds.
    pub established_t: Option<f64>,
    /// SYNs without ACK.
    pub syns: u64,
    /// Client to server.
    pub c2s: DirectionAnalysis,
    /// Server to client.
    pub s2c: DirectionAnalysis,
    /// Packets by direction, class and option order, the 24 most frequent.
    pub option_layouts: Counts,
}

/// One direction of a subflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DirectionAnalysis {
    /// Packets.
    pub packets: u64,
    /// Packets with payload.
    pub data_segments: u64,
    /// Payload bytes sent for the first time on this subflow.
    pub payload_bytes: u64,
    /// Data segments that brought nothing new.
    pub retransmitted_segments: u64,
    /// Packets without payload, SYN, FIN and RST.
    pub pure_acks: u64,
    /// Packets with SACK blocks.
    pub acks_with_sack: u64,
    /// Packets with RST.
    pub rst: u64,
    /// Packets with FIN.
    pub fin: u64,
    /// First data segment, in seconds.
    pub first_data_t: Option<f64>,
    /// Last data segment, in seconds.
    pub last_data_t: Option<f64>,
    /// Parameters of the last SYN or SYN/ACK.
    pub syn: Option<SynParameters>,
    /// DSS options by form.
    pub dss_forms: Counts,
    /// Data segments by payload length, the six most frequent.
    pub segment_lengths: Counts,
    /// Round-trip times of this direction's data.
    pub rtt_ms: Option<RttSummary>,
}

/// What a SYN or SYN/ACK announces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SynParameters {
    /// Window, unscaled.
    pub win: u16,
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale.
    pub ws: Option<u8>,
    /// Option order.
    pub opts: String,
}

/// Round-trip times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RttSummary {
    /// Number of samples.
    pub n: u64,
    /// Shortest.
    pub min: f64,
    /// Median.
    pub median: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Longest.
    pub max: f64,
}

/// Which way a packet went on its subflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FlowDirection {
    /// From the side that sent the first packet.
    #[serde(rename = "c>s")]
    ClientToServer,
    /// To it.
    #[serde(rename = "s>c")]
    ServerToClient,
}

impl FlowDirection {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::ClientToServer => Self::ServerToClient,
            Self::ServerToClient => Self::ClientToServer,
        }
    }

    /// `c>s` or `s>c`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientToServer => "c>s",
            Self::ServerToClient => "s>c",
        }
    }
}

impl fmt::Display for FlowDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One signalling event: an MPTCP option other than DSS, the first DATA_FIN of a mapping, a FIN or a
/// RST (the first two each way).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "EventTuple", into = "EventTuple")]
pub struct SignalEvent {
    /// Seconds, rounded to microseconds.
    pub t: f64,
    /// Index of the subflow.
    pub subflow: usize,
    /// Direction on the subflow.
    pub direction: FlowDirection,
    /// TCP flags as letters in the order SAPFREC.
    pub flags: String,
    /// Octets of payload.
    pub payload: u32,
    /// Name of the option, `DATA_FIN`, `FIN` or `RST`.
    pub kind: String,
    /// Lengths, flags, ids and versions.
    pub details: Map<String, Value>,
}

type EventTuple = (f64, usize, FlowDirection, String, u32, String, Map<String, Value>);

impl From<EventTuple> for SignalEvent {
    fn from((t, subflow, direction, flags, payload, kind, details): EventTuple) -> Self {
        Self { t, subflow, direction, flags, payload, kind, details }
    }
}

impl From<SignalEvent> for EventTuple {
    fn from(event: SignalEvent) -> Self {
        let SignalEvent { t, subflow, direction, flags, payload, kind, details } = event;
        (t, subflow, direction, flags, payload, kind, details)
    }
}

/// One ICMP message: seconds, interface, from, to, (type, code).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IcmpEvent(pub f64, pub String, pub String, pub String, pub (u8, u8));

/// Counts by name, in an order that means something (usually the most frequent first).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub Vec<(String, u64)>);

impl Counts {
    /// The count of `name`, 0 if absent.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.0.iter().find(|(key, _)| key == name).map_or(0, |&(_, count)| count)
    }

    /// Names and counts in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, count) in self.iter() {
            map.serialize_entry(name, &count)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountsVisitor;
        impl<'de> Visitor<'de> for CountsVisitor {
            type Value = Counts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of names to counts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Counts, A::Error> {
                let mut counts = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    counts.push(entry);
                }
                Ok(Counts(counts))
            }
        }
        deserializer.deserialize_map(CountsVisitor)
    }
}

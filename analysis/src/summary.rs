//! The summary of a run: what goes into `summary.json`, and the same as a table for the terminal.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::table::{Align, Table};

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The run as a whole.
    pub run: RunSummary,
    /// Flows in the order of the scenario.
    pub flows: Vec<FlowSummary>,
    /// Link directions in the order of the scenario.
    pub links: Vec<LinkSummary>,
    /// Middleboxes in the order of the scenario.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boxes: Vec<BoxSummary>,
}

/// The run as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Name of the scenario.
    pub name: String,
    /// Master seed.
    pub seed: u64,
    /// Version of the program.
    pub version: String,
    /// Digest over all packets of the run, in hexadecimal.
    pub digest: String,
    /// Simulated time at the end.
    pub simulated_s: f64,
    /// Events the engine handled.
    pub events: u64,
}

/// One flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowSummary {
    /// Name in the scenario.
    pub name: String,
    /// `mptcp`, `tcp`, `udp`, or `fallback` for MPTCP that fell back to TCP.
    pub protocol: String,
    /// Octets received divided by the time from the call of connect() to the last octet, in bit/s.
    /// `None` if nothing was received.
    pub goodput_bps: Option<f64>,
    /// From the call of connect() to the last octet received, in seconds.
    pub completion_s: Option<f64>,
    /// Octets the sending application wrote.
    pub sent_bytes: u64,
    /// Octets the receiving application read.
    pub received_bytes: u64,
    /// Whether what was received was what was sent, once and in order.
    pub integrity_ok: bool,
    /// Whether both applications came to their end and both ends of the connection were closed.
    #[serde(default)]
    pub finished: bool,
    /// What ended the flow early.
    pub error: Option<String>,
    /// Octets of data sent on more than one subflow.
    pub reinjected_bytes: u64,
    /// Subflows in the order of their creation.
    pub subflows: Vec<SubflowSummary>,
    /// Of a UDP flow, what became of its datagrams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datagrams: Option<DatagramSummary>,
}

/// The datagrams of a UDP flow. Delays are those from sending to reading.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DatagramSummary {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams the sender's socket refused, after an ICMP error or without a route.
    pub refused: u64,
    /// Datagrams that arrived, copies not counted.
    pub delivered: u64,
    /// Datagrams that did not arrive before the end of the run.
    pub lost: u64,
    /// Copies of datagrams that had arrived before.
    pub duplicated: u64,
    /// Datagrams that arrived after one that was sent later (RFC 4737).
    pub reordered: u64,
    /// Datagrams whose octets are not those sent.
    pub corrupted: u64,
    /// Interarrival jitter after the last datagram (RFC 3550, section 6.4.1), in seconds.
    pub jitter_s: f64,
    /// Least delay in seconds; `None` if nothing arrived.
    pub delay_min_s: Option<f64>,
    /// Mean delay in seconds.
    pub delay_mean_s: Option<f64>,
    /// Largest delay in seconds.
    pub delay_max_s: Option<f64>,
}

/// One subflow of a flow. Octets are those of the direction that carried more data, segments those of both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SubflowSummary {
    /// Address and port of the initiator.
    pub local: String,
    /// Address and port of the other side.
    pub remote: String,
    /// Whether it joined an existing connection.
    pub join: bool,
    /// First SYN, in seconds.
    #[serde(alias = "syn_t")]
    pub syn_s: Option<f64>,
    /// When the initiator had completed the TCP handshake, in seconds; `None` if it never did.
    #[serde(alias = "established_t")]
    pub established_s: Option<f64>,
    /// Octets of payload that arrived in order on this subflow.
    pub payload_bytes: u64,
    /// Its part of the payload of all subflows, 0 to 1.
    pub share: f64,
    /// Segments sent again.
    pub retransmitted_segments: u64,
    /// How it ended for its initiator: `closed`, `reset`, `refused`, `timed out`, `host unreachable`,
    /// `network unreachable`, `protocol unreachable`, `source route failed`, `prohibited` or `protocol error`; `None` if
    /// it was still there.
    #[serde(default)]
    pub end: Option<String>,
}

/// One direction of a link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkSummary {
    /// Name in the scenario.
    pub link: String,
    /// `ab` or `ba`.
    pub direction: String,
    /// Packets offered.
    pub packets: u64,
    /// Their octets, link header included.
    pub bytes: u64,
    /// Packets refused or dropped by the queue.
    pub drops_queue: u64,
    /// Packets lost by chance or by list.
    pub drops_loss: u64,
    /// Packets refused because the link was down.
    pub drops_down: u64,
    /// Packets marked as having met congestion (CE).
    #[serde(default)]
    pub marked: u64,
    /// Most octets that ever waited.
    pub backlog_max_bytes: u64,
}

/// One middlebox. Its counters are packets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BoxSummary {
    /// Name in the scenario.
    pub name: String,
    /// Which box it is.
    pub kind: String,
    /// Interface of the router at which it stands.
    pub at: String,
    /// Came in.
    pub seen: u64,
    /// Left as they came.
    pub passed: u64,
    /// Left changed.
    pub changed: u64,
    /// Did not leave.
    pub dropped: u64,
    /// Were kept for later.
    pub held: u64,
    /// Left on top of those that passed or were changed: answers, forgeries, what had been held.
    pub released: u64,
    /// Those dropped, by reason.
    pub drops: BTreeMap<String, u64>,
    /// What the box counts of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, u64>,
}

impl FlowSummary {
    /// Sets every subflow's `share` from the payload octets.
    pub fn set_shares(&mut self) {
        let total: u64 = self.subflows.iter().map(|subflow| subflow.payload_bytes).sum();
        for subflow in &mut self.subflows {
            subflow.share = if total == 0 { 0.0 } else { subflow.payload_bytes as f64 / total as f64 };
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunSummary { name, seed, version, digest, simulated_s, events } = &self.run;
        writeln!(f, "{name}  seed {seed}  {simulated_s:.3} s simulated  {events} events  version {version}")?;
        writeln!(f, "digest {digest}")?;
        let mut flows = Table::new(&[
            ("flow", Align::Left),
            ("protocol", Align::Left),
            ("goodput Mbit/s", Align::Right),
            ("completion s", Align::Right),
            ("received B", Align::Right),
            ("reinjected B", Align::Right),
            ("stream", Align::Left),
        ]);
        let mut subflows = Table::new(&[
            ("flow", Align::Left),
            ("subflow", Align::Left),
            ("established s", Align::Right),
            ("payload B", Align::Right),
            ("share %", Align::Right),
            ("retransmitted", Align::Right),
            ("end", Align::Left),
        ]);
        let mut datagrams = Table::new(&[
            ("flow", Align::Left),
            ("sent", Align::Right),
            ("delivered", Align::Right),
            ("lost", Align::Right),
            ("reordered", Align::Right),
            ("duplicated", Align::Right),
            ("jitter ms", Align::Right),
            ("mean delay ms", Align::Right),
        ]);
        for flow in &self.flows {
            if let Some(counted) = &flow.datagrams {
                datagrams.row([
                    flow.name.clone(),
                    counted.sent.to_string(),
                    counted.delivered.to_string(),
                    counted.lost.to_string(),
                    counted.reordered.to_string(),
                    counted.duplicated.to_string(),
                    format!("{:.3}", counted.jitter_s * 1e3),
                    optional(counted.delay_mean_s.map(|delay| delay * 1e3), 3),
                ]);
            }
            let stream = match &flow.error {
                Some(error) => error.clone(),
                None if !flow.integrity_ok => "DAMAGED".into(),
                None if flow.finished => "intact".into(),
                None if flow.received_bytes == 0 => "-".into(),
                None => "intact so far".into(),
            };
            flows.row([
                flow.name.clone(),
                flow.protocol.clone(),
                optional(flow.goodput_bps.map(|bps| bps / 1e6), 3),
                optional(flow.completion_s, 3),
                flow.received_bytes.to_string(),
                flow.reinjected_bytes.to_string(),
                stream,
            ]);
            for subflow in &flow.subflows {
                subflows.row([
                    flow.name.clone(),
                    format!("{} > {}", subflow.local, subflow.remote),
                    optional(subflow.established_s, 4),
                    subflow.payload_bytes.to_string(),
                    format!("{:.1}", subflow.share * 100.0),
                    subflow.retransmitted_segments.to_string(),
                    subflow.end.clone().unwrap_or_else(|| "-".into()),
                ]);
            }
        }
        let mut links = Table::new(&[
            ("link", Align::Left),
            ("dir", Align::Left),
            ("packets", Align::Right),
            ("queue drops", Align::Right),
            ("lost", Align::Right),
            ("down", Align::Right),
            ("marked", Align::Right),
            ("max backlog B", Align::Right),
        ]);
        for link in &self.links {
            links.row([
                link.link.clone(),
                link.direction.clone(),
                link.packets.to_string(),
                link.drops_queue.to_string(),
                link.drops_loss.to_string(),
                link.drops_down.to_string(),
                link.marked.to_string(),
                link.backlog_max_bytes.to_string(),
            ]);
        }
        let mut boxes = Table::new(&[
            ("box", Align::Left),
            ("kind", Align::Left),
            ("at", Align::Left),
            ("packets", Align::Right),
            ("changed", Align::Right),
            ("dropped", Align::Right),
            ("why", Align::Left),
        ]);
        for placed in &self.boxes {
            let why: Vec<_> = placed.drops.iter().map(|(why, count)| format!("{why} {count}")).collect();
            boxes.row([
                placed.name.clone(),
                placed.kind.clone(),
                placed.at.clone(),
                placed.seen.to_string(),
                placed.changed.to_string(),
                placed.dropped.to_string(),
                why.join(", "),
            ]);
        }
        for table in [flows, subflows, datagrams, links, boxes] {
            if !table.is_empty() {
                write!(f, "\n{table}")?;
            }
        }
        Ok(())
    }
}

fn optional(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let subflow = |local: &str, payload_bytes| SubflowSummary {
            local: local.into(),
            remote: "10.0.9.2:5001".into(),
            established_s: Some(0.0242),
            payload_bytes,
            ..SubflowSummary::default()
        };
        let mut flow = FlowSummary {
            name: "f1".into(),
            protocol: "mptcp".into(),
            goodput_bps: Some(13_895_543.0),
            completion_s: Some(6.90869),
            received_bytes: 12_000_000,
            integrity_ok: true,
            finished: true,
            subflows: vec![subflow("10.0.1.2:40000", 9_000_000), subflow("10.0.2.2:40001", 3_000_000)],
            ..FlowSummary::default()
        };
        flow.set_shares();
        let run = RunSummary { name: "two-path".into(), seed: 7, simulated_s: 6.9, ..RunSummary::default() };
        Summary { run, flows: vec![flow], links: Vec::new(), boxes: Vec::new() }
    }

    #[test]
    fn shares_add_up_to_one() {
        let flow = &summary().flows[0];
        assert_eq!(flow.subflows.iter().map(|subflow| subflow.share).collect::<Vec<_>>(), [0.75, 0.25]);
    }

    #[test]
    fn the_table_is_aligned_and_leaves_out_empty_parts() {
        let text = summary().to_string();
        assert!(text.contains("two-path  seed 7  6.900 s simulated"));
        assert!(
            text.contains("f1    mptcp             13.896         6.909    12000000             0  intact\n"),
            "{text}"
        );
        assert!(
            text.contains("f1    10.0.2.2:40001 > 10.0.9.2:5001         0.0242    3000000     25.0"),
            "{text}"
        );
        assert!(!text.contains("max backlog"));
    }

    #[test]
    fn what_has_not_ended_is_not_called_intact() {
        let mut summary = summary();
        let stream = |summary: &Summary| {
            let text = summary.to_string();
            let row = text.lines().find(|line| line.starts_with("f1 ")).unwrap_or_default().to_owned();
            row.rsplit("  ").next().unwrap_or_default().trim().to_owned()
        };
        assert_eq!(stream(&summary), "intact");
        summary.flows[0].finished = false;
        assert_eq!(stream(&summary), "intact so far");
        summary.flows[0].received_bytes = 0;
        assert_eq!(stream(&summary), "-");
        summary.flows[0].integrity_ok = false;
        assert_eq!(stream(&summary), "DAMAGED");
    }

    #[test]
    fn the_table_of_links_shows_marks() {
        let link =
            LinkSummary { link: "p1".into(), direction: "ab".into(), marked: 4711, ..LinkSummary::default() };
        let text = Summary { links: vec![link], ..summary() }.to_string();
        let at = text.lines().find_map(|line| line.find("marked")).expect("a column") + "marked".len();
        assert!(
            text.lines().any(|line| line.starts_with("p1 ") && line.get(at - 4..at) == Some("4711")),
            "{text}"
        );
    }

    #[test]
    fn json_survives_a_round_trip() {
        let summary = summary();
        let json = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
    }
}

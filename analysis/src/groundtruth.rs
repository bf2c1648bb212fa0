//! Ground truth of one case: the JSON files of schema `mptcp-reference/1`, as far as a comparison
//! needs them. Of the topology only the addresses are read here; host configuration, the output of `ss` and the
//! events of `ip mptcp monitor` are not. Fields not named are ignored, missing ones are empty, so files of later
//! versions still load.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::delays::Delays;
use crate::series::SubflowSample;
use crate::statistics::median;
use crate::summary::Summary;
use crate::trace::HostAnalysis;

/// The schema this module reads.
pub const SCHEMA: &str = "mptcp-reference/1";

/// One case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroundTruth {
    /// Must be [`SCHEMA`].
    pub schema: String,
    /// Name of the case.
    pub name: String,
    /// Group letter.
    pub group: String,
    /// What it is about.
    pub title: String,
    /// Congestion control of both ends.
    pub cc: String,
    /// Which kernel.
    pub kernel: String,
    /// False for a case in which the kernel itself misbehaves: to be shown, not judged by.
    pub yardstick: Option<bool>,
    /// Why it is no yardstick.
    pub yardstick_why: Option<String>,
    /// The application script of each flow.
    pub flows_spec: Vec<FlowSpec>,
    /// What was captured.
    pub captures: Vec<CaptureFile>,
    /// The network.
    pub topology: Topology,
    /// What was measured.
    pub results: Results,
}

/// The network, as far as it is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Topology {
    /// Addresses with prefix lengths by `host:interface`.
    pub addresses: BTreeMap<String, Vec<String>>,
}

impl Topology {
    /// The addresses of a host, without prefix lengths.
    #[must_use]
    pub fn addresses_of(&self, host: &str) -> Vec<IpAddr> {
        let own = self.addresses.iter().filter(|(port, _)| port.split(':').next() == Some(host));
        let addresses = own.flat_map(|(_, addresses)| addresses);
        addresses.filter_map(|text| text.split('/').next()?.parse().ok()).collect()
    }
}

/// One flow of the script.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowSpec {
    /// Name.
    pub name: String,
    /// `mptcp` or `tcp`.
    pub proto: String,
    /// Who connects.
    pub client: Role,
    /// Who accepts.
    pub server: Role,
}

/// One end of a flow in the script.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Role {
    /// Host.
    pub host: String,
    /// What its application does, each step a word and its operands.
    pub steps: Vec<Value>,
}

impl Role {
    /// Whether the application sends until an instant, so that the amount is a result.
    #[must_use]
    pub fn sends_for_a_time(&self) -> bool {
        self.steps.iter().any(|step| step.get(0).and_then(Value::as_str) == Some("send_until"))
    }
}

/// One capture file of the case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaptureFile {
    /// File name.
    pub file: String,
    /// Host.
    pub host: String,
}

/// Results of a run, real or simulated: both sides of a comparison have this form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Results {
    /// Flows in the order of the script.
    pub flows: Vec<FlowResult>,
    /// Link directions.
    pub links: Vec<LinkResult>,
    /// Analysis of the capture of each host.
    pub analysis: BTreeMap<String, HostAnalysis>,
    /// Counters of the kernel of each host, as `nstat` shows them; those that are zero are absent.
    pub nstat: BTreeMap<String, BTreeMap<String, u64>>,
    /// One-way delays between the hosts, if their captures were matched.
    #[serde(skip)]
    pub delays: Vec<Delays>,
}

impl Results {
    /// The results of a simulated run. What the two applications of a flow did step by step is not in a
    /// summary and stays empty.
    #[must_use]
    pub fn from_summary(summary: &Summary, analysis: BTreeMap<String, HostAnalysis>) -> Self {
        let flows = summary.flows.iter().map(|flow| FlowResult {
            name: flow.name.clone(),
            goodput_bps: flow.goodput_bps,
            completion_s: flow.completion_s,
            ..FlowResult::default()
        });
        let links = summary.links.iter().map(|link| LinkResult {
            link: link.link.clone(),
            dir: link.direction.clone(),
            frames_in: link.packets,
            bytes_in: link.bytes,
            frames_out: link.packets.saturating_sub(link.drops_queue + link.drops_loss + link.drops_down),
            drops_queue: link.drops_queue,
            drops_loss: link.drops_loss,
            drops_down: link.drops_down,
            backlog_max_bytes_per_100ms: vec![link.backlog_max_bytes],
        });
        Self { flows: flows.collect(), links: links.collect(), analysis, ..Self::default() }
    }

    /// The time between samples of a subflow, in seconds, as it was most often.
    #[must_use]
    pub fn sampling_step(&self) -> Option<f64> {
        let series = self.flows.iter().flat_map(|flow| &flow.series);
        let steps = series.flat_map(|series| series.samples.windows(2).map(|pair| pair[1].t - pair[0].t));
        // To a millisecond: samples were taken some microseconds late.
        median(&steps.collect::<Vec<_>>()).map(|step| (step * 1e3).round() / 1e3)
    }

    /// Adds the state of subflows over time, from samples of a simulated run.
    pub fn add_samples(&mut self, samples: &[SubflowSample]) {
        for sample in samples {
            let Some(flow) = self.flows.iter_mut().find(|flow| flow.name == sample.connection) else {
                continue;
            };
            let ends =
                |series: &SubflowSeries| (&series.local, &series.remote) == (&sample.local, &sample.remote);
            let at = flow.series.iter().position(ends).unwrap_or_else(|| {
                let (local, remote) = (sample.local.clone(), sample.remote.clone());
                flow.series.push(SubflowSeries { local, remote, samples: Vec::new() });
                flow.series.len() - 1
            });
            flow.series[at].samples.push(StateSample {
                t: sample.time_s.0,
                cwnd: f64::from(sample.cwnd_segments),
                ssthresh: sample.ssthresh_segments.map(f64::from),
                srtt_ms: sample.srtt_ms.map(|srtt| srtt.0),
                unacked: f64::from(sample.unacked_segments),
            });
        }
    }
}

/// How a flow went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowResult {
    /// Name.
    pub name: String,
    /// Octets received divided by the time from connect() to the last octet, in bit/s.
    pub goodput_bps: Option<f64>,
    /// As `goodput_bps`, from the first octet on.
    pub goodput_from_first_byte_bps: Option<f64>,
    /// From connect() to the last octet, in seconds.
    pub completion_s: Option<f64>,
    /// The connecting side.
    pub client: Option<EndResult>,
    /// The accepting side.
    pub server: Option<EndResult>,
    /// The state of its subflows over time, at both ends as far as it was sampled.
    #[serde(skip)]
    pub series: Vec<SubflowSeries>,
}

/// The state of one subflow over time, at one end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubflowSeries {
    /// Address and port of this end.
    pub local: String,
    /// Address and port of the other end.
    pub remote: String,
    /// Samples in order of time.
    pub samples: Vec<StateSample>,
}

/// The state of a subflow at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StateSample {
    /// Time, in seconds.
    pub t: f64,
    /// Congestion window, in segments.
    pub cwnd: f64,
    /// Slow start threshold, in segments, if set.
    pub ssthresh: Option<f64>,
    /// Smoothed round-trip time, in milliseconds, if known.
    pub srtt_ms: Option<f64>,
    /// Segments sent and not acknowledged.
    pub unacked: f64,
}

/// How one application fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndResult {
    /// Steps with begin and end, in seconds.
    pub steps: Value,
    /// What ended the steps early.
    pub error: Option<String>,
    /// Octets written.
    pub sent: u64,
    /// Octets read.
    pub received: u64,
    /// Call of connect(), in seconds.
    pub connect_begin: Option<f64>,
    /// First octet read, in seconds.
    pub first_rx: Option<f64>,
    /// Last octet read, in seconds.
    pub last_rx: Option<f64>,
    /// End of the script, in seconds.
    pub end: Option<f64>,
    /// Local and remote address and port of each subflow, as `local>remote`.
    pub subflow_names: Vec<String>,
    /// What the columns of `samples` are, in the words of `TCP_INFO`; `subflow` is an index in `subflow_names`.
    pub sample_fields: Vec<String>,
    /// State of the subflows at regular times.
    pub samples: Vec<Vec<Option<f64>>>,
}

impl EndResult {
    /// The samples by subflow.
    fn series(&self) -> Vec<SubflowSeries> {
        let at = |name: &str| self.sample_fields.iter().position(|field| field == name);
        let (Some(t), Some(number), Some(cwnd)) = (at("t"), at("subflow"), at("cwnd")) else {
            return Vec::new();
        };
        let (ssthresh, srtt, unacked) = (at("ssthresh"), at("srtt_us"), at("unacked"));
        let value = |row: &[Option<f64>], column: usize| row.get(column).copied().flatten();
        let sample = |row: &[Option<f64>]| {
            let other = |column: Option<usize>| value(row, column?);
            Some(StateSample {
                t: value(row, t)?,
                cwnd: value(row, cwnd)?,
                ssthresh: other(ssthresh).filter(|&segments| segments < NOT_SET),
                srtt_ms: other(srtt).filter(|&us| us > 0.0).map(|us| us / 1e3),
                unacked: other(unacked).unwrap_or(0.0),
            })
        };
        let names = self.subflow_names.iter().enumerate().filter_map(|(index, name)| {
            let (local, remote) = name.split_once('>')?;
            let own = self.samples.iter().filter(|row| value(row, number) == Some(index as f64));
            let samples = own.filter_map(|row| sample(row)).collect();
            Some(SubflowSeries { local: local.to_owned(), remote: remote.to_owned(), samples })
        });
        names.collect()
    }
}

/// What `TCP_INFO` shows as slow start threshold before the first loss.
const NOT_SET: f64 = 2_147_483_647.0;

/// Counters of one direction of a link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkResult {
    /// Name.
    pub link: String,
    /// `ab` or `ba`.
    pub dir: String,
    /// Frames offered.
    pub frames_in: u64,
    /// Their octets.
    pub bytes_in: u64,
    /// Frames delivered.
    pub frames_out: u64,
    /// Frames refused by the queue.
    pub drops_queue: u64,
    /// Frames lost by chance or by list.
    pub drops_loss: u64,
    /// Frames refused because the link was down.
    pub drops_down: u64,
    /// The most octets that waited, in each tenth of a second, or over the whole run.
    pub backlog_max_bytes_per_100ms: Vec<u64>,
}

/// Why a ground truth could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroundTruthError {
    /// It is not JSON, or a field has the wrong type.
    #[error("not a ground truth: {0}")]
    Json(#[from] serde_json::Error),
    /// It has another schema.
    #[error("schema is `{0}`, expected `{SCHEMA}`")]
    Schema(String),
}

impl GroundTruth {
    /// Reads a case.
    ///
    /// # Errors
    /// If `json` is not of the schema.
    pub fn from_json(json: &[u8]) -> Result<Self, GroundTruthError> {
        let mut truth: Self = serde_json::from_slice(json)?;
        if truth.schema != SCHEMA {
            return Err(GroundTruthError::Schema(truth.schema));
        }
        for flow in &mut truth.results.flows {
            let ends = [&flow.client, &flow.server].into_iter().flatten();
            flow.series = ends.flat_map(EndResult::series).collect();
        }
        Ok(truth)
    }

    /// Whether a simulation is to be judged by this case.
    #[must_use]
    pub fn is_yardstick(&self) -> bool {
        self.yardstick.unwrap_or(true)
    }
}

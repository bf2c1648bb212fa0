//! Ground truth of one case: the JSON files of schema `mptcp-reference/1`, as far as a comparison
//! needs them. Topology and host configuration are not read here; of samples and kernel counters what tells how a
//! sender fared. Fields
//! not named are ignored, missing ones are empty, so files of later versions still load.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// What was measured.
    pub results: Results,
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
    /// Counters of the kernel of each host, by name as in `nstat`; those that are zero are left out.
    #[serde(skip_serializing)]
    pub nstat: BTreeMap<String, BTreeMap<String, u64>>,
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
        });
        Self { flows: flows.collect(), links: links.collect(), analysis, nstat: BTreeMap::new() }
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
    /// How it fared as the sender over a single path.
    pub sender: Option<SenderResult>,
    /// Names of the columns of `samples`.
    #[serde(skip_serializing)]
    pub sample_fields: Vec<String>,
    /// State of each subflow at a fixed step.
    #[serde(skip_serializing)]
    pub samples: Vec<Vec<Option<f64>>>,
}

/// How a sender over a single path fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SenderResult {
    /// Mean congestion window in segments of the samples with data outstanding.
    pub cwnd: f64,
    /// Number of these samples.
    pub samples: usize,
    /// Times loss was found: fast recoveries and retransmission timeouts.
    pub loss_episodes: u64,
}

/// Counters of Linux that count episodes of loss.
const EPISODES: [&str; 3] = ["TcpExtTCPSackRecovery", "TcpExtTCPRenoRecovery", "TcpExtTCPTimeouts"];

impl EndResult {
    /// What the samples of a single subflow say of its window.
    fn sampled_window(&self) -> Option<SenderResult> {
        let column = |name: &str| self.sample_fields.iter().position(|field| field == name);
        let (subflow, unacked, cwnd) = (column("subflow")?, column("unacked")?, column("cwnd")?);
        let (mut sum, mut samples) = (0.0, 0);
        for row in &self.samples {
            let value = |column: usize| row.get(column).copied().flatten();
            if value(subflow)? != 0.0 {
                return None;
            }
            if value(unacked)? > 0.0 {
                sum += value(cwnd)?;
                samples += 1;
            }
        }
        (samples > 0).then(|| SenderResult { cwnd: sum / samples as f64, samples, loss_episodes: 0 })
    }
}

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
        truth.find_senders();
        Ok(truth)
    }

    /// Draws from samples and counters how the senders of the case fared. Counters are those of a host, so only one
    /// that is an end of a single flow says something of it.
    fn find_senders(&mut self) {
        let specs = &self.flows_spec;
        for flow in &mut self.results.flows {
            let Some(spec) = specs.iter().find(|spec| spec.name == flow.name) else { continue };
            for (role, end) in [(&spec.client, &mut flow.client), (&spec.server, &mut flow.server)] {
                let uses =
                    |other: &FlowSpec| other.client.host == role.host || other.server.host == role.host;
                let (Some(end), Some(counters)) = (end, self.results.nstat.get(&role.host)) else { continue };
                if specs.iter().filter(|other| uses(other)).count() != 1 || end.sent <= end.received {
                    continue;
                }
                let loss_episodes = EPISODES.iter().filter_map(|name| counters.get(*name)).sum();
                end.sender = end.sampled_window().map(|sender| SenderResult { loss_episodes, ..sender });
            }
        }
    }

    /// Whether a simulation is to be judged by this case.
    #[must_use]
    pub fn is_yardstick(&self) -> bool {
        self.yardstick.unwrap_or(true)
    }
}

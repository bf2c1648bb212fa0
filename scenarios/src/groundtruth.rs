//! Reads the descriptions of reference captures (JSON, schema `mptcp-reference/1`) as scenarios: topology,
//! host configuration, application steps and events of a run of real kernels.
//!
//! Two things are taken from the results of the real run. A flow starts when its first SYN was captured
//! (else when connect() began, else as scheduled), because the applications started some milliseconds
//! late and everything after follows from that instant. The run lasts ten seconds longer than the real one.
//!
//! A `veth` link becomes a link without rate, with a delay of 15 us. Neighbour entries are dropped, as the
//! simulator knows every neighbour. Address translation, the packet filters in use and payload rewriting become
//! boxes. What the language cannot express is listed, not guessed: other rules of `nft`, unknown settings and
//! commands.

mod boxes;
mod lateness;
mod settings;

use core::fmt;
use std::collections::BTreeMap;

use mptcp_model::congestion;
use serde::Deserialize;
use serde_json::Value as Json;
use sim_core::{Bytes, Duration, Instant, Rate};
use toml::{Table, Value};

use crate::application::{RATE_WRITE, Step};
use crate::error::ScenarioErrors;
use crate::scenario::Scenario;
use crate::units::{Probability, print_size};
use crate::words::{Command, EndpointWords};

/// Delay of a plain virtual Ethernet link.
const VETH_DELAY: Duration = Duration::from_micros(15);

/// A reference case as a scenario.
#[derive(Clone, Debug)]
pub struct GroundTruth {
    /// The scenario.
    pub scenario: Scenario,
    /// Group of the case, such as `a` or `o2`.
    pub group: String,
    /// Whether the kernel behaved, so that the case may be a yardstick.
    pub yardstick: bool,
    /// What the scenario leaves out.
    pub unsupported: Vec<Unsupported>,
    /// By how much frames were late.
    lateness: Vec<lateness::Lateness>,
}

/// A feature of a case that a scenario cannot express.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Where it stands in the JSON.
    pub key: String,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// Why a file is not a reference case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Not JSON, or not of the expected form; the message names line and column.
    #[error("not a reference case: {0}")]
    Json(#[from] serde_json::Error),
    /// Another schema.
    #[error("schema \"{found}\" is not mptcp-reference/1")]
    Schema {
        /// The schema named in the file.
        found: String,
    },
    /// The case contradicts itself; the errors refer to the scenario made from it.
    #[error("the case makes no valid scenario:\n{0}")]
    Scenario(#[from] ScenarioErrors),
}

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    yardstick_why: Option<String>,
    #[serde(default)]
    kernel: String,
    cc: String,
    mptcp_version: Option<u8>,
    checksum: Option<u8>,
    path_manager: Option<String>,
    scheduler: Option<String>,
    #[serde(default)]
    global_config: BTreeMap<String, String>,
    topology: Topology,
    #[serde(default)]
    host_config: BTreeMap<String, HostConfig>,
    flows_spec: Vec<FlowSpec>,
    #[serde(default)]
    setup: Vec<(String, String)>,
    #[serde(default)]
    events_spec: Vec<EventSpec>,
    #[serde(default)]
    captures: Vec<CaptureSpec>,
    #[serde(default)]
    results: Json,
}

#[derive(Deserialize)]
struct Topology {
    hosts: BTreeMap<String, HostSpec>,
    links: Vec<LinkSpec>,
    addresses: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    macs: BTreeMap<String, String>,
    mtu: Option<u16>,
}

#[derive(Deserialize)]
struct HostSpec {
    #[serde(default)]
    router: bool,
}

#[derive(Deserialize)]
struct LinkSpec {
    name: String,
    kind: String,
    a: String,
    b: String,
    ab: Option<PipeSpec>,
    ba: Option<PipeSpec>,
}

#[derive(Deserialize)]
struct PipeSpec {
    rate_bps: u64,
    delay_ms: f64,
    queue_bytes: Option<u64>,
    queue_pkts: Option<u64>,
    #[serde(default)]
    loss: f64,
    #[serde(default)]
    seed: i64,
    #[serde(default)]
    drop: Vec<u32>,
    mangle: Option<u32>,
}

#[derive(Deserialize)]
struct HostConfig {
    #[serde(default)]
    sysctl: BTreeMap<String, String>,
    mptcp_limits: Option<String>,
    #[serde(default)]
    mptcp_endpoints: Vec<String>,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    routes: Vec<String>,
    nft: Option<Json>,
}

#[derive(Deserialize)]
struct FlowSpec {
    name: String,
    proto: String,
    dst: String,
    port: u16,
    src: Option<String>,
    #[serde(default)]
    start: f64,
    cc: Option<String>,
    client: SideSpec,
    server: SideSpec,
}

#[derive(Deserialize)]
struct SideSpec {
    host: String,
    steps: Vec<Vec<Json>>,
    bind: Option<String>,
}

#[derive(Deserialize)]
struct EventSpec {
    t: f64,
    host: Option<String>,
    cmd: Option<String>,
    relay: Option<String>,
}

#[derive(Deserialize)]
struct CaptureSpec {
    host: String,
    interfaces: Vec<String>,
    snaplen: u32,
}

/// Reads a reference case.
///
/// # Errors
/// If the text is not JSON of schema `mptcp-reference/1`, or describes an impossible network.
pub fn import(json: &str) -> Result<GroundTruth, ImportError> {
    #[derive(Deserialize)]
    struct Header {
        schema: String,
    }
    let header: Header = serde_json::from_str(json)?;
    if header.schema != "mptcp-reference/1" {
        return Err(ImportError::Schema { found: header.schema });
    }
    let case: Case = serde_json::from_str(json)?;
    let mut import = Import { case: &case, unsupported: Vec::new(), path_manager: None, scheduler: None };
    let document = import.document();
    let unsupported = import.unsupported;
    let text = document.to_string();
    let scenario = Scenario::from_toml(&text, &format!("{}.toml", case.name))?;
    Ok(GroundTruth {
        scenario,
        yardstick: case.yardstick_why.is_none(),
        unsupported,
        lateness: lateness::measured(&case.results),
        group: case.group,
    })
}

struct Import<'a> {
    case: &'a Case,
    unsupported: Vec<Unsupported>,
    path_manager: Option<String>,
    scheduler: Option<String>,
}

fn seconds(value: f64) -> String {
    Duration::from_secs_f64(value).to_string()
}

fn strings<T: ToString>(items: impl IntoIterator<Item = T>) -> Value {
    Value::Array(items.into_iter().map(|item| Value::String(item.to_string())).collect())
}

/// A table of those entries that are there.
fn table<const N: usize>(entries: [(&str, Option<Value>); N]) -> Table {
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn string(text: impl Into<String>) -> Option<Value> {
    Some(Value::String(text.into()))
}

impl Import<'_> {
    fn unsupported(&mut self, key: impl Into<String>, what: impl Into<String>) {
        self.unsupported.push(Unsupported { key: key.into(), what: what.into() });
    }

    fn document(&mut self) -> Table {
        let case = self.case;
        self.algorithms();
        let hosts =
            case.topology.hosts.iter().map(|(name, spec)| (name.clone(), self.host(name, spec))).collect();
        let links = case.topology.links.iter().map(|link| self.link(link)).collect();
        let boxes = self.boxes();
        let flows = case.flows_spec.iter().map(|flow| self.flow(flow)).collect();
        let events = self.events();
        let profile = if case.mptcp_version.is_some() { "linux-oot" } else { "linux-upstream" };
        let ports = case
            .captures
            .iter()
            .flat_map(|capture| capture.interfaces.iter().map(|name| format!("{}:{name}", capture.host)));
        let snaplen = case.captures.iter().map(|capture| i64::from(capture.snaplen)).max();
        let capture = table([
            ("interfaces", (!case.captures.is_empty()).then(|| strings(ports))),
            ("snaplen", snaplen.map(Value::Integer)),
        ]);
        table([
            ("name", string(&case.name)),
            ("title", string(&case.title)),
            ("description", string(format!("As captured with {}.", case.kernel))),
            ("duration", string(self.duration().to_string())),
            ("defaults", Some(Value::Table(table([("profile", string(profile))])))),
            ("hosts", Some(Value::Table(hosts))),
            ("links", Some(Value::Array(links))),
            ("boxes", (!boxes.is_empty()).then_some(Value::Array(boxes))),
            ("flows", Some(Value::Array(flows))),
            ("events", Some(Value::Array(events))),
            ("capture", Some(Value::Table(capture))),
        ])
    }

    /// Ten seconds more than the real run took, two minutes if nobody knows.
    fn duration(&self) -> Duration {
        let ends =
            self.case.results.get("flows").and_then(Json::as_array).into_iter().flatten().flat_map(|flow| {
                ["client", "server"].into_iter().filter_map(|side| flow.get(side)?.get("end")?.as_f64())
            });
        let events = self.case.events_spec.iter().map(|event| event.t);
        let last = ends.chain(events).fold(0.0, f64::max);
        if last > 0.0 {
            Duration::from_secs(Duration::from_secs_f64(last).as_millis().div_ceil(1_000) + 10)
        } else {
            Duration::from_secs(120)
        }
    }

    fn host(&mut self, name: &str, spec: &HostSpec) -> Value {
        let case = self.case;
        let prefix = format!("{name}:");
        let interfaces: Table = case
            .topology
            .addresses
            .iter()
            .filter_map(|(port, addresses)| {
                let interface = port.strip_prefix(&prefix)?;
                let mac = case.topology.macs.get(port).and_then(string);
                let entry = table([("addresses", Some(strings(addresses))), ("mac", mac)]);
                Some((interface.to_owned(), Value::Table(entry)))
            })
            .collect();
        let (mut tcp, mut mptcp) = (Table::new(), Table::new());
        self.global_config(&mut mptcp);
        let (mut rules, mut routes) = (Vec::new(), Vec::new());
        if let Some(config) = case.host_config.get(name) {
            for (key, value) in &config.sysctl {
                self.sysctl(&format!("host_config.{name}.sysctl.{key}"), key, value, &mut tcp, &mut mptcp);
            }
            self.mptcp(name, config, &mut mptcp);
            let implicit = ["from all lookup local", "from all lookup main", "from all lookup default"];
            let written = config.rules.iter().map(|rule| rule.replace('\t', " "));
            rules.extend(written.filter(|rule| !implicit.iter().any(|implicit| rule.ends_with(implicit))));
            routes.extend(config.routes.iter().map(|route| route.trim().to_owned()));
        }
        Value::Table(table([
            ("kind", string(if spec.router { "router" } else { "host" })),
            ("rp_filter", string("off")),
            ("rules", Some(strings(rules))),
            ("routes", Some(strings(routes))),
            ("interfaces", Some(Value::Table(interfaces))),
            ("tcp", Some(Value::Table(tcp))),
            ("mptcp", Some(Value::Table(mptcp))),
        ]))
    }

    fn mptcp(&mut self, name: &str, config: &HostConfig, mptcp: &mut Table) {
        if let Some(text) = &config.mptcp_limits {
            match format!("limits set {text}").parse() {
                Ok(Command::Limits { subflows, add_addr_accepted }) => {
                    let integer = |limit: Option<u8>| limit.map(|limit| Value::Integer(limit.into()));
                    let limits = table([
                        ("subflows", integer(subflows)),
                        ("add_addr_accepted", integer(add_addr_accepted)),
                    ]);
                    mptcp.insert("limits".to_owned(), Value::Table(limits));
                }
                _ => self.unsupported(format!("host_config.{name}.mptcp_limits"), text),
            }
        }
        let mut endpoints = Vec::new();
        for text in config.mptcp_endpoints.iter().filter(|text| !text.trim().is_empty()) {
            match text.parse::<EndpointWords>() {
                Ok(words) => endpoints.push(Value::Table(table([
                    ("address", string(words.address.to_string())),
                    ("id", words.id.map(|id| Value::Integer(id.into()))),
                    ("port", words.port.map(|port| Value::Integer(port.into()))),
                    ("dev", words.dev.as_ref().and_then(string)),
                    ("flags", Some(strings(words.flags.iter().map(|flag| flag.name())))),
                ]))),
                Err(complaint) => {
                    self.unsupported(format!("host_config.{name}.mptcp_endpoints"), complaint.message);
                }
            }
        }
        if !endpoints.is_empty() {
            mptcp.insert("endpoints".to_owned(), Value::Array(endpoints));
        }
    }

    fn link(&mut self, link: &LinkSpec) -> Value {
        let path = format!("topology.links.{}", link.name);
        if !matches!(link.kind.as_str(), "pipe" | "veth") {
            self.unsupported(format!("{path}.kind"), format!("link of kind {}", link.kind));
        }
        let veth = link.ab.is_none() && link.ba.is_none();
        let side = |spec: &Option<PipeSpec>| spec.as_ref().map(|spec| Value::Table(Self::direction(spec)));
        let (ab, ba) = (side(&link.ab), side(&link.ba));
        let changes = self.relays(&link.name);
        Value::Table(table([
            ("name", string(&link.name)),
            ("a", string(&link.a)),
            ("b", string(&link.b)),
            ("overhead", string("ethernet")),
            ("mtu", self.case.topology.mtu.map(|mtu| Value::Integer(mtu.into()))),
            ("delay", veth.then(|| Value::String(VETH_DELAY.to_string()))),
            ("queue", veth.then(|| Value::String("unlimited".to_owned()))),
            ("ab", ab),
            ("ba", ba),
            ("changes", (!changes.is_empty()).then_some(Value::Array(changes))),
        ]))
    }

    fn direction(spec: &PipeSpec) -> Table {
        let queue = match (spec.queue_bytes, spec.queue_pkts) {
            (Some(bytes), _) => print_size(Bytes(bytes)),
            (None, Some(packets)) => format!("{packets} packets"),
            (None, None) => "unlimited".to_owned(),
        };
        let mut loss = Table::new();
        // Rounding to 10^-15 restores the decimal number that was written.
        let probability =
            Probability::from_quadrillionths((spec.loss * 1e15 + 0.5) as u64).unwrap_or(Probability::ONE);
        if !probability.is_zero() {
            loss.insert("probability".to_owned(), Value::String(probability.to_string()));
            loss.insert("splitmix_seed".to_owned(), Value::Integer(spec.seed));
        }
        if !spec.drop.is_empty() {
            let frames = spec.drop.iter().map(|index| Value::Integer(i64::from(*index))).collect();
            loss.insert("frames".to_owned(), Value::Array(frames));
        }
        table([
            ("rate", Rate::from_bps(spec.rate_bps).map(|rate| Value::String(rate.to_string()))),
            ("delay", string(seconds(spec.delay_ms / 1e3))),
            ("queue", string(queue)),
            ("loss", (!loss.is_empty()).then_some(Value::Table(loss))),
        ])
    }

    /// Switching of a link by the link emulator.
    fn relays(&mut self, link: &str) -> Vec<Value> {
        let mut changes = Vec::new();
        for event in &self.case.events_spec {
            let Some((state, name)) = event.relay.as_deref().and_then(|relay| relay.split_once(' ')) else {
                continue;
            };
            if name == link {
                changes
                    .push(Value::Table(table([("at", string(seconds(event.t))), ("state", string(state))])));
            }
        }
        changes
    }

    fn events(&mut self) -> Vec<Value> {
        let case = self.case;
        let setup = case.setup.iter().map(|(host, command)| (0.0, host, command, "setup".to_owned()));
        let during = case.events_spec.iter().enumerate().filter_map(|(index, event)| {
            Some((event.t, event.host.as_ref()?, event.cmd.as_ref()?, format!("events_spec.{index}")))
        });
        let mut events = Vec::new();
        for (at, host, command, path) in setup.chain(during) {
            let command =
                command.strip_prefix("sh -c '").and_then(|inner| inner.strip_suffix('\'')).unwrap_or(command);
            for part in command.split(';').map(str::trim).filter(|part| !part.starts_with("ip neigh")) {
                match part.parse::<Command>() {
                    Ok(command) => events.push(Value::Table(table([
                        ("at", string(seconds(at))),
                        ("host", string(host)),
                        ("command", string(command.to_string())),
                    ]))),
                    Err(complaint) => self.unsupported(&path, format!("{part}: {}", complaint.message)),
                }
            }
        }
        for (index, event) in case.events_spec.iter().enumerate() {
            let relayed = event.relay.as_deref().and_then(|relay| relay.split_once(' ')).is_some_and(
                |(state, link)| {
                    matches!(state, "up" | "down") && case.topology.links.iter().any(|spec| spec.name == link)
                },
            );
            if !relayed && (event.host.is_none() || event.cmd.is_none()) {
                self.unsupported(
                    format!("events_spec.{index}"),
                    "neither a command nor a link going up or down",
                );
            }
        }
        events
    }

    fn flow(&mut self, flow: &FlowSpec) -> Value {
        let path = format!("flows_spec.{}", flow.name);
        let mptcp = flow.proto == "mptcp";
        if !mptcp && flow.proto != "tcp" {
            self.unsupported(format!("{path}.proto"), format!("protocol {}", flow.proto));
        }
        let client = self.steps(&format!("{path}.client"), &flow.client.steps);
        let server = self.steps(&format!("{path}.server"), &flow.server.steps);
        let bind = flow.src.as_ref().or(flow.client.bind.as_ref());
        let cc = flow.cc.as_ref().unwrap_or(&self.case.cc);
        Value::Table(table([
            ("name", string(&flow.name)),
            ("protocol", string(if mptcp { "mptcp" } else { "tcp" })),
            ("from", string(&flow.client.host)),
            ("to", string(&flow.dst)),
            ("port", Some(Value::Integer(flow.port.into()))),
            ("start", string(seconds(self.start(flow)))),
            ("bind", bind.and_then(string)),
            ("listen", flow.server.bind.as_ref().and_then(string)),
            ("congestion_control", string(cc)),
            ("congestion_parameters", self.congestion_parameters(cc)),
            ("client", Some(strings(client))),
            ("server", Some(strings(server))),
        ]))
    }

    /// The out-of-tree kernel computes in integers; LIA there, as of v0.90, with round-trip times in
    /// microseconds. CUBIC is that of Linux 5.4.
    fn congestion_parameters(&self, cc: &str) -> Option<Value> {
        self.case.mptcp_version?;
        let parameters = congestion::find(cc).ok()?.parameters;
        let chosen = |name: &'static str, wanted: &[&str]| {
            let parameter = parameters.iter().find(|one| one.name == name)?;
            let congestion::Kind::Choice(words) = parameter.kind else { return None };
            let word = wanted.iter().find(|word| words.contains(word))?;
            string(*word)
        };
        let given = table([
            ("arithmetic", chosen("arithmetic", &["linux-us", "linux"])),
            ("hystart", chosen("hystart", &["linux-5.4"])),
        ]);
        (!given.is_empty()).then_some(Value::Table(given))
    }

    /// Time of the first SYN at the client, else of connect(), else as scheduled.
    fn start(&self, flow: &FlowSpec) -> f64 {
        let results = &self.case.results;
        let named = |found: &&Json| found.get("name").and_then(Json::as_str) == Some(&flow.name);
        let measured = || {
            let client = results.get("flows")?.as_array()?.iter().find(named)?.get("client")?;
            let first_syn = || {
                let tuple = client.get("subflow_names")?.get(0)?.as_str()?;
                let source = tuple.split_once('>')?.0;
                let seen = results.get("analysis")?.get(&flow.client.host)?.get("subflows")?.as_array()?;
                let subflow = seen
                    .iter()
                    .find(|subflow| subflow.get("client").and_then(Json::as_str) == Some(source))?;
                subflow.get("syn_t")?.as_f64()
            };
            first_syn().or_else(|| client.get("connect_begin")?.as_f64())
        };
        measured().unwrap_or(flow.start)
    }

    fn steps(&mut self, path: &str, steps: &[Vec<Json>]) -> Vec<Step> {
        let mut read = Vec::new();
        for (index, words) in steps.iter().enumerate() {
            match step(words) {
                Some(step) => read.push(step),
                None => self.unsupported(format!("{path}.steps.{index}"), format!("step {words:?}")),
            }
        }
        read
    }
}

fn step(words: &[Json]) -> Option<Step> {
    let (word, arguments) = words.split_first()?;
    let bytes = |index: usize| arguments.get(index)?.as_u64().map(Bytes);
    let span = || arguments.first()?.as_f64().map(Duration::from_secs_f64);
    let at = || span().map(|since| Instant::ZERO + since);
    match word.as_str()? {
        "send" => bytes(0).map(Step::Send),
        "recv" => bytes(0).map(Step::Recv),
        "recv_eof" => Some(Step::RecvEof),
        "sleep" => span().map(Step::Sleep),
        "sleep_until" => at().map(Step::SleepUntil),
        "send_until" => at().map(Step::SendUntil),
        "send_rate" => {
            let rate = Rate::from_bps(arguments.get(1)?.as_u64()?)?;
            Some(Step::SendRate { bytes: bytes(0)?, rate, write: bytes(2).unwrap_or(RATE_WRITE) })
        }
        "shutwr" => Some(Step::Shutwr),
        "close" => Some(Step::Close),
        "disconnect" => Some(Step::Disconnect),
        "snapshot" => Some(Step::Snapshot),
        _ => None,
    }
}

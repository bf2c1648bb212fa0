//! `mptcp-sim fluid`: a scenario simulated packet by packet, and beside it the rates at which its congestion
//! controls would rest in a fluid. The paths of subflows are those their packets took.
//!
//! What the fluid does not know is left out: changes of links, starts and ends of flows, buffers that limit a
//! flow, queues. Round-trip times are those without queues unless measured ones are asked for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use analysis::fluid::{Algorithm, Equilibrium, FluidError, Link, LinkId, Network, Options, solve};
use mptcp_model::congestion;
use mptcp_model::wire::{Body, Packet};
use scenarios::Scenario;
use scenarios::application::{Amount, Application};
use scenarios::layout::Layout;
use scenarios::scenario::{self, Loss, Parameter, Protocol};
use serde::Serialize;
use sim_core::{Direction, Duration, Instant, NodeId, Observer, PortId};

use crate::failure::Failure;
use crate::measure::{FlowMeasure, LinkMeasure, Measured, SubflowMeasure, Window, measure};
use crate::{print, report};

/// What to compare.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) scenario: Scenario,
    pub(crate) window: Window,
    /// Take round-trip times as measured, with queues, instead of those of the empty network.
    pub(crate) measured_rtt: bool,
    /// Smallest window of a subflow in packets.
    pub(crate) floor: f64,
    pub(crate) json: bool,
}

/// A direction of a link by its place in the scenario.
type Hop = (usize, Direction);

/// The way of each subflow's data, learnt from its packets.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    /// The hop behind each port, by node.
    ports: Vec<Vec<Hop>>,
    ways: BTreeMap<(SocketAddr, SocketAddr), Vec<Hop>>,
}

impl Ways {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let layout = Layout::of(scenario);
        let mut ports = vec![Vec::new(); layout.nodes.len()];
        for port in &layout.ports {
            ports[port.node.0 as usize].push((port.link.0 as usize, port.outgoing));
        }
        Self { ports, ways: BTreeMap::new() }
    }
}

impl Observer<Packet> for Ways {
    fn sent(&mut self, _at: Instant, node: NodeId, port: PortId, packet: &Packet) {
        let Body::Tcp(segment) = &packet.body else { return };
        if segment.payload.is_empty() {
            return;
        }
        let ends = (
            SocketAddr::new(packet.ip.src, segment.src_port),
            SocketAddr::new(packet.ip.dst, segment.dst_port),
        );
        let hop = self.ports.get(node.0 as usize).and_then(|ports| ports.get(usize::from(port.0)));
        if let Some(&hop) = hop {
            let way = self.ways.entry(ends).or_default();
            if !way.contains(&hop) {
                way.push(hop);
            }
        }
    }
}

/// The window of a scenario if none is given: from a quarter of the time to the end of the first flow that
/// sends for a fixed time, else of the run.
pub(crate) fn default_window(scenario: &Scenario) -> Window {
    let ends = scenario.flows.iter().filter_map(|flow| match flow.application {
        Application::Bulk { amount: Amount::For(time), .. } => Some(flow.start + time),
        _ => None,
    });
    let to = ends.min().unwrap_or(Instant::FAR_FUTURE).min(Instant::ZERO + scenario.duration);
    Window { from: Instant::from_nanos(to.as_nanos() / 4), to }
}

/// A subflow in both worlds; rates are payload in Mbit/s.
#[derive(Debug, Serialize)]
struct SubflowRow {
    flow: String,
    subflow: String,
    /// Addresses of sender and receiver.
    #[serde(skip)]
    ends: (SocketAddr, SocketAddr),
    packet_mbit_s: f64,
    fluid_mbit_s: f64,
    packet_window_segments: f64,
    fluid_window_segments: f64,
    packet_rtt_ms: f64,
    fluid_rtt_ms: f64,
}

/// A direction of a link in both worlds.
#[derive(Debug, Serialize)]
struct LinkRow {
    link: String,
    #[serde(serialize_with = "direction_name")]
    direction: Direction,
    packet_loss: f64,
    fluid_loss: f64,
}

/// Both worlds side by side.
#[derive(Debug, Serialize)]
struct SideBySide {
    subflows: Vec<SubflowRow>,
    links: Vec<LinkRow>,
}

fn direction_name<S: serde::Serializer>(direction: &Direction, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(direction.name())
}

impl SideBySide {
    /// Sum of the rates of a flow in Mbit/s: packets, fluid.
    fn rates(&self, flow: &str) -> (f64, f64) {
        let of_flow = self.subflows.iter().filter(|row| row.flow == flow);
        of_flow.fold((0.0, 0.0), |sum, row| (sum.0 + row.packet_mbit_s, sum.1 + row.fluid_mbit_s))
    }
}

/// Runs, solves and prints.
///
/// # Errors
/// If the network cannot be built, or the fluid knows no answer.
pub(crate) fn fluid(comparison: &Comparison) -> Result<(), Failure> {
    let result = side_by_side(comparison)?;
    let Comparison { scenario, window, .. } = comparison;
    let name = &scenario.name;
    report(
        &unknown(scenario, *window)
            .iter()
            .map(|what| format!("warning: {name}: {what}\n"))
            .collect::<Vec<_>>(),
    );
    if comparison.json {
        let text = serde_json::to_string_pretty(&result);
        return print(&(text.map_err(|error| Failure::message(error.to_string(), None))? + "\n"));
    }
    print(&table(comparison, &result))
}

/// What happens in the packets and is unknown to the fluid, so that the two cannot be expected to agree.
fn unknown(scenario: &Scenario, window: Window) -> Vec<String> {
    let flows = scenario.flows.iter().filter(|flow| flow.protocol != Protocol::Udp);
    let flows = flows.filter_map(|flow| {
        let what = match flow.application {
            Application::Bulk { amount: Amount::For(_), .. } => return None,
            Application::Bulk { .. } => "ends with its last byte",
            _ => "does not send all the time",
        };
        Some(format!("flow {} {what}; the fluid takes it to send without end", flow.name))
    });
    let changed =
        scenario.links.iter().filter(|link| link.changes.iter().any(|change| change.at < window.to));
    let links = changed.map(|link| format!("link {} changes; the fluid has it as it begins", link.name));
    let udp = scenario.flows.iter().filter(|flow| flow.protocol == Protocol::Udp);
    let udp =
        udp.map(|flow| format!("flow {} is not in the fluid: UDP has no congestion control", flow.name));
    flows.chain(links).chain(udp).collect()
}

/// Runs and solves.
///
/// # Errors
/// As [`fluid`].
fn side_by_side(comparison: &Comparison) -> Result<SideBySide, Failure> {
    let Comparison { scenario, window, .. } = comparison;
    let failed = |what: String| Failure::message(format!("{}: {what}", scenario.name), None);
    let (measured, ways) = measure(scenario, *window, congestion::create, Ways::new(scenario))
        .map_err(|error| failed(error.to_string()))?;
    let model = Model::new(comparison, &measured, &ways.ways).map_err(failed)?;
    let options = Options { window_floor: comparison.floor, ..Options::default() };
    let equilibrium =
        solve(&model.network, &options).map_err(|error| failed(in_words(&model, scenario, &error)))?;
    Ok(model.rows(scenario, &measured, &equilibrium))
}

/// The fluid of a scenario as if it had been measured; the window serves to learn paths.
///
/// # Errors
/// As [`fluid`].
pub(crate) fn measured_fluid(comparison: &Comparison) -> Result<Measured, Failure> {
    let result = side_by_side(comparison)?;
    let flows = comparison.scenario.flows.iter().map(|flow| {
        let rows = result.subflows.iter().filter(|row| row.flow == flow.name);
        let subflows: Vec<_> = rows
            .map(|row| SubflowMeasure {
                from: row.ends.0,
                to: row.ends.1,
                rate: row.fluid_mbit_s * 1e6,
                cwnd: row.fluid_window_segments,
                rtt: row.fluid_rtt_ms / 1e3,
            })
            .collect();
        let rate = subflows.iter().map(|subflow| subflow.rate).sum();
        FlowMeasure { name: flow.name.clone(), rate, series: Vec::new(), subflows }
    });
    let links = result.links.iter().map(|row| LinkMeasure {
        name: row.link.clone(),
        direction: row.direction,
        loss: row.fluid_loss,
    });
    Ok(Measured { flows: flows.collect(), links: links.collect() })
}

fn in_words(model: &Model<'_>, scenario: &Scenario, error: &FluidError) -> String {
    match error {
        FluidError::FloorExceedsCapacity { link, load, capacity } => {
            let name = model.hops.get(*link).map_or("", |hop| scenario.links[hop.0].name.as_str());
            format!("the smallest windows alone load link {name} with {load:.1} of {capacity:.1} packets/s")
        }
        other => other.to_string(),
    }
}

/// The fluid network of a scenario.
struct Model<'a> {
    network: Network,
    /// The hop of each fluid link.
    hops: Vec<Hop>,
    links: Vec<LinkId>,
    /// Subflows of each user, in its order, and the payload of a packet in bits.
    users: Vec<(&'a FlowMeasure, Vec<&'a SubflowMeasure>, f64)>,
}

impl<'a> Model<'a> {
    fn new(
        comparison: &Comparison,
        measured: &'a Measured,
        ways: &BTreeMap<(SocketAddr, SocketAddr), Vec<Hop>>,
    ) -> Result<Self, String> {
        let scenario = &comparison.scenario;
        let mut model =
            Self { network: Network::new(), hops: Vec::new(), links: Vec::new(), users: Vec::new() };
        for (flow, spec) in measured.flows.iter().zip(&scenario.flows) {
            let mut paths = Vec::new();
            let mut subflows = Vec::new();
            for subflow in &flow.subflows {
                let Some(way) = ways.get(&(subflow.from, subflow.to)) else { continue };
                let links: Vec<_> = way.iter().map(|&hop| model.link(scenario, hop)).collect();
                let rtt = if comparison.measured_rtt { subflow.rtt } else { base_rtt(scenario, way) };
                paths.push(model.network.path(links, rtt));
                subflows.push(subflow);
            }
            if paths.is_empty() {
                continue;
            }
            let algorithm = algorithm(scenario, spec)?;
            model.network.user(algorithm, paths);
            // Options of a full segment: timestamps, and with MPTCP a mapping.
            let options = if spec.protocol == Protocol::Mptcp { 32.0 } else { 12.0 };
            model.users.push((flow, subflows, 8.0 * (f64::from(MTU) - 40.0 - options)));
        }
        if model.users.is_empty() {
            return Err("no flow sent any data in the window".to_owned());
        }
        Ok(model)
    }

    fn link(&mut self, scenario: &Scenario, hop: Hop) -> LinkId {
        if let Some(known) = self.hops.iter().position(|known| *known == hop) {
            return self.links[known];
        }
        let (link, side) = side(scenario, hop);
        let packet = 8.0 * (f64::from(link.mtu) + link.overhead.0 as f64);
        let made = side.rate.map_or_else(
            || Link::new(analysis::fluid::Law::Free),
            |rate| Link::with_capacity(rate.as_bps() as f64 / packet),
        );
        let id = self.network.link(made.with_loss(loss(&side.loss)));
        self.hops.push(hop);
        self.links.push(id);
        id
    }

    fn rows(&self, scenario: &Scenario, measured: &Measured, equilibrium: &Equilibrium) -> SideBySide {
        let mut rows = Vec::new();
        for ((flow, subflows, payload), user) in self.users.iter().zip(&equilibrium.users) {
            for (subflow, state) in subflows.iter().zip(&user.subflows) {
                rows.push(SubflowRow {
                    flow: flow.name.clone(),
                    subflow: format!("{} > {}", subflow.from, subflow.to),
                    ends: (subflow.from, subflow.to),
                    packet_mbit_s: subflow.rate / 1e6,
                    fluid_mbit_s: state.rate * payload / 1e6,
                    packet_window_segments: subflow.cwnd,
                    fluid_window_segments: state.window,
                    packet_rtt_ms: subflow.rtt * 1e3,
                    fluid_rtt_ms: state.rtt * 1e3,
                });
            }
        }
        let links = self.hops.iter().zip(&equilibrium.links).filter_map(|(&hop, state)| {
            let (link, side) = side(scenario, hop);
            let found =
                measured.links.iter().find(|seen| seen.name == link.name && seen.direction == hop.1)?;
            (side.rate.is_some() || !side.loss.is_empty()).then(|| LinkRow {
                link: link.name.clone(),
                direction: hop.1,
                packet_loss: found.loss,
                fluid_loss: state.loss,
            })
        });
        SideBySide { subflows: rows, links: links.collect() }
    }
}

/// Octets of a full packet.
const MTU: u16 = 1500;

fn side(scenario: &Scenario, (index, direction): Hop) -> (&scenario::Link, &scenario::LinkDirection) {
    let link = &scenario.links[index];
    (link, if direction == Direction::AtoB { &link.ab } else { &link.ba })
}

/// Mean loss of all models of a direction.
fn loss(models: &[Loss]) -> f64 {
    let kept = models.iter().map(|model| match model {
        Loss::Bernoulli(probability) | Loss::Splitmix { probability, .. } => 1.0 - probability.as_f64(),
        Loss::GilbertElliott { p, r, loss_good, loss_bad } => {
            let bad = p.as_f64() / (p.as_f64() + r.as_f64()).max(f64::MIN_POSITIVE);
            1.0 - (1.0 - bad) * loss_good.as_f64() - bad * loss_bad.as_f64()
        }
        Loss::EveryNth(n) => 1.0 - 1.0 / (*n).max(1) as f64,
        _ => 1.0,
    });
    1.0 - kept.product::<f64>()
}

/// Round-trip time without queues in seconds: delays there and back and the transmission of a full packet.
fn base_rtt(scenario: &Scenario, way: &[Hop]) -> f64 {
    way.iter()
        .map(|&(link, direction)| {
            let (link, forth) = side(scenario, (link, direction));
            let back = if direction == Direction::AtoB { &link.ba } else { &link.ab };
            let random = (forth.jitter + back.jitter).as_secs_f64() / 2.0;
            let bits = 8.0 * (f64::from(link.mtu) + link.overhead.0 as f64);
            let transmission = forth.rate.map_or(0.0, |rate| bits / rate.as_bps() as f64);
            (forth.delay + back.delay).as_secs_f64() + random + transmission
        })
        .sum()
}

/// The law of a flow's congestion control.
fn algorithm(scenario: &Scenario, flow: &scenario::Flow) -> Result<Algorithm, String> {
    let host = scenario.host(&flow.from).map_or("", |host| host.tcp.tcp_congestion_control.as_str());
    let name = flow.congestion_control.as_deref().unwrap_or(host);
    let number = |parameter: &str, default: f64| match flow.congestion_parameters.get(parameter) {
        Some(Parameter::Integer(number)) => *number as f64,
        _ => default,
    };
    let linux = matches!(flow.congestion_parameters.get("arithmetic"), Some(Parameter::Text(text)) if text == "linux");
    Ok(match name {
        "reno" => Algorithm::Reno,
        "cubic" => Algorithm::Cubic,
        "lia" => Algorithm::Lia,
        "olia" => Algorithm::Olia,
        "balia" => Algorithm::Balia,
        "ewtcp" => Algorithm::Ewtcp,
        "coupled" => Algorithm::Coupled,
        // It rests anywhere between alpha and beta.
        "vegas" => Algorithm::Vegas { alpha: (number("alpha", 2.0) + number("beta", 4.0)) / 2.0 },
        "wvegas" => Algorithm::WVegas {
            total_alpha: number("total_alpha", 10.0),
            min_alpha: if linux { number("initial_alpha", 2.0) } else { 0.0 },
            whole: linux,
        },
        other => return Err(format!("no fluid law is known for the congestion control \"{other}\"")),
    })
}

fn table(comparison: &Comparison, result: &SideBySide) -> String {
    let Comparison { scenario, window, .. } = comparison;
    let seconds = |at: Instant| at.saturating_since(Instant::ZERO).as_secs_f64();
    let mut text = format!(
        "{}  seed {}  packets from {} s to {} s, fluid at rest\n\n",
        scenario.name,
        scenario.seed,
        seconds(window.from),
        seconds(window.to)
    );
    let width = result.subflows.iter().map(|row| row.subflow.len()).max().unwrap_or(0).max("subflow".len());
    let name = result.subflows.iter().map(|row| row.flow.len()).max().unwrap_or(0).max("flow".len());
    let _ = writeln!(
        text,
        "{:name$}  {:width$}  {:>13} {:>8}  {:>13} {:>8}  {:>10} {:>8}",
        "flow", "subflow", "Mbit/s packet", "fluid", "window packet", "fluid", "ms packet", "fluid"
    );
    for row in &result.subflows {
        let _ = writeln!(
            text,
            "{:name$}  {:width$}  {:>13.3} {:>8.3}  {:>13.1} {:>8.1}  {:>10.1} {:>8.1}",
            row.flow,
            row.subflow,
            row.packet_mbit_s,
            row.fluid_mbit_s,
            row.packet_window_segments,
            row.fluid_window_segments,
            row.packet_rtt_ms,
            row.fluid_rtt_ms
        );
    }
    let mut flows: Vec<&str> = result.subflows.iter().map(|row| row.flow.as_str()).collect();
    flows.dedup();
    let _ =
        writeln!(text, "\n{:name$}  {:>13} {:>8}  {:>12}", "flow", "Mbit/s packet", "fluid", "packet/fluid");
    for flow in flows {
        let (packet, fluid) = result.rates(flow);
        let _ = writeln!(text, "{flow:name$}  {packet:>13.3} {fluid:>8.3}  {:>12.3}", packet / fluid);
    }
    let width = result.links.iter().map(|row| row.link.len()).max().unwrap_or(0).max("link".len());
    let _ = writeln!(text, "\n{:width$}  direction  {:>13} {:>8}", "link", "loss % packet", "fluid");
    for row in &result.links {
        let LinkRow { link, direction, packet_loss, fluid_loss } = row;
        let (packet, fluid) = (packet_loss * 100.0, fluid_loss * 100.0);
        let direction = direction.name();
        let _ = writeln!(text, "{link:width$}  {direction:9}  {packet:>13.4} {fluid:>8.4}");
    }
    text
}

/// A window in seconds, where given.
///
/// # Errors
/// If it is empty or beyond the run.
pub(crate) fn window(scenario: &Scenario, from: Option<f64>, to: Option<f64>) -> Result<Window, Failure> {
    let default = default_window(scenario);
    let at = |seconds: Option<f64>, default: Instant| {
        seconds.map_or(default, |seconds| Instant::ZERO + Duration::from_secs_f64(seconds))
    };
    let to = at(to, default.to);
    let from = at(from, Instant::from_nanos(to.as_nanos() / 4));
    if to <= from || to > Instant::ZERO + scenario.duration {
        let end = scenario.duration.as_secs_f64();
        let message = "the window is empty or ends after the run".to_owned();
        return Err(Failure::message(message, format!("choose --from below --to, and --to up to {end} s")));
    }
    Ok(Window { from, to })
}

//! What flows and links do during a window of a run: rates, windows, round-trip times, losses. Samples are
//! taken every [`STEP`]; nothing is captured or written.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use mptcp_model::mptcp::SubflowInfo;
use mptcp_model::wire::Packet;
use scenarios::Scenario;
use scenarios::build::{BuildError, CreateCongestion, Network};
use scenarios::run::{ConnectionSnapshot, FlowEnd, LinkSnapshot, Recorder};
use sim_core::{Direction, Duration, Instant, Observer};

/// Time between two samples.
pub(crate) const STEP: Duration = Duration::from_millis(500);

/// Part of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    /// Where it begins.
    pub(crate) from: Instant,
    /// Where it ends, and the run with it.
    pub(crate) to: Instant,
}

/// What a window shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    /// Flows in the order of the scenario.
    pub(crate) flows: Vec<FlowMeasure>,
    /// Directions of links: name, direction, and what passed.
    pub(crate) links: Vec<LinkMeasure>,
}

/// One flow during the window.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlowMeasure {
    pub(crate) name: String,
    /// Payload received in order, in bit/s.
    pub(crate) rate: f64,
    /// End of each step of the whole run in seconds, and payload received in it in bit/s.
    pub(crate) series: Vec<(f64, f64)>,
    pub(crate) subflows: Vec<SubflowMeasure>,
}

/// One subflow during the window.
#[derive(Clone, Debug)]
pub(crate) struct SubflowMeasure {
    /// Addresses of the sender and the receiver of data.
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// Payload received in order, in bit/s.
    pub(crate) rate: f64,
    /// Mean congestion window of the samples in segments.
    pub(crate) cwnd: f64,
    /// Mean smoothed round-trip time of the samples in seconds.
    pub(crate) rtt: f64,
}

/// One direction of a link during the window.
#[derive(Clone, Debug)]
pub(crate) struct LinkMeasure {
    pub(crate) name: String,
    pub(crate) direction: Direction,
    /// Packets that were lost over those offered.
    pub(crate) loss: f64,
}

impl Measured {
    /// Loss of the direction from `a` to `b` of the link called `name`.
    pub(crate) fn loss(&self, name: &str) -> Option<f64> {
        let found = self.links.iter().find(|link| link.name == name && link.direction == Direction::AtoB);
        found.map(|link| link.loss)
    }
}

/// Runs `scenario` to the end of the window, watched by `observer`, and returns it.
///
/// # Errors
/// If the network cannot be built.
pub(crate) fn measure<O: Observer<Packet>>(
    scenario: &Scenario,
    window: Window,
    create: CreateCongestion,
    observer: O,
) -> Result<(Measured, O), BuildError> {
    let mut scenario = scenario.clone();
    scenario.output.sample_interval = STEP;
    let mut network = Network::build_with(&scenario, observer, create)?;
    let mut collector = Collector { window, flows: BTreeMap::new(), links: Vec::new() };
    network.run(&mut collector, &mut |progress| {
        if progress.now >= window.to { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    Ok((collector.finish(&scenario), network.into_observer()))
}

/// Counters of one end of a subflow over the samples.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    /// Bytes received when the window began, and last.
    received: [u64; 2],
    samples: u32,
    cwnd: f64,
    rtt: f64,
}

/// One end of a flow.
#[derive(Debug, Default)]
struct EndSeen {
    received: [u64; 2],
    series: Vec<(f64, f64)>,
    subflows: BTreeMap<(SocketAddr, SocketAddr), Counters>,
}

struct Collector {
    window: Window,
    flows: BTreeMap<(usize, FlowEnd), EndSeen>,
    /// Packets offered and lost when the window began and last, by place in the sample.
    links: Vec<[(u64, u64); 2]>,
}

impl Collector {
    fn inside(&self, at: Instant) -> bool {
        at > self.window.from && at <= self.window.to
    }

    /// Writes the last state, and until the window begins also the first.
    fn keep(window: Window, at: Instant, values: &mut [u64; 2], now: u64) {
        if at <= window.from {
            values[0] = now;
        }
        if at <= window.to {
            values[1] = now;
        }
    }
}

fn add(counters: &mut Counters, subflow: &SubflowInfo) {
    counters.samples += 1;
    counters.cwnd += f64::from(subflow.flow.cwnd);
    counters.rtt += subflow.flow.srtt.map_or(0.0, Duration::as_secs_f64);
}

impl Recorder for Collector {
    fn sample(&mut self, at: Instant, connections: &[ConnectionSnapshot]) {
        let (window, inside) = (self.window, self.inside(at));
        for connection in connections {
            let end = self.flows.entry((connection.flow, connection.end)).or_default();
            let info = &connection.info;
            let before = end.received[1];
            Self::keep(window, at, &mut end.received, info.bytes_received);
            let rate = info.bytes_received.saturating_sub(before) as f64 * 8.0 / STEP.as_secs_f64();
            end.series.push((at.as_secs_f64(), rate));
            for subflow in &info.subflows {
                let counters = end.subflows.entry((subflow.local, subflow.remote)).or_default();
                Self::keep(window, at, &mut counters.received, subflow.flow.stats.bytes_received);
                if inside && subflow.established_at.is_some() && subflow.closed.is_none() {
                    add(counters, subflow);
                }
            }
        }
    }

    fn links(&mut self, at: Instant, links: &[LinkSnapshot]) {
        self.links.resize(links.len(), <[(u64, u64); 2]>::default());
        for (seen, link) in self.links.iter_mut().zip(links) {
            let now = (link.stats.packets_in, link.stats.total_drops());
            if at <= self.window.from {
                seen[0] = now;
            }
            if at <= self.window.to {
                seen[1] = now;
            }
        }
    }
}

impl Collector {
    fn finish(mut self, scenario: &Scenario) -> Measured {
        let span = self.window.to.saturating_since(self.window.from).as_secs_f64();
        let rate = |bytes: [u64; 2]| bytes[1].saturating_sub(bytes[0]) as f64 * 8.0 / span;
        let mut flows = Vec::new();
        for (index, flow) in scenario.flows.iter().enumerate() {
            let mut take = |end| self.flows.remove(&(index, end)).unwrap_or_default();
            let (client, server) = (take(FlowEnd::Client), take(FlowEnd::Server));
            let upload = server.received[1] >= client.received[1];
            let (sender, receiver) = if upload { (client, server) } else { (server, client) };
            let subflows = receiver.subflows.iter().map(|(&(local, remote), counters)| {
                let sent = sender.subflows.get(&(remote, local)).copied().unwrap_or_default();
                let samples = f64::from(sent.samples.max(1));
                SubflowMeasure {
                    from: remote,
                    to: local,
                    rate: rate(counters.received),
                    cwnd: sent.cwnd / samples,
                    rtt: sent.rtt / samples,
                }
            });
            flows.push(FlowMeasure {
                name: flow.name.clone(),
                rate: rate(receiver.received),
                subflows: subflows.collect(),
                series: receiver.series,
            });
        }
        let places =
            scenario.links.iter().flat_map(|link| Direction::BOTH.map(|direction| (link, direction)));
        let links = places.zip(&self.links).map(|((link, direction), [before, after])| {
            let (offered, lost) = (after.0 - before.0, after.1 - before.1);
            LinkMeasure {
                name: link.name.clone(),
                direction,
                loss: if offered == 0 { 0.0 } else { lost as f64 / offered as f64 },
            }
        });
        Measured { flows, links: links.collect() }
    }
}

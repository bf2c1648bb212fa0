//! Runs a network: starts the programs, lets time pass, executes commands to hosts at their instants,
//! takes samples, stops, and puts together what came of it.
//!
//! Whether flows are finished is looked at every 100 ms of simulated time, so that a run ends at the same
//! instant whatever is sampled.

mod commands;
mod outcome;

use std::ops::ControlFlow;
use std::sync::Arc;

use mptcp_model::host::NetNode;
use mptcp_model::mptcp::{Connection, ConnectionInfo, Integrity};
use mptcp_model::net::InterfaceId;
use mptcp_model::wire::Packet;
use sim_core::{Backlog, Direction, Duration, Instant, LinkStats, Observer};

pub use self::outcome::{
    BoxOutcome, CommandFailure, DatagramOutcome, EndOutcome, FlowEnd, FlowOutcome, LinkOutcome, RunOutcome,
    StopReason, SubflowOutcome,
};
pub use crate::build::Network;
use crate::build::Site;
use crate::datagram::Reception;
use crate::process::Process;
use crate::program::Record;
use crate::scenario::{BoxConfig, Stop};

/// How often it is looked whether flows are finished.
const CHECK: Duration = Duration::from_millis(100);

/// So many events at one instant are no burst: time stands still.
const STANDSTILL: u64 = 1_000_000;

/// State of one end of a connection at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSnapshot {
    /// Index of the flow in the scenario.
    pub flow: usize,
    /// Name of the flow.
    pub name: Arc<str>,
    /// Which end.
    pub end: FlowEnd,
    /// Name of its host.
    pub host: Arc<str>,
    /// Bytes its program has read.
    pub bytes_read: u64,
    /// The connection.
    pub info: ConnectionInfo,
}

/// State of one direction of a link at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSnapshot {
    /// Index of the link in the scenario.
    pub link: usize,
    /// Direction.
    pub direction: Direction,
    /// What waits in its queue.
    pub backlog: Backlog,
    /// Counters since the start.
    pub stats: LinkStats,
}

/// Takes samples of a run.
pub trait Recorder {
    /// Whether samples are wanted; they take time.
    fn is_active(&self) -> bool {
        true
    }

    /// The connections at an instant: flows in order, client before server, those that exist.
    fn sample(&mut self, at: Instant, connections: &[ConnectionSnapshot]);

    /// The links at the same instant.
    fn links(&mut self, at: Instant, links: &[LinkSnapshot]) {
        let _ = (at, links);
    }
}

/// No samples.
impl Recorder for () {
    fn is_active(&self) -> bool {
        false
    }

    fn sample(&mut self, _at: Instant, _connections: &[ConnectionSnapshot]) {}
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Simulated time.
    pub now: Instant,
    /// Where it ends at the latest.
    pub end: Instant,
    /// Events handled.
    pub events: u64,
    /// Flows that are finished.
    pub flows_finished: usize,
}

impl<O: Observer<Packet>> Network<O> {
    /// Run to the end. `recorder` gets a sample at every multiple of the scenario's interval; `progress` is
    /// called every 100 ms of simulated time at most and may break off.
    pub fn run(
        &mut self,
        recorder: &mut impl Recorder,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> RunOutcome {
        let end = Instant::ZERO + self.scenario.duration;
        let interval = recorder.is_active().then_some(self.scenario.output.sample_interval);
        let interval = interval.filter(|interval| !interval.is_zero());
        let mut events: Vec<_> = self.scenario.events.clone();
        events.sort_by_key(|event| event.at);
        let mut events = events.into_iter().peekable();
        let mut failures = Vec::new();
        let names = Names::new(self);
        for index in 0..self.layout.nodes.len() {
            self.sim.with_node(self.layout.nodes[index].id, |node, ctx| {
                if let NetNode::Host(host) = node {
                    host.start(ctx);
                }
            });
        }
        let mut next_sample = interval.map_or(Instant::FAR_FUTURE, |interval| Instant::ZERO + interval);
        let mut next_check = Instant::ZERO;
        let mut sampled_at = None;
        let stop = loop {
            let next_event = events.peek().map_or(Instant::FAR_FUTURE, |event| event.at);
            let until = next_check.min(next_sample).min(next_event).min(end);
            if !self.advance(until) {
                break StopReason::Standstill;
            }
            while let Some(event) = events.next_if(|event| event.at <= until) {
                if let Err(error) = self.execute(&event) {
                    let (at, command) = (event.at, event.command.to_string());
                    failures.push(CommandFailure { at, host: event.host, command, error });
                }
            }
            if until == next_sample || (until == end && interval.is_some()) {
                self.sample(until, &names, recorder);
                sampled_at = Some(until);
                next_sample = next_multiple(until, interval.unwrap_or(CHECK));
            }
            if until >= end {
                break StopReason::Duration;
            }
            if until == next_check {
                let flows_finished = self.finished_flows();
                let told = Progress { now: until, end, events: self.sim.events(), flows_finished };
                if progress(&told).is_break() {
                    break StopReason::Interrupted;
                }
                if self.scenario.stop == Stop::WhenFlowsFinish {
                    if flows_finished == self.sites.len() && self.sim.packets_in_flight() == 0 {
                        break StopReason::FlowsFinished;
                    }
                    if events.peek().is_none() && self.sim.next_event().is_none() {
                        break StopReason::Idle;
                    }
                }
                next_check = next_multiple(until, CHECK);
            }
        };
        if interval.is_some() && sampled_at != Some(self.sim.now()) {
            self.sample(self.sim.now(), &names, recorder);
        }
        self.outcome(stop, failures)
    }

    /// Lets time pass until `until`. Tells whether it does pass.
    fn advance(&mut self, until: Instant) -> bool {
        loop {
            let before = self.sim.now();
            if self.sim.run_until_or(until, STANDSTILL) {
                return true;
            }
            if self.sim.now() == before {
                return false;
            }
        }
    }

    fn finished_flows(&self) -> usize {
        (0..self.sites.len()).filter(|&flow| self.is_finished(flow)).count()
    }

    /// Whether both programs of a flow ended and their connection is closed. A server whose client has
    /// ended and whose connection never came about waits for nothing.
    fn is_finished(&self, flow: usize) -> bool {
        let [client, server] = self.sites[flow].map(|site| self.end(site));
        let (Some(client), Some(server)) = (client, server) else { return true };
        let closed = |end: &End<'_>| end.connection.is_none_or(Connection::is_closed);
        let orphan = server.connection.is_none() && client.connection.is_none_or(Connection::is_closed);
        client.process.is_finished()
            && closed(&client)
            && (orphan || server.process.is_finished() && closed(&server))
    }

    fn end(&self, site: Site) -> Option<End<'_>> {
        let node = self.sim.node(site.node).host()?;
        let process = node.applications.get(site.application)?;
        let connection = process.socket().and_then(|socket| node.host.connection(socket));
        Some(End { process, connection })
    }

    fn sample(&mut self, at: Instant, names: &Names, recorder: &mut impl Recorder) {
        let mut connections = Vec::new();
        for (flow, sites) in self.sites.iter().enumerate() {
            for (index, end) in [FlowEnd::Client, FlowEnd::Server].into_iter().enumerate() {
                let Some(found) = self.end(sites[index]) else { continue };
                let Some(connection) = found.connection else { continue };
                connections.push(ConnectionSnapshot {
                    flow,
                    name: Arc::clone(&names.flows[flow]),
                    end,
                    host: Arc::clone(&names.hosts[sites[index].node.0 as usize]),
                    bytes_read: found.process.record().received,
                    info: connection.info(),
                });
            }
        }
        recorder.sample(at, &connections);
        let mut links = Vec::new();
        for (link, place) in self.layout.links.iter().enumerate() {
            for direction in Direction::BOTH {
                let backlog = self.sim.backlog(place.id, direction);
                let stats = self.sim.link_stats(place.id, direction);
                links.push(LinkSnapshot { link, direction, backlog, stats });
            }
        }
        recorder.links(at, &links);
    }

    fn outcome(&self, stop: StopReason, command_failures: Vec<CommandFailure>) -> RunOutcome {
        let links = self.layout.links.iter().flat_map(|place| {
            Direction::BOTH.map(|direction| LinkOutcome {
                link: place.name.clone(),
                direction,
                stats: self.sim.link_stats(place.id, direction),
            })
        });
        let hosts = self.sim.nodes().filter_map(|(_, node)| node.host());
        RunOutcome {
            flows: (0..self.sites.len()).map(|flow| self.flow_outcome(flow)).collect(),
            links: links.collect(),
            boxes: self.boxes(),
            hosts: hosts.map(|node| (node.host.name().to_owned(), *node.host.stats())).collect(),
            command_failures,
            events: self.sim.events(),
            digest: self.sim.digest(),
            ended_at: self.sim.now(),
            stop,
        }
    }

    fn boxes(&self) -> Vec<BoxOutcome> {
        let outcome = |config: &BoxConfig| {
            let port = self.layout.port(&config.at.host, &config.at.interface)?;
            let chain = self.sim.node(port.node).router()?.chain(InterfaceId(port.port.0))?;
            let named = |name: &str| name == config.name;
            Some(BoxOutcome {
                name: config.name.clone(),
                kind: config.kind.clone(),
                at: config.at.clone(),
                counters: *chain.counters().find(|(name, _)| named(name))?.1,
                drops: chain.drops(&config.name).collect(),
                details: chain.elements().find(|(name, _)| named(name))?.1.details(),
            })
        };
        self.scenario.boxes.iter().filter_map(outcome).collect()
    }

    fn flow_outcome(&self, index: usize) -> FlowOutcome {
        let flow = &self.scenario.flows[index];
        let sites = self.sites[index];
        let outcomes = [(sites[0], &flow.from), (sites[1], &flow.to)].map(|(site, host)| {
            let end = self.end(site);
            let connection = end.as_ref().and_then(|end| end.connection);
            EndOutcome {
                host: host.clone(),
                record: end.as_ref().map_or_else(Record::default, |end| end.process.record().clone()),
                connection: connection.map(Connection::info),
                integrity: match end.as_ref().map(|end| end.process) {
                    Some(Process::Receiver(receiver)) => *receiver.integrity(),
                    _ => connection.map_or_else(Integrity::default, |connection| *connection.integrity()),
                },
            }
        });
        let [client, server] = &outcomes;
        let mut violations = violations(FlowEnd::Client, client, server, sites[1].seed);
        violations.extend(self::violations(FlowEnd::Server, server, client, sites[0].seed));
        let name = flow.name.clone();
        FlowOutcome {
            datagrams: self.datagrams(sites),
            ..FlowOutcome::new(name, flow.protocol, outcomes, self.is_finished(index), violations)
        }
    }

    /// What became of the datagrams of a UDP flow.
    fn datagrams(&self, sites: [Site; 2]) -> Option<DatagramOutcome> {
        let [client, server] = sites.map(|site| self.end(site));
        let (Process::Sender(sender), Process::Receiver(receiver)) = (client?.process, server?.process)
        else {
            return None;
        };
        let (sent, refused) = sender.datagrams();
        let reception: Reception = receiver.reception().clone();
        Some(DatagramOutcome { sent, refused, reception })
    }
}

/// What one end received must be what the other wrote, from its beginning and at its place.
fn violations(name: FlowEnd, end: &EndOutcome, peer: &EndOutcome, seed: u32) -> Vec<String> {
    let mut found = Vec::new();
    let name = name.name();
    let check = &end.integrity;
    let (read, sent) = (end.record.received, peer.record.sent);
    if check.corrupted > 0 {
        found.push(format!("{name}: {} of {} bytes are not those sent", check.corrupted, check.verified));
    }
    if check.verified > 0 && check.seed != Some(seed) {
        found.push(format!("{name}: the content is not that of this flow"));
    }
    if read > check.verified {
        found.push(format!("{name}: {read} bytes read, {} verified", check.verified));
    }
    if read > sent {
        found.push(format!("{name}: {read} bytes read, {sent} sent"));
    }
    let orderly = end.record.error.is_none() && peer.record.error.is_none();
    let aborted = end.connection.as_ref().is_some_and(|info| info.error.is_some());
    if end.record.end_read && orderly && !aborted && read != sent {
        found.push(format!("{name}: the data ended after {read} of {sent} bytes"));
    }
    found
}

/// One end of a flow as it is.
struct End<'a> {
    process: &'a Process,
    connection: Option<&'a Connection>,
}

/// Names that samples share.
struct Names {
    flows: Vec<Arc<str>>,
    hosts: Vec<Arc<str>>,
}

impl Names {
    fn new<O: Observer<Packet>>(network: &Network<O>) -> Self {
        Self {
            flows: network.scenario.flows.iter().map(|flow| flow.name.as_str().into()).collect(),
            hosts: network.layout.nodes.iter().map(|node| node.name.as_str().into()).collect(),
        }
    }
}

/// The first multiple of `step` after `at`.
fn next_multiple(at: Instant, step: Duration) -> Instant {
    let step = step.as_nanos().max(1);
    Instant::from_nanos((at.as_nanos() / step + 1).saturating_mul(step))
}

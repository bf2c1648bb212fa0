//! Properties of the stack in networks that do their worst: random scenarios, and what must hold in all of
//! them.
//!
//! [`cases`] is a strategy of `proptest`: a client and a server with one to four paths that lose, delay,
//! reorder, duplicate, split, merge, corrupt and reset, and two programs that talk, stop and close. [`check`]
//! runs a case and looks for broken invariants, on the wire and at the ends. A case that fails shrinks to a
//! small one, which [`Failure`] shows as a scenario file: `mptcp-sim run FILE` repeats it.
//!
//! ```
//! use proptest::prelude::*;
//! use proptest::test_runner::{Config, TestRunner};
//! use scenarios::testing::{self, Case};
//!
//! // Whatever the network does, a client without MPTCP never has a second subflow.
//! let plain = testing::cases().prop_map(|case| Case { client_mptcp: false, ..case });
//! let mut runner = TestRunner::new(Config { cases: 5, ..Config::default() });
//! runner
//!     .run(&plain, |case| {
//!         let outcome = testing::check(&case).map_err(|failure| TestCaseError::fail(failure.to_string()))?;
//!         prop_assert!(outcome.flows[0].subflows.len() <= 1);
//!         Ok(())
//!     })
//!     .unwrap();
//! ```
//!
//! Left out: time-outs that last longer than ten minutes, several connections at once, IPv6.

mod case;
mod strategy;
mod wire;

use core::fmt;
use std::ops::ControlFlow;
use std::path::{Path as FilePath, PathBuf};

use mptcp_model::host::Host;
use sim_core::{Duration, Instant, NodeId};

pub use self::case::{BoxSpec, Case, Ending, Outage, Path, Phase};
pub use self::strategy::cases;
use self::wire::WireChecks;
use crate::Scenario;
use crate::run::{FlowEnd, FlowOutcome, Network, RunOutcome, StopReason};

/// A broken invariant, with the scenario that shows it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What is broken, each with the number of the invariant.
    pub broken: Vec<String>,
    /// The scenario, as a file for `mptcp-sim run`.
    pub scenario: String,
}

impl Failure {
    /// Write the scenario to `directory`, under a name of its own, and say where.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, directory: &FilePath, name: &str) -> std::io::Result<PathBuf> {
        let path = directory.join(format!("{name}.toml"));
        let partial = directory.join(format!(".{name}.toml.part"));
        std::fs::write(&partial, &self.scenario)?;
        std::fs::rename(&partial, &path)?;
        Ok(path)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for broken in &self.broken {
            writeln!(f, "{broken}")?;
        }
        write!(f, "in the scenario\n{}", self.scenario)
    }
}

impl std::error::Error for Failure {}

/// How long after the end of a run everything but TIME_WAIT must have been given back.
const AFTERLIFE: Duration = Duration::from_secs(1_000);

/// Runs a case and checks the invariants.
///
/// # Errors
/// What was broken, and in which scenario.
pub fn check(case: &Case) -> Result<RunOutcome, Box<Failure>> {
    let text = case.to_toml();
    // A reset may reach one end alone, and nothing then tells the other, if it only listens.
    let resets = case.paths.iter().flat_map(|path| &path.boxes).any(|spec| spec.kind == "reset");
    let may_stall = resets || case.ending == Ending::Abort;
    let may_repeat =
        case.paths.len() > 1 && case.paths.iter().flat_map(|path| &path.boxes).any(takes_mappings);
    check_text(&text, may_stall, may_repeat).map_err(|broken| Box::new(Failure { broken, scenario: text }))
}

/// Whether a box parts data from its mapping. A peer that then goes on as TCP takes for new data what is sent again on
/// the same subflow when a join fails, as a measured kernel does at once (`__mptcp_retransmit_pending_data`).
fn takes_mappings(spec: &BoxSpec) -> bool {
    let has = |text: &str| spec.parameters.contains(text);
    match spec.kind {
        "coalesce" => true,
        "split" => !has("options = \"all\""),
        "options" => (has("\"dss\"") || has("\"mptcp\"") || has("\"mp_capable\"")) && !has("move-last"),
        _ => false,
    }
}

fn check_text(text: &str, may_stall: bool, may_repeat: bool) -> Result<RunOutcome, Vec<String>> {
    let scenario = Scenario::from_toml(text, "case.toml").map_err(|errors| vec![errors.to_string()])?;
    let (outcome, mut broken) = run(&scenario)?;
    if may_repeat {
        broken.retain(|what| !what.starts_with("INV-01"));
    }
    // INV-09
    let again = run(&scenario)?.0.digest;
    if !(may_stall || may_repeat) {
        broken.extend(outcome.flows.iter().filter_map(|flow| silent_stall(flow, outcome.stop)));
    }
    if again != outcome.digest {
        broken.push(format!("INV-09: digests {:016x} and {again:016x} of the same run", outcome.digest));
    }
    if broken.is_empty() { Ok(outcome) } else { Err(broken) }
}

fn run(scenario: &Scenario) -> Result<(RunOutcome, Vec<String>), Vec<String>> {
    let hosts = ["client", "server"].map(|name| {
        let position = scenario.hosts.iter().position(|host| host.name == name);
        NodeId(position.unwrap_or(0) as u32)
    });
    let checks = WireChecks::new(hosts);
    let mut network = Network::build(scenario, checks).map_err(|error| vec![error.to_string()])?;
    let outcome = network.run(&mut (), &mut |_| ControlFlow::Continue(()));
    let mut broken = network.observer_mut().take_broken();
    for flow in &outcome.flows {
        broken.extend(flow.violations.iter().map(|violation| format!("INV-01: {violation}")));
        broken.extend(lost_octets(flow));
    }
    if outcome.stop == StopReason::FlowsFinished {
        broken.extend(leftovers(&mut network, hosts));
    }
    Ok((outcome, broken))
}

/// INV-01: a transfer that did not finish says why: an error at one end at least.
fn silent_stall(flow: &FlowOutcome, stop: StopReason) -> Option<String> {
    let excused = flow.finished || flow.errors().next().is_some();
    let connection_failed = [FlowEnd::Client, FlowEnd::Server]
        .into_iter()
        .any(|end| flow.end(end).connection.as_ref().is_some_and(|info| info.error.is_some()));
    // Half open: the server gave the handshake up, and a client that only listens is never told.
    let half_open = flow.server.connection.is_none() && flow.client.record.sent == 0;
    (!excused && !connection_failed && !half_open).then(|| {
        let (client, server) = (&flow.client.record, &flow.server.record);
        format!(
            "INV-01: stalled without an error ({stop:?}): the client sent {} and read {}, \
             the server sent {} and read {}",
            client.sent, client.received, server.sent, server.received
        )
    })
}

/// INV-03: what was delivered came over subflows.
fn lost_octets(flow: &FlowOutcome) -> Option<String> {
    [FlowEnd::Client, FlowEnd::Server].into_iter().find_map(|end| {
        let subflows = flow.subflows.iter().map(|subflow| match end {
            FlowEnd::Client => subflow.to_client,
            FlowEnd::Server => subflow.to_server,
        });
        let (carried, read) = (subflows.sum::<u64>(), flow.end(end).record.received);
        (carried < read).then(|| format!("INV-03: {} read {read}, subflows brought {carried}", end.name()))
    })
}

/// INV-06: after the end nothing is left, of timers and of state.
fn leftovers(network: &mut Network<WireChecks>, hosts: [NodeId; 2]) -> Vec<String> {
    let end = network.sim.now() + AFTERLIFE;
    network.sim.run_until(end);
    let mut broken = Vec::new();
    let alive = network.sim.packets_alive();
    if alive > 0 {
        broken.push(format!("INV-06: {alive} packets are still under way"));
    }
    for node in hosts {
        let Some(node) = network.sim.node(node).host() else { continue };
        broken.extend(leftovers_of(&node.host, end));
    }
    broken
}

fn leftovers_of(host: &Host, end: Instant) -> Vec<String> {
    let mut broken = Vec::new();
    let name = host.name();
    if !host.is_quiet() {
        broken.push(format!("INV-06: {name} still has a connection"));
    }
    if let Some(at) = host.poll_timeout().filter(|&at| at > end) {
        broken.push(format!("INV-06: {name} has a timer at {at}"));
    }
    let (flows, tokens) = host.bindings();
    if flows + tokens > 0 {
        broken.push(format!("INV-06: {name} still knows {flows} flows and {tokens} tokens"));
    }
    broken
}

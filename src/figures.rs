//! The figures of a run in the forms that are written and compared.

use std::collections::BTreeMap;

use analysis::compare::counters::{self, Naming};
use analysis::groundtruth::{EndResult, GroundTruth, Results};
use analysis::summary::{
    BoxSummary, DatagramSummary, FlowSummary, LinkSummary, RunSummary, SubflowSummary, Summary,
};
use analysis::trace::HostAnalysis;
use mptcp_model::mptcp::Mode;
use mptcp_model::net::middlebox::Counters;
use mptcp_model::path_manager::CloseReason;
use scenarios::Scenario;
use scenarios::run::{
    BoxOutcome, DatagramOutcome, EndOutcome, FlowEnd, FlowOutcome, LinkOutcome, RunOutcome,
};
use scenarios::scenario::Protocol;
use sim_core::{Direction, DropReason, Duration, Instant};

/// The digest of a run as it is written.
pub(crate) fn digest(outcome: &RunOutcome) -> String {
    format!("{:016x}", outcome.digest)
}

/// The summary of a run.
pub(crate) fn summary(scenario: &Scenario, outcome: &RunOutcome) -> Summary {
    Summary {
        run: RunSummary {
            name: scenario.name.clone(),
            seed: scenario.seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            digest: digest(outcome),
            simulated_s: outcome.ended_at.as_secs_f64(),
            events: outcome.events,
        },
        flows: outcome.flows.iter().map(flow).collect(),
        links: outcome.links.iter().map(link).collect(),
        boxes: outcome.boxes.iter().map(placed_box).collect(),
    }
}

/// What a comparison with the measured run `truth` needs. Of a flow too short for its goodput to have been
/// measured, none is given either.
pub(crate) fn results(
    truth: &GroundTruth,
    summary: &Summary,
    outcome: &RunOutcome,
    analysis: BTreeMap<String, HostAnalysis>,
) -> Results {
    let mut results = Results::from_summary(summary, analysis);
    for (host, seen) in &results.analysis {
        let naming = truth.results.nstat.get(host).map_or(Naming::Upstream, Naming::of);
        let mut counts = counters::from_packets(seen, &truth.topology.addresses_of(host), naming);
        count_state(outcome, host, naming, &mut counts);
        results.nstat.insert(host.clone(), counts);
    }
    for (result, flow) in results.flows.iter_mut().zip(&outcome.flows) {
        result.goodput_from_first_byte_bps = flow.goodput_from_first_byte_bps;
        result.client = Some(end(&flow.client));
        result.server = Some(end(&flow.server));
        let measured = truth.results.flows.iter().find(|measured| measured.name == result.name);
        if measured.is_some_and(|measured| measured.goodput_bps.is_none()) {
            result.goodput_bps = None;
        }
        if measured.is_some_and(|measured| measured.completion_s.is_none()) {
            result.completion_s = None;
        }
    }
    results
}

/// Counters that packets do not tell, from the state of the connections of `host` at the end.
fn count_state(outcome: &RunOutcome, host: &str, naming: Naming, counts: &mut BTreeMap<String, u64>) {
    let ends = outcome.flows.iter().flat_map(|flow| [&flow.client, &flow.server]);
    for connection in ends.filter(|end| end.host == host).filter_map(|end| end.connection.as_ref()) {
        let mut add = |name: &str, count: u64| *counts.entry(name.to_owned()).or_default() += count;
        for stats in connection.subflows.iter().map(|subflow| &subflow.flow.stats) {
            add("TcpExtTCPTimeouts", stats.timeouts);
            add("TcpExtTCPSackRecovery", stats.recoveries);
            add("TcpExtTCPLossProbes", stats.loss_probes);
            add("TcpExtTCPDSACKRecv", stats.dsacks);
            add("TcpExtTCPOFOQueue", stats.out_of_order);
        }
        if naming == Naming::Upstream && connection.mode != Mode::Plain {
            add("MPTcpExtMPTCPRetrans", connection.stats.retransmits);
            add("MPTcpExtSubflowStale", connection.stats.stale_subflows);
            add("MPTcpExtDataCsumErr", connection.stats.checksum_errors);
        }
    }
}

fn flow(flow: &FlowOutcome) -> FlowSummary {
    let connection = flow.client.connection.as_ref().or(flow.server.connection.as_ref());
    let protocol = match (flow.protocol, connection.map(|connection| connection.mode)) {
        (Protocol::Udp, _) => "udp",
        (Protocol::Tcp, _) => "tcp",
        (Protocol::Mptcp, Some(Mode::Plain)) => "fallback",
        (Protocol::Mptcp, _) => "mptcp",
    };
    let sender = flow.end(match flow.receiver {
        FlowEnd::Client => FlowEnd::Server,
        FlowEnd::Server => FlowEnd::Client,
    });
    let mut errors: Vec<String> = flow.violations.clone();
    errors.extend(flow.errors().map(|(end, error)| format!("{}: {error}", end.name())));
    let mut summary = FlowSummary {
        name: flow.name.clone(),
        protocol: protocol.to_owned(),
        goodput_bps: flow.goodput_bps,
        completion_s: flow.completion.map(Duration::as_secs_f64),
        sent_bytes: sender.record.sent,
        received_bytes: flow.bytes_received(),
        integrity_ok: flow.violations.is_empty(),
        finished: flow.finished,
        error: (!errors.is_empty()).then(|| errors.join("; ")),
        reinjected_bytes: flow.reinjected_bytes(),
        subflows: flow.subflows.iter().map(|subflow| self::subflow(subflow, flow.receiver)).collect(),
        datagrams: flow.datagrams.as_ref().map(datagrams),
    };
    summary.set_shares();
    summary
}

fn datagrams(outcome: &DatagramOutcome) -> DatagramSummary {
    let counted = &outcome.reception;
    let seconds = |delay: Duration| (counted.delivered > 0).then(|| delay.as_secs_f64());
    DatagramSummary {
        sent: outcome.sent,
        refused: outcome.refused,
        delivered: counted.delivered,
        lost: outcome.lost(),
        duplicated: counted.duplicated,
        reordered: counted.reordered,
        corrupted: counted.corrupted,
        jitter_s: counted.jitter.as_secs_f64(),
        delay_min_s: seconds(counted.delay_min),
        delay_mean_s: seconds(counted.delay_sum).map(|sum| sum / counted.delivered as f64),
        delay_max_s: seconds(counted.delay_max),
    }
}

fn subflow(subflow: &scenarios::run::SubflowOutcome, receiver: FlowEnd) -> SubflowSummary {
    let (local, remote) = match subflow.opened_by {
        FlowEnd::Client => (subflow.client, subflow.server),
        FlowEnd::Server => (subflow.server, subflow.client),
    };
    SubflowSummary {
        local: local.to_string(),
        remote: remote.to_string(),
        join: subflow.joined,
        syn_s: Some(subflow.opened_at.as_secs_f64()),
        established_s: subflow.established_at.map(Instant::as_secs_f64),
        payload_bytes: match receiver {
            FlowEnd::Client => subflow.to_client,
            FlowEnd::Server => subflow.to_server,
        },
        retransmitted_segments: subflow.retransmitted_segments,
        end: subflow.closed.map(|reason| end_in_words(reason).to_owned()),
        ..SubflowSummary::default()
    }
}

const fn end_in_words(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Normal => "closed",
        CloseReason::Reset(_) => "reset",
        CloseReason::Refused => "refused",
        CloseReason::TimedOut => "timed out",
        CloseReason::HostUnreachable => "host unreachable",
        CloseReason::NetUnreachable => "network unreachable",
        CloseReason::ProtocolUnreachable => "protocol unreachable",
        CloseReason::SourceRouteFailed => "source route failed",
        CloseReason::Prohibited => "prohibited",
        CloseReason::Protocol => "protocol error",
    }
}

fn link(link: &LinkOutcome) -> LinkSummary {
    let drops = |reasons: &[DropReason]| reasons.iter().map(|&reason| link.stats.drops(reason)).sum();
    LinkSummary {
        link: link.link.clone(),
        direction: match link.direction {
            Direction::AtoB => "ab",
            Direction::BtoA => "ba",
        }
        .to_owned(),
        packets: link.stats.packets_in,
        bytes: link.stats.bytes_in.0,
        drops_queue: drops(&[DropReason::QueueFull, DropReason::Aqm]),
        drops_loss: drops(&[DropReason::RandomLoss, DropReason::LossList]),
        drops_down: drops(&[DropReason::LinkDown]),
        marked: link.stats.marked,
        backlog_max_bytes: link.stats.max_backlog.bytes.0,
    }
}

fn placed_box(outcome: &BoxOutcome) -> BoxSummary {
    let named =
        |counts: &[(&str, u64)]| counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    let Counters { seen, passed, changed, dropped, held, released } = outcome.counters;
    BoxSummary {
        name: outcome.name.clone(),
        kind: outcome.kind.clone(),
        at: outcome.at.to_string(),
        seen,
        passed,
        changed,
        dropped,
        held,
        released,
        drops: named(&outcome.drops),
        details: named(&outcome.details),
    }
}

fn end(end: &EndOutcome) -> EndResult {
    let seconds = |at: Option<Instant>| at.map(Instant::as_secs_f64);
    EndResult {
        error: end.record.error.as_ref().map(ToString::to_string),
        sent: end.record.sent,
        received: end.record.received,
        connect_begin: seconds(end.record.connect_begin),
        first_rx: seconds(end.record.first_rx),
        last_rx: seconds(end.record.last_rx),
        end: seconds(end.record.finished),
        ..EndResult::default()
    }
}

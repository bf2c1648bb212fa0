//! The figures of two runs: goodput, completion, shares, join times, retransmissions, windows and round-trip
//! times over time, drops, counters of the kernel.

use std::collections::{BTreeMap, BTreeSet};

use crate::delays::{Delays, FlowDelays};
use crate::groundtruth::{
    EndResult, FlowResult, FlowSpec, GroundTruth, LinkResult, Results, StateSample, SubflowSeries,
};
use crate::histogram::Quantiles;
use crate::statistics::mean;
use crate::trace::{DirectionAnalysis, FlowDirection, HostAnalysis, SubflowAnalysis};

use super::canonical::matched;
use super::counters::{self, Naming};
use super::judge::{Allowed, Figure, Form};
use super::{Row, Tolerances};

/// Fewer samples than this tell no mean.
const ENOUGH_SAMPLES: usize = 10;

/// All figures of two runs, and rows of what is equal or not.
pub(super) fn figures(
    truth: &GroundTruth,
    simulated: &Results,
    tolerances: &Tolerances,
) -> (Vec<Figure>, Vec<Row>) {
    let mut all = All { figures: Vec::new(), rows: Vec::new(), tolerances: *tolerances };
    for real in &truth.results.flows {
        match simulated.flows.iter().find(|flow| flow.name == real.name) {
            Some(simulated) => {
                let spec = truth.flows_spec.iter().find(|spec| spec.name == real.name);
                let timed =
                    spec.is_some_and(|spec| spec.client.sends_for_a_time() || spec.server.sends_for_a_time());
                all.flow(real, simulated, timed);
            }
            None => {
                all.rows.push(Row::exact(format!("flow {}", real.name), "present".into(), "absent".into()));
            }
        }
        all.loss_episodes(truth, real, simulated);
    }
    for (host, real) in &truth.results.analysis {
        if let Some(analysis) = simulated.analysis.get(host) {
            all.subflows(host, real, analysis);
            all.retransmissions(host, truth, simulated);
        }
    }
    all.links(&truth.results.links, &simulated.links);
    all.delays(&truth.results.delays, &simulated.delays);
    for (host, real) in &truth.results.nstat {
        if let Some(simulated) = simulated.nstat.get(host) {
            all.counters(host, truth, real, simulated);
        }
    }
    (all.figures, all.rows)
}

struct All {
    figures: Vec<Figure>,
    rows: Vec<Row>,
    tolerances: Tolerances,
}

impl All {
    fn add(&mut self, aspect: String, form: Form, allowed: Allowed, values: [Option<f64>; 2]) {
        let [real, simulated] = values;
        self.figures.push(Figure { aspect, form, allowed, real, simulated });
    }

    /// `timed` is a flow that sent until an instant: how much is a result then, like its goodput.
    fn flow(&mut self, real: &FlowResult, simulated: &FlowResult, timed: bool) {
        let name = &real.name;
        let Tolerances { goodput, start_up_s, .. } = self.tolerances;
        // The reference gives no figure for transfers too short to have one.
        if real.goodput_bps.is_some() {
            // Start-up moves the goodput of a short flow as it moves its completion.
            let slack = real.completion_s.map_or(0.0, |s| start_up_s / s.max(start_up_s));
            let slack = slack * real.goodput_bps.unwrap_or(0.0);
            let allowed = Allowed::Difference { part: goodput, slack };
            let values = [real.goodput_bps, simulated.goodput_bps];
            self.add(format!("flow {name} goodput"), Form::Mbit, allowed, values);
        }
        if real.completion_s.is_some() {
            let allowed = Allowed::Difference { part: goodput, slack: start_up_s };
            let values = [real.completion_s, simulated.completion_s];
            self.add(format!("flow {name} completion"), Form::Seconds, allowed, values);
        }
        for (side, real, simulated) in
            [("client", &real.client, &simulated.client), ("server", &real.server, &simulated.server)]
        {
            if let (Some(real), Some(simulated)) = (real, simulated) {
                let text = |end: &EndResult| {
                    let error = if end.error.is_some() { ", ended by an error" } else { "" };
                    format!("sent {} received {}{error}", end.sent, end.received)
                };
                let label = format!("flow {name} {side}");
                if timed && real.error.is_some() == simulated.error.is_some() {
                    let near = |a: u64, b: u64| a.abs_diff(b) as f64 <= a as f64 * goodput;
                    let within = near(real.sent, simulated.sent) && near(real.received, simulated.received);
                    let allowed = format!("{:.0} %", goodput * 100.0);
                    self.rows.push(Row::judged(label, text(real), text(simulated), within, allowed));
                } else {
                    self.rows.push(Row::exact(label, text(real), text(simulated)));
                }
            }
        }
        let arrived = |flow: &FlowResult| {
            let (client, server) = (flow.client.as_ref()?, flow.server.as_ref()?);
            Some(client.sent == server.received && server.sent == client.received)
        };
        if timed && arrived(real) == Some(true) {
            let text =
                |flow: &FlowResult| if arrived(flow) == Some(true) { "all" } else { "not all" }.to_owned();
            self.rows.push(Row::exact(format!("flow {name} arrived"), text(real), text(simulated)));
        }
        self.states(name, &real.series, &simulated.series);
    }

    /// Means of the state of each subflow that sends, over the time in which it does.
    fn states(&mut self, flow: &str, real: &[SubflowSeries], simulated: &[SubflowSeries]) {
        let mut free: Vec<_> = simulated.iter().map(Some).collect();
        for a in real {
            let Some(at) = free.iter().position(|b| b.is_some_and(|b| same_addresses(a, b))) else {
                continue;
            };
            let Some(b) = free[at].take() else { continue };
            let (ours, theirs) = (sending(&a.samples), sending(&b.samples));
            // The side that only acknowledges has a FIN in flight at most.
            if ours.len().max(theirs.len()) < 2 {
                continue;
            }
            let label = format!("flow {flow} {} > {}", address(&a.local), address(&a.remote));
            let values = |of: fn(&StateSample) -> Option<f64>| {
                [ours, theirs].map(|samples| mean(&samples.iter().filter_map(of).collect::<Vec<_>>()))
            };
            let windows = values(|sample| Some(sample.cwnd));
            let enough = ours.len().min(theirs.len()) >= ENOUGH_SAMPLES;
            let part = if over_single_path(real) { self.tolerances.window } else { self.tolerances.cwnd };
            let allowed = if enough { Allowed::Difference { part, slack: 0.0 } } else { Allowed::Any };
            self.add(format!("{label} mean cwnd"), Form::Segments, allowed, windows);
            let times = values(|sample| sample.srtt_ms);
            self.add(format!("{label} mean srtt"), Form::Millis, Allowed::Any, times);
        }
    }

    /// Fast recoveries and timeouts of a sender over a single path. Counters are those of a host, so only one that is an
    /// end of a single flow says something of it.
    fn loss_episodes(&mut self, truth: &GroundTruth, real: &FlowResult, simulated: &Results) {
        const EPISODES: [&str; 3] = ["TcpExtTCPSackRecovery", "TcpExtTCPRenoRecovery", "TcpExtTCPTimeouts"];
        let specs = &truth.flows_spec;
        let Some(spec) = specs.iter().find(|spec| spec.name == real.name) else { return };
        for (role, end) in [(&spec.client, &real.client), (&spec.server, &real.server)] {
            let host = &role.host;
            let uses = |other: &&FlowSpec| other.client.host == *host || other.server.host == *host;
            let sends = end.as_ref().is_some_and(|end| end.sent > end.received);
            if !sends || specs.iter().filter(uses).count() != 1 || !over_single_path(&real.series) {
                continue;
            }
            let count = |results: &Results| -> Option<f64> {
                let counters = results.nstat.get(host)?;
                let sum: u64 = EPISODES.iter().filter_map(|name| counters.get(*name)).sum();
                Some(sum as f64)
            };
            if let (Some(a), Some(b)) = (count(&truth.results), count(simulated)) {
                let allowed = Allowed::Difference { part: self.tolerances.loss_episodes, slack: 0.0 };
                self.add(format!("{host} loss episodes"), Form::Episodes, allowed, [Some(a), Some(b)]);
            }
        }
    }

    fn subflows(&mut self, host: &str, real: &HostAnalysis, simulated: &HostAnalysis) {
        let pairs = matched(real, simulated);
        let bulk = bulk_direction(real);
        let total = |host: &HostAnalysis| -> u64 {
            host.subflows.iter().map(|subflow| way(subflow, bulk).payload_bytes).sum()
        };
        let totals = [total(real), total(simulated)];
        let start = |host: &HostAnalysis| host.subflows.first().and_then(|first| first.syn_t).unwrap_or(0.0);
        let starts = [start(real), start(simulated)];
        for (index, partner) in pairs {
            let (Some(index), Some(partner)) = (index, partner) else { continue };
            let (a, b) = (&real.subflows[index], &simulated.subflows[partner]);
            let label = format!("{host} #{index}");
            if real.subflows.len() > 1 && totals[0] > 0 && totals[1] > 0 {
                let share = |bytes: u64, total: u64| Some(bytes as f64 / total as f64);
                let values = [
                    share(way(a, bulk).payload_bytes, totals[0]),
                    share(way(b, bulk).payload_bytes, totals[1]),
                ];
                let allowed = Allowed::Difference { part: 0.0, slack: self.tolerances.share };
                self.add(format!("{label} {bulk} share"), Form::Percent, allowed, values);
            }
            if a.join && a.established_t.is_some() && b.established_t.is_some() {
                // From the first SYN of the capture, as the application's start-up moves them together.
                let rtt = handshake(a, &real.subflows[0]);
                let allowed = Allowed::Difference { part: 0.0, slack: rtt * self.tolerances.join_rtts };
                let since = |t: Option<f64>, start: f64| t.map(|t| t - start);
                let syn = [since(a.syn_t, starts[0]), since(b.syn_t, starts[1])];
                let done = [since(a.established_t, starts[0]), since(b.established_t, starts[1])];
                self.add(format!("{label} join SYN time"), Form::Seconds, allowed, syn);
                self.add(format!("{label} join time"), Form::Seconds, allowed, done);
            }
            for direction in [FlowDirection::ClientToServer, FlowDirection::ServerToClient] {
                let (a, b) = (way(a, direction), way(b, direction));
                if a.data_segments > 0 || b.data_segments > 0 {
                    self.rows.push(Row::info(format!("{label} {direction} data"), data(a), data(b)));
                }
            }
        }
    }

    /// Segments a host sent again, as its kernel counted them, else as its capture shows them.
    fn retransmissions(&mut self, host: &str, truth: &GroundTruth, simulated: &Results) {
        let addresses = truth.topology.addresses_of(host);
        let count = |results: &Results| -> u64 {
            if let (Some(counted), true) = (results.nstat.get(host), !addresses.is_empty()) {
                return counted.get("TcpRetransSegs").copied().unwrap_or(0);
            }
            let Some(seen) = results.analysis.get(host) else { return 0 };
            if !addresses.is_empty() {
                let counted = counters::from_packets(seen, &addresses, Naming::Upstream);
                return counted.get("TcpRetransSegs").copied().unwrap_or(0);
            }
            let again = |way: &DirectionAnalysis| way.retransmitted_segments;
            seen.subflows.iter().map(|subflow| again(&subflow.c2s) + again(&subflow.s2c)).sum()
        };
        let (a, b) = (count(&truth.results), count(simulated));
        if a > 0 || b > 0 {
            let allowed = Allowed::Difference { part: self.tolerances.retransmissions, slack: 0.0 };
            let values = [Some(a as f64), Some(b as f64)];
            self.add(format!("{host} retransmissions"), Form::Count, allowed, values);
        }
    }

    /// Least delay, median, 95th percentile and losses of each direction of each flow, if both sides have two points.
    fn delays(&mut self, real: &[Delays], simulated: &[Delays]) {
        let ([real], [simulated]) = (real, simulated) else { return };
        let allowed = match self.tolerances.delay {
            Some(part) => Allowed::Difference { part, slack: 0.0 },
            None => Allowed::Any,
        };
        let mut free: Vec<_> = simulated.flows.iter().map(Some).collect();
        for a in &real.flows {
            let key = |flow: &FlowDelays| (address(&flow.client).to_owned(), flow.server.clone());
            let Some(at) = free.iter().position(|b| b.is_some_and(|b| key(a) == key(b))) else { continue };
            let Some(b) = free[at].take() else { continue };
            let label = format!("delay {} > {}", address(&a.client), a.server);
            for (way, name) in ["c>s", "s>c"].into_iter().enumerate() {
                let ways = [&a.directions[way], &b.directions[way]];
                for (what, of) in [
                    ("least", (|delay| delay.min) as fn(&Quantiles) -> f64),
                    ("median", |delay| delay.median),
                    ("p95", |delay| delay.p95),
                ] {
                    let values = ways.map(|way| way.delay_ms.as_ref().map(of));
                    self.add(format!("{label} {name} {what}"), Form::Millis, allowed, values);
                }
                let lost = ways.map(|way| Some(way.lost as f64));
                self.add(format!("{label} {name} lost"), Form::Count, Allowed::Any, lost);
            }
        }
    }

    fn links(&mut self, real: &[LinkResult], simulated: &[LinkResult]) {
        let simulated: BTreeMap<_, _> =
            simulated.iter().map(|link| ((&link.link, &link.dir), link)).collect();
        for a in real {
            let Some(b) = simulated.get(&(&a.link, &a.dir)) else { continue };
            let label = format!("link {} {}", a.link, a.dir);
            for (what, of) in [
                ("queue drops", (|link| link.drops_queue) as fn(&LinkResult) -> u64),
                ("losses", |link| link.drops_loss),
                ("drops while down", |link| link.drops_down),
                ("longest queue, octets", |link| {
                    link.backlog_max_bytes_per_100ms.iter().copied().max().unwrap_or(0)
                }),
            ] {
                let values = [of(a), of(b)];
                if values != [0, 0] {
                    let values = values.map(|count| Some(count as f64));
                    self.add(format!("{label} {what}"), Form::Count, Allowed::Any, values);
                }
            }
        }
    }

    fn counters(
        &mut self,
        host: &str,
        truth: &GroundTruth,
        real: &BTreeMap<String, u64>,
        simulated: &BTreeMap<String, u64>,
    ) {
        let derived =
            truth.results.analysis.get(host).map(|seen| {
                counters::from_packets(seen, &truth.topology.addresses_of(host), Naming::of(real))
            });
        let modelled = |name: &str| counters::is_derived(name) || simulated.contains_key(name);
        let names: BTreeSet<&String> = real.keys().chain(simulated.keys()).collect();
        for name in names.into_iter().filter(|name| modelled(name) && *name != "TcpRetransSegs") {
            let of = |counts: &BTreeMap<String, u64>| counts.get(name).copied().unwrap_or(0);
            let values = [of(real), of(simulated)];
            if values == [0, 0] {
                continue;
            }
            // A kernel does not count what reaches no socket any more.
            let as_seen = derived.as_ref().is_some_and(|derived| of(derived) == of(real));
            let exact = counters::is_signalling(name) && counters::is_derived(name) && as_seen;
            let allowed = if exact { Allowed::Difference { part: 0.0, slack: 0.0 } } else { Allowed::Any };
            let values = values.map(|count| Some(count as f64));
            self.add(format!("{host} {name}"), Form::Count, allowed, values);
        }
    }
}

/// The samples from the first to the last with data in flight; a SYN, before any round-trip time is known, is none.
fn sending(samples: &[StateSample]) -> &[StateSample] {
    let busy = |sample: &StateSample| sample.unacked > 0.0 && sample.srtt_ms.is_some();
    match (samples.iter().position(busy), samples.iter().rposition(busy)) {
        (Some(first), Some(last)) => &samples[first..=last],
        _ => &[],
    }
}

/// Whether one subflow alone sends, long enough for its means to be held to more.
fn over_single_path(series: &[SubflowSeries]) -> bool {
    const MANY_SAMPLES: usize = 50;
    let lengths: Vec<_> =
        series.iter().map(|one| sending(&one.samples).len()).filter(|len| *len > 1).collect();
    matches!(lengths.as_slice(), [only] if *only >= MANY_SAMPLES)
}

fn address(endpoint: &str) -> &str {
    endpoint.rsplit_once(':').map_or(endpoint, |(address, _)| address)
}

fn same_addresses(a: &SubflowSeries, b: &SubflowSeries) -> bool {
    address(&a.local) == address(&b.local) && address(&a.remote) == address(&b.remote)
}

/// Round-trip time of a handshake: from the SYN to the third ACK, at either end. With a repeated SYN
/// that of the first subflow.
fn handshake(subflow: &SubflowAnalysis, first: &SubflowAnalysis) -> f64 {
    let subflow = if subflow.syns > 1 { first } else { subflow };
    match (subflow.syn_t, subflow.established_t) {
        (Some(syn), Some(established)) => established - syn,
        _ => 0.0,
    }
}

fn data(way: &DirectionAnalysis) -> String {
    format!("{} B, {} segments again", way.payload_bytes, way.retransmitted_segments)
}

const fn way(subflow: &SubflowAnalysis, direction: FlowDirection) -> &DirectionAnalysis {
    match direction {
        FlowDirection::ClientToServer => &subflow.c2s,
        FlowDirection::ServerToClient => &subflow.s2c,
    }
}

/// The direction that carried more payload.
fn bulk_direction(host: &HostAnalysis) -> FlowDirection {
    let sum = |direction: FlowDirection| -> u64 {
        host.subflows.iter().map(|subflow| way(subflow, direction).payload_bytes).sum()
    };
    if sum(FlowDirection::ServerToClient) > sum(FlowDirection::ClientToServer) {
        FlowDirection::ServerToClient
    } else {
        FlowDirection::ClientToServer
    }
}

//! The rows about figures: goodput, completion, shares, join times; for information retransmissions
//! and drops.

use std::collections::BTreeMap;

use crate::groundtruth::{EndResult, FlowResult, GroundTruth, LinkResult, Results, SenderResult};
use crate::trace::{DirectionAnalysis, FlowDirection, HostAnalysis, SubflowAnalysis};

use super::canonical::matched;
use super::{Row, Tolerances};

pub(super) fn compare(
    truth: &GroundTruth,
    simulated: &Results,
    tolerances: &Tolerances,
    rows: &mut Vec<Row>,
) {
    for real in &truth.results.flows {
        match simulated.flows.iter().find(|flow| flow.name == real.name) {
            Some(simulated) => flow(real, simulated, tolerances, rows),
            None => rows.push(Row::exact(format!("flow {}", real.name), "present".into(), "absent".into())),
        }
    }
    for (host, real) in &truth.results.analysis {
        if let Some(simulated) = simulated.analysis.get(host) {
            subflows(host, real, simulated, tolerances, rows);
        }
    }
    links(&truth.results.links, &simulated.links, rows);
}

fn flow(real: &FlowResult, simulated: &FlowResult, tolerances: &Tolerances, rows: &mut Vec<Row>) {
    let name = &real.name;
    let allowed = format!("{:.0} %", tolerances.goodput * 100.0);
    // The reference gives no figure for transfers too short to have one.
    if real.goodput_bps.is_some() {
        let text =
            |value: Option<f64>| value.map_or_else(|| "-".into(), |bps| format!("{:.3} Mbit/s", bps / 1e6));
        // Start-up moves the goodput of a short flow as it moves its completion.
        let slack = real.completion_s.map_or(0.0, |s| tolerances.start_up_s / s.max(tolerances.start_up_s));
        let (within, difference) =
            relative(real.goodput_bps, simulated.goodput_bps, tolerances.goodput + slack);
        rows.push(
            Row::judged(
                format!("flow {name} goodput"),
                text(real.goodput_bps),
                text(simulated.goodput_bps),
                within,
                format!("{allowed} + {:.0} ms", tolerances.start_up_s * 1e3),
            )
            .with_note(difference),
        );
    }
    if real.completion_s.is_some() {
        let text = |value: Option<f64>| value.map_or_else(|| "-".into(), |s| format!("{s:.4} s"));
        let within = match (real.completion_s, simulated.completion_s) {
            (Some(a), Some(b)) => (b - a).abs() <= a * tolerances.goodput + tolerances.start_up_s,
            _ => false,
        };
        rows.push(Row::judged(
            format!("flow {name} completion"),
            text(real.completion_s),
            text(simulated.completion_s),
            within,
            format!("{allowed} + {:.0} ms", tolerances.start_up_s * 1e3),
        ));
    }
    for (side, real, simulated) in
        [("client", &real.client, &simulated.client), ("server", &real.server, &simulated.server)]
    {
        if let (Some(real), Some(simulated)) = (real, simulated) {
            let text = |end: &EndResult| {
                let error = if end.error.is_some() { ", ended by an error" } else { "" };
                format!("sent {} received {}{error}", end.sent, end.received)
            };
            rows.push(Row::exact(format!("flow {name} {side}"), text(real), text(simulated)));
            sender(&format!("flow {name} {side}"), real, simulated, tolerances, rows);
        }
    }
}

/// How a sender over a single path fared, if it was sampled often enough for a mean.
fn sender(
    label: &str,
    real: &EndResult,
    simulated: &EndResult,
    tolerances: &Tolerances,
    rows: &mut Vec<Row>,
) {
    const ENOUGH: usize = 50;
    let (Some(real), Some(simulated)) = (real.sender, simulated.sender) else { return };
    if real.samples < ENOUGH {
        return;
    }
    let mut row = |what: &str, unit: &str, digits: usize, real: f64, simulated: f64, tolerance: f64| {
        let (within, difference) = relative(Some(real), Some(simulated), tolerance);
        let text = |value: f64| format!("{value:.digits$}{unit}");
        let allowed = format!("{:.0} %", tolerance * 100.0);
        let row = Row::judged(format!("{label} {what}"), text(real), text(simulated), within, allowed);
        rows.push(row.with_note(difference));
    };
    row("mean window", " segments", 2, real.cwnd, simulated.cwnd, tolerances.window);
    let episodes = |sender: SenderResult| sender.loss_episodes as f64;
    row("loss episodes", "", 0, episodes(real), episodes(simulated), tolerances.loss_episodes);
}

/// Whether `simulated` is within `tolerance` of `real`, and the difference in words.
fn relative(real: Option<f64>, simulated: Option<f64>, tolerance: f64) -> (bool, String) {
    match (real, simulated) {
        (Some(a), Some(b)) if a > 0.0 => {
            let difference = (b - a) / a;
            (difference.abs() <= tolerance, format!("{:+.1} %", difference * 100.0))
        }
        _ => (real == simulated, String::new()),
    }
}

fn subflows(
    host: &str,
    real: &HostAnalysis,
    simulated: &HostAnalysis,
    tolerances: &Tolerances,
    rows: &mut Vec<Row>,
) {
    let pairs = matched(real, simulated);
    let bulk = bulk_direction(real);
    let total = |host: &HostAnalysis| -> u64 {
        host.subflows.iter().map(|subflow| way(subflow, bulk).payload_bytes).sum()
    };
    let (real_total, simulated_total) = (total(real), total(simulated));
    let start = |host: &HostAnalysis| host.subflows.first().and_then(|first| first.syn_t).unwrap_or(0.0);
    let (real_start, simulated_start) = (start(real), start(simulated));
    for (index, partner) in pairs {
        let (Some(index), Some(partner)) = (index, partner) else { continue };
        let (a, b) = (&real.subflows[index], &simulated.subflows[partner]);
        let label = format!("{host} #{index}");
        if real.subflows.len() > 1 && real_total > 0 && simulated_total > 0 {
            let share = |bytes: u64, total: u64| bytes as f64 / total as f64;
            let shares = (
                share(way(a, bulk).payload_bytes, real_total),
                share(way(b, bulk).payload_bytes, simulated_total),
            );
            rows.push(Row::judged(
                format!("{label} {bulk} share"),
                format!("{:.1} %", shares.0 * 100.0),
                format!("{:.1} %", shares.1 * 100.0),
                (shares.0 - shares.1).abs() <= tolerances.share,
                format!("{:.0} points", tolerances.share * 100.0),
            ));
        }
        if a.join && a.established_t.is_some() && b.established_t.is_some() {
            rows.push(join_time(
                &label,
                (a, real_start),
                (b, simulated_start),
                handshake(a, &real.subflows[0]),
            ));
        }
        for direction in [FlowDirection::ClientToServer, FlowDirection::ServerToClient] {
            let (a, b) = (way(a, direction), way(b, direction));
            if a.data_segments > 0 || b.data_segments > 0 {
                rows.push(Row::info(format!("{label} {direction} data"), data(a), data(b)));
            }
        }
    }
}

/// Both times from the first SYN of the capture, as the application's start-up moves them together.
fn join_time(
    label: &str,
    real: (&SubflowAnalysis, f64),
    simulated: (&SubflowAnalysis, f64),
    rtt: f64,
) -> Row {
    let text = |(subflow, start): (&SubflowAnalysis, f64)| {
        let at = |t: Option<f64>| t.map_or_else(|| "-".into(), |t| format!("{:.4}", t - start));
        format!("SYN {} done {} s", at(subflow.syn_t), at(subflow.established_t))
    };
    let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => ((a - real.1) - (b - simulated.1)).abs() <= rtt,
        _ => false,
    };
    let within =
        near(real.0.syn_t, simulated.0.syn_t) && near(real.0.established_t, simulated.0.established_t);
    let tolerance = format!("1 RTT ({:.1} ms)", rtt * 1e3);
    Row::judged(format!("{label} join time"), text(real), text(simulated), within, tolerance)
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

fn way(subflow: &SubflowAnalysis, direction: FlowDirection) -> &DirectionAnalysis {
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

fn links(real: &[LinkResult], simulated: &[LinkResult], rows: &mut Vec<Row>) {
    let simulated: BTreeMap<_, _> = simulated.iter().map(|link| ((&link.link, &link.dir), link)).collect();
    for a in real {
        let Some(b) = simulated.get(&(&a.link, &a.dir)) else { continue };
        let text = |link: &LinkResult| {
            format!("{} queue, {} lost, {} down", link.drops_queue, link.drops_loss, link.drops_down)
        };
        rows.push(Row::info(format!("link {} {} drops", a.link, a.dir), text(a), text(b)));
    }
}

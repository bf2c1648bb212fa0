//! The rows about protocol: who spoke to whom, in which words and in which order.

use crate::groundtruth::Results;
use crate::trace::{DirectionAnalysis, FlowDirection, HostAnalysis, SubflowAnalysis, SynParameters};

use super::canonical::{CLASSES, Layouts, events, fin_moved, first_difference, matched};
use super::{Row, Verdict};

/// The event behind which a case that is no yardstick is not judged.
const FAULT: &str = "MP_FAIL";

/// Whether some host saw the fault.
pub(super) fn has_fault(real: &Results) -> bool {
    real.analysis.values().any(|host| host.events.iter().any(|event| event.kind == FAULT))
}

/// Whether an aspect is decided before the fault.
pub(super) fn is_before_fault(aspect: &str) -> bool {
    ["subflows", "outcome", "SYN count", "SYN parameters", "signalling", "SYN options", "SYN/ACK options"]
        .iter()
        .any(|end| aspect.ends_with(end))
}

/// Both sequences up to the event that is the first fault of the real one.
fn until_fault<'a>(real: &'a [String], simulated: &'a [String]) -> (&'a [String], &'a [String]) {
    match real.iter().position(|event| event.contains(FAULT)) {
        Some(at) => (&real[..=at], &simulated[..simulated.len().min(at + 1)]),
        None => (real, simulated),
    }
}

pub(super) fn compare(real: &Results, simulated: &Results, cut: bool, rows: &mut Vec<Row>) {
    for (name, real) in &real.analysis {
        let Some(simulated) = simulated.analysis.get(name) else {
            rows.push(Row::exact(format!("{name} capture"), "present".into(), "absent".into()));
            continue;
        };
        host(name, real, simulated, cut, rows);
    }
}

fn host(name: &str, real: &HostAnalysis, simulated: &HostAnalysis, cut: bool, rows: &mut Vec<Row>) {
    let count = |host: &HostAnalysis| host.subflows.len().to_string();
    rows.push(Row::exact(format!("{name} subflows"), count(real), count(simulated)));
    for pair in matched(real, simulated) {
        match pair {
            (Some(index), Some(partner)) => subflow(name, (real, index), (simulated, partner), cut, rows),
            (Some(index), None) => {
                let subflow = &real.subflows[index];
                rows.push(Row::exact(format!("{name} #{index}"), endpoints(subflow), "absent".into()));
            }
            (None, Some(partner)) => {
                let subflow = &simulated.subflows[partner];
                rows.push(Row::exact(format!("{name} extra subflow"), "absent".into(), endpoints(subflow)));
            }
            (None, None) => {}
        }
    }
    for direction in [FlowDirection::ClientToServer, FlowDirection::ServerToClient] {
        if fin_moved(real, simulated, direction) {
            let all = |host: &HostAnalysis| Layouts::of_host(host, direction, "FIN").names_and_counts();
            let aspect = format!("{name} {direction} FIN options of all subflows");
            rows.push(Row::exact(aspect, all(real), all(simulated)));
        }
    }
    rows.push(Row::exact(format!("{name} ICMP"), icmp(real), icmp(simulated)));
}

fn subflow(
    name: &str,
    real: (&HostAnalysis, usize),
    simulated: (&HostAnalysis, usize),
    cut: bool,
    rows: &mut Vec<Row>,
) {
    let (a, b) = (&real.0.subflows[real.1], &simulated.0.subflows[simulated.1]);
    let label = format!("{name} #{}", real.1);
    rows.push(Row::exact(format!("{label} outcome"), outcome(real.0, a), outcome(simulated.0, b)));
    rows.push(Row::exact(format!("{label} SYN count"), a.syns.to_string(), b.syns.to_string()));
    for (direction, a_way, b_way) in
        [(FlowDirection::ClientToServer, &a.c2s, &b.c2s), (FlowDirection::ServerToClient, &a.s2c, &b.s2c)]
    {
        let label = format!("{label} {direction}");
        let syn = |way: &DirectionAnalysis| way.syn.as_ref().map_or_else(|| "none".into(), syn_text);
        rows.push(Row::exact(format!("{label} SYN parameters"), syn(a_way), syn(b_way)));
        let moved = fin_moved(real.0, simulated.0, direction);
        let heard =
            (events(real.0, real.1, direction, moved), events(simulated.0, simulated.1, direction, moved));
        let (a_events, b_events) =
            if cut { until_fault(&heard.0, &heard.1) } else { (&heard.0[..], &heard.1[..]) };
        rows.push(signalling(&label, a_events, b_events));
        for class in CLASSES {
            let layouts = (Layouts::of(a, direction, class), Layouts::of(b, direction, class));
            if layouts.0.is_empty() && layouts.1.is_empty() {
                continue;
            }
            let aspect = format!("{label} {class} options");
            if class == "FIN" && moved {
                // Those of all subflows are compared.
                continue;
            }
            if class == "ack" && moved {
                rows.push(set(aspect, &layouts.0.without_fin(), &layouts.1.without_fin()));
                continue;
            }
            if matches!(class, "SYN" | "SYN/ACK" | "FIN") {
                rows.push(Row::exact(aspect, layouts.0.names_and_counts(), layouts.1.names_and_counts()));
            } else {
                rows.push(set(aspect, &layouts.0, &layouts.1));
            }
        }
        let mut forms = (Layouts::of_forms(a_way), Layouts::of_forms(b_way));
        if moved {
            forms = (forms.0.without_fin(), forms.1.without_fin());
        }
        rows.push(set(format!("{label} DSS forms"), &forms.0, &forms.1));
    }
}

fn signalling(label: &str, real: &[String], simulated: &[String]) -> Row {
    let text = |events: &[String]| if events.is_empty() { "none".into() } else { events.join("; ") };
    let row = Row::exact(format!("{label} signalling"), text(real), text(simulated));
    if row.verdict == Verdict::Fail { row.with_note(first_difference(real, simulated)) } else { row }
}

fn set(aspect: String, real: &Layouts, simulated: &Layouts) -> Row {
    let lost = real.missing_in(simulated);
    let extra = simulated.missing_in(real);
    let mut note = Vec::new();
    if !lost.is_empty() {
        note.push(format!("only real: {}", lost.join(", ")));
    }
    if !extra.is_empty() {
        note.push(format!("only simulated: {}", extra.join(", ")));
    }
    let within = note.is_empty();
    Row::judged(aspect, real.names(), simulated.names(), within, "rare or SACK".into())
        .with_note(note.join("; "))
}

fn endpoints(subflow: &SubflowAnalysis) -> String {
    let join = if subflow.join { " (join)" } else { "" };
    format!("{} > {}{join}", subflow.client, subflow.server)
}

fn syn_text(syn: &SynParameters) -> String {
    let number = |value: Option<u32>| value.map_or_else(|| "-".into(), |value| value.to_string());
    let SynParameters { win, mss, ws, opts } = syn;
    format!("win {win} mss {} ws {} {opts}", number(mss.map(u32::from)), number(ws.map(u32::from)))
}

/// How the handshake of a subflow ended.
fn outcome(host: &HostAnalysis, subflow: &SubflowAnalysis) -> String {
    let opts = |way: &DirectionAnalysis| way.syn.as_ref().map(|syn| syn.opts.clone()).unwrap_or_default();
    let option = if subflow.join { "MP_JOIN" } else { "MP_CAPABLE" };
    if subflow.synack_t.is_none() {
        return if subflow.s2c.rst > 0 {
            "refused with RST".into()
        } else if subflow.join && host.icmp.iter().any(|message| message.4.0 == ICMP_UNREACHABLE) {
            "unreachable (ICMP)".into()
        } else {
            "no answer".into()
        };
    }
    let offered = opts(&subflow.c2s).contains(option);
    let accepted = opts(&subflow.s2c).contains(option);
    let third = if subflow.join { "MP_JOIN24" } else { "MP_CAPABLE20" };
    let layouts = || subflow.option_layouts.iter().map(|(layout, _)| layout);
    let confirmed = layouts().any(|layout| layout.starts_with("c>s") && layout.contains(third));
    match (offered, accepted, confirmed) {
        (true, true, true) if subflow.join => "joined".into(),
        (true, true, true) => "MPTCP".into(),
        (true, true, false) => format!("{option} not confirmed"),
        (true, false, _) if subflow.join => "SYN/ACK without MP_JOIN".into(),
        (true, false, _) => "fell back: SYN/ACK without MP_CAPABLE".into(),
        (false, _, _) if subflow.join => "SYN without MP_JOIN".into(),
        (false, ..) => "plain TCP".into(),
    }
}

const ICMP_UNREACHABLE: u8 = 3;

/// ICMP messages without times, equal ones counted.
fn icmp(host: &HostAnalysis) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for message in &host.icmp {
        *counts.entry((&message.1, &message.2, &message.3, message.4)).or_insert(0u64) += 1;
    }
    let texts: Vec<_> = counts
        .into_iter()
        .map(|((interface, from, to, (kind, code)), count)| {
            format!("{count}x {kind}/{code} {from} > {to} on {interface}")
        })
        .collect();
    if texts.is_empty() { "none".into() } else { texts.join(", ") }
}

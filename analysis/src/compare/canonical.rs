//! The canonical forms of events, layouts and DSS forms; the rules are numbered in the parent module.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::trace::{Counts, DirectionAnalysis, FlowDirection, HostAnalysis, SignalEvent, SubflowAnalysis};

/// Below this part of the packets of its direction a layout or form may be absent on the other side (rule 8).
const RARE: f64 = 0.01;

/// What tells subflows apart without ephemeral ports (rule 1).
#[derive(Clone, Debug, PartialEq, Eq)]
struct SubflowKey {
    client: String,
    server: String,
    join: bool,
}

impl SubflowKey {
    fn of(subflow: &SubflowAnalysis) -> Self {
        let client = subflow.client.rsplit_once(':').map_or(subflow.client.as_str(), |(address, _)| address);
        Self { client: client.to_owned(), server: subflow.server.clone(), join: subflow.join }
    }
}

/// Pairs of subflow indices (real, simulated) by addresses, in the order of the real side, then the
/// simulated ones without a partner.
pub(super) fn matched(real: &HostAnalysis, simulated: &HostAnalysis) -> Vec<(Option<usize>, Option<usize>)> {
    let mut free: Vec<_> = simulated.subflows.iter().map(|subflow| Some(SubflowKey::of(subflow))).collect();
    let mut pairs = Vec::new();
    for (index, subflow) in real.subflows.iter().enumerate() {
        let key = Some(SubflowKey::of(subflow));
        let partner = free.iter().position(|candidate| *candidate == key);
        if let Some(partner) = partner {
            free[partner] = None;
        }
        pairs.push((Some(index), partner));
    }
    pairs.extend(
        free.iter().enumerate().filter(|(_, key)| key.is_some()).map(|(index, _)| (None, Some(index))),
    );
    pairs
}

/// The subflow that alone carries the DATA_FIN of a direction, if one does while there are several.
fn fin_carrier(host: &HostAnalysis, direction: FlowDirection) -> Option<usize> {
    let on = |event: &&SignalEvent| event.direction == direction && event.kind == "DATA_FIN";
    let carriers: BTreeSet<_> = host.events.iter().filter(on).map(|event| event.subflow).collect();
    let (first, last) = (carriers.first()?, carriers.last()?);
    (first == last && host.subflows.len() > 1).then_some(*first)
}

/// Whether one subflow alone carries the DATA_FIN of a direction on either side, but not the same (rule 13).
pub(super) fn fin_moved(real: &HostAnalysis, simulated: &HostAnalysis, direction: FlowDirection) -> bool {
    let carriers = (fin_carrier(real, direction), fin_carrier(simulated, direction));
    let (Some(real_carrier), Some(simulated_carrier)) = carriers else { return false };
    !matched(real, simulated).contains(&(Some(real_carrier), Some(simulated_carrier)))
}

/// The events of one subflow and direction (rules 2 to 7).
pub(super) fn events(
    host: &HostAnalysis,
    subflow: usize,
    direction: FlowDirection,
    fin_moved: bool,
) -> Vec<String> {
    let mut sequence: Vec<String> = Vec::new();
    let mut data_fin = false;
    let mut reset = false;
    for event in &host.events {
        if event.subflow != subflow || event.direction != direction {
            continue;
        }
        match event.kind.as_str() {
            "DATA_FIN" if fin_moved => continue,
            "DATA_FIN" if std::mem::replace(&mut data_fin, true) => continue,
            "RST" if std::mem::replace(&mut reset, true) => continue,
            _ => {}
        }
        let text = event_text(event);
        if sequence.last() != Some(&text) {
            sequence.push(text);
        }
    }
    sequence
}

fn event_text(event: &SignalEvent) -> String {
    if event.kind == "DATA_FIN" {
        return event.kind.clone();
    }
    let flags: String = event.flags.chars().filter(|&flag| flag != 'P').collect();
    let data = if event.payload > 0 { "+data" } else { "" };
    let details = details_text(event);
    format!("{flags}{data} {}{details}", event.kind)
}

/// Details in the order of their names, without data sequence numbers and lengths of data, and without what
/// the third ACK of a join has in the place of its flags and id, which are reserved.
fn details_text(event: &SignalEvent) -> String {
    let details: &Map<String, Value> = &event.details;
    let third_ack = event.kind == "MP_JOIN" && details.get("len").and_then(Value::as_u64) == Some(24);
    let mut names: Vec<_> = details.keys().map(String::as_str).collect();
    names.retain(|name| !matches!(*name, "dsn" | "dlen" | "ssn"));
    names.retain(|name| !(third_ack && matches!(*name, "backup" | "id")));
    if names.is_empty() {
        return String::new();
    }
    names.sort_unstable();
    let fields: Vec<_> = names
        .into_iter()
        .map(|name| match &details[name] {
            Value::String(text) => format!("{name}={text}"),
            value => format!("{name}={value}"),
        })
        .collect();
    format!("({})", fields.join(" "))
}

/// Where two sequences first differ, in words.
pub(super) fn first_difference(real: &[String], simulated: &[String]) -> String {
    let at = real.iter().zip(simulated).take_while(|(a, b)| a == b).count();
    let name = |sequence: &[String]| sequence.get(at).cloned().unwrap_or_else(|| "nothing".into());
    format!("event {}: {} | {}", at + 1, name(real), name(simulated))
}

/// One class of packets of one direction: the option layouts and how many packets had each.
#[derive(Clone, Debug, Default)]
pub(super) struct Layouts {
    counts: Vec<(String, u64)>,
    /// Packets of the direction, of all classes.
    total: u64,
}

/// The packet classes of option layouts.
pub(super) const CLASSES: [&str; 6] = ["SYN", "SYN/ACK", "ack", "data", "FIN", "RST"];

impl Layouts {
    pub(super) fn of(subflow: &SubflowAnalysis, direction: FlowDirection, class: &str) -> Self {
        let mut layouts = Self::default();
        for (key, count) in subflow.option_layouts.iter() {
            let Some(key) = key.strip_prefix(direction.as_str()) else { continue };
            layouts.total += count;
            if let Some(options) =
                key.trim_start().strip_prefix(class).and_then(|rest| rest.strip_prefix(' '))
            {
                let options = if options.is_empty() { "no options" } else { options };
                layouts.counts.push((options.to_owned(), count));
            }
        }
        layouts
    }

    /// The layouts of all subflows together.
    pub(super) fn of_host(host: &HostAnalysis, direction: FlowDirection, class: &str) -> Self {
        let mut all = Self::default();
        for subflow in &host.subflows {
            let Self { counts, total } = Self::of(subflow, direction, class);
            all.total += total;
            for (name, count) in counts {
                match all.counts.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += count,
                    None => all.counts.push((name, count)),
                }
            }
        }
        all
    }

    /// Without what only the carrier of a DATA_FIN sends (rule 13).
    pub(super) fn without_fin(mut self) -> Self {
        let lone_mapping = |name: &str| ["DSS20", "DSS18"].iter().any(|dss| name.contains(dss));
        let fin_form = |name: &str| name.contains('F') && name.contains('/');
        self.counts.retain(|(name, _)| !(lone_mapping(name) || fin_form(name)));
        self
    }

    pub(super) fn of_forms(direction: &DirectionAnalysis) -> Self {
        let Counts(counts) = direction.dss_forms.clone();
        Self { counts, total: direction.packets }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Names, sorted.
    pub(super) fn names(&self) -> String {
        let names: BTreeSet<_> = self.counts.iter().map(|(name, _)| name.as_str()).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// Names with counts, sorted (rule 10).
    pub(super) fn names_and_counts(&self) -> String {
        let names: BTreeSet<_> = self.counts.iter().map(|(name, count)| format!("{count}x {name}")).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// Names of `self` that `other` lacks and that are not excused by rules 8 and 9.
    pub(super) fn missing_in(&self, other: &Self) -> Vec<String> {
        self.counts
            .iter()
            .filter(|(name, count)| {
                let rare = (*count as f64) < RARE * self.total as f64;
                let after_loss = name.split('-').any(|option| option == "SACK");
                let there = other.counts.iter().any(|(candidate, _)| candidate == name);
                !there && !rare && !after_loss
            })
            .map(|(name, _)| name.clone())
            .collect()
    }
}

//! Gives a document its meaning: names become references that exist, texts become quantities, what is
//! not said becomes the default. All errors are collected before giving up.

mod boxes;
mod flows;
mod hosts;
mod links;

use core::ops::Range;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sim_core::Duration;

use super::document::{Document, RawCapture, RawOutput};
use super::kinds::Free;
use super::shape::suggestion;
use super::value::{Kind, Located, Text};
use crate::error::{Place, ScenarioError, ScenarioErrors, Source};
use crate::names::KnownNames;
use crate::scenario::{Capture, Host, HostKind, LinkType, Output, Parameter, Port, Scenario, Stop};

/// Snapshot length that keeps every frame whole.
pub(crate) const WHOLE_FRAME: u32 = 262_144;
/// Shortest step of the time series: samples are kept in memory.
const LEAST_SAMPLE_INTERVAL: Duration = Duration::from_micros(1);

/// What the resolution needs everywhere: where to report errors and which algorithms there are.
pub(crate) struct Context<'a> {
    source: &'a Arc<Source>,
    names: &'a KnownNames<'a>,
    errors: Vec<ScenarioError>,
}

impl Context<'_> {
    fn place(&self, span: &Range<usize>, path: &str) -> Place {
        Place::new(self.source, span.clone(), path)
    }

    pub(crate) fn bad(
        &mut self,
        span: &Range<usize>,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let place = self.place(span, path);
        self.errors.push(ScenarioError::BadValue { place, message: message.into(), help: help.into() });
    }

    fn conflict(
        &mut self,
        span: &Range<usize>,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let place = self.place(span, path);
        self.errors.push(ScenarioError::Conflict { place, message: message.into(), help: help.into() });
    }

    fn duplicate(
        &mut self,
        span: &Range<usize>,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let place = self.place(span, path);
        self.errors.push(ScenarioError::Duplicate { place, message: message.into(), help: help.into() });
    }

    /// Reports `name` if it is none of `known`.
    fn known(&mut self, span: &Range<usize>, path: &str, name: &str, known: &[&str], what: &str) -> bool {
        let found = known.contains(&name);
        if !found {
            let place = self.place(span, path);
            let message = format!("there is no {what} \"{name}\"");
            let plural = match what.split_once(" of ") {
                Some((what, owner)) => format!("{what}s of {owner}"),
                None => format!("{what}s"),
            };
            let help = suggestion(name, known, &plural);
            self.errors.push(ScenarioError::UnknownName { place, message, help });
        }
        found
    }

    /// The value of a key that must be there.
    fn require<'v, T>(
        &mut self,
        span: &Range<usize>,
        path: &str,
        key: &str,
        value: Option<&'v T>,
        example: &str,
    ) -> Option<&'v T> {
        if value.is_none() {
            let place = self.place(span, &format!("{path}.{key}"));
            self.errors.push(ScenarioError::MissingKey { place, help: format!("add {key} = {example}") });
        }
        value
    }

    pub(crate) fn read<K: Kind>(&mut self, path: &str, text: &Located<Text<K>>) -> Option<K::Value> {
        match K::read(&text.value.scalar) {
            Ok(value) => Some(value),
            Err(complaint) => {
                self.bad(&text.span, path, complaint.message, complaint.help);
                None
            }
        }
    }

    fn read_or<K: Kind>(
        &mut self,
        path: &str,
        text: Option<&Located<Text<K>>>,
        default: K::Value,
    ) -> K::Value {
        text.and_then(|text| self.read(path, text)).unwrap_or(default)
    }

    /// One of a few words; the first is the default.
    fn choice<T: Copy>(&mut self, path: &str, word: Option<&Located<String>>, choices: &[(&str, T)]) -> T {
        let Some(word) = word else { return choices[0].1 };
        match choices.iter().find(|(name, _)| *name == word.value) {
            Some((_, value)) => *value,
            None => {
                let known: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                let help = suggestion(&word.value, &known, "choices");
                self.bad(&word.span, path, format!("\"{}\" is not one of the choices", word.value), help);
                choices[0].1
            }
        }
    }

    /// A count within bounds.
    fn count(
        &mut self,
        path: &str,
        text: &Located<Text<super::kinds::Count>>,
        from: u32,
        to: u32,
    ) -> Option<u32> {
        let value = self.read(path, text)?;
        if (from..=to).contains(&value) {
            return Some(value);
        }
        self.bad(
            &text.span,
            path,
            format!("{value} is out of range"),
            format!("write a number from {from} to {to}"),
        );
        None
    }

    fn seed(&mut self, path: &str, seed: &Located<i64>) -> u64 {
        u64::try_from(seed.value).unwrap_or_else(|_| {
            self.bad(
                &seed.span,
                path,
                format!("{} is negative", seed.value),
                "write a number from 0 to 2^63 - 1",
            );
            0
        })
    }

    fn parameters(
        &mut self,
        path: &str,
        raw: Option<&BTreeMap<String, Located<Text<Free>>>>,
    ) -> BTreeMap<String, Parameter> {
        let mut parameters = BTreeMap::new();
        for (name, text) in raw.into_iter().flatten() {
            if let Some(value) = self.read(&format!("{path}.{name}"), text) {
                parameters.insert(name.clone(), value);
            }
        }
        parameters
    }

    /// A name of a host, link, interface or flow: not empty, without blanks, dots and colons.
    fn name(&mut self, span: &Range<usize>, path: &str, name: &str) {
        if name.is_empty()
            || name.contains(|c: char| c.is_whitespace() || c.is_control() || ".:/\\\"".contains(c))
        {
            self.bad(
                span,
                path,
                format!("\"{name}\" cannot be a name"),
                "use letters, digits, \"-\" and \"_\"",
            );
        }
    }

    /// The interface named by `host:interface`.
    fn port(&mut self, path: &str, text: &Located<String>, hosts: &[Host]) -> Option<Port> {
        let Some((host_name, interface)) = text.value.split_once(':') else {
            let message = format!("\"{}\" names no interface", text.value);
            self.bad(&text.span, path, message, "write \"host:interface\", such as \"client:c0\"");
            return None;
        };
        let host = self.host(&text.span, path, host_name, hosts)?;
        let known: Vec<&str> = host.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        self.known(&text.span, path, interface, &known, &format!("interface of {host_name}"))
            .then(|| Port { host: host_name.to_owned(), interface: interface.to_owned() })
    }

    fn host<'h>(
        &mut self,
        span: &Range<usize>,
        path: &str,
        name: &str,
        hosts: &'h [Host],
    ) -> Option<&'h Host> {
        let known: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        self.known(span, path, name, &known, "host");
        hosts.iter().find(|host| host.name == name)
    }
}

/// The scenario a document means.
pub(crate) fn resolve(
    source: &Arc<Source>,
    document: &Document,
    names: &KnownNames<'_>,
) -> Result<Scenario, ScenarioErrors> {
    let mut context = Context { source, names, errors: Vec::new() };
    let scenario = scenario(&mut context, document);
    ScenarioErrors::check(context.errors)?;
    Ok(scenario)
}

/// The name of a scenario that has none: that of its file.
pub(super) fn name_of_source(source: &str) -> String {
    let stem = Path::new(source).file_stem().and_then(|stem| stem.to_str()).unwrap_or("scenario");
    stem.replace(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'), "-")
}

fn scenario(context: &mut Context<'_>, document: &Document) -> Scenario {
    let name = match &document.name {
        Some(name) => {
            context.name(&name.span, "name", &name.value);
            name.value.clone()
        }
        None => name_of_source(&context.source.name),
    };
    if document.hosts.as_ref().is_none_or(BTreeMap::is_empty) {
        let place = context.place(&(0..0), "hosts");
        let help = "add hosts, such as [hosts.client], and links between them".to_owned();
        context.errors.push(ScenarioError::MissingKey { place, help });
    }
    let (profile, hosts) = hosts::resolve(context, document);
    let links = links::resolve(context, document.links.as_deref().unwrap_or_default(), &hosts);
    let boxes = boxes::resolve(context, document.boxes.as_deref().unwrap_or_default(), &hosts, &links);
    let flows = flows::resolve(context, document.flows.as_deref().unwrap_or_default(), &hosts, &links);
    let events = hosts::events(context, document.events.as_deref().unwrap_or_default(), &hosts);
    let duration = context.read_or("duration", document.duration.as_ref(), Duration::from_secs(60));
    if let (true, Some(text)) = (duration.is_zero(), &document.duration) {
        context.bad(&text.span, "duration", "a run of no time", "write a time above zero, such as \"10 s\"");
    }
    Scenario {
        name,
        title: document.title.clone().unwrap_or_default(),
        description: document.description.clone().unwrap_or_default(),
        profile,
        seed: document.seed.as_ref().map_or(1, |seed| context.seed("seed", seed)),
        duration,
        stop: context.choice(
            "stop",
            document.stop.as_ref(),
            &[("when flows finish", Stop::WhenFlowsFinish), ("at duration", Stop::AtDuration)],
        ),
        capture: capture(context, document.capture.as_ref(), &hosts),
        output: output(context, document.output.as_ref()),
        hosts,
        links,
        boxes,
        flows,
        events,
    }
}

fn capture(context: &mut Context<'_>, raw: Option<&RawCapture>, hosts: &[Host]) -> Capture {
    let everything = || {
        hosts
            .iter()
            .filter(|host| host.kind == HostKind::Host)
            .flat_map(|host| {
                host.interfaces
                    .iter()
                    .map(|interface| Port { host: host.name.clone(), interface: interface.name.clone() })
            })
            .collect()
    };
    let interfaces = match raw.and_then(|raw| raw.interfaces.as_ref()) {
        None => everything(),
        Some(list) => {
            let mut ports = Vec::new();
            for text in list {
                let Some(port) = context.port("capture.interfaces", text, hosts) else { continue };
                if ports.contains(&port) {
                    context.duplicate(
                        &text.span,
                        "capture.interfaces",
                        format!("{port} is listed twice"),
                        "list it once",
                    );
                }
                ports.push(port);
            }
            ports
        }
    };
    let snaplen = raw.and_then(|raw| raw.snaplen.as_ref());
    Capture {
        interfaces,
        snaplen: snaplen
            .and_then(|text| context.count("capture.snaplen", text, 1, WHOLE_FRAME))
            .unwrap_or(WHOLE_FRAME),
        link_type: context.choice(
            "capture.link_type",
            raw.and_then(|raw| raw.link_type.as_ref()),
            &[("ethernet", LinkType::Ethernet), ("raw", LinkType::Raw)],
        ),
    }
}

fn output(context: &mut Context<'_>, raw: Option<&RawOutput>) -> Output {
    let raw = raw.cloned().unwrap_or_default();
    let default = Duration::from_millis(100);
    let sample_interval = context.read_or("output.sample_interval", raw.sample_interval.as_ref(), default);
    if let (true, Some(text)) = (sample_interval < LEAST_SAMPLE_INTERVAL, &raw.sample_interval) {
        let message = format!("{sample_interval} is too short an interval");
        let help = format!("write at least \"{LEAST_SAMPLE_INTERVAL}\", such as \"100 ms\"");
        context.bad(&text.span, "output.sample_interval", message, help);
    }
    Output {
        sample_interval,
        plots: context.read_or("output.plots", raw.plots.as_ref(), true),
        csv: context.read_or("output.csv", raw.csv.as_ref(), true),
    }
}

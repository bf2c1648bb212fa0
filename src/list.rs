//! Lists of built-in scenarios and algorithms.

use std::fmt::Write as _;

use mptcp_model::mptcp::machine;
use mptcp_model::net::middlebox::registry as boxes;
use mptcp_model::parameters::{Kind, Parameter};
use mptcp_model::{congestion, path_manager, scheduler};
use scenarios::library;
use scenarios::published::{self, Range};

use crate::args::ListKind;
use crate::failure::Failure;

/// One kind, or all kinds under headings.
pub(crate) fn text(kind: Option<ListKind>) -> Result<String, Failure> {
    const ALL: [(&str, ListKind); 6] = [
        ("Scenarios", ListKind::Scenarios),
        ("Congestion controls", ListKind::Congestion),
        ("Schedulers", ListKind::Schedulers),
        ("Path managers", ListKind::PathManagers),
        ("Boxes", ListKind::Boxes),
        ("State machines", ListKind::States),
    ];
    if let Some(kind) = kind {
        return one(kind);
    }
    let mut text = String::new();
    for (heading, kind) in ALL {
        let separator = if text.is_empty() { "" } else { "\n" };
        write!(text, "{separator}{heading}:\n{}", one(kind)?).expect("writing to a string");
    }
    Ok(text)
}

fn one(kind: ListKind) -> Result<String, Failure> {
    Ok(match kind {
        ListKind::Scenarios => scenarios()?,
        ListKind::Congestion => congestion_controls(),
        ListKind::Schedulers => aligned(
            scheduler::list().iter().map(|info| (info.name.to_owned(), with(info.title, info.reference))),
        ),
        ListKind::PathManagers => aligned(
            path_manager::registry::PATH_MANAGERS
                .iter()
                .map(|info| (info.name.to_owned(), with(info.title, info.reference))),
        ),
        ListKind::Boxes => middleboxes(),
        ListKind::States => states(),
    })
}

fn scenarios() -> Result<String, Failure> {
    let mut rows = Vec::new();
    for builtin in library::list() {
        let scenario = builtin.scenario().map_err(|errors| Failure::from(&errors))?;
        rows.push((builtin.name.to_owned(), scenario.title));
    }
    for case in published::list() {
        rows.push((case.name.to_owned(), case.title.to_owned()));
        for parameter in case.parameters {
            let range = match parameter.range {
                Range::Number { min, max, default } => format!("from {min} to {max}; default {default}"),
                Range::Algorithm(default) => format!("default {default}"),
                Range::Choice(words) => {
                    format!("one of {}; default {}", words.join(", "), words.first().unwrap_or(&""))
                }
            };
            rows.push((
                format!("  parameters.{}", parameter.name),
                format!("  {}: {range}", parameter.meaning),
            ));
        }
    }
    Ok(aligned(rows))
}

fn congestion_controls() -> String {
    let mut rows = Vec::new();
    for algorithm in congestion::list() {
        rows.push((algorithm.name.to_owned(), with(algorithm.title, algorithm.reference)));
        rows.extend(algorithm.parameters.iter().map(parameter));
    }
    aligned(rows)
}

/// Name; meaning, unit, range and default, if it is more than an empty text.
fn parameter(parameter: &Parameter) -> (String, String) {
    let Parameter { name, meaning, unit, kind } = parameter;
    let comma = if unit.is_empty() { "" } else { ", " };
    let default = match kind {
        Kind::Text(_) => String::new(),
        other => format!("; default {}", other.default_value()),
    };
    (format!("  {name}"), format!("  {meaning}{comma}{unit}: {kind}{default}"))
}

fn middleboxes() -> String {
    let mut rows = Vec::new();
    for entry in boxes::list() {
        rows.push((entry.name.to_owned(), with(entry.title, entry.reference)));
        rows.extend(entry.parameters.iter().map(parameter));
        if entry.has_filter {
            rows.push(("  ...".to_owned(), "  the parameters of a filter".to_owned()));
        }
    }
    rows.push(("(filter)".to_owned(), "which packets a box acts on, whose list ends in ...".to_owned()));
    rows.extend(boxes::FILTER.iter().map(parameter));
    aligned(rows)
}

/// State, event and next state, a row each.
fn states() -> String {
    let mut text = String::new();
    for (name, rows) in machine::machines() {
        let widest = |column: fn(&machine::Transition) -> &str| {
            rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0)
        };
        let (states, events) = (widest(|row| row.state), widest(|row| row.event));
        for machine::Transition { state, event, next } in rows {
            writeln!(text, "{name:<10}  {state:<states$}  {event:<events$}  {next}")
                .expect("writing to a string");
        }
    }
    text
}

fn with(title: &str, reference: &str) -> String {
    format!("{title} ({reference})")
}

/// Two columns, the first as wide as its widest cell.
fn aligned(rows: impl IntoIterator<Item = (String, String)>) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, title)| format!("{name:<width$}  {title}\n")).collect()
}

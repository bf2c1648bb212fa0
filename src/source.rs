//! Finds a scenario: a file or a built-in one, with overrides and a seed applied.

use std::collections::BTreeMap;
use std::path::Path;

use scenarios::{Scenario, apply_override, library, published};
use serde::de::DeserializeOwned;
use toml::Table;

use crate::failure::Failure;

/// The scenario that runs when none is named.
pub(crate) const DEFAULT_SCENARIO: &str = "two-path";

/// The text of a scenario and what to call it in errors.
struct Source {
    name: String,
    text: String,
}

/// Reads the scenario `name`: a file if there is one of this name or the name looks like a path, else a
/// built-in scenario.
///
/// # Errors
/// If there is neither, or the scenario or an override is wrong.
pub(crate) fn scenario(name: &str, overrides: &[String], seed: Option<u64>) -> Result<Scenario, Failure> {
    let (parameters, overrides) = parameters(overrides)?;
    let source = find(name, &parameters)?;
    let mut scenario = parse(&source.text, &source.name)?;
    if !overrides.is_empty() {
        scenario = overridden(&source, &scenario.name, &overrides)?;
    }
    if let Some(seed) = seed {
        scenario.seed = seed;
    }
    Ok(scenario)
}

/// Parameters of a published scenario (`parameters.NAME=VALUE`), and the other overrides.
fn parameters(overrides: &[String]) -> Result<(BTreeMap<String, String>, Vec<String>), Failure> {
    let (mut parameters, mut others) = (BTreeMap::new(), Vec::new());
    for text in overrides {
        match text.strip_prefix("parameters.") {
            None => others.push(text.clone()),
            Some(rest) => {
                let Some((name, value)) = rest.split_once('=') else {
                    let message = format!("\"{text}\" gives no value");
                    return Err(Failure::message(message, format!("write \"parameters.{rest}=VALUE\"")));
                };
                parameters.insert(name.trim().to_owned(), value.trim().trim_matches('"').to_owned());
            }
        }
    }
    Ok((parameters, others))
}

fn find(name: &str, parameters: &BTreeMap<String, String>) -> Result<Source, Failure> {
    let path = Path::new(name);
    let looks_like_a_path = path.extension().is_some() || path.components().count() > 1;
    let is_file = path.is_file() || looks_like_a_path;
    if let Some(case) = published::get(name).filter(|_| !is_file) {
        let text = case.text(parameters).map_err(|error| {
            Failure::message(error.to_string(), format!("mptcp-sim show {name} prints its parameters"))
        })?;
        return Ok(Source { name: format!("{name}.toml"), text });
    }
    if !parameters.is_empty() {
        let known: Vec<_> = published::list().iter().map(|case| case.name).collect();
        let help = format!("these have: {}", known.join(", "));
        return Err(Failure::message(format!("\"{name}\" has no parameters"), help));
    }
    if is_file {
        return Ok(Source { name: name.to_owned(), text: read(path)? });
    }
    match library::get(name) {
        Ok(builtin) => Ok(Source { name: format!("{name}.toml"), text: builtin.text.to_owned() }),
        Err(unknown) => {
            let message = format!("there is no file and no built-in scenario \"{name}\"");
            Err(Failure::message(message, unknown.help))
        }
    }
}

/// The text of the built-in or published scenario `name`.
///
/// # Errors
/// If there is none.
pub(crate) fn builtin(name: &str) -> Result<String, Failure> {
    if published::get(name).is_some() {
        return find(name, &BTreeMap::new()).map(|source| source.text);
    }
    library::get(name).map(|builtin| builtin.text.to_owned()).map_err(|error| {
        Failure::message(format!("there is no built-in scenario \"{}\"", error.name), error.help)
    })
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))
}

/// Validates a scenario.
pub(crate) fn parse(text: &str, name: &str) -> Result<Scenario, Failure> {
    Scenario::from_toml(text, name).map_err(|errors| Failure::from(&errors))
}

/// Errors after an override refer to the document with the override in it. `name` is the scenario's, which
/// may come from that of the file.
fn overridden(source: &Source, name: &str, overrides: &[String]) -> Result<Scenario, Failure> {
    let mut document: Table =
        toml::from_str(&source.text).map_err(|error| Failure::message(error.message(), None))?;
    document.entry("name").or_insert_with(|| name.into());
    for text in overrides {
        apply_override(&mut document, text).map_err(|error| Failure::message(error.to_string(), None))?;
    }
    let text = toml::to_string(&document).map_err(|error| Failure::message(error.to_string(), None))?;
    parse(&text, &format!("{} with --set {}", source.name, overrides.join(" --set ")))
}

/// Reads a TOML file of a plain form; `help` says what is known there.
///
/// # Errors
/// If it cannot be read, or is of another form.
pub(crate) fn toml<T: DeserializeOwned>(path: &Path, help: &str) -> Result<T, Failure> {
    let text = read(path)?;
    toml::from_str(&text).map_err(|error| {
        let line =
            error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Failure::message(format!("{}:{line}: {}", path.display(), error.message()), help.to_owned())
    })
}

//! Finds a scenario: a file or a built-in one, with overrides and a seed applied.

use std::collections::BTreeMap;
use std::path::Path;

use scenarios::build::Network;
use scenarios::{Scenario, ScenarioErrors, library, published, with_overrides};
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// The scenario that runs when none is named.
pub(crate) const DEFAULT_SCENARIO: &str = "two-path";

/// The text of a scenario and what to call it in errors.
struct Source {
    name: String,
    text: String,
}

impl Source {
    /// The scenario, which can be built, and what it says without effect. Errors after an override refer to the text with the
    /// override in it.
    fn scenario(&self) -> Result<(Scenario, Vec<String>), Failure> {
        let scenario =
            Scenario::from_toml(&self.text, &self.name).map_err(|errors| Failure::from(&errors))?;
        let network = Network::build(&scenario, ())
            .map_err(|error| Failure::from(&ScenarioErrors::from(error.located(&self.text, &self.name))))?;
        let remarks = network.warnings().to_vec();
        Ok((scenario, remarks))
    }

    /// The same with overrides in it.
    fn changed(self, overrides: &[String]) -> Result<Self, Failure> {
        if overrides.is_empty() {
            return Ok(self);
        }
        // What is wrong without the overrides is told in the lines of the file.
        Scenario::from_toml(&self.text, &self.name).map_err(|errors| Failure::from(&errors))?;
        let text = with_overrides(&self.text, &self.name, overrides);
        let text = text.map_err(|errors| Failure::from(&errors))?;
        Ok(Self { name: format!("{} with --set {}", self.name, overrides.join(" --set ")), text })
    }
}

/// Reads the scenario `name`: a file if there is one of this name or the name looks like a path, else a
/// built-in scenario. It can be built.
///
/// # Errors
/// If there is neither, or the scenario or an override is wrong.
pub(crate) fn scenario(name: &str, overrides: &[String], seed: Option<u64>) -> Result<Scenario, Failure> {
    let (parameters, overrides) = parameters(overrides)?;
    let path = Path::new(name);
    let looks_like_a_path = path.extension().is_some() || path.components().count() > 1;
    let source = if path.is_file() || looks_like_a_path {
        no_parameters(name, &parameters)?;
        Source { name: name.to_owned(), text: read(path)? }
    } else {
        built_in(name, &parameters, "no file and no built-in scenario")?
    };
    let (mut scenario, _) = source.changed(&overrides)?.scenario()?;
    if let Some(seed) = seed {
        scenario.seed = seed;
    }
    Ok(scenario)
}

/// The text of the built-in scenario `name` with overrides, which may be parameters.
///
/// # Errors
/// If there is none, or an override is wrong.
pub(crate) fn shown(name: &str, overrides: &[String]) -> Result<String, Failure> {
    let (parameters, overrides) = parameters(overrides)?;
    let source = built_in(name, &parameters, "no built-in scenario")?.changed(&overrides)?;
    source.scenario()?;
    Ok(source.text)
}

/// The scenario in a text called `name`, which can be built, and what it says without effect.
///
/// # Errors
/// If the scenario is wrong.
pub(crate) fn checked(text: String, name: String) -> Result<(Scenario, Vec<String>), Failure> {
    Source { name, text }.scenario()
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

/// The built-in scenario `name`, which may be a published one with these parameters.
fn built_in(name: &str, parameters: &BTreeMap<String, String>, none: &str) -> Result<Source, Failure> {
    let file = format!("{name}.toml");
    if let Some(case) = published::get(name) {
        let text = case.text(parameters).map_err(|error| {
            let help = "`mptcp-sim list scenarios` shows all parameters with their ranges";
            Failure::message(error.to_string(), help.to_owned())
        })?;
        return Ok(Source { name: file, text });
    }
    let builtin = library::get(name)
        .map_err(|unknown| Failure::message(format!("there is {none} \"{name}\""), unknown.help))?;
    no_parameters(name, parameters)?;
    Ok(Source { name: file, text: builtin.text.to_owned() })
}

fn no_parameters(name: &str, parameters: &BTreeMap<String, String>) -> Result<(), Failure> {
    if parameters.is_empty() {
        return Ok(());
    }
    let known: Vec<_> = published::list().iter().map(|case| case.name).collect();
    let help = format!("these have: {}", known.join(", "));
    Err(Failure::message(format!("\"{name}\" has no parameters"), help))
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))
}

/// Reads a TOML file of a plain form; `help` says what is known there.
///
/// # Errors
/// If it cannot be read, or is of another form.
pub(crate) fn toml<T: DeserializeOwned>(path: &Path, help: &str) -> Result<T, Failure> {
    toml_text(&read(path)?, &path.display().to_string(), help)
}

/// As [`toml()`], of a text called `name`.
///
/// # Errors
/// If it is of another form.
pub(crate) fn toml_text<T: DeserializeOwned>(text: &str, name: &str, help: &str) -> Result<T, Failure> {
    toml::from_str(text).map_err(|error| {
        let line =
            error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Failure::message(format!("{name}:{line}: {}", error.message()), help.to_owned())
    })
}

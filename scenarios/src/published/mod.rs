//! Scenarios of the literature on multipath congestion control, written from parameters: number of users and
//! subflows, algorithm, capacities. Rates are given in packets of 1500 bytes per second where the papers do so.
//!
//! Each becomes an ordinary scenario ([`Case::text`]), as if it had been written by hand; the names of flows
//! and links stand in the descriptions. Packets and buffers are those of this simulator, not of the papers'
//! programs: 1500 bytes instead of 1000, delayed ACKs, SACK.

mod cases;
mod network;

use std::collections::BTreeMap;

use crate::error::ScenarioErrors;
use crate::scenario::Scenario;
use network::Network;

/// A scenario with parameters.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Who published it, and what to look at.
    pub description: &'static str,
    /// What can be chosen.
    pub parameters: &'static [Parameter],
    write: fn(&Values<'_>) -> Result<Network, ParameterError>,
}

/// A parameter of a [`Case`].
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Name.
    pub name: &'static str,
    /// What it is, with its unit.
    pub meaning: &'static str,
    /// Its range.
    pub range: Range,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug)]
pub enum Range {
    /// A number.
    Number {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
        /// Value if not given.
        default: f64,
    },
    /// The name of a congestion control; this one if none is given.
    Algorithm(&'static str),
    /// One of these words; the first if none is given.
    Choice(&'static [&'static str]),
}

/// A parameter cannot be as given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parameters.{name} of {case}: {message}")]
pub struct ParameterError {
    /// The case.
    pub case: &'static str,
    /// The parameter.
    pub name: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// All cases.
#[must_use]
pub const fn list() -> &'static [Case] {
    cases::CASES
}

/// The case called `name`.
#[must_use]
pub fn get(name: &str) -> Option<&'static Case> {
    cases::CASES.iter().find(|case| case.name == name)
}

/// Parameters given for a case.
struct Values<'a> {
    case: &'static Case,
    given: &'a BTreeMap<String, String>,
}

impl Values<'_> {
    fn error(&self, name: &str, message: impl Into<String>) -> ParameterError {
        ParameterError { case: self.case.name, name: name.to_owned(), message: message.into() }
    }

    fn range(&self, name: &str) -> Range {
        let parameter = self.case.parameters.iter().find(|parameter| parameter.name == name);
        parameter
            .unwrap_or_else(|| panic!("{} reads a parameter {name} it does not list", self.case.name))
            .range
    }

    fn number(&self, name: &str) -> Result<f64, ParameterError> {
        let Range::Number { min, max, default } = self.range(name) else {
            panic!("{}: parameter {name} is no number", self.case.name)
        };
        let Some(text) = self.given.get(name) else { return Ok(default) };
        match text.parse::<f64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(self.error(name, format!("\"{text}\" must be a number from {min} to {max}"))),
        }
    }

    fn count(&self, name: &str) -> Result<u32, ParameterError> {
        let number = self.number(name)?;
        let whole = number as u32;
        if f64::from(whole) == number {
            Ok(whole)
        } else {
            Err(self.error(name, format!("\"{number}\" must be a whole number")))
        }
    }

    fn word(&self, name: &str) -> Result<&'static str, ParameterError> {
        let Range::Choice(words) = self.range(name) else {
            panic!("{}: parameter {name} is no choice", self.case.name)
        };
        let default = words.first().copied().unwrap_or_default();
        let Some(text) = self.given.get(name) else { return Ok(default) };
        let found = words.iter().find(|word| *word == text);
        found
            .copied()
            .ok_or_else(|| self.error(name, format!("\"{text}\" must be one of {}", words.join(", "))))
    }

    fn algorithm(&self) -> Result<&str, ParameterError> {
        let Range::Algorithm(default) = self.range("algorithm") else {
            panic!("{}: the algorithm is a number", self.case.name)
        };
        let Some(name) = self.given.get("algorithm") else { return Ok(default) };
        match mptcp_model::congestion::find(name) {
            Ok(found) => Ok(found.name),
            Err(error) => Err(self.error("algorithm", error.to_string())),
        }
    }
}

impl Case {
    /// The text of the scenario with these parameters; those not given have their defaults.
    ///
    /// # Errors
    /// If there is no such parameter, or its value is out of range.
    pub fn text(&'static self, given: &BTreeMap<String, String>) -> Result<String, ParameterError> {
        let values = Values { case: self, given };
        for name in given.keys() {
            if !self.parameters.iter().any(|parameter| parameter.name == name) {
                let known: Vec<_> = self.parameters.iter().map(|parameter| parameter.name).collect();
                return Err(values
                    .error(name, format!("there is no such parameter; there are: {}", known.join(", "))));
            }
        }
        let network = (self.write)(&values)?;
        let mut heading = self.description.to_owned();
        for parameter in self.parameters {
            let value = match parameter.range {
                Range::Number { .. } => values.number(parameter.name)?.to_string(),
                Range::Algorithm(_) => values.algorithm()?.to_owned(),
                Range::Choice(_) => values.word(parameter.name)?.to_owned(),
            };
            heading.push_str(&format!("\nparameters.{} = {value}: {}", parameter.name, parameter.meaning));
        }
        Ok(network.to_toml(self.title, &heading))
    }

    /// The scenario with its default parameters.
    ///
    /// # Errors
    /// As [`Scenario::from_toml`]; a test reads all of them.
    ///
    /// # Panics
    /// If the defaults are out of their own range, which a test excludes.
    pub fn scenario(&'static self) -> Result<Scenario, ScenarioErrors> {
        let text = self.text(&BTreeMap::new()).expect("defaults are in range");
        Scenario::from_toml(&text, &format!("{}.toml", self.name))
    }
}

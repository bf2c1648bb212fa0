//! The built-in scenarios.

use crate::error::ScenarioErrors;
use crate::scenario::Scenario;

/// A built-in scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

macro_rules! builtins {
    ($($name:literal),* $(,)?) => {
        &[$(Builtin { name: $name, text: include_str!(concat!("../library/", $name, ".toml")) }),*]
    };
}

const BUILTINS: &[Builtin] = builtins![
    "two-path",
    "two-path-first-failure",
    "two-path-second-failure",
    "two-path-subflow-fullmesh",
    "wifi-lte",
    "three-paths",
    "shared-bottleneck",
    "single-path-tcp",
    "echo",
    "lossy",
];

/// There is no built-in scenario of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no built-in scenario \"{name}\"; {help}")]
pub struct UnknownBuiltin {
    /// The name.
    pub name: String,
    /// The name meant, or the names there are.
    pub help: String,
}

/// All built-in scenarios, the default one first.
#[must_use]
pub const fn list() -> &'static [Builtin] {
    BUILTINS
}

/// The built-in scenario called `name`.
///
/// # Errors
/// If there is none; the error suggests the closest name.
pub fn get(name: &str) -> Result<Builtin, UnknownBuiltin> {
    BUILTINS.iter().find(|builtin| builtin.name == name).copied().ok_or_else(|| {
        // Who looks for one of the literature may have come here.
        let published = crate::published::list().iter().map(|case| case.name);
        let names: Vec<_> = BUILTINS.iter().map(|builtin| builtin.name).chain(published).collect();
        let help = match mptcp_model::suggest::closest(name, names.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("there are: {}", names.join(", ")),
        };
        UnknownBuiltin { name: name.to_owned(), help }
    })
}

impl Builtin {
    /// The scenario.
    ///
    /// # Errors
    /// As [`Scenario::from_toml`]; a test reads all of them.
    pub fn scenario(&self) -> Result<Scenario, ScenarioErrors> {
        Scenario::from_toml(self.text, &format!("{}.toml", self.name))
    }
}

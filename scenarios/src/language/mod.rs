//! From text to a [`Scenario`](crate::Scenario) and back: the document and its schema, the check of its
//! shape, the resolution of names and defaults, printing, and overrides.

pub(crate) mod document;
pub(crate) mod kinds;
mod overrides;
pub(crate) mod print;
pub(crate) mod resolve;
mod schema;
mod shape;
pub(crate) mod value;

pub use overrides::{OverrideError, apply_override};
pub use schema::schema;

use std::sync::Arc;

use crate::error::{Place, ScenarioError, ScenarioErrors, Source};
use crate::names::KnownNames;
use crate::scenario::Scenario;

impl Scenario {
    /// Reads and validates a scenario. `source_name` is what errors call the text, usually its file name.
    ///
    /// # Errors
    /// Everything found wrong: first the TOML syntax, then all unknown keys and malformed values together,
    /// then all names, addresses and combinations together.
    pub fn from_toml(text: &str, source_name: &str) -> Result<Self, ScenarioErrors> {
        Self::from_toml_with(text, source_name, &KnownNames::default())
    }

    /// As [`from_toml`](Self::from_toml), with other algorithms.
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml).
    pub fn from_toml_with(
        text: &str,
        source_name: &str,
        names: &KnownNames<'_>,
    ) -> Result<Self, ScenarioErrors> {
        let source = Arc::new(Source { name: source_name.to_owned(), text: text.to_owned() });
        let syntax = |error: &toml::de::Error| ScenarioError::Syntax {
            place: Place::new(&source, error.span().unwrap_or(0..0), ""),
            message: error.message().to_owned(),
        };
        let (table, errors) = toml::de::DeTable::parse_recoverable(text);
        ScenarioErrors::check(errors.iter().map(syntax).collect())?;
        ScenarioErrors::check(shape::check(&source, &table))?;
        let document: document::Document =
            toml::from_str(text).map_err(|error| ScenarioErrors::from(syntax(&error)))?;
        resolve::resolve(&source, &document, names)
    }

    /// Prints the scenario with all its defaults as a TOML document that is read back as the same scenario.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&print::document(self))
            .expect("a document consists of tables, arrays and scalars only")
    }
}

//! From text to a [`Scenario`](crate::Scenario) and back: the document and its schema, the check of its
//! shape, the resolution of names and defaults, printing, and overrides.

pub(crate) mod document;
pub(crate) mod kinds;
mod overrides;
pub(crate) mod print;
#[cfg(test)]
mod reference_tests;
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

    /// As [`from_toml_with`](Self::from_toml_with), after the overrides are applied in order (see
    /// [`apply_override`]). Mistakes that the text has by itself are reported in its own lines; those that
    /// come from an override refer to the text with the overrides in it.
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml); and [`ScenarioError::Override`] for overrides that cannot be
    /// applied.
    pub fn from_toml_with_overrides<S: AsRef<str>>(
        text: &str,
        source_name: &str,
        overrides: &[S],
        names: &KnownNames<'_>,
    ) -> Result<Self, ScenarioErrors> {
        let original = Self::from_toml_with(text, source_name, names);
        if overrides.is_empty() {
            return original;
        }
        if toml::from_str::<toml::Table>(text).is_err() {
            return original;
        }
        let text = with_overrides(text, source_name, overrides)?;
        let changed = Self::from_toml_with(&text, &format!("{source_name} with overrides"), names);
        match (original, changed) {
            (Err(errors), Err(_)) => Err(errors),
            (_, changed) => changed,
        }
    }

    /// Prints the scenario with all its defaults as a TOML document that is read back as the same scenario.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&print::document(self))
            .expect("a document consists of tables, arrays and scalars only")
    }
}

/// The text of a scenario with overrides applied in order (see [`apply_override`]), and with its name, which may come from
/// `source_name`. Comments are lost.
///
/// # Errors
/// If the text is not TOML, and [`ScenarioError::Override`] for all overrides that cannot be applied.
pub fn with_overrides<S: AsRef<str>>(
    text: &str,
    source_name: &str,
    overrides: &[S],
) -> Result<String, ScenarioErrors> {
    let mut table: toml::Table = toml::from_str(text).map_err(|error| {
        let source = Arc::new(Source { name: source_name.to_owned(), text: text.to_owned() });
        let place = Place::new(&source, error.span().unwrap_or(0..0), "");
        ScenarioErrors::from(ScenarioError::Syntax { place, message: error.message().to_owned() })
    })?;
    table.entry("name").or_insert_with(|| resolve::name_of_source(source_name).into());
    let mut errors = Vec::new();
    for text in overrides.iter().map(AsRef::as_ref) {
        if let Err(error) = apply_override(&mut table, text) {
            let source = Arc::new(Source { name: "--set".to_owned(), text: text.to_owned() });
            let path = match &error {
                OverrideError::Syntax { .. } => "",
                OverrideError::UnknownPath { path, .. } | OverrideError::NoEffect { path, .. } => path,
            };
            let end = if !path.is_empty() && text.starts_with(path) { path.len() } else { text.len() };
            errors.push(ScenarioError::Override { place: Place::new(&source, 0..end, path), error });
        }
    }
    ScenarioErrors::check(errors)?;
    Ok(table.to_string())
}

//! Errors in scenario files. Each knows its place (file, line, column, key), what is wrong and what
//! would be right, and exposes the span and the source text for a diagnostic printer.

use core::fmt;
use core::ops::Range;
use std::sync::Arc;

use crate::language::OverrideError;

/// A scenario text and what to call it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Where an error is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    source: Arc<Source>,
    span: Range<usize>,
    key: String,
}

impl Place {
    pub(crate) fn new(source: &Arc<Source>, span: Range<usize>, key: impl Into<String>) -> Self {
        let end = span.end.min(source.text.len());
        Self { source: Arc::clone(source), span: span.start.min(end)..end, key: key.into() }
    }

    /// Line and column, both from 1; columns count characters.
    #[must_use]
    pub fn line_column(&self) -> (usize, usize) {
        let mut start = self.span.start;
        while !self.source.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &self.source.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// What is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// Not TOML.
    #[error("{}: {message}", .place)]
    Syntax {
        /// Where.
        place: Place,
        /// What the TOML parser says.
        message: String,
    },
    /// A key the language does not have.
    #[error("{}: unknown key; {help}", .place)]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key meant, or the keys there are.
        help: String,
    },
    /// A key that must be there is not.
    #[error("{}: missing; {help}", .place)]
    MissingKey {
        /// The table that lacks it.
        place: Place,
        /// What to add.
        help: String,
    },
    /// A value of the wrong form: another TOML type, a quantity without its unit, bad `ip` words.
    #[error("{}: {message}; {help}", .place)]
    BadValue {
        /// Where.
        place: Place,
        /// What is wrong.
        message: String,
        /// What would be right.
        help: String,
    },
    /// A name of nothing: a host, interface, link, algorithm that does not exist.
    #[error("{}: {message}; {help}", .place)]
    UnknownName {
        /// Where.
        place: Place,
        /// What is wrong.
        message: String,
        /// The name meant, or the names there are.
        help: String,
    },
    /// Something that must be unique occurs twice.
    #[error("{}: {message}; {help}", .place)]
    Duplicate {
        /// The second occurrence.
        place: Place,
        /// What is wrong.
        message: String,
        /// What would be right.
        help: String,
    },
    /// Values that cannot stand together.
    #[error("{}: {message}; {help}", .place)]
    Conflict {
        /// Where.
        place: Place,
        /// What is wrong.
        message: String,
        /// What would be right.
        help: String,
    },
    /// What the simulated network cannot be, or does not do.
    #[error("{}: {message}{}", .place, .help.as_ref().map_or_else(String::new, |help| format!("; {help}")))]
    NotBuilt {
        /// Where.
        place: Place,
        /// What is wrong.
        message: String,
        /// What would be right, if that can be told.
        help: Option<String>,
    },
    /// An override that cannot be applied.
    #[error("{error}")]
    Override {
        /// The override itself.
        place: Place,
        /// Why.
        error: OverrideError,
    },
}

impl ScenarioError {
    /// Where the error is.
    #[must_use]
    pub const fn place(&self) -> &Place {
        match self {
            Self::Syntax { place, .. }
            | Self::UnknownKey { place, .. }
            | Self::MissingKey { place, .. }
            | Self::BadValue { place, .. }
            | Self::UnknownName { place, .. }
            | Self::Duplicate { place, .. }
            | Self::Conflict { place, .. }
            | Self::NotBuilt { place, .. }
            | Self::Override { place, .. } => place,
        }
    }

    /// Byte range in [`source_text`](Self::source_text).
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.place().span.clone()
    }

    /// The text the span refers to.
    #[must_use]
    pub fn source_text(&self) -> &str {
        &self.place().source.text
    }

    /// Name of the file or built-in scenario.
    #[must_use]
    pub fn source_name(&self) -> &str {
        &self.place().source.name
    }

    /// The key, with the keys above it: `links.p1.ab.rate`. Empty for the whole document.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.place().key
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Syntax { message, .. }
            | Self::BadValue { message, .. }
            | Self::UnknownName { message, .. }
            | Self::Duplicate { message, .. }
            | Self::Conflict { message, .. }
            | Self::NotBuilt { message, .. } => message,
            Self::UnknownKey { .. } => "unknown key",
            Self::Override { error: OverrideError::Syntax { .. }, .. } => "not of the form KEY.PATH=VALUE",
            Self::Override { error: OverrideError::UnknownPath { .. }, .. } => "no such key",
            Self::Override { error: OverrideError::NoEffect { .. }, .. } => "both directions have their own",
            Self::MissingKey { .. } => "missing",
        }
    }

    /// What would be right.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Syntax { .. } => None,
            Self::NotBuilt { help, .. } => help.as_deref(),
            Self::Override { error: OverrideError::Syntax { .. }, .. } => {
                Some("write KEY.PATH=VALUE, such as links.p1.rate=\"5 Mbit/s\"")
            }
            Self::Override {
                error: OverrideError::UnknownPath { help, .. } | OverrideError::NoEffect { help, .. },
                ..
            } => Some(help),
            Self::UnknownKey { help, .. }
            | Self::MissingKey { help, .. }
            | Self::BadValue { help, .. }
            | Self::UnknownName { help, .. }
            | Self::Duplicate { help, .. }
            | Self::Conflict { help, .. } => Some(help),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.source.name)?;
        if self.key.is_empty() { Ok(()) } else { write!(f, ": {}", self.key) }
    }
}

/// Everything found wrong with one scenario, in the order of the file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioErrors(Vec<ScenarioError>);

impl ScenarioErrors {
    /// `Ok` if nothing was found.
    pub(crate) fn check(mut errors: Vec<ScenarioError>) -> Result<(), Self> {
        if errors.is_empty() {
            return Ok(());
        }
        errors.sort_by_key(|error| error.span().start);
        errors.dedup();
        Err(Self(errors))
    }

    /// The errors.
    pub fn iter(&self) -> core::slice::Iter<'_, ScenarioError> {
        self.0.iter()
    }
}

impl From<ScenarioError> for ScenarioErrors {
    fn from(error: ScenarioError) -> Self {
        Self(vec![error])
    }
}

impl IntoIterator for ScenarioErrors {
    type Item = ScenarioError;
    type IntoIter = std::vec::IntoIter<ScenarioError>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a ScenarioErrors {
    type Item = &'a ScenarioError;
    type IntoIter = core::slice::Iter<'a, ScenarioError>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ScenarioErrors {
    /// One error a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl core::error::Error for ScenarioErrors {}

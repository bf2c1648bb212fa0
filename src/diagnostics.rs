//! Errors as miette prints them: with the place in the file, a label and what would be right.

use std::fmt;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use scenarios::ScenarioError;

/// An error in a scenario file.
#[derive(Debug)]
pub(crate) struct ScenarioReport {
    message: String,
    label: String,
    help: Option<String>,
    source: NamedSource<String>,
    span: std::ops::Range<usize>,
}

impl From<&ScenarioError> for ScenarioReport {
    fn from(error: &ScenarioError) -> Self {
        let (line, column) = error.place().line_column();
        let place = format!("{}:{line}:{column}", error.source_name());
        let message = match error.key() {
            "" => format!("{place}: {}", error.message()),
            key => format!("{place}: {key}: {}", error.message()),
        };
        Self {
            message,
            label: error.message().to_owned(),
            help: error.help().map(str::to_owned),
            source: NamedSource::new(error.source_name(), error.source_text().to_owned())
                .with_language("TOML"),
            span: error.span(),
        }
    }
}

impl fmt::Display for ScenarioReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ScenarioReport {}

impl Diagnostic for ScenarioReport {
    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(Some(self.label.clone()), self.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}

/// An error without a place in a text.
#[derive(Debug)]
pub(crate) struct Fault {
    message: String,
    help: Option<String>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<Option<String>>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl Diagnostic for Fault {
    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
}

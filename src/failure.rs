//! How a command can end badly, and how that is told.

use std::io;

use analysis::capture::CaptureError;
use miette::Diagnostic;

use crate::diagnostics::{Fault, ScenarioReport};

/// Why a command did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A check or a comparison failed; what and why has been printed.
    Check,
    /// Wrong usage or an error: everything found, in order.
    Errors(Vec<miette::Report>),
    /// Standard output could not be written.
    Output(io::Error),
}

impl Failure {
    /// One error.
    pub(crate) fn error(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self::Errors(vec![miette::Report::new(diagnostic)])
    }

    /// One error in words, with what would help.
    pub(crate) fn message(message: impl Into<String>, help: impl Into<Option<String>>) -> Self {
        Self::error(Fault::new(message, help))
    }

    /// A capture that cannot be read, or is none.
    pub(crate) fn capture(path: &std::path::Path, error: CaptureError) -> Self {
        match error {
            CaptureError::Unreadable(error) | CaptureError::Io { error, .. } => {
                Self::io("read", path, &error)
            }
            other => Self::message(
                format!("{}: {other}", path.display()),
                "captures are pcap or pcapng files, gzipped or not".to_owned(),
            ),
        }
    }

    /// An error of the file system at `path`.
    pub(crate) fn io(doing: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Self::message(format!("cannot {doing} {}: {error}", path.display()), None)
    }
}

impl From<&scenarios::ScenarioErrors> for Failure {
    fn from(errors: &scenarios::ScenarioErrors) -> Self {
        Self::Errors(errors.iter().map(|error| miette::Report::new(ScenarioReport::from(error))).collect())
    }
}

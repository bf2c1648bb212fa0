//! `mptcp-sim analyze`: the figures of captures, as text, JSON or CSV.

use std::path::{Path, PathBuf};

use analysis::capture::CaptureError;
use analysis::metrics::{self, Report, csv};
use analysis::vantage::{self, View, Warning, Watch};
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Destination, MANIFEST};
use crate::{print, results};

/// Arguments of `analyze`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AnalyzeArguments {
    /// Capture files, pcap or pcapng, gzipped or not
    #[arg(value_name = "CAPTURE", required = true)]
    pub(crate) captures: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write connections.csv, subflows.csv and events.csv to a directory, which must be new, empty or of an
    /// earlier run
    #[arg(long, value_name = "DIR")]
    pub(crate) csv: Option<PathBuf>,
}

/// What the directory of results is of.
#[derive(Serialize)]
struct Manifest<'a> {
    program: &'static str,
    version: &'static str,
    captures: &'a [PathBuf],
}

/// Reads one capture; a file that is none is an error, damage is a warning.
///
/// # Errors
/// If the file cannot be opened or is no capture.
pub(crate) fn read(path: &Path, watch: &mut impl Watch) -> Result<(Vec<View>, Vec<Warning>), Failure> {
    vantage::read(path, watch).map_err(|error| match error {
        CaptureError::Io { error, .. } => Failure::io("read", path, &error),
        other => Failure::message(
            format!("{}: {other}", path.display()),
            "captures are pcap or pcapng files, gzipped or not".to_owned(),
        ),
    })
}

/// Analyses all captures.
///
/// # Errors
/// If one cannot be read, or the output cannot be written.
pub(crate) fn analyze(arguments: &AnalyzeArguments) -> Result<(), Failure> {
    let AnalyzeArguments { captures, json, csv: directory } = arguments;
    let destination = directory.clone().map(Destination::new).transpose()?;
    let mut reports: Vec<Report> = Vec::new();
    let mut events = Vec::new();
    for path in captures {
        let (views, warnings) = read(path, &mut ())?;
        let file = path.display().to_string();
        for view in &views {
            let report = metrics::report(&file, view, &warnings);
            if !json {
                let separator = if reports.is_empty() { "" } else { "\n" };
                print(&format!("{separator}{report}"))?;
            }
            if destination.is_some() {
                events.extend(csv::events(&file, view));
            }
            reports.push(report);
        }
        if views.is_empty() {
            let empty = Report { file, warnings, ..Report::default() };
            if !json {
                print(&empty.to_string())?;
            }
            reports.push(empty);
        }
    }
    if *json {
        let text = serde_json::to_string_pretty(&reports);
        print(&(text.map_err(|error| Failure::message(error.to_string(), None))? + "\n"))?;
    }
    if let Some(destination) = destination {
        let directory = destination.create()?;
        results::write_series(&directory, "connections.csv", &csv::connections(&reports))?;
        results::write_series(&directory, "subflows.csv", &csv::subflows(&reports))?;
        results::write_series(&directory, "events.csv", &events)?;
        results::write_json(&directory, "report.json", &reports)?;
        results::write_json(
            &directory,
            MANIFEST,
            &Manifest { program: "mptcp-sim", version: env!("CARGO_PKG_VERSION"), captures },
        )?;
        directory.finish()?;
    }
    Ok(())
}

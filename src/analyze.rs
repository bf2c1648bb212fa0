//! `mptcp-sim analyze`: the figures of captures, as text, JSON, CSV and HTML.

use std::path::{Path, PathBuf};

use analysis::capture::CaptureError;
use analysis::conformance::{Checker, Finding};
use analysis::html::{self, Part};
use analysis::metrics::{self, Report, csv};
use analysis::plot::PlotError;
use analysis::sequence::{Course, Recorder};
use analysis::vantage::{self, View, Warning, Watch};
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, Destination, Directory, MANIFEST};
use crate::shell::quoted;
use crate::{print, report, results};

/// Arguments of `analyze`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AnalyzeArguments {
    /// Capture files, pcap or pcapng, gzipped or not
    #[arg(value_name = "CAPTURE", required = true)]
    pub(crate) captures: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Check against RFC 8684 and RFC 6824 too; exit with 1 if something is found
    #[arg(long)]
    pub(crate) check: bool,
    /// Write connections.csv, subflows.csv and events.csv to a directory, which must be new, empty or of an
    /// earlier run
    #[arg(long, value_name = "DIR")]
    pub(crate) csv: Option<PathBuf>,
    /// Write a report with figures and findings, one file that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write the figures of each connection and direction as SVG and PNG to a directory
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,
    /// Write the time sequence of each connection and direction for xplot to a directory
    #[arg(long, value_name = "DIR")]
    pub(crate) xplot: Option<PathBuf>,
}

/// What the directory of results is of.
#[derive(Serialize)]
struct Manifest<'a> {
    program: &'static str,
    version: &'static str,
    captures: &'a [PathBuf],
}

/// What is printed of a view as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<&'a [Finding]>,
}

/// A view of a capture with its figures.
struct Seen {
    view: View,
    report: Report,
    findings: Vec<Finding>,
    /// Index of the capture, and of the view in it.
    place: (usize, usize),
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
/// If one cannot be read, the output cannot be written, or a check found something.
pub(crate) fn analyze(arguments: &AnalyzeArguments) -> Result<(), Failure> {
    let AnalyzeArguments { captures, json, check, csv: csv_directory, html, plots, xplot } = arguments;
    let csv_destination = csv_directory.clone().map(Destination::new).transpose()?;
    let xplot_destination = xplot.clone().map(Destination::new).transpose()?;
    let plots_destination = plots.clone().map(Destination::new).transpose()?;
    let points = html.is_some() || plots.is_some() || xplot.is_some();
    let mut seen: Vec<Seen> = Vec::new();
    let mut recorders = Vec::new();
    for (index, path) in captures.iter().enumerate() {
        let (views, warnings, checker, recorder) = one(path, *check || html.is_some(), points)?;
        let file = path.display().to_string();
        if views.is_empty() {
            let told = warnings.iter().map(|warning| format!("{file}: {warning}\n")).collect::<Vec<_>>();
            report(&told);
        }
        for (number, view) in views.into_iter().enumerate() {
            let figures = metrics::report(&file, &view, &warnings);
            let findings: Vec<_> =
                checker.findings().iter().filter(|finding| finding.view == number).cloned().collect();
            if !json {
                let separator = if seen.is_empty() { "" } else { "\n" };
                print(&format!("{separator}{figures}"))?;
                if *check {
                    print(&findings_text(&findings))?;
                }
            }
            seen.push(Seen { view, report: figures, findings, place: (index, number) });
        }
        recorders.push(recorder);
    }
    if *json {
        let printed: Vec<_> = seen
            .iter()
            .map(|one| Printed { report: &one.report, findings: check.then_some(one.findings.as_slice()) })
            .collect();
        let text = serde_json::to_string_pretty(&printed);
        print(&(text.map_err(|error| Failure::message(error.to_string(), None))? + "\n"))?;
    }
    if let Some(destination) = csv_destination {
        write_csv(&destination, captures, &seen)?;
    }
    if let Some(destination) = xplot_destination {
        each_course(&destination, captures, &seen, &recorders, |directory, name, title, course| {
            directory.write(&format!("{name}.xpl"), course.xplot(title))
        })?;
    }
    if let Some(destination) = plots_destination {
        each_course(&destination, captures, &seen, &recorders, draw)?;
    }
    if let Some(file) = html {
        let parts: Vec<_> = seen
            .iter()
            .map(|one| Part {
                report: &one.report,
                view: &one.view,
                points: recorders[one.place.0].points(one.place.1),
                findings: &one.findings,
            })
            .collect();
        let names: Vec<_> = captures.iter().map(|path| quoted(&path.to_string_lossy())).collect();
        let command =
            format!("mptcp-sim analyze {} --html {}", names.join(" "), quoted(&file.to_string_lossy()));
        let failed = |error: PlotError| Failure::message(error.to_string(), None);
        output::write_file(file, &html::page(&parts, &command).map_err(failed)?)?;
    }
    if *check && seen.iter().any(|one| !one.findings.is_empty()) { Err(Failure::Check) } else { Ok(()) }
}

type Read = (Vec<View>, Vec<Warning>, Checker, Recorder);

fn one(path: &Path, check: bool, points: bool) -> Result<Read, Failure> {
    let (mut checker, mut recorder) = (Checker::default(), Recorder::default());
    let (views, warnings) = match (check, points) {
        (false, false) => read(path, &mut ())?,
        (true, false) => read(path, &mut checker)?,
        (false, true) => read(path, &mut recorder)?,
        (true, true) => {
            let mut both = (checker, recorder);
            let read = read(path, &mut both)?;
            (checker, recorder) = both;
            read
        }
    };
    if recorder.left_out() > 0 {
        report(&[format!("{}: {} packets are not in the figures\n", path.display(), recorder.left_out())]);
    }
    Ok((views, warnings, checker, recorder))
}

fn findings_text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "\nno violation found\n".to_owned();
    }
    let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    format!("\n{lines}")
}

fn write_csv(destination: &Destination, captures: &[PathBuf], seen: &[Seen]) -> Result<(), Failure> {
    let directory = destination.create()?;
    let reports: Vec<_> = seen.iter().map(|one| one.report.clone()).collect();
    let events: Vec<_> = seen.iter().flat_map(|one| csv::events(&one.report.file, &one.view)).collect();
    results::write_series(&directory, "connections.csv", &csv::connections(&reports))?;
    results::write_series(&directory, "subflows.csv", &csv::subflows(&reports))?;
    results::write_series(&directory, "events.csv", &events)?;
    results::write_json(&directory, "report.json", &reports)?;
    finish(directory, captures)
}

/// Calls `write` for each direction of each connection that carried data, with a name for its files and a title.
fn each_course(
    destination: &Destination,
    captures: &[PathBuf],
    seen: &[Seen],
    recorders: &[Recorder],
    write: impl Fn(&Directory, &str, &str, &Course<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let directory = destination.create()?;
    for (number, one) in seen.iter().enumerate() {
        let points = recorders[one.place.0].points(one.place.1);
        let connections = one.view.reconstruction.connections();
        let connections = connections.iter().filter(|connection| !connection.flows.is_empty());
        for (index, connection) in connections.enumerate() {
            for side in (0..2).filter(|&side| connection.streams[side].counts.new > 0) {
                let course = Course::new(&one.view, points, &connection.flows, side);
                let sender = if side == 0 { "initiator" } else { "responder" };
                let title = format!("{}, connection {index}, data of the {sender}", one.view.name);
                write(&directory, &format!("view{number}-connection{index}-{sender}"), &title, &course)?;
            }
        }
    }
    finish(directory, captures)
}

fn draw(directory: &Directory, name: &str, title: &str, course: &Course<'_>) -> Result<(), Failure> {
    let charts = [
        ("sequence", course.time_sequence(title)),
        ("goodput", course.goodput(title)),
        ("rtt", course.rtt_distribution(title)),
    ];
    for (kind, chart) in charts.iter().filter(|(_, chart)| !chart.lines.is_empty()) {
        for ending in ["svg", "png"] {
            let failed = |error: PlotError| Failure::message(error.to_string(), None);
            chart.write(&directory.path(&format!("{name}-{kind}.{ending}"))).map_err(failed)?;
        }
    }
    Ok(())
}

fn finish(directory: Directory, captures: &[PathBuf]) -> Result<(), Failure> {
    let manifest = Manifest { program: "mptcp-sim", version: env!("CARGO_PKG_VERSION"), captures };
    results::write_json(&directory, MANIFEST, &manifest)?;
    directory.finish()
}

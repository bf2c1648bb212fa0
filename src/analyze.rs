//! `mptcp-sim analyze`: the figures of captures, as text, JSON, CSV and HTML.

use std::path::{Path, PathBuf};

use analysis::conformance::{Checker, Finding};
use analysis::delays::{self, Delays};
use analysis::html::{self, Part};
use analysis::intervals::Intervals;
use analysis::ladder::Ladder;
use analysis::metrics::{self, Report, csv};
use analysis::plot::PlotError;
use analysis::sequence::{Course, Point, Recorder};
use analysis::vantage::{self, Taken, View, Warning, Watch};
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, Contents, Destination, Directory, MANIFEST};
use crate::shell::quoted;
use crate::{report, results, tell};

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
    /// Match the packets of the captures, or of the hosts in a capture, with each other: one-way delays and losses
    /// of each subflow and direction
    #[arg(long)]
    pub(crate) delays: bool,
    /// Write connections.csv, subflows.csv, intervals.csv, addresses.csv and events.csv (and delays.csv) to a
    /// directory, which must be new, empty or of an earlier run
    #[arg(long, value_name = "DIR")]
    pub(crate) csv: Option<PathBuf>,
    /// Length of the intervals of intervals.csv, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = crate::args::interval)]
    pub(crate) interval: f64,
    /// Write a report with figures and findings, one file that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write the figures of each connection and direction, its signalling, and delays if asked for, as SVG and PNG to a
    /// directory
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

/// Views, and the delays between them.
#[derive(Serialize)]
struct PrintedBoth<'a> {
    views: Vec<Printed<'a>>,
    delays: &'a [Delays],
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
    vantage::read(path, watch).map_err(|error| Failure::capture(path, error))
}

/// Analyses all captures.
///
/// # Errors
/// If one cannot be read, the output cannot be written, or a check found something.
pub(crate) fn analyze(arguments: &AnalyzeArguments) -> Result<(), Failure> {
    let AnalyzeArguments { captures, json, check, delays, csv: csv_directory, interval, html, plots, xplot } =
        arguments;
    let directories: Vec<_> = [csv_directory, xplot, plots].into_iter().flatten().collect();
    if let Some(twice) =
        (1..directories.len()).find(|&place| directories[..place].contains(&directories[place]))
    {
        let message = format!("{} is named twice", directories[twice].display());
        let help = "name a directory each for --csv, --plots and --xplot";
        return Err(Failure::message(message, help.to_owned()));
    }
    let destination = |path: &Option<PathBuf>| {
        path.clone().map(|path| Destination::new(path, Contents::Analysis)).transpose()
    };
    let (csv_destination, xplot_destination, plots_destination) =
        (destination(csv_directory)?, destination(xplot)?, destination(plots)?);
    let mut seen: Vec<Seen> = Vec::new();
    let mut watchers = Vec::new();
    for (index, path) in captures.iter().enumerate() {
        let mut watcher = Watcher {
            checker: (*check || html.is_some()).then(Checker::default),
            points: (html.is_some() || plots.is_some() || xplot.is_some()).then(Recorder::default),
            passed: delays.then(delays::Recorder::default),
            intervals: csv_directory.is_some().then(|| Intervals::new(*interval)),
        };
        let (views, warnings) = read(path, &mut watcher)?;
        watcher.tell_left_out(path);
        let file = path.display().to_string();
        if views.is_empty() {
            let told = warnings.iter().map(|warning| format!("{file}: {warning}\n")).collect::<Vec<_>>();
            report(&told);
        }
        for (number, view) in views.into_iter().enumerate() {
            let figures = metrics::report(&file, &view, &warnings);
            let findings = watcher.checker.as_ref().map_or(&[][..], Checker::findings);
            let findings: Vec<_> =
                findings.iter().filter(|finding| finding.view == number).cloned().collect();
            if !json {
                let separator = if seen.is_empty() { "" } else { "\n" };
                tell(&format!("{separator}{figures}"))?;
                if *check {
                    tell(&findings_text(&findings))?;
                }
            }
            seen.push(Seen { view, report: figures, findings, place: (index, number) });
        }
        watchers.push(watcher);
    }
    let found = if *delays { between(&seen, &watchers) } else { Vec::new() };
    if *json {
        let views: Vec<_> = seen
            .iter()
            .map(|one| Printed { report: &one.report, findings: check.then_some(one.findings.as_slice()) })
            .collect();
        let text = if *delays {
            serde_json::to_string_pretty(&PrintedBoth { views, delays: &found })
        } else {
            serde_json::to_string_pretty(&views)
        };
        tell(&(text.map_err(|error| Failure::message(error.to_string(), None))? + "\n"))?;
    } else if *delays {
        if found.is_empty() {
            tell("\nno two captures or hosts saw the same flow\n")?;
        }
        found.iter().try_for_each(|one| tell(&format!("\n{one}")))?;
    }
    if let Some(destination) = csv_destination {
        write_csv(&destination, captures, &seen, &watchers, &found)?;
    }
    if let Some(destination) = xplot_destination {
        let directory = destination.create()?;
        each_course(&directory, &seen, &watchers, |directory, name, title, course| {
            directory.write(&format!("{name}.xpl"), course.xplot(title))
        })?;
        finish(directory, captures)?;
    }
    if let Some(destination) = plots_destination {
        let directory = destination.create()?;
        each_course(&directory, &seen, &watchers, draw)?;
        ladders(&directory, &seen)?;
        for (number, one) in found.iter().enumerate() {
            pictures(&directory, &format!("delays{number}"), |path| one.chart().write(path))?;
        }
        finish(directory, captures)?;
    }
    if let Some(file) = html {
        let parts: Vec<_> = seen
            .iter()
            .map(|one| Part {
                report: &one.report,
                view: &one.view,
                points: watchers[one.place.0].points(one.place.1),
                findings: &one.findings,
            })
            .collect();
        let names: Vec<_> = captures.iter().map(|path| quoted(&path.to_string_lossy())).collect();
        let options = if *delays { " --delays" } else { "" };
        let file_name = quoted(&file.to_string_lossy());
        let command = format!("mptcp-sim analyze {}{options} --html {file_name}", names.join(" "));
        let failed = |error: PlotError| Failure::message(error.to_string(), None);
        output::write_file(file, &html::page(&parts, &found, &command).map_err(failed)?)?;
    }
    if *check && seen.iter().any(|one| !one.findings.is_empty()) { Err(Failure::Check) } else { Ok(()) }
}

/// What watches a capture while it is read.
struct Watcher {
    checker: Option<Checker>,
    points: Option<Recorder>,
    passed: Option<delays::Recorder>,
    intervals: Option<Intervals>,
}

impl Watch for Watcher {
    fn packet(&mut self, taken: &Taken<'_>) {
        self.checker.packet(taken);
        self.points.packet(taken);
        self.passed.packet(taken);
        self.intervals.packet(taken);
    }
}

impl Watcher {
    fn points(&self, view: usize) -> &[Point] {
        self.points.as_ref().map_or(&[], |recorder| recorder.points(view))
    }

    fn tell_left_out(&self, path: &Path) {
        let points = self.points.as_ref().map_or(0, Recorder::left_out);
        let passed = self.passed.as_ref().map_or(0, delays::Recorder::left_out);
        for (count, what) in [(points, "in the figures"), (passed, "matched")] {
            if count > 0 {
                report(&[format!("{}: {count} packets are not {what}\n", path.display())]);
            }
        }
    }
}

/// The delays between all views.
fn between(seen: &[Seen], watchers: &[Watcher]) -> Vec<Delays> {
    let points: Vec<_> = seen
        .iter()
        .filter_map(|one| {
            let recorder = watchers[one.place.0].passed.as_ref()?;
            Some(delays::Point { view: &one.view, index: one.place.1, recorder })
        })
        .collect();
    delays::delays(&points)
}

fn findings_text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "\nno violation found\n".to_owned();
    }
    let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    format!("\n{lines}")
}

fn write_csv(
    destination: &Destination,
    captures: &[PathBuf],
    seen: &[Seen],
    watchers: &[Watcher],
    delays: &[Delays],
) -> Result<(), Failure> {
    let directory = destination.create()?;
    let reports: Vec<_> = seen.iter().map(|one| one.report.clone()).collect();
    let events: Vec<_> = seen.iter().flat_map(|one| csv::events(&one.report.file, &one.view)).collect();
    results::write_series(&directory, "connections.csv", &csv::connections(&reports))?;
    results::write_series(&directory, "subflows.csv", &csv::subflows(&reports))?;
    results::write_series(&directory, "events.csv", &events)?;
    results::write_series(&directory, "addresses.csv", &csv::addresses(&reports))?;
    let intervals: Vec<_> = seen
        .iter()
        .flat_map(|one| {
            let intervals = watchers[one.place.0].intervals.as_ref();
            intervals.map_or_else(Vec::new, |all| all.rows(&one.report.file, &one.view, one.place.1))
        })
        .collect();
    results::write_series(&directory, "intervals.csv", &intervals)?;
    if !delays.is_empty() {
        results::write_series(&directory, "delays.csv", &csv::delays(delays))?;
    }
    results::write_json(&directory, "report.json", &reports)?;
    finish(directory, captures)
}

/// Calls `write` for each direction of each connection that carried data, with a name for its files and a title.
fn each_course(
    directory: &Directory,
    seen: &[Seen],
    watchers: &[Watcher],
    write: impl Fn(&Directory, &str, &str, &Course<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for (number, one) in seen.iter().enumerate() {
        let points = watchers[one.place.0].points(one.place.1);
        let connections = one.view.reconstruction.connections();
        let connections = connections.iter().filter(|connection| !connection.flows.is_empty());
        for (index, connection) in connections.enumerate() {
            for side in (0..2).filter(|&side| connection.streams[side].counts.new > 0) {
                let course = Course::new(&one.view, points, &connection.flows, side);
                let sender = if side == 0 { "initiator" } else { "responder" };
                let title = format!("{}, connection {index}, data of the {sender}", one.view.name);
                write(directory, &format!("view{number}-connection{index}-{sender}"), &title, &course)?;
            }
        }
    }
    Ok(())
}

/// The signalling of each connection.
fn ladders(directory: &Directory, seen: &[Seen]) -> Result<(), Failure> {
    for (number, one) in seen.iter().enumerate() {
        let connections = one.view.reconstruction.connections();
        let connections = connections.iter().filter(|connection| !connection.flows.is_empty());
        for (index, connection) in connections.enumerate() {
            let ladder = Ladder::new(&one.view, index, connection);
            let name = format!("view{number}-connection{index}-ladder");
            pictures(directory, &name, |path| ladder.write(path))?;
        }
    }
    Ok(())
}

/// Writes a picture as SVG and PNG.
fn pictures(
    directory: &Directory,
    name: &str,
    write: impl Fn(&Path) -> Result<(), PlotError>,
) -> Result<(), Failure> {
    for ending in ["svg", "png"] {
        let failed = |error: PlotError| Failure::message(error.to_string(), None);
        write(&directory.path(&format!("{name}.{ending}"))).map_err(failed)?;
    }
    Ok(())
}

fn draw(directory: &Directory, name: &str, title: &str, course: &Course<'_>) -> Result<(), Failure> {
    let charts = course.charts(title);
    charts.iter().try_for_each(|(kind, chart)| {
        pictures(directory, &format!("{name}-{kind}"), |path| chart.write(path))
    })
}

fn finish(directory: Directory, captures: &[PathBuf]) -> Result<(), Failure> {
    let manifest = Manifest { program: "mptcp-sim", version: env!("CARGO_PKG_VERSION"), captures };
    results::write_json(&directory, MANIFEST, &manifest)?;
    directory.finish()
}

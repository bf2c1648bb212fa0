//! `mptcp-sim replicate`: measured runs, their simulated counterparts, and the comparison.

use std::fmt::Write as _;
use std::path::Path;

use analysis::compare::{Comparison, Tolerances, Verdict, compare};
use analysis::groundtruth::GroundTruth;
use scenarios::groundtruth::{self, ImportError};
use scenarios::run::BoxOutcome;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Destination;
use crate::shell::quoted;
use crate::simulate::{Simulated, Watch, simulate};
use crate::{figures, print, results};

/// Cases to repeat.
#[derive(Debug)]
pub(crate) struct Replication {
    pub(crate) cases: Vec<Case>,
    /// Print JSON instead of tables.
    pub(crate) json: bool,
    /// Spread of repetitions of the measured runs, relative to the median.
    pub(crate) spread: f64,
}

/// One measured run.
#[derive(Debug)]
pub(crate) struct Case {
    /// What was measured.
    truth: GroundTruth,
    /// How to repeat it.
    imported: groundtruth::GroundTruth,
    /// Where its results go, if anywhere.
    destination: Option<Destination>,
    /// The command that repeats it.
    command: String,
}

/// A comparison with what the scenario had to leave out.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    comparison: Comparison,
    left_out: Vec<String>,
}

impl Case {
    /// Reads a case from a file.
    ///
    /// # Errors
    /// If there is none in it, or its results would overwrite something else.
    pub(crate) fn read(path: &Path, seed: Option<u64>, out: Option<&Path>) -> Result<Self, Failure> {
        let named = |what: String| Failure::message(format!("{}: {what}", path.display()), None);
        let json = std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))?;
        let truth = GroundTruth::from_json(json.as_bytes()).map_err(|error| named(error.to_string()))?;
        let mut imported = groundtruth::import(&json).map_err(|error| match error {
            ImportError::Scenario(errors) => Failure::from(&errors),
            other => named(other.to_string()),
        })?;
        let mut command = format!("mptcp-sim replicate {}", quoted(&path.to_string_lossy()));
        if let Some(seed) = seed {
            imported.scenario.seed = seed;
            let _ = write!(command, " --seed {seed}");
        }
        let destination = out.map(|out| Destination::new(out.join(&imported.scenario.name))).transpose()?;
        Ok(Self { truth, imported, destination, command })
    }
}

/// Repeats and compares all cases.
///
/// # Errors
/// If a run or its output fails, or an aspect of a case is outside its tolerance.
pub(crate) fn replicate(replication: &Replication) -> Result<(), Failure> {
    let Replication { cases, json, spread } = replication;
    let tolerances = Tolerances::for_spread(*spread);
    let mut reports = Vec::new();
    for case in cases {
        let report = repeat(case, &tolerances)?;
        if !json {
            let separator = if reports.is_empty() { "" } else { "\n" };
            print(&format!("{separator}{}", table(&report)))?;
        }
        reports.push(report);
    }
    if *json {
        let text = serde_json::to_string_pretty(&reports);
        print(&(text.map_err(|error| Failure::message(error.to_string(), None))? + "\n"))?;
    } else if reports.len() > 1 {
        print(&format!("\n{}", overview(&reports)))?;
    }
    let failed = reports.iter().any(|report| report.comparison.verdict == Verdict::Fail);
    if failed { Err(Failure::Check) } else { Ok(()) }
}

fn repeat(case: &Case, tolerances: &Tolerances) -> Result<Report, Failure> {
    let scenario = &case.imported.scenario;
    let directory = case.destination.as_ref().map(Destination::create).transpose()?;
    let capture = directory.as_ref().map(|directory| directory.path(results::CAPTURE));
    let mut simulated = simulate(scenario, Watch { capture: capture.as_deref(), analyse: true })?;
    let summary = figures::summary(scenario, &simulated.outcome);
    let analysis = std::mem::take(&mut simulated.analysis);
    let measured = figures::results(&case.truth, &summary, &simulated, analysis);
    let comparison = compare(&case.truth, &measured, tolerances);
    let left_out = case.imported.unsupported.iter().map(ToString::to_string).collect();
    let report = Report { comparison, left_out };
    if let Some(directory) = directory {
        results::write_json(&directory, "comparison.json", &report)?;
        results::write(&directory, scenario, &simulated, scenario.output.plots, &case.command)?;
        directory.finish()?;
    }
    damage(&simulated)?;
    Ok(report)
}

/// A damaged stream is an error of the simulator, not a difference between two runs, unless a box rewrites it.
fn damage(simulated: &Simulated) -> Result<(), Failure> {
    let rewrites = |placed: &BoxOutcome| ["payload", "gateway"].contains(&placed.kind.as_str());
    if simulated.outcome.boxes.iter().any(|placed| rewrites(placed) && placed.counters.changed > 0) {
        return Ok(());
    }
    let damaged = simulated.outcome.flows.iter().find(|flow| !flow.violations.is_empty());
    damaged.map_or(Ok(()), |flow| {
        Err(Failure::message(
            format!("stream of flow {} damaged: {}", flow.name, flow.violations.join("; ")),
            None,
        ))
    })
}

fn table(report: &Report) -> String {
    let mut text = report.comparison.to_string();
    for what in &report.left_out {
        let _ = writeln!(text, "left out of the scenario: {what}");
    }
    text
}

/// One line a case.
fn overview(reports: &[Report]) -> String {
    let names = reports.iter().map(|report| report.comparison.name.chars().count());
    let width = names.max().unwrap_or(0).max("case".len());
    let mut text = format!("{:<width$}  verdict  pass  fail  info  first failure\n", "case");
    for Report { comparison, .. } in reports {
        let failure = comparison.rows.iter().find(|row| row.verdict == Verdict::Fail);
        let line = format!(
            "{:<width$}  {:<7}  {:>4}  {:>4}  {:>4}  {}",
            comparison.name,
            comparison.verdict.to_string(),
            comparison.count(Verdict::Pass),
            comparison.count(Verdict::Fail),
            comparison.count(Verdict::Info),
            failure.map_or("", |row| row.aspect.as_str()),
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let count = |verdict| reports.iter().filter(|report| report.comparison.verdict == verdict).count();
    let _ = writeln!(
        text,
        "{} cases: {} pass, {} fail, {} not judged",
        reports.len(),
        count(Verdict::Pass),
        count(Verdict::Fail),
        count(Verdict::Info)
    );
    text
}

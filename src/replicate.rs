//! `mptcp-sim replicate`: measured runs, their simulated counterparts, and the comparison.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use analysis::compare::report::{self, Case as Reported};
use analysis::compare::{Comparison, Spread, Tolerances, Verdict, compare_runs};
use analysis::groundtruth::{GroundTruth, Results};
use analysis::plot::PlotError;
use rayon::prelude::*;
use scenarios::Scenario;
use scenarios::groundtruth::{self, ImportError};
use scenarios::run::BoxOutcome;
use serde::{Deserialize, Serialize};
use sim_core::Duration;

use crate::args::ReplicateArguments;
use crate::failure::Failure;
use crate::output::{self, Contents, Destination};
use crate::shell::quoted;
use crate::simulate::{Simulated, Watch, simulate};
use crate::{figures, results, source, tell};

/// Cases to repeat.
#[derive(Debug)]
pub(crate) struct Replication {
    cases: Vec<Case>,
    /// Simulated runs of each case.
    seeds: u32,
    /// How far repetitions of the measured runs spread.
    spread: Spreads,
    /// Print JSON instead of tables.
    json: bool,
    /// Where a report and a table go.
    html: Option<PathBuf>,
    markdown: Option<PathBuf>,
    /// The command that repeats all.
    command: String,
}

/// A measured case: one run, or several of the same name.
#[derive(Debug)]
struct Case {
    /// What was measured, by run.
    truths: Vec<GroundTruth>,
    /// How to repeat it.
    imported: groundtruth::GroundTruth,
    /// Where its results go, if anywhere.
    destination: Option<Destination>,
    /// The command that repeats it.
    command: String,
}

/// Spread of repetitions of the measured runs.
#[derive(Clone, Debug)]
enum Spreads {
    /// The same for all.
    Every(Spread),
    /// By name of the case.
    Named(BTreeMap<String, Spread>),
}

/// A comparison with what the scenario had to leave out.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    comparison: Comparison,
    left_out: Vec<String>,
}

/// A line of a file of spreads, in percent.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Percent {
    /// Of all figures.
    All(f64),
    /// Figure by figure.
    Each(Spread),
}

impl From<Percent> for Spread {
    fn from(percent: Percent) -> Self {
        let part = |percent: f64| percent / 100.0;
        match percent {
            Percent::All(all) => Self { goodput: part(all), ..Self::default() },
            Percent::Each(Spread { goodput, share, join, retransmissions, cwnd }) => Self {
                goodput: part(goodput),
                share: share.map(part),
                join: join.map(part),
                retransmissions: retransmissions.map(part),
                cwnd: cwnd.map(part),
            },
        }
    }
}

impl Spreads {
    /// A percentage, or a file.
    fn read(text: &str) -> Result<Self, Failure> {
        if let Ok(percent) = text.trim_end_matches('%').trim_end().parse::<f64>() {
            if (0.0..=1000.0).contains(&percent) {
                return Ok(Self::Every(Percent::All(percent).into()));
            }
            let help = "write a percentage, 0 to 1000, or the name of a TOML file";
            return Err(Failure::message(format!("--spread {text} is out of range"), help.to_owned()));
        }
        let help = "a line a case: NAME = PERCENT, or NAME = { goodput = PERCENT, share = PERCENT, join = PERCENT, \
                    retransmissions = PERCENT, cwnd = PERCENT }";
        let read: BTreeMap<String, Percent> = source::toml(Path::new(text), help)?;
        Ok(Self::Named(read.into_iter().map(|(name, percent)| (name, percent.into())).collect()))
    }

    fn of(&self, case: &str) -> Spread {
        match self {
            Self::Every(spread) => *spread,
            Self::Named(named) => named.get(case).copied().unwrap_or_default(),
        }
    }
}

impl Replication {
    /// Reads all cases. Files of one name are runs of one case.
    ///
    /// # Errors
    /// If a file is no case, or results would overwrite something else.
    pub(crate) fn new(arguments: ReplicateArguments, files: Vec<PathBuf>) -> Result<Self, Failure> {
        let ReplicateArguments { files: named, out, seed, seeds, json, html, markdown, spread } = arguments;
        let mut cases: Vec<Case> = Vec::new();
        let mut errors = Vec::new();
        for path in files {
            let named = |what: String| Failure::message(format!("{}: {what}", path.display()), None);
            let text = std::fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))?;
            let truth = GroundTruth::from_json(text.as_bytes()).map_err(|error| named(error.to_string()));
            let truth = match truth {
                Ok(truth) => truth,
                Err(Failure::Errors(found)) => {
                    errors.extend(found);
                    continue;
                }
                Err(other) => return Err(other),
            };
            if let Some(known) = cases.iter_mut().find(|case| case.truths[0].name == truth.name) {
                let _ = write!(known.command, " {}", quoted(&path.to_string_lossy()));
                known.truths.push(truth);
                continue;
            }
            match Case::new(&path, &text, truth, out.as_deref()) {
                Ok(case) => cases.push(case),
                Err(Failure::Errors(found)) => errors.extend(found),
                Err(other) => return Err(other),
            }
        }
        if !errors.is_empty() {
            return Err(Failure::Errors(errors));
        }
        let mut options = String::new();
        for (name, value) in [
            ("--seed", seed.map(|seed| seed.to_string())),
            ("--seeds", (seeds > 1).then(|| seeds.to_string())),
            ("--spread", (spread != "0").then(|| quoted(&spread))),
        ] {
            if let Some(value) = value {
                let _ = write!(options, " {name} {value}");
            }
        }
        for case in &mut cases {
            case.imported.scenario.seed = seed.unwrap_or(case.imported.scenario.seed);
            case.command.push_str(&options);
        }
        let named: Vec<_> = named.iter().map(|path| quoted(&path.to_string_lossy())).collect();
        let command = format!("mptcp-sim replicate {}{options}", named.join(" "));
        Ok(Self { cases, seeds, spread: Spreads::read(&spread)?, json, html, markdown, command })
    }
}

impl Case {
    fn new(path: &Path, json: &str, truth: GroundTruth, out: Option<&Path>) -> Result<Self, Failure> {
        let named = |what: String| Failure::message(format!("{}: {what}", path.display()), None);
        let mut imported = groundtruth::import(json).map_err(|error| match error {
            ImportError::Scenario(errors) => Failure::from(&errors),
            other => named(other.to_string()),
        })?;
        let step = truth.results.sampling_step().map(Duration::from_secs_f64);
        if let Some(step) = step.filter(|step| *step >= Duration::from_millis(1)) {
            imported.scenario.output.sample_interval = step;
        }
        let command = format!("mptcp-sim replicate {}", quoted(&path.to_string_lossy()));
        let place = |out: &Path| Destination::new(out.join(&imported.scenario.name), Contents::Run);
        let destination = out.map(place).transpose()?;
        Ok(Self { truths: vec![truth], imported, destination, command })
    }

    /// The simulated runs; the first is written, if the case has a destination.
    fn simulate(&self, seeds: u32, tolerances: &Tolerances) -> Result<(Vec<Results>, Report), Failure> {
        let scenario = self.imported.repetition(0);
        let directory = self.destination.as_ref().map(Destination::create).transpose()?;
        let capture = directory.as_ref().map(|directory| directory.path(results::CAPTURE));
        let (simulated, first) = self.one(&scenario, capture.as_deref())?;
        let others: Vec<Results> = (1..seeds)
            .into_par_iter()
            .map(|number| self.one(&self.imported.repetition(number), None).map(|(_, results)| results))
            .collect::<Result<_, _>>()?;
        let runs: Vec<_> = std::iter::once(first).chain(others).collect();
        let comparison = compare_runs(&self.truths, &runs, tolerances);
        let left_out = self.imported.unsupported.iter().map(ToString::to_string).collect();
        let report = Report { comparison, left_out };
        if let Some(directory) = directory {
            results::write_json(&directory, "comparison.json", &report)?;
            results::write(&directory, &scenario, &simulated, scenario.output.plots, &self.command)?;
            directory.finish()?;
        }
        damage(&simulated)?;
        Ok((runs, report))
    }

    fn one(&self, scenario: &Scenario, capture: Option<&Path>) -> Result<(Simulated, Results), Failure> {
        let mut simulated = simulate(scenario, Watch { capture, analyse: true })?;
        let summary = figures::summary(scenario, &simulated.outcome);
        let analysis = std::mem::take(&mut simulated.analysis);
        let mut results = figures::results(&self.truths[0], &summary, &simulated.outcome, analysis);
        results.add_samples(&simulated.samples.subflows);
        Ok((simulated, results))
    }
}

/// Repeats and compares all cases.
///
/// # Errors
/// If a run or its output fails, or an aspect of a case is outside its tolerance.
pub(crate) fn replicate(replication: &Replication) -> Result<(), Failure> {
    let Replication { cases, seeds, spread, json, html, markdown, command } = replication;
    let mut reports = Vec::new();
    let mut runs = Vec::new();
    for case in cases {
        let tolerances = Tolerances::default().widened(&spread.of(&case.truths[0].name));
        let (simulated, report) = case.simulate(*seeds, &tolerances)?;
        if !json {
            let separator = if reports.is_empty() { "" } else { "\n" };
            tell(&format!("{separator}{}", table(&report)))?;
        }
        reports.push(report);
        runs.push(simulated);
    }
    let comparisons = reports.iter().map(|report| &report.comparison);
    if *json {
        let text = serde_json::to_string_pretty(&reports);
        tell(&(text.map_err(|error| Failure::message(error.to_string(), None))? + "\n"))?;
    } else if reports.len() > 1 {
        tell(&format!("\n{}", report::text(comparisons.clone())))?;
    }
    if let Some(file) = markdown {
        output::write_file(file, report::markdown(comparisons.clone()))?;
    }
    if let Some(file) = html {
        let told: Vec<_> = (cases.iter().zip(&reports).zip(&runs))
            .map(|((case, report), simulated)| Reported {
                comparison: &report.comparison,
                real: &case.truths,
                simulated,
                left_out: &report.left_out,
            })
            .collect();
        let command = format!("{command} --html {}", quoted(&file.to_string_lossy()));
        let page = report::page(&told, &command);
        let failed = |error: PlotError| Failure::message(error.to_string(), None);
        output::write_file(file, page.map_err(failed)?)?;
    }
    let failed = comparisons.clone().any(|comparison| comparison.verdict == Verdict::Fail);
    if failed { Err(Failure::Check) } else { Ok(()) }
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

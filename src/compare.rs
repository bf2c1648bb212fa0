//! `mptcp-sim compare`: two runs, captures or measurements, aspect by aspect.

use std::path::{Path, PathBuf};

use analysis::compare::distributions::{compare_runs, runs_below};
use analysis::compare::sides::{Side, align};
use analysis::compare::{Comparison, Tolerances, Verdict, compare as compared};
use analysis::groundtruth::GroundTruth;
use clap::Args;

use crate::failure::Failure;
use crate::{output, print, source};

/// Arguments of `compare`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareArguments {
    /// Directory of a run, directory of several runs, capture, several captures of one run with commas between, or
    /// ground truth (.json)
    #[arg(value_name = "A")]
    pub(crate) first: String,
    /// What it is compared with, of the same kinds
    #[arg(value_name = "B")]
    pub(crate) second: String,
    /// TOML file with differences allowed: `goodput` and `share` (parts of 1), `start_up_s` (seconds)
    #[arg(long, value_name = "FILE")]
    pub(crate) tolerance: Option<PathBuf>,
    /// Write the comparison as JSON to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Compares and prints a table.
///
/// # Errors
/// If a side cannot be read, nothing can be compared, or an aspect is outside its tolerance.
pub(crate) fn compare(arguments: &CompareArguments) -> Result<(), Failure> {
    let tolerances = arguments.tolerance.as_deref().map_or_else(|| Ok(Tolerances::default()), tolerances)?;
    let runs = |name: &str| {
        let path = Path::new(name);
        let found = if path.is_dir() { runs_below(path) } else { Ok(Vec::new()) };
        found.map_err(|error| Failure::message(error.to_string(), None))
    };
    let (several, others) = (runs(&arguments.first)?, runs(&arguments.second)?);
    if !several.is_empty() && !others.is_empty() {
        return tell(&compare_runs(&several, &others, &tolerances), &[], arguments);
    }
    let read = |name: &str| {
        let help = "name the directory of a run, a capture, or ground truth of schema mptcp-reference/1";
        Side::read(name).map_err(|error| Failure::message(error.to_string(), help.to_owned()))
    };
    let (mut a, mut b) = (read(&arguments.first)?, read(&arguments.second)?);
    let left_out = align(&mut a, &mut b);
    if a.results.flows.is_empty() && a.results.analysis.is_empty() {
        let help = left_out.join("; ");
        return Err(Failure::message("the two sides have nothing in common".to_owned(), help));
    }
    let title = [&a.title, &b.title].into_iter().find(|title| !title.is_empty()).cloned().unwrap_or_default();
    let name = format!("{} and {}", a.name, b.name);
    let truth = GroundTruth { name, title, results: a.results, ..GroundTruth::default() };
    let comparison = compared(&truth, &b.results, &tolerances);
    tell(&comparison, &left_out, arguments)
}

fn tell(comparison: &Comparison, left_out: &[String], arguments: &CompareArguments) -> Result<(), Failure> {
    let mut text = comparison.text("A", "B");
    for what in left_out {
        text.push_str(&format!("left out: {what}\n"));
    }
    print(&text)?;
    if let Some(file) = &arguments.json {
        write_json(file, comparison)?;
    }
    if comparison.verdict == Verdict::Fail { Err(Failure::Check) } else { Ok(()) }
}

fn write_json(file: &Path, comparison: &Comparison) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(comparison);
    let json = json.map_err(|error| Failure::message(error.to_string(), None))?;
    output::write_file(file, &(json + "\n"))
}

fn tolerances(path: &Path) -> Result<Tolerances, Failure> {
    let text = source::read(path)?;
    toml::from_str(&text).map_err(|error| {
        let line =
            error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let help = "keys here: goodput, share, start_up_s; each a number".to_owned();
        Failure::message(format!("{}:{line}: {}", path.display(), error.message()), help)
    })
}

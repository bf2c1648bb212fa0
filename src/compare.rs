//! `mptcp-sim compare`: two runs, captures or measurements, or several of each, aspect by aspect.

use std::path::{Path, PathBuf};

use analysis::compare::sides::{Side, align};
use analysis::compare::{Comparison, Tolerances, Verdict, compare_runs};
use analysis::groundtruth::GroundTruth;
use clap::Args;

use crate::failure::Failure;
use crate::{output, source, tell};

/// Arguments of `compare`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareArguments {
    /// Directory of a run, directory of several runs, capture, several captures of one run with commas between, or
    /// ground truth (.json); of runs and ground truths several with commas between
    #[arg(value_name = "A")]
    pub(crate) first: String,
    /// What it is compared with, of the same kinds
    #[arg(value_name = "B")]
    pub(crate) second: String,
    /// TOML file with differences allowed: `goodput`, `share`, `retransmissions` and `cwnd` (parts of 1), `join_rtts`
    /// (round trips), `start_up_s` (seconds); with `delay` (part of 1) one-way delays are judged too
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
    let read = |name: &str| {
        let help = "name the directory of a run, a capture, or ground truth of schema mptcp-reference/1";
        Side::read(name).map_err(|error| Failure::message(error.to_string(), help.to_owned()))
    };
    let (mut a, mut b) = (read(&arguments.first)?, read(&arguments.second)?);
    let left_out = align(&mut a, &mut b);
    if a.runs.iter().all(|run| run.flows.is_empty() && run.analysis.is_empty()) {
        let help = left_out.join("; ");
        return Err(Failure::message("the two sides have nothing in common".to_owned(), help));
    }
    let title = [&a.title, &b.title].into_iter().find(|title| !title.is_empty()).cloned().unwrap_or_default();
    let name = format!("{} and {}", a.name, b.name);
    let topology = if a.topology.addresses.is_empty() { b.topology } else { a.topology };
    let truth = GroundTruth { name, title, topology, ..GroundTruth::default() };
    let truths: Vec<_> = a.runs.into_iter().map(|results| GroundTruth { results, ..truth.clone() }).collect();
    conclude(&compare_runs(&truths, &b.runs, &tolerances), &left_out, arguments)
}

fn conclude(
    comparison: &Comparison,
    left_out: &[String],
    arguments: &CompareArguments,
) -> Result<(), Failure> {
    let mut text = comparison.text("A", "B");
    for what in left_out {
        text.push_str(&format!("left out: {what}\n"));
    }
    tell(&text)?;
    if let Some(file) = &arguments.json {
        output::write_json(file, comparison)?;
    }
    if comparison.verdict == Verdict::Fail { Err(Failure::Check) } else { Ok(()) }
}

/// Reads a file of tolerances.
fn tolerances(path: &Path) -> Result<Tolerances, Failure> {
    source::toml(
        path,
        "keys here: goodput, share, start_up_s, join_rtts, retransmissions, cwnd, window, loss_episodes, delay; each a number",
    )
}

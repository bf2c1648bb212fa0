//! `mptcp-sim run`: one run, its files, a summary.

use std::fmt::Write as _;

use scenarios::Scenario;
use scenarios::run::{RunOutcome, StopReason};

use crate::failure::Failure;
use crate::output::Destination;
use crate::simulate::{Watch, simulate};
use crate::{report, results, tell};

/// A run that can begin.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Validated, with overrides and seed.
    pub(crate) scenario: Scenario,
    /// Where the results go.
    pub(crate) destination: Destination,
    /// Whether packets are captured.
    pub(crate) capture: bool,
    /// Whether plots are drawn.
    pub(crate) plots: bool,
    /// The command that repeats the run.
    pub(crate) command: String,
}

/// Runs, writes and tells.
///
/// # Errors
/// If the run or its output fails, or a stream did not arrive as it was sent.
pub(crate) fn run(plan: &Plan) -> Result<(), Failure> {
    let Plan { scenario, destination, capture, plots, command } = plan;
    let directory = destination.create()?;
    let path = directory.path(results::CAPTURE);
    let watch = Watch { capture: capture.then_some(path.as_path()), analyse: false };
    let simulated = simulate(scenario, watch)?;
    let summary = results::write(&directory, scenario, &simulated, *plots, command)?;
    let files = directory.files()?;
    directory.finish()?;

    let mut text = format!("{summary}\n");
    for line in ending(&simulated.outcome) {
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(text, "files    {}: {}", destination.path().display(), files.join(", "));
    let _ = writeln!(text, "repeat   {command}");
    tell(&text)?;

    let damaged: Vec<_> = simulated
        .outcome
        .flows
        .iter()
        .flat_map(|flow| {
            flow.violations.iter().map(|what| format!("stream of flow {} damaged: {what}\n", flow.name))
        })
        .collect();
    report(&damaged);
    if damaged.is_empty() { Ok(()) } else { Err(Failure::Check) }
}

/// What the reader should know about the end of the run, if it was not the usual one.
fn ending(outcome: &RunOutcome) -> Vec<String> {
    let mut lines = Vec::new();
    let unfinished: Vec<_> =
        outcome.flows.iter().filter(|flow| !flow.finished).map(|flow| flow.name.as_str()).collect();
    if !unfinished.is_empty() {
        let why = match outcome.stop {
            StopReason::Duration => "when the duration was over",
            StopReason::Idle => "when nothing could happen any more",
            StopReason::FlowsFinished | StopReason::Interrupted | StopReason::Standstill => "at the end",
        };
        lines.push(format!("note     not finished {why}: {}", unfinished.join(", ")));
    }
    lines
}

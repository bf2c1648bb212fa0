//! `mptcp-sim fairness`, the gate for changes of congestion control, and `mptcp-sim published`, the table of
//! results of the literature.

use std::path::{Path, PathBuf};

use mptcp_model::congestion;

use crate::failure::Failure;
use crate::suite::{self, Baseline, Mode, Outcome, Suite, Verdict};
use crate::{output, tell};

/// The suite of `mptcp-sim fairness` if no other is named.
const FAIRNESS: &str = include_str!("../suites/fairness.toml");
/// The suite of `mptcp-sim published`.
const PUBLISHED: &str = include_str!("../suites/published.toml");

/// A suite to run and what to do with its results.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) suite: Suite,
    /// Where scenario files of the suite are.
    pub(crate) directory: PathBuf,
    pub(crate) baseline: Option<PathBuf>,
    /// Write the baseline instead of comparing with it.
    pub(crate) update: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) junit: Option<PathBuf>,
}

/// Reads the suite of the file, or the built-in one, which looks for scenario files in the current directory.
///
/// # Errors
/// If there is no such file, or it holds no suite.
pub(crate) fn fairness_suite(path: Option<&Path>) -> Result<(Suite, PathBuf), Failure> {
    match path {
        None => Ok((Suite::parse(FAIRNESS, "fairness.toml")?, PathBuf::from("."))),
        Some(path) => {
            let directory = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
            Ok((Suite::read(path)?, directory))
        }
    }
}

/// Those cases of the literature whose names hold one of these words; all, if there are none.
///
/// # Errors
/// If no case is left.
pub(crate) fn published_suite(words: &[String], seeds: Option<u32>) -> Result<Suite, Failure> {
    let mut suite = Suite::parse(PUBLISHED, "published.toml")?;
    if !words.is_empty() {
        suite.tests.retain(|test| words.iter().any(|word| test.name.contains(word.as_str())));
    }
    if suite.tests.is_empty() {
        let message = format!("no case has \"{}\" in its name", words.join("\" or \""));
        return Err(Failure::message(message, "without words, all cases run".to_owned()));
    }
    if let Some(seeds) = seeds {
        suite.seeds = seeds;
        for test in &mut suite.tests {
            test.seeds = None;
        }
    }
    Ok(suite)
}

/// Runs the suite and judges.
///
/// # Errors
/// If a run or a file fails, or a value is outside its bounds or differs from the baseline.
pub(crate) fn fairness(gate: &Gate) -> Result<(), Failure> {
    let Gate { suite, directory, baseline: path, update, json, junit } = gate;
    let baseline = match path {
        Some(path) if !update => Some(Baseline::read(path, suite)?),
        _ => None,
    };
    let mode = Mode { directory, create: congestion::create, fluid: false };
    let outcomes = suite::run(suite, &mode, baseline.as_ref())?;
    tell(&suite::table(&outcomes))?;
    if let (Some(path), true) = (path, update) {
        output::write_json(path, &suite::baseline(suite, &outcomes))?;
    }
    if let Some(path) = json {
        output::write_file(path, suite::json(suite, &outcomes))?;
    }
    if let Some(path) = junit {
        output::write_file(path, suite::junit(suite, &outcomes))?;
    }
    if passed(&outcomes) { Ok(()) } else { Err(Failure::Check) }
}

/// Runs the cases of the literature and prints their table. What is missed is part of the table, not a failure.
///
/// # Errors
/// If a run fails.
pub(crate) fn published(suite: &Suite, json: bool) -> Result<(), Failure> {
    let mode = Mode { directory: Path::new("."), create: congestion::create, fluid: true };
    let outcomes = suite::run(suite, &mode, None)?;
    tell(&if json { suite::json(suite, &outcomes) } else { suite::markdown(suite, &outcomes) })
}

fn passed(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| outcome.verdict == Verdict::Pass)
}

//! Suites: scenarios that run with several seeds, values measured in them, and verdicts. `mptcp-sim fairness`
//! holds them against absolute bounds and a baseline, `mptcp-sim published` against the literature.
//!
//! A value is the mean over seeds with Student's interval. It is outside its bounds if the mean is. It
//! differs from the baseline if the whole of Welch's interval of the difference, which has the spread of both sides in
//! it, lies beyond what the suite allows. The level of that interval is such that all values together fail by luck
//! no more often than the suite says. Seeds are fixed, so the same program gives the same verdict.

mod document;
mod metrics;
#[cfg(test)]
mod mutants;
mod report;

use std::path::Path;

use analysis::statistics::{Estimate, difference, estimate};
use rayon::prelude::*;
use scenarios::Scenario;
use scenarios::build::CreateCongestion;
use sim_core::{Duration, Instant};

pub(crate) use self::document::{Metric, Suite, Test};
use self::metrics::Seen;
pub(crate) use self::report::{Baseline, baseline, json, junit, markdown, table};
use crate::failure::Failure;
use crate::fluid::{Comparison, measured_fluid};
use crate::measure::{Measured, Window, measure};
use crate::source;

/// What one metric of one test brought.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) test: Test,
    pub(crate) metric: Metric,
    pub(crate) samples: Vec<f64>,
    pub(crate) estimate: Estimate,
    /// The value of the fluid, if that was asked for and there is one.
    pub(crate) fluid: Option<f64>,
    pub(crate) verdict: Verdict,
}

/// Whether a value is as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Pass,
    /// Why not.
    Fail(String),
}

impl Outcome {
    /// Name of test and metric.
    pub(crate) fn key(&self) -> String {
        format!("{}: {}", self.test.name, self.metric.name)
    }
}

/// One run of a test: with its own settings, or with those of the second run of a metric.
struct Job<'a> {
    test: &'a Test,
    /// The metric whose second run this is.
    against: Option<usize>,
    seed: u64,
}

/// How to run a suite.
pub(crate) struct Mode<'a> {
    /// Where scenario files are looked for.
    pub(crate) directory: &'a Path,
    pub(crate) create: CreateCongestion,
    /// Solve for the fluid too.
    pub(crate) fluid: bool,
}

fn scenario(mode: &Mode<'_>, test: &Test, extra: &[String], seed: u64) -> Result<Scenario, Failure> {
    let beside = mode.directory.join(&test.scenario);
    let name = if beside.is_file() { beside.display().to_string() } else { test.scenario.clone() };
    let overrides: Vec<_> = test.set.iter().chain(extra).cloned().collect();
    source::scenario(&name, &overrides, Some(seed))
}

fn window(test: &Test) -> Window {
    let at = |seconds| Instant::ZERO + Duration::from_secs_f64(seconds);
    Window { from: at(test.from), to: at(test.to) }
}

/// Runs a suite; runs are done side by side, results do not depend on it.
///
/// # Errors
/// If a scenario is wrong, or lacks a flow or link of a metric.
pub(crate) fn run(
    suite: &Suite,
    mode: &Mode<'_>,
    baseline: Option<&Baseline>,
) -> Result<Vec<Outcome>, Failure> {
    let mut jobs = Vec::new();
    for test in &suite.tests {
        for number in 0..u64::from(test.seeds.unwrap_or(suite.seeds)) {
            let seed = suite.first_seed.saturating_add(number);
            jobs.push(Job { test, against: None, seed });
            let second = test.metrics.iter().enumerate().filter(|(_, metric)| !metric.against.is_empty());
            jobs.extend(second.map(|(index, _)| Job { test, against: Some(index), seed }));
        }
    }
    let runs: Vec<(Scenario, Measured)> =
        jobs.par_iter().map(|job| perform(mode, job)).collect::<Result<_, _>>()?;
    let mut outcomes = Vec::new();
    for test in &suite.tests {
        let fluid = if mode.fluid && test.fluid { fluid(mode, suite, test)? } else { None };
        for (index, metric) in test.metrics.iter().enumerate() {
            let of = |against: Option<usize>| {
                let wanted = move |job: &Job<'_>| std::ptr::eq(job.test, test) && job.against == against;
                jobs.iter()
                    .zip(&runs)
                    .filter(move |(job, _)| wanted(job))
                    .map(|(_, (scenario, measured))| Seen { scenario, measured })
            };
            let mut second = of(Some(index));
            let samples: Option<Vec<_>> =
                of(None).map(|seen| seen.value(metric, test.from, second.next())).collect();
            let missing = || {
                let what = format!("{}, {}: there is nothing to measure", test.name, metric.name);
                Failure::message(what, "name flows, subflows and links of the scenario".to_owned())
            };
            let samples = samples.ok_or_else(missing)?;
            let estimate = estimate(&samples, suite.level).ok_or_else(missing)?;
            let value = fluid
                .as_ref()
                .and_then(|(scenario, measured)| Seen { scenario, measured }.value(metric, test.from, None));
            let verdict = judge(suite, test, metric, &estimate, baseline);
            let (test, metric) = (test.clone(), metric.clone());
            outcomes.push(Outcome { test, metric, samples, estimate, fluid: value, verdict });
        }
    }
    Ok(outcomes)
}

fn perform(mode: &Mode<'_>, job: &Job<'_>) -> Result<(Scenario, Measured), Failure> {
    let extra = job.against.map_or(&[][..], |index| &job.test.metrics[index].against);
    let scenario = scenario(mode, job.test, extra, job.seed)?;
    let (measured, ()) = measure(&scenario, window(job.test), mode.create, ())
        .map_err(|error| Failure::message(format!("{}: {error}", job.test.name), None))?;
    Ok((scenario, measured))
}

/// What the fluid says to a test, if its scenario has a fluid.
fn fluid(mode: &Mode<'_>, suite: &Suite, test: &Test) -> Result<Option<(Scenario, Measured)>, Failure> {
    let scenario = scenario(mode, test, &[], suite.first_seed)?;
    // Only to learn the paths of subflows, which all are there when measuring begins.
    let to = Instant::ZERO + Duration::from_secs_f64(test.from.max(10.0).min(test.to));
    let window = Window { from: Instant::ZERO, to };
    let comparison =
        Comparison { scenario: scenario.clone(), window, measured_rtt: false, floor: 0.0, json: false };
    Ok(measured_fluid(&comparison).ok().map(|measured| (scenario, measured)))
}

fn judge(
    suite: &Suite,
    test: &Test,
    metric: &Metric,
    found: &Estimate,
    baseline: Option<&Baseline>,
) -> Verdict {
    let (low, high) = metric.bounds();
    let mean = found.mean;
    if mean < low {
        return Verdict::Fail(format!("below {low:.4}"));
    }
    if mean > high {
        return Verdict::Fail(format!("above {high:.4}"));
    }
    let Some(baseline) = baseline else { return Verdict::Pass };
    let key = format!("{}: {}", test.name, metric.name);
    let Some(before) = baseline.values.get(&key).and_then(|samples| estimate(samples, suite.level)) else {
        return Verdict::Fail("not in the baseline; --update adds it".to_owned());
    };
    let allowed = suite.allowed * before.mean.abs();
    let beyond = difference(found, &before, suite.level_of_difference())
        .is_some_and(|interval| interval.low > allowed || interval.high < -allowed);
    if beyond {
        return Verdict::Fail(format!("was {:.4} +- {:.4}", before.mean, before.half_width));
    }
    Verdict::Pass
}

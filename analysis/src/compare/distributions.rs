//! Two sets of runs: distributions are compared, not single values.
//!
//! For each flow and figure the means with their 95 % confidence intervals are shown, and the p-value of the test of
//! Kolmogorov and Smirnov. A figure fails if the test says that the samples differ (p below 1 %) and the
//! medians differ by more than the tolerance: with many runs, differences without importance are
//! significant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::sides::SideError;
use super::{Comparison, Row, Tolerances, Verdict};
use crate::statistics::{estimate, kolmogorov_smirnov, median};
use crate::summary::Summary;

/// The runs below a directory, in order of their names: its subdirectories with a `summary.json`. Empty if it is
/// itself a run, or there are fewer than two.
///
/// # Errors
/// If a summary cannot be read.
pub fn runs_below(directory: &Path) -> Result<Vec<Summary>, SideError> {
    let io = |error| SideError::Io(directory.display().to_string(), error);
    if directory.join("summary.json").exists() {
        return Ok(Vec::new());
    }
    let entries =
        std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(io)?;
    let mut files: Vec<PathBuf> = entries.iter().map(|entry| entry.path().join("summary.json")).collect();
    files.retain(|file| file.is_file());
    files.sort();
    if files.len() < 2 {
        return Ok(Vec::new());
    }
    let read = |file: &PathBuf| {
        let place = file.display().to_string();
        let json = std::fs::read(file).map_err(|error| SideError::Io(place.clone(), error))?;
        serde_json::from_slice(&json).map_err(|error| SideError::Summary(place, error))
    };
    files.iter().map(read).collect()
}

/// A figure with its name, unit and the divisor that gives it.
type Figure = (&'static str, &'static str, f64);

const FIGURES: [Figure; 3] =
    [("goodput", "Mbit/s", 1e6), ("completion", "s", 1.0), ("retransmissions", "segments", 1.0)];

/// Compares two sets of runs of one scenario.
#[must_use]
pub fn compare_runs(a: &[Summary], b: &[Summary], tolerances: &Tolerances) -> Comparison {
    let (of_a, of_b) = (samples(a), samples(b));
    let mut rows = Vec::new();
    for (key, first) in &of_a {
        let Some(second) = of_b.get(key) else { continue };
        let (name, unit, divisor) = FIGURES[key.1];
        rows.extend(row(&format!("flow {} {name}", key.0), (unit, divisor), first, second, tolerances));
    }
    let names = |samples: &BTreeMap<(String, usize), Vec<f64>>| {
        let mut names: Vec<_> = samples.keys().map(|(name, _)| name.clone()).collect();
        names.dedup();
        names.join(", ")
    };
    rows.insert(0, Row::exact("flows".into(), names(&of_a), names(&of_b)));
    let failed = rows.iter().any(|row| row.verdict == Verdict::Fail);
    Comparison {
        name: format!("{} and {} runs", a.len(), b.len()),
        title: a.first().map(|summary| summary.run.name.clone()).unwrap_or_default(),
        verdict: if failed { Verdict::Fail } else { Verdict::Pass },
        note: String::new(),
        rows,
    }
}

/// The values of each figure by flow.
fn samples(runs: &[Summary]) -> BTreeMap<(String, usize), Vec<f64>> {
    let mut samples: BTreeMap<(String, usize), Vec<f64>> = BTreeMap::new();
    for flow in runs.iter().flat_map(|run| &run.flows) {
        let again: u64 = flow.subflows.iter().map(|subflow| subflow.retransmitted_segments).sum();
        let values = [flow.goodput_bps, flow.completion_s, Some(again as f64)];
        for (figure, value) in values.into_iter().enumerate() {
            if let Some(value) = value {
                samples.entry((flow.name.clone(), figure)).or_default().push(value);
            }
        }
    }
    samples
}

fn row(
    aspect: &str,
    (unit, divisor): (&str, f64),
    first: &[f64],
    second: &[f64],
    tolerances: &Tolerances,
) -> Option<Row> {
    const LEVEL: f64 = 0.95;
    const SIGNIFICANT: f64 = 0.01;
    let text = |samples: &[f64]| {
        let estimate = estimate(samples, LEVEL)?;
        let (mean, half) = (estimate.mean / divisor, estimate.half_width / divisor);
        Some(format!("{mean:.3} +- {half:.3} {unit} (n {})", samples.len()))
    };
    let test = kolmogorov_smirnov(first, second)?;
    let (a, b) = (median(first)?, median(second)?);
    let difference = if a == b { 0.0 } else { (b - a) / a.abs().max(f64::MIN_POSITIVE) };
    let within = test.p_value >= SIGNIFICANT || difference.abs() <= tolerances.goodput;
    let note = format!("p {:.3}, medians {:+.1} %", test.p_value, difference * 100.0);
    let tolerance = format!("p 0.01 or {:.0} %", tolerances.goodput * 100.0);
    Some(Row::judged(aspect.to_owned(), text(first)?, text(second)?, within, tolerance).with_note(note))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::FlowSummary;

    fn runs(goodputs: impl IntoIterator<Item = f64>) -> Vec<Summary> {
        let one = |goodput| {
            let flow =
                FlowSummary { name: "bulk".into(), goodput_bps: Some(goodput), ..FlowSummary::default() };
            Summary { flows: vec![flow], ..Summary::default() }
        };
        goodputs.into_iter().map(one).collect()
    }

    fn verdict(a: &[Summary], b: &[Summary]) -> Verdict {
        compare_runs(a, b, &Tolerances::default()).verdict
    }

    #[test]
    fn sets_fail_only_if_they_differ_in_both_senses() {
        let base = runs((0..12).map(|i| 10e6 + f64::from(i) * 1e4));
        let shifted_little = runs((0..12).map(|i| 10.3e6 + f64::from(i) * 1e4));
        let shifted_much = runs((0..12).map(|i| 12e6 + f64::from(i) * 1e4));
        let wide = runs((0..12).map(|i| 7e6 + f64::from(i) * 6e5));
        assert_eq!(verdict(&base, &base), Verdict::Pass);
        // Significant, but within 5 %.
        assert_eq!(verdict(&base, &shifted_little), Verdict::Pass);
        assert_eq!(verdict(&base, &shifted_much), Verdict::Fail);
        // Two runs each prove nothing.
        assert_eq!(verdict(&wide[..2], &shifted_much[..2]), Verdict::Pass);
    }

    #[test]
    fn a_flow_of_one_side_only_is_a_difference() {
        let mut other = runs([10e6, 10e6]);
        for run in &mut other {
            run.flows[0].name = "web".into();
        }
        assert_eq!(verdict(&runs([10e6, 10e6]), &other), Verdict::Fail);
    }
}

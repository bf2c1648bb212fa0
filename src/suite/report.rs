//! What a suite brought, as text, Markdown, JSON and JUnit XML, and the baseline.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Outcome, Suite, Verdict};
use crate::failure::Failure;

/// Samples of an earlier state of the program, by test and metric.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    /// Name of the suite.
    pub(crate) suite: String,
    pub(crate) values: BTreeMap<String, Vec<f64>>,
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    /// If there is none of this suite.
    pub(crate) fn read(path: &Path, suite: &Suite) -> Result<Self, Failure> {
        let text = crate::source::read(path)?;
        let wrong = |what: String| Failure::message(format!("{}: {what}", path.display()), None);
        let baseline: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if baseline.suite != suite.name {
            return Err(wrong(format!("it is of the suite {}, not of {}", baseline.suite, suite.name)));
        }
        Ok(baseline)
    }
}

/// The baseline that these outcomes make.
pub(crate) fn baseline(suite: &Suite, outcomes: &[Outcome]) -> Baseline {
    let values = outcomes.iter().map(|outcome| (outcome.key(), outcome.samples.clone()));
    Baseline { suite: suite.name.clone(), values: values.collect() }
}

/// A number with four significant digits, or as many as its whole part has.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 1000.0 => 0,
        large if large >= 100.0 => 1,
        large if large >= 10.0 => 2,
        large if large >= 0.1 || large == 0.0 => 3,
        _ => 5,
    };
    format!("{value:.digits$}")
}

fn bounds(outcome: &Outcome) -> String {
    match outcome.metric.bounds() {
        (low, high) if low.is_infinite() && high.is_infinite() => "-".to_owned(),
        (low, high) if high.is_infinite() => format!(">= {}", short(low)),
        (low, high) if low.is_infinite() => format!("<= {}", short(high)),
        (low, high) => format!("{} to {}", short(low), short(high)),
    }
}

fn verdict(outcome: &Outcome) -> String {
    match &outcome.verdict {
        Verdict::Pass => "pass".to_owned(),
        Verdict::Fail(why) => format!("FAIL {why}"),
    }
}

fn value(outcome: &Outcome) -> String {
    format!("{} +- {}", short(outcome.estimate.mean), short(outcome.estimate.half_width))
}

/// One line for each metric, and the sum.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let rows: Vec<[String; 5]> = outcomes
        .iter()
        .map(|one| [one.test.name.clone(), one.metric.name.clone(), value(one), bounds(one), verdict(one)])
        .collect();
    let heading = ["test", "metric", "value", "bounds", "verdict"].map(str::to_owned);
    let widths: [usize; 5] = std::array::from_fn(|column| {
        rows.iter().chain([&heading]).map(|row| row[column].len()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in [&heading].into_iter().chain(&rows) {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    let failed = outcomes.iter().filter(|one| one.verdict != Verdict::Pass).count();
    let word = if failed == 0 { "pass" } else { "FAIL" };
    let _ = writeln!(text, "\n{word}: {} of {} within bounds", outcomes.len() - failed, outcomes.len());
    text
}

/// Whether any value would do.
fn is_free(outcome: &Outcome) -> bool {
    let (low, high) = outcome.metric.bounds();
    low.is_infinite() && high.is_infinite()
}

/// A table for documents: published value, fluid, packets with interval, verdict.
pub(crate) fn markdown(suite: &Suite, outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| case | quantity | published | source | fluid | packets, mean and interval | bounds | verdict |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let mut notes = Vec::new();
    for one in outcomes {
        let published = one.metric.published.map_or_else(|| "-".to_owned(), short);
        let fluid = one.fluid.map_or_else(|| "-".to_owned(), short);
        let tag = one.metric.tag.as_deref().unwrap_or("-");
        let mut verdict = match &one.verdict {
            Verdict::Pass if is_free(one) => "-".to_owned(),
            Verdict::Pass => "pass".to_owned(),
            Verdict::Fail(_) => "**miss**".to_owned(),
        };
        if one.verdict != Verdict::Pass && !one.metric.note.is_empty() {
            let number = notes.iter().position(|note| *note == one.metric.note).unwrap_or_else(|| {
                notes.push(one.metric.note.clone());
                notes.len() - 1
            });
            let _ = write!(verdict, " ({})", number + 1);
        }
        let _ = writeln!(
            text,
            "| {} | {} | {published} | {tag} | {fluid} | {} | {} | {verdict} |",
            one.test.name,
            one.metric.name,
            value(one).replace("+-", "±"),
            bounds(one)
        );
    }
    let judged = outcomes.iter().filter(|one| !is_free(one)).count();
    let missed = outcomes.iter().filter(|one| one.verdict != Verdict::Pass).count();
    let _ = writeln!(
        text,
        "\n{} of {} rows are within their bounds. Intervals cover {} % over the seeds.",
        judged - missed,
        judged,
        suite.level * 100.0
    );
    text.push_str(&fluid_beside_derived(outcomes));
    for (number, note) in notes.iter().enumerate() {
        let _ = writeln!(text, "\n({}) {note}", number + 1);
    }
    text
}

/// How near the fluid comes to the derived values, and to which it does not.
fn fluid_beside_derived(outcomes: &[Outcome]) -> String {
    const NEAR: f64 = 0.01;
    let derived = outcomes.iter().filter(|one| one.metric.tag.as_deref() == Some("D"));
    let both: Vec<_> = derived.filter_map(|one| Some((one, one.metric.published?, one.fluid?))).collect();
    if both.is_empty() {
        return String::new();
    }
    let far: Vec<_> = both
        .iter()
        .filter(|(_, published, fluid)| (fluid / published - 1.0).abs() > NEAR)
        .map(|(one, published, fluid)| format!("{} ({} for {})", one.key(), short(*fluid), short(*published)))
        .collect();
    let but = if far.is_empty() { String::new() } else { format!("; not {}", far.join(", ")) };
    let (near, all) = (both.len() - far.len(), both.len());
    format!("\nThe fluid is within 1 % of {near} of {all} derived values{but}.\n")
}

/// All figures.
pub(crate) fn json(suite: &Suite, outcomes: &[Outcome]) -> String {
    let rows: Vec<_> = outcomes
        .iter()
        .map(|one| {
            let (low, high) = one.metric.bounds();
            let finite = |value: f64| value.is_finite().then_some(value);
            let reason = match &one.verdict {
                Verdict::Pass => None,
                Verdict::Fail(why) => Some(why),
            };
            json!({
                "test": one.test.name, "metric": one.metric.name,
                "mean": one.estimate.mean, "half_width": one.estimate.half_width,
                "standard_deviation": one.estimate.standard_deviation, "samples": one.samples,
                "min": finite(low), "max": finite(high), "published": one.metric.published,
                "fluid": one.fluid, "verdict": if reason.is_none() { "pass" } else { "fail" },
                "reason": reason,
            })
        })
        .collect();
    format!("{:#}\n", json!({ "suite": suite.name, "level": suite.level, "results": rows }))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// JUnit XML, one test case for each metric.
pub(crate) fn junit(suite: &Suite, outcomes: &[Outcome]) -> String {
    let failed = outcomes.iter().filter(|one| one.verdict != Verdict::Pass).count();
    let name = escaped(&suite.name);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n\
         <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\">\n",
        outcomes.len()
    );
    for one in outcomes {
        let (class, metric) = (escaped(&one.test.name), escaped(&one.metric.name));
        let _ = write!(text, "<testcase classname=\"{class}\" name=\"{metric}\">");
        if let Verdict::Fail(why) = &one.verdict {
            let message = escaped(&format!("{}, bounds {}: {why}", value(one), bounds(one)));
            let _ = write!(text, "<failure message=\"{message}\"/>");
        }
        text.push_str("</testcase>\n");
    }
    text.push_str("</testsuite>\n</testsuites>\n");
    text
}

//! Many comparisons in one table, as text, Markdown and HTML, one line a case; in the HTML file each case also has all
//! its rows, and figures of its windows and round-trip times over time.
//!
//! The HTML file needs no network and no fonts of its own; equal comparisons give equal octets.

use std::fmt::Write as _;

use super::{Comparison, Kind, Row, Verdict};
use crate::groundtruth::{GroundTruth, Results, StateSample, SubflowSeries};
use crate::html;
use crate::ladder::escaped;
use crate::plot::{Chart, Line, PlotError};
use crate::table::{Align, Table};

/// A case with all that is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// How it went.
    pub comparison: &'a Comparison,
    /// The real runs.
    pub real: &'a [GroundTruth],
    /// The simulated runs.
    pub simulated: &'a [Results],
    /// What the simulation had to leave out.
    pub left_out: &'a [String],
}

/// The columns after the name of the case.
const COLUMNS: [&str; 9] = [
    "verdict",
    "structure",
    "figures",
    "goodput real, Mbit/s",
    "simulated",
    "sent again real",
    "simulated",
    "share off by, points",
    "cwnd off by, %",
];

impl Comparison {
    /// Both values of the figures whose names end so.
    fn values(&self, ending: &str) -> impl Iterator<Item = [Option<f64>; 2]> {
        // A window of few samples says nothing.
        let of_interest = move |row: &&Row| row.aspect.ends_with(ending) && !row.tolerance.is_empty();
        let rows = self.rows.iter().filter(of_interest);
        rows.filter_map(|row| row.values)
    }

    /// The cells of its line in the table of cases.
    fn cells(&self) -> [String; COLUMNS.len()] {
        let of_flows = |side: usize| {
            let texts: Vec<_> = self
                .values(" goodput")
                .map(|values| values[side].map_or_else(|| "-".into(), |bps| format!("{:.2}", bps / 1e6)))
                .collect();
            if texts.is_empty() { "-".to_owned() } else { texts.join(", ") }
        };
        let again = |side: usize| {
            let values = self.values(" retransmissions").filter_map(|values| values[side]);
            format!("{:.0}", values.fold(0.0, |sum, value| sum + value))
        };
        let most = |ending: &str, difference: fn(f64, f64) -> f64| {
            let differences = self.values(ending).filter_map(|[a, b]| Some(difference(a?, b?)));
            let most = differences.max_by(|a, b| a.abs().total_cmp(&b.abs()));
            most.map_or_else(|| "-".to_owned(), |most| format!("{:+.1}", most * 100.0))
        };
        let part = |kind: Kind| {
            let (passed, judged) = self.passed(kind);
            format!("{passed}/{judged}")
        };
        [
            self.verdict.to_string(),
            part(Kind::Protocol),
            part(Kind::Figure),
            of_flows(0),
            of_flows(1),
            again(0),
            again(1),
            most(" share", |a, b| b - a),
            most(" mean cwnd", |a, b| if a > 0.0 { (b - a) / a } else { 0.0 }),
        ]
    }

    /// The aspects that fail.
    fn failed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.verdict == Verdict::Fail)
    }
}

/// How many cases pass, in words.
fn totals<'a>(comparisons: impl Iterator<Item = &'a Comparison>) -> String {
    let mut counts = [0; 3];
    for comparison in comparisons {
        counts[match comparison.verdict {
            Verdict::Pass => 0,
            Verdict::Fail => 1,
            Verdict::Info => 2,
        }] += 1;
    }
    let [pass, fail, info] = counts;
    format!("{} cases: {pass} pass, {fail} fail, {info} not judged", pass + fail + info)
}

/// One line a case, for a terminal.
#[must_use]
pub fn text<'a>(comparisons: impl Iterator<Item = &'a Comparison> + Clone) -> String {
    let mut columns = vec![("case", Align::Left), ("verdict", Align::Left)];
    columns.extend(COLUMNS[1..].iter().map(|&name| (name, Align::Right)));
    columns.push(("fails", Align::Left));
    let mut table = Table::new(&columns);
    for comparison in comparisons.clone() {
        let failed: Vec<_> = comparison.failed().map(|row| row.aspect.as_str()).collect();
        let failed = match failed.as_slice() {
            [first, _, ..] => format!("{first} and {} more", failed.len() - 1),
            few => few.concat(),
        };
        let name = [comparison.name.clone()];
        table.row(name.into_iter().chain(comparison.cells()).chain([failed]));
    }
    format!("{table}{}\n", totals(comparisons))
}

/// One line a case, as a table of Markdown.
#[must_use]
pub fn markdown<'a>(comparisons: impl Iterator<Item = &'a Comparison> + Clone) -> String {
    let mut text =
        format!("| case | {} |\n|---|---|{}\n", COLUMNS.join(" | "), "---:|".repeat(COLUMNS.len() - 1));
    for comparison in comparisons.clone() {
        let _ = writeln!(text, "| {} | {} |", comparison.name, comparison.cells().join(" | "));
    }
    let _ = writeln!(text, "\n{}", totals(comparisons));
    text
}

/// The report. `command` is what makes it again.
///
/// # Errors
/// If a figure cannot be drawn.
pub fn page(cases: &[Case<'_>], command: &str) -> Result<String, PlotError> {
    let mut body = format!(
        "<h1>Real and simulated runs</h1>\n<p>{}. The columns <i>structure</i> and <i>figures</i> count the rows that \
         passed and those that are judged.</p>\n<table><tr><th>case</th>",
        totals(cases.iter().map(|case| case.comparison))
    );
    for column in COLUMNS {
        let _ = write!(body, "<th>{column}</th>");
    }
    body.push_str("</tr>\n");
    for (number, case) in cases.iter().enumerate() {
        let Comparison { name, verdict, .. } = case.comparison;
        let _ = write!(
            body,
            "<tr class=\"{}\"><td><a href=\"#case{number}\">{}</a></td>",
            class(*verdict),
            escaped(name)
        );
        for cell in case.comparison.cells() {
            let _ = write!(body, "<td>{cell}</td>");
        }
        body.push_str("</tr>\n");
    }
    body.push_str("</table>\n");
    for (number, case) in cases.iter().enumerate() {
        one(&mut body, number, case)?;
    }
    Ok(html::document("mptcp-sim: real and simulated runs", &body, command))
}

const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Info => "info",
    }
}

fn one(body: &mut String, number: usize, case: &Case<'_>) -> Result<(), PlotError> {
    let Comparison { name, title, verdict, note, rows } = case.comparison;
    let _ = write!(
        body,
        "<h2 id=\"case{number}\">{}: {verdict}</h2>\n<p>{}. {} real and {} simulated runs.</p>\n",
        escaped(name),
        escaped(title),
        case.real.len(),
        case.simulated.len()
    );
    for text in [note].into_iter().filter(|note| !note.is_empty()).chain(case.left_out) {
        let _ = writeln!(body, "<p class=\"w\">{}</p>", escaped(text));
    }
    for failed in case.comparison.failed() {
        let Row { aspect, real, simulated, tolerance, note, .. } = failed;
        let mut words = format!("{aspect}: real {real}, simulated {simulated}");
        for (before, word) in [(", allowed ", tolerance), ("; ", note)] {
            if !word.is_empty() {
                words.push_str(&format!("{before}{word}"));
            }
        }
        let _ = writeln!(body, "<p class=\"w\">{}</p>", escaped(&words));
    }
    figures(body, case)?;
    let _ = writeln!(
        body,
        "<details><summary>all {} aspects</summary>\n<table class=\"rows\"><tr><th>aspect</th><th>real</th>\
         <th>simulated</th><th>verdict</th><th>tolerance</th><th>note</th></tr>",
        rows.len()
    );
    for row in rows {
        let _ = writeln!(
            body,
            "<tr class=\"{}\"><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            class(row.verdict),
            escaped(&row.aspect),
            escaped(&row.real),
            escaped(&row.simulated),
            row.verdict,
            escaped(&row.tolerance),
            escaped(&row.note)
        );
    }
    body.push_str("</table></details>\n");
    Ok(())
}

/// Windows and round-trip times of the subflows that sent data.
fn figures(body: &mut String, case: &Case<'_>) -> Result<(), PlotError> {
    let (Some(real), Some(simulated)) = (case.real.first(), case.simulated.first()) else { return Ok(()) };
    for flow in &real.results.flows {
        let Some(other) = simulated.flows.iter().find(|other| other.name == flow.name) else { continue };
        let charts = [
            ("congestion window (segments)", (|sample| Some(sample.cwnd)) as fn(&StateSample) -> Option<f64>),
            ("smoothed round-trip time (ms)", |sample| sample.srtt_ms),
        ];
        for (label, of) in charts {
            let mut lines = lines(&flow.series, "real", false, of);
            lines.extend(self::lines(&other.series, "simulated", true, of));
            if lines.is_empty() {
                continue;
            }
            let chart = Chart {
                title: format!("{}, flow {}", case.comparison.name, flow.name),
                x_label: "time (s)".into(),
                y_label: label.into(),
                lines,
                ..Chart::default()
            };
            body.push_str(&chart.to_svg()?);
            body.push('\n');
        }
    }
    Ok(())
}

fn lines(
    series: &[SubflowSeries],
    name: &str,
    secondary: bool,
    of: fn(&StateSample) -> Option<f64>,
) -> Vec<Line> {
    let busy =
        |series: &&SubflowSeries| series.samples.iter().filter(|sample| sample.unacked > 0.0).count() > 1;
    let mut busy: Vec<_> = series.iter().filter(busy).collect();
    // Real and simulated runs have the same addresses, whatever the order in which subflows came.
    let key = |series: &SubflowSeries| {
        let address = |text: &str| text.rsplit_once(':').map_or(text, |(address, _)| address).to_owned();
        (address(&series.local), address(&series.remote))
    };
    busy.sort_by_key(|series| key(series));
    let lines = busy.into_iter().enumerate().map(|(number, series)| {
        let (local, remote) = key(series);
        let points = series.samples.iter().map(|sample| (sample.t, of(sample).unwrap_or(f64::NAN)));
        Line {
            label: format!("{name} {local} > {remote}"),
            colour: number + 1,
            secondary,
            points: points.collect(),
            ..Line::default()
        }
    });
    lines.collect()
}

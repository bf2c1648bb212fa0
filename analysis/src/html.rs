//! One HTML file with everything about captures: summary, tables, figures, findings, how to reproduce. It needs
//! no network and no fonts of its own; equal captures give equal octets.

use std::fmt::Write as _;

use crate::conformance::Finding;
use crate::ladder::{Ladder, escaped};
use crate::metrics::{ConnectionReport, Report};
use crate::plot::PlotError;
use crate::sequence::{Course, Point};
use crate::vantage::View;

/// A view with all that is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its figures.
    pub report: &'a Report,
    /// What was rebuilt.
    pub view: &'a View,
    /// Its points.
    pub points: &'a [Point],
    /// What violates the RFC.
    pub findings: &'a [Finding],
}

/// Connections drawn of a view; of the others there are tables only.
const DRAWN: usize = 4;
/// Less data than this is not drawn, in octets.
const WORTH_DRAWING: u64 = 10_000;

const STYLE: &str = "body{font-family:sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#111}\
table{border-collapse:collapse;margin:.5em 0 1.5em}td,th{border-bottom:1px solid #ccc;padding:.2em .7em;text-align:right}\
td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}.w{color:#a33}pre{background:#f4f4f4;\
padding:.7em;overflow:auto}h2{border-top:2px solid #888;padding-top:.6em}";

/// The report. `command` is what makes it again.
///
/// # Errors
/// If a figure cannot be drawn.
pub fn page(parts: &[Part<'_>], command: &str) -> Result<String, PlotError> {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>mptcp-sim: captures</title>\
         <style>{STYLE}</style></head><body>\n<h1>Analysis of captures</h1>\n"
    );
    html.push_str("<h2>Summary</h2>\n<table><tr><th>view</th><th>packets</th><th>octets</th><th>duration s</th><th>connections</th><th>findings</th></tr>\n");
    for part in parts {
        let report = part.report;
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.3}</td><td>{}</td><td>{}</td></tr>",
            escaped(&report.view),
            report.packets,
            report.octets,
            report.duration_s,
            report.connections.len(),
            part.findings.len()
        );
    }
    html.push_str("</table>\n");
    for part in parts {
        one(&mut html, part)?;
    }
    let _ = write!(
        html,
        "<h2>How to make this report again</h2>\n<pre>{}</pre>\n<p>mptcp-sim {}</p>\n</body></html>\n",
        escaped(command),
        env!("CARGO_PKG_VERSION")
    );
    Ok(html)
}

fn one(html: &mut String, part: &Part<'_>) -> Result<(), PlotError> {
    let report = part.report;
    let _ = write!(html, "<h2>{}</h2>\n<p>File {}.</p>\n", escaped(&report.view), escaped(&report.file));
    for warning in &report.warnings {
        let _ = writeln!(html, "<p class=\"w\">Warning: {}</p>", escaped(&warning.to_string()));
    }
    if !part.findings.is_empty() {
        html.push_str("<h3>Findings</h3>\n<table><tr><th>check</th><th>packet</th><th>what</th></tr>\n");
        for finding in part.findings {
            let _ = writeln!(
                html,
                "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
                finding.check,
                finding.packet,
                escaped(&finding.what)
            );
        }
        html.push_str("</table>\n");
    }
    let rebuilt =
        part.view.reconstruction.connections().iter().filter(|connection| !connection.flows.is_empty());
    for (connection, rebuilt) in report.connections.iter().zip(rebuilt) {
        let _ = write!(
            html,
            "<h3>Connection {}</h3>\n<pre>{}</pre>\n",
            connection.connection,
            escaped(&connection.to_string())
        );
        if connection.connection >= DRAWN {
            continue;
        }
        figures(html, part, connection, &rebuilt.flows)?;
        html.push_str(&Ladder::new(part.view, connection.connection, rebuilt).shortened(60).to_svg());
    }
    Ok(())
}

fn figures(
    html: &mut String,
    part: &Part<'_>,
    connection: &ConnectionReport,
    flows: &[crate::reconstruct::FlowId],
) -> Result<(), PlotError> {
    for (side, data) in connection.data.iter().enumerate() {
        if data.octets < WORTH_DRAWING {
            continue;
        }
        let course = Course::new(part.view, part.points, flows, side);
        let sender = crate::metrics::side_name(side);
        let charts = [
            course.time_sequence(&format!("Data of the {sender} over time")),
            course.goodput(&format!("Goodput of the {sender} by subflow")),
            course.rtt_distribution(&format!("Round-trip times of data of the {sender}")),
        ];
        for chart in charts.iter().filter(|chart| !chart.lines.is_empty()) {
            html.push_str(&chart.to_svg()?);
            html.push('\n');
        }
    }
    Ok(())
}

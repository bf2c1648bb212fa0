//! One HTML file with everything about captures: summary, tables, figures, findings, how to reproduce. It needs
//! no network and no fonts of its own; equal captures give equal octets.

use std::fmt::Write as _;

use crate::conformance::Finding;
use crate::delays::Delays;
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
td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}.l{text-align:left}.wide{overflow-x:auto}pre{white-space:pre-wrap}.w{color:#a33}pre{background:#f4f4f4;\
padding:.7em;overflow:auto}h2{border-top:2px solid #888;padding-top:.6em}tr.fail td{background:#fbe3d6}\
tr.info td{color:#555}table.rows td,table.rows th{text-align:left;vertical-align:top;overflow-wrap:anywhere}";

/// A document of one file: `body` between a heading and how it is made again.
pub(crate) fn document(title: &str, body: &str, command: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>\
         <style>{STYLE}</style></head><body>\n{body}<h2>How to make this report again</h2>\n<pre>{}</pre>\n\
         <p>mptcp-sim {}</p>\n</body></html>\n",
        escaped(title),
        escaped(command),
        env!("CARGO_PKG_VERSION")
    )
}

/// The report: the views, the delays between them, and `command`, which makes it again.
///
/// # Errors
/// If a figure cannot be drawn.
pub fn page(parts: &[Part<'_>], delays: &[Delays], command: &str) -> Result<String, PlotError> {
    let mut html = "<h1>Analysis of captures</h1>\n".to_owned();
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
    for delays in delays {
        let _ = write!(
            html,
            "<h2>One-way delays between {} and {}</h2>\n<p>Clocks: {}.</p>\n{}",
            escaped(&delays.near),
            escaped(&delays.far),
            escaped(&delays.clocks()),
            delays.table().to_html()
        );
        html.push_str(&delays.chart().to_svg()?);
    }
    for part in parts {
        one(&mut html, part)?;
    }
    Ok(document("mptcp-sim: captures", &html, command))
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
        let mut heading = String::new();
        // Writing to a string cannot fail.
        let _ = connection.heading(&mut heading);
        let _ = write!(
            html,
            "<h3>Connection {}</h3>\n<pre>{}</pre>\n{}",
            connection.connection,
            escaped(&heading),
            connection.table().to_html()
        );
        if connection.connection >= DRAWN {
            continue;
        }
        figures(html, part, connection, &rebuilt.flows)?;
        html.push_str(&Ladder::new(part.view, connection.connection, rebuilt).shortened(60).to_svg()?);
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
        for (_, chart) in course.charts(&format!("Data of the {sender}")) {
            html.push_str(&chart.to_svg()?);
            html.push('\n');
        }
    }
    Ok(())
}

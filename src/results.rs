//! The files of a run.

use analysis::plot::{self, Chart, PlotError};
use analysis::series::SeriesWriter;
use analysis::summary::Summary;
use scenarios::Scenario;
use serde::Serialize;

use crate::failure::Failure;
use crate::figures;
use crate::output::{Directory, MANIFEST};
use crate::samples::Samples;
use crate::simulate::Simulated;

/// Name of the capture.
pub(crate) const CAPTURE: &str = "capture.pcapng";

/// How the run can be repeated, and what it wrote.
#[derive(Serialize)]
struct Manifest<'a> {
    program: &'static str,
    version: &'static str,
    scenario: &'a str,
    seed: u64,
    digest: String,
    command: &'a str,
    files: Vec<String>,
}

/// Writes everything but the capture, which exists already, and returns the summary.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(
    directory: &Directory,
    scenario: &Scenario,
    simulated: &Simulated,
    plots: bool,
    command: &str,
) -> Result<Summary, Failure> {
    directory.write("scenario.toml", scenario.to_toml())?;
    let summary = figures::summary(scenario, &simulated.outcome);
    write_json(directory, "summary.json", &summary)?;
    if scenario.output.csv {
        write_series(directory, "subflows.csv", &simulated.samples.subflows)?;
        write_series(directory, "connections.csv", &simulated.samples.connections)?;
    }
    if plots {
        write_plots(directory, scenario, &simulated.samples)?;
    }
    let manifest = Manifest {
        program: "mptcp-sim",
        version: env!("CARGO_PKG_VERSION"),
        scenario: &scenario.name,
        seed: scenario.seed,
        digest: summary.run.digest.clone(),
        command,
        files: directory.files()?,
    };
    write_json(directory, MANIFEST, &manifest)?;
    Ok(summary)
}

/// Writes a value as JSON.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write_json(directory: &Directory, name: &str, value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value);
    let json = json.map_err(|error| Failure::message(format!("{name}: {error}"), None))?;
    directory.write(name, json + "\n")
}

/// Writes rows as CSV.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write_series(
    directory: &Directory,
    name: &str,
    samples: &[impl Serialize],
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io("write", &directory.path(name), &error);
    let mut writer = SeriesWriter::new(directory.create(name)?);
    for sample in samples {
        writer.write(sample).map_err(|error| failed(error.into()))?;
    }
    writer.finish().map_err(failed)?;
    Ok(())
}

fn write_plots(directory: &Directory, scenario: &Scenario, samples: &Samples) -> Result<(), Failure> {
    let Samples { subflows, connections, .. } = samples;
    let title = &scenario.title;
    let charts: [(&str, Chart); 5] = [
        ("goodput", plot::goodput(title, subflows, connections)),
        ("windows", plot::windows(title, subflows)),
        ("cumulative-bytes", plot::cumulative_bytes(title, subflows, connections)),
        ("rtt", plot::round_trip_times(title, subflows)),
        ("in-flight", plot::in_flight(title, subflows)),
    ];
    for (name, chart) in charts {
        for ending in ["svg", "png"] {
            let failed = |error: PlotError| Failure::message(error.to_string(), None);
            chart.write(&directory.path(&format!("{name}.{ending}"))).map_err(failed)?;
        }
    }
    Ok(())
}

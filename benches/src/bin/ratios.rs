//! Measures the workloads side by side with a minimal simulator, the floor, and counts instructions.
//!
//! The floor is a program outside the project that runs the same workloads: called as
//! `PROGRAM mini W1 10 1` (workload, seconds, flows) it prints a line with `delivered=` and `ns/pkt=`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use benches::{Kind, Workload};
use clap::Parser;
use serde::Serialize;
use serde_json::Value;

/// Cost of the workloads for each delivered packet, absolute, relative to the floor, and in instructions.
///
/// Runs `workloads` from the directory of this program.
#[derive(Debug, Parser)]
struct Arguments {
    /// Workloads to run; all if none is given
    workloads: Vec<Kind>,
    /// The floor program; without it there are no ratios
    #[arg(long, env = "FLOOR", value_name = "PROGRAM")]
    floor: Option<PathBuf>,
    /// Measurements, of which the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Let the least measurement count instead, which tells more on a machine that others use too
    #[arg(long)]
    least: bool,
    /// Count instructions under callgrind (valgrind must be installed)
    #[arg(long)]
    instructions: bool,
    /// Print JSON instead of a Markdown table
    #[arg(long)]
    json: bool,
}

/// One line of the table. Costs are for each delivered packet.
#[derive(Serialize)]
struct Row {
    workload: &'static str,
    flows: u32,
    delivered: u64,
    ns: f64,
    floor_ns: Option<f64>,
    ratio: Option<f64>,
    events: f64,
    instructions: Option<f64>,
    peak_rss_bytes: Option<u64>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let program = std::env::current_exe()?.with_file_name("workloads");
    let kinds = if arguments.workloads.is_empty() { &Kind::ALL[..] } else { &arguments.workloads };
    let mut rows = Vec::new();
    for &kind in kinds {
        // How the cost grows with the number of flows is what W5 is for.
        let sizes: &[u32] = if kind == Kind::W5 { &[10, 1000] } else { &[Workload::new(kind).flows] };
        for &flows in sizes {
            rows.push(measure(arguments, &program, kind, flows)?);
        }
    }
    print(&rows, arguments.json)
}

fn measure(arguments: &Arguments, program: &Path, kind: Kind, flows: u32) -> io::Result<Row> {
    let seconds = Workload::new(kind).span.as_secs_f64();
    let mut report = Value::Null;
    let (mut own, mut floor) = (Vec::new(), Vec::new());
    // In turns, so that both meet the same state of the machine.
    for _ in 0..arguments.runs {
        if let Some(program) = &arguments.floor {
            let mut command = Command::new(program);
            command.args(["mini", kind.name(), &seconds.to_string(), &flows.to_string()]);
            let line = output(&mut command)?;
            let words: BTreeMap<_, _> = line.split_whitespace().filter_map(|w| w.split_once('=')).collect();
            let ns = words.get("ns/pkt").and_then(|ns| ns.parse().ok());
            floor.push(ns.ok_or_else(|| io::Error::other(format!("the floor printed no ns/pkt: {line}")))?);
        }
        report = run_workload(&mut Command::new(program), kind, seconds, flows)?;
        own.push(number(&report, "ns_per_packet")?);
    }
    let typical = |values: &mut [f64]| {
        values.sort_by(f64::total_cmp);
        values[if arguments.least { 0 } else { values.len() / 2 }]
    };
    let ns = typical(&mut own);
    let floor_ns = (!floor.is_empty()).then(|| typical(&mut floor));
    let delivered = number(&report, "delivered")?;
    let instructions = if arguments.instructions {
        // The difference of two lengths leaves out the start and what is not simulation.
        let [short, long] = [seconds / 10.0, seconds / 5.0];
        let (short, long) = (count(program, kind, short, flows)?, count(program, kind, long, flows)?);
        Some((long.0 - short.0) / (long.1 - short.1))
    } else {
        None
    };
    Ok(Row {
        workload: kind.name(),
        flows,
        delivered: delivered as u64,
        ns,
        floor_ns,
        ratio: floor_ns.map(|floor| ns / floor),
        events: number(&report, "events")? / delivered,
        instructions,
        peak_rss_bytes: report["peak_rss_bytes"].as_u64(),
    })
}

/// Instructions of a run, and packets delivered.
fn count(program: &Path, kind: Kind, seconds: f64, flows: u32) -> io::Result<(f64, f64)> {
    let file = std::env::temp_dir().join(format!("callgrind.{}", std::process::id()));
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", file.display()));
    let report = run_workload(command.arg(program), kind, seconds, flows)?;
    let profile = std::fs::read_to_string(&file)?;
    std::fs::remove_file(&file)?;
    let total = profile.lines().find_map(|line| line.strip_prefix("totals:"));
    let total = total.and_then(|total| total.trim().parse().ok());
    let total: f64 = total.ok_or_else(|| io::Error::other("callgrind wrote no totals"))?;
    Ok((total, number(&report, "delivered")?))
}

fn run_workload(command: &mut Command, kind: Kind, seconds: f64, flows: u32) -> io::Result<Value> {
    let (seconds, flows) = (seconds.to_string(), flows.to_string());
    command.args([kind.name(), "--json", "--seconds", &seconds, "--flows", &flows]);
    Ok(serde_json::from_str(&output(command)?)?)
}

fn output(command: &mut Command) -> io::Result<String> {
    let program = command.get_program().display().to_string();
    let named = |error| io::Error::other(format!("{program}: {error}"));
    let output = command.output().map_err(|error| named(error.to_string()))?;
    if !output.status.success() {
        return Err(named(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))));
    }
    String::from_utf8(output.stdout).map_err(|error| named(error.to_string()))
}

fn number(report: &Value, field: &str) -> io::Result<f64> {
    report[field].as_f64().ok_or_else(|| io::Error::other(format!("the report has no number {field}")))
}

fn print(rows: &[Row], json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, rows)?;
        return writeln!(out);
    }
    writeln!(
        out,
        "| workload | flows | delivered | ns | floor, ns | ratio | events | instructions | peak MiB |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    let or_dash = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    for row in rows {
        writeln!(
            out,
            "| {} | {} | {} | {:.0} | {} | {} | {:.2} | {} | {} |",
            row.workload,
            row.flows,
            row.delivered,
            row.ns,
            or_dash(row.floor_ns, 0),
            or_dash(row.ratio, 2),
            row.events,
            or_dash(row.instructions, 0),
            or_dash(row.peak_rss_bytes.map(|bytes| bytes as f64 / 1_048_576.0), 1),
        )?;
    }
    Ok(())
}

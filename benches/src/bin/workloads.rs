//! Runs one workload and prints what it cost.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use analysis::pcapng::{CaptureObserver, Interface, LinkLayer, PcapngWriter, Section};
use benches::{Kind, Network, Outcome, Workload, process};
use clap::Parser;
use mptcp_model::wire::Packet;
use serde::Serialize;
use sim_core::{Duration, HeapAgenda, Observer};

/// Run a workload and print what it delivered and cost.
#[derive(Debug, Parser)]
struct Arguments {
    /// W1, W2, W3, W4a, W4b or W5
    workload: Kind,
    /// Simulated time; the usual one of the workload if not given
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Flows of W2 and W5
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    flows: Option<u32>,
    /// Capture whole packets at every port of every link to this pcapng file
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// Octets of each packet to capture
    #[arg(long, value_name = "N", default_value_t = 262_144, requires = "capture")]
    snap_len: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=1e6).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds from 0 to 1000000 is needed".to_owned()),
    }
}

#[derive(Serialize)]
struct Report {
    workload: &'static str,
    flows: u32,
    seconds: f64,
    delivered: u64,
    drops: u64,
    events: u64,
    ns_per_packet: f64,
    peak_rss_bytes: Option<u64>,
    digest: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut workload = Workload::new(arguments.workload);
    workload.span = arguments.seconds.unwrap_or(workload.span);
    workload.flows = arguments.flows.unwrap_or(workload.flows);
    let measured = match &arguments.capture {
        None => Ok(measure(&workload, workload.build::<HeapAgenda>()).0),
        Some(path) => measure_captured(&workload, path, arguments.snap_len),
    };
    let report = match measured {
        Ok(report) => report,
        Err(error) => {
            eprintln!("cannot write the capture: {error}");
            return ExitCode::from(2);
        }
    };
    match print(&report, arguments.json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot print the result: {error}");
            ExitCode::from(2)
        }
    }
}

/// As [`measure`], while every port of every link is captured to `path`.
fn measure_captured(workload: &Workload, path: &Path, snap_len: u32) -> io::Result<Report> {
    let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let writer = PcapngWriter::new(file, &Section::default(), snap_len)?;
    let mut network: Network<HeapAgenda, _> = workload.build_with(CaptureObserver::new(writer));
    for (node, port, name) in network.ports() {
        let interface = Interface {
            name: format!("{name}:{}", node.0),
            description: String::new(),
            link: LinkLayer::RawIp,
        };
        network.observer_mut().capture(node, port, &interface)?;
    }
    let (report, network) = measure(workload, network);
    network.into_observer().finish()?.flush()?;
    Ok(report)
}

fn measure<O: Observer<Packet>>(
    workload: &Workload,
    mut network: Network<HeapAgenda, O>,
) -> (Report, Network<HeapAgenda, O>) {
    let before = process::cpu_time();
    let Outcome { delivered, drops, events, digest } = network.run(workload.span);
    let used = process::cpu_time().saturating_sub(before);
    let report = Report {
        workload: workload.kind.name(),
        flows: workload.flows,
        seconds: workload.span.as_secs_f64(),
        delivered,
        drops,
        events,
        ns_per_packet: used.as_nanos() as f64 / delivered.max(1) as f64,
        peak_rss_bytes: process::peak_memory(),
        digest: format!("{digest:016x}"),
    };
    (report, network)
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report)?;
        return writeln!(out);
    }
    let Report { workload, flows, seconds, delivered, drops, events, ns_per_packet, peak_rss_bytes, digest } =
        report;
    writeln!(out, "workload        {workload}")?;
    writeln!(out, "flows           {flows}")?;
    writeln!(out, "seconds         {seconds}")?;
    writeln!(out, "delivered       {delivered}")?;
    writeln!(out, "drops           {drops}")?;
    writeln!(out, "events          {events}")?;
    writeln!(out, "ns_per_packet   {ns_per_packet:.1}")?;
    match peak_rss_bytes {
        Some(bytes) => writeln!(out, "peak_rss_bytes  {bytes}")?,
        None => writeln!(out, "peak_rss_bytes  unknown")?,
    }
    writeln!(out, "digest          {digest}")
}

//! What a comparison is of: captures, the directory of a run, or ground truth, as results of one form; one run or
//! several of the same thing.
//!
//! The host of a capture is the part of its interface names before the colon; else the part of the file name
//! between its last two dots before the ending, as in `case.client.pcapng`; else `capture`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::capture::{CaptureError, CaptureReader};
use crate::delays::{Delays, Point, Recorder, delays};
use crate::groundtruth::{FlowResult, GroundTruth, GroundTruthError, Results, Topology};
use crate::series::SubflowSample;
use crate::summary::Summary;
use crate::trace::{HostAnalysis, PacketView, TraceAnalyser};
use crate::vantage;

/// One side of a comparison.
#[derive(Clone, Debug)]
pub struct Side {
    /// Where it is from.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// What was measured, by run, in order of their names. Captures alone have no flows and links.
    pub runs: Vec<Results>,
    /// The network, if it is known.
    pub topology: Topology,
    /// Whether flows and links were measured at the application and at the links.
    pub measured: bool,
}

/// Why a side could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SideError {
    /// A file could not be read.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// A JSON file is no ground truth.
    #[error("{0}: {1}")]
    GroundTruth(String, GroundTruthError),
    /// `summary.json` of a run is damaged.
    #[error("{0}: {1}")]
    Summary(String, serde_json::Error),
    /// The samples of a run are damaged.
    #[error("{0}: {1}")]
    Samples(String, csv::Error),
    /// Captures and other things are mixed.
    #[error("{0}: captures cannot stand beside runs and ground truths on one side")]
    Mixed(String),
    /// Two captures of one run are of the same host.
    #[error("{0}: another capture of this side is of the host `{1}` too; name files CASE.HOST.pcapng")]
    SameHost(String, String),
    /// There is no run.
    #[error("{0}: neither a run nor runs nor ground truths are in it")]
    Empty(String),
    /// A capture could not be read to its end.
    #[error("{0}: {1}")]
    Capture(String, CaptureError),
}

impl Side {
    /// Reads a directory of a run or of several runs, a ground truth (`.json`), a capture, or several of these with
    /// commas between them. Several captures are of one run, all else is a run each.
    ///
    /// # Errors
    /// If a file cannot be read, or is none of these.
    pub fn read(argument: &str) -> Result<Self, SideError> {
        let whole = Path::new(argument);
        let paths: Vec<PathBuf> = if whole.exists() {
            vec![whole.to_owned()]
        } else {
            argument.split(',').map(PathBuf::from).collect()
        };
        let is_capture = |path: &Path| !path.is_dir() && !is_json(path);
        if paths.iter().all(|path| is_capture(path)) {
            let mut analysis = BTreeMap::new();
            let delays = delays_of(&paths)?;
            for path in paths {
                for (host, seen) in hosts(&path)? {
                    if analysis.insert(host.clone(), seen).is_some() {
                        return Err(SideError::SameHost(path.display().to_string(), host));
                    }
                }
            }
            let results = Results { analysis, delays, ..Results::default() };
            return Ok(Self {
                name: argument.to_owned(),
                title: String::new(),
                runs: vec![results],
                topology: Topology::default(),
                measured: false,
            });
        }
        let mut parts = Vec::new();
        for path in &paths {
            if is_capture(path) {
                return Err(SideError::Mixed(path.display().to_string()));
            }
            let found = if path.is_dir() { runs_below(path)? } else { vec![path.clone()] };
            for run in found {
                parts.push(if is_json(&run) { Self::truth(&run)? } else { Self::run(&run)? });
            }
        }
        let mut parts = parts.into_iter();
        let mut first = parts.next().ok_or_else(|| SideError::Empty(argument.to_owned()))?;
        for part in parts {
            first.runs.extend(part.runs);
        }
        first.name = argument.to_owned();
        Ok(first)
    }

    fn truth(path: &Path) -> Result<Self, SideError> {
        let name = path.display().to_string();
        let json = std::fs::read(path).map_err(|error| SideError::Io(name.clone(), error))?;
        let truth = GroundTruth::from_json(&json);
        let truth = truth.map_err(|error| SideError::GroundTruth(name.clone(), error))?;
        let GroundTruth { title, results, topology, .. } = truth;
        Ok(Self { name, title, runs: vec![results], topology, measured: true })
    }

    fn run(directory: &Path) -> Result<Self, SideError> {
        let name = directory.display().to_string();
        let file = directory.join("summary.json");
        let place = file.display().to_string();
        let json = std::fs::read(&file).map_err(|error| SideError::Io(place.clone(), error))?;
        let summary: Summary =
            serde_json::from_slice(&json).map_err(|error| SideError::Summary(place, error))?;
        let capture = directory.join("capture.pcapng");
        let analysis = if capture.exists() { hosts(&capture)? } else { BTreeMap::new() };
        let title = format!("run of {}, seed {}", summary.run.name, summary.run.seed);
        let mut results = Results::from_summary(&summary, analysis);
        if capture.exists() {
            results.delays = delays_of(&[capture])?;
        }
        let samples = directory.join("subflows.csv");
        if samples.exists() {
            let place = samples.display().to_string();
            let samples = read_samples(&samples).map_err(|error| SideError::Samples(place, error))?;
            results.add_samples(&samples);
        }
        Ok(Self { name, title, runs: vec![results], topology: Topology::default(), measured: true })
    }
}

fn is_json(path: &Path) -> bool {
    !path.is_dir() && path.extension().is_some_and(|ending| ending == "json")
}

fn read_samples(path: &Path) -> Result<Vec<SubflowSample>, csv::Error> {
    csv::Reader::from_path(path)?.deserialize().collect()
}

/// The directory itself if it is a run; else the runs in it, in order of their names: its subdirectories with a
/// `summary.json`, or if there are none its ground truths.
fn runs_below(directory: &Path) -> Result<Vec<PathBuf>, SideError> {
    let io = |error| SideError::Io(directory.display().to_string(), error);
    if directory.join("summary.json").exists() {
        return Ok(vec![directory.to_owned()]);
    }
    let entries =
        std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(io)?;
    let paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
    let mut found: Vec<_> =
        paths.iter().filter(|path| path.join("summary.json").is_file()).cloned().collect();
    if found.is_empty() {
        found = paths.into_iter().filter(|path| is_json(path)).collect();
    }
    if found.is_empty() {
        return Err(SideError::Empty(directory.display().to_string()));
    }
    found.sort();
    Ok(found)
}

/// Prepares two sides for each other: what only one of them could measure is left out of both, and two
/// captures of one host each are of the same host whatever its name. Returns what was left out.
pub fn align(a: &mut Side, b: &mut Side) -> Vec<String> {
    let mut left_out = Vec::new();
    if a.measured != b.measured {
        for results in a.runs.iter_mut().chain(&mut b.runs) {
            results.flows.clear();
            results.links.clear();
        }
        left_out.push("goodput, completion and links: captures alone do not tell them".to_owned());
    }
    let (untold_by_a, untold_by_b) = (untold(a), untold(b));
    for (side, untold) in [(&mut *a, &untold_by_b), (&mut *b, &untold_by_a)] {
        let flows = side.runs.iter_mut().flat_map(|run| &mut run.flows);
        for flow in flows.filter(|flow| untold.contains(&flow.name)) {
            (flow.goodput_bps, flow.completion_s) = (None, None);
        }
    }
    let names = |side: &Side| -> BTreeSet<String> {
        side.runs.iter().flat_map(|run| run.analysis.keys().cloned()).collect()
    };
    let (of_a, of_b) = (names(a), names(b));
    let only = |names: &BTreeSet<String>| names.first().cloned().filter(|_| names.len() == 1);
    if let (Some(one), Some(other)) = (only(&of_a), only(&of_b))
        && one != other
    {
        for run in &mut b.runs {
            if let Some(analysis) = run.analysis.remove(&other) {
                run.analysis.insert(one.clone(), analysis);
            }
        }
        return left_out;
    }
    for (side, other, own) in [(&mut *a, &of_b, &of_a), (&mut *b, &of_a, &of_b)] {
        for name in own.iter().filter(|name| !other.contains(*name)) {
            for run in &mut side.runs {
                run.analysis.remove(name);
            }
            left_out.push(format!("host {name}: only in {}", side.name));
        }
    }
    left_out
}

/// Flows that brought data, but of which no run tells the goodput: too short to have one.
fn untold(side: &Side) -> BTreeSet<String> {
    let flows = || side.runs.iter().flat_map(|run| &run.flows);
    let received =
        |flow: &FlowResult| [&flow.client, &flow.server].into_iter().flatten().any(|end| end.received > 0);
    let told: BTreeSet<_> =
        flows().filter(|flow| flow.goodput_bps.is_some()).map(|flow| &flow.name).collect();
    let short = flows().filter(|flow| received(flow) && !told.contains(&flow.name));
    short.map(|flow| flow.name.clone()).collect()
}

/// The one-way delays between all hosts in captures.
fn delays_of(paths: &[PathBuf]) -> Result<Vec<Delays>, SideError> {
    let mut read = Vec::new();
    for path in paths {
        let mut recorder = Recorder::default();
        let failed = |error| SideError::Capture(path.display().to_string(), error);
        let (views, _) = vantage::read(path, &mut recorder).map_err(failed)?;
        read.push((views, recorder));
    }
    let points: Vec<_> = read
        .iter()
        .flat_map(|(views, recorder)| {
            views.iter().enumerate().map(move |(index, view)| Point { view, index, recorder })
        })
        .collect();
    Ok(delays(&points))
}

/// The analysis of each host in a capture, times from its first packet.
fn hosts(path: &Path) -> Result<BTreeMap<String, HostAnalysis>, SideError> {
    let failed = |error| SideError::Capture(path.display().to_string(), error);
    let mut reader = CaptureReader::open(path).map_err(failed)?;
    let own = host_of(path);
    let mut analysers: BTreeMap<String, TraceAnalyser> = BTreeMap::new();
    let mut start = None;
    while let Some(frame) = reader.next_frame().map_err(failed)? {
        let (host, interface) = frame.interface_name.split_once(':').unwrap_or((&own, frame.interface_name));
        let since = frame.nanos.saturating_sub(*start.get_or_insert(frame.nanos));
        if !analysers.contains_key(host) {
            analysers.insert(host.to_owned(), TraceAnalyser::new());
        }
        let Some(analyser) = analysers.get_mut(host) else { continue };
        match frame.ip().and_then(|(octets, len, _)| PacketView::parse(octets, len)) {
            Some(packet) => analyser.push(since, interface, &packet),
            None => analyser.push_other(),
        }
    }
    Ok(analysers.into_iter().map(|(host, analyser)| (host, analyser.finish())).collect())
}

fn host_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.rsplit_once('.').map_or("capture", |(_, host)| host).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_capture_is_in_its_name() {
        for (file, host) in [
            ("a/c1.client.pcapng.gz", "client"),
            ("c1.server.pcap", "server"),
            ("trace.pcapng", "capture"),
            ("trace", "capture"),
        ] {
            assert_eq!(host_of(Path::new(file)), host);
        }
    }
}

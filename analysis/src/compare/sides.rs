//! What a comparison is of: captures, the directory of a run, or ground truth, as results of one form.
//!
//! The host of a capture is the part of its interface names before the colon; else the part of the file name
//! between its last two dots before the ending, as in `case.client.pcapng`; else `capture`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::capture::{CaptureError, CaptureReader};
use crate::groundtruth::{GroundTruth, GroundTruthError, Results};
use crate::summary::Summary;
use crate::trace::{HostAnalysis, PacketView, TraceAnalyser};

/// One side of a comparison.
#[derive(Clone, Debug)]
pub struct Side {
    /// Where it is from.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// What was measured. Captures alone have no flows and links.
    pub results: Results,
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
    /// A capture could not be read to its end.
    #[error("{0}: {1}")]
    Capture(String, CaptureError),
}

impl Side {
    /// Reads a directory of a run, a ground truth (`.json`), a capture, or several captures of one run with
    /// commas between them.
    ///
    /// # Errors
    /// If a file cannot be read, or is none of these.
    pub fn read(argument: &str) -> Result<Self, SideError> {
        let path = Path::new(argument);
        if path.is_dir() {
            return Self::run(path);
        }
        if path.extension().is_some_and(|ending| ending == "json") {
            let json = std::fs::read(path).map_err(|error| SideError::Io(argument.to_owned(), error))?;
            let truth = GroundTruth::from_json(&json);
            let truth = truth.map_err(|error| SideError::GroundTruth(argument.to_owned(), error))?;
            let GroundTruth { title, results, .. } = truth;
            return Ok(Self { name: argument.to_owned(), title, results, measured: true });
        }
        let paths: Vec<PathBuf> = if path.exists() {
            vec![path.to_owned()]
        } else {
            argument.split(',').map(PathBuf::from).collect()
        };
        let mut analysis = BTreeMap::new();
        for path in paths {
            analysis.append(&mut hosts(&path)?);
        }
        let results = Results { analysis, ..Results::default() };
        Ok(Self { name: argument.to_owned(), title: String::new(), results, measured: false })
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
        Ok(Self { name, title, results: Results::from_summary(&summary, analysis), measured: true })
    }
}

/// Prepares two sides for each other: what only one of them could measure is left out of both, and two
/// captures of one host each are of the same host whatever its name. Returns what was left out.
pub fn align(a: &mut Side, b: &mut Side) -> Vec<String> {
    let mut left_out = Vec::new();
    if a.measured != b.measured {
        for side in [&mut *a, &mut *b] {
            side.results.flows.clear();
            side.results.links.clear();
        }
        left_out.push("goodput, completion and links: captures alone do not tell them".to_owned());
    }
    let names = |side: &Side| side.results.analysis.keys().cloned().collect::<Vec<_>>();
    let (of_a, of_b) = (names(a), names(b));
    if let ([one], [other]) = (of_a.as_slice(), of_b.as_slice())
        && one != other
        && let Some(analysis) = b.results.analysis.remove(other)
    {
        b.results.analysis.insert(one.clone(), analysis);
        return left_out;
    }
    for (side, other, own) in [(&mut *a, &of_b, &of_a), (&mut *b, &of_a, &of_b)] {
        for name in own.iter().filter(|name| !other.contains(name)) {
            side.results.analysis.remove(name);
            left_out.push(format!("host {name}: only in {}", side.name));
        }
    }
    left_out
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

//! The reconstruction of every capture at hand, packet by packet, against tshark with its MPTCP analysis.
//!
//! Streams, connections and options must be the same. Of retransmissions and reinjections the two judge
//! differently in the ways listed at [`Difference`]; anything else fails. Where a kernel counted its
//! retransmissions, ours must be exactly as many.
//!
//! Without tshark these tests say so and pass, unless the variable `MPTCP_SIM_REQUIRE_TSHARK` is set.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use analysis::capture::CaptureReader;
use analysis::reconstruct::{Captured, Novelty, Reconstruction, Segment};
use analysis::trace::PacketView;
use serde_json::Value;

const FIELDS: [&str; 13] = [
    "frame.number",
    "tcp.stream",
    "mptcp.stream",
    "tcp.options.mptcp.subtype",
    "tcp.analysis.retransmission",
    "tcp.analysis.fast_retransmission",
    "tcp.analysis.spurious_retransmission",
    "tcp.analysis.out_of_order",
    "tcp.analysis.keep_alive",
    "tcp.analysis.zero_window_probe",
    "mptcp.reinjection_of",
    "icmp.type",
    "mptcp.analysis.subflows",
];

/// How the two may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// tshark takes what fills a hole within the initial round-trip time, or 3 ms, for out of order; we look at
    /// the timestamp, which tells when it was sent.
    LateByTimestamp,
    /// tshark calls a segment a reinjection that its own subflow had carried first, because another subflow
    /// carried the data in between. That is a retransmission.
    OwnDataAgain,
    /// Data that its own subflow had carried first, under other numbers, as the redundant scheduler of the
    /// out-of-tree line does. We name that packet, tshark the one on the other subflow.
    OwnDataReinjected,
    /// tshark looks for the first number of a mapping only: later segments of a mapping that began before what
    /// was carried are missed.
    LaterPieceOfMapping,
    /// A subflow whose handshake is not in the capture: its data numbers show to which connection it belongs,
    /// where tshark makes one of its own.
    MatchedByDataNumbers,
}

struct Outcome {
    name: String,
    packets: usize,
    differences: BTreeMap<Difference, u64>,
    /// Retransmissions the kernel counted.
    counted: Option<u64>,
    wrong: Vec<String>,
}

fn tshark_is_there() -> bool {
    let there = Command::new("tshark").arg("--version").output().is_ok_and(|output| output.status.success());
    let required = std::env::var_os("MPTCP_SIM_REQUIRE_TSHARK").is_some();
    assert!(there || !required, "MPTCP_SIM_REQUIRE_TSHARK is set, but tshark cannot be run");
    if !there {
        println!("SKIPPED: tshark is not installed");
    }
    there
}

fn tshark(path: &Path) -> Vec<Vec<String>> {
    let preferences = [
        "mptcp.analyze_mptcp:TRUE",
        "mptcp.analyze_mappings:TRUE",
        "mptcp.intersubflows_retransmission:TRUE",
        "mptcp.relative_sequence_numbers:FALSE",
    ];
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).args(["-T", "fields", "-E", "separator=|", "-E", "aggregator=;"]);
    // The payload is nobody's protocol.
    command.args(["-d", "tcp.port==1-65535,echo"]);
    command.args(preferences.iter().flat_map(|preference| ["-o", preference]));
    command.args(FIELDS.iter().flat_map(|field| ["-e", field]));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

/// What we make of each packet, and how many retransmissions came from one of `addresses`.
fn ours(path: &Path, addresses: &[IpAddr]) -> (Reconstruction, Vec<Option<Segment>>, u64) {
    let mut reader = CaptureReader::open(path).unwrap();
    let mut reconstruction = Reconstruction::new();
    let mut segments = Vec::new();
    let mut sent_again = 0;
    while let Some(frame) = reader.next_frame().unwrap() {
        let packet = frame.ip().and_then(|(octets, len, _)| Some((PacketView::parse(octets, len)?, len)));
        let Some((packet, wire_len)) = packet else {
            reconstruction.push_other();
            segments.push(None);
            continue;
        };
        let (number, nanos, interface) = (frame.number, frame.nanos, frame.interface);
        let segment = reconstruction.push(&Captured { number, nanos, interface, wire_len, packet });
        let again = segment.is_some_and(|segment| segment.novelty == Novelty::Retransmission);
        sent_again += u64::from(again && addresses.contains(&packet.src));
        segments.push(segment);
    }
    reconstruction.finish();
    (reconstruction, segments, sent_again)
}

fn compare(path: &Path) -> Outcome {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let rows = tshark(path);
    let kernel = kernel_retransmissions(path);
    let addresses: &[IpAddr] = kernel.as_ref().map_or(&[], |(addresses, _)| addresses);
    let (reconstruction, segments, sent_again) = ours(path, addresses);
    let mut outcome = Outcome {
        name: name.clone(),
        packets: rows.len(),
        differences: BTreeMap::new(),
        counted: None,
        wrong: Vec::new(),
    };
    if rows.len() != segments.len() {
        outcome.wrong.push(format!("{} packets instead of {}", segments.len(), rows.len()));
        return outcome;
    }
    let mut streams = BTreeMap::new();
    let mut connections: BTreeMap<String, usize> = BTreeMap::new();
    let mut back = BTreeMap::new();
    for (row, segment) in rows.iter().zip(&segments) {
        let has = |field: &str| !row[FIELDS.iter().position(|known| *known == field).unwrap()].is_empty();
        let number = &row[0];
        let Some(segment) = segment else {
            if has("tcp.stream") && !has("icmp.type") {
                outcome.wrong.push(format!("packet {number}: no segment"));
            }
            continue;
        };
        let flow = segment.flow.index();
        if streams.entry(flow).or_insert_with(|| row[1].clone()) != &row[1] {
            outcome.wrong.push(format!("packet {number}: TCP stream {}, flow {flow}", row[1]));
        }
        if has("mptcp.stream") {
            let connection = reconstruction.flows()[flow].connection.index();
            let same = *connections.entry(row[2].clone()).or_insert(connection) == connection;
            let one = back.entry(connection).or_insert_with(|| row[2].clone()) == &row[2];
            if !same {
                outcome
                    .wrong
                    .push(format!("packet {number}: MPTCP stream {}, connection {connection}", row[2]));
            } else if !one && !reconstruction.flows()[flow].from_start {
                *outcome.differences.entry(Difference::MatchedByDataNumbers).or_insert(0) += 1;
            } else if !one {
                outcome.wrong.push(format!("packet {number}: MPTCP streams are one connection {connection}"));
            }
        }
        let subtypes = row[3].split(';').filter(|subtype| !subtype.is_empty());
        let bits = subtypes.fold(0u16, |bits, subtype| bits | 1 << subtype.parse::<u16>().unwrap());
        if bits != segment.subtypes {
            outcome
                .wrong
                .push(format!("packet {number}: options {:x} instead of {bits:x}", segment.subtypes));
        }
        let again = has("tcp.analysis.retransmission")
            || has("tcp.analysis.fast_retransmission")
            || has("tcp.analysis.spurious_retransmission");
        let probe = has("tcp.analysis.keep_alive") || has("tcp.analysis.zero_window_probe");
        match (segment.novelty, again, has("tcp.analysis.out_of_order"), probe) {
            (Novelty::Retransmission, true, ..)
            | (Novelty::OutOfOrder, false, true, _)
            | (Novelty::Probe, .., true)
            | (Novelty::New | Novelty::Empty, false, false, false) => {}
            (Novelty::Retransmission, false, true, _) => {
                *outcome.differences.entry(Difference::LateByTimestamp).or_insert(0) += 1;
            }
            (novelty, ..) => outcome.wrong.push(format!("packet {number}: {novelty:?}, tshark: {row:?}")),
        }
        let difference = match (has("mptcp.reinjection_of"), segment.copy_of.is_some(), segment.novelty) {
            (true, false, Novelty::Retransmission | Novelty::Probe) => Difference::OwnDataAgain,
            (true, false, _) if segment.reinjection => Difference::OwnDataReinjected,
            (true, false, _) => {
                outcome.wrong.push(format!("packet {number}: no reinjection, tshark: {row:?}"));
                continue;
            }
            (false, true, _) => Difference::LaterPieceOfMapping,
            _ => continue,
        };
        *outcome.differences.entry(difference).or_insert(0) += 1;
    }
    if let Some((_, counted)) = kernel {
        outcome.counted = Some(counted);
        if counted != sent_again {
            outcome.wrong.push(format!("{sent_again} retransmissions, the kernel counted {counted}"));
        }
    }
    outcome
}

/// The addresses of the capturing host and what its kernel counted, if the whole run was captured.
fn kernel_retransmissions(path: &Path) -> Option<(Vec<IpAddr>, u64)> {
    let name = path.file_name()?.to_str()?;
    let case = name.split('.').next()?;
    let json = std::fs::read(path.with_file_name(format!("{case}.json"))).ok()?;
    let json: Value = serde_json::from_slice(&json).ok()?;
    let capture = json["captures"].as_array()?.iter().find(|capture| capture["file"] == name)?;
    if capture.get("stored_until_s").is_some() {
        return None;
    }
    let host = capture["host"].as_str()?;
    let counters = json["results"]["nstat"].get(host)?;
    let interfaces = json["topology"]["addresses"].as_object()?;
    let own = interfaces.iter().filter(|(name, _)| name.starts_with(&format!("{host}:")));
    let addresses = own.flat_map(|(_, addresses)| addresses.as_array().cloned().unwrap_or_default());
    let addresses = addresses.filter_map(|address| address.as_str()?.split('/').next()?.parse().ok());
    Some((addresses.collect(), counters["TcpRetransSegs"].as_u64().unwrap_or(0)))
}

fn captures(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        [".pcap", ".pcapng", ".gz"].iter().any(|ending| name.ends_with(ending))
    });
    files.sort();
    files
}

fn judge(files: &[PathBuf]) {
    let next = Mutex::new(files.iter());
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(file) = next.lock().unwrap().next() else { break };
                    let outcome = compare(file);
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by(|a, b| a.name.cmp(&b.name));
    let mut wrong = 0;
    let mut differences: BTreeMap<Difference, u64> = BTreeMap::new();
    for outcome in &outcomes {
        println!(
            "{}: {} packets, kernel counted {:?}, {:?}",
            outcome.name, outcome.packets, outcome.counted, outcome.differences
        );
        for what in outcome.wrong.iter().take(8) {
            println!("    {what}");
        }
        wrong += outcome.wrong.len();
        for (difference, count) in &outcome.differences {
            *differences.entry(*difference).or_insert(0) += count;
        }
    }
    let packets: usize = outcomes.iter().map(|outcome| outcome.packets).sum();
    println!("{} captures, {packets} packets, {differences:?}", outcomes.len());
    assert_eq!(wrong, 0, "packets judged otherwise without a reason");
}

#[test]
fn small_captures_are_what_tshark_makes_of_them() {
    if tshark_is_there() {
        let files = captures(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"));
        assert!(files.len() >= 6);
        judge(&files);
    }
}

/// All captures of real stacks, if they are there: `MPTCP_REFERENCE` or `../shared/reference` beside the
/// workspace.
#[test]
fn every_reference_capture_is_what_tshark_makes_of_it() {
    let folder = std::env::var_os("MPTCP_REFERENCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference"), PathBuf::from);
    if !folder.is_dir() {
        println!("SKIPPED: no reference captures in {}", folder.display());
        return;
    }
    if tshark_is_there() {
        let folders = [folder.clone(), folder.join("oot"), folder.join("public-captures")];
        judge(&folders.iter().flat_map(|folder| captures(folder)).collect::<Vec<_>>());
    }
}

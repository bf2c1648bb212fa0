//! The captures of all built-in scenarios before the eyes of tshark.
//!
//! Without tshark these tests say so and pass, unless the variable `MPTCP_SIM_REQUIRE_TSHARK` is set.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Results, builtin, builtin_names, scratch};

/// Severity of errors in tshark's numbering.
const EXPERT_ERROR: u32 = 0x0080_0000;
/// Value of `tcp.checksum.status` and `ip.checksum.status` for a right checksum.
const CHECKSUM_GOOD: &str = "1";

const OPTIONS: [&str; 5] = [
    "ip.check_checksum:TRUE",
    "tcp.check_checksum:TRUE",
    "mptcp.analyze_mptcp:TRUE",
    "mptcp.analyze_mappings:TRUE",
    "mptcp.relative_sequence_numbers:FALSE",
];

/// A frame as tshark sees it: the values of each field.
type Frame = BTreeMap<&'static str, Vec<String>>;

fn tshark_is_there() -> bool {
    let there = Command::new("tshark").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        assert!(
            std::env::var_os("MPTCP_SIM_REQUIRE_TSHARK").is_none(),
            "MPTCP_SIM_REQUIRE_TSHARK is set, but tshark cannot be run"
        );
        eprintln!("SKIPPED: tshark is not installed, captures are not checked by it");
    }
    there
}

#[track_caller]
fn tshark(arguments: &[&str]) -> String {
    let output = Command::new("tshark").args(arguments).output().expect("tshark starts");
    assert!(output.status.success(), "tshark {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The part of a capture that one host saw, as tshark would take two views of a packet for two packets.
fn part_of_host(results: &Results, host: &str, directory: &TempDir) -> PathBuf {
    let part = directory.path().join(format!("{host}.pcapng"));
    let (from, to) = (results.capture(), part.clone());
    let filter = format!("frame.interface_name matches \"^{host}:\"");
    tshark(&["-r", from.to_str().unwrap(), "-Y", &filter, "-w", to.to_str().unwrap()]);
    part
}

fn frames(capture: &Path, fields: &[&'static str]) -> Vec<Frame> {
    let mut arguments = vec!["-r", capture.to_str().unwrap()];
    for option in OPTIONS {
        arguments.extend(["-o", option]);
    }
    arguments.extend(["-T", "fields", "-E", "separator=|", "-E", "aggregator=;"]);
    for field in fields {
        arguments.extend(["-e", field]);
    }
    let values = |text: &str| text.split(';').filter(|value| !value.is_empty()).map(str::to_owned).collect();
    tshark(&arguments)
        .lines()
        .map(|line| fields.iter().copied().zip(line.split('|').map(values)).collect())
        .collect()
}

/// Hosts at the ends of flows.
fn hosts(name: &str) -> BTreeSet<String> {
    let scenario = scenarios::library::get(name).unwrap().scenario().unwrap();
    scenario.flows.into_iter().flat_map(|flow| [flow.from, flow.to]).collect()
}

fn number(text: &str) -> u64 {
    text.strip_prefix("0x")
        .map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16))
        .expect("a number")
}

/// Calls `check` with what each host of each built-in scenario captured.
fn for_each_host(fields: &[&'static str], mut check: impl FnMut(&str, &str, &[Frame])) {
    if !tshark_is_there() {
        return;
    }
    for name in builtin_names() {
        let directory = scratch();
        for host in hosts(name) {
            let capture = part_of_host(builtin(name), &host, &directory);
            let frames = frames(&capture, fields);
            assert!(!frames.is_empty(), "{name}, {host}: nothing captured");
            check(name, &host, &frames);
        }
    }
}

#[test]
fn no_packet_is_malformed_or_has_a_bad_checksum() {
    let fields = [
        "frame.number",
        "_ws.malformed",
        "_ws.expert.severity",
        "_ws.expert.message",
        "ip.checksum.status",
        "tcp.checksum.status",
    ];
    for_each_host(&fields, |name, host, frames| {
        for frame in frames {
            let context = || format!("{name}, {host}, {frame:?}");
            assert!(frame["_ws.malformed"].is_empty(), "{}", context());
            assert!(!frame["ip.checksum.status"].is_empty(), "{}", context());
            // The packet quoted by an ICMP message is cut, so its TCP checksum is not judged.
            assert_eq!(frame["ip.checksum.status"][0], CHECKSUM_GOOD, "{}", context());
            if frame["ip.checksum.status"].len() == 1 {
                assert_eq!(frame["tcp.checksum.status"], [CHECKSUM_GOOD], "{}", context());
            }
            for severity in &frame["_ws.expert.severity"] {
                assert!(number(severity) < u64::from(EXPERT_ERROR), "{}", context());
            }
        }
    });
}

#[test]
fn subflows_belong_to_connections_and_joins_carry_their_tokens() {
    let fields = [
        "tcp.stream",
        "mptcp.stream",
        "mptcp.expected_token",
        "tcp.options.mptcp.subtype",
        "tcp.options.mptcp.recvtok",
        "tcp.flags.syn",
        "icmp.type",
    ];
    let mut joins = 0;
    for_each_host(&fields, |name, host, frames| {
        let scenario = scenarios::library::get(name).unwrap().scenario().unwrap();
        let mptcp = scenario.flows.iter().any(|flow| {
            flow.protocol == scenarios::scenario::Protocol::Mptcp && (flow.from == host || flow.to == host)
        });
        let tokens: BTreeSet<u64> = frames
            .iter()
            .flat_map(|frame| &frame["mptcp.expected_token"])
            .map(|token| number(token))
            .collect();
        assert_eq!(!tokens.is_empty(), mptcp, "{name}, {host}: tokens {tokens:x?}");
        for frame in frames.iter().filter(|frame| frame["icmp.type"].is_empty()) {
            let has_option = !frame["tcp.options.mptcp.subtype"].is_empty();
            let first = frame["tcp.flags.syn"] == ["1"];
            if has_option && !first {
                assert_eq!(frame["mptcp.stream"].len(), 1, "{name}, {host}: {frame:?}");
            }
            for token in &frame["tcp.options.mptcp.recvtok"] {
                joins += 1;
                assert!(tokens.contains(&number(token)), "{name}, {host}: join {token}, {tokens:x?}");
            }
        }
    });
    assert!(joins > 0 || !tshark_is_there(), "no scenario joins");
}

#[test]
fn every_data_segment_of_a_connection_has_a_mapping() {
    let fields =
        ["frame.number", "tcp.len", "mptcp.stream", "mptcp.related_mapping", "mptcp.dss.missing_mapping"];
    for_each_host(&fields, |name, host, frames| {
        let data = frames.iter().filter(|frame| {
            !frame["mptcp.stream"].is_empty() && frame["tcp.len"].first().is_some_and(|length| length != "0")
        });
        for frame in data {
            assert!(!frame["mptcp.related_mapping"].is_empty(), "{name}, {host}: {frame:?}");
            assert!(frame["mptcp.dss.missing_mapping"].is_empty(), "{name}, {host}: {frame:?}");
        }
    });
}

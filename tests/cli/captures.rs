//! The captures of all built-in scenarios before the eyes of tshark.
//!
//! Without tshark these tests say so and pass, unless the variable `MPTCP_SIM_REQUIRE_TSHARK` is set.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::OnceLock;

use scenarios::scenario::Protocol;

use crate::harness::{builtin, builtin_names, scratch};

/// Severity of errors in tshark's numbering.
const EXPERT_ERROR: u64 = 0x0080_0000;
/// Value of `tcp.checksum.status` and `ip.checksum.status` for a right checksum.
const CHECKSUM_GOOD: &str = "1";

/// Preferences. Every port is decoded as the echo protocol, which takes any payload: the random octets of
/// bulk data must not be taken for some other protocol.
const OPTIONS: [&str; 12] = [
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "tcp.check_checksum:TRUE",
    "-o",
    "mptcp.analyze_mptcp:TRUE",
    "-o",
    "mptcp.analyze_mappings:TRUE",
    "-o",
    "mptcp.relative_sequence_numbers:FALSE",
    "-d",
    "tcp.port==1-65535,echo",
];

/// What is asked of each frame.
const FIELDS: [&str; 14] = [
    "frame.number",
    "_ws.malformed",
    "_ws.expert.severity",
    "_ws.expert.message",
    "ip.checksum.status",
    "tcp.checksum.status",
    "tcp.flags.syn",
    "tcp.len",
    "icmp.type",
    "mptcp.stream",
    "mptcp.expected_token",
    "mptcp.related_mapping",
    "tcp.options.mptcp.subtype",
    "tcp.options.mptcp.recvtok",
];

/// What one host captured in one scenario, as tshark sees it: a line a frame, a column a field.
struct Capture {
    scenario: &'static str,
    host: String,
    text: String,
}

/// A frame as tshark sees it.
#[derive(Clone, Copy, Debug)]
struct Frame<'a>(&'a str);

impl<'a> Frame<'a> {
    /// The values of a field.
    fn values(self, field: &str) -> impl Iterator<Item = &'a str> {
        let column = FIELDS.iter().position(|known| *known == field).expect("a field that was asked for");
        self.0.split('|').nth(column).unwrap_or_default().split(';').filter(|value| !value.is_empty())
    }

    fn has(self, field: &str) -> bool {
        self.values(field).next().is_some()
    }

    /// Whether it is TCP, or at least no ICMP message, which quotes a packet whose fields are then its own.
    fn is_tcp(self) -> bool {
        !self.has("icmp.type")
    }
}

impl Capture {
    fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.text.lines().map(Frame)
    }

    #[track_caller]
    fn fail(&self, what: &str, frame: Frame<'_>) -> ! {
        let fields: Vec<_> =
            FIELDS.iter().zip(frame.0.split('|')).filter(|(_, value)| !value.is_empty()).collect();
        panic!("{what}: {}, {}: {fields:?}", self.scenario, self.host);
    }
}

/// Whether tshark can be run. If not, this says so.
pub(crate) fn has_tshark() -> bool {
    let there = Command::new("tshark").arg("--version").output().is_ok_and(|output| output.status.success());
    let required = std::env::var_os("MPTCP_SIM_REQUIRE_TSHARK").is_some();
    assert!(there || !required, "MPTCP_SIM_REQUIRE_TSHARK is set, but tshark cannot be run");
    if !there {
        eprintln!("SKIPPED: tshark is not installed, captures are not checked by it");
    }
    there
}

#[track_caller]
pub(crate) fn tshark(arguments: &[&str]) -> String {
    let output = Command::new("tshark").args(arguments).output().expect("tshark starts");
    assert!(output.status.success(), "tshark {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Every capture of every end of a flow; `None` without tshark.
fn captures() -> Option<&'static [Capture]> {
    static CAPTURES: OnceLock<Option<Vec<Capture>>> = OnceLock::new();
    let all = CAPTURES.get_or_init(|| {
        has_tshark().then(|| {
            // Two at a time: tshark keeps one processor busy and some memory.
            let names: Vec<_> = builtin_names().collect();
            let (some, others) = names.split_at(names.len() / 2);
            let of = |names: &[&'static str]| names.iter().flat_map(|name| of_scenario(name)).collect();
            std::thread::scope(|scope| {
                let others = scope.spawn(|| -> Vec<Capture> { of(others) });
                let mut captures: Vec<Capture> = of(some);
                captures.extend(others.join().expect("captures are readable"));
                captures
            })
        })
    });
    all.as_deref()
}

/// The capture of a scenario, taken apart: tshark would take two views of a packet for two packets.
fn of_scenario(name: &'static str) -> impl Iterator<Item = Capture> {
    let scenario = scenarios::library::get(name).unwrap().scenario().unwrap();
    let hosts: BTreeSet<String> = scenario.flows.into_iter().flat_map(|flow| [flow.from, flow.to]).collect();
    hosts.into_iter().map(move |host| {
        let directory = scratch();
        let part = directory.path().join("part.pcapng");
        let (whole, part) = (builtin(name).capture(), part.to_str().unwrap());
        let filter = format!("frame.interface_name matches \"^{host}:\"");
        tshark(&["-r", whole.to_str().unwrap(), "-Y", &filter, "-w", part]);
        let mut arguments = vec!["-r", part, "-T", "fields", "-E", "separator=|", "-E", "aggregator=;"];
        arguments.extend(OPTIONS);
        arguments.extend(FIELDS.iter().flat_map(|field| ["-e", field]));
        let text = tshark(&arguments);
        assert!(!text.is_empty(), "{name}, {host}: nothing captured");
        Capture { scenario: name, host, text }
    })
}

fn number(text: &str) -> u64 {
    text.strip_prefix("0x")
        .map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16))
        .expect("a number")
}

#[test]
fn no_packet_is_malformed_or_has_a_bad_checksum() {
    for capture in captures().unwrap_or_default() {
        for frame in capture.frames() {
            if frame.has("_ws.malformed") {
                capture.fail("malformed", frame);
            }
            if frame.values("ip.checksum.status").next() != Some(CHECKSUM_GOOD) {
                capture.fail("IP checksum", frame);
            }
            if frame.is_tcp() && !frame.values("tcp.checksum.status").eq([CHECKSUM_GOOD]) {
                capture.fail("TCP checksum", frame);
            }
            if frame.values("_ws.expert.severity").any(|severity| number(severity) >= EXPERT_ERROR) {
                capture.fail("expert", frame);
            }
        }
    }
}

#[test]
fn segments_with_mptcp_options_belong_to_a_connection() {
    for capture in captures().unwrap_or_default() {
        let later =
            capture.frames().filter(|frame| frame.is_tcp() && !frame.values("tcp.flags.syn").eq(["1"]));
        for frame in later.filter(|frame| frame.has("tcp.options.mptcp.subtype")) {
            if frame.values("mptcp.stream").count() != 1 {
                capture.fail("no connection", frame);
            }
        }
    }
}

#[test]
fn joins_carry_the_token_of_their_connection() {
    let Some(captures) = captures() else { return };
    let mut joins = 0;
    for capture in captures {
        let scenario = scenarios::library::get(capture.scenario).unwrap().scenario().unwrap();
        let mptcp = scenario
            .flows
            .iter()
            .any(|flow| flow.protocol == Protocol::Mptcp && [&flow.from, &flow.to].contains(&&capture.host));
        let tokens: BTreeSet<u64> =
            capture.frames().flat_map(|frame| frame.values("mptcp.expected_token")).map(number).collect();
        assert_eq!(!tokens.is_empty(), mptcp, "{}, {}: {tokens:x?}", capture.scenario, capture.host);
        for frame in capture.frames().filter(|frame| frame.is_tcp()) {
            for token in frame.values("tcp.options.mptcp.recvtok") {
                joins += 1;
                if !tokens.contains(&number(token)) {
                    capture.fail("join with another token", frame);
                }
            }
        }
    }
    assert!(joins > 0, "no scenario joins");
}

#[test]
fn every_data_segment_of_a_connection_has_a_mapping() {
    for capture in captures().unwrap_or_default() {
        let data = capture.frames().filter(|frame| {
            frame.is_tcp()
                && frame.has("mptcp.stream")
                && frame.values("tcp.len").next().is_some_and(|len| len != "0")
        });
        for frame in data {
            if !frame.has("mptcp.related_mapping") {
                capture.fail("no mapping", frame);
            }
        }
    }
}

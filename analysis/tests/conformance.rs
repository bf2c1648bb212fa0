//! The conformance checker: silent on what real stacks do right, and right about what is made wrong.

use std::path::{Path, PathBuf};

use analysis::capture::CaptureReader;
use analysis::conformance::Checker;
use analysis::reconstruct::{Captured, Reconstruction};
use analysis::trace::PacketView;
use analysis::vantage::{Taken, Watch, read};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

const ECHO: &str = "g3-echo-immediate-two-subflows.client.pcapng";

/// What is found if the IP octets of each packet, by number, pass through `change`.
fn found(name: &str, change: impl Fn(u64, &mut Vec<u8>)) -> Vec<(u64, String)> {
    let mut reader = CaptureReader::open(&fixture(name)).unwrap();
    let mut seen = Reconstruction::new();
    let mut checker = Checker::default();
    while let Some(frame) = reader.next_frame().unwrap() {
        let (octets, wire_len, _) = frame.ip().unwrap();
        let mut octets = octets.to_vec();
        change(frame.number, &mut octets);
        let packet = PacketView::parse(&octets, wire_len).unwrap();
        let (number, nanos) = (frame.number, frame.nanos);
        let captured = Captured { number, nanos, interface: 0, wire_len, packet };
        let segment = seen.push(&captured);
        let segment = segment.as_ref();
        checker.packet(&Taken { view: 0, seen: &seen, packet: &captured, segment });
    }
    checker.findings().iter().map(|finding| (finding.packet, finding.check.clone())).collect()
}

/// The place of an MPTCP option of `subtype`.
fn option(octets: &[u8], subtype: u8) -> usize {
    let at = octets.windows(3).position(|option| option[0] == 30 && option[2] >> 4 == subtype);
    at.expect("an option of this subtype")
}

#[test]
fn a_capture_of_a_kernel_is_free_of_findings() {
    assert_eq!(found(ECHO, |_, _| {}), []);
}

#[test]
fn each_violation_is_found_where_it_is() {
    type Change = fn(&mut [u8]);
    let cases: [(&str, u64, &str, Change); 9] = [
        ("HMAC of the SYN/ACK", 9, "JOIN-10", |octets| octets[option(octets, 1) + 4] ^= 1),
        ("HMAC of the third ACK", 10, "JOIN-11", |octets| octets[option(octets, 1) + 4] ^= 1),
        ("another key in the third ACK", 3, "CAP-25", |octets| octets[option(octets, 0) + 12] ^= 1),
        ("no HMAC flag", 1, "CAP-08", |octets| octets[option(octets, 0) + 3] &= !1),
        ("extensibility flag", 1, "CAP-07", |octets| octets[option(octets, 0) + 3] |= 0x40),
        ("DSS with other flags", 8, "MAL-17", |octets| octets[option(octets, 2) + 3] |= 0x04),
        ("DATA_ACK beyond the data", 8, "DSS-10", |octets| octets[option(octets, 2) + 10] ^= 0x10),
        ("mapping of other octets", 7, "DSS-04", |octets| octets[option(octets, 2) + 22] = 1),
        ("unassigned subtype", 8, "MAL-41", |octets| octets[option(octets, 2) + 2] = 0xa0),
    ];
    for (what, packet, check, change) in cases {
        let findings = found(ECHO, |number, octets| {
            if number == packet {
                change(octets);
            }
        });
        assert!(findings.contains(&(packet, check.to_owned())), "{what}: {findings:?}");
    }
}

/// All captures of real stacks, if they are there. Each finding has been looked at: the stack or a box did it, or the
/// capture misses packets.
#[test]
fn findings_in_reference_captures_are_those_that_were_judged() {
    let folder = std::env::var_os("MPTCP_REFERENCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference"), PathBuf::from);
    if !folder.is_dir() {
        println!("SKIPPED: no reference captures in {}", folder.display());
        return;
    }
    let judged = [
        // A box removes the options after the handshake.
        ("f3-strip-after-handshake.client.pcapng.gz", "DSS-21", 1),
        // v0.96 of the out-of-tree line leaves a missing port out of the HMAC; RFC 8684 counts it as 0.
        ("o1-echo-version1.client.pcapng", "ADDR-04", 2),
        ("o1-echo-version1.server.pcapng", "ADDR-04", 2),
        // The segments with the mappings are not in the capture.
        ("mptcpanalyzer-client_2-snap140.pcap", "DSS-21", 4),
        ("mptcpanalyzer-server_2-snap140.pcap", "DSS-21", 5),
        // A stack that sends the leftmost octets of the HMAC instead of the rightmost.
        ("tcpdump-mptcp-aa-v1.pcap", "ADDR-04", 1),
        // Made to be malformed.
        ("tcpdump-mptcp-dss-oobr.pcap", "MAL-17", 1),
    ];
    let mut findings = Vec::new();
    for folder in [folder.clone(), folder.join("oot"), folder.join("public-captures")] {
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| {
            [".pcap", ".pcapng", ".gz"].iter().any(|ending| file.to_string_lossy().ends_with(ending))
        });
        files.sort();
        for file in files {
            let mut checker = Checker::default();
            read(&file, &mut checker).unwrap();
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            findings
                .extend(checker.counts().iter().map(|(check, count)| (name.clone(), check.clone(), *count)));
        }
    }
    let judged = judged.map(|(name, check, count)| (name.to_owned(), check.to_owned(), count));
    assert_eq!(findings, judged);
}

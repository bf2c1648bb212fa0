//! Every container and link type, written by outside tools: text2pcap frames the packets of a real capture anew,
//! editcap and mergecap convert it, gzip packs it. The analysis must not notice.
//!
//! Without these tools the tests say so and pass, unless the variable `MPTCP_SIM_REQUIRE_TSHARK` is set.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use analysis::capture::CaptureReader;
use analysis::trace::{HostAnalysis, analyse_capture};

fn fixture(host: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/fixtures/g3-echo-immediate-two-subflows.{host}.pcapng"))
}

/// Runs a tool of the Wireshark family; `None` if it is not there.
fn run(tool: &str, arguments: &[&Path]) -> Option<()> {
    let required = std::env::var_os("MPTCP_SIM_REQUIRE_TSHARK").is_some();
    match Command::new(tool).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
            Some(())
        }
        Err(error) => {
            assert!(!required, "{tool} cannot be run: {error}");
            println!("SKIPPED: {tool} is not installed");
            None
        }
    }
}

fn words(words: &str) -> Vec<&Path> {
    words.split(' ').map(Path::new).collect()
}

/// What is seen, without the names of interfaces, which not every format has. Times count from the first
/// packet, to a microsecond.
fn seen(path: &Path) -> HostAnalysis {
    let mut reader = CaptureReader::open(path).unwrap();
    let first = reader.next_frame().unwrap().unwrap().nanos;
    let mut analysis = analyse_capture(&mut CaptureReader::open(path).unwrap(), first).unwrap();
    let micro = |t: &mut f64| *t = (*t * 1e6).floor() / 1e6;
    for subflow in &mut analysis.subflows {
        subflow.interface.clear();
        let times = [&mut subflow.syn_t, &mut subflow.synack_t, &mut subflow.established_t];
        times.into_iter().flatten().for_each(micro);
        for way in [&mut subflow.c2s, &mut subflow.s2c] {
            [&mut way.first_data_t, &mut way.last_data_t].into_iter().flatten().for_each(micro);
            way.rtt_ms = None;
        }
    }
    analysis.events.iter_mut().for_each(|event| event.t = 0.0);
    analysis
}

/// As [`seen`], without times: text2pcap gives times of its own.
fn structure(path: &Path) -> HostAnalysis {
    let mut analysis = seen(path);
    for subflow in &mut analysis.subflows {
        (subflow.syn_t, subflow.synack_t, subflow.established_t) = (None, None, None);
        for way in [&mut subflow.c2s, &mut subflow.s2c] {
            (way.first_data_t, way.last_data_t) = (None, None);
        }
    }
    analysis
}

/// Puts `header` before every IP packet of the fixture, by text2pcap.
fn framed(folder: &Path, name: &str, link: u16, header: &[u8]) -> Option<PathBuf> {
    let mut reader = CaptureReader::open(&fixture("client")).unwrap();
    let mut hex = String::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        let (ip, ..) = frame.ip().unwrap();
        let mut header = header.to_vec();
        if let [.., 0x11, 0, 0, 5, high, low, 0, 0x21] = header.as_mut_slice() {
            // PPPoE tells the length of what follows, the protocol included.
            [*high, *low] = (ip.len() as u16 + 2).to_be_bytes();
        }
        hex.push_str("000000");
        for octet in header.iter().chain(ip) {
            write!(hex, " {octet:02x}").unwrap();
        }
        hex.push('\n');
    }
    let (text, pcap) = (folder.join(format!("{name}.txt")), folder.join(format!("{name}.pcap")));
    std::fs::write(&text, hex).unwrap();
    let number = link.to_string();
    run(
        "text2pcap",
        &[
            Path::new("-q"),
            Path::new("-F"),
            Path::new("pcap"),
            Path::new("-l"),
            Path::new(&number),
            &text,
            &pcap,
        ],
    )?;
    Some(pcap)
}

/// Packets in which tshark finds a TCP header and an MPTCP option.
fn tshark_count(path: &Path) -> Option<(usize, usize)> {
    let count = |filter: &str| {
        let output =
            Command::new("tshark").args(["-n", "-r"]).arg(path).args(["-Y", filter]).output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8_lossy(&output.stdout).lines().count())
    };
    Some((count("tcp")?, count("tcp.options.mptcp.subtype")?))
}

const ETHERNET: &[u8] = &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

#[test]
fn every_link_type_shows_the_same_packets() {
    let folder = tempfile::tempdir().unwrap();
    let ethernet = |rest: &[u8]| [ETHERNET, rest].concat();
    let sll = |kind: u8, protocol: &[u8]| {
        [&[0, kind, 0, 1, 0, 6][..], &[2, 0, 0, 0, 0, 1, 0, 0], protocol].concat()
    };
    let cases: [(&str, u16, Vec<u8>); 17] = [
        ("ethernet", 1, ethernet(&[8, 0])),
        ("vlan", 1, ethernet(&[0x81, 0, 0, 7, 8, 0])),
        ("provider-bridge", 1, ethernet(&[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7, 8, 0])),
        ("pppoe", 1, ethernet(&[0x88, 0x64, 0x11, 0, 0, 5, 0, 60, 0, 0x21])),
        ("cooked-1", 113, sll(4, &[8, 0])),
        ("cooked-1-in", 113, sll(0, &[8, 0])),
        ("cooked-1-vlan", 113, sll(4, &[0x81, 0, 0, 7, 8, 0])),
        ("cooked-2", 276, vec![8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0]),
        ("raw", 101, vec![]),
        ("raw-ipv4", 228, vec![]),
        ("ppp", 9, vec![0xff, 3, 0, 0x21]),
        ("ppp-compressed", 9, vec![0x21]),
        ("ppp-hdlc", 50, vec![0xff, 3, 0, 0x21]),
        // text2pcap adds the octet that tells the direction.
        ("ppp-with-direction", 204, vec![0xff, 3, 0, 0x21]),
        ("loopback-le", 0, vec![2, 0, 0, 0]),
        ("loopback-be", 0, vec![0, 0, 0, 2]),
        ("loopback-openbsd", 108, vec![0, 0, 0, 2]),
    ];
    let expected = structure(&fixture("client"));
    let counted = tshark_count(&fixture("client"));
    for (name, link, header) in &cases {
        let Some(file) = framed(folder.path(), name, *link, header) else { return };
        assert_eq!(structure(&file), expected, "{name}");
        // tshark decodes the same frames, so that header and number of the link type are what they should be.
        assert_eq!(tshark_count(&file), counted, "{name}");
    }
}

#[test]
fn every_container_shows_the_same_packets() {
    let folder = tempfile::tempdir().unwrap();
    let source = fixture("client");
    let expected = seen(&source);
    for (name, options) in [
        ("micro.pcap", "-F pcap"),
        ("nano.pcap", "-F nsecpcap"),
        // The variant of old Linux distributions, with longer record headers.
        ("modified.pcap", "-F modpcap"),
        ("ng.pcapng", "-F pcapng"),
        ("cut.pcap", "-F nsecpcap -s 100"),
        ("compressed.pcap.gz", "-F pcap --compress gzip"),
    ] {
        let file = folder.path().join(name);
        let mut arguments = words(options.strip_suffix(" --compress gzip").unwrap_or(options));
        let plain = folder.path().join(name.trim_end_matches(".gz"));
        arguments.extend([source.as_path(), &plain]);
        if run("editcap", &arguments).is_none() {
            return;
        }
        if file != plain && run("gzip", &[Path::new("-f"), &plain]).is_none() {
            continue;
        }
        assert_eq!(seen(&file), expected, "{name}");
    }
}

/// A merged capture holds each packet twice, once an interface: two hosts by their descriptions.
#[test]
fn merged_captures_are_read_with_all_their_interfaces() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.pcapng");
    let (client, server) = (fixture("client"), fixture("server"));
    if run("mergecap", &[Path::new("-w"), &file, &client, &server]).is_none() {
        return;
    }
    let (both, one, other) = (seen(&file), seen(&client), seen(&server));
    assert_eq!(both.packets, one.packets + other.packets);
    assert_eq!(both.subflows.len(), 2);
    let packets = |analysis: &HostAnalysis| -> u64 {
        analysis.subflows.iter().map(|subflow| subflow.c2s.packets + subflow.s2c.packets).sum()
    };
    assert_eq!(packets(&both), packets(&one) + packets(&other));
}

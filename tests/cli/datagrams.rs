//! UDP traffic on the command line: the summary, and the capture before the eyes of tshark.

use std::fs;

use crate::captures::{has_tshark, tshark};
use crate::harness::{Results, mptcp_sim_at, scratch};

/// A flow to an open port, and one to a closed one.
const SCENARIO: &str = r#"
title = "Datagrams"
duration = "5 s"

[hosts.client.interfaces]
c0 = { addresses = ["10.0.0.1/24"] }

[hosts.server.interfaces]
s0 = { addresses = ["10.0.0.2/24", "10.0.0.3/24"] }

[[links]]
name = "path"
a = "client:c0"
b = "server:s0"
rate = "10 Mbit/s"
delay = "5 ms"
loss = { probability = "2 %" }

[[flows]]
name = "open"
from = "client"
to = "server"
port = 9
protocol = "udp"
rate_limited = { rate = "2 Mbit/s", time = "2 s", on = "300 ms", off = "200 ms" }

[[flows]]
name = "closed"
from = "client"
to = "server"
port = 10
listen = "10.0.0.3"
protocol = "udp"
rate_limited = { rate = "100 kbit/s", bytes = "5001 B", write = "501 B" }
"#;

#[test]
fn datagrams_are_summarised_and_captured_as_they_are() {
    let directory = scratch();
    fs::write(directory.path().join("datagrams.toml"), SCENARIO).unwrap();
    let told = mptcp_sim_at(directory.path(), &["run", "datagrams.toml", "--out", "out"]).succeeded();
    let results = Results::read(directory.path().join("out"));
    let open = results.flow("open");
    let counted = open.datagrams.clone().expect("counts of a UDP flow");
    assert_eq!((open.protocol.as_str(), open.integrity_ok), ("udp", true));
    // 2 Mbit/s for four bursts of 300 ms.
    assert_eq!((counted.sent, open.sent_bytes), (215, 300_000));
    let lost: u64 =
        results.summary.links.iter().filter(|link| link.direction == "ab").map(|l| l.drops_loss).sum();
    let closed = results.flow("closed").datagrams.clone().unwrap();
    assert_eq!(closed.sent + closed.refused, 10);
    assert!(counted.lost > 0 && counted.lost <= lost && counted.lost + counted.delivered == counted.sent);
    assert!(counted.delay_min_s.is_some_and(|delay| delay > 5e-3), "{counted:?}");
    assert!(closed.refused > 0 && closed.delivered == 0 && closed.delay_min_s.is_none(), "{closed:?}");
    assert!(told.stdout.contains("mean delay ms"), "{}", told.stdout);
    if !has_tshark() {
        return;
    }
    let capture = results.capture();
    let fields = [
        "udp.checksum.status",
        "icmp.type",
        "icmp.code",
        "ip.checksum.status",
        "_ws.expert.severity",
        "_ws.malformed",
    ];
    let mut arguments = vec!["-r", capture.to_str().unwrap(), "-T", "fields", "-E", "separator=|"];
    arguments.extend([
        "-o",
        "ip.check_checksum:TRUE",
        "-o",
        "udp.check_checksum:TRUE",
        "-d",
        "udp.port==1-65535,echo",
    ]);
    // What the client saw: everything it sent, and the answers.
    arguments.extend(["-Y", "frame.interface_name matches \"^client:\""]);
    arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
    let text = tshark(&arguments);
    let frames: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').collect()).collect();
    let (answers, datagrams): (Vec<_>, Vec<_>) = frames.into_iter().partition(|frame| !frame[1].is_empty());
    assert_eq!(datagrams.len() as u64, counted.sent + closed.sent);
    assert!(datagrams.iter().all(|frame| frame[..] == ["1", "", "", "1", "", ""]), "{datagrams:?}");
    assert_eq!(answers.len() as u64, closed.refused);
    // The quoted datagram is cut off: its checksum cannot be checked, and its IP header comes second.
    let quoted = |frame: &Vec<&str>| (frame[1], frame[2], frame[3], frame[5]) == ("3", "3", "1,1", "");
    assert!(answers.iter().all(quoted), "{answers:?}");
}

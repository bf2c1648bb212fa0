//! The figures of real captures against tshark and against what is known of the runs.
//!
//! Without tshark or the captures these tests say so and pass, unless `MPTCP_SIM_REQUIRE_TSHARK` is set.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use analysis::metrics::{ConnectionReport, Report, report};
use analysis::vantage;
use serde_json::Value;

use common::reference;

fn analysed(path: &Path) -> Report {
    let (views, warnings) = vantage::read(path, &mut ()).unwrap();
    assert_eq!(views.len(), 1, "{}", path.display());
    report(&path.display().to_string(), &views[0], &warnings)
}

/// Rows of fields of the packets that a filter chooses.
fn tshark(path: &Path, filter: &str, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command
        .args(["-n", "-o", "tcp.calculate_timestamps:TRUE", "-r"])
        .arg(path)
        .args(["-Y", filter, "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let Ok(output) = command.output() else {
        assert!(std::env::var_os("MPTCP_SIM_REQUIRE_TSHARK").is_none(), "tshark cannot be run");
        println!("SKIPPED: tshark is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

const CASES: [&str; 6] = [
    "c-wifilte-cubic-q1.client.pcapng.gz",
    "c-wifilte-reno-q1-loss1.client.pcapng.gz",
    "a4-twopath-fullmesh-reno.client.pcapng.gz",
    "b1-threepath-equal.client.pcapng.gz",
    "h-tcp-reno-loss1.client.pcapng.gz",
    "c-wifilte-download-cubic.server.pcapng.gz",
];

#[test]
fn packets_per_address_are_those_of_tshark() {
    let Some(folder) = reference() else { return };
    for name in CASES {
        let path = folder.join(name);
        let Some(rows) = tshark(&path, "tcp && !icmp", &["ip.src", "ip.dst", "ip.len"]) else { return };
        let mut expected: BTreeMap<String, [(u64, u64); 2]> = BTreeMap::new();
        for row in &rows {
            for way in 0..2 {
                let sum = &mut expected.entry(row[way].clone()).or_default()[way];
                *sum = (sum.0 + 1, sum.1 + row[2].parse::<u64>().unwrap());
            }
        }
        let ours: BTreeMap<_, _> = analysed(&path)
            .addresses
            .into_iter()
            .map(|one| (one.address, [one.sent, one.received]))
            .collect();
        assert_eq!(ours, expected, "{name}");
    }
}

/// The flow of each stream of tshark: both number them by their first packet.
fn of_stream(report: &Report) -> BTreeMap<usize, (&ConnectionReport, usize)> {
    let all = report.connections.iter().flat_map(|connection| {
        connection
            .subflows
            .iter()
            .enumerate()
            .map(move |(index, subflow)| (subflow.flow, (connection, index)))
    });
    all.collect()
}

/// Without losses: while there are holes, tshark does not tell what is in flight.
#[test]
fn handshakes_and_octets_in_flight_are_those_of_tshark() {
    let Some(folder) = reference() else { return };
    for name in ["c-applimited-4mbit.client.pcapng.gz", "a1-twopath-signal-wrong-router.client.pcapng.gz"] {
        let path = folder.join(name);
        let report = analysed(&path);
        let flows = of_stream(&report);
        let filter = "tcp.analysis.initial_rtt || tcp.analysis.bytes_in_flight";
        let fields = ["tcp.stream", "tcp.analysis.initial_rtt", "tcp.analysis.bytes_in_flight", "ip.src"];
        let Some(rows) = tshark(&path, filter, &fields) else { return };
        let (mut trips, mut flights): (BTreeMap<usize, f64>, BTreeMap<(usize, String), u64>) =
            Default::default();
        for row in &rows {
            let stream: usize = row[0].parse().unwrap();
            if let Ok(seconds) = row[1].parse::<f64>() {
                trips.insert(stream, seconds * 1e3);
            }
            if let Ok(octets) = row[2].parse::<u64>() {
                let most = flights.entry((stream, row[3].clone())).or_default();
                *most = (*most).max(octets);
            }
        }
        assert!(!trips.is_empty() && !flights.is_empty(), "{name}");
        for (stream, trip) in trips {
            let (connection, index) = flows[&stream];
            let ours = connection.subflows[index].handshake_ms.unwrap();
            assert!((ours - trip).abs() < 0.0015, "{name} stream {stream}: {ours} and {trip} ms");
        }
        for ((stream, from), most) in flights {
            let (connection, index) = flows[&stream];
            let subflow = &connection.subflows[index];
            let by_client = subflow.client.starts_with(&format!("{from}:"));
            let side = usize::from(by_client == subflow.opened_by_responder);
            let ours = subflow.directions[side].flight.map_or(0.0, |flight| flight.max);
            // A bucket of the histogram is 0.2 % wide; tshark does not count the FIN.
            let error = (ours - most as f64).abs();
            assert!(error <= most as f64 * 0.002 + 1.0, "{name} stream {stream}: {ours} and {most} octets");
        }
    }
}

/// Where tshark takes a round-trip time for one, the least and the median are ours: it has no rule of Karn, and takes
/// ACKs with SACK blocks too, so larger ones differ.
#[test]
fn round_trip_times_are_those_of_tshark() {
    let Some(folder) = reference() else { return };
    for name in ["c-applimited-4mbit.client.pcapng.gz", "a1-twopath-signal-wrong-router.client.pcapng.gz"] {
        let path = folder.join(name);
        let report = analysed(&path);
        let flows = of_stream(&report);
        let Some(rows) = tshark(
            &path,
            "tcp.analysis.ack_rtt && tcp.flags.syn == 0 && tcp.len == 0",
            &["tcp.stream", "tcp.analysis.ack_rtt", "ip.dst"],
        ) else {
            return;
        };
        let mut samples: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for row in &rows {
            let (connection, index) = flows[&row[0].parse().unwrap()];
            if connection.subflows[index].client.starts_with(&format!("{}:", row[2])) {
                samples
                    .entry(row[0].parse().unwrap())
                    .or_default()
                    .push(row[1].parse::<f64>().unwrap() * 1e3);
            }
        }
        let mut checked = 0;
        for (stream, mut times) in samples.into_iter().filter(|(_, times)| times.len() > 50) {
            times.sort_by(f64::total_cmp);
            let (connection, index) = flows[&stream];
            let ours = connection.subflows[index].directions[0].rtt_ms.unwrap();
            let median = times[times.len() / 2];
            assert!((ours.median - median).abs() < median * 0.01, "{name} {stream}: {ours:?} and {median}");
            assert!((ours.min - times[0]).abs() < 0.3, "{name} {stream}: {ours:?} and {}", times[0]);
            checked += 1;
        }
        assert!(checked > 0, "{name}");
    }
}

/// From the events of the ground truth, which another program made of the same captures.
#[test]
fn joins_come_as_long_after_their_announcement_as_the_events_tell() {
    let Some(folder) = reference() else { return };
    let mut checked = 0;
    for name in ["a3-twopath-fullmesh", "a7-twopath-listener-bound", "g7-remove-addr-server"] {
        let case: Value =
            serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap();
        let events = case["results"]["analysis"]["client"]["events"].as_array().unwrap();
        let subflows = case["results"]["analysis"]["client"]["subflows"].as_array().unwrap();
        let announced = events.iter().find(|event| event[5] == "ADD_ADDR" && event[6]["addr"].is_string());
        let Some(announced) = announced else { panic!("{name}: no ADD_ADDR") };
        let address = announced[6]["addr"].as_str().unwrap();
        let join = events.iter().find(|event| {
            let subflow = &subflows[event[1].as_u64().unwrap() as usize];
            let to_it = subflow["server"].as_str().unwrap().starts_with(&format!("{address}:"));
            event[5] == "MP_JOIN" && event[3] == "S" && to_it
        });
        let expected = join.map(|join| (join[0].as_f64().unwrap() - announced[0].as_f64().unwrap()) * 1e3);
        let capture = ["pcapng.gz", "pcapng"]
            .map(|ending| folder.join(format!("{name}.client.{ending}")))
            .into_iter()
            .find(|path| path.is_file())
            .unwrap();
        let report = analysed(&capture);
        let ours = &report.connections[0].announced[0];
        assert_eq!(ours.address, address, "{name}");
        match (ours.join_after_ms, expected) {
            (Some(ours), Some(expected)) => {
                assert!((ours - expected).abs() < 0.0021, "{name}: {ours} {expected}");
            }
            (ours, expected) => assert_eq!(ours, expected, "{name}"),
        }
        checked += usize::from(expected.is_some());
    }
    assert!(checked >= 3, "{checked}");
}

/// Path 1 is dead from 3 s on, to the moment: the subflow on path 2 takes over after some timeouts of path 1, as the
/// kernel needs to call it stale, and what waits behind the gap waits as long.
#[test]
fn failovers_follow_the_outage() {
    let Some(folder) = reference() else { return };
    for name in ["d1-blackhole-path1", "d2-backup-blackhole"] {
        let report = analysed(&folder.join(format!("{name}.client.pcapng.gz")));
        let connection = &report.connections[0];
        let failover = connection.failovers.first().unwrap_or_else(|| panic!("{name}: no failover"));
        assert_eq!((failover.from, failover.to), (0, 1), "{name}");
        let began = failover.at_s - failover.after_ms / 1e3;
        assert!((2.8..3.2).contains(&began), "{name}: last progress at {began} s");
        assert!((200.0..5000.0).contains(&failover.after_ms), "{name}: {failover:?}");
        let waited = connection.data[0].head_of_line_ms.unwrap();
        assert!(waited.max + 50.0 > failover.after_ms, "{name}: {waited:?} {failover:?}");
        // What the subflow had in flight was needed on the other one.
        assert!(connection.data[0].reinjected_useful > 0, "{name}");
    }
}

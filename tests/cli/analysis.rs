//! `analyze`, `dump` and `ladder` on captures of real stacks and of the simulator.

use std::path::Path;
use std::process::Command;

use scenarios::script::{Definitions, Script};
use serde_json::Value;

use crate::harness::{builtin, mptcp_sim, mptcp_sim_at, scratch};

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("analysis/tests/fixtures");
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_simulated_capture_has_a_view_of_each_host() {
    let capture = builtin("two-path").capture();
    let outcome = mptcp_sim(&["analyze", "--json", capture.to_str().unwrap()]).succeeded();
    let reports: Vec<Value> = serde_json::from_str(&outcome.stdout).unwrap();
    let views: Vec<_> = reports.iter().map(|report| report["view"].as_str().unwrap()).collect();
    assert_eq!(views, ["client", "server"]);
    let flow = builtin("two-path").summary.flows[0].clone();
    for report in &reports {
        assert_eq!(report["warnings"].as_array().unwrap().len(), 0);
        let connection = &report["connections"][0];
        assert_eq!((&connection["protocol"], &connection["close"]), (&"mptcp".into(), &"data_fin".into()));
        assert_eq!(connection["subflows"].as_array().unwrap().len(), flow.subflows.len());
        let octets: u64 = (0..2).map(|side| connection["data"][side]["octets"].as_u64().unwrap()).sum();
        assert_eq!(octets, flow.received_bytes, "{}", report["view"]);
    }
}

#[test]
fn what_the_capture_shows_of_retransmissions_is_what_the_run_counted() {
    let capture = builtin("two-path").capture();
    let outcome = mptcp_sim(&["analyze", "--json", capture.to_str().unwrap()]).succeeded();
    let reports: Vec<Value> = serde_json::from_str(&outcome.stdout).unwrap();
    let flow = &builtin("two-path").summary.flows[0];
    let sender = usize::from(reports[0]["connections"][0]["data"][0]["octets"] == 0);
    for (counted, seen) in
        flow.subflows.iter().zip(reports[sender]["connections"][0]["subflows"].as_array().unwrap())
    {
        assert_eq!(seen["directions"][sender]["retransmissions"], counted.retransmitted_segments);
    }
}

#[test]
fn csv_and_json_go_to_a_directory() {
    let at = scratch();
    mptcp_sim_at(at.path(), &["analyze", &fixture("g5-fastclose-server.client.pcapng"), "--csv", "out"])
        .succeeded();
    let rows =
        |name: &str| std::fs::read_to_string(at.path().join("out").join(name)).unwrap().lines().count();
    assert_eq!((rows("connections.csv"), rows("subflows.csv")), (1 + 2, 1 + 4));
    assert_eq!(rows("events.csv"), 1 + 10);
    assert!(at.path().join("out/report.json").is_file());
}

#[test]
fn damage_is_a_warning_and_what_is_no_capture_an_error() {
    let damaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("analysis/tests/damaged");
    let file = |name: &str| damaged.join(name).to_str().unwrap().to_owned();
    let outcome = mptcp_sim(&["analyze", &file("ng-interface-9.pcapng")]).succeeded();
    assert!(outcome.stdout.contains("warning: packet 3: packet of an interface that was not described"));
    let outcome = mptcp_sim(&["dump", &file("ng-interface-9.pcapng")]).succeeded();
    assert!(outcome.stdout.contains("// packet 3: packet of an interface that was not described"));
    mptcp_sim(&["analyze", &file("text.pcap")]).failed_with(&["not a pcap or pcapng file", "captures are"]);
    mptcp_sim(&["ladder", &file("text.pcap")]).failed_with(&["not a pcap or pcapng file"]);
    mptcp_sim(&["dump", "no-such-file.pcap"]).failed_with(&["cannot read no-such-file.pcap"]);
    mptcp_sim(&["ladder", &file("pcap-no-packets.pcap")]).failed_with(&["no such connection"]);
}

#[test]
fn a_capture_printed_as_a_script_is_one() {
    for name in [
        "g3-echo-immediate-two-subflows.client.pcapng",
        "g5-fastclose-server.server.pcapng",
        "g11-join-loss.client.pcapng",
    ] {
        let text = mptcp_sim(&["dump", "--script", &fixture(name)]).succeeded().stdout;
        let script =
            Script::parse(name, &text, &Definitions::new()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(script.to_string(), text);
        // Keys, tokens and HMACs were understood: none is left as a number.
        assert!(!text.contains("unknown"), "{text}");
        assert!(text.contains("sender_hmac=auto"), "{text}");
    }
}

const ECHO: &str = r#"
duration = "5 s"

[hosts.client.interfaces]
c0 = { addresses = ["10.0.0.1/24"] }

[hosts.server.interfaces]
s0 = { addresses = ["10.0.0.2/24"] }

[[links]]
name = "path"
a = "client:c0"
b = "server:s0"
rate = "10 Mbit/s"
delay = "10 ms"

[[flows]]
name = "upload"
from = "client"
to = "server"
port = 5001
protocol = "mptcp"
bulk = { bytes = "3000 B" }
"#;

#[test]
fn a_simple_capture_printed_as_a_script_has_its_calls_and_passes() {
    let directory = scratch();
    let at = directory.path();
    std::fs::write(at.join("echo.toml"), ECHO).unwrap();
    mptcp_sim_at(at, &["run", "echo.toml", "--out", "out"]).succeeded();
    // An echo over one subflow between hosts with Linux 6.18, captured at each.
    let real = |host: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        folder.join(format!("g1-echo-one-subflow.{host}.pcapng")).to_str().unwrap().to_owned()
    };
    let client = ["connect(3, ..., ...) = -1 EINPROGRESS", "write(3, ..., 5) = 5", "read(3, ..., 5) = 5"];
    let server = ["listen(3, 1) = 0", "accept(3, ..., ...) = 4", "read(4, ..., 5) = 5", "close(4) = 0"];
    for (side, capture, calls) in [
        ("client", real("client"), &client[..]),
        ("server", real("server"), &server[..]),
        ("client", "out/capture.pcapng".to_owned(), &["write(3, ..., 3000) = 3000", "close(3) = 0"][..]),
        ("server", "out/capture.pcapng".to_owned(), &["bind(3, ..., ...) = 0", "close(4) = 0"][..]),
    ] {
        let text = mptcp_sim_at(at, &["dump", "--script", "--side", side, &capture]).succeeded().stdout;
        for call in calls {
            assert!(text.contains(call), "{side} {capture}: no `{call}`\n{text}");
        }
        std::fs::write(at.join("dumped.pkt"), &text).unwrap();
        let outcome = mptcp_sim_at(at, &["script", "dumped.pkt"]);
        assert_eq!(outcome.code, Some(0), "{side} {capture}: {}\n{text}", outcome.stdout);
    }
}

/// All captures of real stacks, if they are there: `MPTCP_REFERENCE` or `../shared/reference` beside the workspace.
#[test]
fn every_reference_capture_printed_as_a_script_is_one() {
    let folder = std::env::var_os("MPTCP_REFERENCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference"),
        std::path::PathBuf::from,
    );
    if !folder.is_dir() {
        println!("SKIPPED: no reference captures in {}", folder.display());
        return;
    }
    let (mut captures, mut packets, mut without) = (0, 0, 0);
    for folder in [folder.clone(), folder.join("oot"), folder.join("public-captures")] {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.contains(".pcap") {
                continue;
            }
            // Long captures repeat themselves.
            let arguments = ["dump", "--script", "--count", "3000", path.to_str().unwrap()];
            let text = mptcp_sim(&arguments).succeeded().stdout;
            let script = Script::parse(&name, &text, &Definitions::new())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            captures += 1;
            packets += script.events.len();
            without += text.lines().filter(|line| line.starts_with("// packet")).count();
        }
    }
    println!("{captures} captures, {packets} packets, {without} without words");
    assert!(captures >= 200 && packets > 100_000, "{captures} {packets}");
    // Neighbour discovery, ARP and other packets that are neither TCP nor ICMP errors.
    assert!(without * 1000 < packets, "{without} of {packets}");
}

#[test]
fn dump_prints_every_packet_on_a_line() {
    let text = mptcp_sim(&["dump", &fixture("g5-fastclose-server.client.pcapng")]).succeeded().stdout;
    assert_eq!(text.lines().count(), 14);
    assert!(text.lines().next().unwrap().contains("Flags [S]"));
    let two = mptcp_sim(&["dump", "--count", "2", &fixture("g5-fastclose-server.client.pcapng")])
        .succeeded()
        .stdout;
    assert_eq!(two.lines().count(), 2);
}

#[test]
fn a_ladder_shows_the_joins() {
    let at = scratch();
    let capture = fixture("g5-fastclose-server.client.pcapng");
    let text = mptcp_sim_at(at.path(), &["ladder", &capture]).succeeded().stdout;
    for words in ["SYN, MP_CAPABLE v1", "MP_JOIN id 1, token 221d5fa4", "MP_FASTCLOSE"] {
        assert!(text.contains(words), "{text}");
    }
    let draw = || {
        let options = ["ladder", &capture, "--svg", "ladder.svg", "--png", "ladder.png"];
        mptcp_sim_at(at.path(), &options).succeeded();
        ["ladder.svg", "ladder.png"].map(|name| std::fs::read(at.path().join(name)).unwrap())
    };
    let [svg, png] = draw();
    assert_eq!(String::from_utf8_lossy(&svg).matches("<polygon").count(), 10);
    assert!(png.starts_with(b"\x89PNG"));
    assert_eq!(draw(), [svg, png]);
    mptcp_sim_at(at.path(), &["ladder", &capture, "--svg", "ladder.txt"])
        .failed_with(&["end the name in .svg"]);
    // A picture that a reader of XML takes.
    if let Ok(output) =
        Command::new("xmllint").args(["--noout", "ladder.svg"]).current_dir(at.path()).output()
    {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_run_is_like_itself_and_unlike_another() {
    let (run, other) = (builtin("two-path").path.clone(), builtin("wifi-lte").path.clone());
    let (run, other) = (run.to_str().unwrap(), other.to_str().unwrap());
    let at = scratch();
    let outcome = mptcp_sim_at(at.path(), &["compare", run, run, "--json", "same.json"]).succeeded();
    assert!(outcome.stdout.contains(" 0 fail"), "{}", outcome.stdout);
    let json: Value = serde_json::from_slice(&std::fs::read(at.path().join("same.json")).unwrap()).unwrap();
    assert_eq!(json["verdict"], "pass");
    let outcome = mptcp_sim(&["compare", run, other]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    // The capture of a run shows the same as the run, but for what only the applications know.
    let capture = builtin("two-path").capture();
    let outcome = mptcp_sim(&["compare", run, capture.to_str().unwrap()]).succeeded();
    assert!(outcome.stdout.contains("left out: goodput"), "{}", outcome.stdout);
}

/// Every kind of side against every other: runs, several runs, ground truth, captures and pairs of them.
#[test]
fn every_kind_of_side_is_compared_with_every_other() {
    let at = scratch();
    let names =
        ["client", "server"].map(|host| fixture(&format!("g3-echo-immediate-two-subflows.{host}.pcapng")));
    let truth = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/g3-echo-immediate-two-subflows.json");
    let truth = truth.to_owned();
    let replicated = mptcp_sim_at(at.path(), &["replicate", &truth, "--out", "one", "--seed", "1"]);
    assert_eq!(replicated.code, Some(0), "{}", replicated.stdout);
    mptcp_sim_at(at.path(), &["replicate", &truth, "--out", "two", "--seed", "2"]);
    let run = "one/g3-echo-immediate-two-subflows".to_owned();
    std::fs::create_dir(at.path().join("several")).unwrap();
    for number in ["one", "two"] {
        let from = at.path().join(number).join("g3-echo-immediate-two-subflows");
        std::fs::rename(&from, at.path().join("several").join(number)).unwrap();
        std::fs::create_dir_all(&from).unwrap();
        for file in std::fs::read_dir(at.path().join("several").join(number)).unwrap() {
            let file = file.unwrap().path();
            std::fs::copy(&file, from.join(file.file_name().unwrap())).unwrap();
        }
    }
    // Each with whether it shows the packets of both hosts.
    let sides = [
        (run.clone(), true),
        ("several".to_owned(), true),
        (format!("{run},{truth}"), true),
        (truth, false),
        (names[0].clone(), false),
        (names.join(","), true),
    ];
    for a in &sides {
        for b in &sides {
            let outcome = mptcp_sim_at(at.path(), &["compare", &a.0, &b.0]);
            assert_eq!(outcome.code, Some(0), "{a:?} {b:?}\n{}\n{}", outcome.stdout, outcome.stderr);
            assert!(outcome.stdout.contains("client #1 c>s signalling"), "{a:?} {b:?}\n{}", outcome.stdout);
            let delays = outcome.stdout.contains("delay 10.0.2.2 > 10.0.9.2:5001 c>s median");
            assert_eq!(delays, a.1 && b.1, "{a:?} {b:?}\n{}", outcome.stdout);
        }
    }
}

#[test]
fn sides_and_tolerances_that_are_wrong_are_named() {
    let at = scratch();
    let capture = fixture("g5-fastclose-server.client.pcapng");
    std::fs::write(at.path().join("wide.toml"), "goodput = 0.5\nshares = 1\n").unwrap();
    mptcp_sim_at(at.path(), &["compare", &capture, &capture, "--tolerance", "wide.toml"]).failed_with(&[
        "wide.toml:2",
        "shares",
        "keys here: goodput, share, start_up_s",
    ]);
    mptcp_sim_at(at.path(), &["compare", &capture, "nothing.pcapng"]).failed_with(&["nothing.pcapng"]);
    mptcp_sim_at(at.path(), &["compare", ".", &capture])
        .failed_with(&["neither a run nor runs", "the directory of a run"]);
    mptcp_sim_at(at.path(), &["compare", &format!("{capture},{capture}"), &capture])
        .failed_with(&["the host `client` too"]);
    let run = builtin("two-path").path.clone();
    mptcp_sim_at(at.path(), &["compare", &format!("{capture},{}", run.display()), &capture])
        .failed_with(&["cannot stand beside"]);
}

#[test]
fn the_report_is_one_file_that_needs_nothing_else() {
    let at = scratch();
    let capture = builtin("two-path").capture();
    let capture = capture.to_str().unwrap();
    let make = |name: &str| {
        mptcp_sim_at(at.path(), &["analyze", capture, "--html", name]).succeeded();
        std::fs::read_to_string(at.path().join(name)).unwrap()
    };
    let html = make("report.html");
    assert!(html.matches("<svg").count() >= 4, "figures are drawn");
    for outside in ["http://", "https://", "<script", "<link", "<img"] {
        let allowed = html.matches("http://www.w3.org/2000/svg").count();
        let found = html.matches(outside).count();
        assert_eq!(found, if outside == "http://" { allowed } else { 0 }, "{outside}");
    }
    assert_eq!(html, make("report.html"), "equal captures give equal octets");
}

#[test]
fn captures_of_all_built_in_scenarios_conform() {
    for name in crate::harness::builtin_names() {
        let capture = builtin(name).capture();
        let outcome = mptcp_sim(&["analyze", "--check", capture.to_str().unwrap()]);
        assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.stdout);
    }
}

#[test]
fn figures_are_written_for_each_direction_with_data() {
    let at = scratch();
    let capture = builtin("two-path").capture();
    let arguments = ["analyze", capture.to_str().unwrap(), "--plots", "plots", "--xplot", "xplot"];
    mptcp_sim_at(at.path(), &arguments).succeeded();
    let names = |folder: &str| {
        let entries = std::fs::read_dir(at.path().join(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    };
    // The client sends; both hosts saw it.
    assert_eq!(
        names("xplot"),
        ["manifest.json", "view0-connection0-initiator.xpl", "view1-connection0-initiator.xpl"]
    );
    // Two views, eight charts (two of them a subflow each) and a ladder, SVG and PNG.
    assert_eq!(names("plots").len(), 1 + 2 * 9 * 2);
    let xplot = std::fs::read_to_string(at.path().join("xplot/view0-connection0-initiator.xpl")).unwrap();
    assert!(xplot.starts_with("double unsigned\ntitle\n") && xplot.ends_with("go\n"));
}

#[test]
fn an_interface_that_no_packet_passed_is_told() {
    let capture = builtin("echo").capture();
    let capture = capture.to_str().unwrap();
    let none = mptcp_sim(&["dump", capture, "--interface", "clent:"]).succeeded();
    assert_eq!(none.stdout, "");
    assert!(none.stderr.contains("no interface begins with clent:; there are: client:"), "{}", none.stderr);
    assert_eq!(mptcp_sim(&["dump", capture, "--interface", "client:"]).succeeded().stderr, "");
}

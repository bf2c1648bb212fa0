//! Measured runs repeated and compared.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Results, mptcp_sim, mptcp_sim_at, scratch};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.json"))
}

const ECHO: &str = "g3-echo-immediate-two-subflows";
const FASTCLOSE: &str = "g5-fastclose-server";

#[test]
fn measured_signalling_is_reproduced() {
    for name in [ECHO, FASTCLOSE] {
        let outcome = mptcp_sim(&["replicate", fixture(name).to_str().unwrap()]);
        assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
        for word in ["real", "simulated", "verdict", "pass: "] {
            assert!(outcome.stdout.contains(word), "no {word}:\n{}", outcome.stdout);
        }
    }
}

/// Version 0 as the out-of-tree kernel speaks it: packet kinds, option octets and their order, times.
#[test]
fn measured_signalling_of_the_out_of_tree_kernel_is_reproduced() {
    for name in ["o1-echo-client-close-csum1", "o1-fastclose-server", "o1-join-loss"] {
        let outcome = mptcp_sim(&["replicate", fixture(name).to_str().unwrap()]);
        assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
        assert!(outcome.stdout.contains("pass: "), "{}", outcome.stdout);
    }
}

/// A middlebox on one path strips MP_JOIN from the SYN; another drops every SYN with an option of MPTCP. Judged are medians over
/// links with the timing noise that was measured on them: when slow start ends hangs on a single packet.
#[test]
fn measured_middleboxes_are_reproduced() {
    for (name, drops) in [("f4-strip-join-path2", 0), ("f7-drop-mpcapable-syn", 3)] {
        let directory = scratch();
        let file = fixture(name);
        let outcome = mptcp_sim(&["replicate", file.to_str().unwrap(), "--seeds", "9"]);
        assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
        assert!(!outcome.stdout.contains("left out"), "{}", outcome.stdout);
        mptcp_sim_at(directory.path(), &["replicate", file.to_str().unwrap(), "--out", "out"]);
        let results = Results::read(directory.path().join("out").join(name));
        let dropped: u64 = results.summary.boxes.iter().map(|placed| placed.dropped).sum();
        let reasons: u64 = results.summary.boxes.iter().filter_map(|placed| placed.drops.get("filter")).sum();
        let changed: u64 = results.summary.boxes.iter().map(|placed| placed.changed).sum();
        assert_eq!((dropped, reasons), (drops, drops), "{:?}", results.summary.boxes);
        assert_eq!(changed > 0, drops == 0, "{:?}", results.summary.boxes);
    }
}

#[test]
fn a_run_that_differs_from_the_measured_one_fails_with_its_reason() {
    let mut case: Value = serde_json::from_slice(&fs::read(fixture(ECHO)).unwrap()).unwrap();
    let syn =
        case.pointer_mut("/results/analysis/client/subflows/0/c2s/syn/mss").expect("the case has a SYN");
    *syn = 1380.into();
    let directory = scratch();
    fs::write(directory.path().join("case.json"), case.to_string()).unwrap();
    let outcome = mptcp_sim_at(directory.path(), &["replicate", "case.json"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let row = outcome.stdout.lines().find(|line| line.starts_with("client #0 c>s SYN parameters")).unwrap();
    assert!(row.contains("FAIL") && row.contains("1380") && row.contains("1460"), "{row}");
}

#[test]
fn several_cases_end_with_a_summary() {
    let directory = scratch();
    for name in [ECHO, FASTCLOSE] {
        fs::copy(fixture(name), directory.path().join(format!("{name}.json"))).unwrap();
    }
    let outcome = mptcp_sim_at(directory.path(), &["replicate", "."]);
    let summary = outcome.stdout.split("\n\n").last().unwrap();
    let lines: Vec<_> = summary.lines().collect();
    assert!(lines[0].starts_with("case"), "{summary}");
    assert!(lines[1].starts_with(ECHO) && lines[2].starts_with(FASTCLOSE), "{summary}");
}

#[test]
fn the_comparison_is_also_json() {
    let outcome = mptcp_sim(&["replicate", fixture(ECHO).to_str().unwrap(), "--json"]);
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(json[0]["name"], ECHO);
    assert!(json[0]["rows"].as_array().unwrap().len() > 30);
}

#[test]
fn results_of_a_case_are_written_on_request() {
    let directory = scratch();
    mptcp_sim_at(directory.path(), &["replicate", fixture(ECHO).to_str().unwrap(), "--out", "cases"]);
    let results = directory.path().join("cases").join(ECHO);
    for name in ["capture.pcapng", "comparison.json", "manifest.json", "scenario.toml", "summary.json"] {
        assert!(results.join(name).is_file(), "{name}");
    }
}

/// Several seeds, a table and a report; the same octets each time.
#[test]
fn several_seeds_give_ranges_a_table_and_a_report() {
    let directory = scratch();
    let case = fixture("f4-strip-join-path2");
    let run = || {
        let arguments =
            ["replicate", case.to_str().unwrap(), "--seeds", "3", "--markdown", "t.md", "--html", "r.html"];
        let outcome = mptcp_sim_at(directory.path(), &arguments);
        assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        (outcome.stdout, read("t.md"), read("r.html"))
    };
    let (table, markdown, html) = run();
    let row = table.lines().find(|line| line.contains(" goodput ")).unwrap();
    assert!(row.contains("3 runs") && row.contains("pass"), "{row}");
    assert!(table.contains("client retransmissions") || table.contains("mean cwnd"), "{table}");
    let line = markdown.lines().nth(2).unwrap();
    assert!(line.starts_with("| f4-strip-join-path2 | pass | "), "{markdown}");
    assert!(html.contains("<svg") && html.contains("--seeds 3 --html r.html"));
    assert_eq!(run(), (table, markdown, html));
}

/// Files of one name are runs of one case: their values make a range, and a spread.
#[test]
fn ground_truths_of_one_name_are_runs_of_one_case() {
    let directory = scratch();
    let case = fixture("f4-strip-join-path2");
    fs::copy(&case, directory.path().join("first.json")).unwrap();
    let mut other: Value = serde_json::from_slice(&fs::read(&case).unwrap()).unwrap();
    let goodput = other.pointer_mut("/results/flows/0/goodput_bps").unwrap();
    *goodput = (goodput.as_f64().unwrap() * 1.04).into();
    fs::write(directory.path().join("second.json"), other.to_string()).unwrap();
    let outcome = mptcp_sim_at(directory.path(), &["replicate", "first.json", "second.json", "--seeds", "2"]);
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
    let row = outcome.stdout.lines().find(|line| line.contains(" goodput ")).unwrap();
    // A spread of 4 %: 10 % instead of 5 are allowed.
    assert_eq!(row.matches("2 runs").count(), 2, "{row}");
    assert!(row.contains(" 10 % + "), "{row}");
    assert_eq!(outcome.stdout.matches("f4-strip-join-path2: ").count(), 1);
}

#[test]
fn a_spread_is_a_percentage_or_a_file() {
    let directory = scratch();
    let case = fixture(ECHO);
    let case = case.to_str().unwrap();
    let spread = |spread: &str| mptcp_sim_at(directory.path(), &["replicate", case, "--spread", spread]);
    let tolerance = |outcome: crate::harness::Outcome| {
        let row = outcome.stdout.lines().find(|line| line.contains("join time")).unwrap().to_owned();
        row.split("pass").nth(1).unwrap().trim().to_owned()
    };
    let tight = tolerance(spread("2"));
    fs::write(directory.path().join("s.toml"), format!("{ECHO} = {{ goodput = 0.5, join = 3 }}\n")).unwrap();
    let wide = tolerance(spread("s.toml"));
    let number = |text: &str| text.split(' ').next().unwrap().parse::<f64>().unwrap();
    assert!((number(&wide) / number(&tight) - 2.0).abs() < 0.01, "{tight} {wide}");
    assert_eq!(tolerance(spread("2.1")), wide);
    fs::write(directory.path().join("s.toml"), "x = { goodputs = 1 }\n").unwrap();
    spread("s.toml").failed_with(&["s.toml:1", "NAME = PERCENT"]);
    spread("3000").failed_with(&["--spread 3000"]);
    spread("none.toml").failed_with(&["none.toml"]);
}

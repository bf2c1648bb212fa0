//! The directory of results: what is in it, and that it depends on scenario and seed only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use analysis::summary::{BoxSummary, DatagramSummary, FlowSummary, LinkSummary, SubflowSummary, Summary};
use serde_json::Value;

use crate::harness::{Outcome, Results, builtin, mptcp_sim_at, scratch};

const FILES: [&str; 15] = [
    "capture.pcapng",
    "connections.csv",
    "cumulative-bytes.png",
    "cumulative-bytes.svg",
    "goodput.png",
    "goodput.svg",
    "in-flight.png",
    "in-flight.svg",
    "manifest.json",
    "rtt.png",
    "rtt.svg",
    "scenario.toml",
    "subflows.csv",
    "summary.json",
    "windows.png",
];

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect()
}

#[track_caller]
fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (files(a), files(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, octets) in &a {
        assert!(octets == &b[name], "{name} differs");
    }
}

fn manifest(results: &Path) -> Value {
    serde_json::from_slice(&fs::read(results.join("manifest.json")).unwrap()).unwrap()
}

#[test]
fn a_run_writes_one_directory_with_everything() {
    let results = builtin("two-path");
    let written = files(&results.path);
    for name in FILES.iter().chain(&["windows.svg"]) {
        assert!(written.get(*name).is_some_and(|octets| octets.len() > 100), "{name}: {:?}", written.keys());
    }
    assert_eq!(written.len(), FILES.len() + 1, "{:?}", written.keys());
}

#[test]
fn the_same_scenario_and_seed_write_the_same_bytes() {
    for name in ["wifi-lte", "lossy"] {
        let directory = scratch();
        mptcp_sim_at(directory.path(), &["run", name, "--out", "elsewhere"]).succeeded();
        assert_same(&builtin(name).path, &directory.path().join("elsewhere"));
    }
}

#[test]
fn another_seed_gives_another_run() {
    let directory = scratch();
    let run = |seed: &str, out: &str| -> Results {
        let arguments = ["run", "lossy", "--seed", seed, "--out", out, "--no-capture", "--no-plots"];
        mptcp_sim_at(directory.path(), &arguments).succeeded();
        Results::read(directory.path().join(out))
    };
    let (seven, eight) = (run("7", "a"), run("8", "b"));
    assert_ne!(seven.summary.run.digest, eight.summary.run.digest);
    assert_eq!((seven.summary.run.seed, eight.summary.run.seed), (7, 8));
}

#[test]
fn without_arguments_the_default_scenario_runs() {
    let directory = scratch();
    let Outcome { stdout, stderr, .. } = mptcp_sim_at(directory.path(), &[]).succeeded();
    let results = builtin("two-path");
    assert_same(
        &results.path,
        &directory.path().join(format!("out/two-path-seed{}", results.summary.run.seed)),
    );
    assert!(stdout.contains(&results.summary.run.digest), "{stdout}");
    assert!(stdout.contains("mptcp-sim run two-path --seed"), "{stdout}");
    assert_eq!(stderr, "", "progress is for terminals only");
}

#[test]
fn the_resolved_scenario_repeats_the_run() {
    let results = builtin("two-path");
    let directory = scratch();
    let file = results.path.join("scenario.toml");
    mptcp_sim_at(directory.path(), &["run", file.to_str().unwrap(), "--out", "again"]).succeeded();
    let again = Results::read(directory.path().join("again"));
    assert_eq!(again.summary, results.summary);
}

#[test]
fn the_command_in_the_manifest_repeats_the_run() {
    let directory = scratch();
    let arguments =
        ["run", "echo", "--seed", "5", "--set", "links.p1.delay=7 ms", "--out", "first", "--no-plots"];
    mptcp_sim_at(directory.path(), &arguments).succeeded();
    let first = directory.path().join("first");
    let manifest = manifest(&first);
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest["seed"], 5);
    assert_eq!(manifest["digest"], Results::read(first.clone()).summary.run.digest.as_str());
    assert_eq!(manifest["command"], "mptcp-sim run echo --seed 5 --set 'links.p1.delay=7 ms' --no-plots");
    let again = ["run", "echo", "--seed", "5", "--set", "links.p1.delay=7 ms", "--no-plots"];
    mptcp_sim_at(directory.path(), &again).succeeded();
    assert_same(&first, &directory.path().join("out/echo-seed5"));
}

#[test]
fn captures_and_plots_can_be_left_out_and_change_nothing() {
    let directory = scratch();
    let arguments = ["run", "two-path", "--out", "bare", "--no-capture", "--no-plots"];
    mptcp_sim_at(directory.path(), &arguments).succeeded();
    let bare = files(&directory.path().join("bare"));
    let names: Vec<_> = bare.keys().map(String::as_str).collect();
    assert_eq!(names, ["connections.csv", "manifest.json", "scenario.toml", "subflows.csv", "summary.json"]);
    let full = files(&builtin("two-path").path);
    for name in ["summary.json", "subflows.csv", "connections.csv", "scenario.toml"] {
        assert!(bare[name] == full[name], "{name} differs");
    }
}

#[test]
fn nothing_in_the_results_tells_where_or_when_they_were_made() {
    let results = builtin("two-path");
    let place = results.path.parent().unwrap().to_str().unwrap();
    for (name, octets) in files(&results.path) {
        let found = octets.windows(place.len()).any(|window| window == place.as_bytes());
        assert!(!found, "{name} names {place}");
    }
}

#[test]
fn an_override_changes_the_resolved_scenario() {
    let directory = scratch();
    let slow =
        ["run", "two-path", "--set", "links.p2.rate=1 Mbit/s", "--out", "slow", "--no-capture", "--no-plots"];
    mptcp_sim_at(directory.path(), &slow).succeeded();
    let slow = Results::read(directory.path().join("slow"));
    let (slow, usual) = (&slow.summary.flows[0], &builtin("two-path").summary.flows[0]);
    assert!(slow.goodput_bps.unwrap() < 6e6, "{slow:?}");
    assert!(usual.goodput_bps.unwrap() > 6e6, "{usual:?}");
}

#[test]
fn how_subflows_ended_is_told() {
    let ends = |name: &str| -> Vec<Option<String>> {
        builtin(name).summary.flows[0].subflows.iter().map(|subflow| subflow.end.clone()).collect()
    };
    assert_eq!(ends("two-path"), vec![Some("closed".to_owned()); 2]);
    // The joins of the testbed's first failure go to where no router leads.
    let failed = ends("two-path-first-failure");
    assert!(failed[1..].contains(&Some("network unreachable".to_owned())), "{failed:?}");
}

/// All keys of a value and of what is in it.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            found.insert(key.clone());
            keys(value, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn every_key_and_column_is_described() {
    let page = include_str!("../../docs/results.md");
    let described: BTreeSet<&str> =
        page.split('`').skip(1).step_by(2).flat_map(|words| words.split(['.', '['])).collect();
    let summary = Summary {
        flows: vec![FlowSummary {
            subflows: vec![SubflowSummary::default()],
            datagrams: Some(DatagramSummary::default()),
            ..FlowSummary::default()
        }],
        links: vec![LinkSummary::default()],
        boxes: vec![BoxSummary { details: BTreeMap::from([("run".to_owned(), 1)]), ..BoxSummary::default() }],
        ..Summary::default()
    };
    let mut known = BTreeSet::new();
    keys(&serde_json::to_value(summary).unwrap(), &mut known);
    for file in ["subflows.csv", "connections.csv"] {
        let csv = fs::read_to_string(builtin("two-path").path.join(file)).unwrap();
        known.extend(csv.lines().next().unwrap().split(',').map(str::to_owned));
    }
    assert!(known.len() > 60, "{known:?}");
    for key in known {
        assert!(described.contains(key.as_str()), "docs/results.md does not describe {key}");
    }
}

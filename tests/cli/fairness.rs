//! The commands on congestion control: fluid and fairness.

use std::fs;

use serde_json::Value;

use crate::harness::{mptcp_sim, mptcp_sim_at, scratch};

#[test]
fn packets_and_fluid_stand_side_by_side() {
    let outcome = mptcp_sim(&[
        "fluid",
        "lossy-paths",
        "--json",
        "--set",
        "parameters.algorithm=reno",
        "--set",
        "parameters.duration=60",
        "--set",
        "parameters.rtt1=100",
        "--set",
        "parameters.loss1=0.5",
        "--set",
        "parameters.loss2=0.5",
    ])
    .succeeded();
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let rows = json["subflows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        // sqrt(2 / 0.005) packets of 100 ms.
        let fluid = row["fluid_window_segments"].as_f64().unwrap();
        assert!((fluid / 20.0 - 1.0).abs() < 0.01, "{row}");
        let ratio = row["packet_mbit_s"].as_f64().unwrap() / row["fluid_mbit_s"].as_f64().unwrap();
        assert!((0.6..1.2).contains(&ratio), "{row}");
    }
}

#[test]
fn a_network_without_fixed_point_is_an_error_in_words() {
    let outcome = mptcp_sim(&[
        "fluid",
        "coupled-bottleneck",
        "--set",
        "parameters.duration=2",
        "--set",
        "parameters.algorithm=wvegas",
        "--set",
        "flows.tcp.congestion_control=reno",
    ]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("loss-based and delay-based"), "{}", outcome.stderr);
}

#[test]
fn parameters_are_checked() {
    for (arguments, expected) in [
        (["run", "torus", "--set", "parameters.x=1"], "no such parameter"),
        (["run", "two-path", "--set", "parameters.x=1"], "has no parameters"),
        (["run", "torus", "--set", "parameters.c"], "gives no value"),
    ] {
        let outcome = mptcp_sim(&arguments);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        let text = outcome.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(expected), "{text}");
    }
}

const SUITE: &str = r#"
name = "small"
seeds = 2
false_alarms = 0.2

[[tests]]
name = "two reno flows"
scenario = "coupled-bottleneck"
set = ["parameters.algorithm=reno", "parameters.subflows=1", "parameters.duration=20"]
from = 5
to = 20
[[tests.metrics]]
name = "Jain & <all>"
kind = "jain"
flows = ["*"]
min = 0.5
"#;

#[test]
fn a_suite_passes_writes_its_files_and_fails_when_bounds_or_baseline_say_so() {
    let directory = scratch();
    let at = |arguments: &[&str]| mptcp_sim_at(directory.path(), arguments);
    let file = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    fs::write(directory.path().join("suite.toml"), SUITE).unwrap();
    let update = ["fairness", "suite.toml", "--baseline", "base.json", "--update", "--junit", "j.xml"];
    assert!(at(&update).succeeded().stdout.contains("pass: 1 of 1"));
    assert!(file("j.xml").contains("name=\"Jain &amp; &lt;all&gt;\""), "{}", file("j.xml"));

    let again = ["fairness", "suite.toml", "--baseline", "base.json", "--json", "r.json"];
    let first = at(&again).succeeded().stdout;
    assert_eq!(first, at(&again).succeeded().stdout);
    let json: Value = serde_json::from_str(&file("r.json")).unwrap();
    assert_eq!(json["results"][0]["samples"].as_array().unwrap().len(), 2);

    let mut base: Value = serde_json::from_str(&file("base.json")).unwrap();
    base["values"]["two reno flows: Jain & <all>"] = serde_json::json!([0.5, 0.5]);
    fs::write(directory.path().join("base.json"), base.to_string()).unwrap();
    let outcome = at(&again);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains("FAIL was 0.5000"), "{}", outcome.stdout);

    fs::write(directory.path().join("suite.toml"), SUITE.replace("min = 0.5", "max = 0.5")).unwrap();
    let outcome = at(&["fairness", "suite.toml"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains("FAIL above 0.5"), "{}", outcome.stdout);
}

#[test]
fn a_wrong_suite_names_file_line_and_key() {
    let directory = scratch();
    for (from, to, expected) in [
        ("seeds = 2", "seed = 2", "unknown field `seed`"),
        ("kind = \"jain\"", "kind = \"jan\"", "unknown variant `jan`"),
        ("seeds = 2", "seeds = 1", "seeds must be from 2"),
        ("from = 5", "from = 50", "from must be below to"),
        ("kind = \"jain\"", "kind = \"ratio\"", "needs flows and to"),
        ("flows = [\"*\"]", "flows = [\"x\"]", "nothing to measure"),
    ] {
        fs::write(directory.path().join("suite.toml"), SUITE.replace(from, to)).unwrap();
        let outcome = mptcp_sim_at(directory.path(), &["fairness", "suite.toml"]);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        let text = outcome.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn what_the_fluid_does_not_know_is_a_warning() {
    let echo = mptcp_sim(&["fluid", "echo", "--to", "2"]).succeeded();
    assert!(echo.stderr.contains("flow echo does not send all the time"), "{}", echo.stderr);
    let change = "links.p1.changes=[{ at = \"1 s\", delay = \"9 ms\" }]";
    let failing = mptcp_sim(&["fluid", "two-links", "--to", "9", "--set", change]).succeeded();
    assert!(failing.stderr.contains("link p1 changes; the fluid has it as it begins"), "{}", failing.stderr);
    let steady = ["fluid", "two-links", "--to", "9", "--set", "duration=10 s"];
    assert_eq!(mptcp_sim(&steady).succeeded().stderr, "");
    mptcp_sim(&["fluid", "two-links", "--from", "5", "--to", "3"]).failed_with(&["--to up to 240 s"]);
}

#[test]
fn scenarios_of_the_literature_are_among_the_names_meant() {
    mptcp_sim(&["fluid", "tors"]).failed_with(&["did you mean \"torus\"?"]);
}

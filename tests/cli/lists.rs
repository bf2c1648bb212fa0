//! What only prints.

use std::fs;

use serde_json::Value;

use crate::harness::{Results, builtin_names, mptcp_sim, mptcp_sim_at, scratch};

#[test]
fn every_built_in_scenario_is_listed_shown_and_right() {
    let list = mptcp_sim(&["list", "scenarios"]).succeeded().stdout;
    let directory = scratch();
    for name in builtin_names() {
        assert!(list.lines().any(|line| line.split_whitespace().next() == Some(name)), "{list}");
        let text = mptcp_sim(&["show", name]).succeeded().stdout;
        let file = format!("{name}.toml");
        fs::write(directory.path().join(&file), text).unwrap();
        let checked = mptcp_sim_at(directory.path(), &["check", &file]).succeeded();
        assert_eq!(checked.stdout, format!("{file}: ok, scenario {name}\n"));
    }
}

#[test]
fn a_built_in_scenario_is_shown_with_overrides() {
    let directory = scratch();
    let shown = mptcp_sim(&["show", "wifi-lte", "--set", "links.lte.rate=3 Mbit/s"]).succeeded().stdout;
    assert!(shown.contains("rate = \"3 Mbit/s\""), "{shown}");
    let torus = ["show", "torus", "--set", "parameters.c=500", "--set", "duration=9 s"];
    let torus = mptcp_sim(&torus).succeeded().stdout;
    assert!(torus.contains("duration = \"9 s\""), "{torus}");
    for (name, text) in [("a.toml", &shown), ("b.toml", &torus)] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let checked = mptcp_sim_at(directory.path(), &["check", "a.toml", "b.toml"]).succeeded();
    assert_eq!(checked.stdout, "a.toml: ok, scenario wifi-lte\nb.toml: ok, scenario torus\n");
    mptcp_sim(&["show", "echo", "--set", "parameters.c=5"]).failed_with(&["\"echo\" has no parameters"]);
    mptcp_sim(&["show", "torus", "--set", "parameters.c=x"])
        .failed_with(&["must be a number", "list scenarios"]);
    mptcp_sim(&["show", "echo", "--set", "links.p1.rat=1"])
        .failed_with(&["links.p1.rat", "did you mean \"rate\""]);
}

#[test]
fn every_algorithm_is_listed_with_its_source() {
    let list = mptcp_sim(&["list"]).succeeded().stdout;
    for name in ["cubic", "olia", "minrtt", "kernel", "ndiffports", "two-path"] {
        assert!(list.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name}:\n{list}");
    }
    assert!(mptcp_sim(&["list", "congestion"]).succeeded().stdout.contains("RFC 9438"));
}

#[test]
fn every_box_is_listed_with_its_parameters() {
    let list = mptcp_sim(&["list", "boxes"]).succeeded().stdout;
    for entry in mptcp_model::net::middlebox::registry::list() {
        assert!(list.lines().any(|line| line.split_whitespace().next() == Some(entry.name)), "{list}");
        for parameter in entry.all_parameters() {
            let is_it = |line: &str| line.starts_with(&format!("  {} ", parameter.name));
            assert!(list.lines().any(is_it), "{}:\n{list}", parameter.name);
        }
    }
    assert!(list.contains("RFC 5382") && list.contains("syn-ack"), "{list}");
    assert!(list.contains("from 1 to 65000; default"), "{list}");
}

#[test]
fn the_state_machines_are_those_of_the_documentation() {
    // CLOSE-07
    let list = mptcp_sim(&["list", "states"]).succeeded().stdout;
    let document = include_str!("../../docs/state-machines.md");
    let (_, rest) = document.split_once("```text\n").expect("a block");
    let (table, _) = rest.split_once("```").expect("its end");
    assert_eq!(list, table, "docs/state-machines.md shows what `mptcp-sim list states` prints");
}

#[test]
fn the_schema_is_json_and_knows_the_tables() {
    let schema: Value = serde_json::from_str(&mptcp_sim(&["schema"]).succeeded().stdout).unwrap();
    for key in ["hosts", "links", "boxes", "flows", "events"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
}

#[test]
fn completions_are_made_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(mptcp_sim(&["completions", shell]).succeeded().stdout.contains("replicate"), "{shell}");
    }
}

#[test]
fn version_and_help_with_examples() {
    assert_eq!(
        mptcp_sim(&["--version"]).succeeded().stdout,
        format!("mptcp-sim {}\n", env!("CARGO_PKG_VERSION"))
    );
    let help = mptcp_sim(&["--help"]).succeeded().stdout;
    for words in ["Examples:", "replicate case.json", "Exit codes:"] {
        assert!(help.contains(words), "{help}");
    }
}

#[test]
fn the_scenario_in_the_readme_is_right() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("the README has a scenario");
    let (text, _) = rest.split_once("```").expect("the scenario ends");
    let directory = scratch();
    fs::write(directory.path().join("my.toml"), text).unwrap();
    let checked = mptcp_sim_at(directory.path(), &["check", "my.toml"]).succeeded();
    assert_eq!(checked.stderr, "", "no warning");
    mptcp_sim_at(directory.path(), &["run", "my.toml", "--no-plots"]).succeeded();
    let Results { summary, .. } = Results::read(directory.path().join("out/my-seed1"));
    assert!(
        summary.links.iter().all(|link| link.packets > 1_000),
        "both links are used: {:?}",
        summary.links
    );
    let detour = text.replace("rules = [\"from 10.0.2.2 lookup 2\"]", "");
    fs::write(directory.path().join("detour.toml"), detour).unwrap();
    let checked = mptcp_sim_at(directory.path(), &["check", "detour.toml"]).succeeded();
    let told = "what 10.0.2.2 sends to 10.0.1.1 leaves by wifi, not by lte";
    assert!(checked.stderr.contains(told), "{}", checked.stderr);
    let wrong = text.replace("bulk = { bytes", "bulk = { size");
    fs::write(directory.path().join("my.toml"), wrong).unwrap();
    let place = readme.split_whitespace().find(|word| word.starts_with("my.toml:")).unwrap();
    let checked = mptcp_sim_at(directory.path(), &["check", "my.toml"]);
    assert!(checked.stderr.contains(place), "{place}:\n{}", checked.stderr);
}

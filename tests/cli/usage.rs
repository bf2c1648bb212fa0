//! Bad input: exit code 2 and a message that says where and what would be right.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::harness::{mptcp_sim, mptcp_sim_at, scratch};

#[test]
fn an_unknown_option_is_wrong_usage() {
    mptcp_sim(&["run", "--sede", "1"]).failed_with(&["--sede", "--seed"]);
}

#[test]
fn a_seed_must_fit_a_scenario_file() {
    mptcp_sim(&["run", "--seed", "-1"]).failed_with(&["-1"]);
    mptcp_sim(&["run", "--seed", "9223372036854775808"]).failed_with(&["9223372036854775808"]);
}

#[test]
fn an_unknown_scenario_is_told_with_the_name_meant() {
    mptcp_sim(&["run", "two-pth"])
        .failed_with(&["no built-in scenario \"two-pth\"", "did you mean \"two-path\""]);
    mptcp_sim(&["show", "wifi"]).failed_with(&["no built-in scenario \"wifi\""]);
}

#[test]
fn a_missing_file_is_told_by_name() {
    for arguments in [["run", "no/such.toml"], ["check", "no/such.toml"], ["replicate", "no/such.json"]] {
        mptcp_sim(&arguments).failed_with(&["cannot read no/such", "No such file"]);
    }
}

#[test]
fn all_errors_of_a_file_are_told_with_line_column_and_help() {
    let directory = scratch();
    let text = mptcp_sim(&["show", "two-path"]).succeeded().stdout;
    let wrong = text.replacen("rate = \"5 Mbit/s\"", "rat = \"5 Mbit/s\"", 1).replacen(
        "duration = \"30 s\"",
        "duration = \"30\"",
        1,
    );
    assert_ne!(wrong, text);
    let line = |needle: &str| wrong.lines().position(|line| line.contains(needle)).unwrap() + 1;
    fs::write(directory.path().join("wrong.toml"), &wrong).unwrap();
    let places = [format!("wrong.toml:{}:", line("duration =")), format!("wrong.toml:{}:1", line("rat ="))];
    let words = [&places[0], &places[1], "unknown key", "did you mean \"rate\"", "duration"];
    mptcp_sim_at(directory.path(), &["run", "wrong.toml"]).failed_with(&words);
    let checked = mptcp_sim_at(directory.path(), &["check", "wrong.toml"]);
    assert_eq!(checked.code, Some(1));
    assert!(checked.stderr.contains("did you mean \"rate\""), "{}", checked.stderr);
}

#[test]
fn any_text_is_refused_in_words() {
    let directory = scratch();
    for (number, text) in
        ["", "\0", "[", "é = 1", "\u{feff}", "[[links]]\n[[links]]", "hosts = 1"].iter().enumerate()
    {
        let name = format!("{number}.toml");
        fs::write(directory.path().join(&name), text).unwrap();
        mptcp_sim_at(directory.path(), &["run", &name]).failed_with(&[&name]);
    }
    fs::write(directory.path().join("latin1.toml"), b"title = \"\xe9\"").unwrap();
    mptcp_sim_at(directory.path(), &["run", "latin1.toml"]).failed_with(&["latin1.toml", "UTF-8"]);
}

#[test]
fn a_network_in_which_time_stands_still_is_refused() {
    let directory = scratch();
    let file = directory.path().join("timeless.toml");
    let text = r#"
        [hosts.a.interfaces]
        x = { addresses = ["10.0.0.1/24"] }
        [hosts.b.interfaces]
        x = { addresses = ["10.0.0.2/24"] }
        [[links]]
        name = "l"
        a = "a:x"
        b = "b:x"
        [[flows]]
        from = "a"
        to = "b"
        bulk = { time = "1 s" }
    "#;
    fs::write(&file, text).unwrap();
    let out = directory.path().join("out");
    let arguments = ["run", file.to_str().unwrap(), "--no-capture", "--out", out.to_str().unwrap()];
    mptcp_sim(&arguments)
        .failed_with(&["time stands still at 0", "give a link on their way a rate or a delay"]);
    assert!(!out.exists());
}

#[test]
fn a_wrong_override_is_told_with_the_key_meant() {
    mptcp_sim(&["run", "--set", "links.p1.rat=1 Mbit/s"])
        .failed_with(&["links.p1.rat", "did you mean \"rate\""]);
    mptcp_sim(&["run", "--set", "links.p1"]).failed_with(&["KEY.PATH=VALUE"]);
    mptcp_sim(&["run", "--set", "links.p1.rate=fast"]).failed_with(&["links.p1.rate", "fast"]);
}

#[test]
fn other_peoples_files_are_not_overwritten() {
    let directory = scratch();
    fs::write(directory.path().join("thesis.tex"), "x").unwrap();
    let out = directory.path().to_str().unwrap();
    mptcp_sim(&["run", "--out", out]).failed_with(&["something else than results"]);
    assert!(directory.path().join("thesis.tex").exists());
}

#[test]
fn a_file_that_is_no_ground_truth_is_refused() {
    let directory = scratch();
    fs::write(directory.path().join("case.json"), "{\"schema\": \"other/1\"}").unwrap();
    mptcp_sim_at(directory.path(), &["replicate", "case.json"]).failed_with(&["case.json"]);
    fs::create_dir(directory.path().join("none")).unwrap();
    mptcp_sim_at(directory.path(), &["replicate", "none"]).failed_with(&["none holds no JSON file"]);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mptcp-sim"))
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{stderr}");
    assert_eq!(stderr, "");
}

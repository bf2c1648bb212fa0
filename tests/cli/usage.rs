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
    mptcp_sim(&["run", "--set", "links.p7.rate=1 Mbit/s"])
        .failed_with(&["links.p7: no such key", "did you mean"]);
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
fn an_analysis_does_not_replace_the_run_it_is_of() {
    let directory = scratch();
    let at = directory.path();
    mptcp_sim_at(at, &["run", "echo", "--no-plots", "--out", "run"]).succeeded();
    let capture = "run/capture.pcapng";
    for option in ["--csv", "--plots", "--xplot"] {
        mptcp_sim_at(at, &["analyze", capture, option, "run"])
            .failed_with(&["something else than an analysis"]);
    }
    assert!(at.join(capture).is_file());
    let twice = ["analyze", capture, "--csv", "same", "--plots", "same"];
    mptcp_sim_at(at, &twice).failed_with(&["same is named twice", "a directory each"]);
    assert!(!at.join("same").exists());
    // Once more in its own place.
    mptcp_sim_at(at, &["analyze", capture, "--csv", "csv"]).succeeded();
    mptcp_sim_at(at, &["analyze", capture, "--csv", "csv"]).succeeded();
    mptcp_sim_at(at, &["run", "echo", "--out", "csv"]).failed_with(&["something else than results of a run"]);
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

/// A scenario of two hosts with `more` in it.
fn small(more: &str) -> String {
    let hosts = "[hosts.a.interfaces]\nx = { addresses = [\"10.0.0.1/24\"] }\n\
                 [hosts.b.interfaces]\nx = { addresses = [\"10.0.0.2/24\"] }\n";
    let link = "[[links]]\nname = \"l\"\na = \"a:x\"\nb = \"b:x\"\nrate = \"1 Mbit/s\"\ndelay = \"1 ms\"\n";
    format!("duration = \"2 s\"\n{hosts}{link}{more}")
}

#[test]
fn what_cannot_be_built_is_told_with_its_place() {
    let directory = scratch();
    let flow = "[[flows]]\nname = \"f\"\nfrom = \"a\"\nto = \"b\"\nbulk = { bytes = \"1 kB\" }\n";
    for (more, words) in [
        (
            format!("{flow}congestion_parameters = {{ bet = \"0.7\" }}\n"),
            ["flows.f.congestion_parameters", "it has: hystart, beta"],
        ),
        (
            "[hosts.a]\nrules = [\"from 10.0.0.1 iif x lookup 7\"]\n".to_owned(),
            ["hosts.a.rules.0", "use \"from\""],
        ),
        (
            "[hosts.a.mptcp]\nscheduler_parameters = { n = 1 }\n".to_owned(),
            ["scheduler_parameters.n", "has no parameters"],
        ),
        (
            "[hosts.a.mptcp]\npath_manager_parameters = { num_subflows = 3 }\n".to_owned(),
            ["path_manager_parameters.num_subflows", "it has none"],
        ),
        (
            "[hosts.a.mptcp]\npath_manager = \"ndiffports\"\npath_manager_parameters = { n = 3 }\n"
                .to_owned(),
            ["path_manager_parameters.n", "it has: num_subflows"],
        ),
    ] {
        let text = small(&more);
        fs::write(directory.path().join("s.toml"), &text).unwrap();
        let line = text.lines().count();
        let place = format!("s.toml:{line}:");
        mptcp_sim_at(directory.path(), &["run", "s.toml"]).failed_with(&[&place, words[0], words[1]]);
        let checked = mptcp_sim_at(directory.path(), &["check", "s.toml"]);
        assert!(checked.code == Some(1) && checked.stderr.contains(&place), "{checked:?}");
        assert!(!directory.path().join("out").exists());
    }
}

#[test]
fn nothing_is_taken_without_being_used_or_refused() {
    for (change, words) in [
        ("flows.bulk.bulk={ time = \"0 s\" }", "no time to send"),
        ("output.sample_interval=999 ns", "write at least \"1 us\""),
    ] {
        mptcp_sim(&["run", "two-path", "--set", change]).failed_with(&[words]);
    }
    let both = mptcp_sim(&["run", "two-path", "--set", "links.p1.delay=3 ms"]);
    both.failed_with(&["both directions have their own", "set links.p1.ab.delay and links.p1.ba.delay"]);
}

#[test]
fn what_has_no_effect_is_a_warning_of_run_and_check() {
    let directory = scratch();
    let more = "reorder = true\necn_threshold = 100\nchanges = [{ at = \"3 s\", state = \"down\" }]\n\
                [[flows]]\nname = \"f\"\nfrom = \"a\"\nto = \"b\"\nstart = \"2 s\"\nbulk = { bytes = \"1 kB\" }\n\
                [[events]]\nat = \"5 s\"\nhost = \"a\"\ncommand = \"link down x\"\n\
                [hosts.a.interfaces.y]\n[hosts.a]\nrp_filter = \"strict\"\n\
                [hosts.a.tcp]\ntcp_autocorking = false\n\
                [hosts.a.mptcp]\npath_manager = \"fullmesh\"\nendpoints = [{ address = \"10.0.0.1\" }]\n";
    let at = directory.path();
    fs::write(at.join("s.toml"), small(more)).unwrap();
    let checked = mptcp_sim_at(at, &["check", "s.toml"]).succeeded();
    let run = mptcp_sim_at(at, &["run", "s.toml", "--no-capture", "--no-plots"]).succeeded();
    for words in [
        "links.l.reorder has no effect from ab: there is no jitter",
        "links.l.ecn_threshold has no effect from ba: the queue is full before",
        "links.l.changes: 3 s is not before the end of the run",
        "flows.f.start: 2 s is not before the end of the run",
        "events.0.at: 5 s is not before the end of the run",
        "hosts.a.interfaces.y has no link",
        "hosts.a.rp_filter has no effect: only routers filter",
        "hosts.a.tcp.tcp_autocorking has no effect",
        "hosts.a.mptcp.endpoints has no effect: the path manager \"fullmesh\" does not look at endpoints",
    ] {
        assert!(checked.stderr.contains(words), "no \"{words}\" in:\n{}", checked.stderr);
        assert!(run.stderr.contains(words), "no \"{words}\" in:\n{}", run.stderr);
    }
    fs::write(at.join("s.toml"), small("")).unwrap();
    let checked = mptcp_sim_at(at, &["check", "s.toml"]).succeeded();
    assert_eq!(checked.stderr, "warning: s.toml: there are no flows: nothing is sent\n");
}

#[test]
fn check_looks_at_all_files() {
    let directory = scratch();
    let at = directory.path();
    fs::write(at.join("right.toml"), mptcp_sim(&["show", "echo"]).succeeded().stdout).unwrap();
    fs::write(at.join("wrong.toml"), "").unwrap();
    let checked = mptcp_sim_at(at, &["check", "none.toml", "wrong.toml", "right.toml"]);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    assert!(
        checked.stderr.contains("cannot read none.toml") && checked.stderr.contains("wrong.toml:1:1"),
        "{checked:?}"
    );
    assert_eq!(checked.stdout, "right.toml: ok, scenario right\n");
}

#[test]
fn files_are_written_and_verdicts_given_though_nobody_reads_on() {
    let directory = scratch();
    let at = directory.path();
    let capture = format!("{}/tests/fixtures/g1-echo-one-subflow.client.pcapng", env!("CARGO_MANIFEST_DIR"));
    let case = format!("{}/tests/fixtures/f7-drop-mpcapable-syn.json", env!("CARGO_MANIFEST_DIR"));
    for (arguments, code, file) in [
        (vec!["analyze", &capture, "--html", "a.html"], 0, "a.html"),
        (vec!["analyze", &capture, "--csv", "csv"], 0, "csv/report.json"),
        (vec!["replicate", &case, "--markdown", "r.md"], 1, "r.md"),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mptcp-sim"))
            .args(&arguments)
            .current_dir(at)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{arguments:?}");
        assert!(at.join(file).is_file(), "{file}");
    }
}

//! What users are told about mistakes.

use scenarios::{KnownNames, Scenario, ScenarioError, library};

/// The errors of the scenario `wifi-lte` with `from` replaced by `to`.
#[track_caller]
fn errors(changes: &[(&str, &str)]) -> Vec<ScenarioError> {
    let mut text = library::get("wifi-lte").unwrap().text.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    match Scenario::from_toml(&text, "file.toml") {
        Ok(_) => panic!("no error with {changes:?}"),
        Err(errors) => errors.into_iter().collect(),
    }
}

#[track_caller]
fn error(from: &str, to: &str) -> String {
    let errors = errors(&[(from, to)]);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    let error = &errors[0];
    let (line, column) = error.place().line_column();
    assert!(error.source_text().get(error.span()).is_some(), "{error:?}");
    let place = format!("file.toml:{line}:{column}: ");
    error.to_string().strip_prefix(&place).unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[test]
fn an_error_names_file_line_column_key_mistake_and_remedy() {
    let errors = errors(&[("rate = \"20 Mbit/s\"", "rate = \"20 Mbits\"")]);
    let error = &errors[0];
    assert_eq!(&error.source_text()[error.span()], "\"20 Mbits\"");
    let line = error.source_text().lines().position(|line| line.contains("Mbits")).unwrap() + 1;
    assert_eq!(error.place().line_column(), (line, 8));
    assert_eq!(error.key(), "links.wifi.rate");
    assert_eq!(error.message(), "\"Mbits\" is not a unit of a rate");
    assert!(error.help().unwrap().starts_with("did you mean \"Mbit/s\"?"));
    assert_eq!(error.to_string().split(": ").next(), Some(format!("file.toml:{line}:8").as_str()));
}

#[test]
fn several_errors_are_reported_together_in_the_order_of_the_file() {
    let found = errors(&[
        ("duration = \"60 s\"", "duration = 60\nsead = 1"),
        ("delay = \"10 ms\"", "dealy = \"10 ms\""),
        ("delay = \"30 ms\"", "delay = \"30\""),
    ]);
    let keys: Vec<&str> = found.iter().map(ScenarioError::key).collect();
    assert_eq!(keys, ["duration", "sead", "links.wifi.dealy", "links.lte.delay"]);
    assert!(found[0].message().contains("bare number"));
    let found = errors(&[("to = \"server\"", "to = \"sever\""), ("b = \"router:r0\"", "b = \"router:r7\"")]);
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn misspelt_names_get_a_suggestion() {
    for (from, to, help) in [
        ("kind = \"router\"", "kind = \"ruoter\"", "did you mean \"router\"?"),
        ("[hosts.client.interfaces]", "[hosts.client.interface]", "did you mean \"interfaces\"?"),
        ("a = \"client:c0\"", "a = \"cleint:c0\"", "did you mean \"client\"?"),
        ("to = \"server\"", "to = \"sever\"", "did you mean \"server\"?"),
        ("flags = [\"subflow\"]", "flags = [\"sublow\"]", "did you mean \"subflow\"?"),
        ("to = \"server\"", "to = \"server\"\ncongestion_control = \"cubik\"", "did you mean \"cubic\"?"),
        ("to = \"server\"", "to = \"server\"\nscheduler = \"minrt\"", "did you mean \"minrtt\"?"),
        (
            "[hosts.client.mptcp]",
            "[hosts.client.mptcp]\npath_manager = \"ndifports\"",
            "did you mean \"ndiffports\"?",
        ),
    ] {
        let error = error(from, to);
        assert!(error.contains(help), "{error}");
    }
}

#[test]
fn networks_that_cannot_work_are_refused() {
    for (from, to, message) in [
        (
            "r1 = { addresses = [\"10.0.2.1/24\"]",
            "r1 = { addresses = [\"10.0.1.1/24\"]",
            "already an address of router:r0",
        ),
        ("via 10.0.2.1 dev c1", "via 10.0.7.1 dev c1", "next hop 10.0.7.1 cannot be reached by c1"),
        ("via 10.0.2.1 dev c1", "via 10.0.2.1 dev c7", "no interface of client \"c7\""),
        ("address = \"10.0.2.2\"", "address = \"10.0.9.2\"", "10.0.9.2 is not an address of client"),
        ("id = 1", "id = 0", "0 is out of range; write a number from 1 to 255"),
        ("id = 1", "id = 256", "256 is out of range"),
        ("[\"subflow\"]", "[\"signal\", \"fullmesh\"]", "exclude each other"),
        ("id = 1", "id = 1, port = 80", "a port needs the flag signal"),
        ("subflows = 4", "subflows = 9", "write a number from 0 to 8"),
        ("b = \"router:r1\"", "b = \"router:r0\"", "already an end of link \"wifi\""),
        ("name = \"lte\"", "name = \"wifi\"", "two links \"wifi\""),
        ("from = \"client\"", "from = \"server\"", "same host"),
        ("bulk = { bytes = \"15 MB\" }", "", "no application"),
        ("bulk = { bytes = \"15 MB\" }", "bulk = { bytes = \"15 MB\", time = \"1 s\" }", "how much to send"),
        ("bulk = { bytes = \"15 MB\" }", "client = [\"close\", \"send 1 B\"]\nserver = []", "after close"),
        ("rate = \"20 Mbit/s\"\n", "", "a BDP without a rate"),
        ("name = \"wifi\"\n", "", "missing; add name"),
        ("to = \"server\"", "to = \"10.0.9.9\"", "no host has the address 10.0.9.9"),
        ("to = \"server\"", "to = \"server\"\nbind = \"10.0.9.2\"", "is not an address of client"),
        ("to = \"server\"", "to = \"server\"\nprotocol = \"udp\"", "UDP has no connection"),
        (
            "[[links]]",
            "[[events]]\nat = \"1 s\"\nhost = \"client\"\ncommand = \"link down c9\"\n[[links]]",
            "no interface of client \"c9\"",
        ),
    ] {
        let error = error(from, to);
        assert!(error.contains(message), "{message}: {error}");
    }
}

#[test]
fn algorithms_that_are_not_simulated_are_refused_when_the_file_is_read() {
    let names = KnownNames { schedulers: &["default"], path_managers: &["kernel"], ..KnownNames::default() };
    let read = |text: &str| Scenario::from_toml_with(text, "file.toml", &names);
    let hosts = "[hosts.a]\n[hosts.b]\n[hosts.r]\nkind = \"router\"\n";
    assert!(read(hosts).is_ok());
    let errors = read(&format!("[defaults]\nprofile = \"linux-oot\"\n{hosts}")).unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 2, "{errors}");
    assert!(
        texts[0].contains("path manager of this profile, \"fullmesh\", is not simulated")
            && texts[0].contains("set path_manager in [defaults.mptcp]; path managers: kernel"),
        "{errors}"
    );
    assert!(texts[1].contains("\"minrtt\", is not simulated"), "{errors}");
    assert_eq!(errors.iter().next().unwrap().place().line_column().0, 2);
    let chosen = "[defaults.mptcp]\npath_manager = \"kernel\"\nscheduler = \"default\"\n";
    assert!(read(&format!("[defaults]\nprofile = \"linux-oot\"\n{chosen}{hosts}")).is_ok());
    let errors = read(&format!("{hosts}[hosts.a.mptcp]\nscheduler = \"blest\"\n")).unwrap_err();
    assert!(errors.to_string().contains("there is no scheduler \"blest\"; schedulers: default"), "{errors}");
}

#[test]
fn the_names_are_those_of_the_registries() {
    let names = KnownNames::default();
    for info in mptcp_model::scheduler::list() {
        assert!(names.schedulers.contains(&info.name), "{}", info.name);
    }
    for entry in mptcp_model::path_manager::registry::PATH_MANAGERS {
        assert!(names.path_managers.contains(&entry.name), "{}", entry.name);
    }
}

// PM-13
#[test]
fn endpoints_have_ids_of_their_own_and_are_at_most_eight() {
    let first = "{ address = \"10.0.2.2\", id = 1, flags = [\"subflow\"], dev = \"c1\" },";
    let twice = format!("{first}\n{{ address = \"10.0.1.2\", id = 1 }},");
    assert!(error(first, &twice).contains("endpoint id 1 is used twice"));
    let interfaces: Vec<String> = (10..19).map(|n| format!("\"10.0.1.{n}/24\"")).collect();
    let endpoints: Vec<String> = (10..19).map(|n| format!("{{ address = \"10.0.1.{n}\" }}")).collect();
    let found = errors(&[
        ("\"10.0.1.2/24\"", &format!("\"10.0.1.2/24\", {}", interfaces.join(", "))),
        (first, &endpoints.join(", ")),
    ]);
    assert!(found[0].to_string().contains("at most 8"), "{found:?}");
}

#[test]
fn broken_toml_is_reported_with_its_place() {
    let errors = Scenario::from_toml("title = \"x\"\nduration = = 3\n", "file.toml").unwrap_err();
    let first = errors.iter().next().unwrap();
    assert!(matches!(first, ScenarioError::Syntax { .. }), "{first:?}");
    assert_eq!(first.place().line_column().0, 2);
}

#[test]
fn an_empty_file_is_told_to_add_hosts() {
    let errors = Scenario::from_toml("", "file.toml").unwrap_err();
    assert!(errors.to_string().contains("add hosts"), "{errors}");
}

#[test]
fn overrides_change_the_scenario_and_are_checked_like_the_file() {
    let wifi_lte = library::get("wifi-lte").unwrap();
    let load = |text: &str, overrides: &[&str]| {
        Scenario::from_toml_with_overrides(text, "wifi-lte.toml", overrides, &KnownNames::default())
    };
    let plain = wifi_lte.scenario().unwrap();
    assert_eq!(load(wifi_lte.text, &[]).as_ref(), Ok(&plain));
    let changed =
        load(wifi_lte.text, &["links.wifi.rate=5 Mbit/s", "seed=9", "flows.bulk.scheduler=minrtt"]).unwrap();
    assert_eq!((changed.name.as_str(), changed.seed), ("wifi-lte", 9));
    assert_eq!(changed.link("wifi").unwrap().ab.rate.unwrap().as_bps(), 5_000_000);
    assert_eq!(changed.flows[0].scheduler.as_deref(), Some("minrtt"));
    let message = |text: &str, overrides: &[&str]| load(text, overrides).unwrap_err().to_string();
    assert!(message(wifi_lte.text, &["links.wifi.rate=5"]).contains("has no unit"));
    assert!(message(wifi_lte.text, &["links.wfi.rate=5 Mbit/s"]).contains("did you mean \"wifi\""));
    let broken = wifi_lte.text.replace("delay = \"10 ms\"", "delay = 10");
    assert!(message(&broken, &["seed=9"]).starts_with("wifi-lte.toml:"));
    assert!(load(&broken, &["links.wifi.delay=10 ms"]).is_ok());
}

#[test]
fn the_ends_of_a_flow_are_of_one_ip_version() {
    for key in ["bind", "listen"] {
        let host = if key == "bind" {
            "c0 = { addresses = [\"10.0.1.2/24\""
        } else {
            "s0 = { addresses = [\"10.0.9.2/24\""
        };
        let six = format!("{host}, \"fd00::7/64\"");
        let bound = format!("to = \"10.0.9.2\"\n{key} = \"fd00::7\"");
        let found = errors(&[(host, &six), ("to = \"server\"", &bound)]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].key(), format!("flows.bulk.{key}"));
        assert!(found[0].message().ends_with("10.0.9.2 are of different IP versions"), "{}", found[0]);
    }
}

#[test]
fn an_unknown_interface_is_told_with_those_there_are() {
    let error = error("a = \"client:c0\"", "a = \"client:eth7\"");
    assert!(error.ends_with("interfaces of client: c0, c1"), "{error}");
}

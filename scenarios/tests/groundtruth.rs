//! Import of reference cases.

use std::path::Path;

use scenarios::Scenario;
use scenarios::application::{Application, Step};
use scenarios::groundtruth::{ImportError, import};
use scenarios::scenario::{LinkChange, QueueLimit};
use sim_core::{Bytes, Duration, Instant, Rate};

const MP_PRIO: &str = include_str!("fixtures/g9-mp-prio.json");
const LINKDOWN: &str = include_str!("fixtures/d3-linkdown-path1.json");

#[test]
fn a_signalling_case_becomes_a_scenario_with_nothing_left_out() {
    let case = import(MP_PRIO).unwrap();
    assert_eq!(case.unsupported, []);
    assert_eq!((case.group.as_str(), case.yardstick), ("g", true));
    let scenario = case.scenario;
    let link = scenario.link("p2").unwrap();
    assert_eq!(link.ab.rate, Rate::from_bps(10_000_000));
    assert_eq!(link.ab.delay, Duration::from_millis(20));
    assert_eq!(link.ab.queue, QueueLimit::Bytes(Bytes(200_000)));
    assert_eq!((link.overhead, link.mtu), (Bytes(14), 1_500));
    let veth = scenario.link("srv").unwrap();
    assert_eq!((veth.ab.rate, veth.ab.delay), (None, Duration::from_micros(15)));
    let client = scenario.host("client").unwrap();
    assert_eq!(client.interface("c1").unwrap().mac.unwrap().to_string(), "02:00:00:00:01:01");
    assert_eq!(
        client.rules.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["priority 32764 from 10.0.2.2 lookup 102", "priority 32765 from 10.0.1.2 lookup 101"]
    );
    let endpoint = &client.endpoints[0];
    assert_eq!(
        (endpoint.endpoint.id, endpoint.endpoint.subflow, endpoint.dev.as_deref()),
        (5, true, Some("c1"))
    );
    let events: Vec<String> =
        scenario.events.iter().map(|event| format!("{} {}", event.at, event.command)).collect();
    assert_eq!(
        events,
        ["0.800000000 endpoint change id 5 backup", "1.400000000 endpoint change id 5 nobackup"]
    );
    let flow = &scenario.flows[0];
    assert_eq!(flow.congestion_control.as_deref(), Some("cubic"));
    let Application::Steps { client, server } = &flow.application else { panic!("{:?}", flow.application) };
    assert_eq!(
        client[..3],
        [
            Step::Sleep(Duration::from_millis(300)),
            Step::Send(Bytes(20_000)),
            Step::SleepUntil(Instant::from_nanos(1_000_000_000)),
        ]
    );
    assert_eq!(server[..], [Step::RecvEof, Step::Close]);
}

#[test]
fn a_flow_starts_when_its_first_syn_was_captured() {
    let json: serde_json::Value = serde_json::from_str(MP_PRIO).unwrap();
    let syn = json["results"]["analysis"]["client"]["subflows"][0]["syn_t"].as_f64().unwrap();
    let start = |json: &serde_json::Value| import(&json.to_string()).unwrap().scenario.flows[0].start;
    assert_eq!(start(&json), Instant::ZERO + Duration::from_secs_f64(syn));
    let mut unknown = json.clone();
    unknown["results"]["analysis"] = serde_json::Value::Null;
    let begin = json["results"]["flows"][0]["client"]["connect_begin"].as_f64().unwrap();
    assert_eq!(start(&unknown), Instant::ZERO + Duration::from_secs_f64(begin));
    unknown["results"] = serde_json::Value::Null;
    assert_eq!(start(&unknown), Instant::ZERO);
}

#[test]
fn shell_commands_become_one_event_each_without_neighbour_entries() {
    let case = import(LINKDOWN).unwrap();
    assert_eq!(case.unsupported, []);
    let commands: Vec<String> = case.scenario.events.iter().map(|event| event.command.to_string()).collect();
    assert_eq!(
        commands,
        [
            "link down c0",
            "link up c0",
            "route add default via 10.0.1.1 dev c0 table 101",
            "route add default via 10.0.1.1 dev c0",
        ]
    );
}

#[test]
fn a_relayed_link_failure_is_a_change_of_the_link() {
    let mut json: serde_json::Value = serde_json::from_str(LINKDOWN).unwrap();
    json["events_spec"] = serde_json::json!([{"t": 3.0, "relay": "down p1"}, {"t": 8.0, "relay": "up p1"}]);
    let case = import(&json.to_string()).unwrap();
    assert_eq!(case.unsupported, []);
    let change = |seconds, up| LinkChange {
        at: Instant::ZERO + Duration::from_secs(seconds),
        ab: true,
        ba: true,
        rate: None,
        delay: None,
        loss: None,
        up: Some(up),
    };
    assert_eq!(case.scenario.link("p1").unwrap().changes, [change(3, false), change(8, true)]);
}

#[test]
fn what_cannot_be_expressed_is_listed() {
    let mut json: serde_json::Value = serde_json::from_str(MP_PRIO).unwrap();
    json["host_config"]["r"]["nft"] = "table ip m {}".into();
    json["topology"]["links"][0]["ab"]["mangle"] = 40.into();
    json["flows_spec"][0]["client"]["steps"][0][0] = "dance".into();
    json["events_spec"][0]["cmd"] = "tc qdisc add".into();
    json["host_config"]["client"]["sysctl"]["net.ipv4.tcp_fastopen"] = "1".into();
    let unsupported = import(&json.to_string()).unwrap().unsupported;
    let keys: Vec<&str> = unsupported.iter().map(|item| item.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "host_config.client.sysctl.net.ipv4.tcp_fastopen",
            "host_config.r.nft",
            "topology.links.p1.ab.mangle",
            "flows_spec.f1.client.steps.0",
            "events_spec.0",
        ]
    );
}

#[test]
fn what_is_no_reference_case_is_refused() {
    assert!(matches!(import("{"), Err(ImportError::Json(_))));
    assert!(matches!(import("{\"schema\": \"other/1\"}"), Err(ImportError::Schema { .. })));
    let wrong = MP_PRIO.replace("\"dst\": \"10.0.9.2\"", "\"dst\": \"10.0.9.77\"");
    let error = import(&wrong).unwrap_err();
    assert!(matches!(error, ImportError::Scenario(_)) && error.to_string().contains("10.0.9.77"), "{error}");
}

/// The whole set of reference cases, where it is at hand.
#[test]
fn every_reference_case_imports() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("SKIPPED: there are no reference cases in {}", folder.display());
        return;
    };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    if let Ok(more) = std::fs::read_dir(folder.join("oot")) {
        files.extend(more.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let mut upstream = 0;
    for path in &files {
        let json = std::fs::read_to_string(path).unwrap();
        let case = import(&json).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let oot = path.parent().is_some_and(|parent| parent.ends_with("oot"));
        if !oot {
            upstream += 1;
        }
        let complete = oot || ["a", "b", "c", "d", "g", "h", "i"].contains(&case.group.as_str());
        assert!(!complete || case.unsupported.is_empty(), "{}: {:?}", path.display(), case.unsupported);
        assert!(complete || !case.unsupported.is_empty(), "{}", path.display());
        let printed = case.scenario.to_toml();
        let again = Scenario::from_toml(&printed, "printed").unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(again, case.scenario, "{}", path.display());
    }
    assert_eq!(upstream, 49);
}

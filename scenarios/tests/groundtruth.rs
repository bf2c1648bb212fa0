//! Import of reference cases.

use std::path::Path;

use scenarios::Scenario;
use scenarios::application::{Application, Step};
use scenarios::groundtruth::{ImportError, import};
use scenarios::scenario::{BoxConfig, LinkChange, NearSide, QueueLimit};
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
    let chain =
        "table ip m {\n chain f {\n type filter hook forward priority -150;\n udp dport 53 drop\n }\n}\n";
    json["host_config"]["r"]["nft"] = chain.into();
    json["host_config"]["client"]["nft"] = chain.into();
    json["flows_spec"][0]["client"]["steps"][0][0] = "dance".into();
    json["events_spec"][0]["cmd"] = "tc qdisc add".into();
    json["host_config"]["client"]["sysctl"]["net.ipv4.tcp_fastopen"] = "1".into();
    let unsupported = import(&json.to_string()).unwrap().unsupported;
    let keys: Vec<&str> = unsupported.iter().map(|item| item.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "host_config.client.sysctl.net.ipv4.tcp_fastopen",
            "host_config.client.nft",
            "host_config.r.nft",
            "flows_spec.f1.client.steps.0",
            "events_spec.0",
        ]
    );
}

#[test]
fn module_parameters_of_the_out_of_tree_stack_are_simulated_or_listed() {
    const OOT: &str = include_str!("../../tests/fixtures/o1-echo-client-close-csum1.json");
    let case = import(OOT).unwrap();
    assert_eq!(case.unsupported, []);
    assert!(case.scenario.host("client").unwrap().mptcp.path_manager_parameters.is_empty());
    let changed = OOT.replace(
        "\"mptcp_fullmesh/parameters/num_subflows\": \"1\"",
        "\"mptcp_fullmesh/parameters/num_subflows\": \"3\"",
    );
    assert_ne!(changed, OOT);
    let unsupported = import(&changed).unwrap().unsupported;
    let keys: Vec<&str> = unsupported.iter().map(|item| item.key.as_str()).collect();
    assert_eq!(keys, ["mptcp_fullmesh/parameters/num_subflows"]);
}

#[test]
fn packet_filters_translation_and_rewriting_become_boxes() {
    let mut json: serde_json::Value = serde_json::from_str(MP_PRIO).unwrap();
    let rules = "table ip m {\n chain f {\n type filter hook forward priority -150;\n  \
                 iifname \"r1\" tcp flags & (syn|ack) == syn counter reset tcp option mptcp\n  \
                 tcp flags & syn == 0 tcp option mptcp exists counter drop\n }\n}\n\
                 table ip n {\n chain p {\n type nat hook postrouting priority 100;\n \
                 oifname \"s0\" masquerade\n }\n}\n";
    json["host_config"]["r"]["nft"] = rules.into();
    json["topology"]["links"][0]["ab"]["mangle"] = 40.into();
    json["topology"]["links"][1]["ba"]["mangle"] = 7.into();
    let case = import(&json.to_string()).unwrap();
    assert_eq!(case.unsupported, []);
    let told = |placed: &BoxConfig| {
        let parameters: Vec<String> =
            placed.parameters.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let near = if placed.near == NearSide::Link { "in" } else { "out" };
        format!("{} {} {near} {} {}", placed.name, placed.at, placed.kind, parameters.join(" "))
    };
    let drop = "drop carrying=Text(\"mptcp\") direction=Text(\"forward\") \
                packets=Text(\"rst, first-ack, data, fin, ack\")";
    let nat: Vec<String> = case.scenario.boxes.iter().map(told).collect();
    let rewrite = |every: u32| {
        format!(
            "payload direction=Text(\"forward\") every=Integer({every}) min_payload=Integer(900) xor=Integer(65)"
        )
    };
    assert_eq!(
        nat[..4],
        [
            "r-r1-1 r:r1 in options action=Text(\"blank\") direction=Text(\"forward\") option=Text(\"mptcp\") \
             packets=Text(\"syn\")"
                .to_owned(),
            format!("r-r0-2 r:r0 in {drop}"),
            format!("r-r1-2 r:r1 in {drop}"),
            format!("r-s0-2 r:s0 in {drop}"),
        ]
    );
    assert!(nat[4].starts_with("r-s0-3 r:s0 out nat "), "{}", nat[4]);
    assert!(nat[4].contains("inside=Text(\"10.0.1.0/24, 10.0.2.0/24\")"), "{}", nat[4]);
    assert!(nat[4].contains("pool=Text(\"10.0.9.1\")"), "{}", nat[4]);
    // Each at the end that is a router: what arrives there, and what leaves for the client.
    assert_eq!(
        nat[5..],
        [format!("p1-ab r:r0 in {}", rewrite(40)), format!("p2-ba r:r1 out {}", rewrite(7))]
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
        // Of the out-of-tree stack not every algorithm is simulated.
        let algorithm = |key: &str| oot && ["path_manager", "scheduler"].contains(&key);
        let left_out: Vec<_> = case.unsupported.iter().filter(|item| !algorithm(&item.key)).collect();
        assert!(left_out.is_empty(), "{}: {left_out:?}", path.display());
        assert_eq!(
            !case.scenario.boxes.is_empty(),
            ["e", "f"].contains(&case.group.as_str()),
            "{}",
            path.display()
        );
        let printed = case.scenario.to_toml();
        let again = Scenario::from_toml(&printed, "printed").unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(again, case.scenario, "{}", path.display());
    }
    assert_eq!(upstream, 49);
}

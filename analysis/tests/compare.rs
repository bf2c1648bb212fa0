//! Comparisons of a real case with itself, with variations that two runs of one kernel show, and with
//! variations that they do not.

mod common;

use std::path::Path;

use analysis::compare::{Comparison, Tolerances, Verdict, compare};
use analysis::groundtruth::{GroundTruth, GroundTruthError, Results};
use analysis::summary::{FlowSummary, Summary};
use analysis::trace::{FlowDirection, HostAnalysis, SignalEvent};

use common::reference;

fn case(name: &str) -> GroundTruth {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.json"));
    GroundTruth::from_json(&std::fs::read(path).unwrap()).unwrap()
}

const ECHO: &str = "g3-echo-immediate-two-subflows";
const FASTCLOSE: &str = "g5-fastclose-server";
const JOIN_LOSS: &str = "g11-join-loss";

/// Compares the case with a copy of itself changed by `change`.
fn changed(name: &str, change: impl FnOnce(&mut Results)) -> Comparison {
    let truth = case(name);
    let mut simulated = truth.results.clone();
    change(&mut simulated);
    compare(&truth, &simulated, &Tolerances::default())
}

#[track_caller]
fn assert_passes(comparison: &Comparison) {
    assert_eq!(comparison.verdict, Verdict::Pass, "\n{comparison}");
}

/// The aspects that fail.
fn failures(comparison: &Comparison) -> Vec<&str> {
    let failed = comparison.rows.iter().filter(|row| row.verdict == Verdict::Fail);
    failed.map(|row| row.aspect.as_str()).collect()
}

#[test]
fn a_case_passes_against_itself() {
    for name in [ECHO, FASTCLOSE, JOIN_LOSS] {
        let comparison = changed(name, |_| {});
        assert_passes(&comparison);
        assert!(comparison.count(Verdict::Pass) > 30, "{comparison}");
    }
}

#[test]
fn different_cases_fail_against_each_other() {
    let comparison = compare(&case(ECHO), &case(FASTCLOSE).results, &Tolerances::default());
    assert_eq!(comparison.verdict, Verdict::Fail);
    assert!(failures(&comparison).contains(&"client #0 c>s signalling"), "{comparison}");
}

#[test]
fn ephemeral_ports_times_and_order_of_subflows_are_no_difference() {
    let comparison = changed(ECHO, |simulated| {
        for host in simulated.analysis.values_mut() {
            host.subflows.reverse();
            let last = host.subflows.len() - 1;
            for event in &mut host.events {
                event.subflow = last - event.subflow;
                event.t += 0.003;
            }
            host.events.sort_by_key(|event| event.subflow);
            for subflow in &mut host.subflows {
                let address = subflow.client.rsplit_once(':').unwrap().0;
                subflow.client = format!("{address}:50000");
            }
        }
    });
    let failures = failures(&comparison);
    // Join times count from the first SYN of the capture, which is now another subflow's.
    assert!(failures.iter().all(|aspect| aspect.contains(" join ")), "{comparison}");
}

#[test]
fn repeated_data_fin_and_repeated_options_are_no_difference() {
    let comparison = changed(ECHO, |simulated| {
        for host in simulated.analysis.values_mut() {
            let mut events = Vec::new();
            for event in &host.events {
                events.push(event.clone());
                if event.kind == "DATA_FIN" || event.kind == "MP_CAPABLE" {
                    events.push(event.clone());
                }
            }
            host.events = events;
        }
    });
    assert_passes(&comparison);
}

#[test]
fn further_resets_are_no_difference() {
    let comparison = changed(FASTCLOSE, |simulated| {
        for host in simulated.analysis.values_mut() {
            let reset = host.events.iter().rfind(|event| event.kind == "RST").unwrap();
            let again = SignalEvent { flags: "R".into(), ..reset.clone() };
            host.events.push(again);
        }
    });
    assert_passes(&comparison);
}

#[test]
fn a_missing_data_fin_fails_with_its_place() {
    let comparison = changed(ECHO, |simulated| {
        let host = simulated.analysis.get_mut("client").unwrap();
        host.events.retain(|event| {
            !(event.kind == "DATA_FIN"
                && event.subflow == 0
                && event.direction == FlowDirection::ClientToServer)
        });
    });
    assert_eq!(failures(&comparison), ["client #0 c>s signalling"]);
    let row = comparison.rows.iter().find(|row| row.verdict == Verdict::Fail).unwrap();
    assert!(row.note.contains("DATA_FIN"), "{}", row.note);
}

#[test]
fn a_wrong_address_id_or_option_length_fails() {
    for (name, value) in [("id", 9), ("len", 99)] {
        let comparison = changed(JOIN_LOSS, |simulated| {
            let host = simulated.analysis.get_mut("server").unwrap();
            let join = host.events.iter_mut().find(|event| event.kind == "MP_JOIN").unwrap();
            join.details.insert(name.into(), value.into());
        });
        assert_eq!(failures(&comparison).len(), 1, "{comparison}");
    }
}

#[test]
fn option_order_and_syn_parameters_are_exact() {
    let comparison = changed(ECHO, |simulated| {
        let subflow = &mut simulated.analysis.get_mut("client").unwrap().subflows[0];
        subflow.c2s.syn.as_mut().unwrap().win += 1;
        let layout =
            subflow.option_layouts.0.iter_mut().find(|(name, _)| name.starts_with("c>s ack")).unwrap();
        layout.0.push_str("-NOP");
        subflow.s2c.dss_forms.0[0].0.push('X');
    });
    assert_eq!(
        failures(&comparison),
        ["client #0 c>s SYN parameters", "client #0 c>s ack options", "client #0 s>c DSS forms"]
    );
}

#[test]
fn rare_layouts_and_layouts_with_sack_may_be_absent() {
    let truth = {
        let mut truth = case(ECHO);
        let layouts = &mut truth.results.analysis.get_mut("client").unwrap().subflows[0].option_layouts.0;
        layouts.push(("c>s data NOP-NOP-TS-DSS26-NOP-NOP".into(), 1000));
        layouts.push(("c>s data NOP-NOP-TS-DSS22-NOP-NOP".into(), 2));
        layouts.push(("s>c ack NOP-NOP-TS-NOP-NOP-SACK-DSS12".into(), 500));
        truth
    };
    let mut simulated = truth.results.clone();
    simulated.analysis.get_mut("client").unwrap().subflows[0]
        .option_layouts
        .0
        .retain(|(name, _)| !name.contains("SACK-") && !name.contains("DSS22"));
    assert_passes(&compare(&truth, &simulated, &Tolerances::default()));
}

#[test]
fn a_join_that_is_missing_or_came_otherwise_fails() {
    let comparison = changed(ECHO, |simulated| {
        simulated.analysis.get_mut("client").unwrap().subflows.truncate(1);
        let join = &mut simulated.analysis.get_mut("server").unwrap().subflows[1];
        join.synack_t = None;
    });
    let failures = failures(&comparison);
    assert!(failures.starts_with(&["client subflows", "client #1"]), "{failures:?}");
    assert!(failures.contains(&"server #1 outcome"), "{failures:?}");
}

#[test]
fn join_time_may_differ_by_one_round_trip() {
    for (factor, passes) in [(0.9, true), (1.1, false)] {
        let comparison = changed(ECHO, |simulated| {
            for host in simulated.analysis.values_mut() {
                let join = &mut host.subflows[1];
                let rtt = join.established_t.unwrap() - join.syn_t.unwrap();
                join.syn_t = join.syn_t.map(|t| t + rtt * factor);
                join.established_t = join.established_t.map(|t| t + rtt * factor);
            }
        });
        assert_eq!(failures(&comparison).is_empty(), passes, "{comparison}");
    }
}

#[test]
fn goodput_has_the_tolerance_of_its_spread() {
    let mut truth = case(ECHO);
    let flow = &mut truth.results.flows[0];
    (flow.goodput_bps, flow.completion_s) = (Some(10e6), Some(10.0));
    let mut simulated = truth.results.clone();
    let verdict =
        |simulated: &Results, spread| compare(&truth, simulated, &Tolerances::for_spread(spread)).verdict;
    simulated.flows[0].goodput_bps = Some(10.45e6);
    assert_eq!(verdict(&simulated, 0.0), Verdict::Pass);
    simulated.flows[0].goodput_bps = Some(9.3e6);
    assert_eq!(verdict(&simulated, 0.01), Verdict::Fail);
    assert_eq!(verdict(&simulated, 0.03), Verdict::Pass);
    simulated.flows[0].goodput_bps = None;
    assert_eq!(verdict(&simulated, 0.03), Verdict::Fail);
}

#[test]
fn shares_may_differ_by_points() {
    let set_shares = |results: &mut Results, percent: u64| {
        for host in results.analysis.values_mut() {
            host.subflows[0].c2s.payload_bytes = percent * 1000;
            host.subflows[1].c2s.payload_bytes = (100 - percent) * 1000;
        }
    };
    let mut truth = case(ECHO);
    set_shares(&mut truth.results, 60);
    for (percent, verdict) in [(64, Verdict::Pass), (56, Verdict::Pass), (66, Verdict::Fail)] {
        let mut simulated = truth.results.clone();
        set_shares(&mut simulated, percent);
        assert_eq!(compare(&truth, &simulated, &Tolerances::default()).verdict, verdict, "{percent} %");
    }
}

#[test]
fn a_summary_and_the_analyses_make_the_results_of_a_run() {
    let mut truth = case(ECHO);
    let flow = &mut truth.results.flows[0];
    (flow.goodput_bps, flow.completion_s) = (Some(10e6), Some(10.0));
    let flow = FlowSummary {
        name: flow.name.clone(),
        goodput_bps: flow.goodput_bps,
        completion_s: flow.completion_s,
        ..FlowSummary::default()
    };
    let summary = Summary { flows: vec![flow], ..Summary::default() };
    let simulated = Results::from_summary(&summary, truth.results.analysis.clone());
    let comparison = compare(&truth, &simulated, &Tolerances::default());
    assert_passes(&comparison);
    assert!(comparison.rows.iter().any(|row| row.aspect.ends_with("goodput")));
}

#[test]
fn cases_without_yardstick_are_shown_not_judged() {
    let mut truth = case(ECHO);
    truth.yardstick = Some(false);
    truth.yardstick_why = Some("the kernel stalls".into());
    let comparison = compare(&truth, &Results::default(), &Tolerances::default());
    assert_eq!(comparison.verdict, Verdict::Info);
    assert!(comparison.rows.iter().all(|row| row.verdict == Verdict::Info) && !comparison.rows.is_empty());
    assert!(comparison.to_string().contains("not judged: the kernel stalls"));
}

#[test]
fn a_case_in_which_the_kernel_stalls_after_mp_fail_is_judged_up_to_it() {
    let mut truth = case(ECHO);
    truth.yardstick = Some(false);
    let fault = |results: &mut Results, kind: &str| {
        for host in results.analysis.values_mut() {
            let mut event = host.events.iter().find(|event| event.kind == "MP_CAPABLE").unwrap().clone();
            event.kind = kind.into();
            event.t = host.events.last().unwrap().t;
            host.events.push(event);
        }
    };
    fault(&mut truth.results, "MP_FAIL");
    let mut simulated = truth.results.clone();
    // What comes later is not judged, nor is any figure.
    fault(&mut simulated, "REMOVE_ADDR");
    simulated.flows.clear();
    let comparison = compare(&truth, &simulated, &Tolerances::default());
    assert_eq!(comparison.verdict, Verdict::Pass, "\n{comparison}");
    assert!(comparison.count(Verdict::Pass) > 20 && comparison.note.starts_with("judged until MP_FAIL"));
    // Without MP_FAIL, or with something before it that differs, it fails.
    for host in simulated.analysis.values_mut() {
        host.events.retain(|event| event.kind != "MP_FAIL");
    }
    let comparison = compare(&truth, &simulated, &Tolerances::default());
    assert_eq!(comparison.verdict, Verdict::Fail, "\n{comparison}");
    assert!(
        comparison
            .rows
            .iter()
            .all(|row| { row.verdict != Verdict::Fail || row.aspect.ends_with("c>s signalling") })
    );
}

#[test]
fn the_table_has_aligned_columns_and_json_survives_a_round_trip() {
    let comparison = changed(ECHO, |_| {});
    let text = comparison.to_string();
    let heading = text.lines().nth(1).unwrap();
    let verdict = heading.find("verdict").unwrap();
    assert!(heading.starts_with("aspect") && heading.contains("real") && heading.contains("simulated"));
    for line in text.lines().skip(2).take(comparison.rows.len()) {
        let cell: String = line.chars().skip(verdict).take(4).collect();
        assert!(cell == "pass" || cell == "info", "{line}");
    }
    let json = serde_json::to_string(&comparison).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&json).unwrap(), comparison);
}

#[test]
fn other_schemas_are_refused_and_unknown_fields_ignored() {
    let error = GroundTruth::from_json(br#"{"schema": "mptcp-reference/9"}"#).unwrap_err();
    assert!(matches!(error, GroundTruthError::Schema(_)));
    assert!(matches!(GroundTruth::from_json(b"{"), Err(GroundTruthError::Json(_))));
    let truth = GroundTruth::from_json(br#"{"schema": "mptcp-reference/1", "later": {"x": 1}}"#).unwrap();
    assert!(truth.is_yardstick());
}

fn load(path: &Path) -> GroundTruth {
    GroundTruth::from_json(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_reference_case_passes_against_itself() {
    let Some(folder) = reference() else { return };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let truth = load(&path);
            let comparison = compare(&truth, &truth.results, &Tolerances::default());
            let failed = |host: &HostAnalysis| host.events.iter().any(|event| event.kind == "MP_FAIL");
            let judged = truth.is_yardstick() || truth.results.analysis.values().any(failed);
            let expected = if judged { Verdict::Pass } else { Verdict::Info };
            assert_eq!(comparison.verdict, expected, "\n{comparison}");
        }
    }
}

/// Runs of one kernel that differ only in queue length, loss or congestion control speak the same
/// protocol: the canonical forms take out what is noise.
#[test]
fn runs_of_one_kernel_differ_in_figures_only() {
    let Some(folder) = reference() else { return };
    for (a, b) in [
        ("c-wifilte-cubic-q1", "c-wifilte-cubic-q3"),
        ("c-wifilte-reno-q1", "c-wifilte-reno-q3"),
        ("c-wifilte-cubic-q1", "c-wifilte-reno-q1"),
        ("c-wifilte-cubic-q1", "c-wifilte-cubic-q1-loss2"),
        ("c-wifilte-reno-q1", "c-wifilte-reno-q1-loss1"),
    ] {
        let [a, b] = [a, b].map(|name| load(&folder.join(format!("{name}.json"))));
        for (truth, other) in [(&a, &b), (&b, &a)] {
            let comparison = compare(truth, &other.results, &Tolerances::default());
            let figures = ["goodput", "completion", "share", "mean cwnd", "retransmissions"];
            let protocol = failures(&comparison);
            let protocol: Vec<_> = protocol
                .iter()
                .filter(|aspect| !figures.iter().any(|figure| aspect.ends_with(figure)))
                .collect();
            assert!(protocol.is_empty(), "{protocol:?}\n{comparison}");
        }
    }
}

/// The case with the DATA_FIN of one direction on subflow `carrier` alone.
fn with_fin_on(name: &str, carrier: usize) -> GroundTruth {
    let mut truth = case(name);
    for host in truth.results.analysis.values_mut() {
        host.events.retain(|event| event.kind != "DATA_FIN" || event.subflow == carrier);
    }
    truth
}

#[test]
fn which_subflow_carries_a_lone_data_fin_is_no_difference_but_that_one_does_is() {
    // Rule 13
    let (real, simulated) = (with_fin_on(ECHO, 0), with_fin_on(ECHO, 1));
    assert_passes(&compare(&real, &simulated.results, &Tolerances::default()));
    let none = with_fin_on(ECHO, usize::MAX);
    let comparison = compare(&real, &none.results, &Tolerances::default());
    assert!(failures(&comparison).contains(&"client #0 c>s signalling"), "{comparison}");
    let mut more_fins = simulated.results.clone();
    for host in more_fins.analysis.values_mut() {
        for subflow in &mut host.subflows {
            for (layout, count) in &mut subflow.option_layouts.0 {
                *count += u64::from(layout.starts_with("c>s FIN"));
            }
        }
    }
    let comparison = compare(&real, &more_fins, &Tolerances::default());
    assert!(failures(&comparison).contains(&"client c>s FIN options of all subflows"), "{comparison}");
}

#[test]
fn reserved_bits_of_a_third_ack_are_no_difference() {
    // Rule 11
    let comparison = changed(ECHO, |simulated| {
        for event in simulated.analysis.values_mut().flat_map(|host| &mut host.events) {
            if event.kind == "MP_JOIN" && event.details["len"] == 24 {
                event.details.insert("id".into(), 7.into());
                event.details.insert("backup".into(), 1.into());
            }
        }
    });
    assert_passes(&comparison);
}

#[test]
fn what_was_sent_until_an_instant_is_held_to_the_goodput() {
    // Rule 12
    let mut truth = case(ECHO);
    for spec in &mut truth.flows_spec {
        spec.client.steps.insert(0, serde_json::json!(["send_until", 2]));
    }
    for flow in &mut truth.results.flows {
        let (client, server) = (flow.client.as_mut().unwrap(), flow.server.as_mut().unwrap());
        (client.sent, client.received, server.sent, server.received) = (100_000, 0, 0, 100_000);
    }
    let with = |sent: u64, received: u64| {
        let mut simulated = truth.results.clone();
        for flow in &mut simulated.flows {
            flow.client.as_mut().unwrap().sent = sent;
            flow.server.as_mut().unwrap().received = received;
        }
        compare(&truth, &simulated, &Tolerances::default())
    };
    assert_passes(&with(104_000, 104_000));
    assert_eq!(failures(&with(106_000, 106_000)).len(), 2);
    assert_eq!(failures(&with(104_000, 103_000)), ["flow f1 arrived"]);
}

//! What the built-in scenarios show, and their digests.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use analysis::summary::{FlowSummary, SubflowSummary};

use crate::harness::{builtin, builtin_names};

/// Set to write the digests of this state of the program instead of comparing them.
const WRITE_DIGESTS: &str = "MPTCP_SIM_WRITE_DIGESTS";

/// Rates of the two paths of the `two-path` scenarios, in bit/s.
const PATH_1: f64 = 5e6;
const PATH_2: f64 = 10e6;

#[test]
fn digests_of_all_built_in_scenarios_are_as_committed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/digests.txt");
    let mut text = String::from(
        "# Digests of the built-in scenarios: name, seed, digest. Written by the test of tests/cli/builtins.rs\n# when MPTCP_SIM_WRITE_DIGESTS is set; a change of behaviour is a change of this file.\n",
    );
    for name in builtin_names() {
        let run = &builtin(name).summary.run;
        writeln!(text, "{name} {} {}", run.seed, run.digest).unwrap();
    }
    if std::env::var_os(WRITE_DIGESTS).is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert_eq!(text, committed, "if the change is meant, set {WRITE_DIGESTS}=1 and commit the file");
}

#[test]
fn every_stream_arrives_once_and_in_order() {
    for name in builtin_names() {
        let summary = &builtin(name).summary;
        assert!(!summary.flows.is_empty(), "{name}");
        for flow in &summary.flows {
            assert!(flow.integrity_ok && flow.error.is_none(), "{name}: {flow:?}");
            assert!(flow.received_bytes > 0, "{name}: {flow:?}");
            assert_eq!(flow.received_bytes, flow.sent_bytes, "{name}: {flow:?}");
        }
    }
}

#[test]
fn goodput_stays_below_the_rates_of_the_links() {
    for name in builtin_names() {
        let scenario = scenarios::library::get(name).unwrap().scenario().unwrap();
        let capacity: u64 =
            scenario.links.iter().filter_map(|link| link.ab.rate).map(sim_core::Rate::as_bps).sum();
        for flow in &builtin(name).summary.flows {
            let goodput = flow.goodput_bps.unwrap();
            assert!(goodput > 0.0 && goodput < capacity as f64, "{name}: {flow:?}");
        }
    }
}

#[track_caller]
fn joins(flow: &FlowSummary) -> (Vec<&SubflowSummary>, Vec<&SubflowSummary>) {
    flow.subflows.iter().filter(|subflow| subflow.join).partition(|subflow| subflow.established_s.is_some())
}

// SYS-26
#[test]
fn a_join_from_the_wrong_source_is_refused_by_the_router() {
    let flow = builtin("two-path-first-failure").flow("bulk");
    let (worked, failed) = joins(flow);
    assert!(worked.is_empty(), "{flow:?}");
    assert_eq!(failed.len(), 1, "{flow:?}");
    assert!(failed[0].local.starts_with("10.0.0.1:"), "{flow:?}");
    assert!(failed[0].remote.starts_with("192.168.1.2:"), "{flow:?}");
    assert!(flow.goodput_bps.unwrap() < PATH_1, "{flow:?}");
}

// SYS-27
#[test]
fn a_second_source_cannot_reach_the_first_destination() {
    let flow = builtin("two-path-second-failure").flow("bulk");
    let (worked, failed) = joins(flow);
    assert!(worked.is_empty(), "{flow:?}");
    assert_eq!(failed.len(), 1, "{flow:?}");
    assert!(failed[0].local.starts_with("192.168.0.1:"), "{flow:?}");
    assert!(failed[0].remote.starts_with("10.0.1.2:"), "{flow:?}");
    assert!(flow.goodput_bps.unwrap() < PATH_1, "{flow:?}");
}

// SYS-28
#[test]
fn with_subflow_and_fullmesh_one_join_fails_and_one_works() {
    let flow = builtin("two-path-subflow-fullmesh").flow("bulk");
    let (worked, failed) = joins(flow);
    assert_eq!((worked.len(), failed.len()), (1, 1), "{flow:?}");
    assert!(failed[0].remote.starts_with("10.0.1.2:"), "{flow:?}");
    assert!(worked[0].local.starts_with("192.168.0.1:"), "{flow:?}");
    assert!(worked[0].remote.starts_with("192.168.1.2:"), "{flow:?}");
}

// SYS-28, SYS-29
#[test]
fn two_subflows_together_come_near_the_sum_of_both_paths() {
    let flow = builtin("two-path").flow("bulk");
    let (worked, failed) = joins(flow);
    assert_eq!((worked.len(), failed.len()), (1, 0), "{flow:?}");
    let goodput = flow.goodput_bps.unwrap();
    // The testbed gave 13.4 Mbit/s, 89.3 % of the sum.
    assert!(goodput > 0.85 * (PATH_1 + PATH_2), "{flow:?}");
    assert!(goodput < PATH_1 + PATH_2, "{flow:?}");
    let shares: f64 = flow.subflows.iter().map(|subflow| subflow.share).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{flow:?}");
    assert!(flow.subflows.iter().all(|subflow| subflow.share > 0.2), "{flow:?}");
}

#[test]
fn plain_tcp_has_one_subflow_and_no_join() {
    for flow in &builtin("single-path-tcp").summary.flows {
        assert_eq!(flow.protocol, "tcp");
        assert_eq!(flow.subflows.len(), 1, "{flow:?}");
        assert!(!flow.subflows[0].join, "{flow:?}");
    }
}

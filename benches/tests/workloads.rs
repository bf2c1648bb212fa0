//! The workloads carry what their links can.

use benches::{Kind, Outcome, Workload};
use sim_core::{Duration, HeapAgenda, QueueAgenda};

fn run(kind: Kind, span: Duration, flows: u32) -> Outcome {
    let workload = Workload { kind, span, flows };
    workload.build::<HeapAgenda>().run(span)
}

/// `packets` within two per cent of `expected`.
#[track_caller]
fn assert_close(packets: u64, expected: u64) {
    assert!(packets.abs_diff(expected) * 50 <= expected, "{packets} packets instead of {expected}");
}

// The numbers expected are those of a minimal simulator of the same workloads (an ACK for each packet,
// NewReno, no handshake) that shares no code with this one, less what the handshake costs.

#[test]
fn one_flow_fills_the_core_of_the_dumbbell() {
    let outcome = run(Kind::W1, Duration::from_secs(1), 1);
    assert_close(outcome.delivered, 78_342 - 833);
    assert_eq!(outcome.drops, 0);
}

#[test]
fn many_flows_fill_the_core_of_the_dumbbell() {
    let outcome = run(Kind::W2, Duration::from_secs(1), 100);
    assert_close(outcome.delivered, 80_216);
}

#[test]
fn many_flows_share_a_long_path() {
    let outcome = run(Kind::W5, Duration::from_secs(2), 100);
    assert_close(outcome.delivered, 144_126 - 8_333);
}

#[test]
fn two_subflows_fill_both_links() {
    let outcome = run(Kind::W3, Duration::from_secs(10), 1);
    assert_close(outcome.delivered, 123_313);
}

#[test]
fn subflows_use_the_paths_of_the_fat_tree() {
    let outcome = run(Kind::W4a, Duration::from_millis(100), 16);
    assert_close(outcome.delivered, 120_594);
}

#[test]
fn results_do_not_depend_on_the_agenda() {
    let workload = Workload { span: Duration::from_millis(200), ..Workload::new(Kind::W2) };
    let heap = workload.build::<HeapAgenda>().run(workload.span);
    assert_eq!(heap, workload.build::<QueueAgenda>().run(workload.span));
    assert!(heap.delivered > 0);
}

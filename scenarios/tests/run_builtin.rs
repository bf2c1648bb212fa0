//! Runs of the built-in scenarios.

use std::ops::ControlFlow;

use scenarios::run::{ConnectionSnapshot, Network, Recorder, RunOutcome, StopReason};
use scenarios::{Scenario, library};
use sim_core::Instant;

fn builtin(name: &str) -> Scenario {
    library::get(name).unwrap().scenario().unwrap()
}

fn run(scenario: &Scenario) -> RunOutcome {
    let mut network = Network::build(scenario, ()).unwrap();
    assert_eq!(network.warnings(), [] as [String; 0]);
    network.run(&mut (), &mut |_| ControlFlow::Continue(()))
}

/// Counts samples and checks that what they count only grows.
#[derive(Default)]
struct Growing {
    samples: usize,
    received: Vec<u64>,
}

impl Recorder for Growing {
    fn sample(&mut self, _at: Instant, connections: &[ConnectionSnapshot]) {
        self.samples += 1;
        let received: Vec<_> = connections.iter().map(|connection| connection.info.bytes_received).collect();
        assert!(received.iter().zip(&self.received).all(|(now, before)| now >= before));
        self.received = received;
    }
}

// INV-01
#[test]
fn every_builtin_runs_to_its_end_and_delivers_what_was_sent() {
    for builtin in library::list() {
        let scenario = builtin.scenario().unwrap();
        let outcome = run(&scenario);
        assert!(outcome.is_intact(), "{}: {:?}", builtin.name, outcome.flows);
        assert_eq!(outcome.command_failures, []);
        for flow in &outcome.flows {
            assert!(flow.bytes_received() > 0, "{}: nothing received", builtin.name);
            assert_eq!(flow.errors().count(), 0, "{}", builtin.name);
            assert!(flow.finished || outcome.stop == StopReason::Duration, "{}", builtin.name);
        }
    }
}

#[test]
fn sampling_and_repetition_change_nothing() {
    let scenario = builtin("two-path");
    let first = run(&scenario);
    assert_eq!(run(&scenario), first);
    let mut recorder = Growing::default();
    let sampled =
        Network::build(&scenario, ()).unwrap().run(&mut recorder, &mut |_| ControlFlow::Continue(()));
    assert!(recorder.samples > 10, "{} samples", recorder.samples);
    assert_eq!((sampled.digest, sampled.events), (first.digest, first.events));
    assert_eq!(sampled, first);
}

//! Invariants of the stack in random networks: `PROPTEST_CASES` says in how many. A case that breaks one is
//! written as a scenario file.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use scenarios::testing::{self, BoxSpec, Case, Ending, Outage, Path as Link, Phase};

/// The same cases in every run, unless `PROPTEST_RNG_SEED` asks for others.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        fixed => fixed,
    };
    ProptestConfig { max_shrink_iters: 400, failure_persistence: None, rng_seed, ..default }
}

proptest! {
    #![proptest_config(config())]

    // FB-14, WND-03, INV-01, INV-02, INV-03, INV-04, INV-05, INV-06, INV-07, INV-09, INV-10
    #[test]
    fn no_network_breaks_an_invariant(case in testing::cases()) {
        if let Err(failure) = testing::check(&case) {
            let saved = failure.save(Path::new(env!("CARGO_TARGET_TMPDIR")), "broken-case");
            prop_assert!(false, "{:?}\nsaved: {:?}", failure.broken, saved);
        }
    }
}

/// A clean path of 10 Mbit/s.
fn link() -> Link {
    Link {
        rate: 10_000,
        delay: 0,
        queue: 30,
        loss: 0,
        jitter: 0,
        reorder: false,
        duplicate: 0,
        backup: false,
        outage: None,
        boxes: Vec::new(),
    }
}

/// `size` octets from one end to the other in `writes` writes, over one clean path, without SACK and timestamps.
fn talk(client_speaks: bool, size: u32, writes: u32) -> Case {
    Case {
        seed: 1,
        congestion: "reno",
        scheduler: "default",
        client_mptcp: true,
        server_mptcp: true,
        checksum: false,
        sack: false,
        timestamps: false,
        rmem: 128,
        wmem: 128,
        paths: vec![link()],
        phases: vec![Phase { client_speaks, size, writes, pause: 0, wait: 0 }],
        ending: Ending::Orderly,
    }
}

fn holds(case: &Case) {
    let outcome = testing::check(case).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(outcome.flows[0].finished, "{}", case.to_toml());
}

#[test]
fn a_flow_without_sack_gets_data_after_a_timeout() {
    // TCP-07
    // It stays in Loss until data sent after the timeout is acknowledged.
    let paths = vec![Link { queue: 3, ..link() }];
    let pause = Phase { client_speaks: false, size: 17_235, writes: 2, pause: 212, wait: 0 };
    let case = Case { scheduler: "minrtt", checksum: true, paths, phases: vec![pause], ..talk(false, 0, 1) };
    holds(&case);
}

#[test]
fn what_was_sent_is_sent_again_though_the_window_is_full() {
    let reset = "victim = \"both\", swallow = false, skip = 4, limit = 1".to_owned();
    let broken = Link { boxes: vec![BoxSpec { kind: "reset", parameters: reset }], ..link() };
    let case = Case { scheduler: "minrtt", rmem: 16, paths: vec![broken, link()], ..talk(false, 130_913, 1) };
    holds(&case);
}

#[test]
fn a_lost_window_update_is_asked_for() {
    // WND-06: some of these seeds lose the ACK that opens the window again.
    for seed in 0..40 {
        let paths = vec![Link { loss: 30_000, ..link() }];
        holds(&Case { seed, checksum: true, rmem: 16, wmem: 64, paths, ..talk(true, 56_205, 1) });
    }
}

#[test]
fn a_window_smaller_than_a_segment_is_used() {
    // A box that removes the window scale from the SYN/ACK alone makes the client see 502 octets.
    let strip = "no_window_scale = true".to_owned();
    let boxes = vec![BoxSpec { kind: "handshake", parameters: strip }];
    let outage = Some(Outage { at: 70, span: 6_843, interface: false });
    let paths = vec![Link { rate: 200, outage, ..link() }, Link { boxes, ..link() }];
    holds(&Case { sack: true, paths, ..talk(true, 57_060, 2) });
}

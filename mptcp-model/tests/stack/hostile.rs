//! Two hosts between which options turn into random octets, and a host under random segments.

use mptcp_model::config::{MptcpConfig, Profile};
use mptcp_model::wire::Body;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sim_core::Duration;

use crate::drive::{HEAD, WAITING_MAX, drive};
use crate::pair::{Fate, Pair, Setup};

/// The same 200 cases in every run, unless `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for others.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        fixed => fixed,
    };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 200 };
    ProptestConfig { cases, failure_persistence: None, rng_seed, ..default }
}

/// The octet at a place in the options of a packet becomes another.
type Change = (usize, usize, u8);

/// A connection whose options are changed on the way, from its SYN to long after its close. Returns what is left
/// of it at either end.
fn live(changes: Vec<Change>, config: MptcpConfig) -> ((usize, usize), (usize, usize)) {
    let setup = Setup {
        client_config: config.clone(),
        server_config: config,
        signal_endpoints: true,
        ..Setup::default()
    };
    let mut pair = Pair::new(&setup);
    let mut count = 0;
    pair.filter = Box::new(move |_, _, packet| {
        if let Body::Tcp(segment) = &mut packet.body {
            for &(_, at, octet) in changes.iter().filter(|&&(packet, ..)| packet == count) {
                if let Some(place) = segment.options.as_bytes_mut().get_mut(at) {
                    *place = octet;
                }
            }
        }
        count += 1;
        Fate::Pass
    });
    pair.run_ms(25);
    let mut left = 150_000;
    for _ in 0..200 {
        let now = pair.now;
        left -= pair.client.write(now, pair.socket, left).unwrap_or(0);
        pair.run_ms(100);
        if let Some(server) = pair.accepted.and_then(|id| pair.server.connection(id)) {
            assert!(server.out_of_order_bytes() <= WAITING_MAX);
            assert!(server.subflows().len() < 40);
        }
    }
    let now = pair.now;
    pair.client.close(now, pair.socket);
    if let Some(accepted) = pair.accepted {
        pair.server.close(now, accepted);
    }
    pair.run(Duration::from_secs(2_000));
    (pair.client.bindings(), pair.server.bindings())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_octets_in_options_break_nothing(
        changes in proptest::collection::vec((0_usize..400, 12_usize..40, any::<u8>()), 1..60),
        checksum in any::<bool>(),
        version in 0_u8..2,
        out_of_tree in any::<bool>(),
    ) {
        // INV-10. Timestamps stay as they are: PAWS would rightly refuse the rest of the flow.
        let profile = if out_of_tree { Profile::LinuxOot } else { Profile::LinuxUpstream };
        let left = live(changes, MptcpConfig { version, checksum, ..MptcpConfig::new(profile) });
        prop_assert_eq!(left, ((0, 0), (0, 0)), "INV-06");
    }

    #[test]
    fn random_segments_break_nothing(
        segments in proptest::collection::vec(
            (any::<[u8; HEAD]>(), proptest::collection::vec(any::<u8>(), 0..=40), 0_u8..14),
            1..80,
        ),
    ) {
        // INV-10, MAL-42
        let mut input = Vec::new();
        for (mut head, mut options, subtype) in segments {
            // Most begin as an option of MPTCP that fits, in a window where it may be taken.
            if options.len() > 3 && subtype < 10 {
                options[0] = 30;
                options[1] = options.len() as u8;
                options[2] = subtype << 4 | options[2] & 0x0f;
                head[1] %= 8;
                head[3] = 0;
            }
            head[11] = options.len() as u8;
            input.extend_from_slice(&head);
            input.extend_from_slice(&options);
        }
        drive(&input);
    }
}

#[test]
fn options_that_once_left_something_behind_leave_nothing() {
    // INV-06: two mappings and a DATA_ACK gone, a DATA_FIN in the midst of the data, and data sent anew after the
    // reset of a join.
    let cases: [(u8, &[Change]); 3] = [
        (0, &[(25, 12, 0), (130, 12, 0), (9, 20, 119)]),
        (1, &[(50, 15, 85)]),
        (0, &[(51, 12, 31), (55, 12, 0)]),
    ];
    for (version, changes) in cases {
        let config = MptcpConfig { version, ..MptcpConfig::new(Profile::LinuxOot) };
        assert_eq!(live(changes.to_vec(), config), ((0, 0), (0, 0)), "{changes:?}");
    }
}

#[test]
fn what_once_failed_holds() {
    // INV-10: inputs found by the fuzz target `stack`
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/hostile");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).expect("the corpus") {
        drive(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
        count += 1;
    }
    assert!(count > 0);
}

//! Strategies for random cases. Values shrink towards a clean network and a short conversation.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::case::{BoxSpec, Case, Ending, Outage, Path, Phase};

/// Any case.
pub fn cases() -> impl Strategy<Value = Case> {
    let stack = (
        any::<u32>(),
        select(vec!["reno", "cubic", "bbr", "dctcp", "lia", "olia", "balia", "wvegas"]),
        select(vec!["default", "minrtt"]),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.3),
        (prop::bool::weighted(0.9), prop::bool::weighted(0.9)),
        (select(vec![128_u32, 16, 64, 1024]), select(vec![128_u32, 16, 64, 1024])),
    );
    (stack, vec(path(), 1..=4), vec(phase(), 1..4), ending()).prop_map(
        |(
            (seed, congestion, scheduler, client_mptcp, server_mptcp, checksum, (sack, timestamps), memory),
            paths,
            phases,
            ending,
        )| Case {
            seed,
            congestion,
            scheduler,
            client_mptcp,
            server_mptcp,
            checksum,
            sack,
            timestamps,
            rmem: memory.0,
            wmem: memory.1,
            paths,
            phases,
            ending,
        },
    )
}

fn path() -> impl Strategy<Value = Path> {
    (
        (select(vec![10_000_u32, 1_000, 50_000, 200]), 0_u32..100, 30_u32..200),
        prop_oneof![3 => Just(0), 2 => 0_u32..20_000, 1 => 0_u32..100_000],
        prop_oneof![2 => Just(0), 1 => 0_u32..50],
        any::<bool>(),
        prop_oneof![2 => Just(0), 1 => 0_u32..50_000],
        prop::bool::weighted(0.2),
        option::weighted(0.3, outage()),
        vec(middlebox(), 0..=2),
    )
        .prop_map(|((rate, delay, queue), loss, jitter, reorder, duplicate, backup, outage, boxes)| {
            Path { rate, delay, queue, loss, jitter, reorder, duplicate, backup, outage, boxes }
        })
}

fn outage() -> impl Strategy<Value = Outage> {
    (0_u32..5_000, 1_u32..20_000, any::<bool>()).prop_map(|(at, span, interface)| Outage {
        at,
        span,
        interface,
    })
}

fn middlebox() -> impl Strategy<Value = BoxSpec> {
    let spec = |kind: &'static str, parameters: String| BoxSpec { kind, parameters };
    prop_oneof![
        (400_u32..1400, select(vec!["all", "first", "last"])).prop_map(move |(size, options)| {
            spec("split", format!("size = {size}, options = \"{options}\""))
        }),
        // What is merged must fit the links.
        (600_u32..1_400, 1_u32..20, select(vec!["first", "last"])).prop_map(move |(size, wait, options)| {
            spec("coalesce", format!("size = {size}, wait = \"{wait} ms\", options = \"{options}\""))
        }),
        edited_options().prop_map(move |parameters| spec("options", parameters)),
        (0_u32..200, select(vec!["both", "receiver", "sender"]), any::<bool>()).prop_map(
            move |(skip, victim, swallow)| {
                spec("reset", format!("victim = \"{victim}\", swallow = {swallow}, skip = {skip}, limit = 1"))
            }
        ),
        (select(vec!["syn", "syn-ack", "data", "ack", "fin"]), 0_u32..20, 1_u32..5).prop_map(
            move |(packets, skip, limit)| {
                spec("drop", format!("packets = \"{packets}\", skip = {skip}, limit = {limit}"))
            }
        ),
        any::<bool>().prop_map(move |sack| spec("isn-rewriter", format!("sack = {sack}"))),
        (0_u32..60).prop_map(move |wait| spec("resequence", format!("wait = \"{wait} ms\""))),
        (1_000_u32..60_000).prop_map(move |largest| spec("window", format!("largest = {largest}"))),
        (536_u32..1460, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            move |(mss, scale, stamps, sack)| {
                spec(
                    "handshake",
                    format!(
                        "mss = {mss}, no_window_scale = {scale}, no_timestamps = {stamps}, no_sack = {sack}"
                    ),
                )
            }
        ),
    ]
}

/// Options that are lost or moved on some packets, or on all from one on. None says what nobody said: zeroes in a DSS
/// would be an infinite mapping.
fn edited_options() -> impl Strategy<Value = String> {
    let options =
        vec!["mptcp", "mp_capable", "mp_join", "dss", "add_addr", "mp_fastclose", "sack", "timestamps"];
    (
        select(options),
        select(vec!["blank", "remove", "move-last"]),
        prop_oneof![Just(0), 0_u32..100],
        prop_oneof![2 => 1_u32..30, 1 => Just(0)],
        select(vec!["both", "forward", "backward"]),
    )
        .prop_map(|(option, action, skip, limit, direction)| {
            format!(
                "option = \"{option}\", action = \"{action}\", skip = {skip}, limit = {limit}, \
                 direction = \"{direction}\""
            )
        })
}

fn phase() -> impl Strategy<Value = Phase> {
    (
        any::<bool>(),
        prop_oneof![1_u32..2_000, 1_u32..60_000, 1_u32..400_000],
        1_u32..5,
        prop_oneof![2 => Just(0), 1 => 0_u32..400],
        prop_oneof![2 => Just(0), 1 => 0_u32..2_000],
    )
        .prop_map(|(client_speaks, size, writes, pause, wait)| Phase {
            client_speaks,
            size,
            writes,
            pause,
            wait,
        })
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        4 => Just(Ending::Orderly),
        2 => Just(Ending::ServerFirst),
        2 => Just(Ending::Crossing),
        1 => Just(Ending::Abort),
    ]
}

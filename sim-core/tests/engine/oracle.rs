//! The links against a model that does everything the slow and obvious way.

use proptest::prelude::*;
use sim_core::{
    Bytes, Direction, DirectionConfig, DropReason, Duration, Instant, Jitter, JitterShape, LinkChange, Loss,
    QueueLimit, RandomDrop, Rate,
};

use crate::net::Pipe;

const BPS: u64 = 7_000_000;
const DELAY: u64 = 400_000;

/// Instants of sending, in bursts, and lengths, most of them equal.
fn plans() -> impl Strategy<Value = Vec<(u64, u32)>> {
    let gap = prop_oneof![Just(0_u64), 0..3_000_000_u64];
    let len = prop_oneof![4 => Just(1000_u32), 1 => 40..1500_u32];
    prop::collection::vec((gap, len), 1..120).prop_map(|gaps| {
        let mut at = 0;
        gaps.into_iter()
            .map(|(gap, len)| {
                at += gap;
                (at, len)
            })
            .collect()
    })
}

/// What the description of the reference emulator says: arrivals and drops, by number. Every frame is
/// kept with the instant at which its transmission begins, and all of them are counted each time.
fn reference(
    plan: &[(u64, u32)],
    packets: Option<u32>,
    bytes: Option<u64>,
    lost: &[u64],
) -> (Vec<(u64, u64)>, Vec<u64>) {
    let (mut arrivals, mut drops) = (Vec::new(), Vec::new());
    let mut begun: Vec<(u64, u32)> = Vec::new();
    let (mut train, mut train_bytes, mut busy) = (0, 0_u64, 0);
    for (number, &(now, len)) in (0..).zip(plan) {
        let waiting = || begun.iter().filter(|frame| frame.0 > now);
        let too_many = packets.is_some_and(|limit| waiting().count() + 1 > limit as usize);
        let too_much = bytes.is_some_and(|limit| {
            waiting().map(|frame| u64::from(frame.1)).sum::<u64>() + u64::from(len) > limit
        });
        if busy > now && (too_many || too_much) {
            drops.push(number);
            continue;
        }
        if busy < now {
            (train, train_bytes) = (now, 0);
        }
        begun.push((busy.max(now), len));
        train_bytes += u64::from(len);
        busy = train + train_bytes * 8_000_000_000 / BPS;
        if lost.contains(&number) {
            drops.push(number);
        } else {
            arrivals.push((busy + DELAY, number));
        }
    }
    (arrivals, drops)
}

fn config(packets: Option<u32>, bytes: Option<u64>, lost: &[u64]) -> DirectionConfig {
    DirectionConfig {
        rate: Rate::from_bps(BPS),
        delay: Duration::from_nanos(DELAY),
        queue: QueueLimit { packets, bytes: bytes.map(Bytes), counts_in_service: false },
        loss: if lost.is_empty() { Vec::new() } else { vec![Loss::List { frames: lost.to_vec() }] },
        ..DirectionConfig::default()
    }
}

/// The same direction, but of the kind that handles random delay: with a jitter of zero.
fn staged(config: &DirectionConfig, reorders: bool) -> DirectionConfig {
    let shape = JitterShape::Uniform { low: Duration::ZERO, high: Duration::ZERO };
    DirectionConfig { jitter: Some(Jitter { shape, reorders }), ..config.clone() }
}

fn changes() -> impl Strategy<Value = Vec<(u64, LinkChange)>> {
    let change = prop_oneof![
        (1_000_000..50_000_000_u64).prop_map(|bps| LinkChange::SetRate(Rate::from_bps(bps))),
        Just(LinkChange::SetRate(None)),
        (0..5_000_000_u64).prop_map(|nanos| LinkChange::SetDelay(Duration::from_nanos(nanos))),
        Just(LinkChange::SetLoss(vec![Loss::EveryNth { n: 4 }])),
        Just(LinkChange::SetQueue(QueueLimit::packets(3))),
        Just(LinkChange::Down),
        Just(LinkChange::Up),
    ];
    prop::collection::vec((0..40_000_000_u64, change), 0..12)
}

fn run(config: DirectionConfig, plan: &[(u64, u32)], changes: &[(u64, LinkChange)]) -> Pipe {
    let mut pipe = Pipe::new(config, plan);
    for (at, change) in changes {
        let (at, link) = (Instant::from_nanos(*at), pipe.attachment.link);
        pipe.simulation.schedule_link_change(at, link, Some(Direction::AtoB), change.clone()).unwrap();
    }
    pipe.finish()
}

proptest! {
    #[test]
    fn a_link_does_what_the_reference_emulator_is_said_to_do(
        plan in plans(),
        packets in prop::option::of(0..6_u32),
        bytes in prop::option::of(0..6_000_u64),
        lost in prop_oneof![Just(Vec::new()), prop::collection::vec(0..80_u64, 0..6)],
    ) {
        let (arrivals, drops) = reference(&plan, packets, bytes, &lost);
        let config = config(packets, bytes, &lost);
        for config in [staged(&config, false), staged(&config, true), config] {
            let pipe = Pipe::new(config, &plan).finish();
            prop_assert_eq!(pipe.arrivals(), &arrivals[..]);
            prop_assert_eq!(pipe.dropped_numbers(), drops.clone());
        }
    }

    #[test]
    fn both_kinds_of_direction_agree_while_the_link_changes(
        plan in plans(),
        changes in changes(),
        packets in prop::option::of(1..8_u32),
        bytes in prop::option::of(1_000..8_000_u64),
        counts_in_service in any::<bool>(),
        places in 0..4_u32,
    ) {
        let mut config = config(packets, bytes, &[]);
        config.queue.counts_in_service = counts_in_service;
        config.random_drop = packets.map(|_| RandomDrop { places, probability: 0.5 });
        let one = run(config.clone(), &plan, &changes);
        let two = run(staged(&config, false), &plan, &changes);
        prop_assert_eq!(one.arrivals(), two.arrivals());
        prop_assert_eq!(one.drops(), two.drops());
        let stats = |pipe: &Pipe| pipe.simulation.link_stats(pipe.attachment.link, Direction::AtoB);
        prop_assert_eq!(stats(&one), stats(&two));
    }

    #[test]
    fn each_frame_arrives_or_is_dropped_and_counted(plan in plans(), changes in changes()) {
        let pipe = run(config(Some(4), None, &[2, 3]), &plan, &changes);
        let stats = pipe.simulation.link_stats(pipe.attachment.link, Direction::AtoB);
        let sent = pipe.simulation.observer().sent.len();
        prop_assert!(sent >= plan.len());
        prop_assert_eq!(stats.packets_in, sent as u64);
        prop_assert_eq!(stats.packets_out + stats.total_drops(), stats.packets_in);
        for reason in DropReason::ALL {
            let seen = pipe.drops().iter().filter(|drop| drop.2 == reason).count();
            prop_assert_eq!(stats.drops(reason), seen as u64);
        }
        prop_assert!(pipe.arrivals().windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }
}

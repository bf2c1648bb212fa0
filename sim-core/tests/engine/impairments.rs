use sim_core::{
    ConfigError, ConnectError, Direction, DirectionConfig, DropReason, Duration, Jitter, JitterShape,
    LinkConfig, Loss, QueueLimit, RandomDrop,
};

use crate::net::{Pipe, mbps, train};

fn lossy(loss: Vec<Loss>) -> DirectionConfig {
    DirectionConfig { loss, ..Default::default() }
}

// NET-04
#[test]
fn a_lost_frame_has_used_its_transmission_time() {
    let config =
        DirectionConfig { rate: mbps(8), loss: vec![Loss::List { frames: vec![1] }], ..Default::default() };
    let pipe = Pipe::new(config, &train(3, 0, 1000)).finish();
    assert_eq!(pipe.arrivals(), [(1_000_000, 0), (3_000_000, 2)]);
    assert_eq!(pipe.drops(), [(0, 1, DropReason::LossList)]);
    let stats = pipe.simulation.link_stats(pipe.attachment.link, Direction::AtoB);
    assert_eq!((stats.packets_in, stats.packets_out, stats.drops(DropReason::LossList)), (3, 2, 1));
}

#[test]
fn listed_frames_are_counted_from_the_first_one_offered_even_if_refused() {
    let config = DirectionConfig {
        rate: mbps(8),
        queue: QueueLimit::packets(0),
        loss: vec![Loss::List { frames: vec![2, 1] }],
        ..Default::default()
    };
    let pipe = Pipe::new(config, &[(0, 1000), (1, 1000), (1_000_000, 1000), (2_000_000, 1000)]).finish();
    let expected = [(1, 1, DropReason::QueueFull), (1_000_000, 2, DropReason::LossList)];
    assert_eq!(pipe.drops(), expected);
}

#[test]
fn each_nth_accepted_frame_is_lost() {
    let pipe = Pipe::new(lossy(vec![Loss::EveryNth { n: 3 }]), &train(10, 1, 100)).finish();
    assert_eq!(pipe.dropped_numbers(), [2, 5, 8]);
    let pipe = Pipe::new(lossy(vec![Loss::EveryNth { n: 0 }]), &train(10, 1, 100)).finish();
    assert_eq!(pipe.arrivals().len(), 10);
}

/// The first outputs of SplitMix64 with seed 1234567, as published with the generator.
const SPLITMIX: [u64; 5] = [
    6_457_827_717_110_365_317,
    3_203_168_211_198_807_973,
    9_817_491_932_198_370_423,
    4_593_380_528_125_082_431,
    16_408_922_859_458_223_821,
];

#[test]
fn splitmix_loss_makes_one_draw_for_each_accepted_frame_that_shows_it() {
    // As fractions of 2^64 the draws are 0.350, 0.174, 0.532, 0.249, 0.890.
    let loss = || lossy(vec![Loss::SplitMix { seed: 1_234_567, p: 0.25 }]);
    let by_table: Vec<u64> = (0..5).filter(|&index| SPLITMIX[index as usize] >> 62 == 0).collect();
    assert_eq!(by_table, [1, 3]);
    let pipe = Pipe::new(loss(), &train(5, 1, 100)).finish();
    assert_eq!(pipe.dropped_numbers(), by_table);
    // Packets up to 60 octets do not show the draw in this test.
    let plan = [(0, 100), (0, 60), (0, 60), (1, 100), (2, 60), (3, 100), (3, 100)];
    let pipe = Pipe::new(loss(), &plan).finish();
    assert_eq!(pipe.dropped_numbers(), [3, 6]);
}

#[test]
fn bernoulli_loss_is_near_its_probability_and_certain_at_its_ends() {
    let count = |p| {
        let pipe = Pipe::new(lossy(vec![Loss::Bernoulli { p }]), &train(20_000, 1, 100)).finish();
        pipe.drops().len()
    };
    // Four standard deviations are 123 frames.
    assert!((3877..=4123).contains(&count(0.2)), "{}", count(0.2));
    assert_eq!((count(0.0), count(1.0)), (0, 20_000));
}

#[test]
fn gilbert_elliott_loses_in_bursts_of_the_expected_length_and_share() {
    let loss = Loss::GilbertElliott { good_to_bad: 0.01, bad_to_good: 0.2, loss_good: 0.0, loss_bad: 1.0 };
    let pipe = Pipe::new(lossy(vec![loss]), &train(200_000, 1, 100)).finish();
    let lost = pipe.dropped_numbers();
    let bursts = 1 + lost.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    // Share p / (p + r) = 1/21 = 9524 frames; mean burst 1 / r = 5.
    assert!((8_600..10_500).contains(&lost.len()), "{} lost", lost.len());
    let mean = lost.len() as f64 / bursts as f64;
    assert!((4.6..5.4).contains(&mean), "mean burst {mean}");
}

#[test]
fn all_ways_to_lose_are_asked_about_each_frame() {
    let with_list = vec![Loss::List { frames: vec![0] }, Loss::EveryNth { n: 2 }];
    let pipe = Pipe::new(lossy(with_list), &train(4, 1, 100)).finish();
    // Had the second not been asked about frame 0, it would lose 2.
    assert_eq!(pipe.dropped_numbers(), [0, 1, 3]);
}

// NET-05
#[test]
fn a_duplicate_arrives_right_behind_without_taking_transmission_time() {
    let config = DirectionConfig { rate: mbps(8), duplication: 1.0, ..Default::default() };
    let pipe = Pipe::new(config, &train(2, 0, 1000)).finish();
    assert_eq!(pipe.arrivals(), [(1_000_000, 0), (1_000_000, 0), (2_000_000, 1), (2_000_000, 1)]);
    let stats = pipe.simulation.link_stats(pipe.attachment.link, Direction::AtoB);
    assert_eq!((stats.packets_in, stats.duplicates, stats.packets_out), (2, 2, 4));
}

fn jittery(shape: JitterShape, reorders: bool) -> DirectionConfig {
    let jitter = Some(Jitter { shape, reorders });
    DirectionConfig { rate: mbps(1000), delay: Duration::from_millis(10), jitter, ..Default::default() }
}

/// Delay beyond transmission (8 us) and propagation, by packet number; packets go each 100 us.
fn extra_delays(pipe: &Pipe) -> Vec<u64> {
    let mut extra: Vec<(u64, u64)> =
        pipe.arrivals().iter().map(|&(at, n)| (n, at - n * 100_000 - 10_008_000)).collect();
    extra.sort_unstable();
    extra.into_iter().map(|(_, extra)| extra).collect()
}

fn mean(values: &[u64]) -> f64 {
    values.iter().sum::<u64>() as f64 / values.len() as f64
}

#[test]
fn jitter_without_reordering_keeps_the_order() {
    let shape = JitterShape::Exponential { mean: Duration::from_millis(1) };
    let pipe = Pipe::new(jittery(shape, false), &train(5_000, 100_000, 1000)).finish();
    let arrivals = pipe.arrivals();
    assert_eq!(arrivals.len(), 5_000);
    assert!(arrivals.windows(2).all(|pair| pair[0].1 < pair[1].1 && pair[0].0 <= pair[1].0));
}

#[test]
fn jitter_with_reordering_has_the_moments_of_its_distribution() {
    let shape = JitterShape::Exponential { mean: Duration::from_millis(1) };
    let pipe = Pipe::new(jittery(shape, true), &train(20_000, 100_000, 1000)).finish();
    assert!(pipe.arrivals().windows(2).any(|pair| pair[0].1 > pair[1].1), "nothing was overtaken");
    let exponential = mean(&extra_delays(&pipe));
    assert!((970_000.0..1_030_000.0).contains(&exponential), "{exponential}");

    let (low, high) = (Duration::from_micros(200), Duration::from_micros(600));
    let pipe =
        Pipe::new(jittery(JitterShape::Uniform { low, high }, true), &train(20_000, 100_000, 1000)).finish();
    let extra = extra_delays(&pipe);
    assert!(extra.iter().all(|extra| (200_000..=600_000).contains(extra)));
    assert!((396_000.0..404_000.0).contains(&mean(&extra)), "{}", mean(&extra));

    // The mean of a normal distribution truncated at its own mean: the values below count as zero.
    let sd = Duration::from_millis(1);
    let shape = JitterShape::Normal { mean: Duration::ZERO, sd };
    let pipe = Pipe::new(jittery(shape, true), &train(20_000, 100_000, 1000)).finish();
    let extra = extra_delays(&pipe);
    let zeros = extra.iter().filter(|extra| **extra == 0).count();
    assert!((9_700..10_300).contains(&zeros), "{zeros} zeros");
    // sd / sqrt(2 pi)
    assert!((385_000.0..413_000.0).contains(&mean(&extra)), "{}", mean(&extra));
}

#[test]
fn nonsense_is_refused_with_the_reason() {
    let mut pipe = Pipe::new(DirectionConfig::default(), &[]);
    let mut refuse = |config: DirectionConfig| {
        let config = LinkConfig { ab: DirectionConfig::default(), ba: config };
        pipe.simulation.connect("other", pipe.source, pipe.sink, config).unwrap_err().to_string()
    };
    let loss = lossy(vec![Loss::Bernoulli { p: 1.5 }]);
    assert_eq!(refuse(loss), "direction ba: the probability of loss is 1.5; it must be from 0 to 1");
    let nan = DirectionConfig { duplication: f64::NAN, ..Default::default() };
    assert_eq!(refuse(nan), "direction ba: the probability of duplication is NaN; it must be from 0 to 1");
    let shape = JitterShape::Uniform { low: Duration::from_millis(2), high: Duration::from_millis(1) };
    assert_eq!(
        refuse(jittery(shape, true)),
        "direction ba: the least jitter, 2 ms, exceeds the greatest, 1 ms"
    );
    let taken = pipe.simulation.connect("pipe", pipe.source, pipe.sink, LinkConfig::default());
    assert_eq!(taken, Err(ConnectError::NameTaken("pipe".to_owned())));
    let change = sim_core::LinkChange::SetLoss(vec![Loss::SplitMix { seed: 1, p: -0.5 }]);
    let planned =
        pipe.simulation.schedule_link_change(sim_core::Instant::ZERO, pipe.attachment.link, None, change);
    assert_eq!(planned, Err(ConfigError::Probability { what: "loss", value: -0.5 }));
}

#[test]
fn the_last_places_of_a_queue_are_filled_by_chance_that_rises_with_their_rank() {
    // Each time one frame is in transmission and 19 wait, of which the last 10 took places in which chance decides.
    let zone = RandomDrop { places: 10, probability: 0.5 };
    let config = DirectionConfig {
        rate: mbps(8),
        queue: QueueLimit::packets(20),
        random_drop: Some(zone),
        ..Default::default()
    };
    let burst = |at: u64| (0..21).map(move |_| (at * 100_000_000, 1000));
    let frames: Vec<_> = (0..400).flat_map(burst).collect();
    let pipe = Pipe::new(config, &frames).finish();
    let stats = pipe.simulation.link_stats(pipe.attachment.link, Direction::AtoB);
    assert_eq!(stats.drops(DropReason::QueueFull), 0, "a refused frame leaves a place");
    // The first eleven frames are safe. Of ten more, in a zone entered one place at a time, each is refused with
    // 5 % for each place taken so far and its own.
    let mut places = [0.0_f64; 11];
    places[0] = 1.0;
    let mut expected = 0.0;
    for _ in 0..10 {
        let mut next = [0.0; 11];
        for (taken, chance) in places.iter().enumerate() {
            let refused = 0.05 * (taken + 1) as f64;
            expected += chance * refused;
            next[taken] += chance * refused;
            if taken < 10 {
                next[taken + 1] += chance * (1.0 - refused);
            }
        }
        places = next;
    }
    let drops = stats.drops(DropReason::Aqm) as f64 / 400.0;
    assert!((drops / expected - 1.0).abs() < 0.1, "{drops} for {expected}");
    assert!(pipe.dropped_numbers().iter().all(|number| number % 21 > 10));
}

#[test]
fn capable_packets_that_find_the_threshold_waiting_are_marked_and_the_others_pass() {
    let config = DirectionConfig {
        rate: mbps(8),
        queue: QueueLimit::packets(8),
        mark_at: Some(3),
        ..Default::default()
    };
    // At once: 0 is in transmission, 1 to 3 find fewer than three waiting, 9 and 10 find the queue full. 11 finds it empty.
    let plan: Vec<_> = (0..11).map(|_| (0, 1000)).chain([(20_000_000, 1000)]).collect();
    let pipe = Pipe::new(config, &plan).finish();
    assert_eq!(pipe.simulation.observer().marked, [5, 7]);
    assert_eq!(pipe.dropped_numbers(), [9, 10]);
    let stats = pipe.simulation.link_stats(pipe.attachment.link, Direction::AtoB);
    assert_eq!(stats.marked, 3, "the refused one was marked as well");
}

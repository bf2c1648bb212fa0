use sim_core::{
    Bytes, DirectionConfig, DropReason, Duration, Instant, LinkConfig, PortId, QueueLimit, Simulation,
};

use crate::net::{Datagram, Pipe, Recorder, TestNode, TestSimulation, mbps, train};

// NET-01
#[test]
fn a_train_leaves_back_to_back_and_arrives_after_the_delay() {
    let config = DirectionConfig { rate: mbps(10), delay: Duration::from_millis(5), ..Default::default() };
    let pipe = Pipe::new(config, &train(3, 0, 1250)).finish();
    // 10 000 bits at 10 Mbit/s take 1 ms.
    assert_eq!(pipe.arrivals(), [(6_000_000, 0), (7_000_000, 1), (8_000_000, 2)]);
}

#[test]
fn a_long_train_keeps_a_rate_that_does_not_divide_a_second() {
    let config = DirectionConfig { rate: mbps(7), ..Default::default() };
    let pipe = Pipe::new(config, &train(7_000, 0, 1_000)).finish();
    assert_eq!(pipe.arrivals().last(), Some(&(8_000_000_000, 6_999)));
    // Each single arrival is the exact instant rounded down.
    assert!(pipe.arrivals().iter().all(|&(at, number)| at == (number + 1) * 8_000_000 / 7));
}

#[test]
fn frame_overhead_takes_transmission_time_and_counts_in_bytes() {
    let config = DirectionConfig { rate: mbps(8), overhead: Bytes(14), ..Default::default() };
    let pipe = Pipe::new(config, &[(0, 986)]).finish();
    assert_eq!(pipe.arrivals(), [(1_000_000, 0)]);
    let stats = pipe.simulation.link_stats(pipe.attachment.link, sim_core::Direction::AtoB);
    assert_eq!((stats.packets_in, stats.bytes_in), (1, Bytes(1000)));
    assert_eq!((stats.packets_out, stats.bytes_out), (1, Bytes(1000)));
}

#[test]
fn an_infinitely_fast_link_only_delays() {
    let config = DirectionConfig { delay: Duration::from_nanos(7), ..Default::default() };
    let config = DirectionConfig { queue: QueueLimit::packets(0), ..config };
    let pipe = Pipe::new(config, &[(0, 100), (0, 9000), (3, 1)]).finish();
    assert_eq!(pipe.arrivals(), [(7, 0), (7, 1), (10, 2)]);
}

#[test]
fn only_waiting_frames_count_and_an_idle_link_refuses_nothing() {
    // One in transmission, one waiting; the third would be the second to wait.
    let one = DirectionConfig { rate: mbps(8), queue: QueueLimit::packets(1), ..Default::default() };
    let pipe = Pipe::new(one, &train(3, 0, 1000)).finish();
    assert_eq!(pipe.arrivals(), [(1_000_000, 0), (2_000_000, 1)]);
    assert_eq!(pipe.drops(), [(0, 2, DropReason::QueueFull)]);

    let none = DirectionConfig { rate: mbps(8), queue: QueueLimit::bytes(Bytes(0)), ..Default::default() };
    let pipe = Pipe::new(none, &[(0, 1000), (999_999, 1000), (1_000_000, 1000)]).finish();
    // At the instant at which the first has left, the link is idle.
    assert_eq!(pipe.arrivals(), [(1_000_000, 0), (2_000_000, 2)]);
    assert_eq!(pipe.drops(), [(999_999, 1, DropReason::QueueFull)]);
}

#[test]
fn the_frame_in_transmission_counts_where_asked_for() {
    let limit = QueueLimit { packets: Some(2), bytes: None, counts_in_service: true };
    let config = DirectionConfig { rate: mbps(8), queue: limit, ..Default::default() };
    let pipe = Pipe::new(config, &train(3, 0, 1000)).finish();
    assert_eq!(pipe.dropped_numbers(), [2]);

    let limit = QueueLimit { packets: None, bytes: Some(Bytes(2500)), counts_in_service: true };
    let config = DirectionConfig { rate: mbps(8), queue: limit, ..Default::default() };
    let pipe = Pipe::new(config, &[(0, 1000), (0, 1000), (0, 501), (0, 500)]).finish();
    assert_eq!(pipe.dropped_numbers(), [2]);
}

#[test]
fn backlog_is_what_waits_now_and_its_maximum_stays() {
    let config = DirectionConfig { rate: mbps(8), delay: Duration::from_secs(1), ..Default::default() };
    let mut pipe = Pipe::new(config, &train(4, 0, 1000));
    let link = pipe.attachment.link;
    let mut waiting = |millis| {
        pipe.simulation.run_until(Instant::ZERO + Duration::from_millis(millis));
        let backlog = pipe.simulation.backlog(link, sim_core::Direction::AtoB);
        (backlog.packets, backlog.bytes.0, pipe.simulation.packets_in_flight())
    };
    assert_eq!(waiting(0), (3, 3000, 4));
    assert_eq!(waiting(1), (2, 2000, 4));
    assert_eq!(waiting(3), (0, 0, 4));
    assert_eq!(waiting(2_000), (0, 0, 0));
    let most = pipe.simulation.link_stats(link, sim_core::Direction::AtoB).max_backlog;
    assert_eq!((most.packets, most.bytes), (3, Bytes(3000)));
}

#[test]
fn forwarding_costs_one_event_a_hop_and_keeps_the_packet() {
    let mut simulation: TestSimulation = Simulation::with_observer(1, Recorder::default());
    let source = simulation.add_node(TestNode::source(&[(5, 1000), (6, 500)]));
    let hop = simulation.add_node(TestNode::Forwarder);
    let sink = simulation.add_node(TestNode::sink());
    let config = DirectionConfig { rate: mbps(1000), delay: Duration::from_micros(10), ..Default::default() };
    let config = LinkConfig::symmetric(config);
    let first = simulation.connect("first", source, hop, config.clone()).unwrap();
    let second = simulation.connect("second", hop, sink, config).unwrap();
    assert_eq!((first.port_a, first.port_b), (PortId(0), PortId(0)));
    assert_eq!((second.port_a, second.port_b), (PortId(1), PortId(0)));
    simulation.with_node(source, |_, ctx| ctx.set_wakeup(Some(Instant::from_nanos(5))));
    simulation.run_to_end();
    // 8 us on each wire for the first, and the second right behind it.
    assert_eq!(simulation.node(sink).arrivals(), [(36_005, 0), (40_005, 1)]);
    assert_eq!(simulation.events(), 2 + 4);
    let seen = simulation.into_observer();
    assert_eq!(seen.sent, [(5, source, 0), (6, source, 1), (18_005, hop, 0), (22_005, hop, 1)]);
    assert_eq!(seen.received, [(18_005, hop, 0), (22_005, hop, 1), (36_005, sink, 0), (40_005, sink, 1)]);
    assert_eq!(seen.dropped, []);
}

#[test]
fn a_port_that_does_not_exist_drops_the_packet() {
    let mut simulation: TestSimulation = Simulation::with_observer(1, Recorder::default());
    let node = simulation.add_node(TestNode::sink());
    simulation.with_node(node, |_, ctx| {
        assert!(!ctx.port_up(PortId(0)));
        ctx.send(PortId(0), Datagram::new(3, 1));
    });
    assert_eq!(simulation.packets_alive(), 0);
    let dropped = &simulation.observer().dropped;
    assert_eq!(*dropped, [(0, sim_core::Place::Node(node), DropReason::NoSuchPort, 3)]);
    assert!(simulation.observer().sent.is_empty());
}

#[test]
fn the_pool_does_not_grow_once_the_pipe_is_full() {
    let config = DirectionConfig { rate: mbps(8), delay: Duration::from_millis(9), ..Default::default() };
    let mut pipe = Pipe::new(config, &train(10_000, 1_000_000, 1000));
    pipe.simulation.run_until(Instant::ZERO + Duration::from_millis(100));
    let slots = pipe.simulation.packet_slots();
    assert!((10..=11).contains(&slots), "{slots} slots for 10 packets in flight");
    let pipe = pipe.finish();
    assert_eq!(pipe.arrivals().len(), 10_000);
    assert_eq!(pipe.simulation.packet_slots(), slots);
}

#[test]
fn a_parcel_that_a_node_loses_shows_in_the_count() {
    let mut pipe = Pipe::new(DirectionConfig::default(), &[]);
    let parcel = pipe.simulation.with_node(pipe.source, |_, ctx| ctx.hold(Datagram::new(0, 1)));
    assert_eq!((pipe.simulation.packets_alive(), pipe.simulation.packets_in_flight()), (1, 0));
    pipe.simulation.with_node(pipe.source, |_, ctx| ctx.discard(parcel, DropReason::Filter));
    assert_eq!(pipe.simulation.packets_alive(), 0);
}

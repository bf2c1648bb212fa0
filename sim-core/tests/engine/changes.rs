use sim_core::{
    Direction, DirectionConfig, DropReason, Duration, Instant, LinkChange, Loss, PortId, QueueLimit,
};

use crate::net::{Datagram, Pipe, mbps, train};

/// 1 ms a packet of 1000 octets, 5 ms delay.
fn config() -> DirectionConfig {
    DirectionConfig { rate: mbps(8), delay: Duration::from_millis(5), ..Default::default() }
}

fn run(plan: &[(u64, u32)], changes: Vec<(u64, LinkChange)>) -> Pipe {
    let mut pipe = Pipe::new(config(), plan);
    for (at, change) in changes {
        let at = Instant::from_nanos(at);
        pipe.simulation
            .schedule_link_change(at, pipe.attachment.link, Some(Direction::AtoB), change)
            .unwrap();
    }
    pipe.finish()
}

// NET-02
#[test]
fn waiting_frames_go_at_the_new_rate_and_the_one_in_transmission_at_the_old() {
    let pipe = run(&train(4, 0, 1000), vec![(1_500_000, LinkChange::SetRate(mbps(80)))]);
    // The second is half out at the change; the others take 0.1 ms each.
    assert_eq!(pipe.arrivals(), [(6_000_000, 0), (7_000_000, 1), (7_100_000, 2), (7_200_000, 3)]);
    let pipe = run(&train(3, 0, 1000), vec![(500_000, LinkChange::SetRate(mbps(4)))]);
    assert_eq!(pipe.arrivals(), [(6_000_000, 0), (8_000_000, 1), (10_000_000, 2)]);
    let pipe = run(&train(3, 0, 1000), vec![(500_000, LinkChange::SetRate(None))]);
    assert_eq!(pipe.arrivals(), [(6_000_000, 0), (6_000_000, 1), (6_000_000, 2)]);
}

#[test]
fn a_shorter_delay_lets_no_frame_overtake() {
    let change = LinkChange::SetDelay(Duration::from_millis(1));
    let pipe = run(&[(0, 1000), (0, 1000), (0, 1000), (6_000_000, 1000)], vec![(1_500_000, change)]);
    // The second left before the change took effect on it; the third would have come at 4 ms.
    assert_eq!(pipe.arrivals(), [(6_000_000, 0), (7_000_000, 1), (7_000_000, 2), (8_000_000, 3)]);
}

#[test]
fn a_longer_delay_holds_for_waiting_frames() {
    let change = LinkChange::SetDelay(Duration::from_millis(50));
    let pipe = run(&train(3, 0, 1000), vec![(1_000_000, change)]);
    // At 1 ms the transmission of the second begins; it is no longer waiting.
    assert_eq!(pipe.arrivals(), [(6_000_000, 0), (7_000_000, 1), (53_000_000, 2)]);
}

#[test]
fn a_link_that_is_down_refuses_frames_and_delivers_those_inside() {
    let plan = [(0, 1000), (0, 1000), (200_000, 1000), (2_000_000, 1000), (3_000_000, 1000)];
    let pipe = run(&plan, vec![(100_000, LinkChange::Down), (3_000_000, LinkChange::Up)]);
    // Packets 1000 and 2000 are what the node sends when it is told that the link is up or down.
    assert_eq!(pipe.arrivals(), [(6_000_000, 0), (7_000_000, 1), (8_100_000, 1_000), (9_100_000, 4)]);
    let down = DropReason::LinkDown;
    assert_eq!(pipe.drops(), [(100_000, 2_000, down), (200_000, 2, down), (2_000_000, 3, down)]);
}

#[test]
fn a_node_sees_that_its_port_is_down() {
    let mut pipe = Pipe::new(config(), &[]);
    let link = pipe.attachment.link;
    let at = Instant::from_nanos(10);
    pipe.simulation.schedule_link_change(at, link, None, LinkChange::Down).unwrap();
    let port_up = |pipe: &mut Pipe, node| pipe.simulation.with_node(node, |_, ctx| ctx.port_up(PortId(0)));
    let (source, sink) = (pipe.source, pipe.sink);
    assert!(port_up(&mut pipe, source) && port_up(&mut pipe, sink));
    assert_eq!(pipe.simulation.next_event(), Some(Instant::ZERO));
    pipe.simulation.run_until(at);
    assert!(!port_up(&mut pipe, source) && !port_up(&mut pipe, sink));
}

#[test]
fn loss_and_queue_limits_change_for_frames_to_come() {
    let changes = vec![
        (10, LinkChange::SetLoss(vec![Loss::EveryNth { n: 1 }])),
        (20, LinkChange::SetLoss(Vec::new())),
        (30, LinkChange::SetQueue(QueueLimit::packets(1))),
    ];
    let pipe = run(&[(5, 1000), (15, 1000), (25, 1000), (35, 1000)], changes);
    assert_eq!(pipe.drops(), [(15, 1, DropReason::LossList), (35, 3, DropReason::QueueFull)]);
    assert_eq!(pipe.arrivals(), [(6_000_005, 0), (8_000_005, 2)]);
}

#[test]
fn changes_of_one_instant_come_in_the_order_of_planning_and_before_later_sending() {
    let changes = vec![(100, LinkChange::SetRate(mbps(80))), (100, LinkChange::SetRate(None))];
    let pipe = run(&[(100, 1000)], changes);
    assert_eq!(pipe.arrivals(), [(5_000_100, 0)]);
}

#[test]
fn a_driver_sends_in_the_middle_of_a_run() {
    let mut pipe = Pipe::new(config(), &[]);
    pipe.simulation.run_until(Instant::from_nanos(123));
    assert_eq!(pipe.simulation.now(), Instant::from_nanos(123));
    pipe.simulation.with_node(pipe.source, |_, ctx| {
        ctx.send(PortId(0), Datagram::new(8, 1000));
    });
    assert_eq!(pipe.simulation.next_event(), Some(Instant::from_nanos(6_000_123)));
    assert_eq!(pipe.finish().arrivals(), [(6_000_123, 8)]);
}

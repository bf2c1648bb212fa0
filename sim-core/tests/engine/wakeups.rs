use sim_core::{Instant, NodeId, QueueAgenda, Simulation};

use crate::net::{Datagram, TestNode};

type Sleepers = Simulation<Datagram, TestNode>;

fn sleeper(plan: &[Option<u64>]) -> TestNode {
    TestNode::Sleeper { plan: plan.to_vec(), woken: Vec::new() }
}

fn at(nanos: u64) -> Option<Instant> {
    Some(Instant::from_nanos(nanos))
}

fn set(simulation: &mut Sleepers, node: NodeId, nanos: Option<u64>) {
    simulation.with_node(node, |_, ctx| ctx.set_wakeup(nanos.map(Instant::from_nanos)));
}

#[test]
fn a_later_wakeup_replaces_an_earlier_one_and_none_cancels_it() {
    let mut simulation = Sleepers::new(1);
    let node = simulation.add_node(sleeper(&[]));
    set(&mut simulation, node, Some(10));
    set(&mut simulation, node, Some(30));
    assert_eq!(simulation.next_event(), at(30));
    set(&mut simulation, node, Some(20));
    assert_eq!(simulation.next_event(), at(20));
    simulation.run_until(Instant::from_nanos(25));
    assert_eq!(simulation.node(node).woken(), [20]);
    set(&mut simulation, node, Some(40));
    set(&mut simulation, node, None);
    assert_eq!(simulation.next_event(), None);
    simulation.run_to_end();
    assert_eq!(simulation.node(node).woken(), [20]);
    assert_eq!((simulation.events(), simulation.now()), (1, Instant::from_nanos(25)));
}

#[test]
fn a_wakeup_in_the_past_is_now() {
    let mut simulation = Sleepers::new(1);
    let node = simulation.add_node(sleeper(&[Some(3), None]));
    simulation.run_until(Instant::from_nanos(100));
    set(&mut simulation, node, Some(50));
    simulation.run_to_end();
    assert_eq!(simulation.node(node).woken(), [100, 100]);
}

/// Nodes that wake at one instant, in the order in which they do. They tell by sending.
fn order_of_waking<const N: usize>(settings: [(usize, u64); N]) -> Vec<u32> {
    use crate::net::Recorder;
    let mut simulation: crate::net::TestSimulation = Simulation::with_observer(1, Recorder::default());
    let hub = simulation.add_node(TestNode::sink());
    for index in 1..=3 {
        let node = simulation.add_node(TestNode::source(&[(0, 10)]));
        let _attachment = simulation.connect(&index.to_string(), node, hub, Default::default()).unwrap();
    }
    for (node, nanos) in settings {
        simulation.with_node(NodeId(node as u32), |_, ctx| ctx.set_wakeup(at(nanos)));
    }
    simulation.run_to_end();
    simulation.observer().sent.iter().map(|sent| sent.1.0).collect()
}

#[test]
fn nodes_that_wake_at_one_instant_do_so_in_the_order_of_setting_it() {
    assert_eq!(order_of_waking([(3, 7), (1, 7), (2, 7)]), [3, 1, 2]);
    // Put off and brought forward: the last setting counts, not the entry it replaces.
    assert_eq!(order_of_waking([(3, 4), (1, 9), (3, 7), (2, 7), (1, 7)]), [3, 2, 1]);
    assert_eq!(order_of_waking([(3, 7), (1, 7), (3, 9), (3, 7), (2, 7)]), [1, 3, 2]);
    // Setting the same instant again changes nothing.
    assert_eq!(order_of_waking([(3, 7), (1, 7), (3, 7), (2, 7)]), [3, 1, 2]);
}

#[test]
fn the_wakeup_a_node_has_set_can_be_asked_for() {
    let mut simulation = Simulation::<Datagram, TestNode, (), QueueAgenda>::with_agenda(1, ());
    let node = simulation.add_node(sleeper(&[]));
    let asked = simulation.with_node(node, |_, ctx| {
        ctx.set_wakeup(at(9));
        ctx.wakeup()
    });
    assert_eq!(asked, at(9));
    simulation.run_to_end();
    assert_eq!(simulation.with_node(node, |_, ctx| ctx.wakeup()), None);
    assert_eq!(simulation.node(node).woken(), [9]);
}

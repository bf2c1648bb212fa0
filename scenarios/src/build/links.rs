//! Links in the words of a scenario as those of the engine.

use mptcp_model::host::NetNode;
use mptcp_model::wire::Packet;
use sim_core::{
    Bytes, Direction, DirectionConfig, Jitter, JitterShape, LinkConfig, Observer, QueueLimit, RandomDrop,
    Simulation,
};

use super::BuildError;
use crate::layout::Layout;
use crate::process::Process;
use crate::scenario::{self, Link, LinkDirection, Loss, Scenario};

/// Connect the nodes, in the order of the layout, and plan the changes of the links.
pub(super) fn connect<O: Observer<Packet>>(
    sim: &mut Simulation<Packet, NetNode<Process>, O>,
    scenario: &Scenario,
    layout: &Layout,
) -> Result<(), BuildError> {
    for (index, (link, place)) in scenario.links.iter().zip(&layout.links).enumerate() {
        let key = format!("links[{index}]");
        let config =
            LinkConfig { ab: direction(&link.ab, link.overhead), ba: direction(&link.ba, link.overhead) };
        let attached = sim
            .connect(&link.name, place.a.0, place.b.0, config)
            .map_err(|error| BuildError::new(key.as_str(), error))?;
        debug_assert_eq!((attached.port_a, attached.port_b), (place.a.1, place.b.1));
        plan_changes(sim, link, place.id, &key)?;
    }
    Ok(())
}

fn plan_changes<O: Observer<Packet>>(
    sim: &mut Simulation<Packet, NetNode<Process>, O>,
    link: &Link,
    id: sim_core::LinkId,
    key: &str,
) -> Result<(), BuildError> {
    for (index, change) in link.changes.iter().enumerate() {
        let direction = match (change.ab, change.ba) {
            (true, true) => None,
            (true, false) => Some(Direction::AtoB),
            (false, true) => Some(Direction::BtoA),
            (false, false) => continue,
        };
        for part in parts(change) {
            sim.schedule_link_change(change.at, id, direction, part)
                .map_err(|error| BuildError::new(format!("{key}.changes[{index}]"), error))?;
        }
    }
    Ok(())
}

fn parts(change: &scenario::LinkChange) -> Vec<sim_core::LinkChange> {
    let mut parts = Vec::new();
    if let Some(rate) = change.rate {
        parts.push(sim_core::LinkChange::SetRate(Some(rate)));
    }
    if let Some(delay) = change.delay {
        parts.push(sim_core::LinkChange::SetDelay(delay));
    }
    if let Some(losses) = &change.loss {
        parts.push(sim_core::LinkChange::SetLoss(losses.iter().map(loss).collect()));
    }
    if let Some(up) = change.up {
        parts.push(if up { sim_core::LinkChange::Up } else { sim_core::LinkChange::Down });
    }
    parts
}

fn direction(direction: &LinkDirection, overhead: Bytes) -> DirectionConfig {
    DirectionConfig {
        rate: direction.rate,
        overhead,
        delay: direction.delay,
        queue: match direction.queue {
            scenario::QueueLimit::Packets(packets) => {
                QueueLimit::packets(u32::try_from(packets).unwrap_or(u32::MAX))
            }
            scenario::QueueLimit::Bytes(bytes) => QueueLimit::bytes(bytes),
            scenario::QueueLimit::Unlimited => QueueLimit::UNLIMITED,
        },
        random_drop: direction
            .random_drop
            .map(|drop| RandomDrop { places: drop.places, probability: drop.probability.as_f64() }),
        mark_at: direction.ecn_threshold,
        loss: direction.loss.iter().map(loss).collect(),
        duplication: direction.duplicate.as_f64(),
        jitter: (!direction.jitter.is_zero()).then_some(Jitter {
            shape: JitterShape::Uniform { low: sim_core::Duration::ZERO, high: direction.jitter },
            reorders: direction.reorder,
        }),
    }
}

fn loss(loss: &Loss) -> sim_core::Loss {
    match loss {
        Loss::Bernoulli(p) => sim_core::Loss::Bernoulli { p: p.as_f64() },
        Loss::Splitmix { probability, seed } => {
            sim_core::Loss::SplitMix { seed: *seed, p: probability.as_f64() }
        }
        Loss::GilbertElliott { p, r, loss_good, loss_bad } => sim_core::Loss::GilbertElliott {
            good_to_bad: p.as_f64(),
            bad_to_good: r.as_f64(),
            loss_good: loss_good.as_f64(),
            loss_bad: loss_bad.as_f64(),
        },
        Loss::EveryNth(n) => sim_core::Loss::EveryNth { n: *n },
        Loss::Frames(frames) => sim_core::Loss::List { frames: frames.clone() },
    }
}

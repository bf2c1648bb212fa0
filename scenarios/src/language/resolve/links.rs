//! Links: ends, rates, delays, queues, losses and changes.

use core::ops::Range;
use std::collections::BTreeMap;

use sim_core::{Bytes, Duration, Instant};

use super::Context;
use crate::language::document::{RawChange, RawDirection, RawLink, RawLoss, RawRandomDrop};
use crate::language::value::Located;
use crate::scenario::{Host, Link, LinkChange, LinkDirection, Loss, Port, QueueLimit, RandomDrop};
use crate::units::{Probability, QueueSize};

pub(super) fn resolve(context: &mut Context<'_>, raw: &[Located<RawLink>], hosts: &[Host]) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let mut ends: BTreeMap<Port, String> = BTreeMap::new();
    for (index, located) in raw.iter().enumerate() {
        let Some(link) = link(context, located, index, hosts) else { continue };
        let path = format!("links.{}", link.name);
        if links.iter().any(|other| other.name == link.name) {
            let message = format!("there are two links \"{}\"", link.name);
            context.duplicate(&located.span, &path, message, "give each link its own name");
        }
        for end in [&link.a, &link.b] {
            if let Some(other) = ends.insert(end.clone(), link.name.clone()) {
                let message = format!("{end} is already an end of link \"{other}\"");
                context.duplicate(
                    &located.span,
                    &path,
                    message,
                    "an interface has one link; add another interface",
                );
            }
        }
        links.push(link);
    }
    links
}

fn link(context: &mut Context<'_>, located: &Located<RawLink>, index: usize, hosts: &[Host]) -> Option<Link> {
    let raw = &located.value;
    let place = format!("links.{index}");
    let name = context.require(&located.span, &place, "name", raw.name.as_ref(), "\"p1\"");
    let path = name.map_or(place, |name| format!("links.{}", name.value));
    if let Some(name) = name {
        context.name(&name.span, &format!("{path}.name"), &name.value);
    }
    let a = context.require(&located.span, &path, "a", raw.a.as_ref(), "\"client:c0\"");
    let b = context.require(&located.span, &path, "b", raw.b.as_ref(), "\"server:s0\"");
    let a = a.and_then(|end| context.port(&format!("{path}.a"), end, hosts));
    let b = b.and_then(|end| context.port(&format!("{path}.b"), end, hosts));
    let both = RawDirection {
        rate: raw.rate.clone(),
        delay: raw.delay.clone(),
        queue: raw.queue.clone(),
        random_drop: raw.random_drop.clone(),
        ecn_threshold: raw.ecn_threshold.clone(),
        jitter: raw.jitter.clone(),
        reorder: raw.reorder.clone(),
        duplicate: raw.duplicate.clone(),
        loss: raw.loss.clone(),
    };
    let (ab, queue_ab) = direction(context, &path, "ab", &both, raw.ab.as_ref());
    let (ba, queue_ba) = direction(context, &path, "ba", &both, raw.ba.as_ref());
    let rtt = context.read_or(&format!("{path}.bdp_rtt"), raw.bdp_rtt.as_ref(), ab.delay + ba.delay);
    let ab = LinkDirection { queue: queue_limit(context, &path, queue_ab, &ab, rtt), ..ab };
    let ba = LinkDirection { queue: queue_limit(context, &path, queue_ba, &ba, rtt), ..ba };
    let overhead = context.read_or(&format!("{path}.overhead"), raw.overhead.as_ref(), Bytes(14));
    let mtu = raw.mtu.as_ref().and_then(|mtu| context.count(&format!("{path}.mtu"), mtu, 68, 65_535));
    let changes = changes(context, &path, raw.changes.as_deref().unwrap_or_default());
    Some(Link {
        name: name?.value.clone(),
        a: a?,
        b: b?,
        ab,
        ba,
        overhead,
        mtu: mtu.and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(1_500),
        changes,
    })
}

/// A queue size and where it is written.
type Queue = (QueueSize, Range<usize>);

fn direction(
    context: &mut Context<'_>,
    path: &str,
    side: &str,
    both: &RawDirection,
    own: Option<&RawDirection>,
) -> (LinkDirection, Queue) {
    let empty = RawDirection::default();
    let own = own.unwrap_or(&empty);
    /// The value of this direction, else that of both, with its path.
    macro_rules! pick {
        ($field:ident) => {
            match &own.$field {
                Some(value) => (Some(value), format!("{path}.{side}.{}", stringify!($field))),
                None => (both.$field.as_ref(), format!("{path}.{}", stringify!($field))),
            }
        };
    }
    let (rate, rate_path) = pick!(rate);
    let (delay, delay_path) = pick!(delay);
    let (queue, queue_path) = pick!(queue);
    let (random_drop, random_drop_path) = pick!(random_drop);
    let (threshold, threshold_path) = pick!(ecn_threshold);
    let (jitter, jitter_path) = pick!(jitter);
    let (reorder, reorder_path) = pick!(reorder);
    let (duplicate, duplicate_path) = pick!(duplicate);
    let (losses, loss_path) = pick!(loss);
    let size = context.read_or(&queue_path, queue, QueueSize::Packets(100));
    let direction = LinkDirection {
        rate: rate.and_then(|rate| context.read(&rate_path, rate)),
        delay: context.read_or(&delay_path, delay, Duration::ZERO),
        queue: QueueLimit::Unlimited,
        random_drop: random_drop.and_then(|drop| self::random_drop(context, &random_drop_path, drop, size)),
        ecn_threshold: threshold.and_then(|count| context.count(&threshold_path, count, 1, 1_000_000)),
        loss: losses.map(|losses| loss(context, &loss_path, losses)).unwrap_or_default(),
        jitter: context.read_or(&jitter_path, jitter, Duration::ZERO),
        reorder: context.read_or(&reorder_path, reorder, false),
        duplicate: context.read_or(&duplicate_path, duplicate, Probability::ZERO),
    };
    (direction, (size, queue.map_or(0..0, |queue| queue.span.clone())))
}

fn queue_limit(
    context: &mut Context<'_>,
    path: &str,
    queue: Queue,
    direction: &LinkDirection,
    rtt: Duration,
) -> QueueLimit {
    let (size, span) = queue;
    match size {
        QueueSize::Packets(count) => QueueLimit::Packets(count),
        QueueSize::Bytes(bytes) => QueueLimit::Bytes(bytes),
        QueueSize::Unlimited => QueueLimit::Unlimited,
        QueueSize::Bdp { thousandths } => {
            let Some(rate) = direction.rate else {
                let help = "add a rate, or give the queue in packets or bytes";
                context.conflict(&span, &format!("{path}.queue"), "a BDP without a rate", help);
                return QueueLimit::Unlimited;
            };
            if rtt.is_zero() {
                let help = "add bdp_rtt = \"40 ms\", or a delay";
                context.conflict(&span, &format!("{path}.queue"), "a BDP without a round-trip time", help);
            }
            let bits = u128::from(rate.as_bps()) * u128::from(rtt.as_nanos());
            let bytes = bits.saturating_mul(u128::from(thousandths)) / (8 * 1_000 * 1_000_000_000);
            QueueLimit::Bytes(Bytes(u64::try_from(bytes).unwrap_or(u64::MAX)))
        }
    }
}

fn random_drop(
    context: &mut Context<'_>,
    path: &str,
    located: &Located<RawRandomDrop>,
    queue: QueueSize,
) -> Option<RandomDrop> {
    let RawRandomDrop { places, probability } = &located.value;
    let places = context.require(&located.span, path, "places", places.as_ref(), "3");
    let probability = context.require(&located.span, path, "probability", probability.as_ref(), "\"10 %\"");
    let probability = probability.and_then(|text| context.read(&format!("{path}.probability"), text));
    let QueueSize::Packets(limit) = queue else {
        let help = "give the queue in packets";
        context.conflict(&located.span, path, "last places of a queue that is not limited in packets", help);
        return None;
    };
    let most = u32::try_from(limit).unwrap_or(u32::MAX);
    let places = places.and_then(|text| context.count(&format!("{path}.places"), text, 1, most));
    Some(RandomDrop { places: places?, probability: probability? })
}

fn loss(context: &mut Context<'_>, path: &str, located: &Located<RawLoss>) -> Vec<Loss> {
    let RawLoss { probability, splitmix_seed, every_nth, frames, gilbert_elliott } = &located.value;
    let mut losses = Vec::new();
    let probability_path = format!("{path}.probability");
    let chance = probability.as_ref().and_then(|text| context.read(&probability_path, text));
    match (chance, splitmix_seed) {
        (Some(probability), Some(seed)) => {
            let seed = context.seed(&format!("{path}.splitmix_seed"), seed);
            losses.push(Loss::Splitmix { probability, seed });
        }
        (Some(probability), None) => losses.push(Loss::Bernoulli(probability)),
        (None, Some(seed)) if probability.is_none() => {
            let help = "add probability = \"1 %\"";
            context.conflict(
                &seed.span,
                &format!("{path}.splitmix_seed"),
                "a seed without a probability",
                help,
            );
        }
        (None, _) => {}
    }
    if let Some(text) = every_nth {
        let nth = context.count(&format!("{path}.every_nth"), text, 1, u32::MAX);
        losses.extend(nth.map(|nth| Loss::EveryNth(u64::from(nth))));
    }
    if let Some(texts) = frames {
        let path = format!("{path}.frames");
        let mut indices: Vec<u64> =
            texts.iter().filter_map(|text| context.read(&path, text)).map(u64::from).collect();
        indices.sort_unstable();
        indices.dedup();
        losses.push(Loss::Frames(indices));
    }
    if let Some(chain) = gilbert_elliott {
        let path = format!("{path}.gilbert_elliott");
        let p = context.require(&chain.span, &path, "p", chain.value.p.as_ref(), "\"1 %\"");
        let r = context.require(&chain.span, &path, "r", chain.value.r.as_ref(), "\"30 %\"");
        let p = p.and_then(|p| context.read(&format!("{path}.p"), p));
        let r = r.and_then(|r| context.read(&format!("{path}.r"), r));
        let good =
            context.read_or(&format!("{path}.loss_good"), chain.value.loss_good.as_ref(), Probability::ZERO);
        let bad =
            context.read_or(&format!("{path}.loss_bad"), chain.value.loss_bad.as_ref(), Probability::ONE);
        if let (Some(p), Some(r)) = (p, r) {
            losses.push(Loss::GilbertElliott { p, r, loss_good: good, loss_bad: bad });
        }
    }
    losses
}

fn changes(context: &mut Context<'_>, path: &str, raw: &[Located<RawChange>]) -> Vec<LinkChange> {
    let mut changes = Vec::new();
    for (index, located) in raw.iter().enumerate() {
        let path = format!("{path}.changes.{index}");
        let raw = &located.value;
        let at = context.require(&located.span, &path, "at", raw.at.as_ref(), "\"3 s\"");
        let at = at.and_then(|at| context.read(&format!("{path}.at"), at));
        let sides = [("both", (true, true)), ("ab", (true, false)), ("ba", (false, true))];
        let (ab, ba) = context.choice(&format!("{path}.direction"), raw.direction.as_ref(), &sides);
        let up = raw.state.as_ref().map(|state| {
            context.choice(&format!("{path}.state"), Some(state), &[("up", true), ("down", false)])
        });
        let change = LinkChange {
            at: Instant::ZERO + at.unwrap_or_default(),
            ab,
            ba,
            rate: raw.rate.as_ref().and_then(|rate| context.read(&format!("{path}.rate"), rate)),
            delay: raw.delay.as_ref().and_then(|delay| context.read(&format!("{path}.delay"), delay)),
            loss: raw.loss.as_ref().map(|losses| loss(context, &format!("{path}.loss"), losses)),
            up,
        };
        if raw.rate.is_none() && raw.delay.is_none() && raw.loss.is_none() && up.is_none() {
            context.conflict(&located.span, &path, "this changes nothing", "add rate, delay, loss or state");
        }
        changes.push(change);
    }
    changes.sort_by_key(|change| change.at);
    changes
}

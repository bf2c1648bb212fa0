//! A resolved scenario as a document, with every default written out.

use std::collections::BTreeMap;

use sim_core::{Duration, Instant};

use super::document::{
    Defaults, Document, RawBox, RawBulk, RawCapture, RawChange, RawDirection, RawEcho, RawEndpoint, RawEvent,
    RawFlow, RawGilbertElliott, RawHost, RawInterface, RawLink, RawLoss, RawOutput, RawRandomDrop,
    RawRateLimited, RawRequestResponse,
};
use super::kinds::Free;
use super::value::{Kind, Located, Text};
use crate::application::{Amount, Application, Direction};
use crate::scenario::{
    BoxConfig, EndpointConfig, Event, Flow, Host, HostKind, Link, LinkChange, LinkDirection, LinkType, Loss,
    NearSide, Parameter, Protocol, QueueLimit, RpFilter, Scenario, Stop,
};
use crate::settings::{RawLimits, RawMptcp, RawTcp};
use crate::units::QueueSize;

fn text<K: Kind>(value: &K::Value) -> Option<Located<Text<K>>> {
    Some(Text::of(value))
}

fn word(word: impl Into<String>) -> Option<Located<String>> {
    Some(Located::from(word.into()))
}

fn list<T, R>(items: &[T], print: impl Fn(&T) -> R) -> Option<Vec<R>> {
    (!items.is_empty()).then(|| items.iter().map(print).collect())
}

fn since(at: Instant) -> Duration {
    at.saturating_since(Instant::ZERO)
}

fn integer(value: u64) -> Located<i64> {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}

fn parameters(values: &BTreeMap<String, Parameter>) -> Option<BTreeMap<String, Located<Text<Free>>>> {
    (!values.is_empty()).then(|| values.iter().map(|(name, value)| (name.clone(), Text::of(value))).collect())
}

/// The document of a scenario.
pub(super) fn document(scenario: &Scenario) -> Document {
    let non_empty = |text: &String| (!text.is_empty()).then(|| text.clone());
    Document {
        name: word(&scenario.name),
        title: non_empty(&scenario.title),
        description: non_empty(&scenario.description),
        duration: text(&scenario.duration),
        stop: word(match scenario.stop {
            Stop::WhenFlowsFinish => "when flows finish",
            Stop::AtDuration => "at duration",
        }),
        seed: Some(integer(scenario.seed)),
        defaults: Some(Defaults { profile: word(scenario.profile.name()), ..Defaults::default() }),
        hosts: Some(scenario.hosts.iter().map(|item| (item.name.clone(), host(item).into())).collect()),
        links: list(&scenario.links, |item| link(item).into()),
        boxes: list(&scenario.boxes, |item| placed_box(item).into()),
        flows: list(&scenario.flows, |item| flow(item).into()),
        events: list(&scenario.events, |Event { at, host, command }| {
            RawEvent { at: text(&since(*at)), host: word(host), command: text(command) }.into()
        }),
        capture: Some(RawCapture {
            interfaces: Some(
                scenario.capture.interfaces.iter().map(|port| port.to_string().into()).collect(),
            ),
            snaplen: text(&scenario.capture.snaplen),
            link_type: word(match scenario.capture.link_type {
                LinkType::Ethernet => "ethernet",
                LinkType::Raw => "raw",
            }),
        }),
        output: Some(RawOutput {
            sample_interval: text(&scenario.output.sample_interval),
            plots: text(&scenario.output.plots),
            csv: text(&scenario.output.csv),
        }),
    }
}

fn host(host: &Host) -> RawHost {
    let mut mptcp = RawMptcp::of(&host.mptcp);
    mptcp.limits = Some(RawLimits {
        subflows: text(&u32::from(host.mptcp.limits.subflows)),
        add_addr_accepted: text(&u32::from(host.mptcp.limits.add_addr_accepted)),
    });
    mptcp.path_manager_parameters = parameters(&host.mptcp.path_manager_parameters);
    mptcp.scheduler_parameters = parameters(&host.mptcp.scheduler_parameters);
    mptcp.endpoints = list(&host.endpoints, |config| endpoint(config).into());
    let interfaces = host.interfaces.iter().map(|interface| {
        let raw = RawInterface {
            addresses: list(&interface.addresses, Text::of),
            mac: interface.mac.as_ref().map(Text::of),
        };
        (interface.name.clone(), raw)
    });
    RawHost {
        kind: word(match host.kind {
            HostKind::Host => "host",
            HostKind::Router => "router",
        }),
        rp_filter: word(match host.rp_filter {
            RpFilter::Off => "off",
            RpFilter::Strict => "strict",
            RpFilter::Loose => "loose",
        }),
        rules: list(&host.rules, Text::of),
        routes: list(&host.routes, Text::of),
        interfaces: Some(interfaces.collect()),
        tcp: Some(RawTcp::of(&host.tcp)),
        mptcp: Some(mptcp.into()),
    }
}

fn endpoint(config: &EndpointConfig) -> RawEndpoint {
    let endpoint = &config.endpoint;
    let flags = [
        ("signal", endpoint.signal),
        ("subflow", endpoint.subflow),
        ("backup", endpoint.backup),
        ("fullmesh", endpoint.fullmesh),
    ];
    let flags: Vec<Located<String>> =
        flags.iter().filter(|(_, set)| *set).map(|(name, _)| (*name).to_owned().into()).collect();
    RawEndpoint {
        address: text(&endpoint.address),
        id: text(&u32::from(endpoint.id)),
        port: endpoint.port.and_then(|port| text(&u32::from(port))),
        dev: config.dev.as_ref().and_then(word),
        flags: Some(flags),
    }
}

fn link(link: &Link) -> RawLink {
    RawLink {
        name: word(&link.name),
        a: word(link.a.to_string()),
        b: word(link.b.to_string()),
        overhead: text(&link.overhead),
        mtu: text(&u32::from(link.mtu)),
        ab: Some(direction(&link.ab)),
        ba: Some(direction(&link.ba)),
        changes: list(&link.changes, |item| change(item).into()),
        ..RawLink::default()
    }
}

fn direction(direction: &LinkDirection) -> RawDirection {
    RawDirection {
        rate: direction.rate.as_ref().map(Text::of),
        delay: text(&direction.delay),
        queue: text(&match direction.queue {
            QueueLimit::Packets(count) => QueueSize::Packets(count),
            QueueLimit::Bytes(bytes) => QueueSize::Bytes(bytes),
            QueueLimit::Unlimited => QueueSize::Unlimited,
        }),
        random_drop: direction.random_drop.map(|drop| {
            let probability = text(&drop.probability);
            RawRandomDrop { places: text(&drop.places), probability }.into()
        }),
        ecn_threshold: direction.ecn_threshold.as_ref().map(Text::of),
        jitter: text(&direction.jitter),
        reorder: text(&direction.reorder),
        duplicate: text(&direction.duplicate),
        loss: (!direction.loss.is_empty()).then(|| losses(&direction.loss).into()),
    }
}

fn losses(losses: &[Loss]) -> RawLoss {
    let mut raw = RawLoss::default();
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    for loss in losses {
        match loss {
            Loss::Bernoulli(probability) => raw.probability = text(probability),
            Loss::Splitmix { probability, seed } => {
                raw.probability = text(probability);
                raw.splitmix_seed = Some(integer(*seed));
            }
            Loss::EveryNth(nth) => raw.every_nth = text(&small(*nth)),
            Loss::Frames(frames) => {
                raw.frames = Some(frames.iter().map(|index| Text::of(&small(*index))).collect());
            }
            Loss::GilbertElliott { p, r, loss_good, loss_bad } => {
                let chain = RawGilbertElliott {
                    p: text(p),
                    r: text(r),
                    loss_good: text(loss_good),
                    loss_bad: text(loss_bad),
                };
                raw.gilbert_elliott = Some(chain.into());
            }
        }
    }
    raw
}

fn change(change: &LinkChange) -> RawChange {
    RawChange {
        at: text(&since(change.at)),
        direction: word(match (change.ab, change.ba) {
            (true, false) => "ab",
            (false, true) => "ba",
            _ => "both",
        }),
        rate: change.rate.as_ref().map(Text::of),
        delay: change.delay.as_ref().map(Text::of),
        state: change.up.and_then(|up| word(if up { "up" } else { "down" })),
        loss: change.loss.as_deref().map(|list| losses(list).into()),
    }
}

fn placed_box(config: &BoxConfig) -> RawBox {
    RawBox {
        name: word(&config.name),
        kind: word(&config.kind),
        at: word(config.at.to_string()),
        near: word(match config.near {
            NearSide::Router => "router",
            NearSide::Link => "link",
        }),
        parameters: parameters(&config.parameters).map(Located::from),
    }
}

fn flow(flow: &Flow) -> RawFlow {
    let mut raw = RawFlow {
        name: word(&flow.name),
        from: word(&flow.from),
        to: word(flow.destination.ip().to_string()),
        port: text(&u32::from(flow.destination.port())),
        protocol: word(match flow.protocol {
            Protocol::Mptcp => "mptcp",
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }),
        start: text(&since(flow.start)),
        congestion_control: flow.congestion_control.as_ref().and_then(word),
        scheduler: flow.scheduler.as_ref().and_then(word),
        bind: flow.bind.as_ref().map(Text::of),
        listen: flow.listen.as_ref().map(Text::of),
        congestion_parameters: parameters(&flow.congestion_parameters),
        ..RawFlow::default()
    };
    let side = |direction: &Direction| {
        word(match direction {
            Direction::Upload => "upload",
            Direction::Download => "download",
        })
    };
    match &flow.application {
        Application::Bulk { amount, direction } => {
            let (bytes, time) = match amount {
                Amount::Bytes(bytes) => (text(bytes), None),
                Amount::For(span) => (None, text(span)),
            };
            raw.bulk = Some(RawBulk { bytes, time, direction: side(direction) }.into());
        }
        Application::RequestResponse { request, response, count, pause } => {
            let rounds = RawRequestResponse {
                request: text(request),
                response: text(response),
                count: text(count),
                pause: text(pause),
            };
            raw.request_response = Some(rounds.into());
        }
        Application::Echo { size, count, interval } => {
            raw.echo =
                Some(RawEcho { size: text(size), count: text(count), interval: text(interval) }.into());
        }
        Application::RateLimited { bytes, rate, write, direction, bursts } => {
            let limited = RawRateLimited {
                rate: text(rate),
                bytes: text(bytes),
                time: None,
                write: text(write),
                on: bursts.and_then(|bursts| text(&bursts.on)),
                off: bursts.and_then(|bursts| text(&bursts.off)),
                direction: side(direction),
            };
            raw.rate_limited = Some(limited.into());
        }
        Application::Steps { client, server } => {
            raw.client = Some(client.iter().map(Text::of).collect());
            raw.server = Some(server.iter().map(Text::of).collect());
        }
    }
    raw
}

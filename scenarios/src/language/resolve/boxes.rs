//! Middleboxes: which, where, and with which parameters.

use mptcp_model::net::middlebox::registry;
use sim_core::random::Streams;

use super::Context;
use crate::boxes;
use crate::language::document::RawBox;
use crate::language::value::Located;
use crate::scenario::{BoxConfig, Host, HostKind, Link, NearSide};
use crate::units::Complaint;

pub(super) fn resolve(
    context: &mut Context<'_>,
    raw: &[Located<RawBox>],
    hosts: &[Host],
    links: &[Link],
) -> Vec<BoxConfig> {
    let mut boxes: Vec<BoxConfig> = Vec::new();
    for (index, located) in raw.iter().enumerate() {
        let name = located.value.name.as_ref();
        let name = name.map_or_else(|| format!("box{}", index + 1), |name| name.value.clone());
        let path = format!("boxes.{name}");
        if let Some(name) = &located.value.name {
            context.name(&name.span, &format!("{path}.name"), &name.value);
        }
        if boxes.iter().any(|other| other.name == name) {
            let message = format!("there are two boxes \"{name}\"");
            context.duplicate(&located.span, &path, message, "give each box its own name");
        }
        boxes.extend(placed(context, located, name, &path, hosts, links));
    }
    boxes
}

fn placed(
    context: &mut Context<'_>,
    located: &Located<RawBox>,
    name: String,
    path: &str,
    hosts: &[Host],
    links: &[Link],
) -> Option<BoxConfig> {
    let raw = &located.value;
    let kind = context.require(&located.span, path, "kind", raw.kind.as_ref(), "\"firewall\"");
    let known: Vec<&str> = registry::list().iter().map(|entry| entry.name).collect();
    let is_known = kind
        .is_some_and(|kind| context.known(&kind.span, &format!("{path}.kind"), &kind.value, &known, "box"));
    let at_path = format!("{path}.at");
    let text = context.require(&located.span, path, "at", raw.at.as_ref(), "\"router:r0\"");
    let at = text.and_then(|text| Some((text, context.port(&at_path, text, hosts)?)));
    if let Some((text, at)) = &at {
        let is_router = hosts.iter().any(|host| host.name == at.host && host.kind == HostKind::Router);
        if !is_router {
            let help = "place it at an interface of a router; one can be put between two hosts";
            context.conflict(&text.span, &at_path, format!("{} is no router", at.host), help);
        } else if !links.iter().any(|link| link.a == *at || link.b == *at) {
            context.conflict(
                &text.span,
                &at_path,
                format!("{at} is not the end of a link"),
                "attach a link to it",
            );
        }
    }
    let near = context.choice(
        &format!("{path}.near"),
        raw.near.as_ref(),
        &[("router", NearSide::Router), ("link", NearSide::Link)],
    );
    let written = raw.parameters.as_ref();
    let parameters_path = format!("{path}.parameters");
    let parameters = context.parameters(&parameters_path, written.map(|written| &written.value));
    let config = BoxConfig { name, kind: kind?.value.clone(), at: at?.1, near, parameters };
    // What the parameters of a box may be, the box knows.
    if let (true, Err(Complaint { message, help })) =
        (is_known, boxes::create(&config, Streams::new(0).stream("check")))
    {
        let span = written.map_or(&located.span, |written| &written.span);
        context.bad(span, &parameters_path, message, help);
    }
    Some(config)
}

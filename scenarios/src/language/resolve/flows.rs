//! Flows: who talks to whom, over what, and how the applications behave.

use core::ops::Range;
use std::net::{IpAddr, SocketAddr};

use mptcp_model::host::UDP_HEADER;
use sim_core::{Bytes, Duration, Instant, Rate};

use super::Context;
use crate::application::{Amount, Application, Bursts, DATAGRAM, Direction, MAX_ROUNDS, RATE_WRITE, Step};
use crate::language::document::{RawFlow, RawRateLimited};
use crate::language::kinds::{Address, Count, Size, StepWords, Time};
use crate::language::value::{Located, Text};
use crate::scenario::{Flow, Host, Link, Protocol};

const DIRECTIONS: [(&str, Direction); 2] = [("upload", Direction::Upload), ("download", Direction::Download)];

pub(super) fn resolve(
    context: &mut Context<'_>,
    raw: &[Located<RawFlow>],
    hosts: &[Host],
    links: &[Link],
) -> Vec<Flow> {
    let mut flows: Vec<Flow> = Vec::new();
    for (index, located) in raw.iter().enumerate() {
        let Some(flow) = flow(context, located, index, hosts) else { continue };
        let path = format!("flows.{}", flow.name);
        if flows.iter().any(|other| other.name == flow.name) {
            let message = format!("there are two flows \"{}\"", flow.name);
            context.duplicate(&located.span, &path, message, "give each flow its own name");
        }
        let same_port = |other: &&Flow| {
            other.to == flow.to
                && other.destination.port() == flow.destination.port()
                && (other.protocol == Protocol::Udp) == (flow.protocol == Protocol::Udp)
        };
        if let Some(other) = flows.iter().find(same_port) {
            let message = format!(
                "flow \"{}\" uses port {} of {} already",
                other.name,
                flow.destination.port(),
                flow.to
            );
            context.duplicate(&located.span, &format!("{path}.port"), message, "give each flow its own port");
        }
        if flow.protocol == Protocol::Udp {
            datagrams(context, &located.span, &flow, links);
        }
        flows.push(flow);
    }
    flows
}

fn flow(context: &mut Context<'_>, located: &Located<RawFlow>, index: usize, hosts: &[Host]) -> Option<Flow> {
    let raw = &located.value;
    let name = raw.name.as_ref().map_or_else(|| format!("flow{}", index + 1), |name| name.value.clone());
    let path = format!("flows.{name}");
    if let Some(name) = &raw.name {
        context.name(&name.span, &format!("{path}.name"), &name.value);
    }
    let protocols = [("mptcp", Protocol::Mptcp), ("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
    let protocol = context.choice(&format!("{path}.protocol"), raw.protocol.as_ref(), &protocols);
    let from = context.require(&located.span, &path, "from", raw.from.as_ref(), "\"client\"");
    let from = from.and_then(|from| context.host(&from.span, &format!("{path}.from"), &from.value, hosts));
    let to = context.require(&located.span, &path, "to", raw.to.as_ref(), "\"server\"");
    let to = to.and_then(|to| server(context, &format!("{path}.to"), to, hosts, from));
    let port = raw.port.as_ref().and_then(|port| context.count(&format!("{path}.port"), port, 1, 65_535));
    let default_port = u16::try_from(5_001 + index).unwrap_or(u16::MAX);
    let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(default_port);
    let bind = bound(context, &format!("{path}.bind"), raw.bind.as_ref(), from);
    let listen = bound(context, &format!("{path}.listen"), raw.listen.as_ref(), to.map(|(host, _)| host));
    for (key, text, own) in [("bind", &raw.bind, bind), ("listen", &raw.listen, listen)] {
        if let (Some(text), Some(own), Some((_, server))) = (text, own, to)
            && own.is_ipv4() != server.is_ipv4()
        {
            let message = format!("{own} and the server's address {server} are of different IP versions");
            let help = "name an address of the other version, or the address of the server in `to`";
            context.conflict(&text.span, &format!("{path}.{key}"), message, help);
        }
    }
    let names = context.names;
    for (key, value, known, what) in [
        ("congestion_control", &raw.congestion_control, names.congestion_controls, "congestion control"),
        ("scheduler", &raw.scheduler, names.schedulers, "scheduler"),
    ] {
        let Some(value) = value else { continue };
        context.known(&value.span, &format!("{path}.{key}"), &value.value, known, what);
        if protocol == Protocol::Udp || (key == "scheduler" && protocol == Protocol::Tcp) {
            let message = format!("a {what} has no effect on this protocol");
            context.conflict(
                &value.span,
                &format!("{path}.{key}"),
                message,
                "remove it, or use protocol = \"mptcp\"",
            );
        }
    }
    let start = context.read_or(&format!("{path}.start"), raw.start.as_ref(), Duration::ZERO);
    let application = application(context, located, &path, protocol);
    if protocol == Protocol::Udp && !matches!(application, None | Some(Application::RateLimited { .. })) {
        let help = "use rate_limited, or protocol = \"tcp\" or \"mptcp\"";
        context.conflict(&located.span, &path, "UDP has no connection to shut down or wait for", help);
    }
    if let (Protocol::Udp, Some(parameters)) = (protocol, &raw.congestion_parameters) {
        let span =
            parameters.values().next().map_or_else(|| located.span.clone(), |value| value.span.clone());
        let path = format!("{path}.congestion_parameters");
        let help = "remove it, or use protocol = \"tcp\" or \"mptcp\"";
        context.conflict(&span, &path, "UDP has no congestion control", help);
    }
    let congestion_parameters =
        context.parameters(&format!("{path}.congestion_parameters"), raw.congestion_parameters.as_ref());
    let (from, (to, destination)) = (from?, to?);
    Some(Flow {
        name,
        protocol,
        from: from.name.clone(),
        to: to.name.clone(),
        destination: SocketAddr::new(destination, port),
        bind,
        listen,
        start: Instant::ZERO + start,
        congestion_control: raw.congestion_control.as_ref().map(|name| name.value.clone()),
        congestion_parameters,
        scheduler: raw.scheduler.as_ref().map(|name| name.value.clone()),
        application: application?,
    })
}

/// The host and address of the server, from a host name or an address.
fn server<'h>(
    context: &mut Context<'_>,
    path: &str,
    to: &Located<String>,
    hosts: &'h [Host],
    from: Option<&Host>,
) -> Option<(&'h Host, IpAddr)> {
    let found = if let Ok(address) = to.value.parse::<IpAddr>() {
        let owner = hosts.iter().find(|host| host.addresses().any(|own| own == address));
        if owner.is_none() {
            let addresses: Vec<String> = hosts
                .iter()
                .flat_map(|host| host.addresses().map(move |address| format!("{address} ({})", host.name)))
                .collect();
            let message = format!("no host has the address {address}");
            context.conflict(&to.span, path, message, format!("addresses: {}", addresses.join(", ")));
        }
        (owner?, address)
    } else {
        let host = context.host(&to.span, path, &to.value, hosts)?;
        let Some(address) = host.addresses().next() else {
            let help = format!("add an interface with an address to [hosts.{}]", host.name);
            context.conflict(&to.span, path, format!("{} has no address", host.name), help);
            return None;
        };
        (host, address)
    };
    if from.is_some_and(|from| from.name == found.0.name) {
        context.conflict(&to.span, path, "client and server are the same host", "choose another host");
    }
    Some(found)
}

fn bound(
    context: &mut Context<'_>,
    path: &str,
    text: Option<&Located<Text<Address>>>,
    host: Option<&Host>,
) -> Option<IpAddr> {
    let text = text?;
    let address = context.read(path, text)?;
    if let Some(host) = host.filter(|host| !host.addresses().any(|own| own == address)) {
        let own: Vec<String> = host.addresses().map(|own| own.to_string()).collect();
        let message = format!("{address} is not an address of {}", host.name);
        context.conflict(
            &text.span,
            path,
            message,
            format!("addresses of {}: {}", host.name, own.join(", ")),
        );
    }
    Some(address)
}

/// What UDP asks of a flow: one way, and datagrams that fit.
fn datagrams(context: &mut Context<'_>, span: &Range<usize>, flow: &Flow, links: &[Link]) {
    let Application::RateLimited { write, direction, .. } = flow.application else { return };
    let path = format!("flows.{}.rate_limited", flow.name);
    if direction == Direction::Download {
        let help = "exchange `from` and `to`";
        context.conflict(span, &format!("{path}.direction"), "UDP flows send from the client only", help);
    }
    let attached = |link: &&Link| link.a.host == flow.from || link.b.host == flow.from;
    let mtu = links.iter().filter(attached).map(|link| link.mtu).min().unwrap_or(1_500);
    let headers = if flow.destination.is_ipv4() { 20 } else { 40 } + UDP_HEADER;
    let most = u64::from(u32::from(mtu).saturating_sub(headers));
    if write.0 > most {
        let message = format!("datagrams of {write} do not fit the MTU of {}, which is {mtu} B", flow.from);
        context.conflict(span, &format!("{path}.write"), message, format!("write at most \"{most} B\""));
    }
}

fn application(
    context: &mut Context<'_>,
    located: &Located<RawFlow>,
    path: &str,
    protocol: Protocol,
) -> Option<Application> {
    let raw = &located.value;
    let steps = raw.client.is_some() || raw.server.is_some();
    let given = [
        raw.bulk.is_some(),
        raw.request_response.is_some(),
        raw.echo.is_some(),
        raw.rate_limited.is_some(),
        steps,
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        let what = if given.contains(&true) { "more than one application" } else { "no application" };
        let help = "give exactly one of bulk, request_response, echo, rate_limited, or client and server";
        context.conflict(&located.span, path, what, help);
        return None;
    }
    if let Some(bulk) = &raw.bulk {
        let path = format!("{path}.bulk");
        let amount = amount(context, &path, &bulk.span, bulk.value.bytes.as_ref(), bulk.value.time.as_ref())?;
        let direction =
            context.choice(&format!("{path}.direction"), bulk.value.direction.as_ref(), &DIRECTIONS);
        return Some(Application::Bulk { amount, direction });
    }
    if let Some(rr) = &raw.request_response {
        let path = format!("{path}.request_response");
        let request = context.require(&rr.span, &path, "request", rr.value.request.as_ref(), "\"200 B\"");
        let response = context.require(&rr.span, &path, "response", rr.value.response.as_ref(), "\"100 kB\"");
        let request = request.and_then(|text| positive(context, &format!("{path}.request"), text));
        let response = response.and_then(|text| positive(context, &format!("{path}.response"), text));
        let count = rounds(context, &path, rr.value.count.as_ref());
        let pause = context.read_or(&format!("{path}.pause"), rr.value.pause.as_ref(), Duration::ZERO);
        return Some(Application::RequestResponse { request: request?, response: response?, count, pause });
    }
    if let Some(echo) = &raw.echo {
        let path = format!("{path}.echo");
        let size = context.require(&echo.span, &path, "size", echo.value.size.as_ref(), "\"5 B\"");
        let size = size.and_then(|text| positive(context, &format!("{path}.size"), text));
        let count = rounds(context, &path, echo.value.count.as_ref());
        let interval =
            context.read_or(&format!("{path}.interval"), echo.value.interval.as_ref(), Duration::ZERO);
        return Some(Application::Echo { size: size?, count, interval });
    }
    if let Some(limited) = &raw.rate_limited {
        return rate_limited(context, &format!("{path}.rate_limited"), limited, protocol);
    }
    let Some((client, server)) = raw.client.as_ref().zip(raw.server.as_ref()) else {
        let help = "give both client = [...] and server = [...]";
        context.conflict(&located.span, path, "steps of one end only", help);
        return None;
    };
    let client = script(context, &format!("{path}.client"), client);
    let server = script(context, &format!("{path}.server"), server);
    Some(Application::Steps { client, server })
}

fn rate_limited(
    context: &mut Context<'_>,
    path: &str,
    limited: &Located<RawRateLimited>,
    protocol: Protocol,
) -> Option<Application> {
    let RawRateLimited { rate, bytes, time, write, on, off, direction } = &limited.value;
    let udp = protocol == Protocol::Udp;
    let rate = context.require(&limited.span, path, "rate", rate.as_ref(), "\"4 Mbit/s\"");
    let rate: Option<Rate> = rate.and_then(|rate| context.read(&format!("{path}.rate"), rate));
    let amount = amount(context, path, &limited.span, bytes.as_ref(), time.as_ref());
    let write = write.as_ref().and_then(|text| positive(context, &format!("{path}.write"), text));
    let direction = context.choice(&format!("{path}.direction"), direction.as_ref(), &DIRECTIONS);
    let bursts = bursts(context, path, &limited.span, on.as_ref(), off.as_ref());
    if bursts.is_some() && !udp {
        let help = "remove on and off, or use protocol = \"udp\"";
        context.conflict(&limited.span, path, "only UDP flows send in bursts", help);
    }
    let rate = rate?;
    let bytes = match amount? {
        Amount::Bytes(bytes) => bytes,
        Amount::For(span) => rate.bytes_in(bursts.map_or(span, |bursts| bursts.sending(span))),
    };
    if bytes == Bytes(0) {
        context.conflict(
            &limited.span,
            path,
            "less than one byte to send",
            "give a longer time or a higher rate",
        );
        return None;
    }
    let write = write.unwrap_or(if udp { DATAGRAM } else { RATE_WRITE });
    Some(Application::RateLimited { bytes, rate, write, direction, bursts })
}

fn bursts(
    context: &mut Context<'_>,
    path: &str,
    span: &Range<usize>,
    on: Option<&Located<Text<Time>>>,
    off: Option<&Located<Text<Time>>>,
) -> Option<Bursts> {
    let Some(text) = on else {
        if off.is_some() {
            let help = "add on = \"500 ms\", the time of sending, or remove off";
            context.conflict(span, &format!("{path}.off"), "silences without times of sending", help);
        }
        return None;
    };
    let on = context.read(&format!("{path}.on"), text)?;
    if on.is_zero() {
        context.bad(
            &text.span,
            &format!("{path}.on"),
            "a burst of no time",
            "write a time such as \"500 ms\"",
        );
        return None;
    }
    Some(Bursts { on, off: context.read_or(&format!("{path}.off"), off, on) })
}

fn amount(
    context: &mut Context<'_>,
    path: &str,
    span: &Range<usize>,
    bytes: Option<&Located<Text<Size>>>,
    time: Option<&Located<Text<Time>>>,
) -> Option<Amount> {
    match (bytes, time) {
        (Some(bytes), None) => positive(context, &format!("{path}.bytes"), bytes).map(Amount::Bytes),
        (None, Some(text)) => {
            let path = format!("{path}.time");
            let time = context.read(&path, text)?;
            if time.is_zero() {
                context.bad(
                    &text.span,
                    &path,
                    "no time to send",
                    "write a time above zero, such as \"10 s\"",
                );
                return None;
            }
            Some(Amount::For(time))
        }
        _ => {
            let help = "give one of bytes = \"15 MB\" and time = \"10 s\"";
            context.conflict(span, path, "how much to send is not clear", help);
            None
        }
    }
}

fn positive(context: &mut Context<'_>, path: &str, text: &Located<Text<Size>>) -> Option<Bytes> {
    let size = context.read(path, text)?;
    if size == Bytes(0) {
        context.bad(&text.span, path, "nothing to send", "write a size of at least \"1 B\"");
        return None;
    }
    Some(size)
}

fn rounds(context: &mut Context<'_>, path: &str, count: Option<&Located<Text<Count>>>) -> u32 {
    count.and_then(|text| context.count(&format!("{path}.count"), text, 1, MAX_ROUNDS)).unwrap_or(1)
}

fn script(context: &mut Context<'_>, path: &str, texts: &[Located<Text<StepWords>>]) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut closed, mut shut) = (false, false);
    for (index, text) in texts.iter().enumerate() {
        let path = format!("{path}.{index}");
        let Some(step) = context.read(&path, text) else { continue };
        let sends =
            matches!(step, Step::Send(_) | Step::SendRate { .. } | Step::SendUntil(_) | Step::SendFor(_));
        if closed {
            context.conflict(&text.span, &path, "a step after close", "make \"close\" the last step");
        } else if shut && sends {
            context.conflict(&text.span, &path, "sending after shutwr", "send before \"shutwr\"");
        }
        closed |= step == Step::Close;
        shut |= step == Step::Shutwr;
        steps.push(step);
    }
    steps
}

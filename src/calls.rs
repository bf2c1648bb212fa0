//! `mptcp-sim dump --script`: the system calls that the packets of a capture imply, seen from one end, so that the
//! script can be run. They are those of the first connection opened: it is opened, or listened for and accepted; what
//! went out for the first time was written right before, what came in in order is read at once; the first DATA_FIN or
//! FIN that went out was asked for by `shutdown` if data came in later, and else by `close`.
//!
//! Left out are applications that read late or not at all, other connections, and endpoints of further subflows. What
//! a run cannot know is not demanded: windows that went out, keys of this end, and addresses where there is one pair.

use std::fmt::Write as _;

use mptcp_model::wire::{Body, Packet};
use scenarios::script::OptionSpec;
use scenarios::script::PacketSpec;
use scenarios::script::Position;
use scenarios::script::ast::{Action, BodySpec, Direction, Event, OptionsSpec, TcpSpec, Time};
use sim_core::Duration;

/// A line of a script made from a capture.
pub(crate) enum Line {
    /// A packet without words, or damage.
    Comment(String),
    /// A packet.
    Packet(Box<Recorded>),
}

/// A packet with its words.
pub(crate) struct Recorded {
    at: Duration,
    ends: Ends,
    spec: PacketSpec,
}

/// Addresses and ports of a segment, this end first; the ports are 0 without TCP.
type Ends = (std::net::SocketAddr, std::net::SocketAddr);

impl Recorded {
    /// A packet seen at `at`, with its words.
    pub(crate) fn new(at: Duration, packet: &Packet, spec: PacketSpec) -> Self {
        let (from, to) = match &packet.body {
            Body::Tcp(segment) => (segment.src_port, segment.dst_port),
            _ => (0, 0),
        };
        let (from, to) = ((packet.ip.src, from).into(), (packet.ip.dst, to).into());
        let ends = if spec.direction == Direction::Outbound { (from, to) } else { (to, from) };
        Self { at, ends, spec }
    }

    fn tcp(&self) -> Option<&TcpSpec> {
        match &self.spec.body {
            BodySpec::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    fn is_outbound(&self) -> bool {
        self.spec.direction == Direction::Outbound
    }
}

/// What a segment says of the stream.
#[derive(Clone, Copy, Debug, Default)]
struct Content {
    /// Position of its first octet, from 0.
    start: u64,
    /// Octets of data.
    len: u64,
    /// End of what was written when it left.
    written: u64,
    /// It ends the stream.
    fin: bool,
}

fn options(tcp: &TcpSpec) -> &[OptionSpec] {
    match &tcp.options {
        OptionsSpec::List(options) => options,
        OptionsSpec::Any => &[],
    }
}

fn content(tcp: &TcpSpec, multipath: bool) -> Content {
    let (first, len) = (u64::from(tcp.range.first), u64::from(tcp.range.len));
    let plain = first.saturating_sub(1);
    let mut content = Content { start: plain, len, written: plain + len, fin: tcp.flags.fin() && !multipath };
    for option in options(tcp) {
        match option {
            OptionSpec::Capable(capable) => {
                if let Some(data_len) = capable.data_len {
                    content.written = u64::from(data_len);
                }
            }
            OptionSpec::Dss(dss) => {
                let Some(dsn) = dss.dsn else { continue };
                let position = dsn.value.unwrap_or(1).saturating_sub(1);
                content.fin = dss.fin;
                let ssn = dss.ssn.unwrap_or(tcp.range.first);
                content.start = position + first.saturating_sub(u64::from(ssn));
                let mapped = u64::from(dss.data_len.unwrap_or(0)).saturating_sub(u64::from(dss.fin));
                content.written = position + if len > 0 { mapped.max(len) } else { 0 };
            }
            _ => {}
        }
    }
    content
}

/// The script of `lines`, with the calls of the first connection if its SYN is there.
pub(crate) fn script(mut lines: Vec<Line>) -> String {
    let opening = lines.iter().find_map(|line| match line {
        Line::Packet(packet) => {
            let tcp = packet.tcp()?;
            (tcp.flags.syn() && !tcp.flags.ack()).then(|| {
                let multipath = options(tcp).iter().any(|option| matches!(option, OptionSpec::Capable(_)));
                (packet.is_outbound(), packet.ends, multipath)
            })
        }
        Line::Comment(_) => None,
    });
    let mut text = String::new();
    if let Some((active, ends, multipath)) = opening {
        forget_what_differs(&mut lines);
        Calls::new(active, ends, multipath).write(&lines, &mut text);
    } else {
        for line in &lines {
            push_line(line, &mut text);
        }
    }
    text
}

fn push_line(line: &Line, text: &mut String) {
    match line {
        Line::Comment(comment) => {
            text.push_str(comment);
            text.push('\n');
        }
        Line::Packet(packet) => {
            let event = Event {
                position: Position::default(),
                time: Time::Absolute(packet.at),
                action: Action::Packet(packet.spec.clone()),
            };
            let _ = writeln!(text, "{event}");
        }
    }
}

/// Takes away what another run of the same has otherwise.
fn forget_what_differs(lines: &mut [Line]) {
    let mut pair = None;
    let single = lines.iter().all(|line| match line {
        Line::Packet(packet) if packet.tcp().is_some() => {
            let ends = (packet.ends.0.ip(), packet.ends.1.ip());
            *pair.get_or_insert(ends) == ends
        }
        _ => true,
    });
    for line in lines {
        let Line::Packet(packet) = line else { continue };
        let outbound = packet.is_outbound();
        match &mut packet.spec.endpoints {
            _ if single => packet.spec.endpoints = None,
            Some(endpoints) => {
                for end in [&mut endpoints.source, &mut endpoints.destination].into_iter().flatten() {
                    end.value = None;
                }
            }
            None => {}
        }
        let BodySpec::Tcp(tcp) = &mut packet.spec.body else { continue };
        if !outbound {
            continue;
        }
        tcp.window = None;
        if let OptionsSpec::List(options) = &mut tcp.options {
            for option in options {
                if let OptionSpec::Capable(capable) = option {
                    for key in &mut capable.keys {
                        key.value = None;
                    }
                }
            }
        }
    }
}

/// The state of the application that called.
struct Calls {
    active: bool,
    ends: Ends,
    multipath: bool,
    /// Descriptor of the connection.
    descriptor: u32,
    accepted: bool,
    written: u64,
    read: u64,
    /// No more will be written.
    ended: bool,
    closed: bool,
}

impl Calls {
    const fn new(active: bool, ends: Ends, multipath: bool) -> Self {
        let descriptor = if active { 3 } else { 4 };
        Self {
            active,
            ends,
            multipath,
            descriptor,
            accepted: active,
            written: 0,
            read: 0,
            ended: false,
            closed: false,
        }
    }

    fn write(&mut self, lines: &[Line], text: &mut String) {
        text.push_str("--tolerance_usecs=20000\n");
        let protocol = if self.multipath { "IPPROTO_MPTCP" } else { "IPPROTO_TCP" };
        let kind = if self.active { "SOCK_STREAM|SOCK_NONBLOCK" } else { "SOCK_STREAM" };
        let _ = writeln!(text, "0 socket(..., {kind}, {protocol}) = 3");
        if self.active {
            text.push_str("+0 connect(3, ..., ...) = -1 EINPROGRESS\n");
        } else {
            text.push_str("+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n");
        }
        for (index, line) in lines.iter().enumerate() {
            let Line::Packet(packet) = line else {
                push_line(line, text);
                continue;
            };
            let Some(tcp) = packet.tcp().filter(|_| self.is_mine(packet)) else {
                push_line(line, text);
                continue;
            };
            if packet.is_outbound() {
                self.before_outbound(packet, tcp, &lines[index + 1..], text);
                push_line(line, text);
            } else {
                push_line(line, text);
                self.after_inbound(tcp, text);
            }
        }
        if !self.closed && self.accepted && self.ended {
            let _ = writeln!(text, "+0 close({}) = 0", self.descriptor);
        }
    }

    /// Whether a packet belongs to the connection; the only one of MPTCP has several pairs of ends.
    fn is_mine(&self, packet: &Recorded) -> bool {
        self.multipath || packet.ends == self.ends
    }

    fn before_outbound(&mut self, packet: &Recorded, tcp: &TcpSpec, later: &[Line], text: &mut String) {
        if tcp.flags.syn() || tcp.flags.rst() || !self.accepted {
            return;
        }
        let content = content(tcp, self.multipath);
        let at = Time::Absolute(packet.at);
        let mut end = if content.len > 0 { content.written } else { 0 };
        if content.len > 0 && !self.multipath {
            // What left at once was written at once.
            for line in later {
                let Line::Packet(next) = line else { continue };
                let Some(tcp) = next.tcp().filter(|tcp| next.is_outbound() && tcp.range.len > 0) else {
                    break;
                };
                end = end.max(self::content(tcp, false).written);
            }
        }
        if end > self.written {
            let len = end - self.written;
            let _ = writeln!(text, "{at} write({}, ..., {len}) = {len}", self.descriptor);
            self.written = end;
        }
        if content.fin && !self.ended {
            self.ended = true;
            let more = later.iter().any(|line| match line {
                Line::Packet(next) => {
                    !next.is_outbound()
                        && self.is_mine(next)
                        && next.tcp().is_some_and(|tcp| tcp.range.len > 0)
                }
                Line::Comment(_) => false,
            });
            if more {
                let _ = writeln!(text, "{at} shutdown({}, SHUT_WR) = 0", self.descriptor);
            } else {
                self.closed = true;
                let _ = writeln!(text, "{at} close({}) = 0", self.descriptor);
            }
        }
    }

    fn after_inbound(&mut self, tcp: &TcpSpec, text: &mut String) {
        if tcp.flags.syn() || tcp.flags.rst() {
            return;
        }
        if !self.accepted {
            self.accepted = true;
            let _ = writeln!(text, "+0 accept(3, ..., ...) = {}", self.descriptor);
        }
        let content = content(tcp, self.multipath);
        let end = content.start + content.len;
        if content.start <= self.read && end > self.read && !self.closed {
            let len = end - self.read;
            let _ = writeln!(text, "+0 read({}, ..., {len}) = {len}", self.descriptor);
            self.read = end;
        }
    }
}

//! Random conversations with the kernel, written down as scripts. A peer loses, acknowledges late or never, and
//! sends out of order; an application reads and writes when it likes. What went in and what came out is a script
//! that holds on this kernel, so what it says of the simulated stack is news.
//!
//! Left out: active opens, more than one subflow, ECN marks, urgent data.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{self, Duration as Span};

use mptcp_model::wire::{Body, MpOption, Packet, TcpSegment};
use scenarios::script::ast::{Action, BodySpec, OptionsSpec};
use scenarios::script::command::Command;
use scenarios::script::{
    Definitions, Direction, Environment, OptionSpec, PacketSpec, Script, Setup, describe,
};
use sim_core::random::{Stream, Streams};
use sim_core::{Duration, Instant};

use crate::calls::Caller;
use crate::network::Network;
use crate::peer::{Arrival, Peer};
use crate::sys;

const START: Instant = Instant::from_nanos(1_000_000_000);
const IPPROTO_TCP: c_int = 6;
const TCP_CONGESTION: c_int = 13;
/// The accepted socket.
const SOCKET: i64 = 4;

/// What may be chosen about conversations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice {
    /// Of MPTCP.
    pub(crate) multipath: bool,
    /// The windows that the kernel offers stand in the script.
    pub(crate) windows: bool,
}

/// What happens at its time.
#[derive(Clone, Debug)]
enum Step {
    /// A packet as it was made when it left the peer.
    Packet(String),
    Write(u64),
    Read(u64),
    /// New data of the peer, this much; perhaps behind a hole.
    Data(u32),
    /// The peer sends again what is not acknowledged.
    Repeat,
    /// The peer acknowledges what it has not acknowledged yet.
    DelayedAck,
    PeerFin,
    Shutdown,
    Close,
}

struct Conversation {
    random: Stream,
    network: Network,
    environment: Environment,
    epoch: time::Instant,
    lines: Vec<(Instant, String)>,
    inbox: VecDeque<(Instant, Packet)>,
    planned: BTreeMap<(Instant, u64), Step>,
    planned_so_far: u64,
    peer: Peer,
    fds: BTreeMap<i64, c_int>,
    remote: IpAddr,
    choice: Choice,
    rtt: Duration,
    loss: f64,
    /// Octets that arrived for an acknowledgment that waits.
    unacknowledged: u32,
    closed: bool,
    /// A repetition is planned.
    repeats: bool,
}

/// Talks with the kernel and returns the script of it; the calling thread has another network afterwards.
pub(crate) fn record(seed: u64, choice: Choice) -> Result<String, String> {
    let mut random = Streams::new(seed).stream("conversation");
    let setup = Setup::default();
    let mut network = Network::new(setup)?;
    let control = if random.bernoulli(0.5) { "reno" } else { "cubic" };
    network.execute(&Command::Defaults)?;
    network.congestion = Some(control.to_owned());
    let rtt = random.span_between(Duration::from_millis(8), Duration::from_millis(120));
    let loss = [0.0, 0.0, 0.03, 0.1, 0.25][random.below(5) as usize];
    let peer = Peer::new(&mut random, choice.multipath);
    let mut conversation = Conversation {
        random,
        network,
        environment: Environment::new(setup, Streams::new(1)),
        epoch: time::Instant::now(),
        lines: Vec::new(),
        inbox: VecDeque::new(),
        planned: BTreeMap::new(),
        planned_so_far: 0,
        peer,
        fds: BTreeMap::new(),
        remote: setup.remote,
        choice,
        rtt,
        loss,
        unacknowledged: 0,
        closed: false,
        repeats: false,
    };
    conversation.take_packets();
    conversation.inbox.clear();
    conversation.epoch = time::Instant::now();
    let result = conversation.hold();
    for fd in conversation.fds.values() {
        sys::close(*fd);
    }
    result?;
    let mut lines = conversation.lines;
    lines.sort_by_key(|(at, _)| *at);
    let mut script = format!(
        "// A random conversation, number {seed}, as this kernel held it.\n--tolerance_usecs=40000\n\
         --strict_segments\n`defaults.sh\nsysctl -q net.ipv4.tcp_congestion_control={control}`\n\n"
    );
    for (at, line) in lines {
        let micros = at.saturating_since(START).as_nanos() / 1_000;
        let _ = writeln!(script, "{}.{:06} {line}", micros / 1_000_000, micros % 1_000_000);
    }
    Ok(script)
}

impl Conversation {
    fn at(&self, real: time::Instant) -> Instant {
        let passed = real.saturating_duration_since(self.epoch).as_nanos();
        START + Duration::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    fn now(&self) -> Instant {
        self.at(time::Instant::now())
    }

    fn plan(&mut self, after: Duration, step: Step) {
        self.planned_so_far += 1;
        self.planned.insert((self.now() + after, self.planned_so_far), step);
    }

    fn span(&mut self, low: u64, high: u64) -> Duration {
        self.random.span_between(Duration::from_millis(low), Duration::from_millis(high))
    }

    /// The peer will look whether all was acknowledged, if it does not already.
    fn plan_repetition(&mut self, millis: u64) {
        if !std::mem::replace(&mut self.repeats, true) {
            self.plan(Duration::from_millis(millis), Step::Repeat);
        }
    }

    /// From the first SYN to the end of interest.
    fn hold(&mut self) -> Result<(), String> {
        let protocol = if self.choice.multipath { "IPPROTO_MPTCP" } else { "IPPROTO_TCP" };
        self.call(&format!("socket(..., SOCK_STREAM, {protocol})"), Some(3))?;
        self.call("bind(3, ..., ...)", None)?;
        self.call("listen(3, 1)", None)?;
        let syn = self.peer.syn();
        self.inject(&syn)?;
        let deadline = self.now() + Duration::from_millis(500);
        while self.inbox.is_empty() && self.now() < deadline {
            self.wait(Span::from_millis(5));
        }
        let Some((at, answer)) = self.inbox.pop_front() else { return Err("no SYN/ACK".to_owned()) };
        self.learn(at, &answer)?;
        std::thread::sleep(Span::from_nanos(self.rtt.as_nanos()));
        let third = self.peer.third_ack();
        self.inject(&third)?;
        self.call("accept(3, ..., ...)", Some(SOCKET))?;
        self.call("fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK)", None)?;
        self.plan_calls();
        let end = self.now() + self.span(1500, 4000);
        while self.now() < end {
            self.take_packets();
            while let Some((at, packet)) = self.inbox.pop_front() {
                self.seen(at, &packet)?;
            }
            let next = self.planned.first_key_value().map(|(&(at, _), _)| at);
            match next {
                Some(at) if at <= self.now() => {
                    if let Some((_, step)) = self.planned.pop_first() {
                        self.carry_out(step)?;
                    }
                }
                _ => {
                    let left = next.unwrap_or(end).min(end).saturating_since(self.now());
                    self.wait(Span::from_nanos(left.as_nanos().min(1_000_000)));
                }
            }
        }
        Ok(())
    }

    /// What both ends will do besides answering.
    fn plan_calls(&mut self) {
        let (writes, data) = (self.random.below(6), self.random.below(8));
        for _ in 0..writes {
            let after = self.span(0, 900);
            let len = match self.random.below(4) {
                0 => 1 + self.random.below(200),
                1 => 1 + self.random.below(3_000),
                2 => 1000 * (1 + self.random.below(10)),
                _ => 1 + self.random.below(60_000),
            };
            self.plan(after, Step::Write(len));
        }
        for _ in 0..data {
            let after = self.span(0, 900);
            let len = self.random.below(4);
            let len = if len == 0 { 1 + self.random.below(500) } else { u64::from(self.peer.segment()) };
            let burst = 1 + self.random.below(4);
            for _ in 0..burst {
                self.plan(after, Step::Data(len as u32));
            }
        }
        for _ in 0..self.random.below(6) {
            let (after, len) = (self.span(0, 1200), 1 + self.random.below(8_000));
            self.plan(after, Step::Read(len));
        }
        let after = self.span(300, 1500);
        match self.random.below(6) {
            0 => self.plan(after, Step::Close),
            1 => self.plan(after, Step::Shutdown),
            2 => self.plan(after, Step::PeerFin),
            3 => {
                self.plan(after, Step::PeerFin);
                let later = self.span(1000, 2000);
                self.plan(later, Step::Close);
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Packet(text) => self.inject(&text),
            Step::Write(_) | Step::Read(_) | Step::Shutdown | Step::Close if self.closed => Ok(()),
            Step::Write(len) => self.call(&format!("write(4, ..., {len})"), None),
            Step::Read(len) => self.call(&format!("read(4, ..., {len})"), None),
            Step::Shutdown => self.call("shutdown(4, SHUT_WR)", None),
            Step::Close => {
                self.closed = true;
                self.call("close(4)", None)
            }
            Step::Data(len) => {
                let lost = self.random.bernoulli(self.loss);
                let Some(text) = self.peer.data(len) else { return Ok(()) };
                self.plan_repetition(300);
                if lost { Ok(()) } else { self.inject(&text) }
            }
            Step::Repeat => {
                self.repeats = false;
                for text in self.peer.repeat() {
                    self.inject(&text)?;
                }
                if self.peer.has_unacknowledged() {
                    self.plan_repetition(400);
                }
                Ok(())
            }
            Step::DelayedAck => {
                if std::mem::take(&mut self.unacknowledged) == 0 {
                    return Ok(());
                }
                let text = self.peer.ack();
                self.inject(&text)
            }
            Step::PeerFin => {
                for text in self.peer.fin() {
                    self.inject(&text)?;
                }
                self.plan_repetition(300);
                Ok(())
            }
        }
    }

    /// The kernel sent a packet: it goes into the script, and the peer may answer.
    fn seen(&mut self, at: Instant, packet: &Packet) -> Result<(), String> {
        self.learn(at, packet)?;
        let Body::Tcp(segment) = &packet.body else { return Ok(()) };
        if self.random.bernoulli(self.loss) && segment.flags.0 & 4 == 0 {
            return Ok(());
        }
        let spec = describe(packet, Direction::Outbound, &self.environment);
        let Some(PacketSpec { body: BodySpec::Tcp(tcp), .. }) = spec else { return Ok(()) };
        let data_fin = segment.options.mptcp().any(|option| match option {
            MpOption::Dss(dss) => dss.data_fin,
            _ => false,
        });
        let arrival = self.peer.receive(&tcp, data_fin);
        let jitter = if self.random.bernoulli(0.05) { self.span(0, 30) } else { Duration::ZERO };
        match arrival {
            Arrival::Nothing => {}
            Arrival::InOrder if self.random.bernoulli(0.4) && self.unacknowledged == 0 => {
                self.unacknowledged += 1;
                self.plan(self.rtt + Duration::from_millis(25), Step::DelayedAck);
            }
            Arrival::InOrder | Arrival::Other => {
                self.unacknowledged = 0;
                let text = self.peer.ack();
                if !self.random.bernoulli(self.loss / 2.0) {
                    self.plan(self.rtt + jitter, Step::Packet(text));
                }
            }
        }
        Ok(())
    }

    /// Notes a packet, with a name of its own for its clock, and learns from it.
    fn learn(&mut self, at: Instant, packet: &Packet) -> Result<(), String> {
        let Some(mut spec) = describe(packet, Direction::Outbound, &self.environment) else {
            return Err("a packet that the language has no words for".to_owned());
        };
        if let (BodySpec::Tcp(tcp), Body::Tcp(segment)) = (&mut spec.body, &packet.body) {
            if segment.flags.syn() {
                tcp.range.first = 0;
                tcp.ack = Some(1);
                self.peer.take_syn_ack(segment);
            }
            if !self.choice.windows {
                tcp.window = None;
            }
            self.name_values(&mut tcp.options, segment);
        }
        if let Err(wrong) = spec.check(packet, &mut self.environment) {
            return Err(format!("what was seen does not fit itself: {wrong}"));
        }
        self.lines.push((at, spec.to_string()));
        Ok(())
    }

    /// Clock values and keys have names in scripts.
    fn name_values(&mut self, options: &mut OptionsSpec, segment: &TcpSegment) {
        let OptionsSpec::List(options) = options else { return };
        for option in options {
            match option {
                OptionSpec::Timestamps { val, .. } => *val = self.peer.name_clock_value(),
                OptionSpec::Capable(capable) if segment.flags.syn() => {
                    for key in &mut capable.keys {
                        "skey".clone_into(&mut key.name);
                        key.value = None;
                    }
                }
                _ => {}
            }
        }
    }

    fn take_packets(&mut self) {
        while let Ok((seen, octets)) = self.network.packets().try_recv() {
            self.take(seen, &octets);
        }
    }

    fn wait(&mut self, span: Span) {
        if let Ok((seen, octets)) = self.network.packets().recv_timeout(span) {
            self.take(seen, &octets);
        }
    }

    fn take(&mut self, seen: time::Instant, octets: &[u8]) {
        let at = self.at(seen);
        if let Ok(packet) = Packet::parse(octets)
            && packet.ip.is_ipv4()
            && matches!(packet.body, Body::Tcp(_))
        {
            self.inbox.push_back((at, packet));
        }
    }

    fn inject(&mut self, text: &str) -> Result<(), String> {
        let text = text.replace("MILLIS", &(100 + self.now().as_nanos() / 1_000_000 % 1_000_000).to_string());
        let spec = PacketSpec::parse(&text).map_err(|wrong| format!("{text}: {wrong}"))?;
        let packet = spec.build(&mut self.environment).map_err(|wrong| format!("{text}: {wrong}"))?;
        let mut octets = Vec::new();
        packet.emit(&mut octets);
        let at = self.now();
        self.network.inject(&octets)?;
        self.lines.push((at, text));
        Ok(())
    }

    /// A call, whose result the script gets; a socket or what was accepted gets the number `fd`.
    fn call(&mut self, text: &str, fd: Option<i64>) -> Result<(), String> {
        let script = Script::parse("call", &format!("+0 {text} = 0"), &Definitions::default());
        let script = script.map_err(|wrong| wrong.to_string())?;
        let Some(Action::Call(call)) = script.events.first().map(|event| &event.action) else {
            return Err(format!("`{text}` is no call"));
        };
        let caller = Caller { fds: &self.fds, ipv6: false, remote: self.remote, port: 8080 };
        let job = caller.prepare(call)?;
        let at = self.now();
        let returned = job();
        let mut result = returned.result.to_string();
        if let Some(number) = fd.filter(|_| returned.result >= 0) {
            self.fds.insert(number, returned.result as c_int);
            if call.name == "socket"
                && let Some(name) = &self.network.congestion
            {
                sys::set_option(returned.result as c_int, IPPROTO_TCP, TCP_CONGESTION, name.as_bytes());
            }
            result = number.to_string();
        } else if returned.result < 0 {
            let name = ERRORS.iter().find(|(number, _)| *number == returned.errno).map(|(_, name)| *name);
            result = format!("-1 {}", name.ok_or_else(|| format!("`{text}`: error {}", returned.errno))?);
        }
        if call.name == "close" {
            self.fds.remove(&SOCKET);
        }
        self.lines.push((at, format!("{text} = {result}")));
        Ok(())
    }
}

/// Errors that calls of a conversation return.
const ERRORS: [(c_int, &str); 5] = [
    (libc::EAGAIN, "EAGAIN"),
    (libc::EPIPE, "EPIPE"),
    (libc::ECONNRESET, "ECONNRESET"),
    (libc::ENOTCONN, "ENOTCONN"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
];

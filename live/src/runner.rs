//! Carrying out a script in real time. What happens when, how packets are built and compared, and the variables
//! of a script are those of `scenarios::script`; only the stack is another.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{self, Duration as Span};

use mptcp_model::wire::{Body, Packet, Payload};
use scenarios::script::ast::{Action, BodySpec, Call, Code, Event, Expression, PacketSpec, Time};
use scenarios::script::run::Variant;
use scenarios::script::run::words::number;
use scenarios::script::{Direction, Due, Environment, Script, Timeline, describe};
use sim_core::random::Streams;
use sim_core::{Duration, Instant};

use crate::calls::{self, Caller, Expected, Job};
use crate::network::Network;
use crate::sys::{self, Returned};
use crate::{tcp_info, values};

/// When scripts begin, as in the simulator.
pub(crate) const START: Instant = Instant::from_nanos(1_000_000_000);
/// How long a `*` line waits, and any call that should not.
const LONG: Duration = Duration::from_secs(60);
/// Real time is late by up to this.
const GRACE: Duration = Duration::from_millis(300);
/// Segments of one burst leave within this.
const BURST: Duration = Duration::from_millis(2);
pub(crate) const IPPROTO_TCP: c_int = 6;
pub(crate) const TCP_INFO: c_int = 11;
pub(crate) const TCP_CONGESTION: c_int = 13;
/// ICMPv6 types from here on are errors no more, but what neighbours say to each other.
const FIRST_NEIGHBOUR_MESSAGE: u8 = 130;

/// The time of a script that began at an instant of real time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(time::Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(time::Instant::now())
    }

    pub(crate) fn at(self, real: time::Instant) -> Instant {
        let passed = real.saturating_duration_since(self.0).as_nanos();
        START + Duration::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    pub(crate) fn now(self) -> Instant {
        self.at(time::Instant::now())
    }
}

/// A call that waits.
struct Waiting {
    call: Call,
    line: usize,
    due: Due,
}

/// A script being carried out.
pub(crate) struct Runner<'a> {
    script: &'a Script,
    variant: Variant,
    network: Network,
    environment: Environment,
    timeline: Timeline,
    clock: Clock,
    /// When the script began on the wall clock, which timestamps of the kernel are of.
    wall: time::SystemTime,
    sent: VecDeque<(Instant, Packet)>,
    fds: BTreeMap<i64, c_int>,
    jobs: Sender<Job>,
    done: Receiver<(time::Instant, Returned)>,
    waiting: Option<Waiting>,
}

/// Runs a script; the calling thread has another network afterwards. On error the line and what was wrong.
pub(crate) fn run(script: &Script, variant: Variant) -> Result<(), (usize, String)> {
    let setup = script.setup_for(variant);
    let at_start = |message| (1, message);
    let mut network = Network::new(setup).map_err(at_start)?;
    if let Some(init) = &script.init {
        let executed = init.commands.iter().try_for_each(|command| network.execute(command));
        executed.map_err(|message| (init.position.line, message))?;
    }
    let (jobs, done) = start_caller();
    let mut runner = Runner {
        script,
        variant,
        network,
        environment: Environment::new(setup, Streams::new(1)),
        timeline: Timeline::new(START, script.tolerance()),
        clock: Clock::start(),
        wall: time::SystemTime::now(),
        sent: VecDeque::new(),
        fds: BTreeMap::new(),
        jobs,
        done,
        waiting: None,
    };
    runner.take_packets();
    runner.sent.clear();
    let mut result = script
        .events
        .iter()
        .try_for_each(|event| runner.event(event).map_err(|message| (event.position.line, message)));
    if result.is_ok() {
        result = runner.finish_call();
    }
    for fd in runner.fds.values() {
        sys::close(*fd);
    }
    result
}

/// The thread that makes the calls, one after another.
fn start_caller() -> (Sender<Job>, Receiver<(time::Instant, Returned)>) {
    let (jobs, todo) = mpsc::channel::<Job>();
    let (sender, done) = mpsc::channel();
    thread::spawn(move || {
        while let Ok(job) = todo.recv() {
            let returned = job();
            if sender.send((time::Instant::now(), returned)).is_err() {
                return;
            }
        }
    });
    (jobs, done)
}

impl Runner<'_> {
    fn at(&self, real: time::Instant) -> Instant {
        self.clock.at(real)
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn event(&mut self, event: &Event) -> Result<(), String> {
        let direction = match &event.action {
            Action::Packet(packet) => Some(packet.direction),
            _ => None,
        };
        let inbound = direction == Some(Direction::Inbound);
        if matches!(event.action, Action::Call(_)) {
            self.finish_call().map_err(|(_, message)| message)?;
        }
        let due = self.timeline.due(&event.time, inbound);
        if direction != Some(Direction::Outbound) {
            self.sleep_until(due.from)?;
            let late = self.now().saturating_since(due.from);
            if !due.allows(self.now()) {
                return Err(format!("`{event}` is {} late", seconds(late)));
            }
        }
        let at = match &event.action {
            Action::Packet(packet) if inbound => {
                let packet = packet.build(&mut self.environment).map_err(|wrong| wrong.to_string())?;
                let mut octets = Vec::new();
                packet.emit(&mut octets);
                let at = self.now();
                self.network.inject(&octets)?;
                at
            }
            Action::Packet(packet) => self.expect(packet, &due)?,
            Action::Call(call) => self.call(event, call, due)?,
            Action::Shell(shell) => {
                shell.commands.iter().try_for_each(|command| self.network.execute(command))?;
                self.now()
            }
            Action::Code(code) => {
                self.code(code)?;
                self.now()
            }
        };
        self.timeline.happened(&due, at, inbound);
        Ok(())
    }

    fn sleep_until(&mut self, until: Instant) -> Result<(), String> {
        loop {
            self.resume()?;
            let left = until.saturating_since(self.now()).as_nanos();
            match left {
                0 => return Ok(()),
                // The last part in small steps: sleeping takes longer than asked for.
                1..2_000_000 => thread::sleep(Span::from_nanos(left.min(100_000))),
                _ => thread::sleep(Span::from_nanos((left - 1_000_000).min(5_000_000))),
            }
        }
    }

    /// What left, but for the talk of neighbours.
    fn take(&mut self, seen: time::Instant, octets: &[u8]) {
        let at = self.at(seen);
        let Ok(packet) = Packet::parse(octets) else { return };
        let of_neighbours = match &packet.body {
            Body::Icmp(message) => !packet.ip.is_ipv4() && message.kind >= FIRST_NEIGHBOUR_MESSAGE,
            Body::Other { .. } => true,
            _ => false,
        };
        if !of_neighbours && !matches!(packet.ip.dst, IpAddr::V6(address) if address.is_multicast()) {
            self.sent.push_back((at, packet));
        }
    }

    fn take_packets(&mut self) {
        while let Ok((seen, octets)) = self.network.packets().try_recv() {
            self.take(seen, &octets);
        }
    }

    fn wait_for_packet(&mut self, span: Span) {
        if let Ok((seen, octets)) = self.network.packets().recv_timeout(span) {
            self.take(seen, &octets);
        }
    }

    /// The next packet is the one expected, in time. Returns when it left.
    fn expect(&mut self, spec: &PacketSpec, due: &Due) -> Result<Instant, String> {
        let deadline = due.deadline().unwrap_or(self.now() + LONG) + GRACE;
        self.take_packets();
        while self.sent.is_empty() {
            self.resume()?;
            if self.now() > deadline {
                return Err(format!("expected {spec}\n    seen nothing"));
            }
            self.wait_for_packet(Span::from_millis(2));
        }
        let Some((at, packet)) = self.take_sent(spec) else { return Err("no packet".to_owned()) };
        let describe = |packet: &Packet, environment: &Environment| {
            describe(packet, Direction::Outbound, environment)
                .map_or_else(String::new, |seen| seen.to_string())
        };
        if let Err(mismatch) = spec.check(&packet, &mut self.environment) {
            let mut message = mismatch.to_string();
            self.wait_for_packet(Span::from_millis(2));
            for (_, next) in self.sent.iter().take(6) {
                message += &format!("\n    then {}", describe(next, &self.environment));
            }
            return Err(message);
        }
        if !due.allows(at) {
            let shown = |at: Instant| seconds(at.saturating_since(START));
            return Err(format!("{spec} at {}, expected at {}", shown(at), shown(due.from)));
        }
        Ok(at)
    }

    /// The first packet not yet looked at; with those that continue it, if a longer one is expected.
    fn take_sent(&mut self, spec: &PacketSpec) -> Option<(Instant, Packet)> {
        let (at, mut packet) = self.sent.pop_front()?;
        let wanted = match &spec.body {
            BodySpec::Tcp(tcp) => tcp.range.len,
            _ => 0,
        };
        while let Body::Tcp(segment) = &mut packet.body
            && !segment.payload.is_empty()
            && segment.payload.len() < wanted
        {
            if self.sent.is_empty() {
                self.wait_for_packet(Span::from_micros(500));
            }
            let Some((next_at, next)) = self.sent.front() else { break };
            let Body::Tcp(more) = &next.body else { break };
            let continues = next_at.saturating_since(at) <= BURST
                && more.src_port == segment.src_port
                && more.seq == segment.seq.wrapping_add(segment.payload.len())
                && !more.payload.is_empty();
            if !continues {
                break;
            }
            // Contents are not compared.
            segment.payload = Payload::pattern(0, 0, segment.payload.len() + more.payload.len());
            segment.flags = segment.flags.with(more.flags);
            self.sent.pop_front();
        }
        Some((at, packet))
    }

    /// Assertions, on the socket of the connection last spoken of.
    fn code(&mut self, code: &Code) -> Result<(), String> {
        let current = self.environment.current_connection();
        let ends = |fd: c_int| {
            let (own, remote) = sys::ends(fd)?;
            values::address(&own).zip(values::address(&remote))
        };
        let is_current = |fd: &&c_int| {
            let ports = ends(**fd).map(|(own, remote)| (own.port(), remote.port()));
            ports.is_some() && ports == current.map(|(own, remote)| (own.port(), remote.port()))
        };
        let fd = self.fds.values().find(is_current).or(self.fds.values().next_back());
        let fd = *fd.ok_or("code before any connection: there is no tcp_info")?;
        let info = sys::option(fd, IPPROTO_TCP, TCP_INFO).written;
        let lookup = |name: &str| tcp_info::field(&info, name);
        for assertion in &code.assertions {
            if assertion.condition.evaluate(&lookup).map_err(|wrong| wrong.to_string())? == 0 {
                let seen = assertion.condition.names().into_iter();
                let seen = seen.filter_map(|name| lookup(name).map(|value| format!("{name} = {value}")));
                let seen: Vec<_> = seen.collect();
                return Err(format!("assert {}\n    seen {}", assertion.text, seen.join(", ")));
            }
        }
        Ok(())
    }

    /// A call begins. Returns when the next event may count from.
    fn call(&mut self, event: &Event, call: &Call, due: Due) -> Result<Instant, String> {
        let blocks = matches!(event.time, Time::AbsoluteBlocking(..) | Time::RelativeBlocking(..));
        let setup = self.script.setup_for(self.variant);
        let ipv6 = self.variant != Variant::Ipv4;
        let caller = Caller { fds: &self.fds, ipv6, remote: setup.remote, port: setup.port };
        let job = caller.prepare(call).map_err(|message| format!("`{call}`: {message}"))?;
        let begun = self.now();
        self.jobs.send(job).map_err(|_| "the calling thread is gone".to_owned())?;
        self.waiting = Some(Waiting { call: call.clone(), line: event.position.line, due });
        if blocks {
            return Ok(begun);
        }
        self.finish_call().map_err(|(_, message)| message)?;
        Ok(self.now())
    }

    /// Looks whether the waiting call has come to its end.
    fn resume(&mut self) -> Result<(), String> {
        if self.waiting.is_some()
            && let Ok((at, returned)) = self.done.try_recv()
        {
            self.returned(at, &returned).map_err(|(_, message)| message)?;
        }
        Ok(())
    }

    /// The ends of a pipe get the numbers of the script.
    fn keep_pipe(&mut self, call: &Call, ends: &[u8]) -> Result<(), String> {
        let Expression::Array(numbers) = &call.arguments[0] else {
            return Err("write the numbers of both ends: [5, 6]".to_owned());
        };
        for (index, script_fd) in numbers.iter().enumerate() {
            let script_fd = number(script_fd).map_err(|wrong| wrong.to_string())?;
            let fd = values::word(ends, index).ok_or("a pipe has two ends")?;
            self.fds.insert(script_fd, fd);
        }
        Ok(())
    }

    /// A waiting call comes to its end before anything else is called.
    fn finish_call(&mut self) -> Result<(), (usize, String)> {
        let Some(waiting) = &self.waiting else { return Ok(()) };
        let line = waiting.line;
        let left = waiting.due.deadline().unwrap_or(self.now() + LONG).saturating_since(self.now()) + GRACE;
        match self.done.recv_timeout(Span::from_nanos(left.as_nanos())) {
            Ok((at, returned)) => self.returned(at, &returned),
            Err(RecvTimeoutError::Timeout) => Err((line, format!("`{}` has not returned", waiting.call))),
            Err(RecvTimeoutError::Disconnected) => Err((line, "the calling thread is gone".to_owned())),
        }
    }

    fn returned(&mut self, at: time::Instant, returned: &Returned) -> Result<(), (usize, String)> {
        let Some(Waiting { call, line, due }) = self.waiting.take() else { return Ok(()) };
        let at = self.at(at);
        let wrong = |message: String| (line, format!("`{call}`: {message}"));
        let script_fd = number(&call.result).unwrap_or(-1);
        if matches!(call.name.as_str(), "socket" | "accept" | "open" | "epoll_create") && returned.result >= 0
        {
            // The number of a descriptor is the script's to choose.
            if script_fd < 0 {
                return Err(wrong(format!("returned {}", returned.result)));
            }
            let fd = returned.result as c_int;
            if let ("socket", Some(name)) = (call.name.as_str(), &self.network.congestion) {
                sys::set_option(fd, IPPROTO_TCP, TCP_CONGESTION, name.as_bytes());
            }
            self.fds.insert(script_fd, fd);
        } else {
            let began = self.wall.duration_since(time::UNIX_EPOCH).unwrap_or_default().as_nanos();
            let around = Expected {
                ipv6: self.variant != Variant::Ipv4,
                began: i64::try_from(began).unwrap_or(i64::MAX),
                tolerance: self.script.tolerance().as_nanos(),
            };
            calls::check(&call, returned, &around).map_err(wrong)?;
        }
        if call.name == "pipe" && returned.result == 0 {
            self.keep_pipe(&call, &returned.written).map_err(wrong)?;
        }
        if call.name == "close" {
            self.fds.retain(|fd, _| Ok(*fd) != number(&call.arguments[0]));
        }
        if due.allows_return(at) {
            return Ok(());
        }
        let shown = |at: Instant| seconds(at.saturating_since(START));
        Err(wrong(format!("returned at {}, expected at {}", shown(at), shown(due.until))))
    }
}

/// A span in seconds.
fn seconds(span: Duration) -> String {
    let micros = span.as_nanos() / 1_000;
    format!("{}.{:06} s", micros / 1_000_000, micros % 1_000_000)
}

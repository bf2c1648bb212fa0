//! Carrying out a script against the simulated stack, in virtual time.
//!
//! Time jumps from event to event of the script; between them the stack's timers run. What the stack sends is
//! kept with its time until a `>` line takes it, in order. Segments of the size of the link that leave at one
//! instant count as the one large segment that a capture above segmentation offload would show.
//!
//! A blocking call waits while the script goes on; the next call waits for it. Packets that leave after the
//! last line are not looked at.

mod calls;
pub mod message;
mod messages;
mod options;
mod stack;
pub mod words;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use mptcp_model::net::InterfaceId;
use mptcp_model::socket::{Fd, Pending, Progress, Sockets, TcpInfo};
use mptcp_model::wire::{Body, Packet, Payload};
use sim_core::random::Streams;
use sim_core::{Duration, Instant};

use self::stack::Stack;
use super::ast::{Action, BodySpec, Call, Code, Direction, Event, PacketSpec, Script, Setting, Shell, Time};
use super::{Due, Environment, Position, Setup, Timeline, describe};
use crate::units::Complaint;

/// Which addresses a script is run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// IPv4 sockets and packets.
    Ipv4,
    /// IPv6 sockets with IPv4 packets.
    Mapped,
    /// IPv6 sockets and packets.
    Ipv6,
}

impl Variant {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Ipv4, Self::Mapped, Self::Ipv6];

    /// Name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Mapped => "ipv4-mapped-ipv6",
            Self::Ipv6 => "ipv6",
        }
    }

    /// Whether a script can be run so: addresses that it states must be of the family of the packets.
    #[must_use]
    pub fn suits(self, script: &Script) -> bool {
        script.settings.iter().all(|setting| match setting {
            Setting::LocalIp(address) | Setting::RemoteIp(address) => {
                address.is_ipv6() == (self == Self::Ipv6)
            }
            _ => true,
        })
    }
}

/// Where and why a script failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{}: {message}", .position.line)]
pub struct Failure {
    /// Name of the script.
    pub file: String,
    /// The event that failed.
    pub position: Position,
    /// What was expected and what happened.
    pub message: String,
}

/// A call that waits.
struct Waiting {
    pending: Pending,
    call: Call,
    position: Position,
    due: Due,
}

/// A script file descriptor.
#[derive(Clone, Copy)]
enum Opened {
    Socket(Fd),
    /// A plain file, to send from.
    File,
}

struct Runner<'a> {
    script: &'a Script,
    variant: Variant,
    setup: Setup,
    environment: Environment,
    stack: Stack,
    sockets: Sockets,
    fds: BTreeMap<i64, Opened>,
    timeline: Timeline,
    start: Instant,
    now: Instant,
    sent: VecDeque<(Instant, Packet)>,
    waiting: Option<Waiting>,
    may_join_segments: bool,
}

/// When scripts begin: not at 0, so that the stack's clocks have run for a while.
const START: Instant = Instant::from_nanos(1_000_000_000);
/// How long it takes to hand a packet to the stack.
const HANDLING: Duration = Duration::from_micros(1);
/// How long a `*` line waits.
const LONG: Duration = Duration::from_secs(600);
/// Packets shown after one that was not the one expected.
const FOLLOWERS_SHOWN: usize = 6;
/// Wake-ups between two events of a script, at most.
const MOST_WAKEUPS: u32 = 1_000_000;

impl Script {
    /// Carries out the script. The same seed gives the same keys, ports and sequence numbers.
    ///
    /// # Errors
    /// The first event that did not happen as stated, or cannot be simulated.
    pub fn run(&self, variant: Variant, check_data_len: bool, seed: u64) -> Result<(), Failure> {
        self.run_from(START, variant, check_data_len, seed)
    }

    /// As [`run`](Self::run), begun at an instant of choice: coarse timers expire on ticks of the stack's clock, so
    /// what a script says of them may depend on where between two ticks it began.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_from(
        &self,
        start: Instant,
        variant: Variant,
        check_data_len: bool,
        seed: u64,
    ) -> Result<(), Failure> {
        let mut runner = Runner::new(self, start, variant, check_data_len, seed);
        if let Some(init) = &self.init {
            runner.shell(init).map_err(|message| runner.failure(init.position, message))?;
        }
        for event in &self.events {
            runner.event(event)?;
        }
        runner.finish_call()
    }

    /// The setup with the usual addresses of the variant, where the script states none of that family.
    #[must_use]
    pub fn setup_for(&self, variant: Variant) -> Setup {
        let mut setup = self.setup();
        if variant == Variant::Ipv6 {
            for (address, usual) in [
                (&mut setup.local, IpAddr::from([0xfd3d, 0x0a0b, 0x17d6, 0, 0, 0, 0, 1])),
                (&mut setup.remote, IpAddr::from([0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1])),
            ] {
                if address.is_ipv4() {
                    *address = usual;
                }
            }
        }
        setup
    }
}

fn text(complaint: &Complaint) -> String {
    complaint.to_string()
}

impl<'a> Runner<'a> {
    fn new(script: &'a Script, start: Instant, variant: Variant, check_data_len: bool, seed: u64) -> Self {
        let setup = Setup { check_data_len, ..script.setup_for(variant) };
        let streams = Streams::new(seed);
        Self {
            script,
            variant,
            setup,
            environment: Environment::new(setup, streams),
            stack: Stack::new(setup, streams),
            sockets: Sockets::new(),
            fds: BTreeMap::new(),
            timeline: Timeline::new(start, script.tolerance()),
            start,
            now: start,
            sent: VecDeque::new(),
            waiting: None,
            may_join_segments: !script.settings.contains(&Setting::StrictSegments),
        }
    }

    fn failure(&self, position: Position, message: String) -> Failure {
        Failure { file: self.script.name.clone(), position, message }
    }

    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        let inbound =
            matches!(&event.action, Action::Packet(packet) if packet.direction == Direction::Inbound);
        if matches!(event.action, Action::Call(_)) {
            self.finish_call()?;
        }
        let due = self.timeline.due(&event.time, inbound);
        let expects =
            matches!(&event.action, Action::Packet(packet) if packet.direction == Direction::Outbound);
        if !expects {
            // A packet is handed to the stack a little after its time, never at it: what came 2 ms after another
            // came later than 2 ms.
            let handling = if inbound { HANDLING } else { Duration::ZERO };
            self.advance(due.from + handling)?;
            if self.now > due.from && !due.allows(self.now) {
                let message = format!("`{event}` is {} late", seconds(self.now.saturating_since(due.from)));
                return Err(self.failure(event.position, message));
            }
        }
        let at = match &event.action {
            Action::Packet(packet) if inbound => {
                self.inject(packet).map_err(|message| self.failure(event.position, message))?;
                self.now
            }
            Action::Packet(packet) => self.expect(event, packet, &due)?,
            Action::Call(call) => self.call(event, call, due)?,
            Action::Shell(shell) => {
                self.shell(shell).map_err(|message| self.failure(event.position, message))?;
                self.now
            }
            Action::Code(code) => {
                self.code(code).map_err(|message| self.failure(event.position, message))?;
                self.now
            }
        };
        self.drain()?;
        self.timeline.happened(&due, at, inbound);
        Ok(())
    }

    /// What the stack has to send is taken, and a waiting call tried, until nothing changes.
    fn drain(&mut self) -> Result<(), Failure> {
        for _ in 0..MOST_WAKEUPS {
            let mut moved = false;
            while let Some((interface, packet)) = self.stack.host.poll_transmit(self.now) {
                moved = true;
                if interface == InterfaceId::LOOPBACK {
                    self.stack.host.handle_packet(self.now, interface, &packet);
                } else {
                    self.sent.push_back((self.now, packet));
                }
            }
            while self.stack.host.poll_event().is_some() {}
            moved |= self.resume()?;
            if !moved {
                return Ok(());
            }
        }
        Err(self.endless())
    }

    fn endless(&self) -> Failure {
        self.failure(Position::default(), "the stack does not come to rest".to_owned())
    }

    /// When something happens by itself.
    fn next_wakeup(&self) -> Option<Instant> {
        let call = self.waiting.as_ref().and_then(|waiting| waiting.pending.deadline);
        self.stack.host.poll_timeout().into_iter().chain(call).min()
    }

    /// Time passes until `until`.
    fn advance(&mut self, until: Instant) -> Result<(), Failure> {
        self.drain()?;
        for _ in 0..MOST_WAKEUPS {
            let Some(next) = self.next_wakeup().filter(|next| *next <= until) else {
                self.now = self.now.max(until);
                return Ok(());
            };
            self.wake(next)?;
        }
        Err(self.endless())
    }

    fn wake(&mut self, at: Instant) -> Result<(), Failure> {
        self.now = self.now.max(at);
        self.stack.host.handle_timeout(self.now);
        self.drain()
    }

    fn inject(&mut self, spec: &PacketSpec) -> Result<(), String> {
        let packet = spec.build(&mut self.environment).map_err(|wrong| text(&wrong))?;
        self.stack.host.handle_packet(self.now, InterfaceId(0), &packet);
        Ok(())
    }

    /// The next packet is the one expected, in time. Returns when it left.
    fn expect(&mut self, event: &Event, spec: &PacketSpec, due: &Due) -> Result<Instant, Failure> {
        let deadline = due.deadline().unwrap_or(self.now + LONG);
        self.drain()?;
        let mut wakeups = 0;
        while self.sent.is_empty() {
            let Some(next) = self.next_wakeup().filter(|next| *next <= deadline) else {
                let waited = seconds(deadline.saturating_since(self.start));
                let message = format!("expected {spec}\n    seen nothing until {waited}");
                return Err(self.failure(event.position, message));
            };
            self.wake(next)?;
            wakeups += 1;
            if wakeups > MOST_WAKEUPS {
                return Err(self.endless());
            }
        }
        let Some((at, packet)) = self.take_sent(spec) else { return Err(self.endless()) };
        spec.check(&packet, &mut self.environment).map_err(|mismatch| {
            let left = seconds(at.saturating_since(self.start));
            let message = format!("{mismatch}\n    it left at {left}{}", self.what_followed());
            self.failure(event.position, message)
        })?;
        if !due.allows(at) {
            let shown = |at: Instant| seconds(at.saturating_since(self.start));
            let seen = describe(&packet, Direction::Outbound, &self.environment);
            let seen = seen.map_or_else(String::new, |seen| seen.to_string());
            let span = match event.time {
                Time::AbsoluteRange(..) | Time::RelativeRange(..) => {
                    format!("{} to {}", shown(due.from), shown(due.until))
                }
                _ => shown(due.from),
            };
            let message = format!("expected {spec} at {span}\n    seen {seen} at {}", shown(at));
            return Err(self.failure(event.position, message));
        }
        // A packet that left earlier than its line is past; time does not go back.
        Ok(at.max(self.now))
    }

    /// What left after a packet that was not the one expected, a line each.
    fn what_followed(&self) -> String {
        let packets = self.sent.iter().take(FOLLOWERS_SHOWN);
        let shown = packets.map(|(at, packet)| {
            let packet = describe(packet, Direction::Outbound, &self.environment);
            let packet = packet.map_or_else(String::new, |packet| packet.to_string());
            format!("\n    then {packet} at {}", seconds(at.saturating_since(self.start)))
        });
        shown.collect()
    }

    /// The first packet not yet looked at; with those that continue it, if a longer one is expected.
    fn take_sent(&mut self, spec: &PacketSpec) -> Option<(Instant, Packet)> {
        let (at, mut packet) = self.sent.pop_front()?;
        let wanted = match &spec.body {
            BodySpec::Tcp(tcp) => tcp.range.len,
            _ => 0,
        };
        if !self.may_join_segments {
            return Some((at, packet));
        }
        while let Body::Tcp(segment) = &mut packet.body
            && !segment.payload.is_empty()
            && segment.payload.len() < wanted
            && let Some((next_at, next)) = self.sent.front()
            && *next_at == at
            && (next.ip.src, next.ip.dst) == (packet.ip.src, packet.ip.dst)
            && let Body::Tcp(more) = &next.body
            && (more.src_port, more.dst_port, more.ack) == (segment.src_port, segment.dst_port, segment.ack)
            && more.seq == segment.seq.wrapping_add(segment.payload.len())
            && !more.payload.is_empty()
            && !segment.flags.fin()
        {
            // Contents are not compared.
            segment.payload = Payload::pattern(0, 0, segment.payload.len() + more.payload.len());
            segment.flags = segment.flags.with(more.flags);
            self.sent.pop_front();
        }
        Some((at, packet))
    }

    fn shell(&mut self, shell: &Shell) -> Result<(), String> {
        let now = self.now;
        shell
            .commands
            .iter()
            .try_for_each(|command| self.stack.execute(now, command).map_err(|wrong| text(&wrong)))
    }

    fn code(&mut self, code: &Code) -> Result<(), String> {
        let connection = self.environment.current_connection();
        let flow = connection.and_then(|(stack, peer)| self.stack.flow(stack, peer));
        let flow = flow.ok_or_else(|| "code before any connection: there is no tcp_info".to_owned())?;
        let info = TcpInfo::new(flow, self.now);
        let lookup = |name: &str| info.field(name);
        for assertion in &code.assertions {
            let value = assertion.condition.evaluate(&lookup).map_err(|wrong| text(&wrong))?;
            if value == 0 {
                let names = assertion.condition.names();
                let seen: Vec<_> = names
                    .iter()
                    .filter_map(|name| lookup(name).map(|value| format!("{name} = {value}")))
                    .collect();
                return Err(format!("assert {}\n    seen {}", assertion.text, seen.join(", ")));
            }
        }
        Ok(())
    }

    /// A call of the script begins. Returns when the next event may count from.
    fn call(&mut self, event: &Event, call: &Call, due: Due) -> Result<Instant, Failure> {
        let at = self.now;
        let progress =
            self.begin(call).map_err(|wrong| self.failure(event.position, format!("`{call}`: {wrong}")))?;
        let blocks = matches!(event.time, Time::AbsoluteBlocking(..) | Time::RelativeBlocking(..));
        match progress {
            None => {}
            Some(Progress::Done(result, found)) => {
                self.returned(call, event.position, &result, &found)?;
                if blocks && !due.allows_return(self.now) {
                    let message = format!("`{call}` returned at once");
                    return Err(self.failure(event.position, message));
                }
            }
            Some(Progress::Blocked(pending)) => {
                self.waiting = Some(Waiting { pending, call: call.clone(), position: event.position, due });
                self.drain()?;
                if !blocks {
                    self.finish_call()?;
                    return Ok(self.now);
                }
            }
        }
        Ok(at)
    }

    /// A waiting call is tried again. Returns whether it came to its end.
    fn resume(&mut self) -> Result<bool, Failure> {
        let Some(Waiting { pending, call, position, due }) = self.waiting.take() else { return Ok(false) };
        match self.sockets.resume(self.now, &mut self.stack.host, pending) {
            Progress::Blocked(pending) => {
                self.waiting = Some(Waiting { pending, call, position, due });
                Ok(false)
            }
            Progress::Done(result, found) => {
                self.returned(&call, position, &result, &found)?;
                if due.allows_return(self.now) {
                    return Ok(true);
                }
                let message = format!(
                    "`{call}` returned at {}, expected at {}",
                    seconds(self.now.saturating_since(self.start)),
                    seconds(due.until.saturating_since(self.start))
                );
                Err(self.failure(position, message))
            }
        }
    }

    /// A waiting call comes to its end before anything else is called.
    fn finish_call(&mut self) -> Result<(), Failure> {
        self.drain()?;
        for _ in 0..MOST_WAKEUPS {
            let Some(waiting) = &self.waiting else { return Ok(()) };
            let deadline = waiting.due.deadline().unwrap_or(self.now + LONG);
            let (call, position) = (&waiting.call, waiting.position);
            match self.next_wakeup().filter(|next| *next <= deadline) {
                Some(next) => self.wake(next)?,
                None => {
                    let message = format!(
                        "`{call}` has not returned at {}",
                        seconds(deadline.saturating_since(self.start))
                    );
                    return Err(self.failure(position, message));
                }
            }
        }
        Err(self.endless())
    }
}

/// A span in seconds.
fn seconds(span: Duration) -> String {
    let micros = span.as_nanos() / 1_000;
    format!("{}.{:06} s", micros / 1_000_000, micros % 1_000_000)
}

//! Random conversations with the kernel, written down as scripts. A peer loses, acknowledges late or never, and
//! sends out of order; an application reads and writes when it likes. What went in and what came out is a script
//! that holds on this kernel, so what it says of the simulated stack is news.
//!
//! Left out: urgent data, Fast Open of MPTCP. Fast Open, ICMP and what else the themes are about is drawn apart.

mod themed;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{self, Duration as Span};

use mptcp_model::wire::{Body, Ecn as Field, Packet, TcpOption, TcpSegment};
use scenarios::script::ast::{Action, AddressRef, BodySpec, Endpoints, OptionsSpec, TcpSpec};
use scenarios::script::command::Command;
use scenarios::script::option::{HmacSpec, TokenSpec};
use scenarios::script::run::words;
use scenarios::script::sysctl::Sysctl;
use scenarios::script::{
    Definitions, Direction, Environment, OptionSpec, PacketSpec, Script, Setup, describe,
};
use sim_core::random::{Stream, Streams};
use sim_core::{Duration, Instant};

use crate::calls::Caller;
use crate::circumstances::{Answer, Circumstances, Opening};
use crate::network::Network;
use crate::peer::{Arrival, Data, Peer};
use crate::runner::{Clock, IPPROTO_TCP, START, TCP_CONGESTION, TCP_INFO};
use crate::theme::{Fate, Habit, Theme};
use crate::{sys, tcp_info};

/// What may be chosen about conversations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice {
    /// Of MPTCP.
    pub(crate) multipath: bool,
    /// The windows that the kernel offers stand in the script.
    pub(crate) windows: bool,
    /// What the kernel tells of itself stands in the script.
    pub(crate) info: bool,
    pub(crate) theme: Theme,
}

/// What happens at its time. Numbers are those of subflows.
#[derive(Clone, Debug)]
enum Step {
    /// A packet as it was made when it left the peer.
    Packet(String),
    /// The first SYN again, while there is no connection yet.
    SynAgain(String),
    /// Writes this much, perhaps with `MSG_MORE`.
    Write(u64, bool),
    Read(u64),
    /// New data of the peer, this much; perhaps behind a hole.
    Data(u32),
    /// The peer sends again what is not acknowledged.
    Repeat(usize),
    /// The peer acknowledges what it has not acknowledged yet.
    DelayedAck(usize),
    /// The peer offers this window from now on.
    Window(usize, u32),
    PeerFin,
    PeerReset,
    Shutdown(&'static str),
    Close,
    /// The arguments of `setsockopt` after the descriptor.
    SetOption(String),
    /// The connection is there for the application.
    Opened,
    /// A second subflow begins.
    Join,
    /// The third ACK of it.
    Joined,
    /// The peer sends an option by itself.
    Signal(String),
    /// A segment of the kernel comes late.
    Arrives(usize, TcpSpec),
    /// The peer forgets what it has beyond a hole.
    Forget(usize),
    /// An error of ICMP of this kind, about a segment this much after what has come.
    Icmp(String, u32),
    /// A call on the socket, which stands as `FD`.
    Call(String),
    /// The application takes the connection.
    Accept,
    /// The peer answers the SYN of a subflow that the kernel opens, with this option.
    JoinAnswer(usize, String),
    /// The peer opens a subflow to an address that the kernel announced.
    JoinTo(IpAddr),
}

/// How Fast Open is used.
#[derive(Clone, Copy, Debug, Default)]
struct FastOpen {
    /// Octets in the SYN of the peer, or that the kernel is given to send in its SYN.
    len: u32,
    /// The kernel knows a cookie.
    known: bool,
    /// The peer takes this much of the data of a SYN, in quarters.
    quarters: u32,
    /// The peer asks for no more than a cookie, has the right one, has a wrong one.
    cookie: &'static str,
}

/// Subflows that are looked at.
const MOST_SUBFLOWS: usize = 6;

/// The cookie that the kernel gives to the first remote address with the key of the default settings.
const COOKIE: &str = " 3021b9d889017eeb";

struct Conversation {
    random: Stream,
    network: Network,
    environment: Environment,
    clock: Clock,
    lines: Vec<(Instant, String)>,
    inbox: VecDeque<(Instant, Packet)>,
    planned: BTreeMap<(Instant, u64), Step>,
    planned_so_far: u64,
    peers: Vec<Peer>,
    data: Data,
    circumstances: Circumstances,
    fds: BTreeMap<i64, c_int>,
    /// The socket of the connection.
    socket: i64,
    remote: IpAddr,
    choice: Choice,
    rtt: Duration,
    loss: f64,
    /// Octets that arrived for an acknowledgment that waits, of every subflow.
    unacknowledged: [u32; MOST_SUBFLOWS],
    /// A repetition is planned.
    repeats: [bool; MOST_SUBFLOWS],
    /// The addresses of the subflows, the kernel's first.
    ways: Vec<(IpAddr, IpAddr)>,
    local: IpAddr,
    syns: u32,
    opened: bool,
    /// The third ACK has left the peer.
    confirmed: bool,
    closed: bool,
    end: Instant,
    /// What the theme draws from.
    themed: Stream,
    habit: Habit,
    fast_open: Option<FastOpen>,
    /// Octets in the last SYN of the kernel, and whether it asks for a cookie.
    syn_data: (u32, bool),
}

/// Talks with the kernel and returns the script of it; the calling thread has another network afterwards.
pub(crate) fn record(seed: u64, choice: Choice) -> Result<String, String> {
    let streams = Streams::new(seed);
    let mut random = streams.stream("conversation");
    let mut circumstances = Circumstances::draw(&mut streams.stream("circumstances"), choice.multipath);
    let mut themed = streams.stream("theme");
    choice.theme.alter(&mut themed, &mut circumstances);
    let habit = choice.theme.habit(&mut themed);
    let setup = Setup::default();
    let mut network = Network::new(setup)?;
    network.execute(&Command::Defaults)?;
    for setting in &circumstances.sysctls {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let setting = Sysctl::new(name, value.trim_matches('"')).map_err(|wrong| wrong.to_string())?;
        network.execute(&Command::Sysctl(vec![setting]))?;
    }
    let mut commands = String::new();
    for command in choice.theme.commands(&mut themed) {
        let asked = format!("`{command}`\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3");
        let asked = Script::parse("command", &asked, &Definitions::default());
        let asked = asked.map_err(|wrong| wrong.to_string())?;
        for command in asked.init.iter().flat_map(|shell| &shell.commands) {
            network.execute(command)?;
        }
        let _ = write!(commands, "\n{command}");
    }
    network.congestion = Some(circumstances.congestion.to_owned());
    let rtt = random.span_between(Duration::from_millis(8), Duration::from_millis(120));
    let mut loss = [0.0, 0.0, 0.03, 0.1, 0.25][random.below(5) as usize];
    let mut peers = vec![Peer::new(streams.stream("peer"), 0, choice.multipath, circumstances.ecn)];
    if choice.theme == Theme::Bulk {
        loss = [0.0, 0.0, 0.01, 0.04][themed.below(4) as usize];
        if themed.bernoulli(0.8) {
            peers[0].window = 4_000_000;
        }
    }
    let fast_open = (choice.theme == Theme::FastOpen).then(|| FastOpen {
        len: if themed.bernoulli(0.8) { 1 + themed.below(1_300) as u32 } else { 0 },
        known: themed.bernoulli(0.65),
        quarters: [4, 4, 4, 0, 2][themed.below(5) as usize],
        cookie: ["", COOKIE, COOKIE, " 0123456789abcdef"][themed.below(4) as usize],
    });
    let mut conversation = Conversation {
        data: Data::new(&mut streams.stream("data")),
        random,
        network,
        environment: Environment::new(setup, Streams::new(1)),
        clock: Clock::start(),
        lines: Vec::new(),
        inbox: VecDeque::new(),
        planned: BTreeMap::new(),
        planned_so_far: 0,
        peers,
        circumstances,
        fds: BTreeMap::new(),
        socket: 3,
        remote: setup.remote,
        choice,
        rtt,
        loss,
        unacknowledged: [0; MOST_SUBFLOWS],
        repeats: [false; MOST_SUBFLOWS],
        ways: vec![(setup.local, setup.remote)],
        local: setup.local,
        syns: 0,
        opened: false,
        confirmed: false,
        closed: false,
        end: START,
        themed,
        habit,
        fast_open,
        syn_data: (0, false),
    };
    conversation.take_packets();
    conversation.inbox.clear();
    conversation.clock = Clock::start();
    let result = conversation.hold();
    for fd in conversation.fds.values() {
        sys::close(*fd);
    }
    result?;
    let mut lines = conversation.lines;
    lines.sort_by_key(|(at, _)| *at);
    let mut settings = format!("net.ipv4.tcp_congestion_control={}", conversation.circumstances.congestion);
    for setting in &conversation.circumstances.sysctls {
        let _ = write!(settings, " {setting}");
    }
    let mut script = format!(
        "// A random conversation, number {seed}, as this kernel held it.\n--tolerance_usecs=40000\n\
         --strict_segments\n`defaults.sh\nsysctl -q {settings}{commands}`\n\n"
    );
    for (at, line) in lines {
        let micros = at.saturating_since(START).as_nanos() / 1_000;
        let _ = writeln!(script, "{}.{:06} {line}", micros / 1_000_000, micros % 1_000_000);
    }
    Ok(script)
}

impl Conversation {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn plan(&mut self, after: Duration, step: Step) {
        self.planned_so_far += 1;
        self.planned.insert((self.now() + after, self.planned_so_far), step);
    }

    fn span(&mut self, low: u64, high: u64) -> Duration {
        self.random.span_between(Duration::from_millis(low), Duration::from_millis(high))
    }

    /// The peer will look whether all was acknowledged, if it does not already.
    fn plan_repetition(&mut self, subflow: usize, millis: u64) {
        if !std::mem::replace(&mut self.repeats[subflow], true) {
            self.plan(Duration::from_millis(millis), Step::Repeat(subflow));
        }
    }

    /// From the first SYN to the end of interest.
    fn hold(&mut self) -> Result<(), String> {
        self.end = self.now() + Duration::from_millis(4_000);
        let protocol = if self.choice.multipath { "IPPROTO_MPTCP" } else { "IPPROTO_TCP" };
        if self.circumstances.active && self.fast_open.is_some_and(|fast_open| fast_open.known) {
            self.learn_cookie()?;
        }
        self.call(&format!("socket(..., SOCK_STREAM, {protocol})"), Some(3))?;
        for option in std::mem::take(&mut self.circumstances.early) {
            self.set_option(&option)?;
        }
        if self.circumstances.active {
            self.call("fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK)", None)?;
            self.connect()?;
        } else {
            self.call("bind(3, ..., ...)", None)?;
            if self.fast_open.is_some() && self.themed.bernoulli(0.85) {
                self.call("setsockopt(3, SOL_TCP, TCP_FASTOPEN, [5], 4)", None)?;
            }
            self.call("listen(3, 1)", None)?;
            let mut syn = self.peers[0].syn(&self.data);
            if let Some(FastOpen { len, cookie, .. }) = self.fast_open {
                syn = syn.replace(" 0:0(0) ", &format!(" 0:{len}({len}) "));
                syn = syn.replace('>', &format!(",FO{cookie},nop,nop>"));
            }
            self.inject(&syn)?;
            if self.circumstances.opening == Opening::Twice {
                let after = self.span(5, 60);
                self.plan(after, Step::SynAgain(syn));
            }
        }
        while self.now() < self.end {
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
                    let left = next.unwrap_or(self.end).min(self.end).saturating_since(self.now());
                    self.wait(Span::from_nanos(left.as_nanos().min(1_000_000)));
                }
            }
        }
        Ok(())
    }

    /// What both ends will do besides answering.
    fn plan_calls(&mut self) {
        if self.choice.theme == Theme::Bulk {
            return self.plan_bulk();
        }
        let (writes, data) = (self.random.below(6), self.random.below(8));
        for _ in 0..writes {
            let after = self.span(0, 900);
            let len = match self.random.below(4) {
                0 => 1 + self.random.below(200),
                1 => 1 + self.random.below(3_000),
                2 => 1000 * (1 + self.random.below(10)),
                _ => 1 + self.random.below(60_000),
            };
            let more = self.random.bernoulli(0.06);
            self.plan(after, Step::Write(len, more));
        }
        for _ in 0..data {
            let after = self.span(0, 900);
            let len = self.random.below(4);
            let len = if len == 0 { 1 + self.random.below(500) } else { u64::from(self.peers[0].segment()) };
            let burst = 1 + self.random.below(4);
            for _ in 0..burst {
                self.plan(after, Step::Data(len as u32));
            }
        }
        for _ in 0..self.random.below(6) {
            let (after, len) = (self.span(0, 1200), 1 + self.random.below(8_000));
            self.plan(after, Step::Read(len));
        }
        for option in std::mem::take(&mut self.circumstances.later) {
            let after = self.span(0, 700);
            self.plan(after, Step::SetOption(option));
        }
        if self.random.bernoulli(0.1) {
            let after = self.span(0, 600);
            let window = if self.random.bernoulli(0.6) { 0 } else { 1 + self.random.below(3_000) as u32 };
            let before = self.peers[0].window;
            self.plan(after, Step::Window(0, window));
            if self.random.bernoulli(0.8) {
                let later = after + self.span(20, 900);
                self.plan(later, Step::Window(0, before));
            }
        }
        if self.choice.multipath {
            self.plan_signals();
        }
        self.plan_end();
    }

    fn plan_signals(&mut self) {
        if self.circumstances.joins {
            let after = self.span(60, 600);
            self.plan(after, Step::Join);
        }
        if !self.random.bernoulli(0.35) {
            return;
        }
        let signal = match self.random.below(10) {
            0 => "mp_prio backup=1",
            1 => "mp_prio backup=0",
            2 => "add_address address_id=3 addr[peer3=inet_addr(\"192.0.2.9\")] hmac=auto",
            3 => "add_address address_id=3 addr[peer3=inet_addr(\"192.0.2.9\")] hmac=1",
            4 => "remove_address address_id=[1]",
            5 => "remove_address address_id=[3]",
            6 => "mp_fail dsn8=1",
            7 => "mp_fastclose",
            8 => "mp_fastclose hkey=42",
            _ => "dss dack8=1000000 nocs",
        };
        let after = self.span(100, 1200);
        self.plan(after, Step::Signal(signal.to_owned()));
    }

    fn plan_end(&mut self) {
        let after = self.span(300, 1500);
        match self.random.below(12) {
            0 | 1 => self.plan(after, Step::Close),
            2 => self.plan(after, Step::Shutdown("SHUT_WR")),
            3 => {
                self.plan(after, Step::Shutdown("SHUT_WR"));
                let later = after + self.span(100, 900);
                self.plan(later, Step::PeerFin);
            }
            4 => self.plan(after, Step::Shutdown("SHUT_RD")),
            5 => self.plan(after, Step::Shutdown("SHUT_RDWR")),
            6 | 7 => self.plan(after, Step::PeerFin),
            8 => {
                self.plan(after, Step::PeerFin);
                let later = self.span(1000, 2000);
                self.plan(later, Step::Close);
            }
            9 => self.plan(after, Step::PeerReset),
            _ => {}
        }
    }

    fn carry_out(&mut self, step: Step) -> Result<(), String> {
        let fd = self.socket;
        let application = matches!(
            step,
            Step::Write(..)
                | Step::Read(_)
                | Step::Shutdown(_)
                | Step::Close
                | Step::SetOption(_)
                | Step::Call(_)
        );
        if application && self.closed {
            return Ok(());
        }
        match step {
            Step::Packet(text) => self.inject(&text),
            Step::SynAgain(_) if self.opened => Ok(()),
            Step::SynAgain(text) => self.inject(&text),
            Step::Write(len, false) => self.call(&format!("write({fd}, ..., {len})"), None),
            Step::Write(len, true) => self.call(&format!("send({fd}, ..., {len}, MSG_MORE)"), None),
            Step::Read(len) => self.call(&format!("read({fd}, ..., {len})"), None),
            Step::Shutdown(how) => self.call(&format!("shutdown({fd}, {how})"), None),
            Step::Close => {
                self.closed = true;
                self.call(&format!("close({fd})"), None)
            }
            Step::SetOption(option) => self.set_option(&option),
            Step::Data(len) => self.send_data(len),
            Step::Repeat(subflow) => {
                self.repeats[subflow] = false;
                for text in self.peers[subflow].repeat(&self.data) {
                    self.inject(&text)?;
                }
                if self.peers[subflow].has_unacknowledged() {
                    self.plan_repetition(subflow, 400);
                }
                Ok(())
            }
            Step::DelayedAck(subflow) => {
                if std::mem::take(&mut self.unacknowledged[subflow]) == 0 {
                    return Ok(());
                }
                let text = self.peers[subflow].ack(&self.data, None);
                self.inject(&text)
            }
            Step::Window(subflow, window) => {
                self.peers[subflow].window = window;
                let text = self.peers[subflow].ack(&self.data, None);
                self.inject(&text)
            }
            Step::PeerFin => {
                let subflow = self.some_subflow();
                for text in self.peers[subflow].fin(&mut self.data) {
                    self.inject(&text)?;
                }
                self.plan_repetition(subflow, 300);
                Ok(())
            }
            Step::PeerReset => {
                let subflow = self.some_subflow();
                if self.peers[subflow].over {
                    return Ok(());
                }
                let reason = if self.peers[subflow].multipath && self.random.bernoulli(0.6) {
                    ["mp_reset 0", "mp_reset 3", "mp_fastclose"][self.random.below(3) as usize]
                } else {
                    ""
                };
                let text = self.peers[subflow].reset(reason);
                self.inject(&text)
            }
            Step::Opened if self.circumstances.active => self.answer_syn(),
            Step::Opened => self.open_passively(),
            Step::Join => {
                let streams = Streams::new(self.random.next_u64());
                if !self.peers[0].multipath || self.peers[0].over || self.closed {
                    return Ok(());
                }
                let peer = Peer::new(streams.stream("peer"), 1, true, self.circumstances.ecn);
                let syn = peer.syn(&self.data);
                self.peers.push(peer);
                self.inject(&syn)
            }
            Step::Joined => {
                let Some(subflow) = (1..self.peers.len()).find(|at| {
                    let peer = &self.peers[*at];
                    !peer.open && !peer.over && peer.answered
                }) else {
                    return Ok(());
                };
                let text = self.peers[subflow].third_ack(&self.data);
                self.inject(&text)?;
                self.peers[subflow].open = true;
                Ok(())
            }
            Step::Signal(signal) => {
                let subflow = self.some_subflow();
                if !self.peers[subflow].multipath || self.peers[subflow].over {
                    return Ok(());
                }
                let text = self.peers[subflow].ack(&self.data, Some(&signal));
                self.inject(&text)
            }
            Step::Arrives(subflow, tcp) => {
                self.arrived(subflow, &tcp);
                Ok(())
            }
            Step::Forget(subflow) => {
                self.peers[subflow].forget();
                Ok(())
            }
            Step::Icmp(kind, ahead) => {
                let (first, len) = self.peers[0].next_awaited(self.opened);
                let (first, end) = (first + ahead, first + ahead + len);
                self.inject(&format!("< [{first}:{end}({len})] icmp {kind}"))
            }
            Step::Call(call) => self.call(&call.replace("FD", &fd.to_string()), None),
            Step::Accept => self.accept(),
            Step::JoinAnswer(subflow, option) => {
                let refused = option.is_empty() && self.themed.bernoulli(0.5);
                let peer = &mut self.peers[subflow];
                let text = if refused {
                    peer.over = true;
                    peer.reset("").replace(" 1:1(0) ", " 0:0(0) ")
                } else {
                    peer.open = !option.is_empty();
                    peer.syn_ack(1, &option)
                };
                self.inject(&text)?;
                self.plan(self.rtt, Step::DelayedAck(subflow));
                self.unacknowledged[subflow] = 1;
                Ok(())
            }
            Step::JoinTo(address) => {
                let number = self.peers.len();
                let way = (address, self.remote);
                if number >= MOST_SUBFLOWS || self.ways.contains(&way) || self.peers[0].over || self.closed {
                    return Ok(());
                }
                let streams = Streams::new(self.themed.next_u64());
                let mut peer = Peer::new(streams.stream("peer"), number as u8, true, self.circumstances.ecn);
                peer.names = Some((self.name_of(way.1), self.name_of(way.0)));
                let syn = peer.syn(&self.data);
                self.peers.push(peer);
                self.ways.push(way);
                self.inject(&syn)
            }
        }
    }

    /// A subflow to send on.
    fn some_subflow(&mut self) -> usize {
        if let Some(owing) = self.peers.iter().position(Peer::owes) {
            return owing;
        }
        let drawn = self.random.below(self.peers.len() as u64) as usize;
        let usable = |peer: &Peer| peer.open && !peer.over;
        if usable(&self.peers[drawn]) { drawn } else { self.peers.iter().position(usable).unwrap_or(0) }
    }

    fn send_data(&mut self, len: u32) -> Result<(), String> {
        let subflow = self.some_subflow();
        let lost = self.random.bernoulli(self.loss);
        let len = len.min(self.peers[subflow].segment());
        let Some(text) = self.peers[subflow].data(len, &mut self.data) else { return Ok(()) };
        self.plan_repetition(subflow, 300);
        if lost { Ok(()) } else { self.inject(&text) }
    }

    /// The application has its connection from now on.
    fn begin(&mut self) {
        self.opened = true;
        self.peers[0].open = true;
        self.plan_calls();
        self.end = self.now() + self.span(1500, 4000);
        self.plan_theme();
    }

    /// The SYN/ACK of the kernel has come to the peer.
    fn open_passively(&mut self) -> Result<(), String> {
        if std::mem::replace(&mut self.confirmed, true) {
            return Ok(());
        }
        if self.circumstances.opening == Opening::Late {
            // The third ACK is lost; data brings the same.
            self.peers[0].open = true;
            let len = self.peers[0].segment();
            let Some(text) = self.peers[0].data(len, &mut self.data) else { return Ok(()) };
            self.plan_repetition(0, 300);
            self.inject(&text)?;
        } else {
            let text = self.peers[0].third_ack(&self.data);
            self.inject(&text)?;
        }
        self.accept()?;
        self.peers[0].open = true;
        Ok(())
    }

    /// The application takes the connection; with Fast Open this may be before the third ACK.
    fn accept(&mut self) -> Result<(), String> {
        if self.opened {
            return Ok(());
        }
        self.socket = 4;
        self.call("accept(3, ..., ...)", Some(4))?;
        self.call("fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK)", None)?;
        self.begin();
        self.peers[0].open = self.confirmed;
        Ok(())
    }

    /// A SYN of the kernel, for the first or another time.
    fn syn_came(&mut self) -> Result<(), String> {
        self.syns += 1;
        let rtt = self.rtt;
        if self.choice.theme == Theme::Icmp && self.syns == 1 && self.themed.bernoulli(0.3) {
            self.plan_icmp(rtt / 2);
        }
        match (self.circumstances.opening, self.syns) {
            (Opening::Lost, 1) => {}
            (Opening::Refused, 1) => {
                if self.random.bernoulli(0.5) {
                    self.plan(rtt / 2, Step::Packet("< R. 0:0(0) ack 3 win 0".to_owned()));
                }
                self.plan(rtt, Step::Packet("< R. 0:0(0) ack 1 win 0".to_owned()));
                self.end = self.now() + Duration::from_millis(500);
            }
            (Opening::Refused, _) => {}
            (Opening::Crossing, 1) => {
                let text = self.peers[0].crossing_syn();
                self.plan(rtt, Step::Packet(text));
            }
            (Opening::Wrong, 1) => {
                let text = self.peers[0].syn_ack(2, "");
                self.plan(rtt, Step::Packet(text));
            }
            (Opening::Late, 1) => self.plan(Duration::from_millis(1_050), Step::Opened),
            (_, count) => {
                let after = if count == 1 { rtt } else { rtt / 2 };
                self.plan(after, Step::Opened);
                if self.circumstances.opening == Opening::Twice {
                    let again = rtt + self.span(0, 80);
                    self.plan(again, Step::Opened);
                }
            }
        }
        Ok(())
    }

    /// The peer answers the SYN of the kernel.
    fn answer_syn(&mut self) -> Result<(), String> {
        let capable = match self.circumstances.answer {
            _ if !self.peers[0].multipath => "",
            Answer::Nothing => "",
            Answer::OldVersion => ",mpcapable v0 flags[flag_h] key[pkey=2]",
            Answer::ForeignFlags => ",mpcapable v1 flags[flag_b, flag_h] key[pkey=2]",
            Answer::Capable if self.data.checksums => ",mpcapable v1 flags[flag_a, flag_h] key[pkey=2]",
            Answer::Capable => ",mpcapable v1 flags[flag_h] key[pkey=2]",
        };
        let (mut ack, mut options) = (1, capable.to_owned());
        if let Some(FastOpen { quarters, .. }) = self.fast_open {
            ack += self.peers[0].take_early(self.syn_data.0 * quarters / 4);
            if self.syn_data.1 && quarters > 0 {
                options += ",FO abcd1234abcd,nop,nop,nop,nop";
            }
        }
        let text = self.peers[0].syn_ack(ack, &options);
        self.inject(&text)?;
        if !self.opened {
            self.call("getsockopt(3, SOL_SOCKET, SO_ERROR, [?], [4])", None)?;
            self.begin();
        }
        Ok(())
    }

    /// The kernel sent a packet: it goes into the script, and the peer may answer.
    fn seen(&mut self, at: Instant, packet: &Packet) -> Result<(), String> {
        let Body::Tcp(segment) = &packet.body else { return Ok(()) };
        let joins = self.choice.theme == Theme::Paths && self.opened && segment.flags.syn();
        let joins = joins && !segment.flags.ack() && self.note_join(packet);
        let subflow = self.subflow_of(packet);
        self.learn(at, packet, subflow)?;
        if joins {
            self.join_seen(segment, subflow);
            return Ok(());
        }
        if segment.flags.syn() {
            return self.syn_seen(packet, segment, subflow);
        }
        let early = self.opened && self.fast_open.is_some();
        if !self.peers[subflow].open && !early {
            return Ok(());
        }
        if subflow == 0 && self.circumstances.active && self.peers[0].multipath {
            // The third ACK says whether it is MPTCP.
            self.peers[0].multipath = segment.options.mptcp().next().is_some() || segment.flags.rst();
        }
        if self.random.bernoulli(self.loss) && segment.flags.0 & 4 == 0 {
            return Ok(());
        }
        let spec = describe(packet, Direction::Outbound, &self.environment);
        let Some(PacketSpec { body: BodySpec::Tcp(tcp), .. }) = spec else { return Ok(()) };
        let range = (tcp.range.first, tcp.range.first + tcp.range.len);
        let size = 40 + segment.options.len() as u32 + tcp.range.len;
        match self.habit.fate(&mut self.themed, at, range, size, self.rtt) {
            Fate::Comes => self.arrived(subflow, &tcp),
            Fate::Late(after) => self.plan(after, Step::Arrives(subflow, tcp)),
            Fate::Lost => {}
            Fate::TooLarge => {
                if let Some(mtu) = self.habit.mtu.filter(|_| self.habit.tells) {
                    let (first, end) = range;
                    let len = tcp.range.len;
                    let text = format!("< [{first}:{end}({len})] icmp unreachable frag_needed mtu {mtu}");
                    self.plan(self.rtt / 2, Step::Packet(text));
                }
            }
        }
        Ok(())
    }

    /// A segment of the kernel has come to the peer, which may answer.
    fn arrived(&mut self, subflow: usize, tcp: &TcpSpec) {
        if self.choice.theme == Theme::Paths {
            self.announced(subflow, tcp);
        }
        let arrival = self.peers[subflow].receive(tcp, &mut self.data);
        let jitter = if self.random.bernoulli(0.05) { self.span(0, 30) } else { Duration::ZERO };
        match arrival {
            Arrival::Nothing => {}
            Arrival::InOrder
                if self.habit.stretch.is_some_and(|most| self.unacknowledged[subflow] + 1 < most) =>
            {
                self.unacknowledged[subflow] += 1;
                if self.unacknowledged[subflow] == 1 {
                    self.plan(self.rtt + Duration::from_millis(25), Step::DelayedAck(subflow));
                }
            }
            Arrival::InOrder
                if self.habit.stretch.is_none()
                    && self.random.bernoulli(0.4)
                    && self.unacknowledged[subflow] == 0 =>
            {
                self.unacknowledged[subflow] += 1;
                self.plan(self.rtt + Duration::from_millis(25), Step::DelayedAck(subflow));
            }
            Arrival::InOrder | Arrival::Other => {
                self.unacknowledged[subflow] = 0;
                let text = self.peers[subflow].ack(&self.data, None);
                if !self.random.bernoulli(self.loss / 2.0) {
                    self.plan(self.rtt + jitter, Step::Packet(text));
                }
            }
        }
    }

    fn syn_seen(&mut self, packet: &Packet, segment: &TcpSegment, subflow: usize) -> Result<(), String> {
        let peer = &mut self.peers[subflow];
        if !segment.flags.ack() {
            let asks = |option: &TcpOption| matches!(option, TcpOption::Unknown { kind: 34, body } if body.is_empty());
            self.syn_data = (segment.payload.len(), segment.options.iter().any(|option| asks(&option)));
            if !self.opened {
                peer.take_syn(segment, &mut self.data);
            }
            return self.syn_came();
        }
        if subflow > 0 {
            if !peer.open {
                peer.take_syn_ack(segment, &mut self.data);
                self.plan(self.rtt, Step::Joined);
            }
            return Ok(());
        }
        if self.circumstances.active {
            // The SYNs have crossed.
            let text = peer.third_ack(&self.data);
            self.plan(self.rtt, Step::Packet(text));
            if !self.opened {
                self.begin();
            }
            return Ok(());
        }
        self.syns += 1;
        if !self.confirmed {
            peer.take_syn_ack(segment, &mut self.data);
            let spec = describe(packet, Direction::Outbound, &self.environment);
            if let (Some(PacketSpec { body: BodySpec::Tcp(tcp), .. }), Some(_)) = (spec, self.fast_open) {
                let taken = tcp.ack.unwrap_or(1);
                peer.note_taken(taken);
                if taken > 1 && self.syns == 1 && self.themed.bernoulli(0.7) {
                    let after = Duration::from_millis(self.themed.below(20));
                    self.plan(after, Step::Accept);
                }
            }
            if self.circumstances.opening != Opening::Lost || self.syns > 1 {
                self.plan(self.rtt, Step::Opened);
            }
        }
        Ok(())
    }

    /// Which subflow a packet of the kernel belongs to.
    fn subflow_of(&self, packet: &Packet) -> usize {
        if self.choice.theme == Theme::Paths {
            let way = (packet.ip.src, packet.ip.dst);
            return self.ways.iter().position(|known| *known == way).unwrap_or(0);
        }
        usize::from(self.peers.len() > 1 && packet.ip.dst != self.remote)
    }

    /// Notes a packet, with a name of its own for its clock.
    fn learn(&mut self, at: Instant, packet: &Packet, subflow: usize) -> Result<(), String> {
        let Some(mut spec) = describe(packet, Direction::Outbound, &self.environment) else {
            return Err("a packet that the language has no words for".to_owned());
        };
        if let (BodySpec::Tcp(tcp), Body::Tcp(segment)) = (&mut spec.body, &packet.body) {
            if segment.flags.syn() {
                tcp.range.first = 0;
                if self.fast_open.is_none() || self.circumstances.active {
                    tcp.ack = segment.flags.ack().then_some(1);
                }
            }
            if !self.choice.windows {
                tcp.window = None;
            }
            self.name_values(&mut tcp.options, subflow);
        }
        if spec.ip.tos.is_none() && spec.ip.ecn.is_none() && self.circumstances.ecn.wanted {
            spec.ip.ecn = Some(Field::NotEct);
        }
        if self.choice.multipath {
            let end = |name: String| Some(AddressRef { name, value: None });
            let (source, destination) = if self.choice.theme == Theme::Paths {
                (self.name_of(packet.ip.src), self.name_of(packet.ip.dst))
            } else {
                ("host0".to_owned(), format!("peer{subflow}"))
            };
            spec.endpoints = Some(Endpoints { source: end(source), destination: end(destination) });
        }
        if let Err(wrong) = spec.check(packet, &mut self.environment) {
            return Err(format!("what was seen does not fit itself: {wrong}"));
        }
        self.lines.push((at, spec.to_string()));
        Ok(())
    }

    /// Clock values and keys have names in scripts.
    fn name_values(&mut self, options: &mut OptionsSpec, subflow: usize) {
        let OptionsSpec::List(options) = options else { return };
        for option in options {
            match option {
                OptionSpec::Timestamps { val, .. } => *val = self.peers[subflow].name_clock_value(),
                OptionSpec::Capable(capable) => {
                    for key in &mut capable.keys {
                        if key.name == "unknown" {
                            "hkey".clone_into(&mut key.name);
                            key.value = None;
                        }
                    }
                }
                OptionSpec::JoinSynAck { nonce, hmac, .. } => (*nonce, *hmac) = (None, HmacSpec::Auto),
                OptionSpec::JoinSyn { nonce, token, .. } => {
                    (*nonce, *token) = (None, TokenSpec::Hash("pkey".to_owned()));
                }
                OptionSpec::AddAddress { address, .. } => {
                    if let Some(value) = address.value {
                        address.name = self.name_of(value);
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
        let at = self.clock.at(seen);
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
        self.note_info();
        Ok(())
    }

    /// What the kernel tells of a connection of TCP after a packet.
    fn note_info(&mut self) {
        let Some(fd) = self.fds.get(&self.socket) else { return };
        if !self.choice.info || !self.opened || self.choice.multipath {
            return;
        }
        let info = sys::option(*fd, IPPROTO_TCP, TCP_INFO).written;
        let at = self.now();
        if info.first().is_none_or(|state| *state != 1) {
            return;
        }
        let claims: Vec<_> = INFO
            .iter()
            .filter_map(|name| tcp_info::field(&info, name).map(|value| format!("assert {name} == {value}")))
            .collect();
        self.lines.push((at, format!("%{{ {} }}%", claims.join("; "))));
    }

    fn set_option(&mut self, option: &str) -> Result<(), String> {
        let len = if option.contains("SO_LINGER") { 8 } else { 4 };
        let fd = self.socket;
        self.call(&format!("setsockopt({fd}, {option}, {len})"), None)
    }

    /// A call, whose result the script gets; a socket or what was accepted gets the number `fd`, a `?` what the
    /// kernel wrote.
    fn call(&mut self, text: &str, fd: Option<i64>) -> Result<(), String> {
        let asked = text.replace("[?]", "...");
        let script = Script::parse("call", &format!("+0 {asked} = 0"), &Definitions::default());
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
            result = format!(
                "-1 {}",
                error(returned.errno).ok_or_else(|| format!("`{text}`: {}", returned.errno))?
            );
        }
        if call.name == "close" {
            self.fds.remove(&self.socket);
        }
        let written = crate::values::word(&returned.written, 0).unwrap_or(0);
        let written = if written == 0 { Some("0") } else { error(written) };
        let text = text.replace("[?]", &format!("[{}]", written.unwrap_or("...")));
        self.lines.push((at, format!("{text} = {result}")));
        Ok(())
    }
}

/// The name of an error.
fn error(number: c_int) -> Option<&'static str> {
    ERRORS.into_iter().find(|name| words::constant(name) == Some(number.into()))
}

/// Errors that calls of a conversation return.
const ERRORS: [&str; 15] = [
    "EAGAIN",
    "EPIPE",
    "ECONNRESET",
    "ENOTCONN",
    "ETIMEDOUT",
    "EINPROGRESS",
    "ECONNREFUSED",
    "EINVAL",
    "EOPNOTSUPP",
    "ENOPROTOOPT",
    "EISCONN",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "EMSGSIZE",
    "EACCES",
];

/// What scripts hold of `tcp_info`.
const INFO: [&str; 9] = [
    "tcpi_ca_state",
    "tcpi_snd_cwnd",
    "tcpi_snd_ssthresh",
    "tcpi_unacked",
    "tcpi_sacked",
    "tcpi_lost",
    "tcpi_retrans",
    "tcpi_backoff",
    "tcpi_reordering",
];

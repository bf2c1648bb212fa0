//! Random conversations with the kernel, written down as scripts. A peer loses, acknowledges late or never, and
//! sends out of order; an application reads and writes when it likes. What went in and what came out is a script
//! that holds on this kernel, so what it says of the simulated stack is news.
//!
//! Left out: urgent data, Fast Open of MPTCP. Fast Open, ICMP and what else the themes are about is drawn apart.

mod calls;
mod opening;
mod packets;
mod plans;
mod themed;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration as Span;

use mptcp_model::wire::Packet;
use scenarios::script::ast::TcpSpec;
use scenarios::script::command::Command;
use scenarios::script::sysctl::Sysctl;
use scenarios::script::{Definitions, Environment, PacketSpec, Script, Setup};
use sim_core::random::{Stream, Streams};
use sim_core::{Duration, Instant};

use crate::circumstances::{Circumstances, Opening};
use crate::network::Network;
use crate::peer::{Data, Peer};
use crate::runner::{Clock, IPPROTO_TCP, START, TCP_INFO};
use crate::theme::{Habit, Theme};
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
}

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

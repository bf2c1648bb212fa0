//! Two hosts on one clock, joined by wires that a test can cut, bend and listen to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use mptcp_model::config::{MptcpConfig, Profile, TcpConfig};
use mptcp_model::congestion;
use mptcp_model::crypto::{self, Version};
use mptcp_model::host::routing::{Route, Rule};
use mptcp_model::host::{Host, SocketId};
use mptcp_model::mptcp::{Connection, Content, SocketOptions};
use mptcp_model::net::{InterfaceAddress, InterfaceId};
use mptcp_model::path_manager::registry::{self, PathManagerConfig};
use mptcp_model::path_manager::{Endpoint, Limits};
use mptcp_model::scheduler;
use mptcp_model::wire::{Body, MpOption, Packet, TcpOption, TcpOptions, TcpSegment};
use sim_core::random::Streams;
use sim_core::{Duration, Instant};

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Client,
    Server,
}

/// What a wire does with a packet.
pub(crate) enum Fate {
    Pass,
    Drop,
}

pub(crate) type Filter = Box<dyn FnMut(End, usize, &mut Packet) -> Fate>;

/// One packet as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) at: Instant,
    pub(crate) from: End,
    pub(crate) wire: usize,
    pub(crate) packet: Packet,
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) client: Host,
    pub(crate) server: Host,
    pub(crate) socket: SocketId,
    pub(crate) listener: SocketId,
    pub(crate) accepted: Option<SocketId>,
    pub(crate) filter: Filter,
    pub(crate) log: Vec<Line>,
    pub(crate) delay: Vec<Duration>,
    flying: BTreeMap<(Instant, u64), (End, usize, Packet)>,
    order: u64,
    /// The server reads whatever arrives.
    pub(crate) server_reads: bool,
    pub(crate) read: u64,
    pub(crate) server_end: bool,
    pub(crate) client_end: bool,
}

/// How a pair is set up.
pub(crate) struct Setup {
    pub(crate) wires: usize,
    pub(crate) mptcp_client: bool,
    pub(crate) mptcp_server: bool,
    pub(crate) subflow_endpoints: bool,
    pub(crate) signal_endpoints: bool,
    pub(crate) server_config: MptcpConfig,
    pub(crate) client_config: MptcpConfig,
    pub(crate) tcp: TcpConfig,
    pub(crate) listen: bool,
    pub(crate) scheduler: &'static str,
    pub(crate) path_manager: &'static str,
    pub(crate) limits: Limits,
    pub(crate) mtu: u16,
    /// The endpoints of the client are backups.
    pub(crate) backup: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            wires: 2,
            mptcp_client: true,
            mptcp_server: true,
            subflow_endpoints: true,
            signal_endpoints: false,
            server_config: MptcpConfig::new(Profile::LinuxUpstream),
            client_config: MptcpConfig::new(Profile::LinuxUpstream),
            // Exact times make tests readable.
            tcp: TcpConfig { timer_tick: None, ..TcpConfig::new(Profile::LinuxUpstream) },
            listen: true,
            scheduler: "default",
            path_manager: "kernel",
            limits: Limits { subflows: 8, add_addr_accepted: 8 },
            mtu: 1500,
            backup: false,
        }
    }
}

pub(crate) fn remote() -> SocketAddr {
    "10.0.1.2:5001".parse().unwrap()
}

fn options(setup: &Setup, mptcp: Option<MptcpConfig>, manager: PathManagerConfig) -> SocketOptions {
    let (tcp, scheduler, by) = (&setup.tcp, setup.scheduler, setup.path_manager);
    SocketOptions {
        tcp: Arc::new(tcp.clone()),
        mptcp: mptcp.map(Arc::new),
        congestion: Arc::new(|| congestion::create("cubic", &congestion::Parameters::new()).unwrap()),
        scheduler: Arc::new(move || scheduler::create(scheduler).unwrap()),
        path_manager: Arc::new(move || (registry::find(by).unwrap().build)(&manager)),
        content: Content::Pattern(99),
    }
}

pub(crate) fn endpoint(id: u8, address: &str, signal: bool) -> Endpoint {
    Endpoint {
        id,
        address: address.parse().unwrap(),
        port: None,
        signal,
        subflow: !signal,
        backup: false,
        fullmesh: false,
    }
}

/// One of the two hosts, with its addresses, routes and endpoints.
pub(crate) fn host(setup: &Setup, end: End) -> (Host, Vec<Endpoint>) {
    let (name, dev, own, peer) = match end {
        End::Client => ("client", 'c', 1, 2),
        End::Server => ("server", 's', 2, 1),
    };
    let mut host = Host::new(name, Streams::new(7));
    let mut endpoints = Vec::new();
    for wire in 0..setup.wires {
        let net = wire + 1;
        let address: InterfaceAddress = format!("10.0.{net}.{own}/24").parse().unwrap();
        host.add_interface(&format!("{dev}{wire}"), setup.mtu, &[address]);
        let rule: Rule = format!("{}: from 10.0.{net}.{own} lookup {net}", 100 + net).parse().unwrap();
        host.routing.add_rule(rule);
        let mut routes = vec![format!("default via 10.0.{net}.{peer} dev {dev}{wire} table {net}")];
        if wire > 0 && end == End::Server {
            // Every wire leads back from the server's first address too.
            routes.push(format!("10.0.{net}.0/24 dev s{wire} table 1"));
        }
        for route in routes {
            let route: Route = route.parse().unwrap();
            host.routing.add_route(route).unwrap();
        }
        let signal = end == End::Server;
        if wire > 0 && if signal { setup.signal_endpoints } else { setup.subflow_endpoints } {
            let backup = setup.backup && !signal;
            endpoints.push(Endpoint { backup, ..endpoint(net as u8, &format!("10.0.{net}.{own}"), signal) });
        }
    }
    (host, endpoints)
}

/// Options of the socket of one end.
pub(crate) fn socket_options(setup: &Setup, end: End, endpoints: Vec<Endpoint>) -> SocketOptions {
    let limits = setup.limits;
    let manager = PathManagerConfig { endpoints, limits, ..PathManagerConfig::default() };
    let config = match end {
        End::Client => setup.mptcp_client.then(|| setup.client_config.clone()),
        End::Server => setup.mptcp_server.then(|| setup.server_config.clone()),
    };
    options(setup, config, manager)
}

impl Pair {
    /// Two hosts, connected and with a connect() under way.
    pub(crate) fn new(setup: &Setup) -> Self {
        let (mut client, client_ends) = host(setup, End::Client);
        let (mut server, server_ends) = host(setup, End::Server);
        let port = if setup.listen { 5001 } else { 5002 };
        let any = SocketAddr::new("0.0.0.0".parse().unwrap(), port);
        let listening = socket_options(setup, End::Server, server_ends);
        let listener = server.listen(listening, any, 4).unwrap();
        let connecting = socket_options(setup, End::Client, client_ends);
        let socket = client.connect(Instant::ZERO, connecting, None, remote()).unwrap();
        Self {
            now: Instant::ZERO,
            client,
            server,
            socket,
            listener,
            accepted: None,
            filter: Box::new(|_, _, _| Fate::Pass),
            log: Vec::new(),
            delay: vec![Duration::from_millis(10); setup.wires],
            flying: BTreeMap::new(),
            order: 0,
            server_reads: true,
            read: 0,
            server_end: false,
            client_end: false,
        }
    }

    fn host(&mut self, end: End) -> &mut Host {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    /// Send what is due, serve the applications, until both hosts are quiet.
    pub(crate) fn flush(&mut self) {
        loop {
            let mut busy = false;
            for end in [End::Client, End::Server] {
                let now = self.now;
                while let Some((interface, packet)) = self.host(end).poll_transmit(now) {
                    busy = true;
                    self.launch(end, interface, packet);
                }
                while let Some(event) = self.host(end).poll_event() {
                    busy = true;
                    if end == End::Server && event.socket == self.listener {
                        self.accepted = self.server.accept(event.socket);
                    }
                }
            }
            busy |= self.serve();
            if !busy {
                break;
            }
        }
    }

    fn serve(&mut self) -> bool {
        let mut busy = false;
        let now = self.now;
        if let Some(accepted) = self.accepted.filter(|_| self.server_reads)
            && let Ok(outcome) = self.server.read(now, accepted, u64::MAX)
        {
            self.read += outcome.len;
            busy |= outcome.len > 0 || (outcome.end && !self.server_end);
            self.server_end |= outcome.end;
        }
        if let Ok(outcome) = self.client.read(now, self.socket, u64::MAX) {
            busy |= outcome.len > 0 || (outcome.end && !self.client_end);
            self.client_end |= outcome.end;
        }
        busy
    }

    fn launch(&mut self, from: End, interface: InterfaceId, mut packet: Packet) {
        let wire = usize::from(interface.0);
        self.log.push(Line { at: self.now, from, wire, packet: packet.clone() });
        if let Fate::Pass = (self.filter)(from, wire, &mut packet) {
            self.order += 1;
            let to = if from == End::Client { End::Server } else { End::Client };
            self.flying.insert((self.now + self.delay[wire], self.order), (to, wire, packet));
        }
    }

    /// Let `span` pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.flush();
        loop {
            let mut next = self.flying.keys().next().map_or(Instant::FAR_FUTURE, |&(at, _)| at);
            for host in [&self.client, &self.server] {
                next = next.min(host.poll_timeout().unwrap_or(Instant::FAR_FUTURE));
            }
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            let now = self.now;
            while let Some((&key, _)) = self.flying.first_key_value() {
                if key.0 > now {
                    break;
                }
                let Some((to, wire, packet)) = self.flying.remove(&key) else { break };
                self.host(to).handle_packet(now, InterfaceId(wire as u16), &packet);
                self.flush();
            }
            self.client.handle_timeout(now);
            self.server.handle_timeout(now);
            self.flush();
        }
        self.now = end;
    }

    pub(crate) fn run_ms(&mut self, millis: u64) {
        self.run(Duration::from_millis(millis));
    }

    pub(crate) fn connection(&self) -> &Connection {
        self.client.connection(self.socket).expect("the client's connection")
    }

    pub(crate) fn server_connection(&self) -> &Connection {
        self.server.connection(self.accepted.expect("accepted")).expect("the server's connection")
    }

    /// Data sequence number of the first octet of the client.
    pub(crate) fn data_base(&self) -> u64 {
        let key =
            self.log.iter().flat_map(|line| line.segment().options.mptcp()).find_map(|option| match option {
                MpOption::Capable { sender_key: Some(key), receiver_key: Some(_), .. } => Some(key),
                _ => None,
            });
        crypto::idsn(Version::V1, key.expect("a third ACK")).wrapping_add(1)
    }

    /// Write all of `len` as buffers allow, waiting as long as it takes.
    pub(crate) fn send(&mut self, len: u64) {
        let mut left = len;
        for _ in 0..100_000 {
            let now = self.now;
            left -= self.client.write(now, self.socket, left).expect("writable");
            if left == 0 {
                break;
            }
            self.run_ms(10);
        }
        assert_eq!(left, 0, "the write never completed");
        self.flush();
    }

    /// The log from line `from` on, one short line a packet.
    #[track_caller]
    pub(crate) fn story(&self, from: usize) -> Vec<String> {
        self.log[from..].iter().map(Line::short).collect()
    }
}

impl Line {
    pub(crate) fn segment(&self) -> &TcpSegment {
        match &self.packet.body {
            Body::Tcp(segment) => segment,
            other => panic!("not TCP: {other:?}"),
        }
    }

    /// `c0 S MP_CAPABLE4`: end, wire, flags, payload length if any, MPTCP options with lengths.
    pub(crate) fn short(&self) -> String {
        let end = if self.from == End::Client { 'c' } else { 's' };
        format!("{end}{} {}", self.wire, described(self.segment()))
    }
}

/// Flags, payload length if any, and MPTCP options with lengths: `P. 100 DSS20`.
pub(crate) fn described(segment: &TcpSegment) -> String {
    let mut text = String::new();
    let flags = segment.flags;
    for (set, letter) in
        [(flags.syn(), 'S'), (flags.fin(), 'F'), (flags.rst(), 'R'), (flags.psh(), 'P'), (flags.ack(), '.')]
    {
        if set {
            text.push(letter);
        }
    }
    if !segment.payload.is_empty() {
        text += &format!(" {}", segment.payload.len());
    }
    for option in segment.options.mptcp() {
        let fin = matches!(&option, MpOption::Dss(dss) if dss.data_fin);
        text += &format!(" {}{}{}", name(&option), option.wire_len(), if fin { "F" } else { "" });
    }
    text
}

pub(crate) fn name(option: &MpOption) -> &'static str {
    match option {
        MpOption::Capable { .. } => "MP_CAPABLE",
        MpOption::JoinSyn { .. } | MpOption::JoinSynAck { .. } | MpOption::JoinAck { .. } => "MP_JOIN",
        MpOption::Dss(_) => "DSS",
        MpOption::AddAddr { .. } => "ADD_ADDR",
        MpOption::RemoveAddr { .. } => "REMOVE_ADDR",
        MpOption::Prio { .. } => "MP_PRIO",
        MpOption::Fail { .. } => "MP_FAIL",
        MpOption::FastClose { .. } => "MP_FASTCLOSE",
        MpOption::TcpRst { .. } => "MP_TCPRST",
        MpOption::Unknown { .. } => "?",
    }
}

/// Rewrite the MPTCP options of a packet; `None` replaces one by NOPs.
pub(crate) fn edit_mptcp(packet: &mut Packet, edit: impl Fn(&MpOption) -> Option<MpOption>) {
    let Body::Tcp(segment) = &mut packet.body else { return };
    let mut options = TcpOptions::new();
    for option in segment.options.iter() {
        let kept = match &option {
            TcpOption::Mptcp(option) => edit(option).map(TcpOption::Mptcp),
            other => Some(other.clone()),
        };
        if let Some(option) = kept {
            assert!(options.push(&option));
        } else if let TcpOption::Mptcp(option) = &option {
            for _ in 0..option.wire_len() {
                assert!(options.push_nop());
            }
        }
    }
    segment.options = options;
}

pub(crate) fn has_mptcp(packet: &Packet) -> bool {
    matches!(&packet.body, Body::Tcp(segment) if segment.options.mptcp().next().is_some())
}

pub(crate) fn flags(packet: &Packet) -> mptcp_model::wire::TcpFlags {
    match &packet.body {
        Body::Tcp(segment) => segment.flags,
        _ => mptcp_model::wire::TcpFlags::default(),
    }
}

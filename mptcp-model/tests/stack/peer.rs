//! One host, and a peer that a test plays segment by segment: it knows the keys, and may say anything.

use std::net::SocketAddr;

use mptcp_model::config::TcpConfig;
use mptcp_model::crypto::{self, Version};
use mptcp_model::host::{Host, SocketId};
use mptcp_model::mptcp::Connection;
use mptcp_model::net::InterfaceId;
use mptcp_model::wire::{
    Body, DataNumber, Dss, DssMapping, IpHeader, MpOption, Packet, Payload, Seq, TcpFlags, TcpOptions,
    TcpSegment,
};
use sim_core::{Duration, Instant};

use crate::pair::{End, Setup, described, host, socket_options};

/// Key of the peer.
pub(crate) const KEY: u64 = 2;
/// First sequence number of the peer on every flow.
const ISS: Seq = Seq(1000);
/// Pattern of what the peer sends.
const SEED: u32 = 5;

/// A flow as the peer sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    /// The end of the host.
    pub(crate) host: SocketAddr,
    pub(crate) peer: SocketAddr,
    /// First sequence number of the host, once seen.
    irs: Option<Seq>,
    /// What the host used on its SYN or SYN/ACK with MP_JOIN.
    pub(crate) nonce: u32,
}

/// A segment of the peer, in offsets of its flow: data begins at 1.
#[derive(Clone, Debug)]
pub(crate) struct Seg {
    flow: usize,
    flags: TcpFlags,
    seq: u32,
    ack: u32,
    window: u16,
    payload: Payload,
    options: Vec<MpOption>,
}

impl Seg {
    /// An acknowledgment of everything up to offset `ack`, from offset `seq`.
    pub(crate) fn ack(flow: usize, seq: u32, ack: u32) -> Self {
        Self {
            flow,
            flags: TcpFlags::ACK,
            seq,
            ack,
            window: 60_000,
            payload: Payload::Empty,
            options: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, option: MpOption) -> Self {
        self.options.push(option);
        self
    }

    /// `len` octets that belong at `position` of the stream.
    pub(crate) fn data(mut self, position: u64, len: u32) -> Self {
        self.payload = Payload::pattern(SEED, position, len);
        self
    }

    pub(crate) fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    /// A SYN/ACK of a join that asks for a backup.
    pub(crate) fn mark_backup(mut self) -> Self {
        for option in &mut self.options {
            if let MpOption::JoinSynAck { backup, .. } = option {
                *backup = true;
            }
        }
        self
    }

    pub(crate) fn flags(mut self, flags: TcpFlags) -> Self {
        self.flags = flags;
        self
    }
}

/// A packet of the host.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) flow: usize,
    pub(crate) packet: Packet,
}

impl Sent {
    pub(crate) fn segment(&self) -> &TcpSegment {
        match &self.packet.body {
            Body::Tcp(segment) => segment,
            other => panic!("not TCP: {other:?}"),
        }
    }

    pub(crate) fn mptcp(&self) -> Vec<MpOption> {
        self.segment().options.mptcp().collect()
    }

    pub(crate) fn dss(&self) -> Dss {
        self.segment().options.parse_all().dss.unwrap_or_else(|| panic!("no DSS: {}", self.short()))
    }

    /// `0 P. 100 DSS20`: flow, flags, payload length if any, MPTCP options with lengths.
    pub(crate) fn short(&self) -> String {
        format!("{} {}", self.flow, described(self.segment()))
    }
}

pub(crate) struct Peer {
    pub(crate) host: Host,
    pub(crate) now: Instant,
    end: End,
    pub(crate) socket: SocketId,
    /// The connection: that of the client, or the one accepted.
    pub(crate) connection: Option<SocketId>,
    /// All that were accepted.
    pub(crate) accepted: Vec<SocketId>,
    pub(crate) version: Version,
    pub(crate) host_key: u64,
    pub(crate) flows: Vec<Wire>,
    pub(crate) sent: Vec<Sent>,
    /// Packets of the host already looked at.
    seen: usize,
}

/// No options but those of MPTCP, and no endpoints.
pub(crate) fn bare() -> Setup {
    let tcp = TcpConfig { timestamps: false, sack: false, window_scaling: false, ..Setup::default().tcp };
    Setup { tcp, subflow_endpoints: false, ..Setup::default() }
}

impl Peer {
    fn new(setup: &Setup, end: End) -> Self {
        let (mut host, endpoints) = host(setup, end);
        let (config, options) = match end {
            End::Client => (&setup.client_config, socket_options(setup, end, endpoints)),
            End::Server => (&setup.server_config, socket_options(setup, end, endpoints)),
        };
        let version = Version::from_number(config.version).expect("0 or 1");
        let (socket, connection) = match end {
            End::Client => {
                let remote = "10.0.1.2:5001".parse().unwrap();
                let socket = host.connect(Instant::ZERO, options, None, remote).unwrap();
                (socket, Some(socket))
            }
            End::Server => (host.listen(options, "0.0.0.0:5001".parse().unwrap(), 4).unwrap(), None),
        };
        let mut peer = Self {
            host,
            now: Instant::ZERO,
            end,
            socket,
            connection,
            accepted: connection.into_iter().collect(),
            version,
            host_key: 0,
            flows: Vec::new(),
            sent: Vec::new(),
            seen: 0,
        };
        peer.flush();
        peer
    }

    /// A host that listens; nothing was sent yet.
    pub(crate) fn of_server(setup: &Setup) -> Self {
        Self::new(setup, End::Server)
    }

    /// A host that sent its SYN.
    pub(crate) fn of_client(setup: &Setup) -> Self {
        Self::new(setup, End::Client)
    }

    /// An accepted, confirmed connection.
    pub(crate) fn established_server(setup: &Setup) -> Self {
        let mut peer = Self::of_server(setup);
        let syn = peer.capable(None, None);
        peer.open(0, &[syn]);
        let ack = peer.capable(Some(KEY), Some(peer.host_key));
        peer.send(Seg::ack(0, 1, 1).with(ack));
        assert!(peer.connection.is_some(), "accepted");
        peer.take();
        peer
    }

    /// A confirmed connection of a client, which has sent nothing but acknowledgments.
    pub(crate) fn established_client(setup: &Setup) -> Self {
        let mut peer = Self::of_client(setup);
        let answer = peer.capable(Some(KEY), None);
        peer.send(Seg::ack(0, 0, 1).flags(TcpFlags::SYN.with(TcpFlags::ACK)).with(answer));
        let third = peer.sent.last().expect("the third ACK").mptcp();
        let key = third.iter().find_map(|option| match option {
            MpOption::Capable { sender_key, .. } => *sender_key,
            _ => None,
        });
        peer.host_key = key.expect("a key");
        peer.confirm(0);
        peer.take();
        peer
    }

    /// A DATA_ACK of nothing, which confirms a subflow.
    pub(crate) fn confirm(&mut self, flow: usize) {
        let ack = self.dss(0, None);
        self.send(Seg::ack(flow, 1, 1).with(ack));
    }

    /// MP_CAPABLE as this peer sends it.
    pub(crate) fn capable(&self, sender_key: Option<u64>, receiver_key: Option<u64>) -> MpOption {
        let in_syn = self.version == Version::V0 && sender_key.is_none();
        MpOption::Capable {
            version: self.version.number(),
            flags: self.flags_of_capable(),
            sender_key: if in_syn { Some(KEY) } else { sender_key },
            receiver_key,
            data_len: None,
            checksum: None,
        }
    }

    /// H, and A in the version whose kernels ask for checksums.
    fn flags_of_capable(&self) -> u8 {
        if self.version == Version::V0 { 0x81 } else { 0x01 }
    }

    /// A SYN from the peer on a new flow, from address `10.0.NET.1` with a port of its own.
    pub(crate) fn open(&mut self, net: usize, options: &[MpOption]) -> usize {
        let flow = self.silent_flow(net);
        self.send_syn(flow, options);
        flow
    }

    /// A new flow of the peer, on which nothing was sent.
    pub(crate) fn silent_flow(&mut self, net: usize) -> usize {
        let port = 40_000 + self.flows.len() as u16;
        let peer = SocketAddr::new(format!("10.0.{}.1", net + 1).parse().unwrap(), port);
        self.flows.push(Wire { host: "10.0.1.2:5001".parse().unwrap(), peer, irs: None, nonce: 0 });
        self.flows.len() - 1
    }

    pub(crate) fn open_between(&mut self, peer: SocketAddr, host: SocketAddr, options: &[MpOption]) -> usize {
        let flow = self.flows.len();
        self.flows.push(Wire { host, peer, irs: None, nonce: 0 });
        self.send_syn(flow, options);
        flow
    }

    fn send_syn(&mut self, flow: usize, options: &[MpOption]) {
        let mut syn = Seg::ack(flow, 0, 0).flags(TcpFlags::SYN);
        syn.options = options.to_vec();
        self.send(syn);
    }

    /// MP_JOIN of a SYN of the peer.
    pub(crate) fn join_syn(&self, address_id: u8, nonce: u32, backup: bool) -> MpOption {
        let token = crypto::token(self.version, self.host_key);
        MpOption::JoinSyn { backup, address_id, token, nonce }
    }

    /// The third ACK of a join with nonce `nonce`.
    pub(crate) fn join_ack(&self, flow: usize, nonce: u32) -> MpOption {
        let hmac = crypto::join_hmac_ack(self.version, KEY, self.host_key, nonce, self.flows[flow].nonce);
        MpOption::JoinAck { hmac }
    }

    /// Join as the peer, all four packets.
    pub(crate) fn join(&mut self, net: usize) -> usize {
        let syn = self.join_syn(net as u8 + 1, 77, false);
        let flow = self.open(net, &[syn]);
        let ack = self.join_ack(flow, 77);
        self.send(Seg::ack(flow, 1, 1).with(ack));
        flow
    }

    /// The SYN/ACK to a join of the host.
    pub(crate) fn join_synack(&self, flow: usize, address_id: u8, nonce: u32) -> Seg {
        let hmac = crypto::join_hmac_synack(self.version, KEY, self.host_key, nonce, self.flows[flow].nonce);
        Seg::ack(flow, 0, 1).flags(TcpFlags::SYN.with(TcpFlags::ACK)).with(MpOption::JoinSynAck {
            backup: false,
            address_id,
            hmac,
            nonce,
        })
    }

    /// Data sequence number of `position` of the stream of the peer, and of the host.
    pub(crate) fn own_number(&self, position: u64) -> u64 {
        crypto::idsn(self.version, KEY).wrapping_add(1).wrapping_add(position)
    }

    pub(crate) fn host_number(&self, position: u64) -> u64 {
        crypto::idsn(self.version, self.host_key).wrapping_add(1).wrapping_add(position)
    }

    /// A DSS that acknowledges the host's stream up to `ack`, with a mapping: position, offset in the subflow,
    /// length.
    pub(crate) fn dss(&self, ack: u64, map: Option<(u64, u32, u16)>) -> MpOption {
        let mapping = map.map(|(position, ssn, len)| DssMapping {
            dsn: DataNumber::Long(self.own_number(position)),
            ssn,
            len,
            checksum: None,
        });
        let data_ack = Some(DataNumber::Long(self.host_number(ack)));
        MpOption::Dss(Dss { data_fin: false, data_ack, mapping })
    }

    /// A DATA_FIN at `position`, alone.
    pub(crate) fn data_fin(&self, ack: u64, position: u64) -> MpOption {
        let MpOption::Dss(dss) = self.dss(ack, Some((position, 0, 1))) else { unreachable!() };
        MpOption::Dss(Dss { data_fin: true, ..dss })
    }

    /// `len` octets from `position` on, mapped, on the initial subflow from offset `position` + 1.
    pub(crate) fn mapped(&self, position: u64, len: u16) -> Seg {
        let dss = self.dss(0, Some((position, position as u32 + 1, len)));
        Seg::ack(0, position as u32 + 1, 1).data(position, u32::from(len)).with(dss)
    }

    pub(crate) fn send(&mut self, seg: Seg) {
        let mut options = TcpOptions::new();
        for option in &seg.options {
            assert!(options.push_mptcp(option), "the options fit");
            options.pad();
        }
        self.send_with(seg, options);
    }

    /// A segment with these options, whatever they are.
    pub(crate) fn send_with(&mut self, seg: Seg, options: TcpOptions) {
        let packet = self.packet(seg, options);
        self.deliver(&packet);
    }

    /// These without options, so close to each other that the host sends nothing in between.
    pub(crate) fn send_at_once(&mut self, segs: impl IntoIterator<Item = Seg>) {
        for seg in segs {
            let packet = self.packet(seg, TcpOptions::new());
            self.host.handle_packet(self.now, InterfaceId(0), &packet);
        }
        self.flush();
    }

    fn packet(&self, seg: Seg, options: TcpOptions) -> Packet {
        let wire = self.flows[seg.flow];
        let ack = match wire.irs {
            Some(irs) if seg.flags.ack() => irs.wrapping_add(seg.ack),
            _ => Seq(0),
        };
        let segment = TcpSegment {
            src_port: wire.peer.port(),
            dst_port: wire.host.port(),
            seq: ISS.wrapping_add(seg.seq),
            ack,
            flags: seg.flags,
            window: seg.window,
            urgent: 0,
            options,
            payload: seg.payload,
        };
        Packet { ip: IpHeader::new(wire.peer.ip(), wire.host.ip()), body: Body::Tcp(segment) }
    }

    pub(crate) fn deliver(&mut self, packet: &Packet) {
        self.host.handle_packet(self.now, InterfaceId(0), packet);
        self.flush();
        // What the worker of the kernel does when the packet has been handled.
        self.run(Duration::ZERO);
    }

    /// What the host has to send and to tell.
    pub(crate) fn flush(&mut self) {
        loop {
            let mut busy = false;
            while let Some((_, packet)) = self.host.poll_transmit(self.now) {
                busy = true;
                self.note(packet);
            }
            while let Some(event) = self.host.poll_event() {
                busy = true;
                if self.end == End::Server && event.socket == self.socket {
                    self.connection = self.host.accept(event.socket);
                    self.accepted.extend(self.connection);
                }
            }
            if !busy {
                return;
            }
        }
    }

    fn note(&mut self, packet: Packet) {
        let Body::Tcp(segment) = &packet.body else { return };
        let host = SocketAddr::new(packet.ip.src, segment.src_port);
        let peer = SocketAddr::new(packet.ip.dst, segment.dst_port);
        let known = self.flows.iter().rposition(|wire| wire.host == host && wire.peer == peer);
        let flow = known.unwrap_or_else(|| {
            self.flows.push(Wire { host, peer, irs: None, nonce: 0 });
            self.flows.len() - 1
        });
        if segment.flags.syn() {
            self.flows[flow].irs = Some(segment.seq);
        }
        for option in segment.options.mptcp() {
            match option {
                MpOption::Capable { sender_key: Some(key), .. } => self.host_key = key,
                MpOption::JoinSyn { nonce, .. } | MpOption::JoinSynAck { nonce, .. } => {
                    self.flows[flow].nonce = nonce;
                }
                _ => {}
            }
        }
        self.sent.push(Sent { at: self.now, flow, packet });
    }

    /// First sequence number of the host on a flow.
    pub(crate) fn first_of_host(&self, flow: usize) -> Seq {
        self.flows[flow].irs.expect("it sent a SYN")
    }

    /// What the host sent since the last call.
    pub(crate) fn take(&mut self) -> Vec<Sent> {
        let new = self.sent[self.seen..].to_vec();
        self.seen = self.sent.len();
        new
    }

    /// The same, a short line each.
    pub(crate) fn story(&mut self) -> Vec<String> {
        self.take().iter().map(Sent::short).collect()
    }

    /// Let time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.host.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.host.handle_timeout(self.now);
            self.flush();
        }
        self.now = end;
        self.flush();
    }

    pub(crate) fn run_ms(&mut self, millis: u64) {
        self.run(Duration::from_millis(millis));
    }

    pub(crate) fn id(&self) -> SocketId {
        self.connection.expect("a connection")
    }

    pub(crate) fn connection(&self) -> &Connection {
        self.host.connection(self.id()).expect("a connection")
    }

    pub(crate) fn write(&mut self, len: u64) {
        let (now, id) = (self.now, self.id());
        assert_eq!(self.host.write(now, id, len), Ok(len));
        self.flush();
    }

    /// Octets the application of the host reads now.
    pub(crate) fn read(&mut self) -> u64 {
        let (now, id) = (self.now, self.id());
        let len = self.host.read(now, id, u64::MAX).map_or(0, |outcome| outcome.len);
        self.flush();
        len
    }

    pub(crate) fn shutdown(&mut self) {
        let (now, id) = (self.now, self.id());
        self.host.shutdown_write(now, id);
        self.flush();
    }

    pub(crate) fn close(&mut self) {
        let (now, id) = (self.now, self.id());
        self.host.close(now, id);
        self.flush();
    }

    /// Octets delivered in order without a difference from what the peer sent.
    pub(crate) fn verified(&self) -> u64 {
        let check = self.connection().integrity();
        assert_eq!(check.corrupted, 0);
        check.verified
    }
}
